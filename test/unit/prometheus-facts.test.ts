import { expect, test } from 'vitest';
import { topologyMappings } from '../../src/config/metric-queries.ts';
import { scoreSeries } from '../../src/enrich/anomaly/detector.ts';
import { loadAnomalyModel } from '../../src/enrich/anomaly/model.ts';
import type { MatrixSeries } from '../../src/enrich/prometheus/answers.ts';
import type { PrometheusServer } from '../../src/enrich/prometheus/client.ts';
import { judgeBy } from '../../src/enrich/prometheus/judge.ts';
import { expressionOf, pickServer } from '../../src/enrich/prometheus/servers.ts';
import { thinned } from '../../src/enrich/prometheus/service-metrics.ts';
import { plotSeries, trendOf, valueAt } from '../../src/enrich/prometheus/trend.ts';
import { inUnit, leadText, nameOf } from '../../src/enrich/prometheus/words.ts';
import { edgesIn, FORGET_MS, type LearnedEdge, learn } from '../../src/enrich/topology/edges.ts';

const server = (name: string, url: string, match?: Record<string, string>): PrometheusServer =>
  ({ name, url, match, timeout: 2_000, max_in_flight: 4, max_per_minute: 300 }) as PrometheusServer;
const alert = (labels: Record<string, string>, generatorUrl: string | null = null) => ({ labels, generatorUrl });

test('the server is chosen by labels first, then by the origin of the generatorURL, then whoever serves all', () => {
  const eu = server('eu', 'http://eu:9090', { cluster: 'eu' });
  const narrow = server('eu-pay', 'http://pay:9090', { cluster: 'eu', team: 'pay' });
  const any = server('any', 'https://metrics.example.com/prom');
  const other = server('other', 'https://metrics.example.com/other');
  const all = [eu, narrow, other, any];
  const pick = (labels: Record<string, string>, url: string | null = null) =>
    pickServer(all, alert(labels, url))?.name ?? null;
  expect(pick({ cluster: 'eu' })).toBe('eu');
  expect(pick({ cluster: 'eu', team: 'pay' })).toBe('eu-pay');
  expect(pick({ cluster: 'us' }, 'https://metrics.example.com/prom/graph?g0.expr=up')).toBe('any');
  expect(pick({ cluster: 'us' }, 'http://eu:9090/graph')).toBe('eu');
  expect(pick({ cluster: 'us' }, 'http://eu:9091/graph')).toBe('other');
  expect(pick({}, 'javascript:alert(1)')).toBe('other');
  expect(pickServer([eu], alert({ cluster: 'us' }))).toBeNull();
});

test('the expression of a generatorURL is read as Prometheus wrote it', () => {
  expect(expressionOf('http://p/graph?g0.expr=up+%3D%3D+0&g0.tab=1')).toBe('up == 0');
  expect(expressionOf('http://vmalert:8880/vmalert/alert?group_id=1')).toBeNull();
  expect(expressionOf('not a url')).toBeNull();
});

test('a plot is regular; gaps and numbers that JSON cannot hold are null', () => {
  const plot = plotSeries(
    [
      [60, 1],
      [75, Number.NaN],
      [105, 4],
    ],
    15,
  )!;
  expect(plot).toEqual({ start: 60, step: 15, values: [1, null, null, 4] });
  expect(valueAt(plot, 70_000)).toBe(1);
  expect(valueAt(plot, 104_000)).toBe(1);
  expect(valueAt(plot, 30_000)).toBeNull();
  expect(plotSeries([], 15)).toBeNull();
});

test('the trend is the slope of the last quarter of an hour, and small changes are steady', () => {
  const plot = (values: number[]) => ({ start: 0, step: 60, values });
  expect(trendOf(plot([...Array(30).fill(9), ...Array.from({ length: 16 }, (_, i) => i)]), 5)).toEqual({
    direction: 'rising',
    slopePerMinute: 1,
    overMinutes: 15,
  });
  expect(trendOf(plot([10, 8, 6, 4]), 5)).toMatchObject({ direction: 'falling', slopePerMinute: -2 });
  expect(trendOf(plot([10, 10.01, 10, 10.02]), 5)).toMatchObject({ direction: 'steady' });
  expect(trendOf(plot([1, 2]), 5)).toBeNull();
});

test('numbers have the unit that their metric names, where nothing was computed with it', () => {
  expect(nameOf('max by (l) (node_filesystem_avail_bytes{l="x"})')).toEqual({
    name: 'node filesystem avail bytes',
    unit: 'bytes',
  });
  expect(nameOf('histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))')).toMatchObject(
    { unit: 'seconds' },
  );
  expect(nameOf('rate(x_seconds_total[5m])')).toMatchObject({ unit: null });
  expect(nameOf('a_bytes / b_bytes')).toEqual({ name: 'value', unit: null });
  expect([
    inUnit(1536, 'bytes'),
    inUnit(0.35, 'seconds'),
    inUnit(9_000, 'seconds'),
    inUnit(97.5, 'percent'),
    inUnit(Number.NaN, null),
  ]).toEqual(['1.5 KiB', '350 ms', '2.5 h', '97.5 %', 'NaN']);
});

