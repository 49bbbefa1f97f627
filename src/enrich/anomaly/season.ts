import { medianOf } from './looks.ts';
import type { Rolling } from './rolling.ts';

export const dayMs = 86_400_000;
export const weekMs = 7 * dayMs;

/**
 * The value usual at this time of the period (a day or a week): the median of the five points nearest to the same time in
 * each of up to seven periods before. Null before two periods have been seen, or where the past has holes there.
 */
export function usualAt(t: number, times: Rolling, values: Rolling, periodMs: number): number | null {
  const n = times.size();
  if (n === 0 || t - times.recent(n - 1) < 2 * periodMs - periodMs / 50) return null;
  const tolerance = periodMs / 48;
  const found: number[] = [];
  for (let back = 1; back <= 7; back += 1) {
    const then = t - back * periodMs;
    // Times rise, so the sorted order is the order of arrival: countBelow gives the first point at or after `then`.
    const at = times.countBelow(then);
    for (let i = Math.max(0, at - 2); i <= Math.min(n - 1, at + 2); i += 1) {
      if (Math.abs(times.sorted(i) - then) <= tolerance) found.push(values.recent(n - 1 - i));
    }
  }
  return found.length >= 6 ? medianOf(Float64Array.from(found)) : null;
}
