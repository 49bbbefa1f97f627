import { type Random, randomOf } from './random.ts';
import type { Episode, Stream, Truth } from './streams.ts';

/** What kind of system, faults and noise; `characterOf` draws one from a seed. Times in seconds. */
export type Character = {
  /** Services of each application; every application is a namespace with a call graph of its own. */
  apps: number[];
  shape: 'layers' | 'tree' | 'gateway';
  /** Between samples: onsets fall on this grid, each rule with its own offset. */
  step: number;
  faults: number;
  /** From one fault to the next, on average. */
  every: number;
  /** Faults keep their distance, or come as they will and overlap. */
  spaced: boolean;
  /** All faults start within this time of each other; null: they come over the day. */
  storm: number | null;
  /** Share of services without any alert rule. */
  silent: number;
  /** Chance that trouble goes on from a service to one that calls it, and how many hops it goes at most. */
  spread: number;
  depth: number;
  /** Lag of one hop, at most. */
  lag: number;
  /** How long a rule waits before it fires (`for:`), at most; each rule has its own. */
  hold: number;
  /** Rules of symptoms per service. */
  symptoms: number;
  /** Share of faults that also show in what the stricken services call (less traffic). */
  downstream: number;
  /** Copies of a service: a rule on one that is stricken fires for each of them. */
  pods: number;
  /** Noise alerts per fault alert, roughly, and the share of them that starts beside a fault. */
  noise: number;
  hugging: number;
};

const platformRules = [
  'TargetDown',
  'CPUThrottlingHigh',
  'KubePodNotReady',
  'KubeHpaMaxedOut',
  'KubeJobFailed',
  'NodeClockSkew',
  'CertExpirySoon',
  'VolumeFillingUp',
];
const symptomRules = [
  'LatencyP95High',
  'ErrorRateHigh',
  'CallLatencyHigh',
  'LatencyAvgHigh',
  'AvailabilityLow',
  'QueueGrowing',
];

/** A system drawn at random: sizes, sampling, cascades and noise vary widely, so that nothing bends to one of them. */
export function characterOf(seed: number): Character {
  const random = randomOf(seed + 7000);
  const step = random.pick([15, 30, 60, 60, 120, 300]);
  const size = random.pick([8, 12, 20, 35, 60, 110, 200]);
  const apps = random.next() < 0.7 ? [size] : [size, Math.ceil(size / 2), Math.ceil(size / 3)];
  return {
    apps,
    shape: random.pick(['layers', 'tree', 'gateway']),
    step,
    faults: 20 + random.int(15),
    every: Math.max(random.pick([400, 500, 700, 1200, 2500]), step * 8),
    spaced: random.next() < 0.5,
    storm: null,
    silent: random.pick([0, 0.2, 0.4]),
    spread: random.between(0.5, 0.9),
    depth: 1 + random.int(3),
    lag: random.pick([5, 30, step]),
    hold: random.pick([0, step, 2 * step]),
    symptoms: 2 + random.int(2),
    downstream: random.pick([0, 0.2]),
    pods: 1,
    noise: random.pick([0.5, 1, 1.5]),
    hugging: random.between(0.15, 0.45),
  };
}

/**
 * A system that nobody recorded: call graphs, faults that spread from a root up its callers (skipping silent services) and
 * sometimes down, and noise of several kinds. A check against fitting the two recordings; it proves nothing by itself.
 */
