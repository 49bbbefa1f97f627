import { z } from 'zod';
import type { Answer, Failure } from './client.ts';

/** Label name → value. */
export type SeriesLabels = Readonly<Record<string, string>>;
/** Unix seconds and value, which may be NaN or infinite. */
export type Sample = readonly [number, number];
export type VectorSeries = { metric: SeriesLabels; sample: Sample };
export type MatrixSeries = { metric: SeriesLabels; values: Sample[] };

type Read<T> = { ok: true; value: T; at: number } | Failure;

const Pair = z.tuple([z.number(), z.string()]);
const Scalar = z.object({ resultType: z.literal('scalar'), result: Pair });

/**
 * The series of a vector or matrix with whatever they hold; null for what is none. Looked at by hand: a schema took 27 to
 * 68 ms of the event loop for the 12,000 series that an answer may have, this takes 3 to 15.
 */
function seriesIn(data: unknown, resultType: 'vector' | 'matrix'): { metric: SeriesLabels; one: unknown }[] | null {
  if (!isRecord(data) || data.resultType !== resultType || !Array.isArray(data.result)) return null;
  const series: { metric: SeriesLabels; one: unknown }[] = [];
  for (const found of data.result) {
    if (!isRecord(found)) return null;
    const { metric = {}, value, values } = found;
    if (!isLabels(metric)) return null;
    series.push({ metric, one: resultType === 'vector' ? value : values });
  }
  return series;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function isLabels(value: unknown): value is SeriesLabels {
  if (!isRecord(value)) return false;
  for (const name in value) if (typeof value[name] !== 'string') return false;
  return true;
}

/** Prometheus writes numbers as text: `NaN`, `+Inf`, `1e-05`. Anything else is no number. */
export function numberOf(text: unknown): number | null {
  if (typeof text !== 'string' || text === '') return null;
  if (text === 'NaN') return Number.NaN;
  if (text === '+Inf' || text === 'Inf') return Number.POSITIVE_INFINITY;
  if (text === '-Inf') return Number.NEGATIVE_INFINITY;
  const value = Number(text);
  return Number.isNaN(value) ? null : value;
}

/** A stand-in may write plain numbers; a native histogram has no single value and is left out. */
function sampleOf(pair: unknown): Sample | null {
  if (!Array.isArray(pair) || typeof pair[0] !== 'number') return null;
  if (typeof pair[1] === 'number') return pair as unknown as Sample;
  const value = numberOf(pair[1]);
  if (value === null) return null;
  // In place: 70,000 new pairs cost more than all the rest, and an answer is read once.
  pair[1] = value;
  return pair as unknown as Sample;
}

/**
 * An answer shared by many alerts is read once: reading 100 series of 240 points took 10 ms, and 1,000 alerts of ten rules
 * stopped the event loop for 10 s.
 */
function once<T>(read: (answer: Answer) => Read<T>): (answer: Answer) => Read<T> {
  const known = new WeakMap<object, Read<T>>();
  return (answer) => {
    if (!answer.ok || typeof answer.data !== 'object' || answer.data === null) return read(answer);
    const found = known.get(answer.data) ?? read(answer);
    known.set(answer.data, found);
    return found;
  };
}

const not = (what: string): Failure => ({ ok: false, kind: 'unusable', reason: `its answer is no ${what}` });

/** An instant vector; a scalar counts as one series without labels. */
export const vectorOf = once<VectorSeries[]>((answer) => {
  if (!answer.ok) return answer;
  const scalar = Scalar.safeParse(answer.data);
  if (scalar.success) {
    const sample = sampleOf(scalar.data.result);
    return { ok: true, value: sample ? [{ metric: {}, sample }] : [], at: answer.at };
  }
  const series = seriesIn(answer.data, 'vector');
  if (!series) return not('vector');
  const value: VectorSeries[] = [];
  for (const { metric, one } of series) {
    const sample = sampleOf(one);
    if (sample) value.push({ metric, sample });
  }
  return { ok: true, value, at: answer.at };
});

/** A matrix: range results, or what a range selector gives. */
export const matrixOf = once<MatrixSeries[]>((answer) => {
  if (!answer.ok) return answer;
  const series = seriesIn(answer.data, 'matrix');
  if (!series) return not('matrix');
  const value: MatrixSeries[] = [];
  for (const { metric, one } of series) {
    const values: Sample[] = [];
    for (const pair of Array.isArray(one) ? one : []) {
      const sample = sampleOf(pair);
      if (sample) values.push(sample);
    }
    value.push({ metric, values });
  }
  return { ok: true, value, at: answer.at };
});

/** Lists of label sets (`/api/v1/series`) or of texts (`/api/v1/label/…/values`). */
export const labelSetsOf = once<SeriesLabels[]>((answer) => {
  if (!answer.ok) return answer;
  const { data } = answer;
  const sets = Array.isArray(data) && data.every(isLabels) ? data : null;
  return sets ? { ok: true, value: sets, at: answer.at } : not('list of series');
});

export const textsOf = once<string[]>((answer) => {
  if (!answer.ok) return answer;
  const { data } = answer;
  const texts = Array.isArray(data) && data.every((text) => typeof text === 'string') ? data : null;
  return texts ? { ok: true, value: texts, at: answer.at } : not('list of texts');
});

const RuleGroups = z.object({
  groups: z.array(
    z.looseObject({
      rules: z.array(
        z.looseObject({
          type: z.string().optional(),
          name: z.string().default(''),
          query: z.string().default(''),
          duration: z.number().default(0),
          labels: z.record(z.string(), z.string()).nullish(),
        }),
      ),
    }),
  ),
});

/** One alerting rule; `forMs` is its `for`. */
export type AlertRule = { name: string; query: string; forMs: number; labels: SeriesLabels };

/** `/api/v1/rules?type=alert`, as Prometheus, Thanos, Mimir and vmalert answer it; recording rules are left out. */
export const alertRulesOf = once<AlertRule[]>((answer) => {
  if (!answer.ok) return answer;
  const parsed = RuleGroups.safeParse(answer.data);
  if (!parsed.success) return not('list of rules');
  const value = parsed.data.groups.flatMap(({ rules }) =>
    rules
      .filter((rule) => rule.type === undefined || rule.type === 'alerting')
      .map(({ name, query, duration, labels }) => ({ name, query, forMs: duration * 1000, labels: labels ?? {} })),
  );
  return { ok: true, value, at: answer.at };
});

/** `2.42.0` → [2, 42]; null for what says no version. Mimir and VictoriaMetrics say their own or a made-up one. */
export function versionOf(answer: Answer): readonly [number, number] | null {
  if (!answer.ok) return null;
  const { version, application } = (answer.data ?? {}) as { version?: unknown; application?: unknown };
  const match = typeof version === 'string' ? /^v?(\d{1,4})\.(\d{1,4})\./.exec(version) : null;
  if (!match || (typeof application === 'string' && !/^prometheus$/i.test(application))) return null;
  return [Number(match[1]), Number(match[2])];
}

/** `/api/v1/targets`: why a target cannot be scraped, by `job instance`. */
export function targetErrorsOf(answer: Answer): Map<string, string> {
  const errors = new Map<string, string>();
  const active = answer.ok ? (answer.data as { activeTargets?: unknown } | null)?.activeTargets : null;
  for (const target of Array.isArray(active) ? active : []) {
    const { labels, lastError } = (target ?? {}) as { labels?: Record<string, unknown>; lastError?: unknown };
    if (typeof lastError === 'string' && lastError !== '' && labels)
      errors.set(`${String(labels.job)}\n${String(labels.instance)}`, lastError.slice(0, 300));
  }
  return errors;
}
