import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BusinessFile, type Config } from '../../src/config/schema.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import type { Facts } from '../../src/domain/facts.ts';
import { gather, type Subject } from '../../src/enrich/gather.ts';
import { assessImpact } from '../../src/score/impact.ts';
import { json, startHttpServer } from '../fakes/http-server.ts';
import { startFakePrometheus, success } from '../fakes/prom-api.ts';
import { hasPrometheus, type RealPrometheus, startPrometheus } from '../fakes/prom-binary.ts';
import { alertOf, configWith, sourceFor, subjectOf } from '../fakes/prom-source.ts';
import { until } from '../fakes/until.ts';

const installed = hasPrometheus();
if (!installed && process.env.CI === 'true') throw new Error('prometheus is not installed: apt-get install prometheus');

const errors =
  'sum(rate(shop_requests_total{service="{{service}}",code=~"5.."}[{{window}}])) / sum(rate(shop_requests_total{service="{{service}}"}[{{window}}]))';
const slo = { objective: 99.9, window: '30d', errors };
const people = { query: 'sum(shop_sessions{service="{{service}}"})' };

const declaring = (url: string, services: object): Config => ({
  ...configWith([{ name: 'main', url, timeout: '1s' }], { golden_signals: [] }),
  business: BusinessFile.parse({ services }),
});
const graph = buildGraph({ edges: [{ caller: 'shop', callee: 'checkout' }] });

/** What the service would make of it: the facts in time, and the impact that they mean. */
async function look(config: Config, subject: Subject, deadlineMs = 5_000) {
  const { source, close } = sourceFor(config, { graph: () => graph });
  try {
    const facts: Facts = await gather([source], subject, deadlineMs);
    const { impact, notes } = assessImpact({
      services: subject.services.map(({ service }) => service),
      suspect: null,
      severity: 'medium',
      catalogue: new Map(Object.entries(config.business.services)),
      graph,
      facts,
      startedAt: subject.startedAt,
      now: subject.now,
      over: false,
      edges: [],
    });
    return { facts, impact, notes };
  } finally {
    await close();
  }
}

const about = (...names: string[]): Subject => {
  const lead = alertOf({ alertname: 'HighErrorRate', service: names[0]! }, { startsAt: Date.now() - 1_000 });
  return { ...subjectOf(lead), services: names.map((service) => ({ service, namespace: null })) };
};

describe.skipIf(!installed)('a real Prometheus', () => {
  let prometheus: RealPrometheus;
  let exporter: { url: string; close(): Promise<void> };
  let served = 0;

  beforeAll(async () => {
    exporter = await startHttpServer((_, response) => {
      served += 100;
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(`
shop_requests_total{service="checkout",code="200"} ${served}
shop_requests_total{service="checkout",code="503"} ${served / 20}
shop_requests_total{service="calm",code="200"} ${served}
shop_requests_total{service="calm",code="503"} 0
shop_requests_total{service="idle",code="200"} 7
shop_requests_total{service="idle",code="503"} 0
shop_sessions{service="checkout",pod="a"} 1200
shop_sessions{service="checkout",pod="b"} 34
shop_sessions{service="shop",pod="a"} 5000
`);
    });
    prometheus = await startPrometheus({
      config: {
        global: { scrape_interval: '1s' },
        scrape_configs: [
          { job_name: 'demo', honor_labels: true, static_configs: [{ targets: [new URL(exporter.url).host] }] },
        ],
      },
      rules: { groups: [] },
    });
    const rate = `${prometheus.url}/api/v1/query?query=${encodeURIComponent('rate(shop_requests_total[1m])')}`;
    await until(
      async () => {
        const { data } = (await (await fetch(rate)).json()) as { data: { result: unknown[] } };
        return data.result.length >= 6;
      },
      () => 'prometheus has no rates yet',
      30_000,
    );
  }, 60_000);
  afterAll(async () => {
    await prometheus?.stop();
    await exporter?.close();
  });

  test('says how fast each error budget burns, at every speed, and the worst of them is the risk', async () => {
    const config = declaring(prometheus.url, { checkout: { slo }, calm: { slo }, idle: { slo } });
    const { facts, impact, notes } = await look(config, about('checkout', 'calm', 'idle'));
    expect(facts.degraded).toEqual([]);
    // 5 of 105 requests fail, 47.6 times as many as one in a thousand.
    const { rates, budgetLeft } = facts.burn.checkout!;
    expect(Object.keys(rates)).toEqual(['5m', '30m', '1h', '6h', '3d']);
    for (const rate of Object.values(rates)) expect(rate).toBeCloseTo(47.6, 0);
    expect(budgetLeft).toBeCloseTo(-46.6, 0);
    expect(facts.burn.calm).toEqual({ rates: { '5m': 0, '30m': 0, '1h': 0, '6h': 0, '3d': 0 }, budgetLeft: 1 });
    // No traffic: 0 / 0 is no figure.
    expect(facts.burn.idle).toEqual({
      rates: { '5m': null, '30m': null, '1h': null, '6h': null, '3d': null },
      budgetLeft: null,
    });
    expect(impact.slaBreachRisk).toBe('high');
    expect(notes.find((note) => note.startsWith('The error budget of checkout'))).toMatch(
      /burns 47\.\d in 5m, .* over 14\.4 in 1h and 5m; -\d+ % of it is left/,
    );
    expect(notes).toContain('The errors of idle are not known, so the worst case is taken');
  });

  test('counts who uses a service now, also that of a caller that may follow; where nothing is counted nothing is said', async () => {
    const services = { checkout: { users: people }, shop: { users: people }, calm: { users: people } };
    const config = declaring(prometheus.url, services);
    const { facts, impact } = await look(config, about('checkout'));
    expect(facts.users).toEqual({ checkout: 1234, shop: 5000 });
    expect(impact.affectedUsers).toBe(1234);
    const calm = await look(config, about('calm'));
    expect(calm.facts.users).toEqual({ calm: null });
    expect(calm.impact.affectedUsers).toBeNull();
    expect(calm.facts.degraded).toEqual([]);
  });
});

describe('a Prometheus that does not answer', () => {
  const services = { checkout: { users: people, slo } };

  test('to one of the questions: that figure is missing and named, the other is there', async () => {
    const server = await startFakePrometheus(({ params }, response) => {
      if (!params.get('query')?.includes('shop_sessions'))
        return success(response, { resultType: 'vector', result: [] });
      return json(response, 422, { status: 'error', errorType: 'execution', error: 'too many samples' });
    });
    const { facts, impact } = await look(declaring(server.url, services), about('checkout'));
    await server.close();
    expect(facts.users).toEqual({});
    expect(impact.affectedUsers).toBeNull();
    expect(facts.burn.checkout).toBeDefined();
    expect(facts.degraded).toEqual([
      { stage: 'prometheus:main', reason: 'users of checkout: refused the query (422: too many samples)' },
    ]);
  });

  test('at all: nothing is made up, the objective is judged by the worst case, and the outage is said once', async () => {
    const server = await startFakePrometheus(() => new Promise(() => {}));
    const { facts, impact, notes } = await look(declaring(server.url, services), about('checkout'), 500);
    await server.close();
    expect([facts.users, facts.burn, impact.affectedUsers]).toEqual([{}, {}, null]);
    expect(facts.degraded).toHaveLength(1);
    expect(impact.slaBreachRisk).not.toBe('unknown');
    expect(notes).toContain('The errors of checkout are not known, so the worst case is taken');
  });
});
