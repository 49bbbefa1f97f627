import type pg from 'pg';
import type { AlertRecord, Effects, IncidentRecord } from '../domain/effects.ts';
import { clean, isDataFault, timestamp, toJson } from './encode.ts';
import { bumpLedger } from './ledger.ts';
import { insertNotifications, notificationRow } from './outbox.ts';

type Db = Pick<pg.Client, 'query'>;

/** A row the database would not hold, kept in quarantine instead. */
export type RefusedRow = { table: string; error: string };

/** Several rows by one statement, which takes them as one JSON array. */
type Write = { table: string; sql: string; rows: object[]; atOnce?: number };

/**
 * Rows a statement, and of those that carry an incident's whole document: to write 4 MB of JSON in one go held the event loop
 * for 40 ms and more, while pages wait on the same thread.
 */
const AT_ONCE = 1_000;
const DOCUMENTS_AT_ONCE = 100;

/**
 * Writes effects inside the caller's transaction, a statement a table. `careful` puts a savepoint before each and halves a
 * statement that fails until the rows that cannot be stored stand alone; they go to quarantine and are given back.
 */
export async function writeEffects(
  client: Db,
  effects: Effects,
  { careful, now }: { careful: boolean; now: string },
): Promise<RefusedRow[]> {
  const refused: RefusedRow[] = [];
  const write = async (w: Write) => {
    if (w.rows.length === 0) return;
    if (careful) refused.push(...(await writeCarefully(client, w, now)));
    else
      for (let i = 0; i < w.rows.length; i += w.atOnce ?? AT_ONCE)
        await client.query(w.sql, [toJson(w.rows.slice(i, i + (w.atOnce ?? AT_ONCE)))]);
  };

  const alerts = newestPerEpisode(effects.alerts);
  if (alerts.length > 0) await closeOlderEpisodes(client, alerts);
  await write({ table: 'alerts', sql: upsertAlerts, rows: alerts });
  await write({
    table: 'incidents',
    sql: upsertIncidents,
    rows: lastBy(effects.incidents, (i) => i.state.id).map(incidentRow),
    atOnce: DOCUMENTS_AT_ONCE,
  });
  await write({
    table: 'timeline',
    sql: insertTimeline,
    rows: effects.timeline.map((t) => ({ ...t, at: timestamp(t.at) })),
  });
  await write({
    table: 'decisions',
    sql: insertDecisions,
    rows: lastBy(effects.decisions, (d) => `${d.incidentId} ${d.revision}`).map((d) => ({ ...d, at: timestamp(d.at) })),
    atOnce: DOCUMENTS_AT_ONCE,
  });
  await write({ table: 'notifications', sql: insertNotifications, rows: effects.notifications.map(notificationRow) });
  await write({
    table: 'quarantine',
    sql: insertQuarantine,
    rows: effects.quarantine.map((q) => ({ ...q, at: timestamp(q.at) })),
  });
  await write({
    table: 'deploys',
    sql: upsertDeploys,
    rows: lastBy(effects.deploys, (d) => d.id).map((d) => deployRow(d, now)),
  });
  // first what ended, then what begins: an alert held back anew in the same step stays held back
  if (effects.released.length > 0) await client.query(release, [toJson(effects.released), now]);
  await write({
    table: 'suppressed',
    sql: upsertSuppressed,
    rows: lastBy(effects.suppressed, (s) => `${s.source}/${s.fingerprint}@${s.startsAt}`).map((s) => ({
      ...s,
      startsAt: timestamp(s.startsAt),
      at: timestamp(s.at),
      expiresAt: timestamp(s.expiresAt),
    })),
  });
  await write({
    table: 'heartbeats',
    sql: upsertHeartbeats,
    rows: lastBy(effects.heartbeats, (h) => h.key).map((h) => ({
      ...h,
      lastSeenAt: timestamp(h.lastSeenAt),
      missingSince: timestamp(h.missingSince),
    })),
  });
  await write({
    table: 'feedback',
    sql: insertFeedback,
    rows: lastBy(effects.feedback, (f) => f.key).map((f) => ({ ...f, at: timestamp(f.at) })),
  });
  const links = lastBy(effects.links, (l) => `${l.a} ${l.b}`).map((l) => ({ ...l, at: timestamp(l.at) }));
  await write({ table: 'links', sql: dropContraryLinks, rows: links });
  await write({ table: 'links', sql: upsertLinks, rows: links });
  await write({
    table: 'silences',
    sql: upsertSilences,
    rows: lastBy(effects.silences, (s) => s.id).map((s) => ({ ...s, at: timestamp(s.at), until: timestamp(s.until) })),
  });
  await write({
    table: 'correlation_memory',
    sql: upsertMemory,
    rows: lastBy(effects.memory, (m) => `${m.scope} ${m.key}`),
  });
  await write({
    table: 'actions',
    sql: upsertActions,
    rows: lastBy(effects.actionResults, (a) => a.id).map(({ id, result }) => ({ id, ...result, at: now })),
  });
  if (effects.feedback.length > 0) await client.query(refuseLostFeedback, [toJson(effects.feedback)]);
  if (effects.killSwitch !== null) {
    await client.query(
      "insert into settings (key, value) values ('kill_switch', $1) on conflict (key) do update set value = excluded.value",
      [toJson(effects.killSwitch)],
    );
  }
  await bumpLedger(client, effects.ledger);
  await notify(client, effects);
  return refused;
}