export function synthetic(name: string, seed: number, character: Character): Stream {
  const random = randomOf(seed);
  const { step } = character;
  const apps = character.apps.map((size, i) => graphOf(`app${i}`, size, character.shape, random));
  const nodes = apps.flatMap((a) => a.services.map((service) => ({ namespace: a.namespace, service, app: a })));
  const start = Date.UTC(2026, 0, 5, 6);
  const truth: Truth = { alerts: {}, faults: {} };
  const episodes: Episode[] = [];
  const silent = new Set(nodes.filter(() => random.next() < character.silent).map((n) => n.service));
  let n = 0;

  const emit = (
    labels: Record<string, string>,
    at: number,
    seconds: number,
    fault: string | null,
    kind: string,
  ): void => {
    const startsAt = Math.round(at / 1000) * 1000;
    const fingerprint = Object.values(labels).join('|');
    let id = `${fingerprint}@${startsAt}`;
    while (truth.alerts[id]) {
      n += 1;
      id += `'${n}`;
    }
    truth.alerts[id] = { fault, kind };
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
  };
  const clocks = new Map<string, { offset: number; hold: number }>();
  /** When a rule fires for something that began at `at`: the next sample, then its `for:`. */
  const firesAt = (rule: string, at: number): number => {
    if (!clocks.has(rule)) {
      const hold = Math.floor((random.next() * (character.hold + 1)) / step) * step;
      clocks.set(rule, { offset: random.int(Math.min(step, 60)), hold });
    }
    const { offset, hold } = clocks.get(rule)!;
    return Math.ceil(at / (step * 1000)) * step * 1000 + (offset + hold) * 1000;
  };

  const strikes: { at: number; app: App; touched: string[] }[] = [];
  let at = start + 900_000;
  for (let i = 0; i < character.faults; i += 1) {
    // In a storm the roots spread over the applications.
    const there = character.storm === null ? nodes : nodes.filter((n) => n.app === apps[i % apps.length]);
    const { service: root, namespace, app } = random.pick(there);
    if (character.storm !== null) at = start + 900_000 + random.between(0, character.storm * 1000);
    const fault = `fault-${i}`;
    const duration = random.between(step * 3, step * 8 + 300);
    const touched: string[] = [];
    let own = 0;
    const alert = (rule: string, service: string, lag: number, more: Record<string, string> = {}): void => {
      if (silent.has(service)) return;
      for (let pod = 0; pod < character.pods; pod += 1) {
        const labels = { alertname: rule, namespace, cluster: 'c1', service, severity: 'warning', ...more };
        emit(
          character.pods > 1 ? { ...labels, pod: `${service}-${pod}` } : labels,
          firesAt(rule, at + lag * 1000),
          duration + random.between(0, step * 2),
          fault,
          'fault',
        );
      }
      touched.push(service);
      own += 1;
    };
    const kind = random.pick(['resource', 'latency', 'errors']);
    const rules = [...symptomRules].sort(() => random.next() - 0.5).slice(0, character.symptoms);
    if (kind === 'resource') alert('ContainerCpuHigh', root, random.between(0, 60));
    const show = (service: string, lag: number): void => {
      for (const rule of rules) if (random.next() < 0.6) alert(rule, service, lag + random.between(0, step / 2));
    };
    if (random.next() < 0.85) show(root, 0);
    const seen = new Set([root]);
    let frontier: { service: string; lag: number }[] = [{ service: root, lag: 0 }];
    for (let hop = 1; hop <= character.depth && frontier.length > 0; hop += 1) {
      const next: typeof frontier = [];
      for (const { service: callee, lag: before } of frontier) {
        for (const caller of app.callers.get(callee) ?? []) {
          if (seen.has(caller) || random.next() > character.spread) continue;
          seen.add(caller);
          const lag = before + random.between(0, character.lag);
          next.push({ service: caller, lag });
          if (random.next() < 0.4) alert('EdgeLatencyHigh', caller, lag, { destination_service: callee });
          show(caller, lag);
        }
      }
      frontier = next;
    }
    if (random.next() < character.downstream) {
      for (const callee of app.callees.get(root) ?? []) {
        if (!seen.has(callee) && random.next() < 0.5) alert('RequestRateDrop', callee, random.between(0, step));
      }
    }
    if (own === 0) {
      silent.delete(root);
      alert(rules[0]!, root, 0);
    }
    truth.faults[fault] = { service: root, root_has_alert: touched.includes(root), alerts: own };
    strikes.push({ at, app, touched });
    const gap = character.spaced ? random.between(0.8, 1.2) : -Math.log(1 - random.next());
    if (character.storm === null) at += character.every * 1000 * gap;
  }

  const length = Math.max(at, ...episodes.map((e) => e.startsAt)) - start + 1_800_000;
  const count = character.noise * episodes.length;
  const elsewhere = ['monitoring', 'ci', 'batch'];
  const common = [...platformRules].sort(() => random.next() - 0.5).slice(0, 4);
  for (let made = 0, chain = 0; made < count; chain += 1) {
    let rule = random.pick(common);
    let service: string;
    let namespace: string;
    let from = start + random.between(0, length);
    if (random.next() < character.hugging) {
      const strike = random.pick(strikes);
      const near = random.pick(strike.touched);
      service = random.pick([near, ...(strike.app.callers.get(near) ?? []), ...(strike.app.callees.get(near) ?? [])]);
      namespace = strike.app.namespace;
      from = strike.at + random.between(-90_000, 150_000);
    } else if (random.next() < 0.5) {
      rule = random.pick(platformRules);
      namespace = random.pick(elsewhere);
      service = random.pick(['grafana', 'runner', 'report', 'dns']);
    } else ({ service, namespace } = random.pick(nodes));
    const labels = { alertname: rule, namespace, cluster: 'c1', service, severity: 'warning', instance: `n${chain}` };
    const flaps = random.next() < 0.3 ? 2 + random.int(4) : 1;
    for (let k = 0; k < flaps; k += 1) {
      const seconds = random.between(80, 900);
      emit(labels, from, seconds, null, 'platform');
      made += 1;
      from += (seconds + random.between(60, 400)) * 1000;
    }
    // Now and then a rule of symptoms fires for no fault at all.
    if (random.next() < 0.04) {
      const { service: where, namespace: there } = random.pick(nodes);
      const false_ = { alertname: random.pick(symptomRules), namespace: there, cluster: 'c1', service: where };
      emit({ ...false_, severity: 'warning' }, start + random.between(0, length), 300, null, 'background');
      made += 1;
    }
  }
  return {
    name,
    system: name,
    episodes,
    truth,
    topology: {
      nodes: nodes.map(({ namespace, service }) => ({ namespace, service })),
      edges: apps.flatMap((a) =>
        [...a.callees].flatMap(([caller, list]) => list.map((callee) => ({ namespace: a.namespace, caller, callee }))),
      ),
    },
    metrics: [],
  };
}

