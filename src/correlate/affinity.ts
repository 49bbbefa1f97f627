import { jaccard, type Looks } from './features.ts';
import type { CorrelationModel } from './model.ts';

/** The parts of one distance, each 0..1, 1 being "speaks for it"; a fact that is missing is left out. */
export type Parts = Record<string, number>;

/** When an alert began (epoch ms) and what it says. */
export type Sight = { onset: number; looks: Looks };

/** e^(−|Δt| / τ): the shape of the decay does not matter, its scale does. */
export const timePart = (a: number, b: number, tauMs: number): number => Math.exp(-Math.abs(a - b) / tauMs);

/**
 * Affinity = time × connectivity × relevance × soft facts; distance is 1 − affinity. The three multiply because each can
 * rule a pair out alone; added up, the same parts lose a quarter of F1. `relevance` is the product of both rules': either
 * being noise is enough to doubt the pair. A soft fact scales between 1 − weight (disagrees) and 1 (agrees, or unknown).
 */
export function affinity(
  a: Sight,
  b: Sight,
  connectivity: number,
  relevance: number,
  tauMs: number,
  sharedDeploy: boolean | null,
  model: CorrelationModel,
  parts: Parts | null,
): number {
  const time = timePart(a.onset, b.onset, tauMs);
  let product = time * connectivity * relevance;
  const { soft } = model;
  const weigh = (name: string, weight: number, agreement: number | null): void => {
    if (agreement === null) return;
    if (parts) parts[name] = agreement;
    product *= 1 - weight * (1 - agreement);
  };
  if (parts) {
    parts.time = time;
    parts.topology = connectivity;
    parts.relevance = relevance;
  }
  if (sharedDeploy !== null) weigh('deploy', soft.deploy, sharedDeploy ? 1 : 0);
  // Comparing words and labels costs more than all the rest: only for pairs that can still matter, or to explain.
  if (!parts && product < 1 - model.eps) return product;
  const { looks: x } = a;
  const { looks: y } = b;
  if (soft.labels > 0 || parts) weigh('labels', soft.labels, jaccard(x.labels, y.labels));
  if (soft.text > 0 || parts) weigh('text', soft.text, jaccard(x.words, y.words));
  if (soft.group > 0 || parts)
    weigh('group', soft.group, x.group === null || y.group === null ? null : x.group === y.group ? 1 : 0);
  return product;
}
