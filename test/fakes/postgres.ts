import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbedded } from '../../src/store/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openPool } from '../../src/store/pool.ts';
import type { Log } from '../../src/store/types.ts';

/** A logger that keeps quiet; tests that care pass their own. */
export const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };

export type TestDatabase = {
  url: string;
  /** A small pool on it, closed with the database. */
  pool: pg.Pool;
  /** Closes the pool, drops the database and, where this call started one, stops the server. */
  close(): Promise<void>;
};

/**
 * A fresh, migrated database: on the server of TEST_DATABASE_URL when that is set (any PostgreSQL from 15 on, a role that
 * may create databases), else on an embedded one in the temporary folder.
 */
export async function withDatabase(options: { migrated?: boolean } = {}): Promise<TestDatabase> {
  const server = await acquireServer();
  const name = `tocsin_test_${randomBytes(6).toString('hex')}`;
  await administer(server, `create database ${name}`);
  const at = new URL(server);
  at.pathname = `/${name}`;
  const url = at.toString();
  const pool = openPool(url, { max: 8, name: 'tocsin-test' });
  if (options.migrated ?? true) await migrate(pool, { log: quiet });
  let closed: Promise<void> | undefined;
  const close = async () => {
    await pool.end();
    await administer(server, `drop database if exists ${name} with (force)`);
    await releaseServer();
  };
  return {
    url,
    pool,
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

let shared: Promise<{ url: string; stop(): Promise<void> }> | null = null;
let holders = 0;

async function acquireServer(): Promise<string> {
  holders += 1;
  shared ??= startShared();
  try {
    return (await shared).url;
  } catch (error) {
    holders -= 1;
    shared = null;
    throw error;
  }
}

async function releaseServer(): Promise<void> {
  holders -= 1;
  if (holders > 0) return;
  const last = shared;
  shared = null;
  await (await last)?.stop();
}

async function startShared(): Promise<{ url: string; stop(): Promise<void> }> {
  const given = process.env.TEST_DATABASE_URL;
  if (given) return { url: given, stop: async () => undefined };
  const dataDir = sharedDir();
  mkdirSync(dataDir, { recursive: true, mode: 0o755 });
  const server = await startEmbedded({ dataDir, log: quiet });
  if (!server.adopted) await dropLeftovers(server.url);
  return server;
}

/** One per user and checkout, so that files and runs side by side share a server, and what a killed run left is taken over. */
const sharedDir = () => {
  const checkout = createHash('sha256')
    .update(import.meta.dirname)
    .digest('hex')
    .slice(0, 8);
  return join(tmpdir(), `tocsin-test-${userInfo().uid}-${checkout}`);
};

async function dropLeftovers(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query("select datname from pg_database where datname like 'tocsin\\_test\\_%'");
    for (const { datname } of rows) await client.query(`drop database if exists ${datname}`);
  } finally {
    await client.end();
  }
}

async function administer(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
