-- Feedback becomes labels: one row per person and thing said, with what was shown when it was said, so that it can be
-- scored and learned from after the incident itself is gone.
alter table feedback
  add column key          text,          -- who said it of what: the same said twice, or its contrary, is the same row
  add column first_at     timestamptz,
  add column origin       text not null default 'api',
  add column alert_source text,
  add column other_source text,
  add column together     boolean,       -- a pair: whether the two were in one incident
  add column config_hash  text,
  add column models       jsonb,         -- versions of the models that judged: {"correlation": "1", "causes": "1"}
  add column ranking      jsonb;         -- the causes as they were ranked before this was said: domain/label.ts Ranking
update feedback set key = 'old-' || id, first_at = at;
alter table feedback alter column key set not null, alter column first_at set not null;
create unique index feedback_key on feedback (key);
create index feedback_at on feedback (at);
