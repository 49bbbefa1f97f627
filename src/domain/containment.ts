import type { Labels } from './alert.ts';

/** A controller of pods, the topmost one: the Deployment, not its ReplicaSet; the CronJob, not its Job. */
export type Workload = { namespace: string; kind: string; name: string; pods: number };

/** What one Prometheus says runs where, as kept in the store. */
export type ClusterContainment = {
  /** `prometheus[].name`, and the labels of the alerts it serves (`prometheus[].match`; empty: any). */
  server: string;
  match: Record<string, string>;
  workloads: Workload[];
  /** Node, place in `workloads`, pods there; null where the pairs were too many to be asked for. */
  onNodes: [node: string, workload: number, pods: number][] | null;
  /** Epoch ms of the look. */
  seenAt: number;
};

/** Pods of one workload on one node. */
export type Resident = { workload: Workload; pods: number };

/** What runs where, asked by the labels of an alert. */
export type Containment = {
  clusters: readonly ClusterContainment[];
  /** The workload that an alert's labels name, by its pod or itself; null when none does or two clusters disagree. */
  workloadOf(alert: { labels: Labels; namespace: string | null }): Workload | null;
  /** The workload of that name, if the cluster has it. */
  find(server: string, namespace: string, kind: string, name: string): Workload | null;
  /** What runs on a node, most pods first; null where it is not known for every node. */
  onNode(server: string, node: string): Resident[] | null;
};

/** Labels by which kube-state-metrics names a workload itself. */
const named: readonly [label: string, kind: string][] = [
  ['deployment', 'Deployment'],
  ['statefulset', 'StatefulSet'],
  ['daemonset', 'DaemonSet'],
  ['cronjob', 'CronJob'],
  ['job_name', 'Job'],
  ['replicaset', 'ReplicaSet'],
];

/**
 * How pods are named after what made them. Loose, because what they give counts only where a workload of that name is
 * known in the pod's namespace: `web-7d9f8c6b5-x2x4k`, `nightly-29876543-x2x4k`, `db-0`, `agent-x2x4k`.
 */
const podNames: readonly [pattern: RegExp, kinds: (kind: string) => boolean][] = [
  [/^(.+)-[a-z0-9]{5,10}-[a-z0-9]{5}$/, (kind) => kind !== 'StatefulSet' && kind !== 'DaemonSet'],
  [/^(.+)-\d+(?:-\d+)?-[a-z0-9]{5}$/, (kind) => kind === 'CronJob'],
  [/^(.+)-\d+$/, (kind) => kind === 'StatefulSet'],
  [/^(.+)-[a-z0-9]{5}$/, (kind) => kind !== 'StatefulSet'],
  [/^(.+)$/, (kind) => kind === 'Pod'],
];

/** Indexes what was learned. Alerts are answered by the clusters whose Prometheus serves them. */
export function compileContainment(clusters: readonly ClusterContainment[]): Containment {
  const indexed = clusters.map((cluster) => {
    const byName = new Map<string, Workload[]>();
    for (const workload of cluster.workloads) {
      const key = `${workload.namespace}/${workload.name}`;
      const same = byName.get(key);
      if (same) same.push(workload);
      else byName.set(key, [workload]);
    }
    const byNode = new Map<string, Resident[]>();
    for (const [node, at, pods] of cluster.onNodes ?? []) {
      const workload = cluster.workloads[at];
      if (!workload) continue;
      const residents = byNode.get(node);
      if (residents) residents.push({ workload, pods });
      else byNode.set(node, [{ workload, pods }]);
    }
    for (const residents of byNode.values()) residents.sort(byPods);
    return { cluster, byName, byNode };
  });

  const serves = ({ match }: ClusterContainment, labels: Labels): boolean =>
    Object.entries(match).every(([name, value]) => labels[name] === value);

  const inCluster = (byName: Map<string, Workload[]>, labels: Labels, namespace: string): Workload | null => {
    const known = (name: string, fits: (kind: string) => boolean): Workload | null =>
      byName.get(`${namespace}/${name}`)?.find(({ kind }) => fits(kind)) ?? null;
    const { pod } = labels;
    if (pod) {
      for (const [pattern, fits] of podNames) {
        const name = pattern.exec(pod)?.[1];
        const workload = name ? known(name, fits) : null;
        if (workload) return workload;
      }
    }
    for (const [label, kind] of named) {
      const name = labels[label];
      const workload = name ? known(name, (other) => other === kind) : null;
      if (workload) return workload;
    }
    return null;
  };

  return {
    clusters,
    workloadOf({ labels, namespace }) {
      if (namespace === null) return null;
      let found: Workload | null = null;
      for (const { cluster, byName } of indexed) {
        if (!serves(cluster, labels)) continue;
        const workload = inCluster(byName, labels, namespace);
        if (!workload) continue;
        if (found && (found.name !== workload.name || found.kind !== workload.kind)) return null;
        found ??= workload;
      }
      return found;
    },
    find(server, namespace, kind, name) {
      const one = indexed.find(({ cluster }) => cluster.server === server);
      return one?.byName.get(`${namespace}/${name}`)?.find((workload) => workload.kind === kind) ?? null;
    },
    onNode(server, node) {
      const one = indexed.find(({ cluster }) => cluster.server === server);
      return one && one.cluster.onNodes !== null ? (one.byNode.get(node) ?? []) : null;
    },
  };
}

const byPods = (a: Resident, b: Resident): number =>
  b.pods - a.pods ||
  (`${a.workload.namespace}/${a.workload.name}` < `${b.workload.namespace}/${b.workload.name}` ? -1 : 1);

/** Nothing is known: every question is answered with null. */
export const emptyContainment = (): Containment => compileContainment([]);

/**
 * The service that an alert is about when its `service` label does not say it: the workload of its pod. The label counts as
 * silent too where it names the exporter that scraped (`job` contains one of `exporters`, as kube-state-metrics and the
 * kubelet have it): the pod then says more. Null: as sent.
 */
export function serviceByPlace(
  containment: Containment,
  alert: { labels: Labels; namespace: string | null; service: string | null },
  exporters: readonly string[],
): string | null {
  const job = alert.labels.job ?? '';
  if (alert.service !== null && !exporters.some((name) => job.includes(name))) return null;
  return containment.workloadOf(alert)?.name ?? null;
}
