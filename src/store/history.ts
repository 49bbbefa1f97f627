import type pg from 'pg';
import type { SimilarIncident } from '../domain/incident.ts';
import { timestamp } from './encode.ts';

type Db = Pick<pg.Pool, 'query'>;

/** What is asked about: an alert's rule (`alertname`), service and labels, as it was before `before` (epoch ms). */
export type HistoryQuery = {
  rule: string;
  service: string | null;
  labels: Readonly<Record<string, string>>;
  before: number;
  limit: number;
  /** The incident that asks, which is not its own past. */
  incidentId?: string;
};

/** Enough to find the nearest few; each costs one index probe, so the answer takes milliseconds on years of history. */
const CANDIDATES = 200;
/** Labels that name a single run of something say nothing about likeness. */
const EPHEMERAL =
  /^(alertname|severity|pod|pod_template_hash|container_id|id|uid|instance_id|replica|prometheus|endpoint)$/;

/**
 * Past incidents like this one, most alike first: those that held the same rule on the same service, then those that held
 * the same service. `similarity` (0..1): 0.5 for the rule, 0.3 for the service, 0.2 times the Jaccard index of the lead
 * alerts' labels without those that name a single run (pod, uid and the like).
 */
export async function similarIncidents(db: Db, query: HistoryQuery): Promise<SimilarIncident[]> {
  const { rows } = await db.query(candidates, [
    query.rule,
    query.service,
    timestamp(query.before),
    query.incidentId ?? '',
    CANDIDATES,
  ]);
  const labels = pairs(query.labels);
  return rows
    .map((row): SimilarIncident => {
      const score =
        (row.same_rule ? 0.5 : 0) + (row.same_service ? 0.3 : 0) + 0.2 * jaccard(labels, pairs(row.labels ?? {}));
      return {
        id: row.id,
        number: row.number,
        title: row.title ?? `Incident ${row.number}`,
        startedAt: row.started_at.toISOString(),
        durationSeconds: row.resolved_at ? Math.round((row.resolved_at - row.started_at) / 1_000) : null,
        similarity: Math.round(score * 1_000) / 1_000,
        endedBy: row.ended_by,
      };
    })
    .sort((a, b) => b.similarity - a.similarity || b.startedAt.localeCompare(a.startedAt) || b.number - a.number)
    .slice(0, query.limit);
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
select i.id, i.number, i.title, i.started_at, i.resolved_at, i.state ->> 'resolvedBy' as ended_by,
       i.doc #> '{lead,labels}' as labels, f.same_rule, f.same_service or i.services @> array[$2] as same_service
from (select id, bool_or(rule) as same_rule, bool_or(service) as same_service from found group by id) f
join incidents i on i.id = f.id
where i.id <> $4 and i.merged_into is null and i.started_at < $3 and i.doc is not null
order by i.started_at desc`;

export type RuleHistory = {
  /** No episode of this rule, on any service, began before. */
  firstEver: boolean;
  /** Resolved incidents of this rule and service that the figures below rest on, the latest 200 at most. */
  n: number;
  /** Share of them (0..1) that ended without anybody acknowledging or resolving; null when n is 0. */
  selfResolvedShare: number | null;
  /** How long they took, seconds; nearest-rank percentiles; null when n is 0. */
  durationSeconds: { p50: number; p90: number } | null;
};

/** How this rule behaved on this service so far. */
export async function ruleHistory(
  db: Db,
  query: Pick<HistoryQuery, 'rule' | 'service' | 'before' | 'incidentId'>,
): Promise<RuleHistory> {
  const { rows } = await db.query(past, [
    query.rule,
    query.service,
    timestamp(query.before),
    query.incidentId ?? '',
    CANDIDATES,
  ]);
  const {
    first_ever: firstEver,
    seconds,
    alone,
  } = rows[0] as { first_ever: boolean; seconds: number[]; alone: number };
  const sorted = [...seconds].sort((a, b) => a - b);
  const n = sorted.length;
  const rank = (p: number) => sorted[Math.max(0, Math.ceil(p * n) - 1)]!;
  return {
    firstEver,
    n,
    selfResolvedShare: n === 0 ? null : alone / n,
    durationSeconds: n === 0 ? null : { p50: rank(0.5), p90: rank(0.9) },
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
  select round(extract(epoch from i.resolved_at - i.started_at))::float8 as seconds,
         i.acknowledged_at is null and i.state ->> 'resolvedBy' is null as alone
  from episodes e join incidents i on i.id = e.incident_id
  where i.status = 'resolved' and i.merged_into is null and i.resolved_at >= i.started_at
  order by i.resolved_at desc limit $5
)
select not exists (
         select from alerts
         where alertname = $1 and starts_at < $3 and (incident_id is null or incident_id <> $4)) as first_ever,
       coalesce((select array_agg(seconds) from ended), '{}') as seconds,
       (select count(*) from ended where alone) as alone`;

const pairs = (labels: Readonly<Record<string, string>>): Set<string> =>
  new Set(
    Object.entries(labels)
      .filter(([name]) => !EPHEMERAL.test(name))
      .map(([name, value]) => `${name}\0${value}`),
  );

function jaccard(a: Set<string>, b: Set<string>): number {
  const shared = [...a].filter((pair) => b.has(pair)).length;
  const all = a.size + b.size - shared;
  return all === 0 ? 0 : shared / all;
}
