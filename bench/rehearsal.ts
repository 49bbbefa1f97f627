import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { runDiff } from '../src/cli/diff.ts';
import { fingerprint } from '../src/receive/fingerprint.ts';
import { quantile, startService, webhook } from './running-service.ts';

/**
 * What trying a policy costs.
 *
 * - `diff`: an invented stream of thirty days (90,000 state changes by default: 60 services that call each other, four faults a
 *   day that take ten of them along, the rest noise that comes and goes by itself), run under the shipped sample config and
 *   under the same with one line changed. CPU seconds of this process, reading the gzipped file included.
 * - `explain`: `GET /api/v1/alerts/{fp}/explain` of a running service with 0 and with 500 suppression policies, after a storm;
 *   ms from request to answer, one at a time, counterfactuals included. The first ones warm it up and are left out.
 */
const { values } = parseArgs({
  options: {
    changes: { type: 'string', default: '90000' },
    explained: { type: 'string', default: '400' },
    policies: { type: 'string', default: '500' },
  },
});
const DAY = 86_400_000;
const begin = Date.parse('2026-10-01T00:00:00Z');
const services = Array.from({ length: 60 }, (_, i) => `svc-${i}`);

/** Numbers without meaning that are the same in every run (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Thirty days as JSON lines; each episode is two changes, one when it begins and one when it ends. */
function stream(changes: number): string[] {
  const random = numbers(7);
  const lines: { at: number; text: string }[] = [];
  const tell = (at: number, labels: Record<string, string>, startsAt: number, over: boolean) => {
    const alert = {
      status: over ? 'resolved' : 'firing',
      labels,
      annotations: {
        summary: `${labels.alertname} on ${labels.service}`,
        runbook_url: 'https://runbooks.example.com/x',
      },
      startsAt: new Date(startsAt).toISOString(),
      endsAt: over ? new Date(at).toISOString() : '0001-01-01T00:00:00Z',
      generatorURL: 'http://prometheus.example:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1',
      fingerprint: fingerprint(labels),
    };
    const groupKey = `{}:{alertname="${labels.alertname}"}`;
    const body = { version: '4', groupKey, receiver: 'tocsin', status: alert.status, alerts: [alert] };
    lines.push({ at, text: JSON.stringify({ at: new Date(at).toISOString(), kind: 'alertmanager', body }) });
  };
  const episode = (at: number, minutes: number, name: string, service: string, severity: string, env: string) => {
    const pod = `${service}-${Math.floor(random() * 4)}`;
    const labels = { alertname: name, service, severity, env, namespace: 'shop', cluster: 'prod-1', pod };
    tell(at, labels, at, false);
    tell(at + minutes * 60_000, labels, at, true);
  };
  const faults = 120;
  for (let i = 0; i < faults; i += 1) {
    const at = begin + ((i + random()) / faults) * 30 * DAY;
    const from = Math.floor(random() * 50);
    const lasts = 10 + random() * 50;
    for (let j = 0; j < 10; j += 1)
      for (const name of ['HighErrorRate', 'HighLatency'])
        episode(at + random() * 120_000, lasts, name, services[from + j]!, j === 0 ? 'critical' : 'warning', 'prod');
  }
  while (lines.length < changes) {
    const at = begin + random() * 30 * DAY;
    const rule = `Noise${Math.floor(random() * 40)}`;
    const service = services[Math.floor(random() ** 2 * 60)]!;
    episode(at, 1 + random() * 20, rule, service, random() < 0.1 ? 'info' : 'warning', random() < 0.3 ? 'dev' : 'prod');
  }
  return lines.sort((a, b) => a.at - b.at).map(({ text }) => text);
}

