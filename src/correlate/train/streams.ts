import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Topology } from '../../domain/topology.ts';
import { randomOf } from './random.ts';

/** One firing of one alert with the times at which its webhooks came. All times epoch ms. */
export type Episode = {
  /** `<fingerprint>@<startsAt>` as in the truth. */
  id: string;
  fingerprint: string;
  labels: Record<string, string>;
  summary: string | null;
  groupKey: string;
  startsAt: number;
  /** Delay from onset to the first webhook. */
  delayMs: number;
  endsAt: number | null;
  resolveDelayMs: number;
};

export type TruthAlert = { fault: string | null; kind: string };
export type TruthFault = { service: string; root_has_alert: boolean; alerts: number; t?: number };
export type Truth = { alerts: Record<string, TruthAlert>; faults: Record<string, TruthFault> };
export type Series = { metric: Record<string, string>; values: [number, number][] };
/** `system` is the recording it comes from, whatever was done to it since. */
export type Stream = {
  name: string;
  system: string;
  episodes: Episode[];
  topology: Topology;
  truth: Truth;
  metrics: Series[];
  /** What the correlator has seen on an earlier day; without it a stream is met with nothing learned. */
  before?: Stream;
};

const read = (file: string): string => {
  const path = existsSync(file) ? file : `${file}.gz`;
  const bytes = readFileSync(path);
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
};

/** Reads a recorded stream directory: alerts.jsonl[.gz], topology.json, truth.json and, if there, metrics.json[.gz]. */
export function loadStream(dir: string, name: string): Stream {
  const episodes = new Map<string, Episode>();
  for (const line of read(join(dir, 'alerts.jsonl')).split('\n')) {
    if (!line) continue;
    const { at, kind, body } = JSON.parse(line);
    if (kind !== 'alertmanager') continue;
    for (const a of body.alerts) {
      const id = `${a.fingerprint}@${a.startsAt}`;
      const startsAt = Date.parse(a.startsAt);
      let episode = episodes.get(id);
      if (!episode) {
        episode = {
          id,
          fingerprint: a.fingerprint,
          labels: a.labels,
          summary: a.annotations?.summary ?? null,
          groupKey: body.groupKey,
          startsAt,
          delayMs: Date.parse(at) - startsAt,
          endsAt: null,
          resolveDelayMs: 0,
        };
        episodes.set(id, episode);
      }
      if (a.status === 'resolved' && episode.endsAt === null) {
        episode.endsAt = Date.parse(a.endsAt);
        episode.resolveDelayMs = Date.parse(at) - episode.endsAt;
      }
    }
  }
  const metrics = existsSync(join(dir, 'metrics.json.gz')) || existsSync(join(dir, 'metrics.json'));
  return {
    name,
    system: name,
    episodes: [...episodes.values()],
    topology: JSON.parse(read(join(dir, 'topology.json'))),
    truth: JSON.parse(read(join(dir, 'truth.json'))),
    metrics: metrics ? JSON.parse(read(join(dir, 'metrics.json'))) : [],
  };
}

export const recordings = ['ob-a', 'petshop-low'] as const;

/** The shared folder beside the checkout, or what `--shared` says. */
export const sharedDir = (given: string | undefined): string =>
  resolve(given ?? join(import.meta.dirname, '../../../../shared'));

/** Onsets moved by up to ±`seconds`, each on its own, and with them their webhooks. */
export function jittered(stream: Stream, seed: number, seconds = 15): Stream {
  const random = randomOf(seed);
  return {
    ...stream,
    name: `${stream.name} jitter ${seed}`,
    episodes: stream.episodes.map((e) => {
      const by = Math.round(random.between(-seconds, seconds)) * 1000;
      return {
        ...e,
        startsAt: e.startsAt + by,
        endsAt: e.endsAt === null ? null : Math.max(e.endsAt + by, e.startsAt + by + 1000),
      };
    }),
  };
}

const nonsense = (random: ReturnType<typeof randomOf>): string =>
  Array.from({ length: 9 }, () => String.fromCharCode(97 + random.int(26))).join('');

/** Alert names and jobs replaced by nonsense (also in summary and group), pods dropped: what they gave away is gone. */
export function permuted(stream: Stream, seed: number): Stream {
  const random = randomOf(seed + 1000);
  const names = new Map<string, string>();
  const other = (text: string): string => {
    if (!names.has(text)) names.set(text, nonsense(random));
    return names.get(text)!;
  };
  return {
    ...stream,
    name: `${stream.name} permuted ${seed}`,
    episodes: stream.episodes.map((e) => {
      const { pod: _pod, ...labels } = e.labels;
      const alertname = other(`a ${labels.alertname}`);
      if (labels.job) labels.job = other(`j ${labels.job}`);
      const was = labels.alertname!;
      labels.alertname = alertname;
      return {
        ...e,
        labels,
        summary: e.summary?.replaceAll(was, alertname) ?? null,
        groupKey: e.groupKey.replaceAll(was, alertname),
      };
    }),
  };
}

/**
 * Other noise of the same kind: what platform alerts fired beside a fault (within 150 s) fires as long beside another fault,
 * on a service that fault touches or a neighbour of one; the rest moves to any time. Chains of one flapping alert stay
 * together. This keeps what makes the recordings hard: a third of the noise hugs a fault.
 */