/** Wakes whoever waits: delivery workers, callers of actions, the event stream. Delivered when the transaction commits. */
async function notify(client: Db, effects: Effects): Promise<void> {
  const messages = [
    ...(effects.notifications.length > 0 ? [{ channel: 'tocsin_outbox', payload: '' }] : []),
    ...effects.actionResults.map(({ id }) => ({ channel: 'tocsin_action', payload: id })),
    ...lastBy(effects.incidents, (i) => i.state.id).map(({ state }) => ({
      channel: 'tocsin_incident',
      payload: JSON.stringify({ id: state.id, revision: state.revision, status: state.status }),
    })),
    // PostgreSQL refuses payloads of 8,000 bytes; ids are short, so a longer one is nobody's
  ].filter(({ payload }) => Buffer.byteLength(payload) < 8_000);
  if (messages.length === 0) return;
  await client.query(
    'select pg_notify(channel, payload) from jsonb_to_recordset($1::jsonb) as n (channel text, payload text)',
    [toJson(messages)],
  );
}

async function writeCarefully(client: Db, w: Write, now: string): Promise<RefusedRow[]> {
  await client.query('savepoint one');
  try {
    await client.query(w.sql, [toJson(w.rows)]);
    await client.query('release savepoint one');
    return [];
  } catch (cause) {
    if (!isDataFault(cause)) throw cause;
    const { message } = cause as pg.DatabaseError;
    await client.query('rollback to savepoint one');
    if (w.rows.length > 1) {
      const half = Math.ceil(w.rows.length / 2);
      const left = await writeCarefully(client, { ...w, rows: w.rows.slice(0, half) }, now);
      const right = await writeCarefully(client, { ...w, rows: w.rows.slice(half) }, now);
      return [...left, ...right];
    }
    await client.query('insert into quarantine (at, source, place, reason, raw) values ($1, $2, $3, $4, $5)', [
      now,
      'store',
      w.table,
      clean(message),
      Buffer.from(toJson(w.rows[0])),
    ]);
    return [{ table: w.table, error: message }];
  }
}

/** The last record of each key, in the order in which the keys came first. */
function lastBy<T>(records: T[], key: (record: T) => string): T[] {
  if (records.length < 2) return records;
  const last = new Map<string, T>();
  for (const record of records) last.set(key(record), record);
  return [...last.values()];
}

/**
 * Columns that an index covers hold 512 characters: PostgreSQL refuses index rows over 2,704 bytes, and a label may be a
 * megabyte. The label itself is kept whole in `labels`.
 */
const indexed = (text: string): string => (text.length <= 512 ? text : text.slice(0, 512).toWellFormed());
const indexedOrNull = (text: string | null): string | null => (text === null ? null : indexed(text));

type AlertRow = ReturnType<typeof alertRow> & { newest: boolean };

