-- The spine: what came in, what it became, who was told. Times are timestamptz; every uniqueness that correctness
-- needs is a constraint here, not a hope in the code.

-- What was accepted, byte for byte. Insert-only; retention removes it in small batches.
create table deliveries (
  id          bigint generated always as identity primary key,
  kind        text        not null check (kind in ('alertmanager', 'alerts', 'deploy', 'action', 'poll')),
  source      text        not null,
  received_at timestamptz not null,
  trace       text        not null,
  body        bytea       not null
);
create index deliveries_received_at on deliveries (received_at);

-- What of it still has to be worked on. Its own narrow table, so that draining never rewrites a body; no foreign key,
-- because its check would cost more than the row.
create table inbox (
  delivery_id bigint primary key
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

create table incidents (
  id                text        primary key,
  number            bigint      not null unique,
  tenant            text        not null default '',
  status            text        not null check (status in ('open', 'acknowledged', 'resolved')),
  severity          text,
  priority          smallint,
  team              text,
  title             text,
  services          text[]      not null default '{}',
  started_at        timestamptz not null,
  updated_at        timestamptz not null,
  acknowledged_at   timestamptz,
  resolved_at       timestamptz,
  merged_into       text,
  revision          integer     not null,
  assessed_revision integer     not null,
  next_due_at       timestamptz,
  state             jsonb       not null,   -- domain/effects.ts IncidentState: what the engine needs back
  doc               jsonb                   -- domain/incident.ts Incident: what the API shows; null until assessed
);
create index incidents_open on incidents (started_at desc) where status <> 'resolved';
create index incidents_list on incidents (started_at desc, id desc);
create index incidents_services on incidents using gin (services);
create index incidents_resolved_at on incidents (resolved_at) where status = 'resolved';

-- One row per episode of an alert. At most one episode of an alert is the current one.
create table alerts (
  source          text        not null,
  fingerprint     text        not null,
  starts_at       timestamptz not null,
  is_current      boolean     not null default true,
  status          text        not null check (status in ('firing', 'resolved')),
  ends_at         timestamptz,
  expires_at      timestamptz,
  received_at     timestamptz not null,
  updated_at      timestamptz not null,
  last_seen_at    timestamptz not null,
  alertname       text        not null,
  severity        text        not null,
  service         text,
  namespace       text,
  cluster         text,
  tenant          text        not null default '',
  destination     text,
  labels          jsonb       not null,
  annotations     jsonb       not null,
  generator_url   text,
  group_key       text,
  receiver        text,
  closed_because  text,
  incident_id     text,
  fire_verdict    text        check (fire_verdict in ('notify', 'group', 'suppress')),
  resolve_verdict text        check (resolve_verdict in ('notify', 'group', 'suppress')),
  reasons         jsonb       not null default '[]',
  why             jsonb,                    -- domain/effects.ts PlacementWhy
  delivery_id     bigint,
  primary key (fingerprint, source, starts_at)   -- this order also finds an alert by its fingerprint alone
-- room in each page for the row's next version: the verdict that follows every alert costs a third less
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create unique index alerts_current on alerts (source, fingerprint) where is_current;
create index alerts_incident on alerts (incident_id);
create index alerts_firing on alerts (received_at) where status = 'firing';
create index alerts_ended on alerts (updated_at) where status = 'resolved';
-- The API's list of alerts, newest arrival first; read backwards.
create index alerts_list on alerts (received_at, source, fingerprint) where is_current;
-- What this rule did before: on one service, and anywhere.
create index alerts_history on alerts (alertname, service, starts_at desc);
create index alerts_rule on alerts (alertname, starts_at desc);

create table timeline (
  id          bigint generated always as identity primary key,
  incident_id text        not null,
  at          timestamptz not null,
  kind        text        not null,
  text        text        not null,
  by          text,
  data        jsonb       not null default '{}'
);
create index timeline_incident on timeline (incident_id, id);

-- One record per assessment: inputs, weights and outcome, enough to explain the verdict from the record alone.
create table decisions (
  incident_id text        not null,
  revision    integer     not null,
  at          timestamptz not null,
  config_hash text        not null,
  doc         jsonb       not null,
  primary key (incident_id, revision)
);

-- The outbox. A job is claimed with skip locked until `claimed_until`; a worker that dies lets go by time.
create table notifications (
  id            text        primary key,
  incident_id   text        not null,
  channel       text        not null check (channel in ('slack', 'pagerduty', 'email', 'webhook', 'log')),
  address       text        not null,
  kind          text        not null check (kind in ('open', 'update', 'escalate', 'acknowledge', 'resolve', 'thread')),
  urgency       smallint    not null,
  state         text        not null default 'waiting' check (state in ('waiting', 'sent', 'failed', 'superseded')),
  created_at    timestamptz not null,
  due_at        timestamptz not null,
  sent_at       timestamptz,
  claimed_until timestamptz,
  claimed_by    text,                       -- who: a worker whose lease ran out must not undo the next one's claim
  attempts      jsonb       not null default '[]',
  text          text,
  job           jsonb       not null        -- domain/notification.ts NotificationJob
);
create index notifications_waiting on notifications (urgency, due_at) where state = 'waiting';
create index notifications_incident on notifications (incident_id);
-- All that waits for one message is claimed together.
create index notifications_thread on notifications (incident_id, channel, address) where state = 'waiting';
create index notifications_created on notifications (created_at desc, id desc);
-- Updates coalesce: one waiting update per message, whatever races.
create unique index notifications_one_update on notifications (incident_id, channel, address)
  where state = 'waiting' and kind = 'update';

-- The message an incident has at a target, to edit in place: Slack channel and ts, a Message-ID, a dedup key.
create table messages (
  incident_id text        not null,
  channel     text        not null,
  address     text        not null,
  ref         jsonb       not null,
  state       text        not null check (state in ('open', 'resolved')),
  sent_at     timestamptz not null,
  updated_at  timestamptz not null,
  fingerprint text,                         -- hash of what was last shown: an update that changes nothing is not sent
  primary key (incident_id, channel, address)
);

create table deploys (
  id               text        primary key,
  service          text        not null,
  version          text,
  previous_version text,
  environment      text,
  cluster          text,
  started_at       timestamptz not null,
  finished_at      timestamptz,
  status           text,
  author           text,
  commit           text,
  url              text,
  summary          text,
  rollback         boolean     not null default false,
  sources          text[]      not null default '{}',
  received_at      timestamptz not null
);
create index deploys_started on deploys (started_at desc, id desc);
create index deploys_service on deploys (service, started_at desc);

create table suppressed (
  source      text        not null,
  fingerprint text        not null,
  starts_at   timestamptz not null,
  incident_id text        not null,
  reasons     jsonb       not null,
  policy      text        not null,
  at          timestamptz not null,
  expires_at  timestamptz not null,
  released_at timestamptz,
  primary key (source, fingerprint, starts_at)
);
create index suppressed_at on suppressed (at desc);
create index suppressed_incident on suppressed (incident_id);

create table quarantine (
  id          bigint generated always as identity primary key,
  at          timestamptz not null,
  source      text        not null,
  delivery_id bigint,
  place       text        not null,
  reason      text        not null,
  raw         bytea       not null
);
create index quarantine_at on quarantine (at);

create table heartbeats (
  key           text        primary key,
  name          text        not null,
  last_seen_at  timestamptz not null,
  within_ms     bigint,
  missing_since timestamptz
);

create table feedback (
  id          bigint generated always as identity primary key,
  incident_id text        not null,
  at          timestamptz not null,
  by          text        not null,
  kind        text        not null,
  alert       text,
  other       text,
  service     text,
  text        text
);
create index feedback_incident on feedback (incident_id);

create table silences (
  id          text        primary key,
  incident_id text        not null,
  alerts      text[]      not null,         -- source/fingerprint
  until       timestamptz not null,
  by          text        not null,
  at          timestamptz not null,
  text        text
);
create index silences_until on silences (until);

create table links (
  kind        text        not null check (kind in ('must', 'cannot')),
  a           text        not null,
  b           text        not null,
  by          text        not null,
  at          timestamptz not null,
  incident_id text        not null,
  primary key (kind, a, b)
);

create table correlation_memory (
  scope text  not null,
  key   text  not null,
  doc   jsonb not null,
  primary key (scope, key)
);

-- What a person asked for and what became of it; the caller waits on this row.
create table actions (
  id         text        primary key,
  at         timestamptz not null,
  status     smallint    not null,
  incident_id text,
  detail     text        not null
);
create index actions_at on actions (at);

-- Alert state changes since the store was made; one row per column of the contract's ledger.
create table ledger (
  name  text   primary key check (name in ('received', 'notified', 'grouped', 'suppressed', 'failed', 'inFlight', 'quarantined')),
  count bigint not null default 0
);
insert into ledger (name) values ('received'), ('notified'), ('grouped'), ('suppressed'), ('failed'), ('inFlight'), ('quarantined');

create table settings (
  key   text  primary key,
  value jsonb not null
);

-- The trail: each row's mac covers the row and the mac before it, with a key kept outside the database.
create table audit_log (
  id       bigint generated always as identity primary key,
  at       timestamptz not null,
  who      text        not null,
  what     text        not null,
  target   text        not null,
  before   jsonb,
  after    jsonb,
  why      text,
  key      text        not null,            -- names the key (hash of it), since replicas may hold different ones
  previous text        not null,
  mac      text        not null
);
create index audit_log_at on audit_log (at);
