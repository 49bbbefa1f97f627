import type { AnomalyPoint } from '../anomaly/detector.ts';
import type { JudgeSeries } from './lead.ts';
import { finite } from './trend.ts';
import { inUnit, nameOf } from './words.ts';

/** Scores a series of [epoch ms, value], oldest first; null when it could not be. */
export type ScoreSeries = (
  series: readonly (readonly [number, number])[],
  signal: AbortSignal,
) => Promise<readonly AnomalyPoint[] | null>;

/** Looked for from so long before the onset: a rule's `for` and its averages come late. */
const BEFORE_MS = 5 * 60_000;
/** Where the onset is not known. */
const LAST_MS = 15 * 60_000;

/** The strongest anomaly of the alert's own series around its onset, by the causal detector. */
export const judgeBy =
  (score: ScoreSeries): JudgeSeries =>
  async ({ expression, points, onsetAt }, signal) => {
    const last = points.at(-1);
    if (!last) return null;
    const judged = await score(
      points.map(({ at, value }) => [at, value] as const),
      signal,
    );
    const from = onsetAt === null ? last.at - LAST_MS : onsetAt - BEFORE_MS;
    const around = (judged ?? []).filter(({ t, confidence }) => t >= from && confidence > 0);
    if (around.length === 0) return null;
    const worst = around.reduce((a, b) => (b.strength > a.strength ? b : a));
    const [low, high] = [finite(worst.low ?? Number.NaN), finite(worst.high ?? Number.NaN)];
    // Without a past there is nothing to be unusual against.
    if (low === null || high === null) return null;
    const { unit } = nameOf(expression);
    const usual = `${inUnit(low, unit)} to ${inUnit(high, unit)} is usual`;
    const what = worst.type?.replace('-', ' ') ?? 'within the usual';
    return {
      score: finite(worst.strength) ?? 0,
      type: worst.type,
      expected: { low, high },
      text: `${what}: ${inUnit(worst.value, unit)} where ${usual}`,
    };
  };
