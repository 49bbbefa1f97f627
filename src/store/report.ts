import type pg from 'pg';
import { timestamp } from './encode.ts';
import { DEEDS, type HeldIncident, readHeld } from './held.ts';
import { transaction } from './pool.ts';

/** What happened to the alerts that came in within a period; shares are left to whoever shows it. */
export type ReportRows = {
  deliveries: number;
  /** The oldest delivery kept, epoch ms: before it nothing can be counted. Null when none is. */
  deliveriesSince: number | null;
  quarantined: number;
  alerts: { alerts: number; firings: number; changes: number; notified: number; grouped: number; suppressed: number };
  incidents: {
    incidents: number;
    /** Incidents of which anybody was told. */
    paged: number;
    /** Messages that called somebody: first ones and escalations, on channels other than the log. */
    pages: number;
    actedOn: number;
    pagedAndActedOn: number;
    pagedAndEndedAlone: number;
    heldBack: number;
    heldBackButReal: number;
    undelivered: number;
    splitByHand: number;
    mergedByHand: number;
  };
  feedback: Record<string, number>;
  rules: RuleRow[];
  teams: { team: string; incidents: number; paged: number; pages: number; actedOn: number }[];
  /** What policy held back, or in shadow mode would have, in the order of their numbers. */
  held: HeldIncident[];
};

export type RuleRow = {
  rule: string;
  alerts: number;
  firings: number;
  incidents: number;
  paged: number;
  actedOn: number;
  /** Ended incidents, and those of them that nobody touched. */
  ended: number;
  endedAlone: number;
  /** Median time an alert of the rule fired, seconds; null when none has ended. */
  medianSeconds: number | null;
  /** Hours in which one alert of it changed state more than four times. */
  flappingHours: number;
  /** The most state changes of one alert within one hour. */
  worstHour: number;
};

/** Rules that are looked at closely; what lies behind the noisiest 200 is no noise. */
const RULES = 200;

/**
 * Counts what came in from `from` to before `to` (epoch ms): alerts by their arrival, and the incidents they are in or that
 * began then. One pass over the alerts of the period into a table of this transaction, from which the rest is counted.
 */
export function readReport(pool: pg.Pool, from: number, to: number): Promise<ReportRows> {
  return transaction(pool, async (client) => {
    const period = [timestamp(from), timestamp(to)];
    // What is grouped here fits into memory; with the default 4 MB it went through the disk and took five times as long.
    await client.query("set local work_mem = '64MB'");
    await client.query(
      `create temp table report_alerts on commit drop as
       select source, fingerprint, alertname, incident_id, status, starts_at, ends_at, fire_verdict, resolve_verdict
       from alerts where received_at >= '${period[0]}' and received_at < '${period[1]}'`,
    );
    await client.query('analyze report_alerts');
    await client.query(reportIncidents(period as [string, string]));
    await client.query('analyze report_incidents');
    const one = async (sql: string, values: unknown[] = []) => (await client.query(sql, values)).rows[0];
    const many = async (sql: string, values: unknown[] = []) => (await client.query(sql, values)).rows;

    const deliveries = await one(
      `select count(*)::int as n, (select min(received_at) from deliveries) as since
       from deliveries where received_at >= $1 and received_at < $2 and kind in ('alertmanager', 'alerts')`,
      period,
    );
    const { n: quarantined } = await one(
      'select count(*)::int as n from quarantine where at >= $1 and at < $2',
      period,
    );
    const alerts = await one(alertCounts);
    const incidents = await one(incidentCounts);
    const feedback = await many(
      `select f.kind, count(*)::int as n from feedback f join report_incidents i on i.id = f.incident_id group by 1 order by 1`,
    );
    return {
      deliveries: deliveries.n,
      deliveriesSince: deliveries.since?.getTime() ?? null,
      quarantined,
      alerts,
      incidents,
      feedback: Object.fromEntries(feedback.map((row) => [row.kind, row.n])),
      rules: await many(rules, [RULES]),
      teams: await many(
        `select coalesce(team, '') as team, count(*)::int as incidents, count(*) filter (where told)::int as paged,
                coalesce(sum(pages), 0)::int as pages, count(*) filter (where acted)::int as "actedOn"
         from report_incidents group by 1 order by 3 desc, 2 desc, 1`,
      ),
      held: await readHeld(client, from, to),
    };
  });
}

