import { loadModels } from '../../src/config/models.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import { randomOf } from '../../src/correlate/train/random.ts';
import type { ServiceGraph } from '../../src/correlate/types.ts';
import type { ServiceMetric } from '../../src/domain/facts.ts';
import { type CauseAlert, rankCauses } from '../../src/score/causes.ts';

/** `node bench/correlate/causes-speed.ts`: CPU of ranking the causes of one incident, by its size and by the shape of the graph. */
const model = loadModels().causes;
const at = Date.UTC(2026, 0, 5);
const rounds = 5;

const alertsOf = (n: number, services: number, onCalls: boolean): CauseAlert[] =>
  Array.from({ length: n }, (_, i) => ({
    key: `k${i}`,
    alert: `a/${i}`,
    tenant: '',
    alertname: `Rule${i % 50}`,
    service: `s${i % services}`,
    destination: onCalls ? `s${(i * 7 + 1) % services}` : null,
    namespace: 'n',
    cluster: null,
    severity: 'high',
    labels: {},
    summary: 'out of range',
    groupKey: null,
    startsAt: at + i * 100,
    at: at + i * 100,
    status: 'firing',
  }));

const metrics: ServiceMetric[] = Array.from({ length: 200 }, (_, i) => ({
  service: `s${i * 3}`,
  namespace: 'n',
  metric: 'latency_seconds',
  score: 0.9,
  type: 'latency',
  onsetAt: at,
  deviation: 9,
  from: 0.1,
  to: 1 + (i % 7),
  text: 'latency_seconds went up',
}));

const random = randomOf(1);
const graphOf = (calls: readonly (readonly [number, number])[]): ServiceGraph =>
  buildGraph({ edges: calls.map(([a, b]) => ({ namespace: 'n', caller: `s${a}`, callee: `s${b}` })) });
const edges = 100_000;
const side = Math.floor(Math.sqrt(edges));
const many = (call: (i: number) => readonly [number, number]): ServiceGraph =>
  graphOf(Array.from({ length: edges }, (_, i) => call(i)));
const small = graphOf(Array.from({ length: 200 }, () => [random.int(50), random.int(50)] as const));
const graphs: Record<string, ServiceGraph> = {
  '2,000 services, random calls (cycles, self-loops)': many(() => [random.int(2000), random.int(2000)]),
  '40,000 services, random calls': many(() => [random.int(40_000), random.int(40_000)]),
  'one service that calls all': many((i) => [0, i + 1]),
  'one service that all call': many((i) => [i + 1, 0]),
  'a chain': many((i) => [i, i + 1]),
  'everybody calls everybody': many((i) => [i % side, Math.floor(i / side)]),
};

function cost(alerts: CauseAlert[], graph: ServiceGraph, serviceMetrics: ServiceMetric[]): string {
  const input = { alerts, graph, deploys: [], serviceMetrics, startedAt: at, now: at };
  rankCauses(input, model);
  const before = process.cpuUsage();
  for (let i = 0; i < rounds; i += 1) rankCauses(input, model);
  return (process.cpuUsage(before).user / 1000 / rounds).toFixed(1);
}

console.log('CPU of one ranking (ms), a graph of 200 calls\n');
console.log('| alerts | 1 service | 50 services | 400 services |\n| --- | --- | --- | --- |');
for (const n of [10, 100, 1_000, 10_000]) {
  console.log(
    `| ${n} | ${[1, 50, 400].map((services) => cost(alertsOf(n, services, false), small, [])).join(' | ')} |`,
  );
}
console.log('\nThe same in graphs of 100,000 calls, 1,000 services alerting, and 300 on calls beside 200 metrics\n');
console.log('| graph | 1,000 alerts | 10,000 alerts | 10,000 on calls, with metrics |\n| --- | --- | --- | --- |');
for (const [name, graph] of Object.entries(graphs)) {
  const cells = [
    cost(alertsOf(1_000, 1_000, false), graph, []),
    cost(alertsOf(10_000, 1_000, false), graph, []),
    cost(alertsOf(10_000, 300, true), graph, metrics),
  ];
  console.log(`| ${name} | ${cells.join(' | ')} |`);
}
