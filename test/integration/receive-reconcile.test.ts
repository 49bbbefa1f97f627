import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Config } from '../../src/config/schema.ts';
import { type PollJson, parsePoll } from '../../src/receive/poll.ts';
import { createReconciler, type Reconciler } from '../../src/receive/reconcile.ts';
import type { NewInboxItem } from '../../src/store/types.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { createOutbound, type Outbound } from '../../src/telemetry/outbound.ts';
import { doorConfig } from '../fakes/receive-config.ts';

/** An Alertmanager as far as a poller sees it. */
let alerts: unknown;
let silences: unknown;
let uptime: string;
let status: number;
let asked: { url: string; authorization: string | undefined }[];
let fake: Server;
let config: Config;
let stored: NewInboxItem[];
let now: number;
let firing: Set<string>;
let warnings: object[];
let outbound: Outbound;
let metrics: Metrics;
let reconciler: Reconciler;

beforeEach(async () => {
  [alerts, uptime, status, asked, stored, warnings] = [[], '2026-11-20T07:00:00.123456789Z', 200, [], [], []];
  silences = [];
  firing = new Set();
  now = Date.parse('2026-11-20T08:00:00Z');
  fake = createServer((req, res) => {
    asked.push({ url: req.url!, authorization: req.headers.authorization });
    res.statusCode = status;
    res.end(
      JSON.stringify(
        req.url!.includes('/status')
          ? { uptime, cluster: {}, versionInfo: {}, config: { original: '' } }
          : req.url!.includes('/silences')
            ? silences
            : alerts,
      ),
    );
  });
  await new Promise<void>((resolve) => fake.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(fake.address() as AddressInfo).port}/prefix`;
  config = doorConfig({ alertmanager: [{ name: 'main', url, auth: { bearer: { env: 'AM' } } }] }, { AM: 'am-secret' });
  metrics = createMetrics();
  outbound = createOutbound({ timeoutMs: 5_000, log: { debug() {} }, registry: metrics.registry });
  reconciler = createReconciler({
    config: () => config,
    append: async (item) => void stored.push(item),
    outbound,
    isFiring: (source, fingerprint) => source === 'main' && firing.has(fingerprint),
    log: { info: () => undefined, warn: (fields: object) => void warnings.push(fields) } as never,
    metrics,
    now: () => now,
  });
});
afterEach(async () => {
  await reconciler.stop();
  outbound.close();
  fake.closeAllConnections();
  await new Promise((resolve) => fake.close(resolve));
});

const listed = (fingerprint: string, extra: object = {}) => ({
  fingerprint,
  labels: { alertname: 'A', pod: fingerprint },
  annotations: { summary: 'x' },
  startsAt: '2026-11-20T07:30:00Z',
  endsAt: new Date(now + 240_000).toISOString(),
  updatedAt: '2026-11-20T07:59:00Z',
  generatorURL: 'http://p/graph',
  receivers: [{ name: 'tocsin' }],
  status: { state: 'active', silencedBy: [], inhibitedBy: [], mutedBy: [] },
  ...extra,
});
const bodyOf = (item: NewInboxItem) => JSON.parse(item.body.toString()) as PollJson;

test('the whole list goes into the inbox, with credentials under the path prefix, and says since when Alertmanager runs', async () => {
  alerts = [
    listed('a'),
    listed('b', { status: { state: 'suppressed', silencedBy: ['s'], inhibitedBy: [] } }),
    { broken: true },
    null,
  ];
  expect(await reconciler.poll('main')).toEqual({ status: 'stored', alerts: 2 });
  expect(asked.map(({ url }) => url.split('?')[0])).toEqual([
    '/prefix/api/v2/alerts',
    '/prefix/api/v2/status',
    '/prefix/api/v2/silences',
  ]);
  expect(asked[0]!.url).toMatch(/active=true&silenced=true&inhibited=true&unprocessed=true/);
  expect(asked[0]!.authorization).toBe('Bearer am-secret');
  expect(stored[0]).toMatchObject({ kind: 'poll', source: 'main', receivedAt: now });
  expect(bodyOf(stored[0]!)).toMatchObject({
    source: 'main',
    polledAt: now,
    uptimeSince: Date.parse('2026-11-20T07:00:00.123Z'),
  });
  const parsed = parsePoll(stored[0]!.body, { severityMap: {}, labelNames: config.tocsin.labels });
  if (!parsed.ok) throw new Error(parsed.reason);
  expect(parsed.alerts.map(({ fingerprint, suppressed }) => [fingerprint, suppressed])).toEqual([
    ['a', false],
    ['b', true],
  ]);
  expect(parsed.alerts[0]!.seen).toMatchObject({ alertname: 'A', annotations: { summary: 'x' } });
});

test('what fires here already is listed without its labels', async () => {
  firing.add('a');
  alerts = [listed('a'), listed('b')];
  await reconciler.poll('main');
  expect(bodyOf(stored[0]!).alerts.map((alert) => alert.detail === undefined)).toEqual([true, false]);
});

test('an unchanged list is stored twice, then every four minutes twice again; a moving endsAt is no change', async () => {
  const run = async (minutes: number) => {
    now += minutes * 60_000;
    alerts = [listed('a')];
    return (await reconciler.poll('main')).status;
  };
  expect([await run(0), await run(0.5), await run(0.5), await run(0.5)]).toEqual([
    'stored',
    'stored',
    'unchanged',
    'unchanged',
  ]);
  expect([await run(4), await run(0.5), await run(0.5)]).toEqual(['stored', 'stored', 'unchanged']);
  now += 30_000;
  alerts = [];
  expect((await reconciler.poll('main')).status).toBe('stored');
  uptime = '2026-11-20T07:59:00Z';
  expect((await reconciler.poll('main')).status).toBe('stored');
});

test('a poll that fails stores nothing, says why once, and says nothing secret', async () => {
  for (const [code, list] of [
    [503, []],
    [401, []],
    [200, { not: 'a list' }],
    [200, 'text'],
  ] as const) {
    status = code;
    alerts = list;
    expect(await reconciler.poll('main')).toMatchObject({
      status: 'failed',
      reason: expect.stringMatching(/answered 503|answered 401.*auth|no list/),
    });
  }
  expect(stored).toEqual([]);
  expect(warnings).toHaveLength(1);
  expect(JSON.stringify(warnings)).not.toContain('am-secret');
  expect(await metrics.registry.metrics()).toContain('tocsin_reconcile_polls_total{source="main",result="failed"} 4');
});

test('an Alertmanager that is not there fails, and one that comes back is polled again', async () => {
  const { url } = config.tocsin.alertmanager[0]!;
  config.tocsin.alertmanager[0]!.url = 'http://127.0.0.1:1';
  expect(await reconciler.poll('main')).toMatchObject({ status: 'failed', reason: expect.stringMatching('refused') });
  config.tocsin.alertmanager[0]!.url = url;
  expect(await reconciler.poll('main')).toMatchObject({ status: 'stored' });
  expect(await reconciler.poll('nobody')).toMatchObject({ status: 'failed' });
});

test('a list whose uptime is unknown is stored as such', async () => {
  uptime = 'nonsense';
  await reconciler.poll('main');
  expect(bodyOf(stored[0]!).uptimeSince).toBeNull();
});

test('started, it polls by itself at the configured pace, and stopped it does not', async () => {
  reconciler.start();
  await expect.poll(() => stored.length, { timeout: 5_000 }).toBe(1);
  now += 30_000;
  await expect.poll(() => stored.length, { timeout: 5_000 }).toBe(2);
  await reconciler.stop();
  const polls = asked.length;
  now += 300_000;
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(asked).toHaveLength(polls);
});

test('the silences in force go along as matchers of ours; what is over, not begun or unreadable does not', async () => {
  const matcher = (name: string, value: string, more: object = {}) => ({
    name,
    value,
    isRegex: false,
    isEqual: true,
    ...more,
  });
  const silence = (id: string, more: object = {}) => ({
    id,
    matchers: [matcher('service', 'cart')],
    startsAt: '2026-11-20T07:50:00Z',
    endsAt: '2026-11-20T09:00:00Z',
    createdBy: 'ana',
    comment: 'replacing a disk',
    status: { state: 'active' },
    ...more,
  });
  const old = { name: 'pod', value: 'web-.*', isRegex: true };
  silences = [
    silence('a', { matchers: [matcher('service', 'ca"rt'), matcher('env', 'dev', { isEqual: false }), old] }),
    silence('over', { endsAt: '2026-11-20T07:59:00Z' }),
    silence('later', { startsAt: '2026-11-20T08:30:00Z', status: { state: 'pending' } }),
    silence('expired', { status: { state: 'expired' } }),
    silence('unreadable', { matchers: [matcher('service', '(', { isRegex: true })] }),
    'no silence',
  ];
  await reconciler.poll('main');
  const until = Date.parse('2026-11-20T09:00:00Z');
  const match = ['service="ca\\"rt"', 'env!="dev"', 'pod=~"web-.*"'];
  expect(bodyOf(stored[0]!).silences).toEqual([{ id: 'a', match, until, by: 'ana', comment: 'replacing a disk' }]);
  // A silence that ends early is news, though the alerts are as they were.
  await reconciler.poll('main');
  expect(await reconciler.poll('main')).toEqual({ status: 'unchanged' });
  silences = [];
  expect(await reconciler.poll('main')).toMatchObject({ status: 'stored' });
  silences = { message: 'not a list' };
  await reconciler.poll('main');
  expect(bodyOf(stored.at(-1)!).silences).toBeNull();
});
