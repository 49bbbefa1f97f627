import type { ServiceMetric } from '../../domain/facts.ts';
import type { LeadMetrics } from '../../domain/metrics.ts';
import { unitOf } from '../../notify/unit.ts';
import { metricEvidence } from '../../score/causes/metric-evidence.ts';
import type { Subject } from '../gather.ts';
import { metricNames, range } from './ask.ts';
import type { Client, Failure } from './client.ts';
import { filled, metricsIn, quoted } from './expression.ts';
import type { JudgeSeries } from './lead.ts';
import { finite } from './trend.ts';

export type GoldenQuery = { name: string; query: string };
type Golden = LeadMetrics['goldenSignals'][number];

const MINUTE = 60_000;
const STEP_MS = MINUTE;
/** The hour before the onset is the usual that a reader is told of. */
const USUAL_MS = 60 * MINUTE;
/** The detector gets two hours: it judges nothing before 30 points, and by less than a hundred poorly. */
const BEFORE_MS = 120 * MINUTE;
/** With more points than these the step grows. */
const POINTS = 300;
/** Services asked about for one incident, one request each. */
const SERVICES = 4;
const SIGNAL = 'tocsin_signal';

/**
 * The golden signals of an incident's services: only those whose metrics the server has, all of one service in one
 * request, each judged by the anomaly detector when there is one. Gives what is shown of them and what root cause ranking
 * may use (that is a robust z-score, because its weights were fitted with it).
 */
export async function goldenSignals(
  client: Client,
  subject: Subject,
  queries: readonly GoldenQuery[],
  signal: AbortSignal,
  judge?: JudgeSeries,
): Promise<{ shown: Golden[]; metrics: ServiceMetric[]; failure: Failure | null }> {
  const none = { shown: [], metrics: [], failure: null };
  if (queries.length === 0 || subject.services.length === 0) return none;
  const names = await metricNames(client, subject.now, signal);
  // Without the list of metrics it cannot be known which queries make sense; a guess would cost a request each.
  if (names === null) return none;
  const usable = queries.filter(({ query }) => metricsIn(query).every((name) => names.has(name)));
  if (usable.length === 0) return none;
  const lead = subject.lead?.service;
  const services = [...subject.services].sort((a, b) => Number(b.service === lead) - Number(a.service === lead));
  const answers = await Promise.all(
    services.slice(0, SERVICES).map((one) => ask(client, subject, one, usable, signal, judge)),
  );
  return {
    shown: answers.flatMap(({ shown }) => shown),
    metrics: answers.flatMap(({ metrics }) => metrics),
    failure: answers.find(({ failure }) => failure !== null)?.failure ?? null,
  };
}

async function ask(
  client: Client,
  subject: Subject,
  { service, namespace }: Subject['services'][number],
  queries: readonly GoldenQuery[],
  signal: AbortSignal,
  judge: JudgeSeries | undefined,
): Promise<{ shown: Golden[]; metrics: ServiceMetric[]; failure: Failure | null }> {
  const parts = queries.flatMap(({ name, query }) => {
    const text = filled(query, { ...subject.lead?.labels, service, namespace });
    // Of several series only the worst is shown; the signal's name is put on it so that one request serves all.
    return text === null
      ? []
      : [`label_replace(max(${text}), "${SIGNAL}", ${quoted(name.replaceAll('$', '$$$$'))}, "", "")`];
  });
  if (parts.length === 0) return { shown: [], metrics: [], failure: null };
  const { now, startedAt } = subject;
  const got = await range(
    client,
    parts.join(' or '),
    {
      start: startedAt - BEFORE_MS,
      end: now,
      stepMs: Math.max(STEP_MS, Math.ceil((now - startedAt + BEFORE_MS) / POINTS / STEP_MS) * STEP_MS),
    },
    { now, signal, maxAgeMs: MINUTE / 2, weight: 'extra' },
  );
  if (!got.ok) return { shown: [], metrics: [], failure: got };
  const metrics: ServiceMetric[] = [];
  const judging: Promise<Golden>[] = [];
  for (const { metric, values } of got.value) {
    const name = metric[SIGNAL];
    const value = finite(values.findLast(([, v]) => Number.isFinite(v))?.[1] ?? Number.NaN);
    if (!name || value === null) continue;
    const points = values.flatMap(([at, v]) => (Number.isFinite(v) ? [{ at: at * 1000, value: v }] : []));
    const usual = points.filter(({ at }) => at < startedAt - 5 * MINUTE && at >= startedAt - USUAL_MS);
    usual.sort((a, b) => a.value - b.value);
    const before = usual.length > 0 ? finite(usual[usual.length >> 1]!.value) : null;
    const expression = queries.find((query) => query.name === name)?.query ?? name;
    const judged = judge?.({ expression, points, onsetAt: startedAt, extra: true, answer: values }, signal).catch(
      () => null,
    );
    judging.push(
      Promise.resolve(judged ?? null).then((anomaly) => ({
        service,
        name,
        value,
        before,
        unit: unitOf(expression),
        anomaly,
      })),
    );
    const labels = { __name__: name, service, ...(namespace === null ? {} : { namespace }) };
    const fact = metricEvidence({ metric: labels, values }, startedAt);
    if (fact) metrics.push(fact);
  }
  return { shown: await Promise.all(judging), metrics, failure: null };
}
