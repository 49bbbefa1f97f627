import type pg from 'pg';
import { timestamp } from './encode.ts';

type Db = Pick<pg.Pool, 'query'>;

/** What is asked about: an alert's rule (`alertname`) and service, as they were before `before` (epoch ms). */
export type HistoryQuery = {
  rule: string;
  service: string | null;
  before: number;
  /** The incident that asks, which is not its own past. */
  incidentId?: string;
};

/** An incident of the past that shares rule or service with the one that asks. Times are epoch ms. */
export type PastIncident = {
  /** The same object for all that are told apart by nothing likeness looks at, where the past knows that; else absent. */
  kind?: object;
  id: string;
  number: number;
  title: string;
  summary: string | null;
  labels: Record<string, string>;
  /** Services that had an alert in it. */
  services: string[];
  /** Its likeliest cause, unless nothing clear was found. */
  suspect: string | null;
  startedAt: number;
  resolvedAt: number | null;
  resolvedBy: string | null;
  sameRule: boolean;
  /** Null when the one that asks has no service. */
  sameService: boolean | null;
};

/** Enough to find the nearest few. Each costs an index probe and a document: 300 took 55 ms from disk, 3 × 100 take 20. */
const CANDIDATES = 100;
/** Incidents that durations rest on. */
const ENDED = 200;

/** The latest incidents that held the same rule, here or elsewhere, or the same service, newest first. */
export async function pastIncidents(db: Db, query: HistoryQuery): Promise<PastIncident[]> {
  const { rows } = await db.query(candidates, [
    query.rule,
    query.service,
    timestamp(query.before),
    query.incidentId ?? '',
    CANDIDATES,
  ]);
  return rows.map((row) => ({
    id: row.id,
    number: Number(row.number),
    title: row.title ?? `Incident ${row.number}`,
    summary: row.summary,
    labels: row.labels ?? {},
    services: row.services,
    suspect: row.suspect,
    startedAt: row.started_at.getTime(),
    resolvedAt: row.resolved_at?.getTime() ?? null,
    resolvedBy: row.ended_by,
    sameRule: row.same_rule,
    sameService: query.service === null ? null : row.same_service,
  }));
}

// Three roads, each along an index and each limited: the rule on this service, the rule anywhere, this service anyhow.
const candidates = `
with same_both as (
  select incident_id, starts_at from alerts
  where alertname = $1 and service = $2 and starts_at < $3 and incident_id is not null
  order by starts_at desc limit $5
), same_rule as (
  select incident_id, starts_at from alerts
  where alertname = $1 and starts_at < $3 and incident_id is not null
  order by starts_at desc limit $5
), same_service as (
  select id from incidents where $2::text is not null and services @> array[$2] and started_at < $3
  order by started_at desc limit $5
), found as (
  select incident_id as id, true as rule, true as service from same_both
  union all select incident_id, true, false from same_rule
  union all select id, false, true from same_service
)
select i.id, i.number, i.title, i.services, i.started_at, i.resolved_at, i.state ->> 'resolvedBy' as ended_by,
       i.doc #> '{lead,labels}' as labels, i.doc #>> '{lead,summary}' as summary,
       case when i.doc #>> '{rootCauses,0,confidence}' <> 'low' then i.doc #>> '{rootCauses,0,service}' end as suspect,
       f.same_rule, coalesce(f.same_service or i.services @> array[$2], false) as same_service
from (select id, bool_or(rule) as same_rule, bool_or(service) as same_service from found group by id) f
join incidents i on i.id = f.id
where i.id <> $4 and i.merged_into is null and i.started_at < $3 and i.doc is not null
order by i.started_at desc, i.number desc`;

/** What is on record about how an incident ended: the last note, and the last change of one of its services while it ran. */
export type Ending = {
  note: string | null;
  deploy: { service: string; version: string | null; rollback: boolean; at: number } | null;
};

