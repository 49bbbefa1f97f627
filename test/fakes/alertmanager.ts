import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { findProgram } from './programs.ts';
import { temporaryFolder, writeTree } from './service.ts';
import { freePort } from './service-port.ts';
import { until } from './until.ts';

const binary = findProgram('alertmanager');
export const hasAlertmanager = binary !== null;

/**
 * A real Alertmanager as a child process that posts to `webhookUrl`. Short waits, everything else as people have it;
 * `more` is merged into its config at the top level.
 */
export async function startAlertmanager(options: {
  webhookUrl: string;
  token?: string;
  groupBy?: string[];
  groupWait?: string;
  groupInterval?: string;
  repeatInterval?: string;
  more?: Record<string, unknown>;
}) {
  const folder = temporaryFolder('alertmanager');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  writeTree(folder, {
    'alertmanager.yml': {
      route: {
        receiver: 'tocsin',
        group_by: options.groupBy ?? ['alertname'],
        group_wait: options.groupWait ?? '1s',
        group_interval: options.groupInterval ?? '1s',
        repeat_interval: options.repeatInterval ?? '4h',
      },
      receivers: [
        {
          name: 'tocsin',
          webhook_configs: [
            {
              url: options.webhookUrl,
              send_resolved: true,
              ...(options.token
                ? { http_config: { authorization: { type: 'Bearer', credentials: options.token } } }
                : {}),
            },
          ],
        },
      ],
      ...options.more,
    },
  });

  let child: ChildProcess | null = null;
  let said = '';
  async function start(): Promise<void> {
    if (!binary) throw new Error('there is no Alertmanager here; apt-get install prometheus-alertmanager');
    const started = spawn(
      binary,
      [
        `--config.file=${join(folder, 'alertmanager.yml')}`,
        `--storage.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--cluster.listen-address=',
        '--log.level=warn',
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    child = started;
    for (const stream of [started.stdout, started.stderr])
      stream.on('data', (chunk: Buffer) => {
        said = (said + chunk.toString()).slice(-4_000);
      });
    await until(
      () =>
        fetch(`${url}/-/ready`)
          .then((response) => response.ok)
          .catch(() => false),
      () => `Alertmanager is not ready: ${said}`,
      20_000,
    );
  }
  async function end(signal: NodeJS.Signals): Promise<void> {
    const ending = child;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    const over = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill(signal);
    await over;
  }
  onTestFinished(() => end('SIGKILL'));
  await start();

  async function api(path: string, init: RequestInit = {}): Promise<unknown> {
    const response = await fetch(`${url}/api/v2/${path}`, {
      ...init,
      headers: { 'content-type': 'application/json' },
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`Alertmanager answered ${response.status} to ${path}: ${text}`);
    return text ? JSON.parse(text) : null;
  }

  return {
    url,
    start,
    /** kill -9: its alerts, which live in memory only, are gone. */
    kill: () => end('SIGKILL'),
    said: () => said,
    /** Posts alerts as a client would; without `endsAt` they end after resolve_timeout (5 min). */
    post: (alerts: { labels: Record<string, string>; annotations?: Record<string, string>; endsAt?: string }[]) =>
      api('alerts', { method: 'POST', body: JSON.stringify(alerts) }),
    /** Ends one now, as a client that says so. */
    resolve: (labels: Record<string, string>) =>
      api('alerts', {
        method: 'POST',
        body: JSON.stringify([{ labels, endsAt: new Date(Date.now() - 100).toISOString() }]),
      }),
    listed: () => api('alerts') as Promise<{ fingerprint: string; status: { state: string } }[]>,
    silence: (name: string, value: string) =>
      api('silences', {
        method: 'POST',
        body: JSON.stringify({
          matchers: [{ name, value, isRegex: false, isEqual: true }],
          startsAt: new Date(Date.now() - 1_000).toISOString(),
          endsAt: new Date(Date.now() + 3_600_000).toISOString(),
          createdBy: 'test',
          comment: 'quiet',
        }),
      }),
  };
}
