import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import type { z } from 'zod';
import type { Alert, AlertDetail, Explanation, Notification, TimelineItem } from '../../src/api/schemas.ts';
import type { Incident } from '../../src/domain/incident.ts';
import type { Ledger } from '../../src/domain/ledger.ts';
import { fingerprint } from '../../src/receive/fingerprint.ts';
import { until } from './until.ts';

/** The files of a config tree by name, as plain data: JSON is YAML. */
export type Tree = Record<string, unknown>;

export type ServiceOptions = {
  config: Tree;
  /** What the config refers to, DATABASE_URL, TOCSIN_ROLE. */
  env?: Record<string, string>;
  /** Kept when given (two processes may share one); else a folder of its own, removed when the test ends. */
  dataDir?: string;
  /** The port to listen on, for those who must know it before; default one of the kernel's choosing. */
  port?: number;
  /** Sent with every request of this driver. */
  token?: string;
};

export type Answer = { status: number; body: Record<string, unknown>; text: string; headers: Headers };
export type Service = Awaited<ReturnType<typeof startService>>;

const bin = join(import.meta.dirname, '../../bin/tocsin.mjs');

/** A folder in the temporary one that the database's unprivileged account may enter; removed when the test ends. */
export function temporaryFolder(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), `tocsin-${name}-`));
  chmodSync(dir, 0o755);
  onTestFinished(() => rmSync(dir, { recursive: true, force: true, maxRetries: 10 }));
  return dir;
}

/** Writes a tree into a folder; files that are not named are left as they are. */
export function writeTree(dir: string, tree: Tree): void {
  mkdirSync(dir, { recursive: true });
  for (const [name, content] of Object.entries(tree))
    writeFileSync(join(dir, name), typeof content === 'string' ? content : JSON.stringify(content, null, 2));
}

/** Nothing of the machine's own settings may reach the process under test. */
const cleanEnvironment = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] =>
        entry[1] !== undefined &&
        !/^(TOCSIN_|DATABASE_URL|LOG_LEVEL|OTEL_|SLACK_|PAGERDUTY_|SMTP_|PD_|https?_proxy|no_proxy|VITEST)/i.test(
          entry[0],
        ),
    ),
  );

/** Runs one command to its end. */
export async function runCommand(
  args: string[],
  options: { env?: Record<string, string>; cwd?: string; timeoutMs?: number } = {},
): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [bin, ...args], {
    env: { ...cleanEnvironment(), ...options.env },
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString();
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  return { code, out, err };
}

/**
 * `tocsin serve` as a process of its own on a port of the kernel's choosing, driven over HTTP only. Stopped when the test
 * ends, whatever became of it.
 */
