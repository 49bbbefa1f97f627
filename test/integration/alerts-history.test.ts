import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PastOptions } from '../../src/cli/past.ts';
import { runReplay } from '../../src/cli/replay.ts';
import { webhooksOf } from '../../src/enrich/prometheus/alerts-history.ts';
import { fingerprint } from '../../src/receive/fingerprint.ts';
import type { Outcomes } from '../../src/replay.ts';
import { alertsBlocks, canBackfill, type FiredThen } from '../fakes/alerts-past.ts';
import { startHttpServer } from '../fakes/http-server.ts';
import { noStore, past } from '../fakes/past.ts';
import { type RealPrometheus, startPrometheus } from '../fakes/prom-binary.ts';

const MINUTE = 60_000;
const DAY = 1_440 * MINUTE;
/** Thirty days that end a day ago, on the minute: Prometheus refuses to compact what is newer than its head. */
const end = Math.floor(Date.now() / DAY) * DAY - DAY;
const begin = end - 30 * DAY;
const ready = canBackfill();
const backlog = { alertname: 'Backlog', service: 'cart', severity: 'warning', namespace: 'shop', team: 'platform' };

/** When which alert fired, minutes from the begin. */
const fired: FiredThen[] = [
  {
    labels: { alertname: 'HighErrorRate', service: 'payment', severity: 'critical', namespace: 'shop' },
    from: 600,
    to: 630,
  },
  {
    labels: { alertname: 'HighLatency', service: 'checkout', severity: 'warning', namespace: 'shop', team: 'platform' },
    from: 601,
    to: 640,
  },
  // across the edge of two chunks of 12 h
  { labels: { alertname: 'DiskFull', instance: 'db-1', severity: 'warning' }, from: 700, to: 1_300 },
  ...[5, 9, 13, 20].map((day) => ({
    labels: { alertname: 'CertSoon', service: 'wiki', severity: 'info', namespace: 'docs' },
    from: day * 1_440,
    to: day * 1_440 + 3,
  })),
  // still fires at the end
  { labels: backlog, from: 43_000, to: 43_201 },
];

const scratch = mkdtempSync(join(tmpdir(), 'tocsin-alerts-'));
let prometheus: RealPrometheus;
beforeAll(async () => {
  if (!ready) return;
  // One rule fired the day before as well: in the thirty days it is no first.
  const before = { labels: backlog, from: -1_440, to: -1_440 };
  const blocks = alertsBlocks(scratch, begin, [before, ...fired]);
  prometheus = await startPrometheus({
    data: blocks,
    config: { global: { external_labels: { cluster: 'prod-1' } } },
    rules: {
      groups: [
        {
          name: 'shop',
          rules: [
            {
              alert: 'HighErrorRate',
              expr: 'error_ratio > 0.05',
              labels: { severity: 'critical' },
              annotations: { summary: '{{ $labels.service }} fails for {{ $value | humanizePercentage }}' },
            },
          ],
        },
      ],
    },
  });
}, 60_000);
afterAll(async () => {
  await prometheus?.stop();
  rmSync(scratch, { recursive: true });
});

async function replayed(some: Partial<PastOptions>, file: string | null = null) {
  const said = { out: '', err: '' };
  const code = await runReplay({
    past: past({ from: new Date(begin).toISOString(), to: new Date(end).toISOString(), ...some }),
    dir: join(import.meta.dirname, '../../config'),
    env: {},
    environment: noStore,
    topology: null,
    prometheus: null,
    file: null,
    save: file,
    report: false,
    timing: false,
    now: end + DAY,
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
  });
  return { code, ...said };
}

describe.skipIf(!ready)('thirty days of a real Prometheus that was never connected', () => {
  test('become incidents: fingerprints as Alertmanager computes them, ends, repeats, annotations of the rules', async () => {
    const { code, out, err } = await replayed({ alertsFrom: prometheus.url });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const outcomes = JSON.parse(out) as Outcomes;
    expect(outcomes.alerts).toHaveLength(fired.length);
    const disk = { alertname: 'DiskFull', instance: 'db-1', severity: 'warning', cluster: 'prod-1' };
    expect(outcomes.alerts.filter((one) => one.fingerprint === fingerprint(disk))).toMatchObject([
      { startsAt: new Date(begin + 700 * MINUTE).toISOString() },
    ]);
    const byName = (name: string) => outcomes.incidents.filter((one) => one.lead.alertname === name);
    // Backfilled series have no staleness markers: Prometheus then looks five minutes back for a value.
    expect(byName('DiskFull')).toMatchObject([{ resolvedAt: new Date(begin + 1_306 * MINUTE).toISOString() }]);
    expect(byName('CertSoon')).toHaveLength(4);
    expect(byName('Backlog')).toMatchObject([{ status: 'open', resolvedAt: null }]);
    const reasonsOf = (name: string) =>
      outcomes.alerts.find((one) => one.incidentId === byName(name)[0]!.id)!.reasons.map((reason) => reason.code);
    expect(reasonsOf('HighLatency')).toContain('floor-first-ever');
    expect(reasonsOf('Backlog')).not.toContain('floor-first-ever');
    expect(byName('HighErrorRate')).toMatchObject([{ lead: { summary: 'payment fails for …' } }]);
    const { received, ...others } = outcomes.ledger;
    expect(received).toBe(Object.values(others).reduce((sum, n) => sum + n, 0));
  }, 30_000);

  test('only those that match; kept as a stream they give the same bytes', async () => {
    const file = join(scratch, 'kept.jsonl');
    const some = await replayed({ alertsFrom: prometheus.url, match: ['service=~"payment|cart"'] }, file);
    expect((JSON.parse(some.out) as Outcomes).alerts).toHaveLength(2);
    expect((await replayed({ stream: file, from: null, to: null })).out).toBe(some.out);
  });

  test('nothing fired then: said, with what to look at', async () => {
    const empty = await replayed({ alertsFrom: prometheus.url, match: ['severity="none"'] });
    expect(empty).toMatchObject({ code: 2, err: expect.stringMatching(/knows of no alert that fired then/) });
  });
});

