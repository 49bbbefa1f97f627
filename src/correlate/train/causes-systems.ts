import { type Random, randomOf } from './random.ts';
import type { Episode, Series, Stream, Truth } from './streams.ts';

/**
 * Systems that nobody recorded, with metrics: a layered call graph with shared stores and balancers, faults of five kinds that
 * spread up the calls and show in metrics as far as they reach, rules that miss some of it, side effects below, and
 * platform noise. Every number is drawn from a wide range, so that what is learned holds for more than two graphs.
 */
export const inventedForCauses = (seeds: readonly number[]): Stream[] => seeds.map(inventedSystem);

type Kind = 'cpu' | 'network' | 'latency' | 'errors' | 'store';
type Call = { caller: string; callee: string };

/** What a system's monitoring looks like; drawn once per system. */
type Style = {
  step: number;
  rules: Record<'latency' | 'call' | 'cpu' | 'memory' | 'errors' | 'traffic' | 'front', string>;
  metrics: { latency: string; edge: string | null; cpu: string | null; success: string | null; traffic: string };
  /** What is below everything has rules of its own (PostgresDown), which nothing above it can share. */
  ownRules: boolean;
  /** How likely a rule is to notice what reached a service. */
  sharpness: number;
  /** Relative noise of a series, and how often one spikes by itself. */
  noise: number;
  spikes: number;
};

const syllables = ['ka', 'to', 'ri', 'mel', 'san', 'vo', 'du', 'pel', 'nim', 'gar', 'lis', 'bor', 'cha', 'fen', 'zu'];
const names = {
  latency: ['ServiceHighLatencyP95', 'RequestLatencyHigh', 'SlowResponses', 'ApdexLow'],
  call: ['UpstreamCallSlow', 'EdgeLatencyHigh', 'OutboundRequestsSlow'],
  cpu: ['ContainerCpuHigh', 'HighCPUUsage', 'CpuSaturation'],
  memory: ['ContainerMemoryHigh', 'MemoryPressure', 'PodOOMKilled'],
  errors: ['HighErrorRate', 'AvailabilityLow', 'Http5xxRateHigh'],
  traffic: ['RequestRateDrop', 'TrafficAnomaly', 'ThroughputDrop'],
  front: ['FrontDoorSLOBreach', 'ErrorBudgetBurn', 'CheckoutJourneySlow'],
};
const platformRules = [
  'TargetDown',
  'CPUThrottlingHigh',
  'KubePodNotReady',
  'KubeHpaMaxedOut',
  'NodeFilesystemAlmostOutOfSpace',
  'KubeJobFailed',
  'NodeClockSkew',
  'CertExpirySoon',
];
const faultsEach = 16;
const start = Date.UTC(2026, 0, 5, 6);

const word = (random: Random): string => Array.from({ length: 3 }, () => random.pick(syllables)).join('');
/** Log-uniform: as likely between 1 and 10 as between 10 and 100. */
const spread = (random: Random, low: number, high: number): number => low * (high / low) ** random.next();

function styleOf(random: Random): Style {
  const nonsense = random.next() < 0.35;
  const ruleOf = (list: readonly string[]): string => (nonsense ? word(random) : random.pick(list));
  return {
    step: random.pick([15, 30, 60, 60, 300]),
    rules: {
      latency: ruleOf(names.latency),
      call: ruleOf(names.call),
      cpu: ruleOf(names.cpu),
      memory: ruleOf(names.memory),
      errors: ruleOf(names.errors),
      traffic: ruleOf(names.traffic),
      front: ruleOf(names.front),
    },
    metrics: {
      latency: random.pick([
        'service_latency_p95_seconds',
        'http_request_duration_seconds_p95',
        'service_latency_average',
      ]),
      edge: random.next() < 0.5 ? 'edge_latency_p50_seconds' : null,
      cpu: random.next() < 0.7 ? 'container_cpu_usage_percent' : null,
      success: random.next() < 0.7 ? random.pick(['service_availability_percent', 'success_ratio_percent']) : null,
      traffic: 'requests_per_second',
    },
    ownRules: random.next() < 0.5,
    sharpness: random.between(0.45, 0.95),
    noise: random.between(0.03, 0.2),
    spikes: random.between(0.001, 0.012),
  };
}

type Graph = {
  services: string[];
  fronts: string[];
  callers: Map<string, string[]>;
  callees: Map<string, string[]>;
  proxies: Map<string, string>;
};

