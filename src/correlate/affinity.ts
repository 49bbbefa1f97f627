import type { Connectivity } from './connectivity.ts';
import { type Features, jaccard } from './features.ts';
import type { CorrelationModel } from './model.ts';

/** The parts of one distance, each 0..1, 1 being "speaks for it"; a fact that is missing is left out. */
export type Parts = Record<string, number>;

export type Pair = { affinity: number; parts: Parts };

/** What the pair's facts besides features are: learned relevance of either rule, time scale, shared deploy. */
export type PairFacts = { relevanceA: number; relevanceB: number; tauMs: number; deploy: boolean | null };

/** e^(−|Δt| / τ): the shape of the decay does not matter, its scale does. */
export const timePart = (a: number, b: number, tauMs: number): number => Math.exp(-Math.abs(a - b) / tauMs);

/** How related two rules have been so far: either one being noise is enough to doubt the pair. */
export const relevancePart = (a: number, b: number): number => a * b;

/**
 * Affinity = time × connectivity × relevance × soft facts; distance is 1 − affinity. The three multiply because each can
 * rule a pair out alone; added up, the same parts lose a quarter of F1. A soft fact scales between 1 − w (disagrees) and 1.
 */
export function affinity(
  a: Features,
  b: Features,
  connectivity: number,
  facts: PairFacts,
  model: CorrelationModel,
  parts: Parts | null,
): number {
  const time = timePart(a.onset, b.onset, facts.tauMs);
  const relevance = relevancePart(facts.relevanceA, facts.relevanceB);
  let product = time * connectivity * relevance;
  if (parts) {
    parts.time = time;
    parts.topology = connectivity;
    parts.relevance = relevance;
  }
  const { soft } = model;
  const weigh = (name: string, weight: number, agreement: number | null): void => {
    if (agreement === null) return;
    if (parts) parts[name] = agreement;
    product *= 1 - weight * (1 - agreement);
  };
  if (soft.labels > 0 || parts) weigh('labels', soft.labels, jaccard(a.labels, b.labels));
  if (soft.text > 0 || parts) weigh('text', soft.text, jaccard(a.words, b.words));
  if (soft.group > 0 || parts)
    weigh('group', soft.group, a.group === null || b.group === null ? null : Number(a.group === b.group));
  if (facts.deploy !== null) weigh('deploy', soft.deploy, Number(facts.deploy));
  return product;
}

export type AffinityOf = (a: Features, b: Features) => Pair;
export type { Connectivity };