// The newest state of each incident, who was told, what people did, and what the policy said at the first look: a later one
// may see no firing alert any more, which nothing holds back. (A statement that makes a table takes no parameters.)
const reportIncidents = ([from, to]: [string, string]): string => `
create temp table report_incidents on commit drop as
select i.id, i.number, i.title, i.severity, i.team, i.started_at, i.status = 'resolved' as ended,
       coalesce(n.pages, 0) as pages, coalesce(n.told, false) as told, coalesce(n.undelivered, 0) as undelivered,
       i.acknowledged_at is not null or i.state ->> 'resolvedBy' is not null or coalesce(t.deeds, 0) > 0 as acted,
       coalesce(t.split, 0) as split, coalesce(t.merged, 0) as merged,
       d.done = 'suppress' and not coalesce(n.told, false) as held,
       exists (
         select from feedback f where f.incident_id = i.id and f.kind in ('real', 'should-have-paged')) as said_real
from (
  select distinct incident_id as id from report_alerts where incident_id is not null
  union select id from incidents where started_at >= '${from}' and started_at < '${to}'
) touched
join incidents i on i.id = touched.id
left join lateral (
  select count(*) filter (where kind in ('open', 'escalate') and state <> 'failed' and channel <> 'log') as pages,
         bool_or(kind = 'open' and state <> 'failed') as told, count(*) filter (where state = 'failed') as undelivered
  from notifications where incident_id = i.id
) n on true
left join lateral (
  select count(*) filter (where kind in (${DEEDS.map((kind) => `'${kind}'`).join(', ')})) as deeds,
         count(*) filter (where kind = 'split' and data ? 'from') as split,
         count(*) filter (where kind = 'merged' and data ? 'from') as merged
  from timeline where incident_id = i.id and by is not null
) t on true
left join lateral (
  select doc #>> '{decision,verdict}' as verdict, doc ->> 'done' as done,
         coalesce(doc #>> '{decision,reasons,0,policy}', doc #>> '{decision,reasons,0,code}') as policy
  from decisions where incident_id = i.id order by revision limit 1
) d on true
where i.merged_into is null`;

const alertCounts = `
select (select count(*)::int from (select from report_alerts group by source, fingerprint) one) as alerts,
       count(*)::int as firings,
       (count(*) + count(*) filter (where status = 'resolved'))::int as changes,
       (count(*) filter (where fire_verdict = 'notify') + count(*) filter (where resolve_verdict = 'notify'))::int as notified,
       (count(*) filter (where fire_verdict = 'group') + count(*) filter (where resolve_verdict = 'group'))::int as grouped,
       (count(*) filter (where fire_verdict = 'suppress') + count(*) filter (where resolve_verdict = 'suppress'))::int as suppressed
from report_alerts`;

const incidentCounts = `
select count(*)::int as incidents, count(*) filter (where told)::int as paged, coalesce(sum(pages), 0)::int as pages,
       count(*) filter (where acted)::int as "actedOn", count(*) filter (where told and acted)::int as "pagedAndActedOn",
       count(*) filter (where told and ended and not acted)::int as "pagedAndEndedAlone",
       count(*) filter (where held)::int as "heldBack",
       count(*) filter (where held and (acted or said_real))::int as "heldBackButReal",
       coalesce(sum(undelivered), 0)::int as undelivered, coalesce(sum(split), 0)::int as "splitByHand",
       coalesce(sum(merged), 0)::int as "mergedByHand"
from report_incidents`;

// First to one row per rule, alert and hour, so that what is counted apart afterwards is a tenth.
const rules = `
with hourly as (
  select alertname, source, fingerprint, date_trunc('hour', starts_at) as hour,
         count(*) + count(*) filter (where status = 'resolved') as changes, count(*) as firings
  from report_alerts group by 1, 2, 3, 4
), per_alert as (
  select alertname, sum(firings) as firings, count(*) filter (where changes > 4) as flapping_hours, max(changes) as worst_hour
  from hourly group by alertname, source, fingerprint
), noisy as (
  select alertname, sum(firings)::int as firings, count(*)::int as alerts,
         sum(flapping_hours)::int as flapping_hours, max(worst_hour)::int as worst_hour
  from per_alert group by 1 order by 2 desc, 1 limit $1
), pairs as (
  select distinct alertname, incident_id from report_alerts where incident_id is not null
), fates as (
  select p.alertname, count(*)::int as incidents, count(*) filter (where i.told)::int as paged,
         count(*) filter (where i.acted)::int as acted, count(*) filter (where i.ended)::int as ended,
         count(*) filter (where i.ended and not i.acted)::int as alone
  from pairs p join report_incidents i on i.id = p.incident_id group by 1
), lasted as (
  select alertname, percentile_disc(0.5) within group (order by extract(epoch from ends_at - starts_at)::float8) as median
  from report_alerts where status = 'resolved' and ends_at >= starts_at group by 1
)
select n.alertname as rule, n.alerts, n.firings, coalesce(f.incidents, 0) as incidents, coalesce(f.paged, 0) as paged,
       coalesce(f.acted, 0) as "actedOn", coalesce(f.ended, 0) as ended, coalesce(f.alone, 0) as "endedAlone",
       round(l.median)::float8 as "medianSeconds", n.flapping_hours as "flappingHours", n.worst_hour as "worstHour"
from noisy n left join fates f using (alertname) left join lasted l using (alertname)
order by n.firings desc, n.alertname`;