describe('a Prometheus that makes it hard', () => {
  /** Answers the range queries that `may` lets pass with one alert that always fires, everything else with 404. */
  async function standIn(may: (points: number) => boolean) {
    const asked: number[] = [];
    let open = 0;
    let most = 0;
    const server = await startHttpServer(async (call, response) => {
      const url = new URL(call.path, 'http://x');
      if (url.pathname !== '/api/v1/query_range') return void response.writeHead(404).end('no such page');
      const [from, to, step] = ['start', 'end', 'step'].map((name) => Number(url.searchParams.get(name)));
      const points = Math.floor((to! - from!) / step!) + 1;
      asked.push(points);
      open += 1;
      most = Math.max(most, open);
      await new Promise((resolve) => setTimeout(resolve, 2));
      open -= 1;
      if (!may(points)) {
        const error = 'query processing would load too many samples into memory in query execution';
        return void response.writeHead(422).end(JSON.stringify({ status: 'error', errorType: 'execution', error }));
      }
      const values = Array.from({ length: points }, (_, i) => [from! + i * step!, '1']);
      const result = [{ metric: { __name__: 'ALERTS', alertname: 'A', alertstate: 'firing' }, values }];
      response.end(JSON.stringify({ status: 'success', data: { resultType: 'matrix', result } }));
    });
    return { server, asked, most: () => most };
  }

  test('too many samples at once: it is asked for less, and what a chunk cut is one firing again', async () => {
    const { server, asked, most } = await standIn((points) => points <= 200);
    const { code, out, err } = await replayed({ alertsFrom: server.url, to: new Date(begin + 3 * DAY).toISOString() });
    await server.close();
    expect(code).toBe(0);
    expect((JSON.parse(out) as Outcomes).alerts).toMatchObject([{ startsAt: new Date(begin).toISOString() }]);
    expect(Math.max(...asked)).toBeLessThanOrEqual(11_000);
    expect(most()).toBeLessThanOrEqual(4);
    expect(err).toContain('/api/v1/rules did not answer: the alerts come without annotations.');
  });

  test('one that refuses whatever it is asked is quoted', async () => {
    const { server } = await standIn(() => false);
    const refused = await replayed({ alertsFrom: server.url });
    await server.close();
    expect(refused).toMatchObject({ code: 2, out: '', err: expect.stringContaining('too many samples') });
  });

  test('options that cannot be used', async () => {
    expect(await replayed({ alertsFrom: 'prometheus:9090' })).toMatchObject({ code: 2 });
    expect(await replayed({ alertsFrom: 'http://127.0.0.1:1', step: '1ms' })).toMatchObject({ code: 2 });
    expect(await replayed({ alertsFrom: 'http://127.0.0.1:1', match: ['x'] })).toMatchObject({ code: 2 });
    expect(await replayed({ alertsFrom: 'http://127.0.0.1:1' })).toMatchObject({
      code: 2,
      err: expect.stringContaining('refused the connection'),
    });
  });
});

test('an episode that ends while another of its group begins is told in one webhook; what fires on is told every 4 hours', () => {
  const at = (minutes: number) => minutes * MINUTE;
  const lines = webhooksOf(
    [
      { labels: { alertname: 'A', pod: '1' }, runs: [{ first: at(0), last: at(9) }] },
      { labels: { alertname: 'A', pod: '2' }, runs: [{ first: at(10), last: at(600) }] },
    ],
    [],
    { step: MINUTE, to: at(600), groupBy: ['alertname'] },
  );
  const told = lines.map((line) => {
    const { alerts } = line.body as { alerts: { labels: { pod: string }; status: string }[] };
    return [(Date.parse(line.at) / MINUTE) as number, ...alerts.map((one) => `${one.labels.pod} ${one.status}`).sort()];
  });
  expect(told).toEqual([
    [0, '1 firing'],
    [10, '1 resolved', '2 firing'],
    [250, '2 firing'],
    [490, '2 firing'],
  ]);
});