type App = {
  namespace: string;
  services: string[];
  callers: Map<string, string[]>;
  callees: Map<string, string[]>;
};

/**
 * A call graph. layers: front doors first, every other service is called by one to three of the layers above; tree: one
 * caller each; gateway: everything behind one door, with a few stores that many share.
 */
function graphOf(namespace: string, size: number, shape: Character['shape'], random: Random): App {
  const services = Array.from({ length: size }, (_, i) => `${namespace}-svc-${i}`);
  const callers = new Map<string, string[]>();
  const callees = new Map<string, string[]>();
  const call = (caller: number, callee: number): void => {
    const [a, b] = [services[caller]!, services[callee]!];
    if (a === b || callers.get(b)?.includes(a)) return;
    callers.set(b, [...(callers.get(b) ?? []), a]);
    callees.set(a, [...(callees.get(a) ?? []), b]);
  };
  const fronts = shape === 'layers' ? Math.max(1, Math.round(size / 20)) : 1;
  for (let i = fronts; i < size; i += 1) {
    if (shape === 'gateway') {
      const door = i <= size * 0.5;
      call(door ? 0 : 1 + random.int(Math.max(1, Math.floor(size * 0.5) - 1)), i);
      if (i > size * 0.9) for (let k = 0; k < 2; k += 1) call(1 + random.int(Math.max(1, i - 2)), i);
      continue;
    }
    const count = shape === 'tree' ? 1 : 1 + (random.next() < 0.4 ? 1 : 0) + (random.next() < 0.15 ? 1 : 0);
    for (let k = 0; k < count; k += 1) call(Math.max(0, Math.floor(i * random.between(0.15, 0.7))), i);
  }
  return { namespace, services, callers, callees };
}