function graphOf(random: Random): Graph {
  const size = Math.round(spread(random, 8, 70));
  const services = Array.from({ length: size }, (_, i) => `${word(random)}${i}`);
  const callers = new Map<string, string[]>();
  const callees = new Map<string, string[]>();
  const join = (caller: string, callee: string): void => {
    if (caller === callee || callers.get(callee)?.includes(caller)) return;
    callers.set(callee, [...(callers.get(callee) ?? []), caller]);
    callees.set(caller, [...(callees.get(caller) ?? []), callee]);
  };
  const fronts = services.slice(0, Math.max(1, Math.round(size / 25)));
  const depth = random.between(0.3, 0.8);
  for (let i = fronts.length; i < size; i += 1) {
    const count = 1 + (random.next() < 0.35 ? 1 : 0) + (random.next() < 0.15 ? 2 : 0);
    for (let k = 0; k < count; k += 1) join(services[Math.floor(i * random.between(0, depth))]!, services[i]!);
  }
  // Stores that many share, below everything.
  for (let s = 0; s < Math.round(size / 15); s += 1) {
    const store = services[size - 1 - s]!;
    for (let k = 0; k < 2 + random.int(4); k += 1) join(services[random.int(size - 2)]!, store);
  }
  // Balancers: the caller sees them beside the service that they stand before.
  const proxies = new Map<string, string>();
  if (random.next() < 0.4) {
    for (const service of services) {
      const caller = callers.get(service)?.[0];
      if (!caller || !callees.has(service) || random.next() > 0.5) continue;
      const proxy = `svc-${service.replace(/\d+$/, '').slice(0, 7)}.lb.internal`;
      if (proxies.has(proxy)) continue;
      proxies.set(proxy, service);
      join(caller, proxy);
    }
  }
  return { services, fronts, callers, callees, proxies };
}

/** What one fault does to one service: seconds, points of success, points of CPU. */
type Effect = { latency: number; edge: number; errors: number; cpu: number; lagMs: number };

function inventedSystem(seed: number): Stream {
  const random = randomOf(seed);
  const style = styleOf(random);
  const graph = graphOf(random);
  const all = [...graph.services, ...graph.proxies.keys()];
  const base = new Map(all.map((s) => [s, spread(random, 0.003, 0.4)]));
  const cpu = new Map(all.map((s) => [s, spread(random, 0.5, 40)]));
  const every = Math.max(style.step * 9, random.between(600, 1800));
  const recorder = recorderOf(random);
  const truth = recorder.truth;
  const effects: { from: number; to: number; of: Map<string, Effect> }[] = [];
  const touched: { at: number; services: string[] }[] = [];

  let at = start + 3_600_000;
  for (let i = 0; i < faultsEach; i += 1) {
    const kind = random.pick<Kind>(['cpu', 'network', 'latency', 'errors', 'store']);
    const leaves = graph.services.filter((s) => !graph.callees.has(s));
    const root = kind === 'store' && leaves.length > 0 ? random.pick(leaves) : random.pick(graph.services);
    const length = Math.max(180, style.step * random.between(3, 6)) * 1000;
    const of = spreadOf(root, kind, graph, base, style, random);
    effects.push({ from: at, to: at + length, of });
    const fault = `fault-${i}`;
    const before = recorder.episodes.length;
    fire(fault, root, kind, of, graph, style, at, length, base, recorder, random);
    const fired = recorder.episodes.slice(before);
    if (fired.length > 0) {
      const named = fired.some((e) => e.labels.service === root || e.labels.destination_service === root);
      truth.faults[fault] = { service: root, root_has_alert: named, alerts: fired.length };
      touched.push({ at, services: [...new Set(fired.map((e) => e.labels.service!))] });
    }
    at += every * 1000 * random.between(0.7, 1.6);
  }
  const end = at + 900_000;
  platformNoise(recorder, graph, touched, end, random);
  return {
    name: `invented #${seed}`,
    system: `invented-${seed}`,
    episodes: recorder.episodes,
    truth,
    topology: {
      nodes: all.map((service) => ({ namespace: 'app', service })),
      edges: callsOf(graph).map(({ caller, callee }) => ({ namespace: 'app', caller, callee })),
    },
    metrics: seriesOf(all, graph, style, effects, base, cpu, end, random),
  };
}

const callsOf = (graph: Graph): Call[] =>
  [...graph.callees].flatMap(([caller, list]) => list.map((callee) => ({ caller, callee })));