function alertRow({ alert, why, deliveryId }: AlertRecord) {
  return {
    source: alert.source,
    fingerprint: alert.fingerprint,
    starts_at: timestamp(alert.startsAt),
    status: alert.status,
    ends_at: timestamp(alert.endsAt),
    expires_at: timestamp(alert.expiresAt),
    received_at: timestamp(alert.receivedAt),
    updated_at: timestamp(alert.updatedAt),
    last_seen_at: timestamp(alert.lastSeenAt),
    alertname: indexed(alert.alertname),
    severity: alert.severity,
    service: indexedOrNull(alert.service),
    namespace: alert.namespace,
    cluster: alert.cluster,
    tenant: alert.tenant,
    destination: alert.destination,
    labels: alert.labels,
    annotations: alert.annotations,
    generator_url: alert.generatorUrl,
    group_key: alert.groupKey,
    receiver: alert.receiver,
    closed_because: alert.closedBecause,
    incident_id: alert.incidentId,
    fire_verdict: alert.fireVerdict,
    resolve_verdict: alert.resolveVerdict,
    reasons: alert.reasons,
    why,
    delivery_id: deliveryId,
  };
}

/** One row an episode (what a later record leaves empty stays as the earlier one said), the newest of each alert marked. */
function newestPerEpisode(records: AlertRecord[]): AlertRow[] {
  const episodes = new Map<string, AlertRow>();
  const newest = new Map<string, AlertRow>();
  for (const record of records) {
    const row: AlertRow = { ...alertRow(record), newest: false };
    const episode = `${row.source}/${row.fingerprint}@${row.starts_at}`;
    const before = episodes.get(episode);
    if (before) {
      if (Object.keys(row.annotations).length === 0) row.annotations = before.annotations;
      row.generator_url ??= before.generator_url;
      row.group_key ??= before.group_key;
      row.receiver ??= before.receiver;
      row.why ??= before.why;
      row.delivery_id ??= before.delivery_id;
    }
    episodes.set(episode, row);
    const alert = `${row.source}/${row.fingerprint}`;
    const rival = newest.get(alert);
    // RFC 3339 in UTC with four-digit years: text order is time order
    if (!rival || rival.starts_at <= row.starts_at) newest.set(alert, row);
  }
  for (const row of newest.values()) row.newest = true;
  return [...episodes.values()];
}

/** First the older episode stops being the current one, then the newer is inserted: the unique index allows no overlap. */
async function closeOlderEpisodes(client: Db, rows: AlertRow[]): Promise<void> {
  const newest = rows.filter((row) => row.newest);
  await client.query(
    `update alerts a set is_current = false
     from unnest($1::text[], $2::text[], $3::timestamptz[]) as n (source, fingerprint, starts_at)
     where a.source = n.source and a.fingerprint = n.fingerprint and a.is_current and a.starts_at < n.starts_at`,
    [
      newest.map((row) => clean(row.source)),
      newest.map((row) => clean(row.fingerprint)),
      newest.map((row) => row.starts_at),
    ],
  );
}

const upsertAlerts = `
insert into alerts as a
  (source, fingerprint, starts_at, is_current, status, ends_at, expires_at, received_at, updated_at, last_seen_at,
   alertname, severity, service, namespace, cluster, tenant, destination, labels, annotations, generator_url, group_key,
   receiver, closed_because, incident_id, fire_verdict, resolve_verdict, reasons, why, delivery_id)
select source, fingerprint, starts_at,
       newest and not exists (
         select from alerts later
         where later.fingerprint = n.fingerprint and later.source = n.source and later.starts_at > n.starts_at),
       status, ends_at, expires_at, received_at, updated_at, last_seen_at,
       alertname, severity, service, namespace, cluster, tenant, destination, labels, annotations, generator_url, group_key,
       receiver, closed_because, incident_id, fire_verdict, resolve_verdict, reasons, nullif(why, 'null'), delivery_id
from jsonb_to_recordset($1::jsonb) as n
  (source text, fingerprint text, starts_at timestamptz, newest boolean, status text, ends_at timestamptz,
   expires_at timestamptz, received_at timestamptz, updated_at timestamptz, last_seen_at timestamptz, alertname text,
   severity text, service text, namespace text, cluster text, tenant text, destination text, labels jsonb,
   annotations jsonb, generator_url text, group_key text, receiver text, closed_because text, incident_id text,
   fire_verdict text, resolve_verdict text, reasons jsonb, why jsonb, delivery_id bigint)
on conflict (fingerprint, source, starts_at) do update set
  status = excluded.status, ends_at = excluded.ends_at, expires_at = excluded.expires_at,
  updated_at = excluded.updated_at, last_seen_at = excluded.last_seen_at, alertname = excluded.alertname,
  severity = excluded.severity, service = excluded.service, namespace = excluded.namespace, cluster = excluded.cluster,
  tenant = excluded.tenant, destination = excluded.destination, labels = excluded.labels,
  annotations = case when excluded.annotations = '{}' then a.annotations else excluded.annotations end,
  generator_url = coalesce(excluded.generator_url, a.generator_url), group_key = coalesce(excluded.group_key, a.group_key),
  receiver = coalesce(excluded.receiver, a.receiver), closed_because = excluded.closed_because,
  incident_id = excluded.incident_id, fire_verdict = excluded.fire_verdict, resolve_verdict = excluded.resolve_verdict,
  reasons = excluded.reasons, why = coalesce(excluded.why, a.why), delivery_id = coalesce(excluded.delivery_id, a.delivery_id)`;

