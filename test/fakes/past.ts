import type { PastOptions } from '../../src/cli/past.ts';
import { type Environment, readEnvironment } from '../../src/config/env.ts';

/** A past with everything but these left out. */
export const past = (some: Partial<PastOptions>): PastOptions => ({
  stream: null,
  from: null,
  to: null,
  alertsFrom: null,
  match: [],
  step: null,
  groupBy: null,
  ...some,
});

/** The environment of a command that works on this database. */
export const onDatabase = (databaseUrl: string) => (): Environment => readEnvironment({ DATABASE_URL: databaseUrl });

/** For commands that must not need a store. */
export const noStore = (): Environment => {
  throw new Error('a store was asked for');
};
