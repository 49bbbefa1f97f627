import type { ServiceMetric } from '../../domain/facts.ts';
import type { CausesInput } from '../causes.ts';
import type { MetricKind } from './metric-evidence.ts';
import type { Reach } from './reach.ts';
import type { Candidate } from './signals.ts';

type Family = 'latency' | 'errors' | 'saturation';

/** One family of a service's metrics outside its usual range. */
export type Anomaly = {
  family: Family;
  metric: string;
  /** 0..1: how clear it is. */
  strength: number;
  /** Size to compare services by: bits (doublings) of a latency, points of a percentage, 0..100. */
  size: number;
  /** Rise in the metric's own unit (seconds, points): what a callee adds to its caller at most. */
  rise: number;
  onsetAt: number | null;
  text: string;
};

const familyOf: Partial<Record<MetricKind, Family>> = {
  latency: 'latency',
  errors: 'errors',
  success: 'errors',
  saturation: 'saturation',
};

/** Doublings beyond which a latency could not be clearer, and points of a percentage. */
const clearBits = 3;
const clearPoints = 30;
/** A callee that rose by less than this share of its caller's rise did not bring that about. */
const explains = 0.2;

/** Takes in what the metrics of the services around say; of each family of a service its clearest anomaly counts. */
export function addMetrics(
  input: CausesInput,
  near: (service: string, namespace: string | null) => Candidate | null,
): void {
  for (const metric of input.serviceMetrics) {
    // Traffic follows the trouble, up or down; it does not say where it is.
    if (metric.score <= 0) continue;
    const anomaly = anomalyOf(metric);
    if (!anomaly) continue;
    const candidate = near(metric.service, metric.namespace);
    if (!candidate) continue;
    const at = candidate.anomalies.findIndex((a) => a.metric === anomaly.metric);
    if (at < 0) candidate.anomalies.push(anomaly);
    else if (anomaly.size > candidate.anomalies[at]!.size) candidate.anomalies[at] = anomaly;
  }
}

function anomalyOf(metric: ServiceMetric): Anomaly | null {
  const family = familyOf[metric.type as MetricKind];
  if (!family) return null;
  const { from, to, text, onsetAt } = metric;
  // A source that gives no values: the deviation has to do.
  if (from === undefined || to === undefined) {
    return {
      family,
      metric: metric.metric,
      strength: metric.score,
      size: Math.log2(1 + (metric.deviation ?? 1)),
      rise: 0,
      onsetAt,
      text,
    };
  }
  const rise = Math.abs(to - from);
  if (family === 'latency') {
    const bits = from > 0 ? Math.log2(Math.max(1, to / from)) : clearBits;
    return {
      family,
      metric: metric.metric,
      strength: metric.score * Math.min(1, bits / clearBits),
      size: bits,
      rise,
      onsetAt,
      text,
    };
  }
  const percent = Math.abs(from) <= 1 && Math.abs(to) <= 1 ? 100 : 1;
  if (family === 'saturation' && !/percent|pct|ratio|utili[sz]ation/i.test(metric.metric)) {
    const bits = from > 0 ? Math.log2(Math.max(1, to / from)) : clearBits;
    return {
      family,
      metric: metric.metric,
      strength: metric.score * Math.min(1, bits / clearBits),
      size: 30 * bits,
      rise,
      onsetAt,
      text,
    };
  }
  const points = rise * percent;
  return {
    family,
    metric: metric.metric,
    strength: metric.score * Math.min(1, points / clearPoints),
    size: points,
    rise: points,
    onsetAt,
    text,
  };
}

/** How the anomalies of the candidates compare: which is largest in its family, and which no callee explains. */
export function metricSignals(all: readonly Candidate[], reach: Reach): void {
  for (const family of ['latency', 'errors', 'saturation'] as const) {
    const having = all
      .map((candidate) => ({ candidate, own: candidate.anomalies.filter((a) => a.family === family) }))
      .filter(({ own }) => own.length > 0)
      .map((it) => ({ ...it, down: reach.down(it.candidate.service, it.candidate.namespace) }));
    const largest = having.reduce((max, { own }) => Math.max(max, largestOf(own).size), 0);
    if (largest <= 0) continue;
    for (const { candidate: c, own, down } of having) {
      const a = largestOf(own);
      let enough = 1;
      let explained = 0;
      if (family !== 'saturation') {
        for (const { candidate: o, own: others, down: reached } of having) {
          if (o === c) continue;
          if (reached.has(c.service)) enough = Math.min(enough, share(own, others));
          else if (down.has(o.service))
            explained = Math.max(explained, share(others, own) * Math.min(1, largestOf(others).strength / 0.3));
        }
      }
      const value = a.strength * enough * (1 - explained) * (a.size / largest);
      const { signals } = c;
      signals.silent = Math.min(signals.silent, 1 - a.strength * enough);
      if (family === 'latency') signals.metricLatency = value;
      if (family === 'errors') signals.metricErrors = value;
      if (family === 'saturation') signals.metricSaturation = a.strength;
      else
        signals.metricDeepest = Math.max(
          signals.metricDeepest,
          Math.min(1, a.strength / 0.3) * enough * (1 - explained),
        );
    }
  }
}

const largestOf = (list: readonly Anomaly[]): Anomaly => list.reduce((a, b) => (b.size > a.size ? b : a));

/**
 * How far the rise of a callee may account for its caller's, 0..1: fully when it is at least a fifth of it (a callee is asked
 * more than once). The same metric of both is compared where there is one; an average beside a percentile says little.
 */
function share(callee: readonly Anomaly[], caller: readonly Anomaly[]): number {
  let best = 0;
  let compared = false;
  for (const a of callee) {
    const b = caller.find((x) => x.metric === a.metric);
    if (!b) continue;
    compared = true;
    best = Math.max(best, b.rise > 0 ? Math.min(1, a.rise / (explains * b.rise)) : 1);
  }
  if (compared) return best;
  const [a, b] = [largestOf(callee), largestOf(caller)];
  return b.rise > 0 ? Math.min(1, a.rise / (explains * b.rise)) : 1;
}
