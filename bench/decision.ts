import { parseArgs } from 'node:util';
import { type Weights, weigh } from '../src/assess/weigh.ts';
import { loadModels } from '../src/config/models.ts';
import {
  BusinessFile,
  type Config,
  PatternsFile,
  RoutingFile,
  SuppressionFile,
  TocsinFile,
} from '../src/config/schema.ts';
import { nothingLearned } from '../src/decide/decide.ts';
import { compilePolicy } from '../src/decide/policy.ts';
import { unknownImpact } from '../src/domain/incident.ts';

/**
 * `node bench/decision.ts [--rounds 2000]`: what one decision costs, in µs of CPU (user and system, so that a busy machine
 * does not count): priority, route, worth and verdict of an incident (`weigh`), without finding its causes and without
 * writing anything. The policies are maintenance windows, noise and business hours in turn, none of which matches, so that
 * all of them are looked at; "first look" compiles nothing but has never seen these labels, "again" is every later one.
 */
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '2000' } } });
const rounds = Number(values.rounds);
const model = loadModels().actionability;
const now = Date.parse('2026-11-20T03:00:00Z');

function configOf(policies: number): Config {
  const match = (i: number): string[] => [`service=~"svc-${i}|svc-${i}-canary"`, 'env!="dev"'];
  const of = <T>(kind: number, make: (i: number) => T): T[] =>
    Array.from({ length: policies }, (_, i) => i)
      .filter((i) => i % 3 === kind)
      .map(make);
  return {
    dir: 'bench',
    hash: 'bench',
    provenance: {},
    tocsin: TocsinFile.parse({ suppress: { mode: 'active' } }),
    business: BusinessFile.parse({}),
    routing: RoutingFile.parse({
      teams: { sre: { slack: '#sre' } },
      routes: { default_team: 'sre', routes: [{ match: ['alertname=~".+"'], team: 'sre' }] },
    }),
    suppression: SuppressionFile.parse({
      noise: of(0, (i) => ({ name: `noise-${i}`, match: match(i), reason: 'it means nothing' })),
      maintenance_windows: of(1, (i) => ({ name: `window-${i}`, match: match(i), every: 'Sun 02:00', for: '2h' })),
      business_hours: of(2, (i) => ({ name: `hours-${i}`, match: match(i) })),
    }),
    patterns: PatternsFile.parse({}),
    secrets: {},
    warnings: [],
  };
}

const weightsOf = (alerts: number, round: number): Weights => ({
  severity: 'medium',
  tier: null,
  openPriority: null,
  impact: unknownImpact(),
  labels: { alertname: 'Slow', service: 'api' },
  service: 'api',
  assignedTeam: null,
  tenant: '',
  worth: {
    rules: [
      {
        alertname: 'Slow',
        seen: 12,
        relevance: 0.2,
        onsets: 12,
        selfResolve: { share: 0.5, n: 12 },
        actedOn: { share: 0.5, n: 4 },
        feedback: { real: 0, noise: 1 },
      },
    ],
    services: 1,
    known: true,
    suspect: null,
    changes: 1,
    model,
  },
  decide: {
    alerts: Array.from({ length: alerts }, (_, i) => ({
      source: 'bench',
      fingerprint: `${round}-${i}`,
      labels: { alertname: 'Slow', service: `api-${i}`, severity: 'warning', pod: `${round}-${i}` },
      severity: 'medium' as const,
      alertname: 'Slow',
      service: `api-${i}`,
      receivedAt: now - 60_000,
      startsAt: now - 60_000,
    })),
    services: ['api'],
    firstEver: new Set<string>(),
    baseline: null,
    snoozedUntil: null,
    silencedUntil: null,
    silences: [],
    killSwitch: false,
    learned: nothingLearned,
    now,
  },
});

/** µs of CPU that `work` took, a call. */
function cpu(calls: number, work: (i: number) => void): number {
  const before = process.cpuUsage();
  for (let i = 0; i < calls; i += 1) work(i);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}

const row = (cells: (string | number)[]): void => console.log(`| ${cells.join(' | ')} |`);
row(['policies', 'firing alerts', 'first look, µs', 'again, µs']);
row(['---', '---', '---', '---']);
for (const policies of [1, 50, 500]) {
  const policy = compilePolicy(configOf(policies));
  for (const alerts of [1, 20, 1000]) {
    const calls = Math.max(5, Math.round(rounds / alerts));
    const incidents = Array.from({ length: calls }, (_, i) => weightsOf(alerts, i));
    for (const one of Array.from({ length: 5 }, (_, i) => weightsOf(alerts, -1 - i))) weigh(one, policy);
    const first = cpu(calls, (i) => weigh(incidents[i]!, policy));
    const again = cpu(calls, (i) => weigh(incidents[i]!, policy));
    row([policies, alerts, first.toFixed(1), again.toFixed(1)]);
  }
}
console.log(`\nNode ${process.version}, ${rounds} decisions on one alert, fewer on more; CPU time, not the clock's.`);
