import { describe, expect, it } from 'vitest';
import { loadModels } from '../../src/config/models.ts';
import { createCorrelator } from '../../src/correlate/correlator.ts';
import { buildGraph, emptyGraph } from '../../src/correlate/graph.ts';
import type { Correlator, Earlier, Placement, Point } from '../../src/correlate/types.ts';

const model = loadModels().correlation;
const noon = Date.UTC(2026, 0, 5, 12);
const shop = buildGraph({
  edges: [
    ['frontend', 'checkout'],
    ['checkout', 'payment'],
    ['checkout', 'cart'],
    ['admin', 'reports'],
  ].map(([caller, callee]) => ({ namespace: 'shop', caller: caller!, callee: callee! })),
});

/** A correlator with the engine's part played: it opens, merges and assigns as it is told. */
function story(correlator: Correlator = createCorrelator({ graph: shop, windowMs: 900_000 }, model)) {
  let n = 0;
  const into = new Map<string, string>();
  const live = (id: string): string => (into.has(id) ? live(into.get(id)!) : id);
  const placements = new Map<string, Placement>();
  const of = new Map<string, string>();
  const point = (alertname: string, service: string | null, seconds: number, more: Partial<Point> = {}): Point => ({
    key: `t/${alertname}/${service}@${seconds}`,
    alert: `t/${alertname}/${service}`,
    tenant: '',
    alertname,
    service,
    destination: null,
    namespace: 'shop',
    cluster: 'c1',
    severity: 'high',
    labels: {},
    summary: null,
    groupKey: null,
    startsAt: noon + seconds * 1000,
    at: noon + seconds * 1000,
    ...more,
  });
  const fire = (
    alertname: string,
    service: string | null,
    seconds: number,
    more: Partial<Point> = {},
    earlier: Earlier | null = null,
  ): string => {
    const p = point(alertname, service, seconds, more);
    const placement = correlator.place(p, p.at, earlier);
    placements.set(p.key, placement);
    if (placement.incidentId === null) n += 1;
    let id = placement.incidentId ?? `i${n}`;
    for (const m of placement.merges) {
      const [elder, younger] = m.incidentId < id ? [m.incidentId, id] : [id, m.incidentId];
      into.set(younger, elder);
      correlator.merged(younger, elder);
      id = elder;
    }
    correlator.assigned(p, id);
    of.set(p.key, id);
    return p.key;
  };
  return {
    correlator,
    point,
    fire,
    incident: (key: string) => live(of.get(key)!),
    why: (key: string) => placements.get(key)!.why,
  };
}

/** Enough lonely firings that a rule is known to be noise, well before noon. */
function knownNoise(s: ReturnType<typeof story>, alertname: string): void {
  for (let i = 0; i < 12; i += 1)
    s.fire(alertname, ['frontend', 'payment', 'cart'][i % 3]!, -40_000 + i * 1200, { alert: `t/noise${i}` });
}

