-- Every config tree that decisions were made under, secrets only by reference: an explanation judges again by the policy of
-- the time, not by today's. A few rows a week; a tree of 500 policies is some 100 kB, compressed less.
create table configs (
  hash     text        primary key,
  first_at timestamptz not null,
  tree     jsonb       not null
);