/** How these incidents ended, by id; for the few that are shown. */
export async function endings(db: Db, ids: readonly string[]): Promise<Map<string, Ending>> {
  if (ids.length === 0) return new Map();
  const { rows } = await db.query(
    `select i.id, note.text as note, deploy.service, deploy.version, deploy.rollback, deploy.started_at
     from incidents i
     left join lateral (
       select t.text from timeline t
       where t.incident_id = i.id and t.kind = 'note' and t.by is not null
       order by t.id desc limit 1
     ) note on true
     left join lateral (
       select d.service, d.version, d.rollback, d.started_at from deploys d
       where d.service = any (i.services) and d.started_at > i.started_at and d.started_at <= i.resolved_at
       order by d.started_at desc limit 1
     ) deploy on true
     where i.id = any ($1)`,
    [ids],
  );
  return new Map(
    rows.map((row) => {
      const { service, version, rollback } = row;
      const deploy = service === null ? null : { service, version, rollback, at: row.started_at.getTime() };
      return [row.id, { note: row.note, deploy }];
    }),
  );
}

export type RuleHistory = {
  /** No episode of this rule, on any service, began before. */
  firstEver: boolean;
  /** How long the resolved incidents of this rule and service took, seconds, shortest first; the latest 200 at most. */
  seconds: number[];
  /** How many of them ended without anybody acknowledging or resolving. */
  alone: number;
  /** Firings and ends of the rule on this service within the last hour, day and 7 days; the latest 2,000 firings count. */
  changes: { hour: number; day: number; week: number };
};

/** How this rule behaved on this service (any service when null) before `before`. */
export async function ruleHistory(db: Db, query: HistoryQuery): Promise<RuleHistory> {
  const { rows } = await db.query(past, [
    query.rule,
    query.service,
    timestamp(query.before),
    query.incidentId ?? '',
    ENDED,
  ]);
  const { first_ever, seconds, alone, hour, day, week } = rows[0];
  return {
    firstEver: first_ever,
    seconds: seconds.sort((a: number, b: number) => a - b),
    alone: Number(alone),
    changes: { hour: Number(hour), day: Number(day), week: Number(week) },
  };
}

const past = `
with episodes as (
  select distinct incident_id from (
    select incident_id from alerts
    where alertname = $1 and ($2::text is null or service = $2) and starts_at < $3 and incident_id is not null and incident_id <> $4
    order by starts_at desc limit 1000
  ) recent
), ended as (
  select i.seconds, i.alone
  from episodes e cross join lateral (
    -- limit 1 makes it a probe by key for each: joined freely, all incidents were read (130 ms of 100,000)
    select round(extract(epoch from resolved_at - started_at))::float8 as seconds, resolved_at,
           acknowledged_at is null and state ->> 'resolvedBy' is null as alone
    from incidents
    where id = e.incident_id and status = 'resolved' and merged_into is null and resolved_at >= started_at
    limit 1
  ) i
  order by i.resolved_at desc limit $5
), changed as (
  select starts_at, status from alerts
  where alertname = $1 and ($2::text is null or service = $2) and starts_at <= $3 and starts_at > $3::timestamptz - interval '7 days'
  order by starts_at desc limit 2000
), counted as (
  select count(*) filter (where starts_at > $3::timestamptz - interval '1 hour')
           + count(*) filter (where status = 'resolved' and starts_at > $3::timestamptz - interval '1 hour') as hour,
         count(*) filter (where starts_at > $3::timestamptz - interval '1 day')
           + count(*) filter (where status = 'resolved' and starts_at > $3::timestamptz - interval '1 day') as day,
         count(*) + count(*) filter (where status = 'resolved') as week
  from changed
)
select not exists (
         select from alerts
         where alertname = $1 and starts_at < $3 and (incident_id is null or incident_id <> $4)) as first_ever,
       coalesce((select array_agg(seconds) from ended), '{}') as seconds,
       (select count(*) from ended where alone) as alone,
       counted.hour, counted.day, counted.week
from counted`;
