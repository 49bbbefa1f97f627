import { describe, expect, it } from 'vitest';
import { loadModels } from '../../src/config/models.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import { metricEvidence, metricKind } from '../../src/score/causes/metric-evidence.ts';
import { type CauseAlert, type CausesInput, rankCauses, topSuspect } from '../../src/score/causes.ts';

const model = loadModels().causes;
const noon = Date.UTC(2026, 0, 5, 12);
const graph = buildGraph({
  edges: [
    ['frontend', 'checkout'],
    ['checkout', 'payment'],
    ['checkout', 'cart'],
    ['payment', 'ledger'],
  ].map(([caller, callee]) => ({ namespace: 'shop', caller: caller!, callee: callee! })),
});

const alert = (alertname: string, service: string | null, seconds = 0, more: Partial<CauseAlert> = {}): CauseAlert => ({
  key: `t/${alertname}-${service}@${seconds}`,
  alert: `t/${alertname}-${service}`,
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
  status: 'firing',
  ...more,
});

const input = (alerts: CauseAlert[], more: Partial<CausesInput> = {}): CausesInput => ({
  alerts,
  graph,
  deploys: [],
  serviceMetrics: [],
  startedAt: noon,
  now: noon + 60_000,
  ...more,
});

const deploy = (service: string, minutesBefore: number) => ({
  id: `d-${service}`,
  service,
  version: '4f2c',
  previousVersion: null,
  environment: null,
  cluster: null,
  startedAt: noon - minutesBefore * 60_000,
  finishedAt: null,
  status: null,
  author: null,
  commit: null,
  url: null,
  sources: ['api'],
  summary: null,
  rollback: false,
});

