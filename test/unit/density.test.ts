import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadModels } from '../../src/config/models.ts';
import { createCorrelator, type Tuning } from '../../src/correlate/correlator.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import { randomOf } from '../../src/correlate/train/random.ts';
import type { Correlator, Point } from '../../src/correlate/types.ts';

const { DBSCAN } = createRequire(import.meta.url)('density-clustering');
const model = loadModels().correlation;
const exact = { learn: false, guard: false, looks: Infinity, perCell: Infinity, spots: Infinity };

/** Random services in a random graph, some unknown to it or without a name, and rules of which some were learned to be noise. */
function randomInput(
  seed: number,
  n: number,
  minPts: number,
  tuning: Partial<Tuning> = exact,
): { points: Point[]; correlator: Correlator } {
  const random = randomOf(seed);
  const services = Array.from({ length: 12 }, (_, i) => `s${i}`);
  const edges = services
    .slice(1)
    .map((callee, i) => ({ namespace: 'app', caller: services[random.int(i + 1)]!, callee }))
    .filter(() => random.next() < 0.8);
  edges.push({ namespace: 'app', caller: 's1', callee: 's0' }, { namespace: 'app', caller: 's2', callee: 's2' });
  const correlator = createCorrelator(
    { graph: buildGraph({ edges }), windowMs: 86_400_000 },
    { ...model, minPts, eps: 0.7 },
    tuning,
  );
  correlator.loadMemory(
    ['R0', 'R1', 'R2', 'R3'].map((name) => ({
      scope: 'rule',
      key: `\nc\napp\n${name}`,
      doc: { logOdds: random.between(-2, 5), at: 0 },
    })),
  );
  const points = Array.from({ length: n }, (_, i): Point => {
    const startsAt = 1_000_000_000_000 + random.int(1200) * 1000;
    const service = random.next() < 0.1 ? null : random.next() < 0.15 ? `off${random.int(3)}` : random.pick(services);
    const alertname = `R${random.int(4)}`;
    return {
      key: `k${i}`,
      alert: `a${i}`,
      tenant: '',
      alertname,
      service,
      destination: random.next() < 0.2 ? random.pick(services) : null,
      namespace: random.next() < 0.1 ? null : 'app',
      cluster: random.next() < 0.1 ? 'other' : 'c',
      severity: 'medium',
      labels: { alertname, zone: `z${random.int(3)}` },
      summary: random.next() < 0.5 ? `${alertname} on ${service}` : null,
      groupKey: random.next() < 0.5 ? alertname : null,
      startsAt,
      at: 1_000_000_000_000 + i,
    };
  });
  return { points, correlator };
}

/** Places all points and returns the incident of each, merges followed. */
function incidentsOf(points: Point[], correlator: Correlator, look?: (i: number, nearest: number[]) => void): string[] {
  const into = new Map<string, string>();
  const live = (id: string): string => (into.has(id) ? live(into.get(id)!) : id);
  const own = points.map((point, i) => {
    const { incidentId, merges, why } = correlator.place(point, point.at);
    look?.(
      i,
      why.neighbours.map((n) => n.distance),
    );
    const id = incidentId ?? `i${i}`;
    for (const m of merges) {
      into.set(m.incidentId, id);
      correlator.merged(m.incidentId, id);
    }
    correlator.assigned(point, id);
    return id;
  });
  return own.map(live);
}

const seeds = fc.integer({ min: 1, max: 1_000_000 });

describe('density clustering', () => {
  for (const minPts of [2, 3]) {
    it(`finds the core-point clusters of DBSCAN (minPts ${minPts}) when the distance is frozen and the guard off`, () => {
      fc.assert(
        fc.property(seeds, (seed) => {
          const { points, correlator } = randomInput(seed, 90, minPts);
          const found = incidentsOf(points, correlator);
          const table = points.map((a) => points.map((b) => (a === b ? 0 : correlator.distance(a, b).distance)));
          const distance = (a: number[], b: number[]): number => table[a[0]!]![b[0]!]!;
          // The package compares with a strict `<`; ours is `<=`.
          const eps = 0.7 + 1e-12;
          const rows = points.map((_, i) => [i]);
          const clusters: number[][] = new DBSCAN().run(rows, eps, minPts, distance);
          const core = rows.filter((a) => rows.filter((b) => distance(a, b) < eps).length >= minPts).map((a) => a[0]!);
          const oracle = new Map(clusters.flatMap((members, c) => members.map((i) => [i, c] as const)));
          for (const a of core) {
            for (const b of core) {
              expect(found[a] === found[b], `points ${a} and ${b}`).toBe(oracle.get(a) === oracle.get(b));
            }
          }
        }),
        { numRuns: 40 },
      );
    });
  }

  it('never misses a neighbour within eps: the nearest five are those of a search through all pairs', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const { points, correlator } = randomInput(seed, 90, 2);
        incidentsOf(points, correlator, (i, nearest) => {
          const all = points
            .slice(0, i)
            .map((other) => correlator.distance(points[i]!, other).distance)
            .filter((d) => d <= 0.7)
            .sort((a, b) => a - b)
            .slice(0, 5);
          expect(nearest.length).toBe(all.length);
          nearest.forEach((d, k) => {
            expect(d).toBeCloseTo(all[k]!, 3);
          });
        });
      }),
      { numRuns: 40 },
    );
  });

  it('misses none either once places have emptied and filled again', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const { points, correlator } = randomInput(seed, 120, 2);
        incidentsOf(points.slice(0, 60), correlator);
        correlator.expire(points[0]!.at + 30 * 86_400_000);
        const rest = points.slice(60);
        incidentsOf(rest, correlator, (i, nearest) => {
          const all = rest.slice(0, i).map((other) => correlator.distance(rest[i]!, other).distance);
          expect(nearest.length).toBe(Math.min(5, all.filter((d) => d <= 0.7).length));
        });
      }),
      { numRuns: 25 },
    );
  });

  it('finds the same clusters with the budget of looks that the product runs with', () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const all = randomInput(seed, 300, 2);
      const some = randomInput(seed, 300, 2, { learn: false, guard: false });
      expect(incidentsOf(some.points, some.correlator)).toEqual(incidentsOf(all.points, all.correlator));
    }
  });
});
