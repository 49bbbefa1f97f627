import { type Look, median } from './looks.ts';
import type { Rolling } from './rolling.ts';

export type AnomalyType = 'spike' | 'drop' | 'rapid-change' | 'level-shift' | 'flat-line';

/** Newest points that are looked at to tell what lasts from what comes and goes, and those before them. */
const newest = 6;
const longBefore = 72;

/** What is odd about a point that is odd; `values` are those before it, `deviation` its robust sigmas from the expected. */
export function classify(point: {
  value: number;
  values: Rolling;
  deviation: number;
  evidence: Partial<Record<Look | 'forest', number>>;
}): AnomalyType {
  const { value, values, deviation, evidence } = point;
  const loudest = loudestLook(evidence);
  if (loudest === 'flat') return 'flat-line';
  if (keepsJumping(value, values)) return 'rapid-change';
  if (hasShifted(value, values)) return 'level-shift';
  if (loudest === 'variation') return 'rapid-change';
  const outside = Math.abs(deviation) > 3;
  if (!outside && (loudest === 'mean-shift' || loudest === 'median-shift')) return 'level-shift';
  // Inside a range that a strong season makes wide, the near past tells up from down.
  const nearby = values.size() < 12 ? value - deviation : median(values.recent, 0, 12);
  return (outside ? deviation : value - nearby) < 0 ? 'drop' : 'spike';
}

function loudestLook(evidence: Partial<Record<Look | 'forest', number>>): Look | null {
  let loudest: Look | null = null;
  for (const [name, found] of Object.entries(evidence) as [Look | 'forest', number][]) {
    if (name !== 'forest' && (loudest === null || found > evidence[loudest]!)) loudest = name;
  }
  return loudest;
}

type At = (k: number) => number;

/** With the new value in front: v(0) is it, v(k) is k points ago. */
const withNew =
  (value: number, values: Rolling): At =>
  (k) =>
    k === 0 ? value : values.recent(k - 1);

/** How many points before the newest six there are to compare with, at most 72; null below 24. */
function pointsBefore(values: Rolling): number | null {
  const before = Math.min(longBefore, values.size() - newest);
  return before < 24 ? null : before;
}

/** Four or more of the newest six steps are over four times as large as the median step before: a ramp, or wild swings. */
function keepsJumping(value: number, values: Rolling): boolean {
  const before = pointsBefore(values);
  if (before === null) return false;
  const v = withNew(value, values);
  const step: At = (k) => Math.abs(v(k) - v(k + 1));
  const usual = Math.max(median(step, newest, newest + before), 1e-6 * Math.abs(value));
  let large = 0;
  for (let k = 0; k < newest; k += 1) if (step(k) > 4 * usual) large += 1;
  return large >= 4;
}

/** The newest six values all lie beyond three robust sigmas on one side of the 72 before them. */
function hasShifted(value: number, values: Rolling): boolean {
  const before = pointsBefore(values);
  if (before === null) return false;
  const v = withNew(value, values);
  const centre = median(v, newest, newest + before);
  const spread = 1.4826 * median((k) => Math.abs(v(k) - centre), newest, newest + before);
  const reach = Math.max(3 * spread, 1e-6 * Math.abs(centre));
  let above = 0;
  let below = 0;
  for (let k = 0; k < newest; k += 1) {
    if (v(k) > centre + reach) above += 1;
    if (v(k) < centre - reach) below += 1;
  }
  return above === newest || below === newest;
}