describe('root cause ranking', () => {
  it('suspects the deepest alerting service, with the chain up to what users see', () => {
    const [first] = rankCauses(
      input([alert('LatencyHigh', 'frontend'), alert('LatencyHigh', 'checkout'), alert('LatencyHigh', 'payment')]),
      model,
    );
    expect(first).toMatchObject({
      service: 'payment',
      namespace: 'shop',
      alertname: 'LatencyHigh',
      fingerprint: 'LatencyHigh-payment',
    });
    expect(first!.causalChain).toEqual(['payment', 'checkout', 'frontend']);
    expect(first!.evidence.some((e) => e.kind === 'topology' && /depend on payment/.test(e.text))).toBe(true);
  });

  it('puts a resource running short before the symptoms of deeper services', () => {
    const causes = rankCauses(
      input([
        alert('ContainerCpuHigh', 'checkout'),
        alert('LatencyHigh', 'checkout'),
        alert('LatencyHigh', 'frontend'),
      ]),
      model,
    );
    expect(causes[0]!.service).toBe('checkout');
    expect(causes[0]!.evidence[0]!.text).toMatch(/ran short/);
  });

  it('reads alerts on calls: the service that everybody waits for, though it has no alert of its own', () => {
    const onCall = (service: string, destination: string) => alert('CallLatencyHigh', service, 0, { destination });
    const [first] = rankCauses(
      input([onCall('checkout', 'payment'), onCall('frontend', 'checkout'), alert('LatencyHigh', 'frontend')]),
      model,
    );
    expect(first!.service).toBe('payment');
    expect(first!.alertname).toBeNull();
  });

  it('blames the change just before, more the closer it was', () => {
    const alerts = [alert('ErrorsHigh', 'checkout'), alert('ErrorsHigh', 'frontend')];
    const of = (minutes: number) =>
      rankCauses(input(alerts, { deploys: [deploy('cart', minutes)] }), model).find((c) => c.service === 'cart')!;
    expect(of(5).probability).toBeGreaterThan(of(40).probability);
    expect(of(5)).toMatchObject({ deployId: 'd-cart' });
    expect(of(5).evidence.some((e) => e.kind === 'deploy' && /4f2c of cart 5 min before/.test(e.text))).toBe(true);
  });

  it('ignores a deploy of a service that nothing here depends on, and one after the fact', () => {
    const causes = rankCauses(
      input([alert('ErrorsHigh', 'checkout')], { deploys: [deploy('website', 3), deploy('checkout', -10)] }),
      model,
    );
    expect(causes.map((c) => c.service)).not.toContain('website');
    expect(causes.every((c) => c.deployId === null)).toBe(true);
  });

  it('lets what a person said decide', () => {
    const alerts = [alert('LatencyHigh', 'checkout'), alert('LatencyHigh', 'payment')];
    const [first] = rankCauses(input(alerts, { feedback: [{ kind: 'right-cause', service: 'checkout' }] }), model);
    expect(first!.service).toBe('checkout');
    const ruledOut = rankCauses(input(alerts, { feedback: [{ kind: 'wrong-cause', service: 'payment' }] }), model);
    expect(ruledOut[0]!.service).not.toBe('payment');
  });

  it('brings a silent callee up when its metrics left their range', () => {
    const alerts = [alert('LatencyHigh', 'checkout'), alert('LatencyHigh', 'frontend')];
    const metric = {
      service: 'payment',
      namespace: 'shop',
      metric: 'latency_seconds',
      score: 0.99,
      type: 'latency',
      onsetAt: noon - 60_000,
      deviation: 40,
      text: 'latency of payment went from 0.1 to 3',
    };
    const place = (list: ReturnType<typeof rankCauses>) => list.findIndex((c) => c.service === 'payment');
    const withMetric = rankCauses(input(alerts, { serviceMetrics: [metric] }), model);
    expect(place(withMetric)).toBeLessThan(place(rankCauses(input(alerts), model)));
    expect(withMetric[place(withMetric)]!.evidence.some((e) => e.kind === 'metric')).toBe(true);
  });

  it('is never certain, never adds up to more than one, and is ranked by probability', () => {
    const causes = rankCauses(input([alert('LatencyHigh', 'ledger'), alert('ErrorsHigh', 'checkout')]), model);
    expect(causes[0]!.probability).toBeLessThan(1);
    expect(causes.reduce((sum, c) => sum + c.probability, 0)).toBeLessThanOrEqual(1.005);
    for (let i = 1; i < causes.length; i += 1)
      expect(causes[i]!.probability).toBeLessThanOrEqual(causes[i - 1]!.probability);
  });

  it('looks behind a balancer: by its name it stands before a service, which the graph does not say', () => {
    const behind = buildGraph({
      edges: [
        ['site', 'svc-searc.lb.internal'],
        ['site', 'petsearch'],
        ['petsearch', 'store'],
        ['site', 'payments'],
        ['payments', 'bank'],
      ].map(([caller, callee]) => ({ namespace: 'shop', caller: caller!, callee: callee! })),
    });
    const causes = rankCauses(
      { ...input([alert('LatencyHigh', 'svc-searc.lb.internal'), alert('LatencyHigh', 'site')]), graph: behind },
      model,
    );
    expect(causes[0]!.service).toBe('petsearch');
    expect(causes[0]!.causalChain).toContain('svc-searc.lb.internal');
    const balancer = causes.find((c) => c.service === 'svc-searc.lb.internal')!;
    expect(balancer.evidence.some((e) => e.weight < 0 && /only stands before/.test(e.text))).toBe(true);
  });

  it('does not believe a noisy metric of a callee that rose too little to slow its caller down', () => {
    const alerts = [alert('LatencyHigh', 'checkout'), alert('LatencyHigh', 'frontend')];
    const latency = (service: string, from: number, to: number) => ({
      service,
      namespace: 'shop',
      metric: 'latency_seconds',
      score: 1,
      type: 'latency',
      onsetAt: noon - 60_000,
      deviation: 100,
      from,
      to,
      text: `latency_seconds of ${service} went from ${from} to ${to}`,
    });
    const facts = [latency('checkout', 0.2, 4), latency('frontend', 0.5, 4), latency('cart', 0.001, 0.02)];
    expect(rankCauses(input(alerts, { serviceMetrics: facts }), model)[0]!.service).toBe('checkout');
    const slow = [latency('checkout', 0.2, 4), latency('frontend', 0.5, 4), latency('cart', 0.001, 3.5)];
    expect(rankCauses(input(alerts, { serviceMetrics: slow }), model)[0]!.service).toBe('cart');
  });

  it('says of every candidate what its place rests on, in words and log odds that add up', () => {
    const causes = rankCauses(
      input([alert('LatencyHigh', 'frontend'), alert('LatencyHigh', 'checkout'), alert('LatencyHigh', 'payment')]),
      model,
    );
    const sum = (c: (typeof causes)[number]) => c.evidence.reduce((total, e) => total + e.weight, 0);
    for (let i = 1; i < causes.length; i += 1) {
      expect(causes[i]!.evidence.length).toBeGreaterThan(0);
      expect(sum(causes[i]!)).toBeLessThan(sum(causes[i - 1]!) + 0.2);
    }
    const gap = sum(causes[0]!) - sum(causes[1]!);
    expect(Math.abs(gap)).toBeGreaterThan(0.3);
  });

  it('doubts a resource alert whose rule mostly fires with no fault around, and one that nothing else confirms', () => {
    const symptoms = [alert('LatencyHigh', 'checkout'), alert('LatencyHigh', 'frontend')];
    const of = (more: CauseAlert[]) => rankCauses(input([...symptoms, ...more]), model);
    const share = (list: ReturnType<typeof rankCauses>) => list.find((c) => c.service === 'cart')!.probability;
    const unknown = of([alert('CPUThrottlingHigh', 'cart')]);
    const noise = of([alert('CPUThrottlingHigh', 'cart', 0, { relevance: 0.01 })]);
    const confirmed = of([alert('CPUThrottlingHigh', 'cart'), alert('LatencyHigh', 'cart')]);
    expect(share(noise)).toBeLessThan(share(unknown));
    expect(share(unknown)).toBeLessThan(share(confirmed));
    expect(
      noise.find((c) => c.service === 'cart')!.evidence.some((e) => /mostly fire with no fault/.test(e.text)),
    ).toBe(true);
  });

  it('costs a bounded walk in a graph of 100,000 calls with cycles, self-loops and hubs', () => {
    const calls = Array.from({ length: 100_000 }, (_, i) => [(i * 31) % 2000, (i * i * 17 + i) % 2000]);
    const big = buildGraph({ edges: calls.map(([a, b]) => ({ namespace: 'shop', caller: `s${a}`, callee: `s${b}` })) });
    const alerts = Array.from({ length: 10_000 }, (_, i) => alert(`R${i % 50}`, `s${i % 1000}`, i));
    rankCauses({ ...input(alerts), graph: big }, model);
    const before = process.cpuUsage();
    const causes = rankCauses({ ...input(alerts), graph: big }, model);
    // Some 40 ms alone on a core (bench/correlate/causes-speed.ts).
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(2_000);
    expect(causes.length).toBeGreaterThan(0);
  });

  it('has nothing to say of alerts without a service', () => {
    expect(rankCauses(input([alert('NodeDown', null)]), model)).toEqual([]);
    expect(topSuspect([])).toBeNull();
  });

  it('calls nothing clear when many services are equally likely', () => {
    const flat = buildGraph({ edges: [] });
    const causes = rankCauses(
      { ...input(Array.from({ length: 12 }, (_, i) => alert('LatencyHigh', `s${i}`))), graph: flat },
      model,
    );
    expect(causes[0]!.confidence).toBe('low');
    expect(topSuspect(causes)).toBeNull();
  });

  it('survives cycles, self-loops and an incident of 5,000 alerts on 500 services', () => {
    const edges = Array.from({ length: 500 }, (_, i) => ({
      namespace: 'shop',
      caller: `s${i}`,
      callee: `s${(i * 7 + 1) % 500}`,
    }));
    edges.push({ namespace: 'shop', caller: 's1', callee: 's1' });
    const alerts = Array.from({ length: 5000 }, (_, i) => alert(`R${i % 9}`, `s${i % 500}`, i));
    const causes = rankCauses({ ...input(alerts), graph: buildGraph({ edges }) }, model);
    expect(causes.length).toBeGreaterThan(0);
    expect(causes[0]!.causalChain.length).toBeLessThanOrEqual(8);
  });
});

