import { rfc } from '../../domain/time.ts';
import type { SeriesLabels, VectorSeries } from './answers.ts';

/**
 * Rollouts seen in metrics alone, without any set-up: two looks at the same queries are compared. All of this is pure.
 */
export type Look = {
  /** When the server was asked, epoch ms. */
  at: number;
  /** Image by `namespace, workload, container`; the value is the creation time (Unix seconds) of its first pod, or 1. */
  images: VectorSeries[];
  /** `kube_deployment_status_observed_generation` by `namespace, deployment`. */
  generations: VectorSeries[];
  /** Creation time of the newest ReplicaSet by `namespace, deployment`. */
  replicaSets: VectorSeries[];
  /** `kube_deployment_spec_replicas` by `namespace, deployment`. */
  replicas: VectorSeries[];
  builds: VectorSeries[];
  starts: VectorSeries[];
};

/** Of several queries the first whose metrics the server has. */
export type RolloutQueries = Record<Exclude<keyof Look, 'at'>, readonly string[]>;

const hash = '[bcdfghjklmnpqrstvwxz2456789]';
/** The workload behind a pod's name: `web-7d9f8c6b5-x2x4k` (Deployment), `db-0` (StatefulSet), `agent-x2x4k` (DaemonSet). */
const workloadOf = (vector: string): string =>
  [
    '^(.+)$',
    `^(.+)-${hash}{5}$`,
    '^(.+)-[0-9]+$',
    // The hash of a ReplicaSet: 6 to 10 characters without vowels, so that words are not taken for one.
    `^(.+)-${hash}{6,10}-${hash}{5}$`,
  ].reduce((inner, pattern) => `label_replace(${inner}, "workload", "$1", "pod", "${pattern}")`, vector);

/**
 * The metrics of kube-state-metrics and of client libraries that tell of a rollout. Grouped by the server, so that thousands
 * of pods come as some hundred workloads.
 */
export const rolloutQueries: RolloutQueries = {
  images: [
    `min by (namespace, workload, container, image) (${workloadOf(
      'max by (namespace, pod, container, image) (kube_pod_container_info) * on (namespace, pod) group_left () max by (namespace, pod) (kube_pod_created)',
    )})`,
    `count by (namespace, workload, container, image) (${workloadOf('kube_pod_container_info')})`,
  ],
  generations: ['max by (namespace, deployment) (kube_deployment_status_observed_generation)'],
  replicaSets: [
    `max by (namespace, deployment) (label_replace(kube_replicaset_created, "deployment", "$1", "replicaset", "^(.+)-${hash}{6,10}$"))`,
  ],
  replicas: ['max by (namespace, deployment) (kube_deployment_spec_replicas)'],
  // Outside Kubernetes only: there a new version is a new pod, told by its image.
  builds: ['{__name__=~".+_build_info",pod=""}'],
  starts: ['process_start_time_seconds{pod=""}'],
};

/** One change as `POST /api/v1/deploys` takes it. */
export type Rollout = {
  service: string;
  version?: string;
  previousVersion?: string;
  cluster?: string;
  commit?: string;
  startedAt: string;
  status: string;
  summary: string;
};

/** A restart of a process that restarted less than this long before is a crash loop, not a deploy. */
const CRASH_LOOP_MS = 10 * 60_000;

type Naming = { service: readonly string[]; cluster: readonly string[] };

/** What was rolled out between two looks, in a fixed order. `naming`: the labels by which series say service and cluster. */
export function rollouts(before: Look, after: Look, naming: Naming): Rollout[] {
  const images = imageChanges(before, after);
  const builds = buildChanges(before, after, naming);
  const told = new Set([...images, ...builds].map(({ service }) => service));
  const generations = generationChanges(before, after).filter(({ service }) => !told.has(service));
  for (const { service } of generations) told.add(service);
  const restarts = restartsIn(before, after, naming).filter(({ service }) => !told.has(service));
  return [...images, ...builds, ...generations, ...restarts].sort((a, b) =>
    `${a.service} ${a.summary}` < `${b.service} ${b.summary}` ? -1 : 1,
  );
}

const group = <T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> => {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const known = groups.get(key);
    if (known) known.push(item);
    else groups.set(key, [item]);
  }
  return groups;
};

/** A start that the metrics name, if it can be one: not before the last look by much, not in the future. */
const plausibleStart = (seconds: number, before: Look, after: Look): number => {
  const at = seconds * 1000;
  return at > 1e12 && at <= after.at && at >= before.at - 15 * 60_000 ? at : before.at;
};

/** Tag and digest of an image reference; the name in front does not matter. */
function versionIn(image: string): string | null {
  const [reference = '', digest] = image.split('@', 2);
  const last = reference.slice(reference.lastIndexOf('/') + 1);
  const colon = last.indexOf(':');
  return (colon === -1 ? null : last.slice(colon + 1)) || digest || null;
}

/** Images that a container of a known workload did not have before. New workloads and side-cars that stay are none. */
function imageChanges(before: Look, after: Look): Rollout[] {
  const place = ({ metric }: VectorSeries): string => `${metric.namespace}\n${metric.workload}\n${metric.container}`;
  const earlier = group(before.images, place);
  const found: Rollout[] = [];
  for (const [key, now] of group(after.images, place)) {
    const was = earlier.get(key);
    if (!was) continue;
    const known = new Set(was.map(({ metric }) => metric.image));
    const fresh = now
      .filter(({ metric }) => metric.image && !known.has(metric.image))
      .sort((a, b) => b.sample[1] - a.sample[1]);
    const newest = fresh[0];
    // During the rollout both are there: what went before is what is not new.
    if (!newest) continue;
    const { workload = '', container = '', image = '' } = newest.metric;
    const old = versionIn(was.map(({ metric }) => metric.image ?? '').find((one) => one !== image) ?? '');
    const version = versionIn(image);
    found.push({
      service: workload,
      ...(version ? { version } : {}),
      ...(old && old !== version ? { previousVersion: old } : {}),
      startedAt: rfc(plausibleStart(newest.sample[1], before, after)),
      status: 'running',
      summary: `image of ${container} in ${workload} changed`,
    });
  }
  return onePerService(found);
}

