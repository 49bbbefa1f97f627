import type { Pool } from 'pg';
import type { IncidentState, MemoryRecord } from '../domain/effects.ts';
import type { Incident } from '../domain/incident.ts';

/**
 * What the API reads of incidents and their history. Lists are paged by key, never by offset: a page costs the same
 * wherever it lies, and rows that arrive meanwhile neither repeat nor hide others. `position` is the last row's key; its
 * times are text with microseconds, because a JavaScript date would round them and skip rows.
 */

export type Db = Pick<Pool, 'query'>;

/** A time as the driver gives it; `iso` in the API's views takes all of them. */
export type DbTime = Date | string | number;

export type Paging = { limit: number; after: string[] | null };
export type Page<Row> = { rows: Row[]; next: string[] | null };

/** The page out of limit + 1 rows: the surplus row only says that there is more. */
export function pageOf<Row extends { position: string[] }>(rows: Row[], limit: number): Page<Row> {
  const shown = rows.slice(0, limit);
  return { rows: shown, next: rows.length > limit ? (shown.at(-1)?.position ?? null) : null };
}

/** The alert that stands for an incident which has not been assessed yet. */
type LeadRow = {
  fingerprint: string;
  alertname: string;
  service: string | null;
  severity: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
};

export type IncidentRow = {
  id: string;
  number: string | number;
  status: 'open' | 'acknowledged' | 'resolved';
  severity: string | null;
  priority: number | null;
  team: string | null;
  title: string | null;
  services: string[];
  started_at: DbTime;
  updated_at: DbTime;
  acknowledged_at: DbTime | null;
  resolved_at: DbTime | null;
  merged_into: string | null;
  revision: number;
  state: IncidentState;
  doc: Incident | null;
  alert_count: string | number;
  firing_count: string | number;
  alert_services: string[] | null;
  lead: LeadRow | null;
  position: string[];
};

export type IncidentFilter = {
  status: string[] | null;
  service: string[] | null;
  team: string[] | null;
  severity: string[] | null;
  since: string | null;
  until: string | null;
};

// The counts are taken from the alerts themselves, so that they are never older than the answer. An alert that flapped
// has many episodes and counts once. Lead and services are looked up only where no assessment has named them yet.
const incidentColumns = `
  page.id, page.number, page.status, page.severity, page.priority, page.team, page.title, page.services,
  page.started_at, page.updated_at, page.acknowledged_at, page.resolved_at, page.merged_into, page.revision,
  page.state, page.doc, counts.alert_count, counts.firing_count, counts.alert_services, to_jsonb(lead) as lead,
  array[to_char(page.started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), page.id] as position`;

const incidentFacts = `
  cross join lateral (
    select count(*) as alert_count,
           count(*) filter (where firing) as firing_count,
           case when page.doc is null then array_agg(distinct service) filter (where service is not null) end as alert_services
      from (
        select bool_or(a.status = 'firing') as firing, min(a.service) as service
          from alerts a
         where a.incident_id = page.id
         group by a.source, a.fingerprint
      ) per_alert
  ) counts
  left join lateral (
    select a.fingerprint, a.alertname, a.service, a.severity, a.labels, a.annotations
      from alerts a
     where page.doc is null and a.incident_id = page.id
     order by (a.status = 'firing') desc,
              array_position(array['critical', 'high', 'medium', 'low', 'info'], a.severity),
              a.starts_at, a.source, a.fingerprint
     limit 1
  ) lead on true`;

/**
 * Incidents, newest start first. An incident whose first assessment is under way has neither severity nor services in
 * its row; its alerts speak for it, so that `severity=critical` never misses the newest one.
 */
export async function listIncidents(db: Db, filter: IncidentFilter, paging: Paging): Promise<Page<IncidentRow>> {
  // The page is cut first (materialized): counting alerts for every row before the sort took 40 times as long.
  const { rows } = await db.query<IncidentRow>(
    `with page as materialized (
       select i.*
         from incidents i
        where i.tenant <> 'tocsin-canary'
          and ($1::text[] is null or i.status = any ($1))
          and ($2::text[] is null or i.services && $2
               or (i.doc is null and (i.state #>> '{declared,service}' = any ($2) or exists (
                     select from alerts a where a.incident_id = i.id and a.service = any ($2)))))
          and ($3::text[] is null or i.team = any ($3)
               or (i.doc is null and i.state #>> '{declared,team}' = any ($3)))
          and ($4::text[] is null or i.severity = any ($4)
               or (i.severity is null and coalesce(i.state #>> '{declared,severity}', (
                     select a.severity
                       from alerts a
                      where a.incident_id = i.id
                      order by (a.status = 'firing') desc,
                               array_position(array['critical', 'high', 'medium', 'low', 'info'], a.severity)
                      limit 1)) = any ($4)))
          and ($5::timestamptz is null or i.started_at >= $5)
          and ($6::timestamptz is null or i.started_at < $6)
          and ($7::timestamptz is null or (i.started_at, i.id) < ($7, $8))
        order by i.started_at desc, i.id desc
        limit $9
     )
     select ${incidentColumns}
       from page ${incidentFacts}
      order by page.started_at desc, page.id desc`,
    [
      filter.status,
      filter.service,
      filter.team,
      filter.severity,
      filter.since,
      filter.until,
      paging.after?.[0] ?? null,
      paging.after?.[1] ?? null,
      paging.limit + 1,
    ],
  );
  return pageOf(rows, paging.limit);
}

