import type pg from 'pg';
import type { Environment } from '../config/env.ts';
import { startEmbedded } from '../store/embedded.ts';
import { openPool } from '../store/pool.ts';
import { createLog } from '../telemetry/log.ts';

/** Runs `fn` on the store of this environment: `DATABASE_URL`, or the embedded server, started or adopted for as long as it takes. */
export async function withStore<T>(environment: Environment, fn: (pool: pg.Pool) => Promise<T>): Promise<T> {
  const log = createLog({ level: 'warn' });
  const embedded = environment.databaseUrl === null ? await startEmbedded({ dataDir: environment.dataDir, log }) : null;
  const pool = openPool(environment.databaseUrl ?? embedded!.url, { max: 2, name: 'tocsin command' });
  try {
    return await fn(pool);
  } finally {
    await pool.end();
    await embedded?.stop();
  }
}
