import { z } from 'zod';

const unit = z.number().min(0).max(1);
const ms = z.number().min(0);

/** The fitted parameters of correlation: `models/correlation.json`. All times are milliseconds. */
export const CorrelationModel = z.strictObject({
  kind: z.literal('correlation'),
  version: z.string(),
  /**
   * Two alerts are neighbours when their distance is at most `eps`; a core point has `minPts` neighbours, itself included.
   * With 4 or more, one border point could show two other incidents to be one, which a placement cannot say.
   */
  eps: unit,
  minPts: z.int().min(2).max(3),
  /**
   * Time scale: the smaller of `k` / local onsets per ms and `span.scale` × the measured span of one trouble, clipped. Before
   * anything is known the rate is `priorCount` onsets in `priorMs`. Quiet times count as `quietMs` at most.
   */
  time: z.strictObject({
    k: z.number().positive(),
    minMs: ms,
    maxMs: ms,
    priorCount: z.number().positive(),
    priorMs: ms,
    halfLifeMs: ms,
    quietMs: ms,
    span: z.strictObject({ share: unit, scale: z.number().positive(), prior: z.number().positive(), priorMs: ms }),
  }),
  /** What a relation in the service graph is worth: by hops (index 0 is the same service), unknown, or a shared host. */
  connectivity: z.strictObject({
    hops: z.array(unit).min(1),
    unknown: unit,
    host: unit,
    hubDegree: z.int().min(1),
  }),
  /** Relevance of a rule: how much more often than chance its alerts have company. */
  relevance: z.strictObject({
    companionMs: ms,
    companionShare: unit,
    priorMean: unit,
    together: unit,
    gain: z.number().min(0),
    chanceFloor: unit,
    sameRule: unit,
    pooledShare: unit,
    pooledLimit: z.number().min(0),
    limit: z.number().positive(),
    burstServices: z.int().min(2),
    burstMs: ms,
    burst: unit,
    halfLifeMs: ms,
  }),
  /** How far disagreement on a soft fact can lower the affinity: 0 ignores the fact, 1 lets it veto. */
  soft: z.strictObject({ labels: unit, text: unit, deploy: unit, group: unit }),
  /** Affinities that make an incident look like several: see split.ts. */
  split: z.strictObject({ tight: unit, apart: unit, margin: unit }),
  /**
   * Cohesion guard against chaining: the mean affinity that lets an alert (or a cluster of one) join, that merges two
   * clusters, the relevance below which a lone re-fire does not go back to an incident that has other alerts, and the
   * affinity to an alert at the same or a neighbouring service from which nothing further off counts.
   */
  guard: z.strictObject({
    cohesion: unit,
    merge: unit,
    returning: unit,
    near: unit,
    sample: z.int().min(1),
    maxSpanMs: ms,
    maxSize: z.int().min(2),
  }),
});
export type CorrelationModel = z.infer<typeof CorrelationModel>;

/** The model out of parsed JSON; throws with every fault listed, since a wrong model must not start. */
export function parseCorrelationModel(json: unknown): CorrelationModel {
  const parsed = CorrelationModel.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new Error(
    `models/correlation.json is unusable: ${z.prettifyError(parsed.error)}. Restore the shipped file or run npm run train.`,
  );
}
