import pg from 'pg';
import type { Log } from './types.ts';

export type PoolOptions = {
  /** The most connections this pool opens. */
  max: number;
  /** Shown as `application_name` in pg_stat_activity. */
  name: string;
  log?: Log;
  /** How long to wait for a connection, ms. */
  connectTimeoutMs?: number;
  /** The server gives a statement up after so long, ms. */
  statementTimeoutMs?: number;
};

const INT8 = 20;

/**
 * bigint comes out as a number: ours are identities and counts, 2^53 away from losing precision. Delivery ids are cast to
 * text where they leave the store. Everything else as `pg` does it: timestamptz is a Date, jsonb is parsed.
 */
export const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format as 'text')) as pg.CustomTypesConfig['getTypeParser'],
};

/**
 * A connection pool with the timeouts every caller needs: 5 s to connect, 30 s a statement unless told otherwise.
 * A connection that breaks while idle is logged and replaced, never thrown.
 */
export function openPool(url: string, options: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max,
    application_name: options.name,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
    statement_timeout: options.statementTimeoutMs ?? 30_000,
    // the client's own limit, for a server that hangs and cannot time out itself
    query_timeout: (options.statementTimeoutMs ?? 30_000) + 5_000,
    // Our transactions wait for nothing but the database. A process that is frozen inside one (a paused machine) holds its
    // locks, the one for claiming notifications among them: with a minute here no other replica sent a page for that minute.
    idle_in_transaction_session_timeout: 10_000,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    options: '-c timezone=UTC',
    types,
  });
  pool.on('error', (error) => {
    options.log?.warn(
      { pool: options.name, error: error.message },
      'an idle database connection broke; it is replaced',
    );
  });
  // one that breaks while in use fails its query; it also emits an error, which unheard would end the process
  pool.on('connect', (client) => {
    client.on('error', () => undefined);
  });
  return pool;
}

/** Runs `fn` in one transaction: commits what it returns, rolls back what it throws. */
export async function transaction<T>(pool: pg.Pool, fn: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query('begin');
    const result = await fn(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch((second: Error) => {
      broken = second;
    });
    throw error;
  } finally {
    client.release(broken);
  }
}