export async function startService(options: ServiceOptions) {
  const folder = temporaryFolder('acceptance');
  const configDir = join(folder, 'config');
  const dataDir = options.dataDir ?? join(folder, 'data');
  writeTree(configDir, options.config);

  let child: ChildProcess | null = null;
  let url = '';
  let lines: Record<string, unknown>[] = [];
  let stderr = '';
  let exited: Promise<number | null> = Promise.resolve(null);

  /** Starts (again) and waits until it listens; with `wait: false` it only starts. */
  async function start(more: { env?: Record<string, string> } = {}): Promise<void> {
    lines = [];
    stderr = '';
    let rest = '';
    const started = spawn(process.execPath, [bin, 'serve', '--config', configDir], {
      env: {
        ...cleanEnvironment(),
        TOCSIN_DATA: dataDir,
        // The port of the first start: senders of the real world do not look for a new one after each crash.
        TOCSIN_LISTEN: `127.0.0.1:${url ? new URL(url).port : (options.port ?? 0)}`,
        ...options.env,
        ...more.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child = started;
    started.stdout.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) if (part) lines.push(readLine(part));
    });
    started.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    exited = new Promise((resolve) => started.once('exit', (code, signal) => resolve(signal ? null : code)));
    let over = false;
    void exited.then(() => {
      over = true;
    });
    const listening = await until(
      () => over || lines.find((line) => typeof line.url === 'string' && String(line.msg).startsWith('Tocsin listens')),
      () => `the service does not listen. ${tail()}`,
      60_000,
    );
    if (listening === true) throw new Error(`the service ended at its start. ${tail()}`);
    url = String(listening.url);
  }

  const readLine = (text: string): Record<string, unknown> => {
    try {
      return JSON.parse(text) as Record<string, unknown>;
    } catch {
      return { msg: text, unparsed: true };
    }
  };
  const tail = (): string =>
    `${stderr.slice(-3_000)}\n${lines
      .slice(-25)
      .map((line) => JSON.stringify(line).slice(0, 600))
      .join('\n')}`;

  /** Ends the process by a signal and gives its exit code, null when the signal itself ended it. */
  async function signal(name: NodeJS.Signals): Promise<number | null> {
    child?.kill(name);
    return exited;
  }

  async function stop(): Promise<number | null> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return exited;
    const late = setTimeout(() => child?.kill('SIGKILL'), 15_000);
    const code = await signal('SIGTERM');
    clearTimeout(late);
    return code;
  }

  onTestFinished(async () => {
    await stop();
    const pid = postmasterPid(dataDir);
    if (pid !== null && options.dataDir === undefined) killQuietly(pid, 'SIGQUIT');
  });
  await start();

  async function ask(path: string, init: RequestInit & { timeoutMs?: number } = {}): Promise<Answer> {
    const { timeoutMs = 20_000, ...rest } = init;
    const response = await fetch(url + path, {
      ...rest,
      headers: { ...(options.token ? { authorization: `Bearer ${options.token}` } : {}), ...rest.headers },
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await response.text();
    let body: Record<string, unknown> = {};
    try {
      body = JSON.parse(text) as Record<string, unknown>;
    } catch {
      // Not every answer is JSON; the text is there.
    }
    return { status: response.status, body, text, headers: response.headers };
  }

  const post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
    ask(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
    });

  async function get<T>(path: string): Promise<T> {
    const answer = await ask(path);
    if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status} ${answer.text.slice(0, 500)}`);
    return answer.body as T;
  }

  async function all<T>(path: string): Promise<T[]> {
    const items: T[] = [];
    let cursor: string | null = null;
    do {
      const joined: string = `${path}${path.includes('?') ? '&' : '?'}limit=500${cursor ? `&cursor=${cursor}` : ''}`;
      const page: { items: T[]; nextCursor: string | null } = await get(joined);
      items.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor !== null);
    return items;
  }

  const ledger = (): Promise<Ledger> => get<Ledger>('/api/v1/ledger');
  const incidents = (query = ''): Promise<Incident[]> => all(`/api/v1/incidents${query}`);

  return {
    configDir,
    dataDir,
    get url() {
      return url;
    },
    get pid() {
      return child!.pid!;
    },
    /** Log lines of this start so far. */
    get log() {
      return lines;
    },
    get stderr() {
      return stderr;
    },
    tail,
    start,
    stop,
    signal,
    /** kill -9, and the end of it. */
    kill: () => signal('SIGKILL'),
    exited: () => exited,
    ask,
    get,
    post,
    /** A delivery as Alertmanager makes it; anything but 200 is an error. */
    async deliver(body: unknown, source?: string): Promise<Answer> {
      const answer = await post(`/api/v1/webhooks/alertmanager${source ? `?source=${source}` : ''}`, body);
      if (answer.status !== 200) throw new Error(`the webhook answered ${answer.status} ${answer.text}`);
      return answer;
    },
    incidents,
    incident: (id: string | number): Promise<Incident> => get(`/api/v1/incidents/${id}`),
    alerts: (query = ''): Promise<z.infer<typeof Alert>[]> => all(`/api/v1/alerts${query}`),
    alert: (print: string): Promise<z.infer<typeof AlertDetail>> => get(`/api/v1/alerts/${print}`),
    explain: (print: string, source: string): Promise<z.infer<typeof Explanation>> =>
      get(`/api/v1/alerts/${print}/explain?source=${source}`),
    timeline: (id: string): Promise<z.infer<typeof TimelineItem>[]> => all(`/api/v1/incidents/${id}/timeline`),
    notifications: (query = ''): Promise<z.infer<typeof Notification>[]> => all(`/api/v1/notifications${query}`),
    ledger,
    /** Waits until everything received has been decided, and checks that the ledger adds up. */
    async settled(timeoutMs = 30_000): Promise<Ledger> {
      let now: Ledger | null = null;
      const settled = await until(
        async () => {
          now = await ledger();
          const text = await ask('/metrics').then((answer) => answer.text);
          return now.inFlight === 0 && metricOf(text, 'tocsin_inbox_depth') === 0 ? now : null;
        },
        () => `the ledger does not settle: ${JSON.stringify(now)}. ${tail()}`,
        timeoutMs,
      );
      assertBalanced(settled);
      return settled;
    },
    /** The value of one metric, summed over its series that carry these labels; null when there is none. */
    async metric(name: string, labels: Record<string, string> = {}): Promise<number | null> {
      return metricOf((await ask('/metrics')).text, name, labels);
    },
    /** Waits until one incident fits, and gives it. */
    async expectIncident(fits: (incident: Incident) => boolean, what: string, timeoutMs = 15_000): Promise<Incident> {
      let seen: Incident[] = [];
      return until(
        async () => {
          seen = await incidents();
          return seen.find(fits);
        },
        () =>
          `no incident ${what}. There are: ${seen.map((one) => `#${one.number} ${one.status} ${one.title} (${one.firingCount} of ${one.alertCount})`).join('; ') || 'none'}. ${tail()}`,
        timeoutMs,
      );
    },
    action: (id: string, name: string, body: Record<string, unknown> = {}): Promise<Answer> =>
      post(`/api/v1/incidents/${id}/${name}`, { by: 'ana', ...body }),
    /** The process id of the embedded server that runs in the data folder, or null. */
    postmaster: () => postmasterPid(dataDir),
  };
}

/** The process id of the embedded server in a data folder, from the first line of its own lock file. */
export function postmasterPid(dataDir: string): number | null {
  try {
    return Number(readFileSync(join(dataDir, 'postgres/cluster/data/postmaster.pid'), 'utf8').split('\n')[0]) || null;
  } catch {
    return null;
  }
}

export function killQuietly(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended already.
  }
}

export function assertBalanced(ledger: Ledger): void {
  const { received, notified, grouped, suppressed, failed, inFlight, quarantined } = ledger;
  const sum = notified + grouped + suppressed + failed + inFlight + quarantined;
  if (received !== sum) throw new Error(`the ledger does not balance: ${JSON.stringify(ledger)}`);
}

/** Sums the series of one metric in an exposition text; null when no series fits. */
export function metricOf(text: string, name: string, labels: Record<string, string> = {}): number | null {
  let sum: number | null = null;
  for (const line of text.split('\n')) {
    const parts = /^([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!parts || parts[1] !== name) continue;
    const given = parts[2] ?? '';
    if (Object.entries(labels).every(([key, value]) => given.includes(`${key}="${value}"`)))
      sum = (sum ?? 0) + Number(parts[3]);
  }
  return sum;
}

export type SentAlert = {
  status: 'firing' | 'resolved';
  labels: Record<string, string>;
  annotations: Record<string, string>;
  startsAt: string;
  endsAt: string;
  generatorURL: string;
  fingerprint: string;
};

/** One alert as Alertmanager puts it into a webhook. */
export function firing(labels: Record<string, string>, more: Partial<SentAlert> = {}): SentAlert {
  return {
    status: 'firing',
    labels,
    annotations: { summary: `${labels.alertname ?? 'Alert'} on ${labels.service ?? 'nothing'}` },
    startsAt: new Date().toISOString(),
    endsAt: '0001-01-01T00:00:00Z',
    generatorURL: '',
    fingerprint: fingerprint(labels),
    ...more,
  };
}

export const resolved = (alert: SentAlert): SentAlert => ({
  ...alert,
  status: 'resolved',
  endsAt: new Date().toISOString(),
});

/** A webhook body, version 4. */
export const webhook = (alerts: SentAlert[], more: Record<string, unknown> = {}): Record<string, unknown> => ({
  receiver: 'tocsin',
  status: alerts.some((alert) => alert.status === 'firing') ? 'firing' : 'resolved',
  alerts,
  groupLabels: {},
  commonLabels: {},
  commonAnnotations: {},
  externalURL: 'http://alertmanager.test:9093',
  version: '4',
  groupKey: `{}:{alertname="${alerts[0]?.labels.alertname ?? ''}"}`,
  truncatedAlerts: 0,
  ...more,
});

/** Watches that something stays true for a while: for what must not happen. */
export async function stays(holds: () => boolean | Promise<boolean>, what: string, forMs: number): Promise<void> {
  const end = performance.now() + forMs;
  while (performance.now() < end) {
    if (!(await holds())) throw new Error(what);
    await sleep(50);
  }
}