const dir = mkdtempSync(join(tmpdir(), 'tocsin-rehearsal-'));
try {
  const lines = stream(Number(values.changes));
  const file = join(dir, 'stream.jsonl.gz');
  writeFileSync(file, gzipSync(`${lines.join('\n')}\n`));
  const [before, after] = [join(dir, 'before'), join(dir, 'after')];
  for (const folder of [before, after]) cpSync(join(import.meta.dirname, '../config'), folder, { recursive: true });
  const business = {
    services: Object.fromEntries(
      services.map((service, i) => [
        service,
        { owner: 'platform', tier: 1 + (i % 5), depends_on: services.slice(i + 1, i + 3) },
      ]),
    ),
  };
  for (const folder of [before, after]) writeFileSync(join(folder, 'business-context.yaml'), JSON.stringify(business));
  const tocsin = join(after, 'tocsin.yaml');
  writeFileSync(tocsin, readFileSync(tocsin, 'utf8').replace(/^( +mode:) shadow/m, '$1 active'));
  let said = '';
  const cpu = process.cpuUsage();
  const start = performance.now();
  const code = await runDiff({
    past: { stream: file, from: null, to: null, alertsFrom: null, match: [], step: null, groupBy: null },
    configs: [before, after],
    topology: null,
    format: 'json',
    failIf: null,
    env: {},
    environment: () => {
      throw new Error('no store is needed');
    },
    now: begin,
    out: (text) => {
      said += text;
    },
    err: (text) => process.stderr.write(text),
  });
  if (code !== 0) throw new Error(`diff ended with ${code}`);
  const used = process.cpuUsage(cpu);
  const { counts } = JSON.parse(said) as { counts: Record<string, number> };
  console.log(`| diff of two configs | ${lines.length} changes in 30 days |\n|---|---|`);
  console.log(`| CPU, both runs | ${((used.user + used.system) / 1e6).toFixed(1)} s |`);
  console.log(`| wall | ${((performance.now() - start) / 1_000).toFixed(1)} s |`);
  console.log(`| CPU per change and config | ${((used.user + used.system) / 2 / lines.length).toFixed(0)} µs |`);
  for (const name of ['incidents_before', 'pages_before', 'pages_after', 'missed_pages', 'suppressed_more'])
    console.log(`| ${name} | ${counts[name]} |`);
  console.log(`| resident at the end | ${(process.memoryUsage().rss / 1_048_576).toFixed(0)} MB |`);
} finally {
  rmSync(dir, { recursive: true, force: true });
}

console.log('\n| explain | alerts in the incident | p50 ms | p99 ms | longest ms |\n|---|---|---|---|---|');
for (const policies of [0, Number(values.policies)]) {
  for (const alerts of [1, 200]) {
    const noise = Array.from({ length: policies }, (_, i) => ({
      name: `n${i}`,
      match: [`alertname="Rule${i % 20}"`, `pod=~"none-${i}.*"`],
      reason: 'bench',
    }));
    const service = await startService({
      'tocsin.yaml': { suppress: { mode: 'active' } },
      'business-context.yaml': { services: { 'svc-0': { owner: 'sre', tier: 2 } } },
      'routing.yaml': { teams: { sre: {} }, routes: { default_team: 'sre', channels: ['log'] } },
      'suppression.yaml': { noise },
    });
    const body = webhook(0, alerts, { services: 1, rules: 3 });
    if ((await service.post('/webhook', body)) !== 200) throw new Error('the webhook was refused');
    const { alerts: sent } = JSON.parse(body.toString('utf8')) as { alerts: { fingerprint: string }[] };
    for (;;) {
      const { received, inFlight } = (await service.ledger()) as { received: number; inFlight: number };
      if (received >= alerts && inFlight === 0) break;
      await sleep(100);
    }
    const took: number[] = [];
    for (let i = 0; i < Number(values.explained) + 20; i += 1) {
      const start = performance.now();
      const answer = await service.get<{ otherwise?: { whatIfs: unknown[] } }>(
        `/api/v1/alerts/${sent[i % sent.length]!.fingerprint}/explain`,
      );
      if (i >= 20) took.push(performance.now() - start);
      if (!answer.otherwise) throw new Error('no explanation came');
    }
    const row = [quantile(took, 0.5), quantile(took, 0.99), Math.max(...took)].map((ms) => ms.toFixed(1));
    console.log(`| ${policies} policies | ${alerts} | ${row.join(' | ')} |`);
    await service.stop();
  }
}
