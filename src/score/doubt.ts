import type { Severity } from '../domain/severity.ts';

/** What is known of an incident that policy held back, or in shadow mode would have. Times are epoch ms. */
export type HeldFacts = {
  severity: Severity;
  priority: number | null;
  startedAt: number;
  /** Null while it lasts. */
  endedAt: number | null;
  actedOn: boolean;
  /** It was let through later: it outlasted the hold, got worse, or reached more. */
  released: boolean;
  /** How many people said what. */
  said: { shouldHavePaged: number; real: number; noise: number };
  /** 0..1, as it was judged then. */
  actionability: number | null;
  /** When its rule was first seen firing. */
  ruleSince: number | null;
};

export type Doubt = {
  /** The higher, the more doubtful; points as in docs/trust.md. */
  points: number;
  /** What speaks against having held it back, the weightiest first. */
  why: string[];
};

const HOUR_MS = 3_600_000;
const NEW_RULE_MS = 7 * 24 * HOUR_MS;
/** Just below the threshold of 0.7: nearly worth a page. */
const NEARLY = 0.5;

/**
 * How doubtful it is that this was rightly held back: first what people said and did, then how bad, long and new it was. A
 * fixed table of points, so that two readers of one report see the same order.
 */
export function doubtOf(held: HeldFacts, now: number): Doubt {
  const points: [number, string][] = [];
  const { said } = held;
  if (said.shouldHavePaged > 0) points.push([100, `${people(said.shouldHavePaged)} said it should have paged`]);
  if (said.real > 0) points.push([80, `${people(said.real)} called it real`]);
  if (held.actedOn) points.push([60, 'somebody acted on it']);
  if (held.severity === 'critical') points.push([40, 'critical']);
  if (held.severity === 'high') points.push([20, 'high']);
  if (held.priority !== null && held.priority <= 2) points.push([25, `priority ${held.priority}`]);
  if (held.released) points.push([25, 'it was let through later']);
  const lasted = (held.endedAt ?? now) - held.startedAt;
  if (lasted >= HOUR_MS)
    points.push([20, `${held.endedAt === null ? 'still firing after' : 'lasted'} ${hours(lasted)}`]);
  else if (held.endedAt === null) points.push([10, 'still firing']);
  if (held.ruleSince !== null && held.startedAt - held.ruleSince < NEW_RULE_MS)
    points.push([20, 'its rule was new that week']);
  if (held.actionability !== null && held.actionability >= NEARLY)
    points.push([15, `actionability ${held.actionability.toFixed(2)}`]);
  if (said.noise > 0) points.push([-50, `${people(said.noise)} called it noise`]);
  points.sort((a, b) => b[0] - a[0]);
  return { points: points.reduce((sum, [value]) => sum + value, 0), why: points.map(([, text]) => text) };
}

const people = (n: number): string => (n === 1 ? 'one person' : `${n} people`);
const hours = (ms: number): string => {
  const whole = Math.round(ms / HOUR_MS);
  return whole < 48 ? `${whole} h` : `${Math.round(whole / 24)} d`;
};