test('the line for the message says value, threshold, trend, how many, and what is down', () => {
  const told = {
    expression: 'demo_error_rate',
    operator: '>' as const,
    threshold: 0.05,
    trend: { direction: 'rising' as const, slopePerMinute: 0.004, overMinutes: 15 },
    seriesBeyond: 3,
    seriesTotal: 12,
    anomaly: null,
    targetsDown: [{ job: 'demo', instance: '10.0.0.1:80', lastError: 'connection refused' }],
    raw: 0.12,
  };
  expect(leadText(told)).toBe(
    'demo error rate 0.12 (threshold 0.05), rising 0.004/min; 3 of 12 series are beyond it; target 10.0.0.1:80 is down: connection refused',
  );
  const absent = { ...told, operator: null, threshold: null, trend: null, seriesTotal: 1, targetsDown: [], raw: 1 };
  expect(leadText(absent)).toBe('demo error rate 1');
});

test('samples that a range query repeats are taken once', () => {
  const value = (minute: number) => Math.sin(Math.floor(minute / 5)) + 2;
  const repeated: MatrixSeries[] = [
    { metric: { __name__: 'm' }, values: Array.from({ length: 75 }, (_, i) => [i * 60, value(i + 3)] as const) },
  ];
  const [one] = thinned(repeated);
  expect(one!.values).toHaveLength(15);
  expect(one!.values[0]).toEqual([120, value(5)]);
  const fresh: MatrixSeries[] = [
    { metric: {}, values: Array.from({ length: 75 }, (_, i) => [i * 60, Math.sin(i)] as const) },
  ];
  expect(thinned(fresh)).toEqual(fresh);
});

const [traces, istio] = topologyMappings;
const edge = (metric: Record<string, string>, value: number) => ({ metric, sample: [0, value] as const });

test('edges come with their weight; nobody, nothing and itself are none', () => {
  expect(
    edgesIn(
      [
        edge({ client: 'frontend', server: 'cart' }, 2),
        edge({ client: 'frontend', server: 'cart' }, 1),
        edge({ client: 'user', server: 'frontend' }, 5),
        edge({ client: 'cart', server: 'cart' }, 5),
        edge({ client: 'cart', server: 'idle' }, 0),
        edge({ client: 'cart', server: 'broken' }, Number.NaN),
        edge({ client: 'cart' }, 3),
      ],
      traces!,
    ),
  ).toEqual([{ namespace: null, caller: 'frontend', callee: 'cart', weight: 3 }]);
});

test('a call within a namespace keeps it, one between two has none', () => {
  const call = (from: string, to: string) =>
    edge(
      {
        source_workload: 'a',
        source_workload_namespace: from,
        destination_workload: 'b',
        destination_workload_namespace: to,
      },
      1,
    );
  expect(edgesIn([call('shop', 'shop'), call('shop', 'pay')], istio!).map(({ namespace }) => namespace)).toEqual([
    'shop',
    null,
  ]);
});

test('what was learned is refreshed, and forgotten after eight days without a call', () => {
  const seen = { namespace: null, caller: 'a', callee: 'b', weight: 1, source: 'main: istio' };
  const first = learn([], [seen], 1_000);
  expect(first).toMatchObject({ changed: true, edges: [{ firstSeenAt: 1_000, lastSeenAt: 1_000 }] });
  const again = learn(first.edges, [{ ...seen, weight: 9 }], 2_000);
  expect(again).toMatchObject({ changed: false, edges: [{ weight: 9, firstSeenAt: 1_000, lastSeenAt: 2_000 }] });
  const later: LearnedEdge[] = learn(again.edges, [], 2_000 + FORGET_MS).edges;
  expect(later).toHaveLength(1);
  expect(learn(later, [], 2_001 + FORGET_MS)).toEqual({ edges: [], changed: true });
});

test("the alert's own series is judged around its onset, and not without a past", async () => {
  const model = loadAnomalyModel();
  const judge = judgeBy(async (series) => scoreSeries(series, model));
  const onsetAt = 200 * 15_000;
  const points = Array.from({ length: 240 }, (_, i) => ({
    at: i * 15_000,
    value: 0.01 + 0.001 * Math.sin(i) + (i >= 200 ? 0.4 : 0),
  }));
  const found = await judge({ expression: 'demo_error_rate', points, onsetAt }, new AbortController().signal);
  expect(found).toMatchObject({ expected: { low: expect.any(Number), high: expect.any(Number) } });
  expect(found!.score).toBeGreaterThanOrEqual(0.5);
  expect(found!.text).toMatch(/: 0\.4\d+ where 0\.00\d+ to 0\.01\d* is usual/);
  expect(found!.onsetAt).toBe(new Date(onsetAt).toISOString());
  const young = await judge(
    { expression: 'm', points: points.slice(0, 10), onsetAt: null },
    new AbortController().signal,
  );
  expect(young).toBeNull();
});

test('an answer that an incident is judged by again and again is scored once', async () => {
  const model = loadAnomalyModel();
  let scored = 0;
  const judge = judgeBy(async (series) => {
    scored += 1;
    return scoreSeries(series, model);
  });
  const { signal } = new AbortController();
  const points = Array.from({ length: 120 }, (_, i) => ({ at: i * 60_000, value: Math.sin(i) + (i > 110 ? 9 : 0) }));
  const answer = {};
  const first = await judge({ expression: 'm', points, onsetAt: 110 * 60_000, answer }, signal);
  expect(await judge({ expression: 'm', points, onsetAt: 110 * 60_000, answer }, signal)).toBe(first);
  expect(scored).toBe(1);
  await judge({ expression: 'm', points, onsetAt: 60 * 60_000, answer }, signal);
  expect(scored).toBe(2);
});
