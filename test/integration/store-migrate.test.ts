import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrate, migrationsDir, schemaVersion } from '../../src/store/migrate.ts';
import { openPool } from '../../src/store/pool.ts';
import { quiet, type TestDatabase, withDatabase } from '../fakes/postgres.ts';

let database: TestDatabase;
let dir: string;

beforeEach(async () => {
  database = await withDatabase({ migrated: false });
  dir = mkdtempSync(join(tmpdir(), 'tocsin-migrations-'));
  cpSync(migrationsDir(), dir, { recursive: true });
});

afterEach(async () => {
  await database.close();
  rmSync(dir, { recursive: true, force: true });
});

const ours = () => migrate(database.pool, { dir, log: quiet });

test('four replicas starting at once migrate an empty database exactly once', async () => {
  const pools = [1, 2, 3, 4].map((n) => openPool(database.url, { max: 1, name: `replica-${n}` }));
  const results = await Promise.all(pools.map((pool) => migrate(pool, { dir, log: quiet })));
  await Promise.all(pools.map((pool) => pool.end()));
  const applied = results.map((result) => result.applied.length).sort();
  expect(applied.slice(0, 3)).toEqual([0, 0, 0]);
  expect(applied[3]).toBeGreaterThanOrEqual(1);
  expect(await schemaVersion(database.pool)).toBe(applied[3]);
});

test('an empty database has version 0, and an up-to-date one is left alone', async () => {
  expect(await schemaVersion(database.pool)).toBe(0);
  await ours();
  expect((await ours()).applied).toEqual([]);
});

test('an older schema gets only what it lacks', async () => {
  await ours();
  const next = (await schemaVersion(database.pool)) + 1;
  const name = `${String(next).padStart(4, '0')}_more.sql`;
  writeFileSync(join(dir, name), 'create table more (id bigint);');
  expect((await ours()).applied).toEqual([name]);
  expect(await schemaVersion(database.pool)).toBe(next);
});

test('the previous release runs on a newer schema', async () => {
  await ours();
  const next = (await schemaVersion(database.pool)) + 1;
  await database.pool.query(
    "insert into schema_migrations (number, name, checksum) values ($1, 'from_the_future.sql', 'x')",
    [next],
  );
  expect((await ours()).applied).toEqual([]);
});

test('a changed file that was applied already is refused, with what to do', async () => {
  await ours();
  writeFileSync(join(dir, '0001_spine.sql'), '-- something else');
  await expect(ours()).rejects.toThrow(/0001_spine\.sql was changed after .* Put the file back/);
});

test('a file that fails leaves nothing of itself and can be mended', async () => {
  await ours();
  const next = (await schemaVersion(database.pool)) + 1;
  const file = join(dir, `${String(next).padStart(4, '0')}_broken.sql`);
  writeFileSync(file, 'create table half (id bigint); select * from nowhere;');
  await expect(ours()).rejects.toThrow(/_broken\.sql failed and was undone: relation "nowhere" does not exist/);
  const { rows } = await database.pool.query("select to_regclass('half') as half");
  expect(rows[0].half).toBeNull();
  writeFileSync(file, 'create table half (id bigint);');
  expect((await ours()).applied).toHaveLength(1);
});

test('numbers with a gap or a twin are refused before anything runs', async () => {
  writeFileSync(join(dir, '9000_far.sql'), 'select 1;');
  await expect(ours()).rejects.toThrow(/9000_far\.sql: expected number/);
  expect(await schemaVersion(database.pool)).toBe(0);
});
