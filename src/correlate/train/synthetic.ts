import { type Random, randomOf } from './random.ts';
import type { Episode, Stream, Truth } from './streams.ts';

export type SyntheticOptions = {
  services: number;
  faults: number;
  /** Seconds between samples: onsets fall on this grid, each rule with its own offset. */
  step: number;
  /** Seconds from one fault to the next, on average. */
  every: number;
  /** Noise alerts per fault alert, roughly. */
  noise: number;
  /** Every fault starts within two minutes of the others. */
  storm?: boolean;
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

/**
 * A system that nobody recorded: a layered call graph, faults that spread from a root up its callers (skipping silent
 * services), and platform noise of which a third starts beside a fault. Only a check against fitting the two recordings;
 * its figures prove nothing by themselves.
 */
export function synthetic(name: string, seed: number, options: SyntheticOptions): Stream {
  const random = randomOf(seed);
  const { callers, callees, services } = graphOf(options.services, random);
  const start = Date.UTC(2026, 0, 5, 6);
  const truth: Truth = { alerts: {}, faults: {} };
  const episodes: Episode[] = [];
  const offset = new Map<string, number>();
  let n = 0;

  const emit = (
    labels: Record<string, string>,
    at: number,
    seconds: number,
    fault: string | null,
    kind: string,
  ): Episode => {
    const startsAt = Math.round(at / 1000) * 1000;
    const fingerprint = Object.values(labels).join('|');
    let id = `${fingerprint}@${startsAt}`;
    while (truth.alerts[id]) {
      n += 1;
      id += `'${n}`;
    }
    truth.alerts[id] = { fault, kind };
    const episode: Episode = {
      id,
      fingerprint,
      labels,
      summary: `${labels.alertname} on ${labels.service}`,
      groupKey: `{alertname="${labels.alertname}", namespace="${labels.namespace}"}`,
      startsAt,
      delayMs: 10_000 + Math.round(random.next() ** 4 * 50) * 1000,
      endsAt: startsAt + Math.round(seconds) * 1000,
      resolveDelayMs: 30_000,
    };
    episodes.push(episode);
    return episode;
  };
  const sampled = (rule: string, at: number): number => {
    if (!offset.has(rule)) offset.set(rule, random.int(options.step));
    const step = options.step * 1000;
    return Math.ceil(at / step) * step + offset.get(rule)! * 1000;
  };

  const faultTimes: { at: number; touched: string[] }[] = [];
  let at = start + 900_000;
  const roots = [...services].sort(() => random.next() - 0.5);
  for (let i = 0; i < options.faults; i += 1) {
    const root = options.storm ? roots[Math.floor((i * roots.length) / options.faults)]! : random.pick(services);
    const fault = `fault-${i}`;
    const duration = random.between(options.step * 3, options.step * 8 + 300);
    const touched: string[] = [];
    let own = 0;
    const alert = (rule: string, service: string, lag: number, more: Record<string, string> = {}): void => {
      const onset = sampled(rule, at + lag * 1000);
      emit(
        { alertname: rule, namespace: 'app', cluster: 'c1', service, severity: 'warning', ...more },
        onset,
        duration + random.between(0, options.step * 2),
        fault,
        'fault',
      );
      touched.push(service);
      own += 1;
    };
    const kind = random.pick(['resource', 'latency', 'errors']);
    const symptom = kind === 'errors' ? 'ErrorRateHigh' : 'LatencyP95High';
    const rootAlerts = random.next() < 0.85;
    if (kind === 'resource' && random.next() < 0.8) alert('ContainerCpuHigh', root, random.between(0, 60));
    if (rootAlerts) alert(symptom, root, random.between(0, options.step));
    const seen = new Set([root]);
    let frontier = [root];
    for (let hop = 1; hop <= 3 && frontier.length > 0; hop += 1) {
      const next: string[] = [];
      for (const callee of frontier) {
        for (const caller of callers.get(callee) ?? []) {
          if (seen.has(caller) || random.next() > 0.75) continue;
          seen.add(caller);
          next.push(caller);
          const lag = random.between(0, options.step * (0.5 + hop * 0.4));
          if (random.next() < 0.45) alert('CallLatencyHigh', caller, lag, { destination_service: callee });
          if (random.next() < 0.55) alert(symptom, caller, lag);
        }
      }
      frontier = next;
    }
    if (own === 0) alert(symptom, root, 0);
    const named = touched.includes(root);
    truth.faults[fault] = { service: root, root_has_alert: named, alerts: own };
    faultTimes.push({ at, touched });
    at += options.storm ? random.between(0, 20_000) : options.every * 1000 * random.between(0.3, 1.7);
  }

  const length = at - start + 1_800_000;
  const chains = Math.round((options.noise * episodes.length) / 2.5);
  for (let i = 0; i < chains; i += 1) {
    const rule = random.pick(platformRules);
    const hugging = random.next() < 0.45;
    const beside = random.pick(faultTimes);
    const elsewhere = !hugging && random.next() < 0.45;
    let service = random.pick(services);
    if (hugging) {
      const near = random.pick(beside.touched);
      service = random.pick([near, ...(callers.get(near) ?? []), ...(callees.get(near) ?? [])]);
    }
    let from = hugging ? beside.at + random.between(-90_000, 150_000) : start + random.between(0, length);
    const labels = elsewhere
      ? {
          alertname: rule,
          namespace: random.pick(['monitoring', 'ci', 'batch']),
          cluster: 'c1',
          service: random.pick(['grafana', 'runner', 'report', 'dns']),
          severity: 'warning',
        }
      : { alertname: rule, namespace: 'app', cluster: 'c1', service, severity: 'warning' };
    const flaps = random.next() < 0.35 ? 2 + random.int(4) : 1;
    for (let k = 0; k < flaps; k += 1) {
      const seconds = random.between(80, 900);
      emit({ ...labels, instance: `n${i}` }, from, seconds, null, 'platform');
      from += (seconds + random.between(60, 400)) * 1000;
    }
  }
  const edges = [...callees].flatMap(([caller, list]) => list.map((callee) => ({ namespace: 'app', caller, callee })));
  return {
    name,
    system: name,
    episodes,
    truth,
    topology: { nodes: services.map((service) => ({ namespace: 'app', service })), edges },
    metrics: [],
  };
}

/** Front doors first; every other service is called by one to three services of the layers above. */
function graphOf(
  size: number,
  random: Random,
): { services: string[]; callers: Map<string, string[]>; callees: Map<string, string[]> } {
  const services = Array.from({ length: size }, (_, i) => `svc-${i}`);
  const callers = new Map<string, string[]>();
  const callees = new Map<string, string[]>();
  const fronts = Math.max(1, Math.round(size / 20));
  for (let i = fronts; i < size; i += 1) {
    const count = 1 + (random.next() < 0.4 ? 1 : 0) + (random.next() < 0.15 ? 1 : 0);
    for (let k = 0; k < count; k += 1) {
      const caller = services[Math.max(0, Math.floor(i * random.between(0.15, 0.7)))]!;
      const callee = services[i]!;
      if (callers.get(callee)?.includes(caller)) continue;
      callers.set(callee, [...(callers.get(callee) ?? []), caller]);
      callees.set(caller, [...(callees.get(caller) ?? []), callee]);
    }
  }
  return { services, callers, callees };
}
