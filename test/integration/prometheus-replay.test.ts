import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { type Level, type Recorded, startStandIn } from '../../bench/stand-in-prometheus.ts';
import { runReplay } from '../../src/cli/replay.ts';
import type { Incident } from '../../src/domain/incident.ts';
import { startHttpServer } from '../fakes/http-server.ts';
import { noStore, past } from '../fakes/past.ts';

const dir = mkdtempSync(join(tmpdir(), 'tocsin-replay-'));
const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));

const start = Date.parse('2026-11-20T03:00:00Z') / 1000;
const onset = start + 3_600;
const minutes = (from: number, to: number, value: (at: number) => number, step = 60): [number, number][] =>
  Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => [from + i * step, value(from + i * step)]);

/** frontend calls payment; frontend alerts, payment's own latency explodes, and it has no alert. */
const recording: Recorded[] = ['frontend', 'payment', 'cart'].flatMap((service) => [
  {
    metric: { __name__: 'service_latency_seconds', namespace: 'shop', service },
    values: minutes(
      start,
      onset + 1_200,
      (at) => 0.1 + 0.01 * Math.sin(at / 60) + (service === 'payment' && at >= onset ? 3 : 0),
    ),
  },
  {
    metric: { __name__: 'service_cpu_percent', namespace: 'shop', service },
    values: minutes(start, onset + 1_200, (at) => 20 + (at % 7)),
  },
  {
    metric: { __name__: 'requests_total', namespace: 'shop', service },
    values: minutes(start, onset + 1_200, (at) => at - start),
  },
]);

const topology = join(dir, 'topology.json');
writeFileSync(
  topology,
  JSON.stringify({
    nodes: ['frontend', 'payment', 'cart'].map((service) => ({ namespace: 'shop', service })),
    edges: ['payment', 'cart'].map((callee) => ({ namespace: 'shop', caller: 'frontend', callee })),
  }),
);
const stream = join(dir, 'alerts.jsonl');
const alert = (status: string, at: number) => ({
  at: new Date(at * 1000).toISOString(),
  kind: 'alertmanager',
  body: {
    version: '4',
    groupKey: '{}',
    truncatedAlerts: 0,
    status,
    receiver: 'x',
    groupLabels: {},
    commonLabels: {},
    commonAnnotations: {},
    externalURL: 'http://am',
    alerts: [
      {
        status,
        labels: { alertname: 'SlowFrontend', severity: 'warning', namespace: 'shop', service: 'frontend' },
        annotations: {},
        startsAt: new Date(onset * 1000).toISOString(),
        endsAt: status === 'firing' ? '0001-01-01T00:00:00Z' : new Date(at * 1000).toISOString(),
        generatorURL: `http://prometheus.example:9090/graph?g0.expr=${encodeURIComponent('service_latency_seconds{service="payment"} > 1')}`,
        fingerprint: '9a94e52b8679f974',
      },
    ],
  },
});
writeFileSync(
  stream,
  [alert('firing', onset + 120), alert('resolved', onset + 900)].map((line) => JSON.stringify(line)).join('\n'),
);

let runs = 0;
type Outcomes = { incidents: Incident[] };
async function replayed(
  prometheus: string | null,
): Promise<{ code: number; text: string; err: string; outcomes: Outcomes }> {
  runs += 1;
  const file = join(dir, `out-${runs}.json`);
  let err = '';
  const code = await runReplay({
    past: past({ stream }),
    environment: noStore,
    save: null,
    report: false,
    now: 0,
    dir: join(import.meta.dirname, '../../config'),
    env: {},
    topology,
    prometheus,
    file,
    timing: false,
    out: () => {},
    err: (text) => {
      err += text;
    },
  });
  const text = code === 0 ? readFileSync(file, 'utf8') : '{}';
  return { code, text, err, outcomes: JSON.parse(text) };
}

test.each<Level>(['full', 'no-raw', 'plain'])(
  'metrics of a stand-in that is %s name the silent cause',
  async (level) => {
    const asked: { path: string; params: URLSearchParams }[] = [];
    const standIn = await startStandIn(recording, { level, onRequest: (path, params) => asked.push({ path, params }) });
    open.push(standIn);
    const got = await replayed(standIn.url);
    expect(got.err).toBe('');
    const [incident] = got.outcomes.incidents;
    const evidence = incident!.rootCauses.find(({ service }) => service === 'payment')?.evidence ?? [];
    expect(evidence.filter(({ kind }) => kind === 'metric').map(({ text }) => text)).toEqual([
      expect.stringMatching(/^service_latency_seconds of payment went from 0\.\d+ to 3\.1/),
    ]);
    expect(incident!.degraded).toEqual([]);
    // Nothing after the stream's own time, and no counters as they are.
    for (const { params } of asked) {
      const end = Number(params.get('end') ?? params.get('time') ?? 0);
      expect(end).toBeLessThanOrEqual(onset + 900 + 60);
      expect(params.get('query') ?? '').not.toContain('requests_total');
    }
  },
);

test('the same stream gives the same bytes, whatever the server answers first', async () => {
  const standIn = await startStandIn(recording);
  open.push(standIn);
  const first = await replayed(standIn.url);
  const second = await replayed(standIn.url);
  expect(first.text).toBe(second.text);
  expect((await replayed(null)).text).not.toBe(first.text);
});

test('a metric scraped every five minutes is judged by its samples, not by their repeats', async () => {
  const sparse = recording.map(({ metric, values }) => ({ metric, values: values.filter((_, i) => i % 5 === 0) }));
  const facts = await Promise.all(
    (['full', 'no-raw'] as const).map(async (level) => {
      const standIn = await startStandIn(sparse, { level });
      open.push(standIn);
      const { outcomes } = await replayed(standIn.url);
      const cause = outcomes.incidents[0]!.rootCauses.find(({ service }) => service === 'payment');
      return cause?.evidence.filter(({ kind }) => kind === 'metric').map(({ text }) => text);
    }),
  );
  expect(facts[0]).toHaveLength(1);
  expect(facts[1]).toEqual(facts[0]);
});

test('an address that is none, and one where nobody listens, are said before the replay begins', async () => {
  expect(await replayed('localhost:9090')).toMatchObject({ code: 2, err: expect.stringContaining('is no address') });
  const gone = await startHttpServer(() => {});
  await gone.close();
  expect(await replayed(gone.url)).toMatchObject({
    code: 2,
    err: expect.stringContaining('refused the connection. Start it first'),
  });
});
