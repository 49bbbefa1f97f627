import { createRequire } from 'node:module';
import { loadModels } from '../../src/config/models.ts';
import { createCorrelator } from '../../src/correlate/correlator.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import { randomOf } from '../../src/correlate/train/random.ts';
import type { Correlator, Point, ServiceGraph } from '../../src/correlate/types.ts';

/**
 * `node bench/correlate/speed.ts`: CPU per alert of the correlator alone (process.cpuUsage, the least of several runs), by
 * alerts in the window and by services, the longest single step in CPU time, memory per open point, and the same points
 * through density-clustering.
 */
const models = loadModels();
const windowMs = 900_000;
const start = Date.UTC(2026, 0, 5, 6);

/** A tree of services, eight callees each. */
const graphOf = (services: number): ServiceGraph =>
  buildGraph({
    edges: Array.from({ length: services - 1 }, (_, i) => ({
      namespace: 'app',
      caller: `s${Math.floor(i / 8)}`,
      callee: `s${i + 1}`,
    })),
    nodes: [{ namespace: 'app', service: 's0' }],
  });

function points(n: number, services: number, spreadMs: number, rules = 20): Point[] {
  const random = randomOf(n + services);
  return Array.from({ length: n }, (_, i) => {
    const at = start + Math.floor((i / n) * spreadMs);
    const alertname = `Rule${random.int(rules)}`;
    return {
      key: `b/${i}@${at}`,
      alert: `b/${i}`,
      tenant: '',
      alertname,
      service: `s${random.int(services)}`,
      destination: null,
      namespace: 'app',
      cluster: 'c',
      severity: 'medium',
      labels: { alertname, instance: `i${i}`, pod: `p${i}` },
      summary: `${alertname} is firing`,
      groupKey: alertname,
      startsAt: at,
      at,
    };
  });
}

/** Places every point as the engine would; gives CPU µs per alert, the longest single step in ms and the incidents. */
function run(
  list: Point[],
  graph: ServiceGraph,
): { us: number; longestMs: number; incidents: number; correlator: Correlator } {
  const correlator = createCorrelator({ graph, windowMs }, models.correlation);
  const live = new Set<string>();
  const last = new Map<string, string>();
  let opened = 0;
  let longestMs = 0;
  const before = process.cpuUsage();
  for (const point of list) {
    const t = process.threadCpuUsage();
    const home = last.get(point.alert);
    const earlier = home === undefined ? null : { incidentId: home, endedAt: point.at - 5000, resolved: true };
    const { incidentId, merges } = correlator.place(point, point.at, earlier);
    let id = incidentId;
    if (id === null) {
      opened += 1;
      id = `i${opened}`;
      live.add(id);
    }
    for (const m of merges) {
      if (m.incidentId === id) continue;
      correlator.merged(m.incidentId, id);
      live.delete(m.incidentId);
    }
    correlator.assigned(point, id);
    last.set(point.alert, id);
    correlator.expire(point.at);
    const step = process.threadCpuUsage(t);
    longestMs = Math.max(longestMs, (step.user + step.system) / 1000);
  }
  const used = process.cpuUsage(before);
  return { us: (used.user + used.system) / list.length, longestMs, incidents: live.size, correlator };
}

/** The cheapest of so many runs: what other work on the machine adds to one is not the correlator's. */
function least(times: number, once: () => ReturnType<typeof run>): ReturnType<typeof run> {
  return Array.from({ length: times }, once).reduce((a, b) => (b.us < a.us ? b : a));
}

const row = (cells: (string | number)[]): void => console.log(`| ${cells.join(' | ')} |`);
run(points(3000, 50, 60_000), graphOf(50));

console.log('CPU per alert (µs), one window of 60 s\n');
row(['alerts', '1 service', '50 services', '200 services', 'longest step (ms)']);
row(['---', '---', '---', '---', '---']);
for (const n of [10, 100, 1000, 10_000]) {
  const cells: string[] = [];
  let longest = 0;
  for (const services of [1, 50, 200]) {
    const graph = graphOf(services);
    const repeats = Math.max(5, Math.round(3000 / n));
    let us = Infinity;
    for (let k = 0; k < repeats; k += 1) {
      const r = run(points(n, services, 60_000), graph);
      us = Math.min(us, r.us);
      if (n >= 1000) longest = Math.max(longest, r.longestMs);
    }
    cells.push(us.toFixed(0));
  }
  row([n, ...cells, longest ? longest.toFixed(1) : '-']);
}

