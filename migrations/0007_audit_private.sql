-- What is personal in the audit trail stands apart from it. In its place audit_log holds "#" and a salted commitment, which
-- the macs cover; with value and salt gone the trail still verifies, and nobody can find out what was committed to.
create table audit_private (
  ref   text  primary key,      -- "#" and the first 32 hexadecimal digits of HMAC-SHA256(salt, value)
  owner text  not null,         -- the ref of the person whose it is; a person's own name: itself
  salt  bytea,                  -- null, with value: erased
  value text
);
create index audit_private_owner on audit_private (owner);
create index audit_private_names on audit_private (value) where ref = owner;