describe('correlation', () => {
  it('puts alerts of a failing service and of those that call it into one incident', () => {
    const s = story();
    const first = s.fire('CpuHigh', 'payment', 0);
    const others = [
      s.fire('LatencyHigh', 'payment', 20),
      s.fire('LatencyHigh', 'checkout', 30),
      s.fire('ErrorsHigh', 'frontend', 45),
    ];
    for (const key of others) expect(s.incident(key)).toBe(s.incident(first));
  });

  it('keeps two faults in unconnected parts of one graph apart, however simultaneous', () => {
    const s = story();
    const payment = s.fire('LatencyHigh', 'payment', 0);
    const reports = s.fire('LatencyHigh', 'reports', 0);
    expect(s.incident(s.fire('ErrorsHigh', 'checkout', 10))).toBe(s.incident(payment));
    expect(s.incident(s.fire('ErrorsHigh', 'admin', 10))).toBe(s.incident(reports));
    expect(s.incident(payment)).not.toBe(s.incident(reports));
  });

  it('keeps two subtrees apart that meet at a common front door which itself is silent', () => {
    const callers = [
      ['door', 'a1'],
      ['a1', 'a2'],
      ['door', 'b1'],
      ['b1', 'b2'],
    ];
    const graph = buildGraph({
      edges: callers.map(([caller, callee]) => ({ namespace: 'shop', caller: caller!, callee: callee! })),
    });
    const s = story(createCorrelator({ graph, windowMs: 900_000 }, model));
    const round = (seconds: number, services: string[]): string[] =>
      services.flatMap((service, i) => [
        s.fire('LatencyHigh', service, seconds + i * 4, { alert: `t/l/${service}/${seconds}/${i}` }),
        s.fire('ErrorsHigh', service, seconds + i * 4 + 2, { alert: `t/e/${service}/${seconds}/${i}` }),
      ]);
    for (let i = 0; i < 6; i += 1) round(-40_000 + i * 3000, i % 2 ? ['a1', 'a2'] : ['b1', 'b2']);
    const keys = round(0, ['a2', 'b2', 'a1', 'b1', 'a1', 'b1', 'a1', 'b1']);
    const of = (service: string): Set<string> =>
      new Set(keys.filter((key) => key.includes(`/${service}@`)).map(s.incident));
    expect(of('a1')).toEqual(of('a2'));
    expect(of('b1')).toEqual(of('b2'));
    expect(of('a1')).not.toEqual(of('b1'));
  });

  it.each([
    ['there is none', emptyGraph()],
    [
      'the services are only listed',
      buildGraph({ edges: [], nodes: [{ service: 'payment' }, { service: 'checkout' }] }),
    ],
  ])('keeps looking round the whole namespace where no graph says who is beside whom: %s', (_, graph) => {
    const s = story(createCorrelator({ graph, windowMs: 900_000 }, model));
    const keys = ['payment', 'checkout', 'payment', 'checkout', 'payment', 'checkout'].map((service, i) =>
      s.fire(`R${i % 5}`, service, i === 0 ? 0 : 45 + i * 2, { alert: `t/${i}` }),
    );
    expect(new Set(keys.map(s.incident)).size).toBe(1);
  });

  it('reaches over a silent service to the one that alerts behind it', () => {
    const s = story();
    for (let i = 0; i < 4; i += 1) {
      s.fire('LatencyHigh', 'payment', -30_000 + i * 3000, { alert: `t/p${i}` });
      s.fire('ErrorsHigh', 'payment', -29_990 + i * 3000, { alert: `t/q${i}` });
    }
    const root = s.fire('ErrorsHigh', 'payment', 0);
    expect(s.incident(s.fire('LatencyHigh', 'frontend', 20))).toBe(s.incident(root));
  });

  it('never lets tenants or clusters meet', () => {
    const s = story();
    const a = s.fire('LatencyHigh', 'payment', 0);
    expect(s.incident(s.fire('ErrorsHigh', 'payment', 5, { tenant: 'other' }))).not.toBe(s.incident(a));
    expect(s.incident(s.fire('ErrorsHigh', 'payment', 6, { cluster: 'c2' }))).not.toBe(s.incident(a));
  });

  it('joins what lacks a cluster or namespace label: a missing fact is no evidence against', () => {
    const s = story();
    const a = s.fire('LatencyHigh', 'payment', 0);
    expect(s.incident(s.fire('ErrorsHigh', 'payment', 5, { cluster: null }))).toBe(s.incident(a));
    expect(s.incident(s.fire('CpuHigh', 'payment', 6, { namespace: null }))).toBe(s.incident(a));
  });

  it('never joins alerts that say nothing but their name to strangers', () => {
    const s = story();
    const bare = { namespace: null, cluster: null };
    const keys = ['A', 'B', 'C', 'D'].map((name, i) => s.fire(name, null, i, bare));
    s.fire('LatencyHigh', 'payment', 5);
    expect(new Set(keys.map(s.incident)).size).toBe(4);
  });

  it('learns which rule is noise and leaves its next alert out of a fault it happens to hit', () => {
    const s = story();
    knownNoise(s, 'TargetDown');
    const fault = [
      s.fire('CpuHigh', 'payment', 0),
      s.fire('LatencyHigh', 'payment', 10),
      s.fire('LatencyHigh', 'checkout', 20),
    ];
    const noise = s.fire('TargetDown', 'checkout', 30);
    expect(new Set(fault.map(s.incident)).size).toBe(1);
    expect(s.incident(noise)).not.toBe(s.incident(fault[0]!));
  });

  it('tells what it learned of a rule, and on how many onsets that rests', () => {
    const s = story();
    const place = { tenant: '', cluster: 'c1', namespace: 'shop' };
    const unknown = s.correlator.relevance({ ...place, alertname: 'TargetDown' });
    expect(unknown).toEqual({ relevance: model.relevance.priorMean, onsets: 0, accompanied: 0 });
    knownNoise(s, 'TargetDown');
    for (let i = 0; i < 5; i += 1) {
      s.fire('LatencyHigh', 'payment', -20_000 + i * 3000, { alert: `t/p${i}` });
      s.fire('ErrorsHigh', 'checkout', -19_990 + i * 3000, { alert: `t/c${i}` });
    }
    const noise = s.correlator.relevance({ ...place, alertname: 'TargetDown' });
    expect(noise.relevance).toBeLessThan(0.1);
    expect(noise.onsets).toBeCloseTo(12, 0);
    expect(noise.accompanied).toBe(0);
    const real = s.correlator.relevance({ ...place, alertname: 'LatencyHigh' });
    expect(real.relevance).toBeGreaterThan(0.8);
    expect(real.accompanied).toBeCloseTo(real.onsets, 5);
  });

  it('believes a rule that was always lonely when it bursts on three services within a minute', () => {
    const s = story();
    knownNoise(s, 'TargetDown');
    const burst = ['payment', 'checkout', 'cart'].map((service, i) => s.fire('TargetDown', service, i * 10));
    expect(s.incident(burst[2]!)).toBe(s.incident(burst[1]!));
  });

  it('does not learn one namespace from another that is noisy, beyond a hint', () => {
    const s = story();
    for (let i = 0; i < 12; i += 1)
      s.fire('LatencyHigh', 'runner', -40_000 + i * 1200, { namespace: 'ci', alert: `t/ci${i}` });
    for (let i = 0; i < 4; i += 1) {
      s.fire('LatencyHigh', 'payment', -30_000 + i * 3000, { alert: `t/p${i}` });
      s.fire('ErrorsHigh', 'checkout', -29_990 + i * 3000, { alert: `t/c${i}` });
    }
    const a = s.fire('LatencyHigh', 'payment', 0);
    expect(s.incident(s.fire('ErrorsHigh', 'checkout', 10))).toBe(s.incident(a));
  });

  it('does not chain through time: alerts each a minute from the last are not one story an hour long', () => {
    const s = story();
    const keys = Array.from({ length: 60 }, (_, i) =>
      s.fire(`Rule${i % 5}`, ['payment', 'checkout', 'frontend'][i % 3]!, i * 60, { alert: `t/${i}` }),
    );
    expect(s.incident(keys[59]!)).not.toBe(s.incident(keys[0]!));
  });

  it('sends an alert that fires again alone back to its incident', () => {
    const s = story();
    const first = s.fire('LatencyHigh', 'payment', 0);
    const earlier = { incidentId: s.incident(first), endedAt: noon + 60_000, resolved: true };
    expect(s.incident(s.fire('LatencyHigh', 'payment', 300, {}, earlier))).toBe(s.incident(first));
  });

  it('does not hang the flapping of known noise on to the open incident of others; one that is over it reopens', () => {
    const s = story();
    knownNoise(s, 'TargetDown');
    const fault = ['CpuHigh', 'LatencyHigh', 'ErrorsHigh'].map((name, i) => s.fire(name, 'payment', i * 5));
    const together = s.incident(fault[0]!);
    const flap = s.point('TargetDown', 'payment', 6);
    s.correlator.place(flap, flap.at);
    s.correlator.assigned(flap, together);
    const earlier = { incidentId: together, endedAt: noon + 250_000, resolved: false };
    expect(s.incident(s.fire('TargetDown', 'payment', 300, {}, earlier))).not.toBe(together);
    const over = { ...earlier, resolved: true };
    expect(s.incident(s.fire('TargetDown', 'payment', 310, {}, over))).toBe(together);
    const own = s.fire('TargetDown', 'cart', 400);
    const alone = { incidentId: s.incident(own), endedAt: noon + 500_000, resolved: true };
    expect(s.incident(s.fire('TargetDown', 'cart', 600, {}, alone))).toBe(s.incident(own));
  });

  it('still knows after a quiet weekend how fast trouble spreads here', () => {
    const s = story();
    const fault = (seconds: number, day: string): string[] =>
      [
        ['CpuHigh', 'payment'],
        ['LatencyHigh', 'payment'],
        ['LatencyHigh', 'checkout'],
        ['ErrorsHigh', 'frontend'],
      ].map(([name, service], i) => s.fire(name!, service!, seconds + i * 15, { alert: `t/${day}/${seconds}/${i}` }));
    for (let i = 0; i < 30; i += 1) fault(-200_000 + i * 500, 'before');
    s.correlator.expire(noon);
    const [first, second] = [fault(0, 'after'), fault(500, 'after')];
    expect(new Set([...first, ...second].map(s.incident)).size).toBe(2);
    expect(s.incident(first[0]!)).not.toBe(s.incident(second[0]!));
  });

  it('lets an alert that fires again in the company of a new fault go with its company', () => {
    const s = story();
    const old = ['LatencyHigh', 'ErrorsHigh', 'CpuHigh'].map((name, i) => s.fire(name, 'payment', i * 5));
    const fresh = [s.fire('LatencyHigh', 'checkout', 700), s.fire('ErrorsHigh', 'frontend', 705)];
    const earlier = { incidentId: s.incident(old[0]!), endedAt: noon + 500_000, resolved: false };
    const again = s.fire('LatencyHigh', 'payment', 710, {}, earlier);
    expect(s.incident(again)).toBe(s.incident(fresh[0]!));
    expect(s.incident(again)).not.toBe(s.incident(old[0]!));
  });

  it('keeps what a person split apart, and joins what a person merged', () => {
    const s = story();
    const link = (kind: 'must' | 'cannot', a: string, b: string) =>
      s.correlator.link({ kind, a, b, by: 'ana', at: noon, incidentId: 'i1' });
    link('cannot', 't/LatencyHigh/payment', 't/ErrorsHigh/checkout');
    link('must', 't/LatencyHigh/payment', 't/LatencyHigh/reports');
    const a = s.fire('LatencyHigh', 'payment', 0);
    expect(s.incident(s.fire('ErrorsHigh', 'checkout', 5))).not.toBe(s.incident(a));
    const far = s.fire('LatencyHigh', 'reports', 400);
    expect(s.incident(far)).toBe(s.incident(a));
    expect(s.why(far).note).toMatch(/person/);
  });

  it('offers no closed incident', () => {
    const s = story();
    const a = s.fire('LatencyHigh', 'payment', 0);
    s.correlator.closed(s.incident(a));
    expect(s.incident(s.fire('ErrorsHigh', 'payment', 5))).not.toBe(s.incident(a));
  });

  it('says why: the neighbours, and every part of each distance, which multiply', () => {
    const s = story();
    s.fire('LatencyHigh', 'payment', 0);
    const { neighbours, eps } = s.why(s.fire('ErrorsHigh', 'checkout', 30));
    expect(neighbours).toHaveLength(1);
    const { distance, parts } = neighbours[0]!;
    expect(distance).toBeLessThanOrEqual(eps);
    expect(parts.topology).toBe(1);
    const floor = parts.time! * parts.topology! * parts.relevance!;
    expect(1 - distance).toBeGreaterThan(floor * 0.9);
    expect(1 - distance).toBeLessThanOrEqual(floor + 1e-3);
  });

  it('brings two alerts after one deploy closer than two after different ones', () => {
    const s = story();
    const a = s.point('LatencyHigh', 'payment', 300);
    const b = s.point('ErrorsHigh', 'checkout', 310);
    s.correlator.deployed({ id: 'd1', service: 'payment', startedAt: noon });
    const one = s.correlator.distance(a, b);
    s.correlator.deployed({ id: 'd2', service: 'checkout', startedAt: noon + 60_000 });
    const two = s.correlator.distance(a, b);
    expect(one.parts.deploy).toBe(1);
    expect(two.parts.deploy).toBe(0);
    expect(one.distance).toBeLessThan(two.distance);
  });

  it('carries what it learned over a restart, and takes its open points back', () => {
    const before = story();
    knownNoise(before, 'TargetDown');
    const a = before.fire('LatencyHigh', 'payment', 0);
    const after = story();
    after.correlator.loadMemory(before.correlator.drainMemory());
    after.correlator.assigned(before.point('LatencyHigh', 'payment', 0), before.incident(a));
    const p = before.point('ErrorsHigh', 'checkout', 10);
    expect(after.correlator.place(p, p.at).incidentId).toBe(before.incident(a));
    const noise = before.point('TargetDown', 'checkout', 12);
    expect(after.correlator.place(noise, noise.at).incidentId).toBeNull();
  });

  it('is the same for the same input', () => {
    const run = () => {
      const s = story();
      return Array.from({ length: 200 }, (_, i) =>
        s.incident(s.fire(`R${i % 7}`, ['payment', 'cart', 'frontend', null][i % 4]!, i * 3, { alert: `t/${i}` })),
      );
    };
    expect(run()).toEqual(run());
  });

  it('forgets points older than its window', () => {
    const s = story();
    for (let i = 0; i < 50; i += 1) s.fire(`R${i}`, 'payment', i);
    s.correlator.expire(noon + 7_200_000);
    const late = s.point('R99', 'payment', 30, { at: noon + 7_200_000 });
    expect(s.correlator.place(late, late.at).why.neighbours).toEqual([]);
  });

  it('survives alerts out of order by an hour, repeated keys apart, and a new graph in the middle', () => {
    const s = story();
    const keys = Array.from({ length: 300 }, (_, i) =>
      s.fire(`R${i % 5}`, `svc${i % 9}`, i, { startsAt: noon + (i % 3 === 0 ? i - 3600 : i) * 1000, alert: `t/${i}` }),
    );
    s.correlator.reconfigure({
      graph: buildGraph({ edges: [{ namespace: 'shop', caller: 'svc1', callee: 'svc1' }] }),
      windowMs: 900_000,
    });
    keys.push(s.fire('R1', 'svc2', 301));
    for (const key of keys) expect(s.incident(key)).toMatch(/^i\d+$/);
  });
});