function incidentRow({ state, doc }: IncidentRecord) {
  const due = [
    state.escalation?.dueAt ?? null,
    state.escalation?.ackTimeoutAt ?? null,
    state.snoozedUntil,
    state.suppressedUntil,
    state.resolveDueAt,
    state.lookAgainAt ?? null,
  ].filter((at) => at !== null);
  return {
    id: state.id,
    number: state.number,
    tenant: state.tenant,
    status: state.status,
    severity: doc?.severity ?? state.declared?.severity ?? null,
    priority: doc?.priority ?? null,
    team: doc?.team ?? state.declared?.team ?? null,
    title: doc?.title ?? state.declared?.title ?? null,
    services: (doc?.services ?? (state.declared?.service ? [state.declared.service] : [])).map(indexed),
    started_at: timestamp(state.startedAt),
    updated_at: timestamp(state.updatedAt),
    acknowledged_at: timestamp(state.acknowledgedAt),
    resolved_at: timestamp(state.resolvedAt),
    merged_into: state.mergedInto,
    revision: state.revision,
    assessed_revision: state.assessedRevision,
    next_due_at: state.status === 'resolved' || due.length === 0 ? null : timestamp(Math.min(...due)),
    state,
    doc,
  };
}

const upsertIncidents = `
insert into incidents as i
  (id, number, tenant, status, severity, priority, team, title, services, started_at, updated_at, acknowledged_at,
   resolved_at, merged_into, revision, assessed_revision, next_due_at, state, doc)
select id, number, tenant, status, severity, priority, team, title, services, started_at, updated_at, acknowledged_at,
       resolved_at, merged_into, revision, assessed_revision, next_due_at, state, nullif(doc, 'null')
from jsonb_to_recordset($1::jsonb) as n
  (id text, number bigint, tenant text, status text, severity text, priority smallint, team text, title text,
   services text[], started_at timestamptz, updated_at timestamptz, acknowledged_at timestamptz, resolved_at timestamptz,
   merged_into text, revision integer, assessed_revision integer, next_due_at timestamptz, state jsonb, doc jsonb)
on conflict (id) do update set
  tenant = excluded.tenant, status = excluded.status, severity = coalesce(excluded.severity, i.severity),
  priority = coalesce(excluded.priority, i.priority), team = coalesce(excluded.team, i.team),
  title = coalesce(excluded.title, i.title),
  services = case when excluded.doc is null then i.services else excluded.services end,
  started_at = excluded.started_at, updated_at = excluded.updated_at, acknowledged_at = excluded.acknowledged_at,
  resolved_at = excluded.resolved_at, merged_into = excluded.merged_into, revision = excluded.revision,
  assessed_revision = excluded.assessed_revision, next_due_at = excluded.next_due_at, state = excluded.state,
  doc = coalesce(excluded.doc, i.doc)`;

const insertTimeline = `
insert into timeline (incident_id, at, kind, text, by, data)
select "incidentId", at, kind, text, by, data
from jsonb_to_recordset($1::jsonb) as n ("incidentId" text, at timestamptz, kind text, text text, by text, data jsonb)`;

