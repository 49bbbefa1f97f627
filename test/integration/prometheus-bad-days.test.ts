import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import type { Facts } from '../../src/domain/facts.ts';
import { LeadMetrics } from '../../src/domain/metrics.ts';
import { gather } from '../../src/enrich/gather.ts';
import { json } from '../fakes/http-server.ts';
import { documented, type FakePrometheus, type PromHandler, startFakePrometheus, success } from '../fakes/prom-api.ts';
import { alertOf, configWith, sourceFor, subjectOf } from '../fakes/prom-source.ts';
import { until } from '../fakes/until.ts';

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

async function fake(handler: PromHandler): Promise<FakePrometheus> {
  const started = await startFakePrometheus(handler);
  open.push(started);
  return started;
}

const expr = 'max by (service, env) (demo_error_ratio) > 0.05';
const alert = (more: Record<string, string> = {}, startsAt = Date.now() - 60_000) =>
  alertOf(
    { alertname: 'HighErrorRatio', service: 'checkout', env: 'prod', severity: 'critical', ...more },
    { expr, startsAt },
  );

/** One gathering under the service's own deadline; `ms` is how long it took. */
async function facts(
  url: string,
  { deadline = '500ms', lead = alert(), timeout = '2s', within = 500 } = {},
): Promise<Facts & { ms: number }> {
  const { source, close } = sourceFor(configWith([{ name: 'main', url, timeout }], { deadline }));
  open.push({ close });
  const begun = performance.now();
  const got = await gather([source], subjectOf(lead), within);
  return { ...got, ms: performance.now() - begun };
}

/** 64 MiB of spaces in 64 kB. */
const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 32));

const vector = (result: unknown[]) => ({ resultType: 'vector', result });
const empty: PromHandler = ({ path }, response) =>
  path === '/api/v1/query_range'
    ? success(response, { resultType: 'matrix', result: [] })
    : path === '/api/v1/query'
      ? success(response, vector([]))
      : false;

