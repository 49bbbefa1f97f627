import { afterEach, beforeEach, expect, test } from 'vitest';
import { createServer, type RunningServer } from '../../src/api/server.ts';
import { runStorm } from '../../src/cli/storm.ts';
import { scenarios } from '../../src/cli/storm-scenarios.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { receiveRouter } from '../../src/receive/door.ts';
import { fingerprint } from '../../src/receive/fingerprint.ts';
import { parseWebhook } from '../../src/receive/parse.ts';
import type { NewInboxItem } from '../../src/store/types.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { doorConfig } from '../fakes/receive-config.ts';

let server: RunningServer;
let stored: NewInboxItem[];
let config: Config;
let failures: number;
let out: string;
let err: string;

beforeEach(async () => {
  [stored, config, failures, out, err] = [[], doorConfig(), 0, '', ''];
  const log = createLog({ level: 'silent' });
  const door = receiveRouter({
    inbox: {
      append: async (item) => {
        if (failures-- > 0) throw new Error('the store is gone');
        stored.push(item);
      },
      quarantineBody: async () => expect.unreachable('a storm sends no broken body'),
    },
    config: () => config,
    log,
    metrics: createMetrics(),
    onSlack: () => undefined,
    now: Date.now,
  });
  server = await createServer({ routers: [door], listen: { host: '127.0.0.1', port: 0 }, log });
});
afterEach(() => server.close());

const storm = (extra: Partial<Parameters<typeof runStorm>[0]> = {}) =>
  runStorm({
    url: server.url,
    scenario: 'checkout-outage',
    list: false,
    fast: true,
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    ...extra,
  });
const seen = () =>
  stored
    .filter((item) => item.kind === 'alertmanager')
    .map((item) => {
      const parsed = parseWebhook(item.body, {
        receivedAt: item.receivedAt,
        source: 's',
        severityMap: {},
        labelNames: config.tocsin.labels,
      });
      if (!parsed.ok) throw new Error(parsed.reason);
      expect(parsed.quarantined).toEqual([]);
      return parsed.alerts;
    });

test('a storm is a deploy, groups that grow as Alertmanager sends them, and their resolves; then it says where to look', async () => {
  failures = 1;
  expect(await storm()).toBe(0);
  expect(stored.map((item) => item.kind)[0]).toBe('deploy');
  const deliveries = seen();
  const alerts = deliveries.flat();
  for (const alert of alerts) expect(fingerprint(alert.labels)).toBe(alert.fingerprint);
  const fired = new Set(alerts.filter(({ status }) => status === 'firing').map((alert) => alert.fingerprint));
  const resolved = new Set(alerts.filter(({ status }) => status === 'resolved').map((alert) => alert.fingerprint));
  expect(fired.size).toBeGreaterThan(15);
  // The clock of worker-17 had nothing to do with it and goes on.
  expect(fired.size - resolved.size).toBe(1);
  expect(deliveries.some((group) => new Set(group.map(({ service }) => service)).size > 1)).toBe(true);
  expect(out).toContain(`${server.url}/api/v1/incidents?status=open`);
  expect(err).toBe('');
}, 20_000);

test("each scenario names services that the shipped sample knows, or that are plainly somebody else's", () => {
  const loaded = loadConfig('config', {});
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  const known = Object.keys(loaded.config.business.services);
  const others = ['node-exporter', 'report-builder', 'kubelet'];
  for (const [name, { alerts, deploys }] of Object.entries(scenarios)) {
    for (const { service } of [...alerts, ...deploys]) expect([...known, ...others], name).toContain(service);
  }
});

test('it ends with what to do when nothing answers, a token is missing, or the scenario does not exist', async () => {
  config = doorConfig({ server: { tokens: [{ name: 'am', role: 'webhook', token: { env: 'T' } }] } }, { T: 'secret' });
  expect([await storm(), err]).toEqual([1, expect.stringMatching('--token')]);
  expect(await storm({ scenario: 'constructor' })).toBe(2);
  expect(err).toContain('checkout-outage');
  expect(await storm({ url: 'nonsense' })).toBe(2);
  expect(await storm({ list: true })).toBe(0);
  expect(out).toContain('two-faults');
  const { url } = server;
  await server.close();
  err = '';
  expect([await storm({ url }), err]).toEqual([1, expect.stringMatching('npm start')]);
}, 20_000);
