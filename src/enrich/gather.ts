import type { Alert } from '../domain/alert.ts';
import { type Facts, noFacts } from '../domain/facts.ts';

/** What the sources are asked about: one incident at one revision. Times are epoch ms. */
export type Subject = {
  incidentId: string;
  revision: number;
  startedAt: number;
  now: number;
  /** The alert the message will speak of, so far. */
  lead: Alert | null;
  services: { service: string; namespace: string | null }[];
  /** Firing alerts, worst first, at most `SUBJECT_ALERTS`. */
  alerts: Alert[];
  /** The service suspected so far; absent before the first assessment, null when nothing clear was found. */
  suspect?: string | null;
};

/**
 * One place facts come from. `gather` gives what it has; it should stop when `signal` aborts. An error or a late answer costs
 * only its own facts and is named in `degraded`; a source that is not configured is not in the list at all.
 */
export type FactSource = { name: string; gather(subject: Subject, signal: AbortSignal): Promise<Partial<Facts>> };

/** What a source answers late is still good for the next assessment. */
export type Late = (source: string, facts: Partial<Facts>) => void;

function combine(facts: Facts, part: Partial<Facts>): void {
  facts.deploys.push(...(part.deploys ?? []));
  facts.similar.push(...(part.similar ?? []));
  facts.serviceMetrics.push(...(part.serviceMetrics ?? []));
  facts.degraded.push(...(part.degraded ?? []));
  facts.duration = part.duration ?? facts.duration;
  facts.spread = part.spread ?? facts.spread;
  Object.assign(facts.users, part.users);
  Object.assign(facts.burn, part.burn);
  facts.firstEver = part.firstEver ?? facts.firstEver;
  Object.assign(facts.lead, part.lead ?? {});
}

/** What one source gives, however long it takes: for a replay without servers, where nobody waits. */
export async function gatherFrom(source: FactSource, subject: Subject): Promise<Facts> {
  const facts = noFacts();
  combine(facts, await source.gather(subject, never));
  return facts;
}
const never = new AbortController().signal;

/**
 * Asks every source at once and gives what came within `deadlineMs`. Never rejects and never takes longer: a page does not
 * wait. Whatever arrives afterwards goes to `late`.
 */
export async function gather(
  sources: readonly FactSource[],
  subject: Subject,
  deadlineMs: number,
  late?: Late,
): Promise<Facts> {
  const facts = noFacts();
  if (sources.length === 0) return facts;
  const abort = new AbortController();
  const parts = new Map<string, Partial<Facts>>();
  let closed = false;
  const asked = sources.map(async (source) => {
    try {
      const part = await source.gather(subject, abort.signal);
      if (closed) late?.(source.name, part);
      else parts.set(source.name, part);
    } catch (error) {
      if (closed) return;
      parts.set(source.name, {
        degraded: [{ stage: source.name, reason: error instanceof Error ? error.message : String(error) }],
      });
    }
  });
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>((done) => {
    timer = setTimeout(done, deadlineMs);
  });
  await Promise.race([Promise.all(asked), deadline]);
  clearTimeout(timer);
  closed = true;
  // In the order of the list, not of arrival: the same answers give the same facts.
  for (const source of sources) {
    const part = parts.get(source.name);
    if (part) combine(facts, part);
    else facts.degraded.push({ stage: source.name, reason: `no answer within ${deadlineMs} ms` });
  }
  return facts;
}
