import type { Alert } from '../../domain/alert.ts';
import type { LeadMetrics } from '../../domain/metrics.ts';
import { type SeriesLabels, targetErrorsOf } from './answers.ts';
import { instant } from './ask.ts';
import type { Client, Failure } from './client.ts';

type Down = LeadMetrics['targetsDown'];

const SHOWN = 3;

/**
 * The alert's targets that cannot be scraped, and why. `up == 0` is asked once for everybody: one request in a storm, not one
 * an alert. Only Prometheus itself knows the last error; where there is no such endpoint it stays null.
 */
export async function targetsDown(
  client: Client,
  alert: Alert,
  { now, signal }: { now: number; signal: AbortSignal },
): Promise<{ down: Down; failure: Failure | null }> {
  const found = await instant(client, 'up == 0', { now, signal, maxAgeMs: 15_000, weight: 'extra' });
  if (!found.ok) return { down: [], failure: found.kind === 'unanswered' ? found : null };
  const own = found.value.filter(({ metric }) => isTargetOf(metric, alert.labels)).slice(0, SHOWN);
  const down: Down = [];
  for (const { metric } of own) {
    const { job = '', instance = '' } = metric;
    down.push({ job, instance, lastError: await lastError(client, job, instance, { now, signal }) });
  }
  return { down, failure: null };
}

/** An alert names its target by instance or pod; one about a service means all of the service's targets. */
function isTargetOf(target: SeriesLabels, alert: Readonly<Record<string, string>>): boolean {
  const shared = ['instance', 'pod', 'service', 'job'].find(
    (name) => alert[name] !== undefined && target[name] !== undefined,
  );
  if (!shared || !target.instance) return false;
  return ['instance', 'pod', 'service', 'job', 'namespace', 'cluster'].every(
    (name) => alert[name] === undefined || target[name] === undefined || alert[name] === target[name],
  );
}

async function lastError(
  client: Client,
  job: string,
  instance: string,
  { now, signal }: { now: number; signal: AbortSignal },
): Promise<string | null> {
  const params: [string, string][] = [
    ['state', 'active'],
    // From 2.42 on; servers that do not know it answer with all, up to the limit of what we take.
    ['scrapePool', job],
  ];
  const answer = await client.ask({ path: '/api/v1/targets', params, now, maxAgeMs: 30_000, weight: 'extra' }, signal);
  return targetErrorsOf(answer).get(`${job}\n${instance}`) ?? null;
}
