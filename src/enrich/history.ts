import type pg from 'pg';
import type { Facts } from '../domain/facts.ts';
import type { SimilarIncident } from '../domain/incident.ts';
import { type Described, likenessKey, percentile, similarity } from '../score/similar.ts';
import {
  type Ending,
  endings,
  type HistoryQuery,
  type PastIncident,
  pastIncidents,
  type RuleHistory,
  ruleHistory,
} from '../store/history.ts';
import type { FactSource, Subject } from './gather.ts';

const SHOWN = 3;
/** Two or three queries an incident; in a storm of unrelated alerts the database is needed for the alerts themselves. */
const IN_FLIGHT = 4;
const WAITING = 64;
/** The past changes slowly: one answer serves an incident's revisions for this long. */
const FRESH_MS = 5 * 60_000;
const REMEMBERED = 2_000;
const LEAST_SIMILAR = 0.5;

/** Where the past is looked up: the store, or in a replay the run itself. */
export type Past = {
  incidents(query: HistoryQuery): Promise<PastIncident[]>;
  rule(query: HistoryQuery): Promise<RuleHistory>;
  endings(ids: readonly string[]): Promise<Map<string, Ending>>;
  /** What was found before of how like each kind is to what has this key; a past without kinds has none. */
  scores?(key: string): Map<object, number>;
};

/** What happened before: similar incidents, how they ended, how long they took, and whether this is the first of its kind. */
export function createHistorySource(pool: pg.Pool): FactSource {
  const past: Past = {
    incidents: (query) => pastIncidents(pool, query),
    rule: (query) => ruleHistory(pool, query),
    endings: (ids) => endings(pool, ids),
  };
  const answers = new Map<string, { at: number; facts: Partial<Facts> }>();
  const queue: (() => void)[] = [];
  let running = 0;

  async function turn(): Promise<void> {
    if (running < IN_FLIGHT) {
      running += 1;
      return;
    }
    if (queue.length >= WAITING) throw new Error('too many incidents at once to look up the past of each');
    await new Promise<void>((resolve) => queue.push(resolve));
  }
  function done(): void {
    const next = queue.shift();
    if (next) next();
    else running -= 1;
  }

  return {
    name: 'history',
    async gather(subject, signal) {
      const { incidentId, lead, suspect = null } = subject;
      const key = `${incidentId} ${lead?.alertname} ${lead?.service} ${suspect}`;
      const known = answers.get(key);
      if (known && subject.now - known.at < FRESH_MS) return known.facts;
      await turn();
      try {
        if (signal.aborted) return {};
        const facts = await lookBack(past, subject);
        answers.set(key, { at: subject.now, facts });
        if (answers.size > REMEMBERED) answers.delete(answers.keys().next().value!);
        return facts;
      } finally {
        done();
      }
    },
  };
}

/** The facts of history about one incident, wherever the past is kept. */
export async function lookBack(past: Past, subject: Subject): Promise<Partial<Facts>> {
  const { lead, incidentId, now, suspect = null } = subject;
  if (!lead) return {};
  const query = { rule: lead.alertname, service: lead.service, before: now, incidentId };
  const described = {
    labels: lead.labels,
    text: `${lead.alertname} ${lead.annotations.summary ?? ''}`,
    suspect,
  };
  const incidents = await past.incidents(query);
  const scores = past.scores?.(likenessKey(described)) ?? new Map<object, number>();
  const scoreOf = (one: PastIncident): number => {
    const kind = one.kind ?? one;
    const known = scores.get(kind);
    if (known !== undefined) return known;
    const score = similarity(described, describe(one), sharedWith(one));
    scores.set(kind, score);
    return score;
  };
  const near = incidents
    .map((one) => ({ one, score: scoreOf(one) }))
    .filter(({ score }) => score >= LEAST_SIMILAR)
    .sort((a, b) => b.score - a.score || b.one.startedAt - a.one.startedAt || b.one.number - a.one.number)
    .slice(0, SHOWN);
  const ended = await past.endings(near.map(({ one }) => one.id));
  const rule = await past.rule(query);
  const { seconds, alone, changes, firstEver } = rule;
  const n = seconds.length;
  const duration = n === 0 ? null : { p50: percentile(seconds, 0.5), p90: percentile(seconds, 0.9) };
  return {
    similar: near.map(({ one, score }) => shown(one, score, ended.get(one.id))),
    duration: duration && { ...duration, basis: `${n} similar incident${n === 1 ? '' : 's'}` },
    spread: spreadOf(incidents, lead.service),
    firstEver,
    lead: {
      history: {
        incidents: n,
        selfResolvedShare: n === 0 ? null : Math.round((alone / n) * 1_000) / 1_000,
        durationSeconds: duration,
        firstEver,
        changesLastHour: changes.hour,
        changesLastDay: changes.day,
        changesPerDay: Math.round((changes.week / 7) * 10) / 10,
      },
    },
  };
}