/** One incident by its id, or by its number when no id is spelt so; null when there is none. */
export async function findIncident(db: Db, idOrNumber: string): Promise<IncidentRow | null> {
  const { rows } = await db.query<IncidentRow>(
    `with page as materialized (
       select i.*
         from incidents i
        where i.id = $1 or i.number = $2::bigint
        order by (i.id = $1) desc
        limit 1
     )
     select ${incidentColumns}
       from page ${incidentFacts}`,
    [idOrNumber, numberOf(idOrNumber)],
  );
  return rows[0] ?? null;
}

/** The id that an id or number stands for; null when there is no such incident. Cheaper than the whole of it. */
export async function findIncidentId(db: Db, idOrNumber: string): Promise<string | null> {
  const { rows } = await db.query<{ id: string }>(
    `select i.id
       from incidents i
      where i.id = $1 or i.number = $2::bigint
      order by (i.id = $1) desc
      limit 1`,
    [idOrNumber, numberOf(idOrNumber)],
  );
  return rows[0]?.id ?? null;
}

/** Whether there was such an incident: retention has reached beyond its number, or what people said of it is still there. */
export async function wasIncident(db: Db, idOrNumber: string): Promise<boolean> {
  const { rows } = await db.query<{ was: boolean }>(
    `select coalesce($2::bigint between 1 and (select min(number) - 1 from incidents), false)
            or exists (select from feedback f where f.incident_id = $1) as was`,
    [idOrNumber, numberOf(idOrNumber)],
  );
  return rows[0]?.was ?? false;
}

const numberOf = (text: string): string | null => (/^[0-9]{1,15}$/.test(text) ? text : null);

export type TimelineRow = {
  at: DbTime;
  kind: string;
  text: string;
  by: string | null;
  data: Record<string, unknown>;
  position: string[];
};

/** An incident's history, oldest first. */
export async function listTimeline(db: Db, incidentId: string, paging: Paging): Promise<Page<TimelineRow>> {
  const { rows } = await db.query<TimelineRow>(
    `select t.at, t.kind, t.text, t.by, t.data, array[t.id::text] as position
       from timeline t
      where t.incident_id = $1
        and ($2::bigint is null or t.id > $2)
      order by t.id
      limit $3`,
    [incidentId, paging.after?.[0] ?? null, paging.limit + 1],
  );
  return pageOf(rows, paging.limit);
}

export type DecisionRow = { revision: number; at: DbTime; config_hash: string; doc: Record<string, unknown> };

/** The newest assessment's record: inputs, weights and outcome. */
export async function newestDecision(db: Db, incidentId: string): Promise<DecisionRow | null> {
  const { rows } = await db.query<DecisionRow>(
    `select d.revision, d.at, d.config_hash, d.doc
       from decisions d
      where d.incident_id = $1
      order by d.revision desc
      limit 1`,
    [incidentId],
  );
  return rows[0] ?? null;
}

/**
 * The assessment that settled what reached the incident at `at` (epoch ms), or without a time the newest that judged something
 * firing: what explains why somebody was told or not. The newest record where none fits.
 */
export async function decidingDecision(db: Db, incidentId: string, at: number | null): Promise<DecisionRow | null> {
  const { rows } = await db.query<DecisionRow>(
    at === null
      ? `select d.revision, d.at, d.config_hash, d.doc
           from (select * from decisions where incident_id = $1 order by revision desc limit 20) d
          order by ((d.doc #>> '{weights,decide,alertsTotal}') <> '0') desc nulls last, d.revision desc
          limit 1`
      : `select d.revision, d.at, d.config_hash, d.doc
           from decisions d
          where d.incident_id = $1
          order by (d.at >= $2::timestamptz) desc, case when d.at >= $2::timestamptz then d.revision else -d.revision end
          limit 1`,
    at === null ? [incidentId] : [incidentId, new Date(at).toISOString()],
  );
  return rows[0] ?? null;
}

/** What became of a person's action; null while it is not applied. */
export async function findAction(
  db: Db,
  id: string,
): Promise<{ status: number; incidentId: string | null; detail: string } | null> {
  const { rows } = await db.query<{ status: number; incident_id: string | null; detail: string }>(
    'select a.status, a.incident_id, a.detail from actions a where a.id = $1',
    [id],
  );
  const row = rows[0];
  return row ? { status: row.status, incidentId: row.incident_id, detail: row.detail } : null;
}

/** Whether an action with this id is stored and waits to be applied (its delivery carries the id as trace). */
export async function isActionWaiting(db: Db, id: string): Promise<boolean> {
  // The inbox is small or empty; only its own rows are looked at, never the 30 days of deliveries.
  const { rows } = await db.query(
    `select 1
       from inbox i
       join deliveries d on d.id = i.delivery_id
      where d.kind = 'action' and d.trace = $1
      limit 1`,
    [id],
  );
  return rows.length > 0;
}

/** Proves that the store answers and that the schema is there; throws what the driver says otherwise. */
export async function pingStore(db: Db): Promise<void> {
  await db.query('select 1 from actions limit 1');
}

/** What the correlator has learned, so that a distance shown is the distance used. */
export async function readCorrelationMemory(db: Db): Promise<MemoryRecord[]> {
  const { rows } = await db.query<MemoryRecord>('select m.scope, m.key, m.doc from correlation_memory m');
  return rows;
}