/** How far a fault reaches: up the callers, weaker or stronger at each, sometimes to a callee that is asked too often. */
function spreadOf(
  root: string,
  kind: Kind,
  graph: Graph,
  base: Map<string, number>,
  style: Style,
  random: Random,
): Map<string, Effect> {
  const of = new Map<string, Effect>();
  const none = (): Effect => ({ latency: 0, edge: 0, errors: 0, cpu: 0, lagMs: 0 });
  const slow = kind !== 'errors';
  const seconds = Math.max(0.05, base.get(root)!) * spread(random, 1.5, 60);
  const points = spread(random, 4, 80);
  of.set(root, {
    ...none(),
    latency: slow && kind !== 'network' ? seconds : 0,
    edge: slow ? seconds : 0,
    errors: slow ? (random.next() < 0.15 ? points * 0.3 : 0) : points,
    cpu: kind === 'cpu' ? random.between(40, 95) : random.next() < 0.1 ? random.between(5, 25) : 0,
  });
  const faster = random.between(0.55, 0.95);
  for (const [service, effect] of of) {
    if (of.size > 200) break;
    const rise = Math.max(effect.latency, effect.edge);
    for (const caller of graph.callers.get(service) ?? []) {
      if (of.has(caller) || random.next() > faster) continue;
      const seconds = slow ? rise * spread(random, 0.3, 3) : 0;
      of.set(caller, {
        ...none(),
        latency: seconds,
        edge: seconds,
        errors: effect.errors * random.between(0.15, 1),
        cpu: random.next() < 0.08 ? random.between(3, 20) : 0,
        lagMs: effect.lagMs + random.between(0, style.step * 700),
      });
    }
  }
  for (const [proxy, service] of graph.proxies) {
    const effect = of.get(service);
    if (effect && random.next() < 0.85)
      of.set(proxy, { ...effect, latency: Math.max(effect.latency, effect.edge), cpu: 0 });
  }
  if (random.next() < 0.25) {
    const hit = random.pick([...of.keys()]);
    const callee = graph.callees.get(hit)?.[0];
    if (callee && !of.has(callee)) {
      const seconds = base.get(callee)! * spread(random, 1, 6);
      of.set(callee, { ...none(), latency: seconds, edge: seconds, lagMs: random.between(0, style.step * 1000) });
    }
  }
  return of;
}

type Recorder = ReturnType<typeof recorderOf>;

function recorderOf(random: Random) {
  const truth: Truth = { alerts: {}, faults: {} };
  const episodes: Episode[] = [];
  return {
    truth,
    episodes,
    emit(labels: Record<string, string>, at: number, seconds: number, fault: string | null): void {
      const startsAt = Math.round(at / 1000) * 1000;
      const fingerprint = Object.values(labels).join('|');
      const id = `${fingerprint}@${startsAt}`;
      if (truth.alerts[id]) return;
      truth.alerts[id] = { fault, kind: fault ? 'fault' : 'platform' };
      episodes.push({
        id,
        fingerprint,
        labels,
        summary: `${labels.alertname} on ${labels.service}`,
        groupKey: `{alertname="${labels.alertname}", namespace="${labels.namespace}"}`,
        startsAt,
        delayMs: 10_000 + Math.round(random.next() ** 4 * 50) * 1000,
        endsAt: startsAt + Math.round(seconds) * 1000,
        resolveDelayMs: 30_000,
      });
    },
  };
}

/** The rules look at what reached each service, and miss some of it. */
function fire(
  fault: string,
  root: string,
  kind: Kind,
  of: Map<string, Effect>,
  graph: Graph,
  style: Style,
  at: number,
  length: number,
  base: Map<string, number>,
  { emit }: Recorder,
  random: Random,
): void {
  const { rules, step, sharpness } = style;
  const sampled = (ms: number): number => Math.ceil((at + ms) / (step * 1000)) * step * 1000 + random.int(20) * 1000;
  const alert = (alertname: string, service: string, lagMs: number, more: Record<string, string> = {}): void =>
    emit(
      { alertname, namespace: 'app', cluster: 'c1', service, severity: 'warning', ...more },
      sampled(lagMs),
      length / 1000 + random.between(0, step * 2),
      fault,
    );
  const notices = (size: number): boolean => size > 1 && random.next() < sharpness * Math.min(1, size / 4);
  const mute = random.next() < 0.15;
  for (const [service, effect] of of) {
    if (mute && service === root) continue;
    const own = style.ownRules && !graph.callees.has(service) && !graph.proxies.has(service) ? service : '';
    if (notices((2 * effect.latency) / base.get(service)!)) alert(own + rules.latency, service, effect.lagMs);
    if (notices(effect.errors / 2)) alert(own + rules.errors, service, effect.lagMs);
    if (notices(effect.cpu / 12)) alert(rules.cpu, service, effect.lagMs);
    if (kind === 'cpu' && service === root && random.next() < 0.3) alert(rules.memory, service, effect.lagMs);
    for (const callee of graph.callees.get(service) ?? []) {
      const edge = of.get(callee)?.edge ?? 0;
      if (style.metrics.edge && notices((2 * edge) / base.get(callee)!))
        alert(rules.call, service, effect.lagMs, { destination_service: callee });
    }
    if (graph.fronts.includes(service) && random.next() < 0.5) alert(rules.front, service, effect.lagMs);
  }
  if (random.next() < 0.25) {
    const below = [...of.keys()].flatMap((s) => [s, ...(graph.callees.get(s) ?? [])]);
    for (let k = 0; k < 1 + random.int(4); k += 1)
      alert(rules.traffic, random.pick(below), random.between(0, step * 1000));
  }
}

