import { describe, expect, it } from 'vitest';
import { loadModels } from '../../src/config/models.ts';
import { createCorrelator } from '../../src/correlate/correlator.ts';
import { buildGraph, emptyGraph } from '../../src/correlate/graph.ts';
import { pointOf } from '../../src/correlate/place.ts';
import type { Point, ServiceGraph } from '../../src/correlate/types.ts';
import type { Alert } from '../../src/domain/alert.ts';

const model = loadModels().correlation;
const noon = Date.UTC(2026, 0, 5, 12);

const point = (i: number, more: Partial<Point> = {}): Point => ({
  key: `t/${i}@${i}`,
  alert: `t/${i}`,
  tenant: '',
  alertname: 'LatencyHigh',
  service: 'payment',
  destination: null,
  namespace: 'shop',
  cluster: 'c1',
  severity: 'high',
  labels: { alertname: 'LatencyHigh', instance: `10.0.${i >> 8}.${i & 255}` },
  summary: null,
  groupKey: 'LatencyHigh',
  startsAt: noon + i * 5,
  at: noon + i * 5,
  ...more,
});

/** Places everything as the engine would; an alert known before comes back as a re-fire of a resolved episode. */
function run(points: readonly Point[], graph: ServiceGraph = emptyGraph()) {
  const correlator = createCorrelator({ graph, windowMs: 900_000 }, model);
  const into = new Map<string, string>();
  const live = (id: string): string => (into.has(id) ? live(into.get(id)!) : id);
  const last = new Map<string, string>();
  const before = process.cpuUsage();
  const incidents = points.map((p, i) => {
    const home = last.get(p.alert);
    const earlier = home === undefined ? null : { incidentId: live(home), endedAt: p.at - 5000, resolved: true };
    const { incidentId, merges } = correlator.place(p, p.at, earlier);
    let id = incidentId ?? `i${i}`;
    for (const m of merges) {
      into.set(m.incidentId, id);
      correlator.merged(m.incidentId, id);
      id = live(id);
    }
    correlator.assigned(p, id);
    correlator.expire(p.at);
    last.set(p.alert, id);
    return id;
  });
  const { user, system } = process.cpuUsage(before);
  return { incidents: incidents.map(live), cpuMs: (user + system) / 1000 };
}

const count = (incidents: readonly string[]): number => new Set(incidents).size;

/** Four times the alerts may cost some four times the CPU; sixteen would be every pair. */
function expectNoSquare(make: (n: number) => Point[], graph?: ServiceGraph): void {
  run(make(300), graph);
  const few = Math.min(run(make(1000), graph).cpuMs, run(make(1000), graph).cpuMs);
  const many = Math.min(run(make(4000), graph).cpuMs, run(make(4000), graph).cpuMs);
  expect(many).toBeLessThan(few * 10);
}

describe('bad input to correlation', () => {
  it('makes one incident of 5,000 identical alerts on different instances', () => {
    expect(count(run(Array.from({ length: 5000 }, (_, i) => point(i))).incidents)).toBe(1);
  });

  it('makes one incident of a flapping alert, every 10 s for a day', () => {
    const day = Array.from({ length: 8640 }, (_, i) =>
      point(i, { alert: 't/same', startsAt: noon + i * 10_000, at: noon + i * 10_000 }),
    );
    const { incidents, cpuMs } = run(day);
    expect(count(incidents)).toBe(1);
    expect(cpuMs).toBeLessThan(10_000);
  });

  it('keeps strangers apart that have no label but their names, however many', () => {
    const bare = Array.from({ length: 3000 }, (_, i) =>
      point(i, { alertname: `R${i}`, service: null, namespace: null, cluster: null, labels: {}, groupKey: null }),
    );
    expect(count(run(bare).incidents)).toBe(3000);
  });

  it('walks a graph of cycles and self-loops as any other', () => {
    const ring = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    const edges = ring.flatMap((caller, i) => [
      { namespace: 'shop', caller, callee: ring[(i + 1) % ring.length]! },
      { namespace: 'shop', caller, callee: caller },
    ]);
    const graph = buildGraph({ edges });
    const two = [
      ...['a', 'b', 'a', 'b'].map((service, i) => point(i, { service, alertname: `R${i}` })),
      ...['e', 'f', 'e', 'f'].map((service, i) => point(10 + i, { service, alertname: `R${i}` })),
    ];
    const { incidents } = run(two, graph);
    expect(new Set(incidents.slice(0, 4))).toHaveLength(1);
    expect(new Set(incidents.slice(4))).toHaveLength(1);
    expect(incidents[0]).not.toBe(incidents[4]);
  });

  it('takes a graph of 100,000 edges and still tells neighbours from what is not', () => {
    const edges = Array.from({ length: 100_000 }, (_, i) => ({
      namespace: 'shop',
      caller: `s${Math.floor(i / 50)}`,
      callee: `s${i + 1}`,
    }));
    const graph = buildGraph({ edges });
    const { incidents } = run(
      [
        point(0, { service: 's0', alertname: 'A' }),
        point(1, { service: 's1', alertname: 'B' }),
        point(2, { service: 's99000', alertname: 'A' }),
      ],
      graph,
    );
    expect(incidents[0]).toBe(incidents[1]);
    expect(incidents[2]).not.toBe(incidents[0]);
  });

  it('lets an alert that began an hour before it came join nothing of now', () => {
    const now = Array.from({ length: 5 }, (_, i) => point(i, { alertname: `R${i}` }));
    const late = point(9, { startsAt: noon - 3_600_000 });
    const { incidents } = run([...now, late]);
    expect(count(incidents.slice(0, 5))).toBe(1);
    expect(incidents[5]).not.toBe(incidents[0]);
  });

  it('takes a start in the future as the moment it came', () => {
    const alert = { startsAt: noon + 3_600_000, receivedAt: noon, annotations: {}, labels: {} } as unknown as Alert;
    expect(pointOf(alert).startsAt).toBe(noon);
  });

  it('says the same of alerts that come in any order within the hour, and never fails', () => {
    const shuffled = Array.from({ length: 2000 }, (_, i) =>
      point(i, { alertname: `R${i % 7}`, startsAt: noon + ((i * 7919) % 3600) * 1000, at: noon + 3_600_000 + i }),
    );
    const { incidents } = run(shuffled);
    const near = shuffled.flatMap((p, i) => (p.startsAt < noon + 10_000 ? [incidents[i]!] : []));
    const far = shuffled.flatMap((p, i) => (p.startsAt > noon + 3_590_000 ? [incidents[i]!] : []));
    expect(near.some((id) => far.includes(id))).toBe(false);
  });

  it('costs no square of places made up by a sender: services unknown to the graph, hosts without service, rules', () => {
    expectNoSquare((n) => Array.from({ length: n }, (_, i) => point(i, { service: `made-up-${i}` })));
    expectNoSquare((n) =>
      Array.from({ length: n }, (_, i) => point(i, { service: null, namespace: null, cluster: null })),
    );
    expectNoSquare((n) => Array.from({ length: n }, (_, i) => point(i, { alertname: `R${i}`, service: `s${i % 50}` })));
  });

  it('costs no square of one alert that comes back again and again', () => {
    expectNoSquare((n) => Array.from({ length: n }, (_, i) => point(i, { alert: 't/same' })));
  });
});
