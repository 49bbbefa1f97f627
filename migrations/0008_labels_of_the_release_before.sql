-- The release before runs on this schema while replicas are replaced one by one: what it writes is a label each.
alter table feedback
  alter column key set default 'old-' || gen_random_uuid(),
  alter column first_at set default now();
