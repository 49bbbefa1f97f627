import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './until.ts';

/** Whether a `prometheus` is installed (Debian: `apt-get install prometheus`). */
export const hasPrometheus = (): boolean => {
  try {
    execFileSync('prometheus', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** A port that was free a moment ago: Prometheus cannot be told to listen on 0 and say which one it got. */
const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

export type RealPrometheus = { url: string; stop(): Promise<void> };

/** Starts the real binary on loopback with this config and these rules (YAML or JSON), in a folder of its own. */
export async function startPrometheus({ config, rules }: { config: object; rules: object }): Promise<RealPrometheus> {
  const dir = mkdtempSync(join(tmpdir(), 'tocsin-prometheus-'));
  writeFileSync(join(dir, 'rules.yml'), JSON.stringify(rules));
  writeFileSync(join(dir, 'prometheus.yml'), JSON.stringify({ ...config, rule_files: [join(dir, 'rules.yml')] }));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  let said = '';
  const child: ChildProcess = spawn(
    'prometheus',
    [
      `--config.file=${join(dir, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(dir, 'data')}`,
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
