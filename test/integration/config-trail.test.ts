import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { type AuditRow, readAudit, verifyAudit } from '../../src/store/audit.ts';
import { saveConfig } from '../../src/store/configs.ts';
import { createConfigTrail } from '../../src/work/config-trail.ts';
import { folder } from '../fakes/config-tree.ts';
import { quiet, type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { until } from '../fakes/until.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await withDatabase();
}, 60_000);
afterAll(() => database.close());

const auditKey = { id: 'test', secret: randomBytes(32) };
const trail = () => createConfigTrail({ pool: database.pool, auditKey, log: quiet, now: Date.now });

function load(mode: string, member = 'ana'): Config {
  const loaded = loadConfig(
    folder({
      'tocsin.yaml': `suppress: { mode: ${mode} }\n`,
      'routing.yaml': `people: { ${member}: { slack: U0 } }\n`,
    }),
    {},
  );
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  return loaded.config;
}

async function entries(): Promise<AuditRow[]> {
  const rows: AuditRow[] = [];
  for await (const row of readAudit(database.pool)) rows.push(row);
  return rows;
}
const recorded = (count: number) =>
  until(
    async () => (await entries()).length === count,
    () => `there are not ${count} entries`,
    20_000,
  );

test('a change of the config is recorded once, with who, what and how it was before; also one made while nothing ran', async () => {
  const [shadow, active, later] = [load('shadow'), load('active'), load('assist', 'ben')];
  const one = trail();
  one.start(shadow);
  await recorded(1);
  // a second replica with the same tree
  const two = trail();
  two.start(shadow);
  await two.stop();
  one.changed(shadow, active, { token: 'ops' });
  one.changed(active, active, 'file');
  await one.stop();
  await saveConfig(database.pool, active, Date.now());
  const three = trail();
  three.changed(shadow, active, 'file');
  await three.stop();
  const four = trail();
  four.start(later);
  await four.stop();

  const written = await entries();
  expect(written.map(({ who, what, why }) => ({ who, what, why }))).toEqual([
    { who: `start on ${hostname()}`, what: 'config', why: 'start' },
    { who: 'ops', what: 'config', why: 'POST /-/reload' },
    { who: `start on ${hostname()}`, what: 'config', why: 'start' },
  ]);
  expect(written[1]).toMatchObject({
    before: { hash: shadow.hash, settings: [{ file: 'tocsin.yaml', path: 'suppress.mode', was: 'shadow' }] },
    after: { hash: active.hash, settings: [{ file: 'tocsin.yaml', path: 'suppress.mode', is: 'active' }] },
  });
  expect(written[2]).toMatchObject({
    before: { hash: active.hash },
    after: {
      settings: [
        { path: 'suppress.mode', is: 'assist' },
        { file: 'routing.yaml', path: 'people' },
      ],
    },
  });
  // who is on call is personal
  expect(JSON.stringify(written)).not.toContain('ben');
  expect((await verifyAudit(database.pool, auditKey)).ok).toBe(true);
});
