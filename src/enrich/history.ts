import type pg from 'pg';
import type { Facts } from '../domain/facts.ts';
import { ruleHistory, similarIncidents } from '../store/history.ts';
import type { FactSource, Subject } from './gather.ts';

const SHOWN = 3;
/** Two queries an incident; in a storm of unrelated alerts the database is needed for the alerts themselves. */
const IN_FLIGHT = 4;
const WAITING = 64;
/** The past changes slowly: one answer serves an incident's revisions for this long. */
const FRESH_MS = 5 * 60_000;
const REMEMBERED = 2_000;
const LEAST_SIMILAR = 0.5;

/** What happened before: similar incidents, how they ended, how long they took, and whether this is the first of its kind. */
export function createHistorySource(pool: pg.Pool): FactSource {
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

  async function look({ lead, incidentId, now }: Subject): Promise<Partial<Facts>> {
    if (!lead) return {};
    const query = { rule: lead.alertname, service: lead.service, before: now, incidentId };
    const similar = await similarIncidents(pool, { ...query, labels: lead.labels, limit: SHOWN });
    const past = await ruleHistory(pool, query);
    const basis = `${past.n} similar incident${past.n === 1 ? '' : 's'}`;
    return {
      similar: similar.filter((one) => one.similarity >= LEAST_SIMILAR),
      duration: past.durationSeconds ? { ...past.durationSeconds, basis } : null,
      firstEver: past.firstEver,
      lead: { history: { incidents: past.n, selfResolvedShare: past.selfResolvedShare, firstEver: past.firstEver } },
    };
  }

  return {
    name: 'history',
    async gather(subject, signal) {
      const key = `${subject.incidentId} ${subject.lead?.alertname} ${subject.lead?.service}`;
      const known = answers.get(key);
      if (known && subject.now - known.at < FRESH_MS) return known.facts;
      await turn();
      try {
        if (signal.aborted) return {};
        const facts = await look(subject);
        answers.set(key, { at: subject.now, facts });
        if (answers.size > REMEMBERED) answers.delete(answers.keys().next().value!);
        return facts;
      } finally {
        done();
      }
    },
  };
}
