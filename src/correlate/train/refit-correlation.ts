import type { Models } from '../../config/models.ts';
import type { Deploy } from '../../domain/deploy.ts';
import type { Topology } from '../../domain/topology.ts';
import type { PastEpisode } from '../../store/training.ts';
import { createCorrelator } from '../correlator.ts';
import { buildGraph } from '../graph.ts';
import type { CorrelationModel } from '../model.ts';
import type { Correlator } from '../types.ts';
import { correlateStream } from './loop.ts';
import { FOLDS, foldOf, type Refit, storeVersion } from './refit.ts';
import type { Episode, Stream } from './streams.ts';

/** Two firings that people judged; `weight` makes one deed (a merge, a split) weigh as much as a few single judgements. */
export type JudgedPair = { a: string; b: string; together: boolean; weight: number; incident: string };

/** A stretch of the store's past, to be correlated anew. */
export type Past = {
  /** What arrived, by stretch of time, oldest first. */
  stretches: PastEpisode[][];
  deploys: Deploy[];
  topology: Topology;
  pairs: JudgedPair[];
  /** How many single judgements and deeds the pairs come from. */
  judgements: number;
  windowMs: number;
  reopenMs: number;
};

const NEEDED = { judged: 20, incidents: 5 };
/** The incidents as the model makes them now count as much as this many judgements: a change must not overturn the rest. */
const PRIOR = 30;
/** A change must be worth this much of the score, or the model stays as it is. */
const WORTHWHILE = 0.004;

type Parameter = {
  name: string;
  get(m: CorrelationModel): number;
  set(m: CorrelationModel, x: number): CorrelationModel;
  steps: number[];
  low: number;
  high: number;
};

const eps: Parameter = {
  name: 'eps',
  get: (m) => m.eps,
  set: (m, x) => ({ ...m, eps: x }),
  steps: [0, -0.1, -0.05, 0.05, 0.1],
  low: 0.5,
  high: 0.95,
};
const cohesion: Parameter = {
  name: 'guard.cohesion',
  get: (m) => m.guard.cohesion,
  set: (m, x) => ({ ...m, guard: { ...m.guard, cohesion: x } }),
  steps: [0, -0.15, -0.1, -0.05, 0.05, 0.1],
  low: 0.05,
  high: 0.7,
};
const merge: Parameter = {
  name: 'guard.merge',
  get: (m) => m.guard.merge,
  set: (m, x) => ({ ...m, guard: { ...m.guard, merge: x } }),
  steps: [-0.2, -0.1, 0.1, 0.2],
  low: 0.1,
  high: 0.9,
};
const unknown: Parameter = {
  name: 'connectivity.unknown',
  get: (m) => m.connectivity.unknown,
  set: (m, x) => ({ ...m, connectivity: { ...m.connectivity, unknown: x } }),
  steps: [-0.2, -0.1, 0.1],
  low: 0.2,
  high: 1,
};
/** What labels of pairs can say something about. Who is near enough and who fits the rest are tried together: each can forbid a pair. */
const movable: Parameter[][] = [[eps, cohesion], [merge], [unknown]];

/** Every model that differs from this one by one step of each of these parameters. */
function around(model: CorrelationModel, base: CorrelationModel, [first, ...rest]: Parameter[]): CorrelationModel[] {
  if (!first) return [model];
  return first.steps.flatMap((step) => {
    const value = Math.round((first.get(base) + step) * 1000) / 1000;
    return value < first.low || value > first.high ? [] : around(first.set(model, value), base, rest);
  });
}

/** The episode's name in a stream and in judged pairs. */
export const episodeId = (alert: string, startsAt: number): string => `${alert}@${startsAt}`;

/**
 * Refits what people's merges, splits and judged pairs can move: the stretches of the past around them are correlated anew
 * (cold, with their deploys and the call graph) with parameters near the present ones, and the ones that get more judged pairs
 * right win, held back by how much they would change of all other incidents. What is reported is the score on incidents that
 * were left out of the search. `onTried` is told how many models have been tried: each correlates everything once.
 */