/** Platform alerts that belong to no fault; two in five start beside one. */
function platformNoise(
  { emit, episodes }: Recorder,
  graph: Graph,
  touched: { at: number; services: string[] }[],
  end: number,
  random: Random,
): void {
  const count = Math.round(episodes.length * random.between(0.2, 0.6));
  for (let i = 0; i < count; i += 1) {
    const hugging = random.next() < 0.4 && touched.length > 0;
    const beside = hugging ? random.pick(touched) : null;
    const near = beside ? random.pick(beside.services) : random.pick(graph.services);
    const service = random.pick([near, ...(graph.callers.get(near) ?? []), ...(graph.callees.get(near) ?? [])]);
    let from = beside ? beside.at + random.between(-90_000, 150_000) : random.between(start, end);
    const alertname = random.pick(platformRules);
    for (let k = random.next() < 0.3 ? 3 : 1; k > 0; k -= 1) {
      const seconds = random.between(80, 900);
      emit(
        { alertname, namespace: 'app', cluster: 'c1', service, severity: 'warning', instance: `n${i}` },
        from,
        seconds,
        null,
      );
      from += (seconds + random.between(60, 400)) * 1000;
    }
  }
}

function seriesOf(
  all: string[],
  graph: Graph,
  style: Style,
  effects: { from: number; to: number; of: Map<string, Effect> }[],
  base: Map<string, number>,
  cpu: Map<string, number>,
  end: number,
  random: Random,
): Series[] {
  const { step, noise, spikes, metrics } = style;
  const times: number[] = [];
  for (let t = start; t < end; t += step * 1000) times.push(t);
  /** What the faults add for one service at each time. */
  const added = (service: string, what: keyof Effect): number[] =>
    times.map((t) => {
      let sum = 0;
      for (const { from, to, of } of effects) {
        const effect = of.get(service);
        if (effect && t >= from + effect.lagMs && t <= to + effect.lagMs) sum += effect[what];
      }
      return sum;
    });
  const normal = (): number => random.next() + random.next() + random.next() + random.next() - 2;
  const wobble = (): number => Math.exp(2 * noise * normal()) * (random.next() < spikes ? spread(random, 1.5, 12) : 1);
  const made = (name: string, labels: Record<string, string>, value: (i: number) => number): Series => ({
    metric: { __name__: name, namespace: 'app', ...labels },
    values: times.map((t, i): [number, number] => [t / 1000, value(i)]),
  });
  const list: Series[] = [];
  for (const service of all) {
    const latency = added(service, 'latency');
    list.push(made(metrics.latency, { service }, (i) => base.get(service)! * wobble() + latency[i]! * wobble()));
    const proxy = graph.proxies.has(service);
    if (metrics.cpu && !proxy) {
      const more = added(service, 'cpu');
      list.push(made(metrics.cpu, { service }, (i) => Math.min(110, cpu.get(service)! * wobble() + more[i]!)));
    }
    if (metrics.success) {
      const lost = added(service, 'errors');
      list.push(
        made(metrics.success, { service }, (i) =>
          Math.max(0, 100 - lost[i]! * wobble() - (random.next() < 4 * spikes ? random.between(0, 12) : 0)),
        ),
      );
    }
    list.push(made(metrics.traffic, { service }, () => 10 * wobble()));
  }
  if (metrics.edge) {
    for (const { caller, callee } of callsOf(graph)) {
      const edge = added(callee, 'edge');
      list.push(
        made(
          metrics.edge,
          { service: caller, destination_service: callee },
          (i) => 0.7 * base.get(callee)! * wobble() + edge[i]! * wobble(),
        ),
      );
    }
  }
  return list;
}
