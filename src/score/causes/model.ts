import { z } from 'zod';

/** The signals of a root cause candidate, 0..1 or −1..1; signals.ts says what each means. */
export const signalNames = [
  'resource',
  'calledBySymptoms',
  'depth',
  'ruleDepth',
  'passedOn',
  'coverage',
  'ownAlerts',
  'errors',
  'trafficOnly',
  'commonCaller',
  'silent',
  'silentReach',
  'sharedCallee',
  'proxy',
  'leads',
  'doubt',
  'deploy',
  'metricLatency',
  'metricErrors',
  'metricSaturation',
  'metricDeepest',
  'feedback',
] as const;
export type SignalName = (typeof signalNames)[number];
export type Signals = Record<SignalName, number>;

const Weights = z.strictObject({
  /** Weight of each signal in the candidate's score (log odds before the softmax). */
  weights: z.record(z.enum(signalNames), z.number()),
  /** Score of the candidate nobody sees: what keeps a lone candidate from being certain. */
  none: z.number(),
  /** Platt scaling of the shares: σ(a · logit(share) + b). */
  platt: z.strictObject({ a: z.number().positive(), b: z.number() }),
});

/** The fitted parameters of root cause ranking: `models/causes.json`. */
export const CausesModel = z.strictObject({
  kind: z.literal('causes'),
  version: z.string(),
  /** Fitted on alerts and graph alone; used when no source gave metrics. */
  alerts: Weights,
  /** Fitted with metric evidence beside them. */
  metrics: Weights,
  /** Words of the field, looked for in alertname and summary: what kind of trouble an alert speaks of. */
  words: z.strictObject({ resource: z.array(z.string()), errors: z.array(z.string()), traffic: z.array(z.string()) }),
  /** A change this long before the onset still counts, ms; its weight halves every `deployHalfLifeMs`. */
  deployWindowMs: z.number().positive(),
  deployHalfLifeMs: z.number().positive(),
  /** Confidence is high at or above `high`, medium at or above `clear`; below that there is no clear cause. */
  high: z.number().min(0).max(1),
  clear: z.number().min(0).max(1),
});
export type CausesModel = z.infer<typeof CausesModel>;
export type CausesWeights = z.infer<typeof Weights>;

/** The model out of parsed JSON; throws with every fault listed, since a wrong model must not start. */
export function parseCausesModel(json: unknown): CausesModel {
  const parsed = CausesModel.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new Error(
    `models/causes.json is unusable: ${z.prettifyError(parsed.error)}. Restore the shipped file or run npm run train.`,
  );
}
