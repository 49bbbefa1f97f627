import type { Rolling } from './rolling.ts';

/** p-values are not believed below 10⁻³⁰: the tail model is a fit, not knowledge. */
const evidenceLimit = 30;

/**
 * How surprising `value` is to the rolling past, as −log₁₀ of the probability to see one at least as large (0..30).
 * Up to the share `tailShare` of largest past values that is their rank; beyond, an exponential tail fitted to those that
 * exceed it (peaks over threshold: Siffer et al., "Anomaly Detection in Streams with Extreme Value Theory", KDD 2017,
 * with shape 0, because with some 40 excesses a fitted shape made scores jump). A past that already had spikes has a long
 * tail, so one more of them is little news. The tail is taken to be at least `minWidth` wide. 0 with fewer than `minPoints`
 * past values.
 */
export function tailEvidence(
  past: Rolling,
  value: number,
  tailShare: number,
  minPoints: number,
  minWidth = 1e-12,
): number {
  const n = past.size();
  if (n < minPoints) return 0;
  const excesses = Math.max(4, Math.round(n * tailShare));
  const from = past.sorted(n - 1 - excesses);
  if (value <= from) return -Math.log10((n - past.countBelow(value) + 0.5) / (n + 1));
  let sum = 0;
  for (let i = n - excesses; i < n; i += 1) sum += past.sorted(i) - from;
  // A tail of equal values has no width of its own: a twentieth of the quartile distance or a thousandth of the value.
  const width = Math.max(
    sum / excesses,
    0.05 * (past.quantile(0.75) - past.quantile(0.25)),
    1e-3 * Math.abs(from),
    minWidth,
  );
  const log = -Math.log((excesses + 0.5) / (n + 1)) + (value - from) / width;
  return Math.min(evidenceLimit, log / Math.LN10);
}

/**
 * Evidence of several dependent looks at one point, as −log₁₀ of their harmonic mean p (Wilson, "The harmonic mean
 * p-value for combining dependent tests", PNAS 2019): one loud witness among eight loses a factor of eight, not all.
 */
export function combine(evidence: readonly number[]): number {
  if (evidence.length === 0) return 0;
  let sum = 0;
  for (const one of evidence) sum += 10 ** one;
  return Math.max(0, Math.log10(sum / evidence.length));
}