const insertDecisions = `
insert into decisions (incident_id, revision, at, config_hash, doc)
select "incidentId", revision, at, "configHash", doc
from jsonb_to_recordset($1::jsonb) as n ("incidentId" text, revision integer, at timestamptz, "configHash" text, doc jsonb)
on conflict (incident_id, revision) do update set at = excluded.at, config_hash = excluded.config_hash, doc = excluded.doc`;

const insertQuarantine = `
insert into quarantine (at, source, delivery_id, place, reason, raw)
select at, source, "deliveryId", place, reason, convert_to(raw, 'UTF8')
from jsonb_to_recordset($1::jsonb) as n
  (at timestamptz, source text, "deliveryId" bigint, place text, reason text, raw text)`;

const deployRow = (deploy: Effects['deploys'][number], now: string) => ({
  ...deploy,
  service: indexed(deploy.service),
  startedAt: timestamp(deploy.startedAt),
  finishedAt: timestamp(deploy.finishedAt),
  receivedAt: now,
});

const upsertDeploys = `
insert into deploys as d
  (id, service, version, previous_version, environment, cluster, started_at, finished_at, status, author, commit, url,
   summary, rollback, sources, received_at)
select id, service, version, "previousVersion", environment, cluster, "startedAt", "finishedAt", status, author, commit,
       url, summary, rollback, sources, "receivedAt"
from jsonb_to_recordset($1::jsonb) as n
  (id text, service text, version text, "previousVersion" text, environment text, cluster text, "startedAt" timestamptz,
   "finishedAt" timestamptz, status text, author text, commit text, url text, summary text, rollback boolean,
   sources text[], "receivedAt" timestamptz)
on conflict (id) do update set
  version = coalesce(excluded.version, d.version),
  previous_version = coalesce(excluded.previous_version, d.previous_version),
  environment = coalesce(excluded.environment, d.environment), cluster = coalesce(excluded.cluster, d.cluster),
  started_at = excluded.started_at, finished_at = coalesce(excluded.finished_at, d.finished_at),
  status = coalesce(excluded.status, d.status), author = coalesce(excluded.author, d.author),
  commit = coalesce(excluded.commit, d.commit), url = coalesce(excluded.url, d.url),
  summary = coalesce(excluded.summary, d.summary), rollback = excluded.rollback,
  sources = array(select distinct unnest(d.sources || excluded.sources) order by 1)`;

const release = `
update suppressed s set released_at = $2
from jsonb_to_recordset($1::jsonb) as r (source text, fingerprint text)
where s.source = r.source and s.fingerprint = r.fingerprint and s.released_at is null`;

const upsertSuppressed = `
insert into suppressed (source, fingerprint, starts_at, incident_id, reasons, policy, at, expires_at)
select source, fingerprint, "startsAt", "incidentId", reasons, policy, at, "expiresAt"
from jsonb_to_recordset($1::jsonb) as n
  (source text, fingerprint text, "startsAt" timestamptz, "incidentId" text, reasons jsonb, policy text, at timestamptz,
   "expiresAt" timestamptz)
on conflict (source, fingerprint, starts_at) do update set
  incident_id = excluded.incident_id, reasons = excluded.reasons, policy = excluded.policy, at = excluded.at,
  expires_at = excluded.expires_at, released_at = null`;

const upsertHeartbeats = `
insert into heartbeats (key, name, last_seen_at, within_ms, missing_since)
select key, name, "lastSeenAt", within, "missingSince"
from jsonb_to_recordset($1::jsonb) as n
  (key text, name text, "lastSeenAt" timestamptz, within bigint, "missingSince" timestamptz)
on conflict (key) do update set
  name = excluded.name, last_seen_at = excluded.last_seen_at, within_ms = excluded.within_ms,
  missing_since = excluded.missing_since`;

