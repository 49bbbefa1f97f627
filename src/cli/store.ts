import type pg from 'pg';
import type { Environment } from '../config/env.ts';
import { startEmbedded } from '../store/embedded.ts';
import { schemaVersion } from '../store/migrate.ts';
import { openPool } from '../store/pool.ts';
import { createLog } from '../telemetry/log.ts';

/** Runs `fn` on the store of this environment: `DATABASE_URL`, or the embedded server, started or adopted for as long as it takes.
 * A store without a schema is an error that says what to do, unless `empty` allows it. */
export async function withStore<T>(
  environment: Environment,
  fn: (pool: pg.Pool) => Promise<T>,
  { empty = false } = {},
): Promise<T> {
  const log = createLog({ level: 'warn' });
  const embedded = environment.databaseUrl === null ? await startEmbedded({ dataDir: environment.dataDir, log }) : null;
  const pool = openPool(environment.databaseUrl ?? embedded!.url, { max: 2, name: 'tocsin command' });
  try {
    if ((await schemaVersion(pool)) === 0 && !empty) {
      const where =
        environment.databaseUrl === null ? `the store in ${environment.dataDir}` : 'the database of DATABASE_URL';
      throw new Error(
        `${where} is empty: start the service on it once (tocsin serve), or name another with DATABASE_URL`,
      );
    }
    return await fn(pool);
  } finally {
    await pool.end();
    await embedded?.stop();
  }
}
