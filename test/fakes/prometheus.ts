import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { startHttpServer } from './http-server.ts';
import { findProgram } from './programs.ts';
import { temporaryFolder, writeTree } from './service.ts';
import { freePort } from './service-port.ts';
import { until } from './until.ts';

const binary = findProgram('prometheus');
export const hasPrometheus = binary !== null;

/** One alerting rule over the gauges that the test sets. */
export type Rule = {
  alert: string;
  expr: string;
  for?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
};

/**
 * A real Prometheus as a child process: it scrapes the gauges that the test sets, evaluates the rules each second and sends
 * what fires to that Alertmanager.
 */
export async function startPrometheus(options: { alertmanagerUrl: string; rules: Rule[] }) {
  const folder = temporaryFolder('prometheus');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const gauges = new Map<string, number>();
  const exporter = await startHttpServer((_call, response) => {
    const lines = [...gauges].map(([series, value]) => `${series} ${value}\n`);
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(lines.join(''));
  });
  onTestFinished(() => exporter.close());
  writeTree(folder, {
    'rules.yml': { groups: [{ name: 'test', interval: '1s', rules: options.rules }] },
    'prometheus.yml': {
      global: { scrape_interval: '1s', evaluation_interval: '1s', external_labels: { cluster: 'test-1' } },
      rule_files: ['rules.yml'],
      alerting: { alertmanagers: [{ static_configs: [{ targets: [new URL(options.alertmanagerUrl).host] }] }] },
      scrape_configs: [{ job_name: 'shop', static_configs: [{ targets: [new URL(exporter.url).host] }] }],
    },
  });
  if (!binary) throw new Error('there is no Prometheus here; apt-get install prometheus');
  const child = spawn(
    binary,
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'tsdb')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4_000);
    });
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const over = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await over;
  });
  await until(
    () =>
      fetch(`${url}/-/ready`)
        .then((response) => response.ok)
        .catch(() => false),
    () => `Prometheus is not ready: ${said}`,
    20_000,
  );
  return {
    url,
    /** Sets one series, as an exporter shows it: `error_ratio{service="checkout"}`. */
    set: (series: string, value: number): void => void gauges.set(series, value),
    /** From now on it takes connections and answers none, as one that is out of memory does. */
    freeze: (): void => void child.kill('SIGSTOP'),
  };
}
