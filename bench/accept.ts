import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';

/**
 * Durable accept: how many webhooks a second the door answers with 200, each after its commit, and how soon.
 * `node bench/accept.ts [--seconds 8] [--url URL --token TOKEN] [--log-level info] [--json]`
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '8' },
    url: { type: 'string' },
    token: { type: 'string' },
    'log-level': { type: 'string', default: 'info' },
    json: { type: 'boolean', default: false },
  },
});
const seconds = Number(values.seconds);

type Row = {
  run: string;
  requests: number;
  perSecond: number;
  p50: number;
  p99: number;
  max: number;
  notOk: number;
  doorCpu: number | null;
};

/** A webhook as Alertmanager writes it: 20 alerts of one group, 8 labels and 2 annotations each, about 700 B an alert. */
function body(alerts: number, group: number): Buffer {
  const startsAt = new Date(Date.now() - 30_000).toISOString();
  const labels = {
    alertname: `Alert${group}`,
    cluster: 'prod-1',
    namespace: 'shop',
    severity: 'warning',
    service: `service-${group % 20}`,
  };
  return Buffer.from(
    JSON.stringify({
      receiver: 'tocsin',
      status: 'firing',
      alerts: Array.from({ length: alerts }, (_, i) => ({
        status: 'firing',
        labels: {
          ...labels,
          job: 'kubernetes-pods',
          instance: `10.0.${group % 256}.${i % 256}:8080`,
          pod: `service-${group % 20}-7d9f8b6c5-${i}`,
        },
        annotations: {
          summary: `5xx ratio above 5% on pod ${i} of service-${group % 20}`,
          description:
            'The ratio of failed requests has been above its threshold for five minutes; look at the dependencies first.',
        },
        startsAt,
        endsAt: '0001-01-01T00:00:00Z',
        generatorURL:
          'http://prometheus.example.com:9090/graph?g0.expr=rate%28http_requests_total%5B5m%5D%29+%3E+0.05&g0.tab=1',
        fingerprint: (group * 1_000_003 + i).toString(16).padStart(16, '0'),
      })),
      groupLabels: { alertname: labels.alertname },
      commonLabels: labels,
      commonAnnotations: {},
      externalURL: 'http://alertmanager.example.com:9093',
      version: '4',
      groupKey: `{}:{alertname="${labels.alertname}"}`,
      truncatedAlerts: 0,
    }),
  );
}

const bodies = Array.from({ length: 64 }, (_, group) => body(20, group));

function post(url: string, agent: Agent, raw: Buffer): Promise<{ status: number; ms: number }> {
  return new Promise((resolve) => {
    const begun = performance.now();
    const done = (status: number): void => resolve({ status, ms: performance.now() - begun });
    const headers: Record<string, string | number> = {
      'content-type': 'application/json',
      'content-length': raw.length,
    };
    if (values.token) headers.authorization = `Bearer ${values.token}`;
    const sent = request(`${url}/api/v1/webhooks/alertmanager`, { method: 'POST', agent, headers }, (answer) => {
      answer.resume();
      answer.once('end', () => done(answer.statusCode ?? 0));
    });
    sent.once('error', () => done(0));
    sent.end(raw);
  });
}

/** `connections` senders, each posting one body after another for `seconds`; the first second warms up and is not counted. */
async function closedLoop(
  url: string,
  connections: number,
): Promise<{ times: number[]; notOk: number; elapsed: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const times: number[] = [];
  let notOk = 0;
  let sent = 0;
  const begun = performance.now();
  const warm = begun + 1_000;
  const end = warm + seconds * 1_000;
  const sender = async (): Promise<void> => {
    while (performance.now() < end) {
      const at = performance.now();
      const { status, ms } = await post(url, agent, bodies[sent++ % bodies.length]!);
      if (at < warm) continue;
      times.push(ms);
      if (status !== 200) notOk += 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, sender));
  agent.destroy();
  return { times, notOk, elapsed: (performance.now() - warm) / 1_000 };
}

