import type { ServiceMetric } from '../../domain/facts.ts';

/** One series of one service around an incident: Prometheus's range result. Times in the values are Unix seconds. */
export type MetricSeries = { metric: Readonly<Record<string, string>>; values: readonly (readonly [number, number])[] };

/** What a series measures, by the words of its name; it decides which direction is bad. */
export type MetricKind = 'latency' | 'errors' | 'success' | 'saturation' | 'traffic' | 'other';

const kinds: readonly [MetricKind, RegExp][] = [
  ['success', /success|availab|healthy|ready|\bup\b/],
  ['errors', /error|fail|5xx|fault|exception|timeout|drop|reject/],
  ['latency', /latency|duration|response_time|seconds(?!_total)|_ms\b|delay/],
  ['saturation', /cpu|memory|mem_|disk|usage|utili[sz]ation|throttl|saturat|queue|filesystem|connections|oom/],
  ['traffic', /request|rps|qps|throughput|traffic|_rate\b|bytes|packets/],
];

export const metricKind = (name: string): MetricKind => {
  const text = name.toLowerCase();
  return kinds.find(([, words]) => words.test(text))?.[0] ?? 'other';
};

/** The usual range is learned from this much history, which ends before the onset by `gapMs` or two samples. */
const historyMs = 45 * 60_000;
const gapMs = 5 * 60_000;
/** Looked at after the onset: this long or two samples, at most ten minutes; what comes later is the next story. */
const afterMs = 5 * 60_000;
const longestAfterMs = 10 * 60_000;
const fewest = 4;

/** The spread is never believed to be smaller than this share of the median: flat series are not infinitely surprising. */
const relativeFloor: Record<MetricKind, number> = {
  latency: 0.1,
  errors: 0.1,
  success: 0.01,
  saturation: 0.1,
  traffic: 0.3,
  other: 0.3,
};

/**
 * How far a series left its usual range around `onset` (epoch ms), as a robust z-score: the distance from the median in
 * units of 1.4826 · MAD (Iglewicz & Hoaglin 1993) or of the upper decile, whichever spread is larger, over the 45 minutes
 * that end 5 minutes (or two samples) before the onset. `score` is 1 − e^(−(z − 3) / 6) above z = 3, else 0; only the bad
 * direction counts (a latency that falls is no anomaly). Null when the series names no service, when it is the caller's
 * view of what it calls (`client` metrics: they accuse the callee), with fewer than four points before, or none around
 * the onset.
 */
export function metricEvidence(series: MetricSeries, onset: number): ServiceMetric | null {
  const service = series.metric.destination_service ?? series.metric.service;
  const name = series.metric.__name__ ?? 'series';
  if (!service || /client/i.test(name)) return null;
  const step = stepOf(series);
  const gap = Math.max(gapMs, 2 * step);
  const end = onset + Math.min(longestAfterMs, Math.max(afterMs, 2 * step));
  const before: number[] = [];
  const around: { at: number; value: number }[] = [];
  for (const [seconds, value] of series.values) {
    const at = seconds * 1000;
    if (!Number.isFinite(value) || at < onset - historyMs || at > end) continue;
    if (at < onset - gap) before.push(value);
    else around.push({ at, value });
  }
  if (before.length < fewest || around.length === 0) return null;
  const kind = metricKind(name);
  const sign = kind === 'success' ? -1 : 1;
  const either = kind === 'traffic' || kind === 'other';
  const middle = quantile(before, 0.5);
  const away = before.map((x) => (either ? Math.abs(x - middle) : sign * (x - middle)));
  const mad =
    quantile(
      before.map((x) => Math.abs(x - middle)),
      0.5,
    ) * 1.4826;
  const scale = Math.max(mad, quantile(away, 0.9) / 1.28, Math.abs(middle) * relativeFloor[kind], 1e-9);
  let worst = { z: 0, value: middle };
  let onsetAt: number | null = null;
  for (const { at, value } of around) {
    const z = (either ? Math.abs(value - middle) : sign * (value - middle)) / scale;
    if (z > worst.z) worst = { z, value };
    if (z > 3 && onsetAt === null) onsetAt = at;
  }
  const score = worst.z > 3 ? 1 - Math.exp(-(worst.z - 3) / 6) : 0;
  return {
    service,
    namespace: series.metric.namespace ?? null,
    metric: name,
    score: Math.round(score * 1000) / 1000,
    type: kind,
    onsetAt,
    deviation: Math.round(Math.min(worst.z, 1e6) * 10) / 10,
    from: middle,
    to: worst.value,
    text: `${name} of ${service} went from ${short(middle)} to ${short(worst.value)}, ${short(worst.z)} times its usual spread`,
  };
}

/** Time between samples, ms: the median of the first gaps. */
function stepOf({ values }: MetricSeries): number {
  const gaps: number[] = [];
  for (let i = 1; i < Math.min(values.length, 12); i += 1) gaps.push((values[i]![0] - values[i - 1]![0]) * 1000);
  return gaps.length > 0 ? Math.min(quantile(gaps, 0.5), 600_000) : 0;
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low]! + (at - low) * ((sorted[low + 1] ?? sorted[low]!) - sorted[low]!);
}

const short = (x: number): string => String(Number(x.toPrecision(3)));
