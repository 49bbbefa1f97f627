import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from './programs.ts';
import { freePort } from './service-port.ts';
import { until } from './until.ts';

const binary = findProgram('prometheus');

/** Whether a `prometheus` is installed (Debian: `apt-get install prometheus`). */
export const hasPrometheus = (): boolean => binary !== null;

export type RealPrometheus = { url: string; stop(): Promise<void> };

/**
 * Starts the real binary on loopback with this config and these rules (YAML or JSON), in a folder of its own, over what is in
 * `data` (blocks that promtool made) where that is given.
 */
export async function startPrometheus(options: {
  config: object;
  rules: object;
  data?: string;
}): Promise<RealPrometheus> {
  const { config, rules } = options;
  const dir = mkdtempSync(join(tmpdir(), 'tocsin-prometheus-'));
  writeFileSync(join(dir, 'rules.yml'), JSON.stringify(rules));
  writeFileSync(join(dir, 'prometheus.yml'), JSON.stringify({ ...config, rule_files: [join(dir, 'rules.yml')] }));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  let said = '';
  const child: ChildProcess = spawn(
    binary ?? 'prometheus',
    [
      `--config.file=${join(dir, 'prometheus.yml')}`,
      `--storage.tsdb.path=${options.data ?? join(dir, 'data')}`,
      ...(options.data ? ['--storage.tsdb.retention.time=10y'] : []),
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  child.stderr!.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4_000);
  });
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()));
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await until(
      async () => (await fetch(`${url}/-/ready`).catch(() => null))?.ok,
      () => `Prometheus did not get ready: ${said}`,
      30_000,
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, stop };
}
