import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fingerprint } from '../src/receive/fingerprint.ts';

/** The real service as a child process on a config and a data folder of its own, for benchmarks. */
export async function startService(
  files: Record<string, unknown>,
  env: Record<string, string> = {},
  /** Another process owns the shard: it is up as soon as it listens. */
  { standby = false } = {},
) {
  const dir = mkdtempSync(join(tmpdir(), 'tocsin-bench-'));
  chmodSync(dir, 0o755);
  const config = join(dir, 'config');
  mkdirSync(config);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(config, name), JSON.stringify(content));
  const child = spawn(process.execPath, [join(import.meta.dirname, '../bin/tocsin.mjs'), 'serve'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      TOCSIN_CONFIG: config,
      TOCSIN_DATA: join(dir, 'data'),
      TOCSIN_LISTEN: '127.0.0.1:0',
      LOG_LEVEL: 'info',
      ...env,
    },
  });
  let url = '';
  let owns = false;
  let pending = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (pending + chunk).split('\n');
    pending = lines.pop() ?? '';
    if (url && owns) return;
    for (const line of lines) {
      url ||= /"url":"(http:[^"]+)"/.exec(line)?.[1] ?? '';
      owns ||= line.includes('owns the shard');
    }
  });
  for (let i = 0; i < 600 && !(url && (owns || standby)); i += 1) await sleep(100);
  if (!url) throw new Error('the service did not start within 60 s');
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const { hostname, port } = new URL(url);

  const post = (path: string, body: Buffer): Promise<number> =>
    new Promise((resolve, reject) => {
      const sent = request(
        {
          host: hostname,
          port,
          path,
          method: 'POST',
          agent,
          headers: { 'content-type': 'application/json', 'content-length': body.length },
        },
        (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode ?? 0));
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  const get = async <T>(path: string): Promise<T> => (await fetch(url + path)).json() as Promise<T>;

  return {
    url,
    pid: child.pid!,
    post,
    get,
    ledger: () => get<Record<string, number>>('/api/v1/ledger'),
    /** Resident memory of the service's own process, MB; its database is a process tree of its own. */
    rssMb: () => status(child.pid!, 'VmRSS') / 1024,
    /** CPU seconds of the service and of its database so far. */
    cpuSeconds: () => ({ service: cpuOf(child.pid!), database: databaseCpu(dir) }),
    /** kill -9, and the end of it. */
    async kill() {
      agent.destroy();
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
      rmSync(dir, { recursive: true, force: true });
    },
    async stop() {
      agent.destroy();
      child.kill('SIGTERM');
      await new Promise((resolve) => child.once('exit', resolve));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const status = (pid: number, name: string): number =>
  Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);

/** utime + stime of a process in seconds (100 ticks a second on Linux). */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** CPU of every postgres process whose command line or parent names this bench's folder. */
function databaseCpu(dir: string): number {
  const name = dir.split('/').at(-1)!;
  const servers = new Set<number>();
  let total = 0;
  const pids = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);
  for (const pid of pids) {
    try {
      if (
        readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(name) &&
        /postgres/.test(readFileSync(`/proc/${pid}/comm`, 'utf8'))
      )
        servers.add(pid);
    } catch {}
  }
  for (const pid of pids) {
    try {
      const parent = Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')[1]);
      if (servers.has(pid) || servers.has(parent)) total += cpuOf(pid);
    } catch {}
  }
  return total;
}

/** A webhook body of alerts numbered from `first`, shaped like kube-prometheus' (about 650 bytes an alert). */
export function webhook(
  first: number,
  count: number,
  shape: { services: number; rules: number; status?: 'firing' | 'resolved'; startsAt?: string },
): Buffer {
  const alerts = Array.from({ length: count }, (_, j) => {
    const k = first + j;
    const labels = {
      alertname: `Rule${k % shape.rules}`,
      severity: k % 5 === 0 ? 'critical' : 'warning',
      service: `svc-${k % shape.services}`,
      namespace: `ns-${k % 7}`,
      cluster: 'prod-1',
      pod: `svc-${k % shape.services}-7d9f6c5b8-${k}`,
      instance: `10.${(k >> 16) & 255}.${(k >> 8) & 255}.${k & 255}:9100`,
      job: 'kubelet',
    };
    return {
      status: shape.status ?? 'firing',
      labels,
      fingerprint: fingerprint(labels),
      annotations: {
        summary: `Something is outside its threshold on ${labels.pod}`,
        runbook_url: 'https://runbooks.example.com/rule',
      },
      startsAt: shape.startsAt ?? new Date(Date.now() - 5_000).toISOString(),
      endsAt: shape.status === 'resolved' ? new Date().toISOString() : '0001-01-01T00:00:00Z',
      generatorURL: 'http://prometheus.example:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1',
    };
  });
  return Buffer.from(
    JSON.stringify({
      receiver: 'tocsin',
      status: shape.status ?? 'firing',
      alerts,
      groupLabels: {},
      commonLabels: {},
      commonAnnotations: {},
      externalURL: 'http://alertmanager.example:9093',
      version: '4',
      groupKey: `{}:{bench="${first}"}`,
      truncatedAlerts: 0,
    }),
  );
}

export const quantile = (values: number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
};