export function refitCorrelation(
  past: Past,
  models: Models,
  onTried: (count: number) => void = () => {},
): Refit<CorrelationModel> {
  const incidents = new Set(past.pairs.map(({ incident }) => incident));
  const model = models.correlation;
  const base = { what: 'correlation', judged: past.judgements, incidents: incidents.size, needed: NEEDED };
  if (past.judgements < NEEDED.judged || incidents.size < NEEDED.incidents)
    return { ...base, status: 'too-few', scores: [], changes: [], model };

  const streams = past.stretches.flatMap((stretch, n) => streamsOf(stretch, n, past.topology));
  const known = new Map<string, Map<string, string>>();
  /** The incident of every episode under a model; each model is tried once. */
  const homesUnder = (tried: CorrelationModel): Map<string, string> => {
    const key = JSON.stringify(tried);
    let homes = known.get(key);
    if (!homes) {
      homes = new Map();
      for (const stream of streams) {
        const how = { windowMs: past.windowMs, reopenMs: past.reopenMs, correlator: withDeploys(stream, past, tried) };
        const { assignments } = correlateStream(stream, { ...models, correlation: tried }, how);
        for (const [id, incident] of assignments) homes.set(id, `${stream.name} ${incident}`);
      }
      known.set(key, homes);
      onTried(known.size);
    }
    return homes;
  };
  const asItIs = homesUnder(model);
  const rightUnder = (tried: CorrelationModel, pairs: readonly JudgedPair[]): number => {
    const homes = homesUnder(tried);
    return pairs.reduce((sum, p) => sum + (isTogether(homes, p) === p.together ? p.weight : 0), 0);
  };
  const weightOf = (pairs: readonly JudgedPair[]): number => pairs.reduce((sum, p) => sum + p.weight, 0);
  const score = (tried: CorrelationModel, pairs: readonly JudgedPair[]): number =>
    (rightUnder(tried, pairs) + PRIOR * pairAgreement(asItIs, homesUnder(tried))) / (weightOf(pairs) + PRIOR);
  const search = (pairs: readonly JudgedPair[]): CorrelationModel => {
    let best = model;
    let bestScore = score(model, pairs);
    for (const parameters of movable) {
      for (const tried of around(best, model, parameters)) {
        const reached = score(tried, pairs);
        if (reached > bestScore + WORTHWHILE) [best, bestScore] = [tried, reached];
      }
    }
    return best;
  };

  const { pairs } = past;
  let leftOutRight = 0;
  for (let fold = 0; fold < FOLDS; fold += 1) {
    const leftOut = pairs.filter((p) => foldOf(p.incident) === fold);
    if (leftOut.length === 0) continue;
    leftOutRight += rightUnder(search(pairs.filter((p) => foldOf(p.incident) !== fold)), leftOut);
  }
  const best = search(pairs);
  const total = weightOf(pairs);
  const before = rightUnder(model, pairs) / total;
  const after = leftOutRight / total;
  const scores: Refit<CorrelationModel>['scores'] = [
    { name: 'judged pairs right', before, after, better: 'higher' },
    {
      name: 'pairs of all incidents that stay as they are (F1)',
      before: 1,
      after: pairAgreement(asItIs, homesUnder(best)),
      better: 'higher',
    },
  ];
  const changes = movable
    .flat()
    .filter(({ get }) => get(best) !== get(model))
    .map(({ name, get }) => `${name} from ${get(model)} to ${get(best)}`);
  if (changes.length === 0 || after <= before) return { ...base, status: 'no-better', scores, changes: [], model };
  const next = { ...best, version: storeVersion(model.version, best) };
  return { ...base, status: 'refitted', scores, changes, model: next };
}

const isTogether = (homes: ReadonlyMap<string, string>, { a, b }: JudgedPair): boolean => {
  const home = homes.get(a);
  return home !== undefined && home === homes.get(b);
};

/** F1 over the pairs that two groupings put together; 1 when they are the same. */
function pairAgreement(first: ReadonlyMap<string, string>, second: ReadonlyMap<string, string>): number {
  const pairs = (groups: Iterable<string>): number => {
    const sizes = new Map<string, number>();
    for (const group of groups) sizes.set(group, (sizes.get(group) ?? 0) + 1);
    return [...sizes.values()].reduce((sum, n) => sum + (n * (n - 1)) / 2, 0);
  };
  const total = pairs(first.values()) + pairs(second.values());
  const both = [...first].map(([id, home]) => `${home}\n${second.get(id) ?? id}`);
  return total === 0 ? 1 : (2 * pairs(both)) / total;
}

/** Tenants never meet: a stream each. */
function streamsOf(stretch: readonly PastEpisode[], n: number, topology: Topology): Stream[] {
  return [...Map.groupBy(stretch, ({ tenant }) => tenant)].map(([tenant, episodes]) => ({
    name: `${n} ${tenant}`,
    system: 'store',
    episodes: episodes.map(episodeOf),
    topology,
    truth: { alerts: {}, faults: {} },
    metrics: [],
  }));
}

/** What the labels say is what the service made of them, whatever they are called there. */
function episodeOf(past: PastEpisode): Episode {
  const named = {
    alertname: past.alertname,
    severity: past.severity,
    service: past.service,
    destination_service: past.destination,
    namespace: past.namespace,
    cluster: past.cluster,
  };
  const given = Object.entries(named).filter((one): one is [string, string] => one[1] !== null);
  const onset = Math.min(past.startsAt, past.receivedAt);
  return {
    id: episodeId(past.alert, past.startsAt),
    fingerprint: past.alert,
    labels: { ...past.labels, ...Object.fromEntries(given) },
    summary: past.summary,
    groupKey: past.groupKey ?? '',
    startsAt: onset,
    delayMs: past.receivedAt - onset,
    endsAt: past.endsAt,
    resolveDelayMs: past.endsAt === null ? 0 : Math.max(0, past.updatedAt - past.endsAt),
  };
}

/** The correlator of one run, told of each deploy before the first alert that came after it. */
function withDeploys(stream: Stream, past: Past, model: CorrelationModel): Correlator {
  const correlator = createCorrelator({ graph: buildGraph(stream.topology), windowMs: past.windowMs }, model);
  const begin = (stream.episodes[0]?.startsAt ?? 0) - 3_600_000;
  const waiting = past.deploys.filter(({ startedAt }) => startedAt >= begin);
  return {
    ...correlator,
    place(point, now, earlier) {
      while (waiting[0] && waiting[0].startedAt <= now) correlator.deployed(waiting.shift()!);
      return correlator.place(point, now, earlier);
    },
  };
}
