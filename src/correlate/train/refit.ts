import { createHash } from 'node:crypto';

/** What refitting one thing from people's labels came to. */
export type Refit<Model> = {
  /** What was refitted, for people. */
  what: string;
  /** Judgements there are, from how many incidents, and how many of each it takes. */
  judged: number;
  incidents: number;
  needed: { judged: number; incidents: number };
  /** `too-few`: nothing was tried; `no-better`: what was found does no better on left-out incidents; else `refitted`. */
  status: 'too-few' | 'no-better' | 'refitted';
  /** By name: the score with the model as it is and, on incidents that were left out of the fit, with the refitted one. */
  scores: { name: string; before: number; after: number; better: 'lower' | 'higher' }[];
  /** What would change, in words. */
  changes: string[];
  /** The model to use: the one as it is, unless `refitted`. */
  model: Model;
};

export const FOLDS = 5;

/** Which fold an incident is left out with: by its name's hash, so the same store gives the same folds. */
export const foldOf = (incident: string): number =>
  createHash('sha256').update(incident).digest().readUInt32BE(0) % FOLDS;

/** `1.0.0+store.3f2a9c1e`: the version it was refitted from, and what it became. */
export function storeVersion(base: string, model: object): string {
  const [shipped] = base.split('+store.');
  const digest = createHash('sha256')
    .update(JSON.stringify({ ...model, version: shipped }))
    .digest('hex');
  return `${shipped}+store.${digest.slice(0, 8)}`;
}
