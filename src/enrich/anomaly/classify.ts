import { type Look, type Looks, median } from './looks.ts';
import type { Rolling } from './rolling.ts';

export type AnomalyType = 'spike' | 'drop' | 'rapid-change' | 'level-shift' | 'flat-line';

/** Newest points that must all lie on one side before a change of level is called one. */
const shiftPoints = 6;

/** What is odd about a point that is odd; `values` are those before it, `deviation` its robust sigmas from the expected. */
export function classify(point: {
  value: number;
  values: Rolling;
  deviation: number;
  evidence: Partial<Record<Look | 'forest', number>>;
  looks: Looks;
}): AnomalyType {
  const { value, values, deviation, evidence } = point;
  const loudest = loudestLook(evidence);
  if (loudest === 'flat') return 'flat-line';
  if (hasShifted(value, values)) return 'level-shift';
  const outside = Math.abs(deviation) > 3;
  if (loudest === 'change' || loudest === 'variation') {
    const seenBefore = value >= values.quantile(0.01) && value <= values.quantile(0.99);
    if (!outside || (loudest === 'variation' && seenBefore)) return 'rapid-change';
  }
  if (!outside && (loudest === 'mean-shift' || loudest === 'median-shift')) return 'level-shift';
  if (loudest === 'low') return 'drop';
  return deviation < 0 ? 'drop' : 'spike';
}

function loudestLook(evidence: Partial<Record<Look | 'forest', number>>): Look | null {
  let loudest: Look | null = null;
  for (const [name, found] of Object.entries(evidence) as [Look | 'forest', number][]) {
    if (name !== 'forest' && (loudest === null || found > evidence[loudest]!)) loudest = name;
  }
  return loudest;
}

/** The newest six values all lie beyond three robust sigmas on one side of the 72 before them. */
function hasShifted(value: number, values: Rolling): boolean {
  const before = Math.min(72, values.size() - shiftPoints + 1);
  if (before < 24) return false;
  const v = (k: number): number => (k === 0 ? value : values.recent(k - 1));
  const to = shiftPoints + before;
  const centre = median(v, shiftPoints, to);
  const spread = 1.4826 * median((k) => Math.abs(v(k) - centre), shiftPoints, to);
  const reach = Math.max(3 * spread, 1e-6 * Math.abs(centre));
  let above = 0;
  let below = 0;
  for (let k = 0; k < shiftPoints; k += 1) {
    if (v(k) > centre + reach) above += 1;
    if (v(k) < centre - reach) below += 1;
  }
  return above === shiftPoints || below === shiftPoints;
}