describe('a bad day never harms the page', () => {
  const bodies: [string, PromHandler, RegExp | null][] = [
    [
      '422',
      (_, response) =>
        json(response, 422, { status: 'error', errorType: 'execution', error: 'found duplicate series' }),
      /refused the query \(422: found duplicate series\)/,
    ],
    [
      '503',
      (_, response) => json(response, 503, { status: 'error', errorType: 'timeout', error: 'query timed out' }),
      /answered 503: query timed out/,
    ],
    [
      '11,000 points',
      (call, response) =>
        call.path === '/api/v1/query_range'
          ? json(response, 400, {
              status: 'error',
              errorType: 'bad_data',
              error: 'exceeded maximum resolution of 11,000 points per timeseries',
            })
          : documented('thanos')(call, response),
      /refused the query \(400: exceeded maximum resolution/,
    ],
    [
      'HTML',
      (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Sign in</html>'),
      /is not JSON; is prometheus\[\]\.url right\?/,
    ],
    [
      'a login page',
      (_, response) => response.writeHead(401).end('no'),
      /refused our login \(401\); check prometheus\[\]\.auth/,
    ],
    [
      'a redirect',
      (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      /redirects \(302\)/,
    ],
    ['an empty vector', empty, null],
    ['not found at all', () => false, /it has no \/api\/v1\/query/],
    ['JSON of another kind', (_, response) => json(response, 200, [1, 2, 3]), /not that of a Prometheus/],
    [
      'success without sense',
      (_, response) => success(response, { resultType: 'vector', result: [{ metric: 7, value: 'x' }, null] }),
      /no vector|no list/,
    ],
    [
      'a gzip bomb',
      (_, response) =>
        response.writeHead(200, { 'content-encoding': 'gzip', 'content-type': 'application/json' }).end(bomb),
      /larger than we take/,
    ],
    [
      'a body cut off',
      (_, response) => {
        response.writeHead(200, { 'content-length': '1000' }).write('{"status"');
        response.destroy();
      },
      /closed the connection|failed/,
    ],
  ];
  test.each(bodies)('%s', async (_, handler, reason) => {
    const server = await fake(handler);
    const got = await facts(server.url);
    if (reason) expect(got.degraded).toEqual([{ stage: 'prometheus:main', reason: expect.stringMatching(reason) }]);
    else expect(got.degraded).toEqual([]);
    expect(got.ms).toBeLessThan(2_000);
  });

  test('one that hangs is said by its own name, in time', async () => {
    const server = await fake(() => new Promise(() => {}));
    const got = await facts(server.url);
    expect(got.degraded).toEqual([{ stage: 'prometheus:main', reason: 'no answer in time' }]);
    expect(server.most()).toBeLessThanOrEqual(4);
  });

  test('a slow one costs the message nothing, and the facts come to an edit', async () => {
    const slow = documented('thanos');
    const server = await fake(async (call, response) => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      return slow(call, response);
    });
    const late: string[] = [];
    const { source, close } = sourceFor(configWith([{ name: 'main', url: server.url }], { deadline: '300ms' }), {
      onLate: (id) => late.push(id),
    });
    open.push({ close });
    const lead = alert();
    const first = await source.gather(subjectOf(lead), new AbortController().signal);
    expect(first.lead).toEqual({});
    expect(first.degraded).toEqual([{ stage: 'prometheus:main', reason: 'no answer in time' }]);
    await until(
      () => late.length > 0,
      () => 'nobody said that the facts are there',
    );
    const calls = server.calls.length;
    const second = await source.gather(subjectOf(lead), new AbortController().signal);
    expect(second.lead?.prometheus).toMatchObject({ value: 0.14, plot: { step: 15 } });
    expect(second.degraded).toEqual([]);
    expect(late).toEqual(['i-1']);
    expect(server.calls.length).toBe(calls);
  });

  test.each([
    ['NaN', null],
    ['+Inf', null],
    ['-Inf', null],
    ['1e-05', 0.00001],
  ])('a value of %s', async (text, value) => {
    const server = await fake(({ path, params }, response) => {
      const metric = { service: 'checkout', env: 'prod' };
      const at = Number(params.get('time') ?? params.get('end'));
      if (path === '/api/v1/query') return success(response, vector([{ metric, value: [at, text] }]));
      if (path === '/api/v1/query_range')
        return success(response, {
          resultType: 'matrix',
          result: [
            {
              metric,
              values: [
                [at - 15, text],
                [at, text],
              ],
            },
          ],
        });
      return false;
    });
    const got = await facts(server.url);
    const metrics = LeadMetrics.parse(JSON.parse(JSON.stringify(got.lead.prometheus)));
    expect(metrics.value).toBe(value);
    expect(metrics.text).toContain(value === null ? text : '0.00001');
  });

  test('50,000 series: the alert is narrowed down to, and nobody else is fetched', async () => {
    const many = vector(
      Array.from({ length: 50_000 }, (_, i) => ({ metric: { service: `s${i}`, env: 'prod' }, value: [0, '0.5'] })),
    );
    const server = await fake(({ path, params }, response) => {
      const query = params.get('query') ?? '';
      const metric = { service: 'checkout', env: 'prod' };
      if (path === '/api/v1/query' && query.startsWith('topk(1, '))
        return success(response, vector([{ metric: { service: 's9', env: 'prod' }, value: [0, '0.9'] }]));
      if (path === '/api/v1/query' && query.includes(' and on (env, service) '))
        return success(response, vector([{ metric, value: [Number(params.get('time')), '0.14'] }]));
      if (path === '/api/v1/query' && query.includes('demo_error_ratio')) return success(response, many);
      return empty({ path, params, at: 0 }, response);
    });
    // Our own server writes 3 MB first, on a machine that may be busy.
    const got = await facts(server.url, { deadline: '10s', timeout: '10s', within: 10_000 });
    expect(got.lead.prometheus).toMatchObject({ value: 0.14, seriesTotal: null, labels: { service: 'checkout' } });
    const ranges = server.calls
      .filter(({ path }) => path === '/api/v1/query_range')
      .map(({ params }) => params.get('query'));
    expect(ranges.filter((query) => query?.includes('demo_error_ratio') && !query.includes(' and on ('))).toEqual([]);
  });

  test('what was too large once is not fetched again for the next alerts of the rule', async () => {
    const many = vector(
      Array.from({ length: 50_000 }, (_, i) => ({ metric: { service: `s${i}`, env: 'prod' }, value: [0, '0.5'] })),
    );
    const server = await fake(({ path, params }, response) => {
      const query = params.get('query') ?? '';
      if (path === '/api/v1/query' && query === 'max by (service, env) (demo_error_ratio)')
        return success(response, many);
      return empty({ path, params, at: 0 }, response);
    });
    const { source, close } = sourceFor(configWith([{ name: 'main', url: server.url }]));
    open.push({ close });
    for (const ago of [60_000, 30_000, 0]) await gather([source], subjectOf(alert({}, Date.now() - ago)), 2_000);
    const whole = server.calls.filter(
      ({ path, params }) =>
        path === '/api/v1/query' && params.get('query') === 'max by (service, env) (demo_error_ratio)',
    );
    expect(whole).toHaveLength(1);
  });

  test('an alert that lost labels on its way is the series that shares most and contradicts nothing, the worst of equals', async () => {
    const series = [
      { metric: { service: 'checkout', env: 'prod', instance: 'a' }, value: 0.06 },
      { metric: { service: 'checkout', env: 'prod', instance: 'b' }, value: 0.09 },
      { metric: { service: 'checkout', env: 'dev', instance: 'c' }, value: 0.9 },
      { metric: { service: 'cart', instance: 'd' }, value: 0.9 },
    ];
    const server = await fake(({ path, params }, response) => {
      const at = Number(params.get('time'));
      if (path !== '/api/v1/query' || !params.get('query')?.startsWith('max by')) return false;
      return success(response, vector(series.map(({ metric, value }) => ({ metric, value: [at, String(value)] }))));
    });
    const got = await facts(server.url);
    expect(got.lead.prometheus).toMatchObject({ value: 0.09, labels: { instance: 'b' } });
  });

  test('one that lies about its version is not believed blindly: its rules are filtered', async () => {
    const server = await fake((call, response) => {
      if (call.path === '/api/v1/status/buildinfo') return success(response, { version: '99.0.0' });
      if (call.path === '/api/v1/rules')
        return success(response, {
          groups: [
            {
              name: 'g',
              rules: [{ type: 'alerting', name: 'Other', query: 'secret_metric > 1', duration: 0, labels: {} }],
            },
          ],
        });
      return documented('thanos')(call, response);
    });
    const got = await facts(server.url);
    expect(got.lead.prometheus).toMatchObject({
      expression: 'max by (service, env) (demo_error_ratio)',
      onsetAt: null,
    });
    expect(server.calls.some(({ params }) => params.get('query')?.includes('secret_metric'))).toBe(false);
  });

  test('an address in an alert is never fetched, and its text never becomes more than an expression', async () => {
    const victim = await fake((_, response) => success(response, vector([])));
    const server = await fake(empty);
    const lead = { ...alert(), generatorUrl: `${victim.url}/graph?g0.expr=up%29%20or%20vector%281` };
    const got = await facts(server.url, { lead });
    expect(victim.calls).toEqual([]);
    expect(got.lead).toEqual({});
    expect(
      server.calls.map(({ params }) => params.get('query')).filter((query) => query?.includes('vector(1')),
    ).toEqual([]);
  });

  test('after five unanswered requests in a row it is left alone, and that is said', async () => {
    const server = await fake((_, response) => json(response, 503, { status: 'error', error: 'shutting down' }));
    const { source, close } = sourceFor(configWith([{ name: 'main', url: server.url }]));
    open.push({ close });
    for (let i = 0; i < 5; i += 1)
      await source.gather(subjectOf(alert({ env: `e${i}` }), Date.now() + i), new AbortController().signal);
    const asked = server.calls.length;
    const got = await source.gather(subjectOf(alert(), Date.now() + 100), new AbortController().signal);
    expect(server.calls.length).toBe(asked);
    expect(got.degraded).toEqual([
      { stage: 'prometheus:main', reason: expect.stringContaining('did not answer 5 times in a row') },
    ]);
  });
});

describe('what speaks the same API', () => {
  test.each([
    ['prometheus-3', 120],
    ['thanos', 120],
    ['mimir', 120],
    ['victoriametrics', null],
  ])('%s, by its documented answers', async (name, forSeconds) => {
    const server = await fake(documented(name));
    const lead = alert();
    const got = await facts(server.url, { lead });
    expect(got.degraded).toEqual([]);
    const metrics = LeadMetrics.parse(got.lead.prometheus);
    expect(metrics).toMatchObject({
      value: 0.14,
      threshold: 0.05,
      trend: { direction: 'rising', slopePerMinute: 0.04 },
      onsetAt: forSeconds === null ? null : new Date(lead.startsAt - forSeconds * 1000).toISOString(),
      seriesBeyond: 1,
      seriesTotal: 2,
    });
    const rules = server.calls.find(({ path }) => path === '/api/v1/rules')!;
    // Only Prometheus itself is believed to know rule_name[]: what the others call their version is not its.
    expect(rules.params.has('rule_name[]')).toBe(name === 'prometheus-3');
  });
});

test('1,000 alerts of ten rules in a burst cost at most 300 requests, and each gets its value', async () => {
  const server = await fake(async ({ path, params }, response) => {
    await new Promise((resolve) => setTimeout(resolve, 2));
    const query = params.get('query') ?? '';
    const at = Number(params.get('time') ?? params.get('end'));
    const rule = /metric_(\d)\b/.exec(query)?.[1];
    const series = rule ? Array.from({ length: 100 }, (_, i) => ({ service: `service-${rule}-${i}` })) : [];
    if (path === '/api/v1/query')
      return success(response, vector(series.map((metric, i) => ({ metric, value: [at, String(1 + i / 100)] }))));
    if (path === '/api/v1/query_range')
      return success(response, {
        resultType: 'matrix',
        result: series.map((metric, i) => ({
          metric,
          values: [45, 30, 15, 0].map((back) => [at - back, String(1 + i / 100 - back / 1000)]),
        })),
      });
    if (path === '/api/v1/label/__name__/values') return success(response, ['http_requests_total', 'up']);
    if (path === '/api/v1/series') return success(response, []);
    return false;
  });
  const { source, close } = sourceFor(configWith([{ name: 'main', url: server.url }], { deadline: '30s' }));
  open.push({ close });
  const startsAt = Date.now() - 60_000;
  const answers: Partial<Facts>[] = [];
  // Not all at once: a storm comes over seconds, in waves, and so do its questions.
  for (let wave = 0; wave < 10; wave += 1) {
    const now = Date.now();
    answers.push(
      ...(await Promise.all(
        Array.from({ length: 100 }, (_, k) => {
          const [rule, i] = [k % 10, wave * 10 + Math.floor(k / 10)];
          const lead = alertOf(
            { alertname: `Rule${rule}`, service: `service-${rule}-${i}` },
            { expr: `metric_${rule} > 0.5`, startsAt },
          );
          return source.gather({ ...subjectOf(lead, now), incidentId: `${rule}-${i}` }, new AbortController().signal);
        }),
      )),
    );
  }
  expect(answers).toHaveLength(1_000);
  expect(
    answers.filter(({ lead }) => typeof (lead?.prometheus as { value?: number } | undefined)?.value === 'number'),
  ).toHaveLength(1_000);
  expect(server.calls.length).toBeLessThanOrEqual(300);
  expect(server.calls.filter(({ params }) => /metric_\d/.test(params.get('query') ?? '')).length).toBeLessThanOrEqual(
    60,
  );
  expect(server.most()).toBeLessThanOrEqual(4);
});
