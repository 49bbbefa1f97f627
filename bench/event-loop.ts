import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { startService } from './running-service.ts';

/**
 * How long the threads of the running service stand still in a storm with facts: a Prometheus with 200 series a rule that
 * answers after 20 ms, golden signals, the anomaly detector, a commit of everything. Bodies of `--size` alerts of ten rules,
 * each about a service of its own, one every 1.5 s. The figure is the CPU a thread used between two turns of a timer of 5 ms
 * (bench/turn-probe.ts), so that other work on the machine does not count; it is at most 5 ms too large. Starting up is left
 * out; that the code meets its first storm cold is not.
 *
 *   node bench/event-loop.ts [--bodies 30] [--size 200]
 */
const { values } = parseArgs({
  options: { bodies: { type: 'string', default: '30' }, size: { type: 'string', default: '200' } },
});

/** What loading the code holds up is over by then. */
const START_MS = 15_000;

const told = <T>(worker: Worker): Promise<T> =>
  new Promise((resolve) => {
    worker.once('message', resolve);
    worker.postMessage('tell');
  });
const prometheus = new Worker(new URL('./prometheus.ts', import.meta.url), {
  workerData: { delayMs: 20, series: 200 },
});
const probes = mkdtempSync(join(tmpdir(), 'tocsin-turns-'));
const { url } = await told<{ url: string }>(prometheus);
const service = await startService(
  {
    'tocsin.yaml': { prometheus: [{ name: 'main', url }], server: { min_free_disk: 0 } },
    'routing.yaml': { teams: { sre: {} }, routes: { default_team: 'sre', channels: ['log'] } },
  },
  {
    NODE_OPTIONS: `--import ${import.meta.dirname}/turn-probe.ts`,
    PROBE_DIR: probes,
    PROBE_AFTER_MS: String(START_MS),
  },
);

const alertOf = (body: number, i: number) => ({
  status: 'firing',
  labels: {
    alertname: `Rule${i % 10}`,
    service: `service-${i % 10}-${Math.floor(i / 10)}`,
    severity: 'critical',
    instance: `${body}-${i}`,
  },
  annotations: { summary: 'an alert of the bench' },
  startsAt: new Date().toISOString(),
  generatorURL: `http://prometheus.example.com/graph?${new URLSearchParams({ 'g0.expr': `metric_${i % 10} > 0.5` })}`,
});

await sleep(START_MS);
const [bodies, size] = [Number(values.bodies), Number(values.size)];
for (let body = 0; body < bodies; body += 1) {
  const alerts = Array.from({ length: size }, (_, i) => alertOf(body, i));
  const status = await service.post(
    '/api/v1/webhooks/alertmanager',
    Buffer.from(JSON.stringify({ version: '4', groupKey: '{}', alerts })),
  );
  if (status !== 200) throw new Error(`a body was answered with ${status}`);
  await sleep(1_500);
}
await service.stop();
await prometheus.terminate();

console.log(`${bodies} bodies of ${size} alerts, one every 1.5 s`);
console.log('| thread | longest turn, CPU ms | at second |\n| --- | --- | --- |');
const names = ['main: webhooks, API', 'work: judging, facts, commits, pages'];
for (const file of readdirSync(probes).sort()) {
  const { cpuMs, atSecond } = JSON.parse(readFileSync(join(probes, file), 'utf8'));
  const thread = Number(file.split('.')[0]);
  // The others compute on purpose, and nobody waits for their event loop.
  if (thread < names.length) console.log(`| ${names[thread]} | ${cpuMs.toFixed(0)} | ${atSecond} |`);
}
rmSync(probes, { recursive: true });