export function noiseMoved(stream: Stream, seed: number): Stream {
  const random = randomOf(seed + 2000);
  const starts = stream.episodes.map((e) => e.startsAt);
  const start = Math.min(...starts);
  const length = Math.max(...starts) - start;
  const appServices = new Set(stream.topology.nodes.map((n) => n.service));
  const faultAlerts = new Map<string, Episode[]>();
  for (const e of stream.episodes) {
    const fault = stream.truth.alerts[e.id]?.fault;
    if (fault) faultAlerts.set(fault, [...(faultAlerts.get(fault) ?? []), e]);
  }
  const onsets = [...faultAlerts].map(([, list]) => ({ at: Math.min(...list.map((e) => e.startsAt)), list }));
  const neighbours = (service: string): string[] => [
    service,
    ...stream.topology.edges.filter((e) => e.caller === service).map((e) => e.callee),
    ...stream.topology.edges.filter((e) => e.callee === service).map((e) => e.caller),
  ];

  const noise = new Map<string, Episode[]>();
  const kept: Episode[] = [];
  for (const e of stream.episodes) {
    if (stream.truth.alerts[e.id]?.kind === 'platform')
      noise.set(e.fingerprint, [...(noise.get(e.fingerprint) ?? []), e]);
    else kept.push(e);
  }
  const truth: Truth = { alerts: {}, faults: stream.truth.faults };
  for (const e of kept) if (stream.truth.alerts[e.id]) truth.alerts[e.id] = stream.truth.alerts[e.id]!;
  let chainNumber = 0;
  const moved: Episode[] = [];
  for (const list of noise.values()) {
    list.sort((a, b) => a.startsAt - b.startsAt);
    let chain: Episode[] = [];
    const flush = (): void => {
      const first = chain[0];
      if (!first) return;
      chainNumber += 1;
      let by = Math.round((random.between(0, length) - (first.startsAt - start)) / 1000) * 1000;
      let service = first.labels.service!;
      if (appServices.has(service)) {
        const beside = onsets.find((o) => Math.abs(o.at - first.startsAt) <= 150_000);
        if (beside) {
          const other = random.pick(onsets);
          by = other.at - beside.at;
          service = random.pick(neighbours(random.pick(other.list).labels.service!));
        } else service = random.pick([...appServices]);
      }
      for (const e of chain) {
        const labels: Record<string, string> = { ...e.labels, service };
        if (labels.pod) labels.pod = `${service}-0`;
        const fingerprint = `${e.fingerprint}-${chainNumber}`;
        const startsAt = e.startsAt + by;
        const id = `${fingerprint}@${startsAt}`;
        truth.alerts[id] = { fault: null, kind: 'platform' };
        moved.push({ ...e, id, fingerprint, labels, startsAt, endsAt: e.endsAt === null ? null : e.endsAt + by });
      }
      chain = [];
    };
    for (const e of list) {
      const last = chain.at(-1);
      if (last && e.startsAt - last.startsAt > 1_200_000) flush();
      chain.push(e);
    }
    flush();
  }
  return { ...stream, name: `${stream.name} noise ${seed}`, episodes: [...kept, ...moved], truth };
}

/** The day begins somewhere else: cold start meets other faults first. */
export function rotated(stream: Stream, share: number): Stream {
  const start = Math.min(...stream.episodes.map((e) => e.startsAt));
  const length = Math.max(...stream.episodes.map((e) => e.startsAt)) - start + 1_800_000;
  const pivot = start + share * length;
  return {
    ...stream,
    name: `${stream.name} from ${share}`,
    metrics: [],
    episodes: stream.episodes.map((e) => {
      const by = e.startsAt < pivot ? length : 0;
      return { ...e, startsAt: e.startsAt + by, endsAt: e.endsAt === null ? null : e.endsAt + by };
    }),
  };
}

/** The stream met by a correlator that has learned from `before`, which ran `days` earlier, followed by nothing at all. */
export function secondDay(stream: Stream, before: Stream, days = 2): Stream {
  const by = -days * 86_400_000;
  const episodes = before.episodes.map((e) => ({
    ...e,
    startsAt: e.startsAt + by,
    endsAt: e.endsAt === null ? null : e.endsAt + by,
  }));
  return { ...stream, name: `${stream.name}, second day`, before: { ...before, episodes } };
}

/**
 * The stream laid over itself: the same faults `offsetSeconds` later under other fingerprints, so that two faults run at
 * once in one call graph. Metrics no longer fit and are left out.
 */
export function overlaid(stream: Stream, offsetSeconds: number): Stream {
  const truth: Truth = { alerts: { ...stream.truth.alerts }, faults: { ...stream.truth.faults } };
  const copies: Episode[] = [];
  for (const [name, fault] of Object.entries(stream.truth.faults)) truth.faults[`${name}'`] = fault;
  for (const e of stream.episodes) {
    const of = stream.truth.alerts[e.id];
    if (of?.kind === 'platform') continue;
    const id = `${e.id}'`;
    const by = offsetSeconds * 1000;
    if (of) truth.alerts[id] = { ...of, fault: of.fault === null ? null : `${of.fault}'` };
    copies.push({
      ...e,
      id,
      fingerprint: `${e.fingerprint}'`,
      startsAt: e.startsAt + by,
      endsAt: e.endsAt === null ? null : e.endsAt + by,
    });
  }
  return {
    ...stream,
    name: `${stream.name} + itself ${offsetSeconds} s later`,
    episodes: [...stream.episodes, ...copies],
    truth,
    metrics: [],
  };
}
