import type { Rolling } from './rolling.ts';

/**
 * The looks at a new point: each is one number that is large when the point is odd in one particular way. They are
 * compared with their own rolling past, so their units (those of the series) need no scaling. All windows are in points.
 */
export const lookNames = [
  'high',
  'low',
  'change',
  'mean',
  'mean-shift',
  'median-shift',
  'variation',
  'seasonal',
  'flat',
] as const;
export type Look = (typeof lookNames)[number];

/** NaN where the past is too short to look. */
export type Looks = Record<Look, number>;

/**
 * Narrowest tail of each look (units of the look) where its own past does not give one. Stillness: 0.7 doublings, so that
 * in a series that never repeated a value some 16 equal ones are an anomaly and two or three are chance.
 */
export const minWidths: Partial<Record<Look | 'forest', number>> = { flat: 0.7 };

/**
 * What the new `value` shows against the `values` before it (newest last, itself not among them). `seasonal` is the value
 * usual at this time of day or week, or null; `run` how many points in a row, this one included, have had this value.
 */
export function lookAt(value: number, values: Rolling, seasonal: number | null, run: number): Looks {
  // With the new value in front: v(0) is it, v(k) is k points ago.
  const v = (k: number): number => (k === 0 ? value : values.recent(k - 1));
  const have = values.size() + 1;
  return {
    high: value,
    low: -value,
    change: have < 2 ? Number.NaN : Math.abs(value - v(1)),
    mean: have < 12 ? Number.NaN : mean(v, 0, 12),
    'mean-shift': have < 180 ? Number.NaN : Math.abs(mean(v, 0, 36) - mean(v, 36, 180)),
    'median-shift': have < 84 ? Number.NaN : Math.abs(median(v, 0, 12) - median(v, 12, 84)),
    variation: have < 13 ? Number.NaN : variation(v, 0, 12),
    seasonal: seasonal === null ? Number.NaN : Math.abs(value - seasonal),
    flat: Math.log2(run),
  };
}

type At = (k: number) => number;

function mean(v: At, from: number, to: number): number {
  let sum = 0;
  for (let k = from; k < to; k += 1) sum += v(k);
  return sum / (to - from);
}

/** Median of v(from) to v(to - 1). */
export function median(v: At, from: number, to: number): number {
  const list = new Float64Array(to - from);
  for (let k = from; k < to; k += 1) list[k - from] = v(k);
  return medianOf(list);
}

/** Median of a list, which it sorts in place. */
export function medianOf(list: Float64Array): number {
  list.sort();
  const middle = list.length >> 1;
  return list.length % 2 === 1 ? list[middle]! : (list[middle - 1]! + list[middle]!) / 2;
}

/** Mean absolute step from point to point. */
function variation(v: At, from: number, to: number): number {
  let sum = 0;
  for (let k = from; k < to; k += 1) sum += Math.abs(v(k) - v(k + 1));
  return sum / (to - from);
}
