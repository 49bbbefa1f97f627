import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as breathe } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { loadAnomalyModel } from '../src/enrich/anomaly/model.ts';
import { createAnomalyService } from '../src/enrich/anomaly/service.ts';
import { gather } from '../src/enrich/gather.ts';
import { judgeBy } from '../src/enrich/prometheus/judge.ts';
import { alertOf, configWith, sourceFor, subjectOf } from '../test/fakes/prom-source.ts';
import { watchTurns } from './stall.ts';

/**
 * What a burst of alerts asks of Prometheus, how long its facts take and how long it holds the event loop. Every alert is an
 * incident of its own, the worst case; 100 a wave, ten rules, deadline 2 s, limits as shipped, the anomaly detector on. The
 * server (a thread of its own) knows so many series a rule and seven golden signals a service, and answers at once, after a
 * second, or never. The longest turn is in ms of this thread's CPU, so that a busy machine does not count.
 *
 *   node bench/prometheus.ts [--alerts 1000]
 */
type Served = { delayMs: number | null; series: number };

if (isMainThread) await main();
else serve(workerData as Served);

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { alerts: { type: 'string', default: '1000' } } });
  const alerts = Number(values.alerts);
  console.log(`${alerts} alerts of ten rules, each an incident of its own, in waves of 100`);
  console.log('| Prometheus | requests | most at once | with facts | p50 ms | p99 ms | longest turn, CPU ms |');
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  const runs: [string, Served][] = [
    ['answers at once, 100 series a rule', { delayMs: 0, series: 100 }],
    ['answers at once, 5,000 series a rule', { delayMs: 0, series: 5_000 }],
    ['answers at once, 50,000 series a rule', { delayMs: 0, series: 50_000 }],
    ['takes 1 s', { delayMs: 1_000, series: 100 }],
    ['hangs', { delayMs: null, series: 100 }],
  ];
  for (const [name, served] of runs) console.log(`| ${name} | ${(await run(served, alerts)).join(' | ')} |`);
}

async function run(served: Served, alerts: number) {
  const server = new Worker(import.meta.filename, { workerData: served });
  const told = (): Promise<{ url: string; requests: number; most: number }> =>
    new Promise((resolve) => {
      server.once('message', resolve);
      server.postMessage('tell');
    });
  const { url } = await told();
  const anomalies = createAnomalyService({ size: 32, model: loadAnomalyModel() });
  const { source, close } = sourceFor(configWith([{ name: 'main', url }]), {
    anomaly: judgeBy(async (series, how) => {
      const outcome = await anomalies.score(series, how);
      return outcome.status === 'scored' ? outcome.points : null;
    }),
  });
  const took: number[] = [];
  let known = 0;
  async function ask(wave: number, k: number): Promise<void> {
    const [rule, i] = [k % 10, (wave % 10) * 10 + Math.floor(k / 10)];
    const lead = alertOf(
      { alertname: `Rule${rule}`, service: `service-${rule}-${i}` },
      { expr: `metric_${rule} > 0.5` },
    );
    const begun = performance.now();
    const facts = await gather([source], { ...subjectOf(lead), incidentId: `${wave}-${k}` }, 2_000);
    took.push(performance.now() - begun);
    if (facts.lead.prometheus) known += 1;
  }
  const turns = watchTurns();
  for (let wave = 0; wave * 100 < alerts; wave += 1) {
    const asked: Promise<void>[] = [];
    for (let k = 0; k < Math.min(100, alerts - wave * 100); k += 1) {
      asked.push(ask(wave, k));
      // As the shard's owner does.
      if (k % 20 === 19) await breathe();
    }
    await Promise.all(asked);
  }
  const longest = turns.stop();
  close();
  const { requests, most } = await told();
  await Promise.all([anomalies.stop(), server.terminate()]);
  took.sort((a, b) => a - b);
  const at = (share: number): string =>
    `${Math.round(took[Math.min(took.length - 1, Math.floor(took.length * share))]!)}`;
  return [requests, most, known, at(0.5), at(0.99), Math.round(longest)];
}

/** The server: tells its address and what it was asked so far whenever it is sent a message. */
function serve({ delayMs, series: size }: Served): void {
  let requests = 0;
  let open = 0;
  let most = 0;
  const server = createServer((request, response) => {
    requests += 1;
    open += 1;
    most = Math.max(most, open);
    response.on('close', () => {
      open -= 1;
    });
    if (delayMs === null) return;
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://bench');
    const at = Number(searchParams.get('time') ?? searchParams.get('end'));
    const query = searchParams.get('query') ?? '';
    const rule = /metric_(\d)\b/.exec(query)?.[1];
    const one = /label_replace\(vector\(1\), "service", "([^"]*)"/.exec(query)?.[1];
    const names = one ? [one] : Array.from({ length: size }, (_, i) => `service-${rule}-${i}`);
    const series = rule ? names.map((service) => ({ service })) : [];
    const golden = query.includes('tocsin_signal') ? ['errors', 'latency p95', 'requests/s'] : [];
    const plotted = [...series, ...golden.map((tocsin_signal) => ({ tocsin_signal }))];
    const back = Array.from({ length: 240 }, (_, i) => 15 * (239 - i));
    const answers: Record<string, () => unknown> = {
      '/api/v1/query': () => ({
        resultType: 'vector',
        result: (query.startsWith('topk(1,') ? series.slice(0, 1) : series).map((metric) => ({
          metric,
          value: [at, '0.7'],
        })),
      }),
      '/api/v1/query_range': () => ({
        resultType: 'matrix',
        result: plotted.map((metric) => ({ metric, values: back.map((s) => [at - s, String(0.7 - s / 1e4)]) })),
      }),
      '/api/v1/label/__name__/values': () => ['http_requests_total', 'http_request_duration_seconds_bucket', 'up'],
      '/api/v1/series': () => [],
    };
    setTimeout(() => {
      const data = answers[pathname];
      if (data === undefined) response.writeHead(404).end();
      else response.end(JSON.stringify({ status: 'success', data: data() }));
    }, delayMs);
  });
  server.listen(0, '127.0.0.1', () => {
    parentPort!.on('message', () =>
      parentPort!.postMessage({
        url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        requests,
        most,
      }),
    );
  });
}
