import { afterAll, beforeAll, expect, test } from 'vitest';
import { readScorecard } from '../../src/api/scorecard.ts';
import { runScorecard } from '../../src/cli/scorecard.ts';
import { readEnvironment } from '../../src/config/env.ts';
import { readLabels } from '../../src/store/labels.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { recorded, type Told } from '../fakes/recorded.ts';

const alert = (fingerprint: string, alertname: string, service: string): Told => ({
  fingerprint,
  labels: { alertname, service, severity: 'high' },
  summary: `${alertname} on ${service}`,
});
const memory = alert('m1', 'ContainerMemoryHigh', 'payment');
const latency = alert('l1', 'HighLatency', 'checkout');
const begin = Date.parse('2026-11-20T00:00:00Z');
const hour = 3_600_000;

let db: TestDatabase;
beforeAll(async () => {
  db = await withDatabase();
  const story = await recorded(
    db,
    {
      'business-context.yaml':
        'services: { checkout: { owner: shop, depends_on: [payment] }, payment: { owner: shop }, wiki: { owner: docs } }\n',
      'routing.yaml': 'teams: { shop: {}, docs: {} }\nroutes: { default_team: shop }\n',
    },
    begin,
  );
  // Twelve faults of the same kind, an hour apart; ana judges each of them.
  for (let n = 0; n < 12; n += 1) {
    await story.at(n * 60 + 1);
    await story.fire(memory, latency);
    await story.at(n * 60 + 5);
    await story.act('feedback', 'm1', 'ana', { kind: 'related', alert: 'm1', other: 'l1' });
    await story.act('feedback', 'm1', 'ana', { kind: n < 10 ? 'right-cause' : 'wrong-cause', service: 'payment' });
    await story.act('feedback', 'm1', 'ana', { kind: 'real' });
    await story.act('feedback', 'm1', 'ana', { kind: 'real' });
    await story.at(n * 60 + 10);
    await story.end(memory, latency);
  }
  await story.at(14 * 60);
  await story.close();
}, 60_000);
afterAll(() => db.close());

test('labels of the store come to a scorecard, each share with the judgements it rests on', async () => {
  const card = await readScorecard(db.pool, begin, begin + 24 * hour);
  expect(card.labels).toEqual({
    n: 36,
    people: 1,
    byKind: { related: 12, 'right-cause': 10, 'wrong-cause': 2, real: 12 },
  });
  expect(card.grouping.precision).toMatchObject({ n: 12, count: 12 });
  expect(card.grouping.untouched).toMatchObject({ n: 12, count: 12 });
  expect(card.causes.top1.n).toBe(12);
  expect(card.pages.noise).toMatchObject({ n: 12, count: 0, share: 0 });
  const early = await readScorecard(db.pool, begin, begin + 3 * hour);
  expect(early.pages.noise).toMatchObject({ n: 3, share: null });
});

test('each label says which config and which models it judges', async () => {
  for (const label of await readLabels(db.pool, begin, begin + 24 * hour)) {
    expect(label.configHash).toMatch(/^[0-9a-f]{12}$/);
    expect(label.models).toEqual({ correlation: expect.any(String), causes: expect.any(String) });
    expect(label.ranking!.causes.length).toBeGreaterThan(0);
  }
});

test('the command says it in words and as JSON, and a period it cannot read is exit code 2', async () => {
  const run = async (more: { from?: string; to?: string; json?: boolean }) => {
    let [out, err] = ['', ''];
    const code = await runScorecard({
      environment: { ...readEnvironment({}), databaseUrl: db.url },
      from: more.from ?? null,
      to: more.to ?? null,
      json: more.json ?? false,
      now: begin + 24 * hour,
      out: (text) => {
        out += text;
      },
      err: (text) => {
        err += text;
      },
    });
    return { code, out, err };
  };
  const words = await run({});
  expect(words.code).toBe(0);
  expect(words.out).toMatch(/36 labels by 1 person/);
  expect(words.out).toMatch(/Noise, of what was judged +0 % \(0 of 12; 95 % interval 0 % to 24 %\)/);
  expect(words.out).toMatch(/Kept apart rightly, of what was judged apart +too few judged to say \(0\)/);
  expect(JSON.parse((await run({ json: true })).out).labels.n).toBe(36);
  expect(await run({ from: 'soon' })).toMatchObject({ code: 2, err: expect.stringContaining('soon') });
});
