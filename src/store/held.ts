import type pg from 'pg';
import type { Severity } from '../domain/severity.ts';
import type { HeldFacts } from '../score/doubt.ts';
import { timestamp } from './encode.ts';

type Db = Pick<pg.Pool, 'query'>;

/** An incident that policy held back at the first look, or in shadow mode would have. */
export type HeldIncident = HeldFacts & {
  id: string;
  number: number;
  title: string;
  team: string;
  /** Its lead alert's rule. */
  rule: string;
  /** Really held back; false: it was sent, and only would have been held back. */
  held: boolean;
  /** Messages that called somebody, on channels other than the log. */
  pages: number;
  /** The first policy that spoke for it. */
  policy: string;
  /** All of its reasons, in sentences. */
  because: string;
  /** The name of whoever ended it; null: it ended by itself, or lasts. */
  endedBy: string | null;
};

/** What people do to an incident, by the timeline's words; any of them means that somebody acted on it. */
export const DEEDS = [
  'acknowledged',
  'assigned',
  'snoozed',
  'silenced',
  'note',
  'escalated',
  'merged',
  'split',
  'resolved',
];

/**
 * Incidents that policy held back, or would have, from `from` to before `to` (epoch ms): those that began then or had an
 * alert held back then. What people silenced or snoozed themselves is not among them: that was no policy.
 */
export async function readHeld(db: Db, from: number, to: number): Promise<HeldIncident[]> {
  const { rows } = await db.query(held, [timestamp(from), timestamp(to), DEEDS]);
  return rows.map((row) => ({
    id: row.id,
    number: Number(row.number),
    title: row.title ?? '',
    team: row.team ?? '',
    rule: row.rule ?? '',
    severity: (row.severity ?? 'medium') as Severity,
    priority: row.priority,
    startedAt: row.started_at.getTime(),
    endedAt: row.resolved_at?.getTime() ?? null,
    endedBy: row.ended_by,
    actedOn: row.acted,
    released: row.released,
    said: { shouldHavePaged: row.should, real: row.real, noise: row.noise },
    actionability: row.actionability,
    ruleSince: row.rule_since?.getTime() ?? null,
    held: row.held,
    pages: row.pages,
    policy: row.policy ?? '',
    because: row.because ?? '',
  }));
}

const held = `
with candidates as materialized (
  select incident_id as id from suppressed where at >= $1 and at < $2
  union
  select id from incidents where started_at >= $1 and started_at < $2
)
select i.id, i.number, i.title, i.team, i.severity, i.priority::int as priority, i.started_at, i.resolved_at,
       i.doc #>> '{lead,alertname}' as rule, i.state ->> 'resolvedBy' as ended_by,
       d.done = 'suppress' as held, d.policy, d.because, d.actionability,
       coalesce(n.pages, 0)::int as pages, coalesce(t.released, false) as released,
       i.acknowledged_at is not null or i.state ->> 'resolvedBy' is not null or coalesce(t.deeds, 0) > 0 as acted,
       coalesce(f.should, 0)::int as should, coalesce(f.real, 0)::int as real, coalesce(f.noise, 0)::int as noise,
       (select min(a.starts_at) from alerts a where a.alertname = i.doc #>> '{lead,alertname}') as rule_since
from candidates c
join incidents i on i.id = c.id and i.merged_into is null
join lateral (
  -- the verdict of the first look: a later one may see no firing alert any more, which nothing holds back
  select doc ->> 'done' as done, doc #>> '{decision,verdict}' as verdict,
         coalesce(doc #>> '{decision,reasons,0,policy}', doc #>> '{decision,reasons,0,code}') as policy,
         (doc #>> '{decision,actionability}')::float8 as actionability,
         (select string_agg(r ->> 'text', '; ') from jsonb_array_elements(doc #> '{decision,reasons}') r) as because
  from decisions where incident_id = i.id order by revision limit 1
) d on d.verdict = 'suppress' and coalesce(d.policy, '') not in ('silence', 'snooze')
left join lateral (
  select count(*) filter (where kind in ('open', 'escalate') and state <> 'failed' and channel <> 'log') as pages
  from notifications where incident_id = i.id
) n on true
left join lateral (
  select count(*) filter (where by is not null and kind = any ($3)) as deeds, bool_or(kind = 'released') as released
  from timeline where incident_id = i.id
) t on true
left join lateral (
  select count(distinct by) filter (where kind = 'should-have-paged') as should,
         count(distinct by) filter (where kind = 'real') as real, count(distinct by) filter (where kind = 'noise') as noise
  from feedback where incident_id = i.id
) f on true
order by i.number`;
