import type { Severity } from './severity.ts';

/** One incident of a digest, in words that are final: a digest is sent as it was made. Times are epoch ms. */
export type DigestItem = {
  incidentId: string;
  number: number;
  title: string;
  severity: Severity;
  /** When it was first held back (in shadow mode: would have been). */
  at: number;
  /** Why, in a sentence. */
  because: string;
  /** How it stands or ended: `still firing`, `ended by itself after 4 min`; null when that is not known. */
  outcome: string | null;
  /** False: it was sent all the same (shadow mode), and only would have been held back. */
  held: boolean;
};

/**
 * What a team was not told one by one: `daily` sums up a day of what policy held back, `budget` what came above the team's
 * hourly number of messages.
 */
export type Digest = {
  kind: 'daily' | 'budget';
  team: string;
  from: number;
  to: number;
  /** The most doubtful first. */
  items: DigestItem[];
  /** How many there are in all; `items` may be the first of them. */
  total: number;
};
