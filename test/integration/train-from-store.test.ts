import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModels, modelsDir } from '../../src/config/models.ts';
import type { Config } from '../../src/config/schema.ts';
import { trainFromStore, trainOn } from '../../src/correlate/train/from-store.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { recorded, type Told } from '../fakes/recorded.ts';

const alert = (fingerprint: string, alertname: string, service: string): Told => ({
  fingerprint,
  labels: { alertname, service, severity: 'high' },
});
const memory = alert('m1', 'ContainerMemoryHigh', 'payment');
const latency = alert('l1', 'HighLatency', 'checkout');
const begin = Date.parse('2026-11-01T00:00:00Z');
const day = 86_400_000;

let db: TestDatabase;
let dir: string;
let config: Config;
beforeAll(async () => {
  db = await withDatabase();
  dir = mkdtempSync(join(tmpdir(), 'tocsin-train-'));
  const story = await recorded(
    db,
    { 'business-context.yaml': 'services: { checkout: { depends_on: [payment] }, payment: {} }\n' },
    begin,
  );
  config = story.config;
  // Thirty faults; the first suspect is nearly always wrong, and the two alerts always belong together.
  for (let n = 0; n < 30; n += 1) {
    await story.at(n * 240 + 1);
    await story.fire(memory, latency);
    await story.at(n * 240 + 2);
    const kind = n % 10 === 0 ? 'right-cause' : 'wrong-cause';
    await story.act('feedback', 'm1', 'ana', { kind });
    await story.act('feedback', 'm1', 'ana', { kind: 'related', alert: 'm1', other: 'l1' });
    await story.at(n * 240 + 10);
    await story.end(memory, latency);
  }
  await story.close();
}, 120_000);
afterAll(async () => {
  rmSync(dir, { recursive: true, force: true });
  await db.close();
});

async function train(until: number, out: string | null) {
  let [said, failed] = ['', ''];
  const print = (text: string) => {
    said += text;
  };
  const fail = (text: string) => {
    failed += text;
  };
  const code = await trainOn(db.pool, config, { since: begin, until, out }, { print, fail });
  return { code, said, failed };
}

test('too few labels are refused with what to do, and nothing is written', async () => {
  const out = join(dir, 'early');
  const { code, said, failed } = await train(begin + day, out);
  expect(code).toBe(1);
  expect(said).toMatch(/calibration of causes: 6 judgements of 6 incidents, where 20 of 20 are needed/);
  expect(failed).toMatch(/Too few labels to learn from: .* Nothing was written/);
  expect(() => readdirSync(out)).toThrow();
});

test('a suspect that was too sure of itself is refitted, with before and after, a version and a card, the same each time', async () => {
  const [first, second] = [join(dir, 'one'), join(dir, 'two')];
  const { code, said } = await train(begin + 10 * day, first);
  expect(code).toBe(0);
  expect(said).toMatch(/calibration of causes: 30 judgements of 30 incidents/);
  expect(said).toMatch(/log loss \(alerts\): (\S+) as it is, (\S+) refitted/);
  // The pairs that people judged are as they were: nothing to learn there.
  expect(said).toMatch(/correlation: 30 judgements of 30 incidents\.\n {2}judged pairs right: 1\.000 as it is/);
  const models = loadModels(first);
  const shipped = loadModels();
  expect(models.causes.version).toMatch(/\+store\.[0-9a-f]{8}$/);
  expect(models.causes.alerts.platt).not.toEqual(shipped.causes.alerts.platt);
  expect(models.causes.alerts.weights).toEqual(shipped.causes.alerts.weights);
  expect(models.correlation).toEqual(shipped.correlation);
  expect(readFileSync(join(first, 'causes.card.md'), 'utf8')).toContain('| log loss (alerts) |');
  await train(begin + 10 * day, second);
  for (const name of readdirSync(first))
    expect(readFileSync(join(second, name))).toEqual(readFileSync(join(first, name)));
});

test('without --out it only says what would change; the models in use are never written over', async () => {
  const { code, said } = await train(begin + 10 * day, null);
  expect(code).toBe(0);
  expect(said).toContain('Nothing was written: give --out DIR');
  let failed = '';
  const refused = await trainFromStore({
    since: null,
    until: null,
    out: modelsDir,
    config: join(import.meta.dirname, '../../config'),
    print: () => {},
    fail: (text) => {
      failed += text;
    },
  });
  expect(refused).toBe(2);
  expect(failed).toContain('holds the models in use');
});