describe('metric evidence', () => {
  const series = (
    name: string,
    value: (minute: number) => number,
    labels: Record<string, string> = { service: 'cart', namespace: 'shop' },
  ) => ({
    metric: { __name__: name, ...labels },
    values: Array.from({ length: 60 }, (_, i): [number, number] => [noon / 1000 + (i - 50) * 60, value(i - 50)]),
  });
  const steady = (minute: number) => 0.1 + 0.005 * ((Math.abs(minute) * 7919) % 5);

  it('scores a latency that rises around the onset and says from what to what', () => {
    const fact = metricEvidence(
      series('latency_seconds', (m) => (m >= -2 ? 2 : steady(m))),
      noon,
    )!;
    expect(fact).toMatchObject({ service: 'cart', namespace: 'shop', type: 'latency', onsetAt: noon - 120_000 });
    expect(fact.score).toBeGreaterThan(0.9);
    expect(fact.text).toMatch(/from 0\.1\d* to 2/);
  });

  it('finds nothing in a steady series, in one that improves, or in a shift long before', () => {
    expect(metricEvidence(series('latency_seconds', steady), noon)!.score).toBe(0);
    expect(
      metricEvidence(
        series('latency_seconds', (m) => (m >= -2 ? 0.01 : steady(m))),
        noon,
      )!.score,
    ).toBe(0);
    expect(
      metricEvidence(
        series('latency_seconds', (m) => (m >= -48 ? 2 : 0.1)),
        noon,
      )!.score,
    ).toBe(0);
  });

  it('takes a fall for bad where a fall is bad', () => {
    expect(
      metricEvidence(
        series('availability_average', (m) => (m >= -1 ? 80 : 99.9)),
        noon,
      )!.score,
    ).toBeGreaterThan(0.9);
  });

  it('accuses the called service of a call, and nobody by what a client sees', () => {
    const fact = metricEvidence(
      series('edge_latency_seconds', (m) => (m >= 0 ? 2 : steady(m)), { service: 'web', destination_service: 'cart' }),
      noon,
    );
    expect(fact!.service).toBe('cart');
    expect(
      metricEvidence(
        series('service_client_latency_seconds', (m) => (m >= 0 ? 2 : steady(m))),
        noon,
      ),
    ).toBeNull();
  });

  it('says nothing with too little history or no service', () => {
    expect(metricEvidence({ metric: { service: 'cart' }, values: [[noon / 1000, 1]] }, noon)).toBeNull();
    expect(metricEvidence(series('latency_seconds', steady, {}), noon)).toBeNull();
  });

  it('knows kinds of metrics by the words of their names', () => {
    expect(
      [
        'http_request_duration_seconds',
        'container_cpu_usage_percent',
        'success_ratio',
        'http_errors_total',
        'requests_per_second',
      ].map(metricKind),
    ).toEqual(['latency', 'saturation', 'success', 'errors', 'traffic']);
  });
});
