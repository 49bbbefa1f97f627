import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import type { Log } from './types.ts';

/** The migrations that belong to this code, in a checkout (src/store) and in the built package (dist) alike. */
export const migrationsDir = (): string => fileURLToPath(new URL('../../migrations', import.meta.url));

type Migration = { name: string; number: number; sql: string; checksum: string };
type Applied = { name: string; number: number; checksum: string };

/**
 * Brings the schema up to this code: numbered files, forward only, each in one transaction together with its record. Any
 * number of replicas may do so at once: an advisory lock lets one work while the rest wait and find it done. A schema
 * newer than the code is left alone, because a release must run on its successor's schema.
 *
 * Throws when an applied file was changed since, when numbers collide, or when a file fails (then nothing of it stays).
 */
export async function migrate(
  pool: pg.Pool,
  { dir = migrationsDir(), log }: { dir?: string; log: Log },
): Promise<{ applied: string[] }> {
  const migrations = readMigrations(dir);
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    // a migration of a big table takes longer than any query of ours may, and so does waiting for another replica's
    await client.query('set statement_timeout = 0');
    await client.query("select pg_advisory_lock(hashtext('tocsin_migrate'))");
    await client.query(
      `create table if not exists schema_migrations (
         number     integer     primary key,
         name       text        not null,
         checksum   text        not null,
         applied_at timestamptz not null default now()
       )`,
    );
    const done = await readApplied(client);
    const applied: string[] = [];
    for (const migration of migrations) {
      const before = done.get(migration.number);
      if (before) checkUnchanged(migration, before);
      else {
        await apply(client, migration);
        log.info({ migration: migration.name }, 'applied a migration');
        applied.push(migration.name);
      }
    }
    const newest = migrations.at(-1)?.number ?? 0;
    const ahead = [...done.keys()].filter((number) => number > newest).length;
    if (ahead > 0) log.info({ ahead }, 'the schema is newer than this release, which can run on it');
    return { applied };
  } catch (error) {
    broken = error as Error;
    throw error;
  } finally {
    // ending the session is what frees the lock and the setting, whatever went wrong
    client.release(broken ?? true);
  }
}

/** The number of the newest applied migration, 0 before the first. */
export async function schemaVersion(pool: Pick<pg.Pool, 'query'>): Promise<number> {
  const { rows } = await pool.query("select to_regclass('schema_migrations') is not null as made");
  if (!rows[0].made) return 0;
  const newest = await pool.query('select coalesce(max(number), 0) as number from schema_migrations');
  return newest.rows[0].number;
}

function readMigrations(dir: string): Migration[] {
  const migrations = readdirSync(dir)
    .filter((name) => name.endsWith('.sql'))
    .sort()
    .map((name) => {
      const number = Number(/^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1]);
      if (!number) throw new Error(`${join(dir, name)}: a migration is named like 0002_what_it_does.sql`);
      const sql = readFileSync(join(dir, name), 'utf8');
      return { name, number, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    });
  migrations.forEach((migration, index) => {
    if (migration.number !== index + 1) {
      throw new Error(
        `${join(dir, migration.name)}: expected number ${index + 1}; migrations are numbered without gaps or twins`,
      );
    }
  });
  return migrations;
}

async function readApplied(client: pg.PoolClient): Promise<Map<number, Applied>> {
  const { rows } = await client.query<Applied>('select number, name, checksum from schema_migrations order by number');
  return new Map(rows.map((row) => [row.number, row]));
}

function checkUnchanged(migration: Migration, before: Applied): void {
  if (migration.checksum === before.checksum) return;
  throw new Error(
    `the migration ${migration.name} was changed after it had been applied to this database (as ${before.name}). Put the file back as it was, and write what it should do now into a new file with the next number.`,
  );
}

async function apply(client: pg.PoolClient, { name, number, sql, checksum }: Migration): Promise<void> {
  try {
    await client.query('begin');
    await client.query(sql);
    await client.query('insert into schema_migrations (number, name, checksum) values ($1, $2, $3)', [
      number,
      name,
      checksum,
    ]);
    await client.query('commit');
  } catch (cause) {
    await client.query('rollback').catch(() => undefined);
    throw new Error(`the migration ${name} failed and was undone: ${(cause as Error).message}`, { cause });
  }
}