console.log('\nAn hour at a steady rate, 50 services (points leave the window as others come)\n');
row(['alerts an hour', 'µs per alert', 'longest step (ms)', 'incidents']);
row(['---', '---', '---', '---']);
for (const n of [1000, 10_000, 50_000]) {
  const r = least(3, () => run(points(n, 50, 3_600_000), graphOf(50)));
  row([n, r.us.toFixed(0), r.longestMs.toFixed(1), r.incidents]);
}

console.log('\nBad input, 10,000 alerts\n');
row(['input', 'µs per alert', 'longest step (ms)', 'incidents']);
row(['---', '---', '---', '---']);
const bad: [string, Point[], ServiceGraph][] = [
  ['identical alerts on 10,000 instances, one service', points(10_000, 1, 60_000, 1), graphOf(1)],
  [
    'the same without service, namespace or cluster',
    points(10_000, 1, 60_000, 1).map((p) => ({ ...p, service: null, namespace: null, cluster: null })),
    graphOf(1),
  ],
  ['10,000 services the graph does not know', points(10_000, 10_000, 60_000), graphOf(10)],
  ['10,000 services, each with its own rule', points(10_000, 10_000, 60_000, 10_000), graphOf(10)],
  [
    'nothing but an alertname',
    points(10_000, 1, 60_000, 10_000).map((p) => ({
      ...p,
      service: null,
      namespace: null,
      cluster: null,
      labels: { alertname: p.alertname },
    })),
    graphOf(1),
  ],
  [
    'a graph of 100,000 edges around one hub',
    points(10_000, 5000, 60_000),
    buildGraph({
      edges: Array.from({ length: 100_000 }, (_, i) => ({ namespace: 'app', caller: 's0', callee: `s${i}` })),
    }),
  ],
  [
    'one alert that flaps every 10 s',
    points(8640, 1, 86_400_000, 1).map((p) => ({ ...p, alert: 'b/same' })),
    graphOf(1),
  ],
];
for (const [name, list, graph] of bad) {
  const r = least(3, () => run(list, graph));
  row([name, r.us.toFixed(0), r.longestMs.toFixed(1), r.incidents]);
}

console.log('\nMemory: 100,000 active points\n');
const list = points(100_000, 200, 600_000);
global.gc?.();
const inUse = (): number => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
const heap = inUse();
const kept = run(list, graphOf(200));
global.gc?.();
console.log(
  `${((inUse() - heap) / 1e6).toFixed(0)} MB (${kept.us.toFixed(0)} µs per alert${global.gc ? '' : '; run with --expose-gc for a firm figure'})`,
);
kept.correlator.expire(start);

console.log('\nThe same points through density-clustering (one block)\n');
const { DBSCAN } = createRequire(import.meta.url)('density-clustering');
for (const n of [300, 1000, 2000]) {
  const some = points(n, 50, 60_000);
  const measure = createCorrelator({ graph: graphOf(50), windowMs }, models.correlation);
  const before = process.cpuUsage();
  const time = (a: number[], b: number[]): number => measure.distance(some[a[0]!]!, some[b[0]!]!).distance;
  if (n <= 300)
    new DBSCAN().run(
      some.map((_, i) => [i]),
      models.correlation.eps,
      models.correlation.minPts,
      time,
    );
  else
    new DBSCAN().run(
      some.map((p) => [p.startsAt]),
      60_001,
      2,
      (a: number[], b: number[]) => Math.abs(a[0]! - b[0]!),
    );
  const used = process.cpuUsage(before);
  console.log(
    `${n} points: ${((used.user + used.system) / 1e6).toFixed(2)} s${n > 300 ? ' (with |Δt| as distance, the cheapest there is)' : ''}`,
  );
}
