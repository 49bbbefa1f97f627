import { afterEach, expect, test } from 'vitest';
import type { LeadMetrics } from '../../src/domain/metrics.ts';
import { scoreSeries } from '../../src/enrich/anomaly/detector.ts';
import { loadAnomalyModel } from '../../src/enrich/anomaly/model.ts';
import { judgeBy } from '../../src/enrich/prometheus/judge.ts';
import { type FakePrometheus, startFakePrometheus, success } from '../fakes/prom-api.ts';
import { alertOf, configWith, sourceFor, subjectOf } from '../fakes/prom-source.ts';

let server: FakePrometheus | null = null;
let stop: (() => void) | null = null;
afterEach(async () => {
  stop?.();
  await server?.close();
});

const model = loadAnomalyModel();
const golden_signals = [
  {
    name: 'errors',
    query: 'sum(rate(errors_total{service="{{service}}"}[5m])) / sum(rate(requests_total{service="{{service}}"}[5m]))',
  },
  { name: 'requests/s', query: 'sum(rate(requests_total{service="{{service}}"}[5m]))' },
];

/** Errors jump at the onset, requests go on as before; a value a minute for as long as it is asked for. */
async function shop(startsAt: number) {
  server = await startFakePrometheus(({ path, params }, response) => {
    if (path === '/api/v1/label/__name__/values') return success(response, ['errors_total', 'requests_total']);
    if (path !== '/api/v1/query_range') return false;
    const [start, end, step] = ['start', 'end', 'step'].map((name) => Number(params.get(name)));
    const values = (of: (at: number) => number) => {
      const series: [number, string][] = [];
      for (let at = start!; at <= end!; at += step!) series.push([at, String(of(at))]);
      return series;
    };
    return success(response, {
      resultType: 'matrix',
      result: [
        {
          metric: { tocsin_signal: 'errors' },
          values: values((at) => 0.01 + 0.002 * Math.sin(at) + (at * 1000 >= startsAt ? 0.3 : 0)),
        },
        { metric: { tocsin_signal: 'requests/s' }, values: values((at) => 50 + Math.sin(at)) },
      ],
    });
  });
  return server.url;
}

async function goldenOf(more: Parameters<typeof sourceFor>[1], asked = 1) {
  const startsAt = Date.now() - 5 * 60_000;
  const url = await shop(startsAt);
  const { source, close } = sourceFor(configWith([{ name: 'main', url }], { deadline: '10s', golden_signals }), more);
  stop = close;
  const lead = alertOf({ alertname: 'HighErrorRate', service: 'checkout' }, { startsAt });
  let facts = await source.gather(subjectOf(lead), new AbortController().signal);
  for (let i = 1; i < asked; i += 1) facts = await source.gather(subjectOf(lead), new AbortController().signal);
  return { facts, golden: facts.lead?.goldenSignals as LeadMetrics['goldenSignals'] };
}

test('golden signals are judged by the detector: what left its usual range, how, since when', async () => {
  let scored = 0;
  const anomaly = judgeBy(async (series, { extra }) => {
    if (extra) scored += 1;
    return scoreSeries(series, model);
  });
  const { facts, golden } = await goldenOf({ anomaly }, 3);
  const errors = golden.find(({ name }) => name === 'errors')!;
  expect(errors).toMatchObject({ service: 'checkout', unit: 'ratio' });
  expect(errors.before).toBeCloseTo(0.01, 2);
  expect(errors.anomaly!.score).toBeGreaterThan(0.5);
  expect(Math.abs(Date.parse(errors.anomaly!.onsetAt!) - (Date.now() - 5 * 60_000))).toBeLessThan(2 * 60_000);
  expect(golden.find(({ name }) => name === 'requests/s')!.anomaly!.score).toBeLessThan(0.5);
  // Ranking goes on with the score it was fitted with.
  expect(facts.serviceMetrics).toMatchObject([
    { service: 'checkout', metric: 'errors', type: 'errors' },
    { metric: 'requests/s' },
  ]);
  // Two signals, one question, scored once for three judgements of the incident.
  expect(server!.calls.filter(({ path }) => path === '/api/v1/query_range')).toHaveLength(1);
  expect(scored).toBe(2);
});

test('a detector that is busy or breaks costs the judgement, not the signals', async () => {
  const busy = await goldenOf({ anomaly: judgeBy(async () => null) });
  expect(busy.golden.map(({ name, anomaly }) => [name, anomaly])).toEqual([
    ['errors', null],
    ['requests/s', null],
  ]);
  expect(busy.facts.degraded).toEqual([]);
  stop?.();
  await server?.close();
  const broken = await goldenOf({ anomaly: () => Promise.reject(new Error('broken')) });
  expect(broken.golden).toHaveLength(2);
});
