import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { analyze } from '../../src/analyze.ts';
import { loadModels } from '../../src/config/models.ts';
import type { Config } from '../../src/config/schema.ts';
import { emptyContainment } from '../../src/domain/containment.ts';
import { compileRules } from '../../src/rules.ts';
import { readRecent } from '../../src/store/recent.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { recorded, type Told } from '../fakes/recorded.ts';
import { firing, webhook } from '../fakes/service.ts';

const begin = Date.parse('2026-11-20T07:00:00Z');
const payment: Told = {
  fingerprint: 'a1',
  labels: { alertname: 'HighErrorRate', service: 'payment', severity: 'critical', namespace: 'shop' },
};
let db: TestDatabase;
let config: Config;
beforeAll(async () => {
  db = await withDatabase();
  const story = await recorded(
    db,
    {
      'tocsin.yaml': 'suppress: { mode: active }\nchannels: { slack: { token: { env: S } } }\n',
      'business-context.yaml':
        'services: { checkout: { owner: shop, tier: 1, revenue_per_hour: 500, currency: EUR, depends_on: [payment] }, payment: { owner: shop }, wiki: { owner: shop } }\n',
      'routing.yaml': 'teams: { shop: { slack: "#shop" } }\nroutes: { default_team: shop, channels: [slack] }\n',
      'suppression.yaml': 'noise: [ { name: wiki, match: [\'alertname="Old"\'], reason: "read tomorrow" } ]\n',
    },
    begin,
  );
  config = story.config;
  await story.at(1);
  await story.fire({
    fingerprint: 'old',
    labels: { alertname: 'Old', service: 'wiki', severity: 'low', namespace: 'docs' },
  });
  await story.at(2);
  await story.fire(payment);
  await story.at(3);
  await story.close();
}, 60_000);
afterAll(() => db.close());

const now = begin + 3 * 60_000;
const at = new Date(now).toISOString();
const ask = (body: unknown) => {
  const rules = compileRules(config, loadModels(), { assumeSecrets: true });
  const windowMs = Math.max(rules.windowMs, rules.reopenMs);
  const recent = (fingerprints: readonly string[]) => readRecent(db.pool, { now, windowMs, fingerprints });
  return analyze(body, 'default', { rules, containment: emptyContainment(), sources: [], recent }, now);
};
/** Every row of every table, counted. */
async function rows(): Promise<Record<string, number>> {
  const tables = await db.pool.query("select tablename from pg_tables where schemaname = 'public' order by 1");
  const counts: Record<string, number> = {};
  for (const { tablename } of tables.rows)
    counts[tablename] = (await db.pool.query(`select count(*)::int as n from "${tablename}"`)).rows[0].n;
  return counts;
}

describe('POST /api/v1/analyze, the dry run', () => {
  test('says what each alert would come to among the incidents that are open, and stores nothing', async () => {
    const before = await rows();
    const latency = { alertname: 'HighLatency', service: 'checkout', severity: 'high', namespace: 'shop' };
    const answer = await ask(webhook([firing(latency, { startsAt: at })]));
    expect(answer).toMatchObject({
      ok: true,
      quarantined: 0,
      faults: [],
      alerts: [
        {
          status: 'firing',
          labels: latency,
          enrichment: {
            analysis: {
              joins: { number: 2 },
              alertsTogether: 2,
              services: ['payment', 'checkout'],
              rootCauses: [{ service: 'payment' }, { service: 'checkout' }],
            },
            businessImpact: { revenuePerHour: 500, currency: 'EUR' },
            routing: { primaryTeam: 'shop', channels: ['slack:#shop'] },
            priority: expect.any(Number),
            suppress: { verdict: 'notify', mode: 'active', held: false },
          },
        },
      ],
    });
    expect(await rows()).toEqual(before);
  });

  test('one that joins nothing opens its own; a rule that fired before is no first, and its policy holds it back', async () => {
    const old = { alertname: 'Old', service: 'wiki', severity: 'low', namespace: 'docs', pod: 'another' };
    const answer = await ask(
      webhook([firing({ ...old, namespace: 'elsewhere', service: 'checkout-x' }, { startsAt: at })]),
    );
    if (!answer.ok) throw new Error(answer.detail);
    const { suppress, analysis } = answer.alerts[0]!.enrichment as {
      suppress: { reasons: { code: string }[] };
      analysis: object;
    };
    expect(analysis).toMatchObject({ joins: null });
    expect(suppress.reasons.map(({ code }) => code)).not.toContain('floor-first-ever');
    const held = await ask(webhook([firing({ ...old, namespace: 'other', service: 'wiki' }, { startsAt: at })]));
    expect(held).toMatchObject({ alerts: [{ enrichment: { suppress: { verdict: 'suppress', held: true } } }] });
  });

  test('an alert that fires already is told from its own incident; a resolve opens none', async () => {
    const again = await ask(
      webhook([{ ...firing(payment.labels), fingerprint: 'a1', startsAt: new Date(begin + 120_000).toISOString() }]),
    );
    expect(again).toMatchObject({
      alerts: [{ enrichment: { analysis: { joins: { number: 2 }, alertsTogether: 1 } } }],
    });
    const over = { ...firing({ alertname: 'Never', service: 'wiki' }), status: 'resolved' as const, endsAt: at };
    expect(await ask(webhook([over]))).toMatchObject({ ok: true, alerts: [{ status: 'resolved' }] });
  });

  test('hostile bodies: unusable ones are refused with a reason, unusable alerts are named with their place', async () => {
    expect(await ask('nonsense')).toMatchObject({ ok: false, detail: expect.stringContaining('no JSON object') });
    expect(await ask({ version: '4' })).toMatchObject({ ok: false, detail: expect.stringContaining('`alerts` array') });
    const deep: Record<string, unknown> = {};
    let inner = deep;
    for (let i = 0; i < 2_000; i += 1) inner = inner.x = {} as Record<string, unknown>;
    const body = webhook([firing({ alertname: 'Fine', service: 'wiki', __proto__: 'x' }, { startsAt: at })]);
    (body.alerts as unknown[]).push({ labels: { a: deep } }, null, { labels: {} });
    expect(await ask(body)).toMatchObject({
      ok: true,
      quarantined: 3,
      alerts: [{ labels: { alertname: 'Fine' } }],
      faults: [{ place: 'alerts[1].labels.a' }, { place: 'alerts[2]' }, { place: 'alerts[3].labels' }],
    });
  });
});
