import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as breathe } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { gather } from '../src/enrich/gather.ts';
import { alertOf, configWith, sourceFor, subjectOf } from '../test/fakes/prom-source.ts';

/**
 * What a burst of alerts asks of Prometheus and how long its facts take. Every alert is an incident of its own, the worst
 * case; 100 a wave, ten rules, deadline 2 s, limits as shipped. The server knows 100 series a rule and answers at once, after
 * a second, or never. Load generator, server and source share one process, so the times are upper bounds.
 *
 *   node bench/prometheus.ts [--alerts 1000]
 */
const { values } = parseArgs({ options: { alerts: { type: 'string', default: '1000' } } });
const alerts = Number(values.alerts);

async function run(delayMs: number | null) {
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
    const rule = /metric_(\d)\b/.exec(searchParams.get('query') ?? '')?.[1];
    const series = rule ? Array.from({ length: 100 }, (_, i) => ({ service: `service-${rule}-${i}` })) : [];
    const back = Array.from({ length: 240 }, (_, i) => 15 * (239 - i));
    const answers: Record<string, unknown> = {
      '/api/v1/query': { resultType: 'vector', result: series.map((metric) => ({ metric, value: [at, '0.7'] })) },
      '/api/v1/query_range': {
        resultType: 'matrix',
        result: series.map((metric) => ({ metric, values: back.map((s) => [at - s, String(0.7 - s / 1e4)]) })),
      },
      '/api/v1/label/__name__/values': ['http_requests_total', 'up'],
      '/api/v1/series': [],
    };
    setTimeout(() => {
      const data = answers[pathname];
      if (data === undefined) response.writeHead(404).end();
      else response.end(JSON.stringify({ status: 'success', data }));
    }, delayMs);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { source, close } = sourceFor(configWith([{ name: 'main', url }]));
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
  const loop = monitorEventLoopDelay({ resolution: 5 });
  loop.enable();
  for (let wave = 0; wave * 100 < alerts; wave += 1) {
    const asked: Promise<void>[] = [];
    for (let k = 0; k < Math.min(100, alerts - wave * 100); k += 1) {
      asked.push(ask(wave, k));
      // As the shard's owner does.
      if (k % 20 === 19) await breathe();
    }
    await Promise.all(asked);
  }
  loop.disable();
  close();
  server.closeAllConnections();
  server.close();
  took.sort((a, b) => a - b);
  const at = (share: number): string =>
    `${Math.round(took[Math.min(took.length - 1, Math.floor(took.length * share))]!)}`;
  return [requests, most, known, at(0.5), at(0.99), Math.round(loop.max / 1e6)];
}

console.log(`${alerts} alerts of ten rules, each an incident of its own, in waves of 100`);
console.log('| Prometheus | requests | most at once | with facts | p50 ms | p99 ms | event loop at most ms |');
console.log('| --- | --- | --- | --- | --- | --- | --- |');
for (const [name, delay] of [
  ['answers at once', 0],
  ['takes 1 s', 1_000],
  ['hangs', null],
] as const)
  console.log(`| ${name} | ${(await run(delay)).join(' | ')} |`);
