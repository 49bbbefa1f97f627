import type pg from 'pg';
import type { Evidence, HandedEvidence, RuleEvidence, Said } from '../score/propose.ts';
import { timestamp } from './encode.ts';
import { DEEDS } from './held.ts';

type Db = Pick<pg.Pool, 'query'>;

/** What people said and did from `since` to before `until` (epoch ms), by rule and service, for proposals. */
export async function readEvidence(db: Db, since: number, until: number): Promise<Evidence> {
  const period = [timestamp(since), timestamp(until)];
  const [rules, handed] = [await db.query(ruleEvidence, [...period, DEEDS]), await db.query(handedEvidence, period)];
  return {
    rules: rules.rows.map(
      (row): RuleEvidence => ({
        rule: row.rule,
        service: row.service,
        labels: row.labels ?? {},
        incidents: row.incidents,
        paged: row.paged,
        actedOn: row.acted,
        wasCritical: row.critical,
        said: row.said as Said[],
      }),
    ),
    handed: handed.rows.map(
      (row): HandedEvidence => ({
        service: row.service,
        labels: row.labels ?? {},
        from: row.from_team,
        to: row.to_team,
        people: row.people,
        numbers: row.numbers.map(Number),
      }),
    ),
  };
}

// Labels first (there are few), then every incident of the rules they name. A label about one alert is its rule's, one about
// an incident its lead's.
const ruleEvidence = `
with said as materialized (
  select f.kind, f.by, i.number, i.id,
         coalesce(a.alertname, i.doc #>> '{lead,alertname}') as rule,
         coalesce(a.service, i.doc #>> '{lead,service}') as service
  from feedback f
  join incidents i on i.id = f.incident_id
  left join lateral (
    select alertname, service from alerts
    where fingerprint = f.alert and incident_id = i.id order by starts_at desc limit 1
  ) a on true
  where f.at >= $1 and f.at < $2 and f.kind in ('noise', 'real', 'should-have-paged')
), named as (
  select rule, service, jsonb_agg(jsonb_build_object('kind', kind, 'by', by, 'number', number) order by number, by, kind) as said
  from said where coalesce(rule, '') <> '' group by rule, service
), fates as (
  select n.rule, n.service, count(*)::int as incidents,
         count(*) filter (where exists (
           select from notifications m where m.incident_id = i.id and m.kind = 'open' and m.state <> 'failed'))::int as paged,
         count(*) filter (where not exists (select from said s where s.id = i.id and s.kind = 'noise')
           and (i.acknowledged_at is not null or i.state ->> 'resolvedBy' is not null or exists (
             select from timeline t where t.incident_id = i.id and t.by is not null and t.kind = any ($3))))::int as acted,
         bool_or(i.severity = 'critical') as critical,
         (array_agg(i.doc #> '{lead,labels}' order by i.number desc))[1] as labels
  from named n
  join incidents i on i.doc #>> '{lead,alertname}' = n.rule and i.doc #>> '{lead,service}' is not distinct from n.service
   and i.started_at >= $1 and i.started_at < $2 and i.merged_into is null
  group by n.rule, n.service
)
select n.rule, n.service, n.said, f.labels, coalesce(f.incidents, 0) as incidents, coalesce(f.paged, 0) as paged,
       coalesce(f.acted, 0) as acted, coalesce(f.critical, false) as critical
from named n left join fates f on f.rule = n.rule and f.service is not distinct from n.service
order by n.rule, n.service`;

// Of services whose incidents all went the same way: where people disagree there is nothing to propose.
const handedEvidence = `
with handed as (
  select i.number, i.doc #>> '{lead,service}' as service, i.doc #> '{lead,labels}' as labels,
         i.state #>> '{assignee,team}' as to_team, d.team as from_team, t.people
  from incidents i
  join lateral (
    select doc #>> '{routing,primaryTeam}' as team from decisions where incident_id = i.id order by revision limit 1
  ) d on true
  join lateral (
    select array_agg(distinct by) as people from timeline
    where incident_id = i.id and kind = 'assigned' and by is not null
  ) t on t.people is not null
  where i.started_at >= $1 and i.started_at < $2 and i.merged_into is null
    and i.state #>> '{assignee,team}' is not null and i.state #>> '{assignee,team}' <> d.team
    and i.doc #>> '{lead,service}' is not null
)
select service, min(to_team) as to_team, min(from_team) as from_team, array_agg(number order by number) as numbers,
       (select count(distinct p)::int from handed h, unnest(h.people) p where h.service = handed.service) as people,
       (array_agg(labels order by number desc))[1] as labels
from handed
group by service
having count(distinct to_team) = 1 and count(distinct from_team) = 1
order by service`;