/** With which other services incidents of this rule on this service had alerts, and in how many of them. */
function spreadOf(incidents: readonly PastIncident[], service: string | null): Facts['spread'] {
  const alike = incidents.filter((one) => one.sameRule && one.sameService === true);
  if (alike.length === 0) return null;
  const counts = new Map<string, number>();
  for (const one of alike)
    for (const name of new Set(one.services)) if (name !== service) counts.set(name, (counts.get(name) ?? 0) + 1);
  return { incidents: alike.length, services: Object.fromEntries(counts) };
}

/** What likeness looks at of a past incident. */
export const describe = (one: Pick<PastIncident, 'labels' | 'title' | 'summary' | 'suspect'>): Described => ({
  labels: one.labels,
  text: `${one.labels.alertname ?? one.title} ${one.summary ?? ''}`,
  suspect: one.suspect,
});
const sharedWith = (one: PastIncident) => ({ rule: one.sameRule, service: one.sameService });

function shown(one: PastIncident, score: number, ending: Ending | undefined): SimilarIncident {
  return {
    id: one.id,
    number: one.number,
    title: one.title,
    startedAt: new Date(one.startedAt).toISOString(),
    durationSeconds: one.resolvedAt === null ? null : Math.round((one.resolvedAt - one.startedAt) / 1_000),
    similarity: score,
    endedBy: one.resolvedBy,
    suspect: one.suspect,
    ended: endedIn(one, ending),
    remedy: remedyOf(one, ending),
  };
}

/** What somebody did shortly before it was over, as something to do again; null when it ended by itself or nobody said. */
function remedyOf({ resolvedAt }: PastIncident, ending: Ending | undefined): string | null {
  if (resolvedAt === null || !ending) return null;
  const { deploy, note } = ending;
  if (deploy?.rollback) return `Roll back ${deploy.service}${deploy.version ? ` to ${deploy.version}` : ''}`;
  if (deploy) return `Deploy a fix to ${deploy.service}${deploy.version ? `, as ${deploy.version} was` : ''}`;
  return note === null ? null : `Do as then: ${note.slice(0, 200)}`;
}

/** What ended it, in words; null while it runs. What came last before the end is named, not claimed as the cause. */
function endedIn({ resolvedAt, resolvedBy }: PastIncident, ending: Ending | undefined): string | null {
  if (resolvedAt === null) return null;
  const parts = [resolvedBy === null ? 'it resolved by itself' : `resolved by ${resolvedBy}`];
  if (ending?.deploy) {
    const { service, version, rollback, at } = ending.deploy;
    const minutes = Math.round((resolvedAt - at) / 60_000);
    const what = rollback ? `a rollback of ${service}` : `a deploy of ${service}`;
    parts.push(`${minutes} min after ${what}${version ? ` to ${version}` : ''}`);
  }
  if (ending?.note) parts.push(`last note: ${ending.note.slice(0, 200)}`);
  return parts.join(', ');
}