// What the engine no longer holds is filled in from the record. Said again, or the contrary of it, the row says so, and keeps
// what was shown when it was said first: the ranking as nobody's word had moved it yet. An incident that is gone takes none.
const insertFeedback = `
insert into feedback as f
  (key, incident_id, at, first_at, by, origin, kind, alert, alert_source, other, other_source, together, service, text,
   config_hash, models, ranking)
select n.key, n."incidentId", n.at, n.at, n.by, n.origin, n.kind, n.alert, coalesce(n."alertSource", a.source), n.other,
       coalesce(n."otherSource", b.source), coalesce(n.together, a.incident_id = case when n.other is null then i.id else b.incident_id end), n.service, n.text,
       coalesce(n."configHash", d.config_hash), coalesce(nullif(n.models, 'null'), d.doc -> 'models'),
       coalesce(nullif(n.ranking, 'null'), shown.ranking)
from jsonb_to_recordset($1::jsonb) as n
  (key text, "incidentId" text, at timestamptz, by text, origin text, kind text, alert text, "alertSource" text, other text,
   "otherSource" text, together boolean, service text, text text, "configHash" text, models jsonb, ranking jsonb)
join incidents i on i.id = n."incidentId"
left join lateral (select config_hash, doc from decisions where incident_id = i.id order by revision desc limit 1) d on true
left join lateral (
  select source, incident_id from alerts where fingerprint = n.alert and source = coalesce(n."alertSource", source)
  order by (incident_id = i.id) desc nulls last, starts_at desc limit 1) a on true
left join lateral (
  select source, incident_id from alerts where fingerprint = n.other and source = coalesce(n."otherSource", source)
  order by (incident_id = i.id) desc nulls last, starts_at desc limit 1) b on true
left join lateral (
  select jsonb_build_object(
           'withMetrics', coalesce(bool_or(cause @> '{"evidence": [{"kind": "metric"}]}'), false),
           'causes', coalesce(jsonb_agg(jsonb_build_object('service', cause -> 'service', 'namespace', cause -> 'namespace',
                                                           'probability', cause -> 'probability') order by place), '[]')
         ) as ranking
  from jsonb_array_elements(i.doc -> 'rootCauses') with ordinality as c (cause, place)
) shown on i.doc is not null
on conflict (key) do update set
  at = excluded.at, kind = excluded.kind, origin = excluded.origin, text = coalesce(excluded.text, f.text)`;

const refuseLostFeedback = `
update actions a set status = 410, incident_id = null,
       detail = 'This incident is gone: retention has removed it, and what is said of it can be judged by nobody.'
from jsonb_to_recordset($1::jsonb) as n ("actionId" text, "incidentId" text)
where a.id = n."actionId" and not exists (select from incidents i where i.id = n."incidentId")`;

// A pair is either together or apart: the newest word stays.
const dropContraryLinks = `
delete from links l using jsonb_to_recordset($1::jsonb) as n (kind text, a text, b text)
where l.a = n.a and l.b = n.b and l.kind <> n.kind`;

const upsertLinks = `
insert into links (kind, a, b, by, at, incident_id)
select kind, a, b, by, at, "incidentId"
from jsonb_to_recordset($1::jsonb) as n (kind text, a text, b text, by text, at timestamptz, "incidentId" text)
on conflict (kind, a, b) do update set by = excluded.by, at = excluded.at, incident_id = excluded.incident_id`;

const upsertSilences = `
insert into silences (id, incident_id, alerts, until, by, at, text)
select id, "incidentId", alerts, until, by, at, text
from jsonb_to_recordset($1::jsonb) as n
  (id text, "incidentId" text, alerts text[], until timestamptz, by text, at timestamptz, text text)
on conflict (id) do update set
  incident_id = excluded.incident_id, alerts = excluded.alerts, until = excluded.until, by = excluded.by, at = excluded.at,
  text = excluded.text`;

const upsertMemory = `
insert into correlation_memory (scope, key, doc)
select scope, key, doc from jsonb_to_recordset($1::jsonb) as n (scope text, key text, doc jsonb)
on conflict (scope, key) do update set doc = excluded.doc`;

const upsertActions = `
insert into actions (id, at, status, incident_id, detail)
select id, at, status, "incidentId", detail
from jsonb_to_recordset($1::jsonb) as n (id text, at timestamptz, status smallint, "incidentId" text, detail text)
on conflict (id) do update set at = excluded.at, status = excluded.status, incident_id = excluded.incident_id, detail = excluded.detail`;