/** `n` senders at once, each on a connection of its own. */
async function burst(
  url: string,
  n: number,
  raw: (i: number) => Buffer,
): Promise<{ times: number[]; notOk: number; elapsed: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
  const begun = performance.now();
  const answers = await Promise.all(Array.from({ length: n }, (_, i) => post(url, agent, raw(i))));
  const elapsed = (performance.now() - begun) / 1_000;
  agent.destroy();
  return { times: answers.map(({ ms }) => ms), notOk: answers.filter(({ status }) => status !== 200).length, elapsed };
}

function rowOf(run: string, result: { times: number[]; notOk: number; elapsed: number }, doorCpu: number | null): Row {
  const sorted = result.times.toSorted((a, b) => a - b);
  const at = (q: number): number =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0) * 10) / 10;
  return {
    run,
    requests: sorted.length,
    perSecond: Math.round(sorted.length / result.elapsed),
    p50: at(0.5),
    p99: at(0.99),
    max: at(1),
    notOk: result.notOk,
    doorCpu,
  };
}

const child = values.url
  ? null
  : fork(new URL('./receive/door.ts', import.meta.url), [values['log-level']], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
const url = values.url ?? ((await once(child!, 'message'))[0] as { url: string }).url;

async function usage(): Promise<{ cpuSeconds: number; rss: number } | null> {
  if (!child) return null;
  child.send('usage');
  return (await once(child, 'message'))[0] as { cpuSeconds: number; rss: number };
}

async function measured(
  run: string,
  work: () => Promise<{ times: number[]; notOk: number; elapsed: number }>,
): Promise<Row> {
  const before = await usage();
  const result = await work();
  const after = await usage();
  const cpu = before && after ? Math.round(((after.cpuSeconds - before.cpuSeconds) / result.elapsed) * 100) : null;
  return rowOf(run, result, cpu);
}

const rows: Row[] = [];
try {
  rows.push(await measured('32 connections, 20 alerts', () => closedLoop(url, 32)));
  rows.push(await measured('128 connections, 20 alerts', () => closedLoop(url, 128)));
  rows.push(await measured('5,000 at once, 20 alerts', () => burst(url, 5_000, (i) => bodies[i % bodies.length]!)));
  rows.push(await measured('5,000 at once, 1 alert', () => burst(url, 5_000, (i) => body(1, i))));
  const large = body(14_500, 1);
  rows.push(await measured(`1 body of ${(large.length / 1e6).toFixed(1)} MB`, () => burst(url, 1, () => large)));
  const last = await usage();
  if (values.json) {
    console.log(
      JSON.stringify({
        node: process.version,
        cpu: cpus()[0]?.model,
        cores: availableParallelism(),
        bytes: bodies[0]!.length,
        rss: last?.rss ?? null,
        rows,
      }),
    );
  } else {
    console.log(
      `Durable accept: each answer 200 came after its commit. Body of 20 alerts: ${bodies[0]!.length} bytes.`,
    );
    console.log(
      `${cpus()[0]?.model}, ${availableParallelism()} cores shared by load generator, service and PostgreSQL; node ${process.version}.`,
    );
    console.log(
      `Load: node:http keep-alive agents in one process, closed loop, 1 s warm-up, ${seconds} s counted; bursts open a connection per request.`,
    );
    console.log(child ? 'Service: the door alone (nothing drains the inbox).' : `Service: ${url}.`);
    console.table(
      Object.fromEntries(
        rows.map(({ run, ...row }) => [run, { ...row, doorCpu: row.doorCpu === null ? '-' : `${row.doorCpu} %` }]),
      ),
    );
    if (last) console.log(`Resident after all of it: ${Math.round(last.rss / 1048576)} MB.`);
  }
} finally {
  if (child) {
    child.send('stop');
    await once(child, 'exit');
  }
}
if (rows.some((row) => row.notOk > 0)) process.exitCode = 1;