/** Several containers of one workload that change together are one rollout; the one named like the workload speaks. */
const onePerService = (found: Rollout[]): Rollout[] =>
  [...group(found, ({ service }) => service).values()].map(
    (changes) => changes.find(({ service, summary }) => summary.startsWith(`image of ${service} `)) ?? changes[0]!,
  );

/**
 * A new generation with the same image: environment, limits, a restart by hand. Scaling also raises the generation; a
 * rollout has a ReplicaSet of its own, made since the last look. Without those metrics an unchanged number of replicas
 * must do.
 */
function generationChanges(before: Look, after: Look): Rollout[] {
  const place = (metric: SeriesLabels): string => `${metric.namespace}\n${metric.deployment}`;
  const values = (series: VectorSeries[]) => new Map(series.map(({ metric, sample }) => [place(metric), sample[1]]));
  const was = values(before.generations);
  const sets = { before: values(before.replicaSets), after: values(after.replicaSets) };
  const replicas = { before: values(before.replicas), after: values(after.replicas) };
  const found: Rollout[] = [];
  for (const { metric, sample } of after.generations) {
    const key = place(metric);
    const earlier = was.get(key);
    if (earlier === undefined || sample[1] <= earlier) continue;
    const created = sets.after.get(key);
    const isRollout =
      created !== undefined
        ? created > (sets.before.get(key) ?? before.at / 1000 - 60)
        : replicas.before.get(key) === replicas.after.get(key);
    if (!isRollout || !metric.deployment) continue;
    found.push({
      service: metric.deployment,
      startedAt: rfc(created === undefined ? before.at : plausibleStart(created, before, after)),
      status: 'running',
      summary: `generation ${sample[1]} of ${metric.deployment}: its pods changed, its images did not`,
    });
  }
  return found;
}

const firstOf = (metric: SeriesLabels, names: readonly string[]): string | undefined =>
  names.map((name) => metric[name]).find((value) => value !== undefined && value !== '');

const serviceOf = (metric: SeriesLabels, naming: Naming): string | null =>
  firstOf(metric, naming.service) ?? metric.service_name ?? metric.job ?? null;

const instanceOf = ({ metric }: VectorSeries): string => `${metric.__name__}\n${metric.job}\n${metric.instance}`;
/** Versions in `*_build_info` that an instance did not have before; one change per service. */
function buildChanges(before: Look, after: Look, naming: Naming): Rollout[] {
  const earlier = group(before.builds, instanceOf);
  const starts = new Map(after.starts.map(({ metric, sample }) => [`${metric.job}\n${metric.instance}`, sample[1]]));
  const found: Rollout[] = [];
  for (const [key, series] of group(after.builds, instanceOf)) {
    const was = earlier.get(key)?.[0]?.metric;
    const now = series.at(-1)!.metric;
    const service = serviceOf(now, naming);
    // The version of the language's own runtime is not the service's.
    if (!was || !service || !now.version || /^(go|jvm|python|nodejs)_build_info$/.test(now.__name__ ?? '')) continue;
    if (was.version === now.version && (was.revision ?? '') === (now.revision ?? '')) continue;
    const cluster = firstOf(now, naming.cluster);
    found.push({
      service,
      version: now.version,
      ...(was.version && was.version !== now.version ? { previousVersion: was.version } : {}),
      ...(cluster ? { cluster } : {}),
      ...(now.revision ? { commit: now.revision } : {}),
      startedAt: rfc(plausibleStart(starts.get(`${now.job}\n${now.instance}`) ?? 0, before, after)),
      status: 'running',
      summary: `${now.__name__} of ${service} says another version`,
    });
  }
  return earliestOf(found, ({ service, version }) => `${service}\n${version}`);
}

/** Processes outside Kubernetes that started anew. One that keeps restarting crashes: that is no deploy. */
function restartsIn(before: Look, after: Look, naming: Naming): Rollout[] {
  const was = new Map(before.starts.map((one) => [instanceOf(one), one.sample[1]]));
  const found: Rollout[] = [];
  for (const one of after.starts) {
    const started = one.sample[1];
    const earlier = was.get(instanceOf(one));
    const service = serviceOf(one.metric, naming);
    // Clocks and the metric's own rounding move it by a second; a start before the earlier one is no new one.
    if (earlier === undefined || !service || started - earlier < 2) continue;
    if ((started - earlier) * 1000 < CRASH_LOOP_MS) continue;
    const cluster = firstOf(one.metric, naming.cluster);
    found.push({
      service,
      ...(cluster ? { cluster } : {}),
      startedAt: rfc(plausibleStart(started, before, after)),
      status: 'restarted',
      summary: `processes of ${service} restarted`,
    });
  }
  return earliestOf(found, ({ service }) => service);
}

const earliestOf = (found: Rollout[], keyOf: (rollout: Rollout) => string): Rollout[] =>
  [...group(found, keyOf).values()].map((changes) => changes.reduce((a, b) => (b.startedAt < a.startedAt ? b : a)));
