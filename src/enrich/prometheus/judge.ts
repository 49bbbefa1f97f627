import type { LeadMetrics } from '../../domain/metrics.ts';
import { rfc } from '../../domain/time.ts';
import type { AnomalyPoint } from '../anomaly/detector.ts';
import type { JudgeSeries } from './lead.ts';
import { finite } from './trend.ts';
import { inUnit, nameOf } from './words.ts';

/** Scores a series of [epoch ms, value], oldest first, and gives its points from `since` on; null when it could not be. */
export type ScoreSeries = (
  series: readonly (readonly [number, number])[],
  how: { signal: AbortSignal; since: number; extra: boolean },
) => Promise<readonly AnomalyPoint[] | null>;

/** Looked for from so long before the onset: a rule's `for` and its averages come late. */
const BEFORE_MS = 5 * 60_000;
/** Where the onset is not known. */
const LAST_MS = 15 * 60_000;

/** From this strength on a point is an anomaly. */
const ANOMALOUS = 0.5;

/**
 * The strongest anomaly of a series around its onset, by the causal detector, and when it began. An incident is judged anew
 * every few seconds while it grows; the same answer of the server is scored once.
 */
export function judgeBy(score: ScoreSeries): JudgeSeries {
  const before = new WeakMap<object, { onsetAt: number | null; judged: LeadMetrics['anomaly'] }>();
  return async (series, signal) => {
    const { answer, onsetAt } = series;
    const known = answer && before.get(answer);
    if (known && known.onsetAt === onsetAt) return known.judged;
    const judged = await judgeWith(score, series, signal);
    if (judged && answer) before.set(answer, { onsetAt, judged });
    return judged;
  };
}

async function judgeWith(
  score: ScoreSeries,
  { expression, points, onsetAt, extra = false }: Parameters<JudgeSeries>[0],
  signal: AbortSignal,
): Promise<LeadMetrics['anomaly']> {
  const last = points.at(-1);
  if (!last) return null;
  const from = onsetAt === null ? last.at - LAST_MS : onsetAt - BEFORE_MS;
  const judged = await score(
    points.map(({ at, value }) => [at, value] as const),
    { signal, since: from, extra },
  );
  const around = (judged ?? []).filter(({ t, confidence }) => t >= from && confidence > 0);
  if (around.length === 0) return null;
  const worst = around.reduce((a, b) => (b.strength > a.strength ? b : a));
  const [low, high] = [finite(worst.low ?? Number.NaN), finite(worst.high ?? Number.NaN)];
  // Without a past there is nothing to be unusual against.
  if (low === null || high === null) return null;
  const { unit } = nameOf(expression);
  const usual = `${inUnit(low, unit)} to ${inUnit(high, unit)} is usual`;
  const began = around.find(({ strength }) => strength >= ANOMALOUS);
  const what = worst.type?.replace('-', ' ') ?? 'within the usual';
  return {
    score: finite(worst.strength) ?? 0,
    type: worst.type,
    expected: { low, high },
    onsetAt: began ? rfc(began.t) : null,
    text: `${what}: ${inUnit(worst.value, unit)} where ${usual}`,
  };
}
