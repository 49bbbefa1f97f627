import { z } from 'zod';

/** The signals of a root cause candidate, each 0..1 or −1..1; see signals.ts for what each means. */
export const signalNames = [
  'resource',
  'calledBySymptoms',
  'depth',
  'deepest',
  'coverage',
  'ownAlerts',
  'silent',
  'early',
  'deploy',
  'metric',
  'metricEarly',
  'feedback',
] as const;
export type SignalName = (typeof signalNames)[number];
export type Signals = Record<SignalName, number>;

/** The fitted parameters of root cause ranking: `models/causes.json`. */
export const CausesModel = z.strictObject({
  kind: z.literal('causes'),
  version: z.string(),
  /** Weight of each signal in the candidate's score (log odds before the softmax). */
  weights: z.record(z.enum(signalNames), z.number()),
  /** Probability of the top candidate = softmax(score / temperature), then Platt: σ(a · logit(p) + b). */
  temperature: z.number().positive(),
  platt: z.strictObject({ a: z.number(), b: z.number() }),
  /** Words of the field for a resource running out, looked for in alertname and summary. */
  resourceWords: z.array(z.string()),
  /** A change this long before the onset still counts, ms; its weight halves every `deployHalfLifeMs`. */
  deployWindowMs: z.number().positive(),
  deployHalfLifeMs: z.number().positive(),
  /** At or above: confidence high, medium; below `clear` there is no clear cause. */
  high: z.number().min(0).max(1),
  clear: z.number().min(0).max(1),
});
export type CausesModel = z.infer<typeof CausesModel>;

/** The model out of parsed JSON; throws with every fault listed, since a wrong model must not start. */
export function parseCausesModel(json: unknown): CausesModel {
  const parsed = CausesModel.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new Error(
    `models/causes.json is unusable: ${z.prettifyError(parsed.error)}. Restore the shipped file or run npm run train.`,
  );
}
