import type { Config } from '../../config/schema.ts';
import type { ClusterContainment, Workload } from '../../domain/containment.ts';
import type { SeriesLabels, VectorSeries } from '../prometheus/answers.ts';
import { quoted, selector } from '../prometheus/expression.ts';
import { eachInTurn } from '../turns.ts';

export type ContainmentMapping = Config['tocsin']['enrich']['topology']['containment'];
type OwnerMapping = ContainmentMapping['owners'][number];
type Key = { namespace: string; kind: string; name: string };

/** More workloads than this are cut, those with the fewest pods first; so are more pairs of workload and node. */
const MOST_WORKLOADS = 20_000;
const MOST_PAIRS = 20_000;
/** What a server said is used so long after it said it last: what ran on a node yesterday explains nothing today. */
const FORGET_MS = 24 * 3_600_000;
/** Owners of owners: Pod, ReplicaSet, Deployment, and whatever a custom resource puts above. */
const DEEPEST = 5;

const nobody = new Set(['', '<none>']);
/** The kubelet's own pods are said to be made by their node. */
const noWorkload = new Set(['', '<none>', 'Node']);
const podOwner = (owners: readonly OwnerMapping[]): OwnerMapping | undefined =>
  owners.find(({ child }) => child === 'Pod');
const owned = (owner: OwnerMapping): string =>
  selector(owner.metric, [{ name: owner.owner, op: '!~', value: '|<none>' }]);

/**
 * The questions of one look, each aggregated by the server: 50,000 pods come as their some thousand workloads. Owners that
 * own nothing any more (ten old ReplicaSets a Deployment) are left out by asking only for those of pods.
 */
export function containmentQueries({ pods, owners }: ContainmentMapping): {
  ofPods: string | null;
  ofOthers: { owner: OwnerMapping; query: string }[];
  onNodes: string;
} {
  const ofPod = podOwner(owners);
  const counted = ofPod && `count by (${ofPod.namespace}, ${ofPod.kind}, ${ofPod.owner}) (${owned(ofPod)})`;
  return {
    ofPods: counted ?? null,
    ofOthers: owners
      .filter(({ child }) => child !== 'Pod')
      .map((owner) => {
        const by = [owner.namespace, owner.name, owner.kind, owner.owner].join(', ');
        const all = `max by (${by}) (${owned(owner)})`;
        if (!ofPod) return { owner, query: all };
        const matching = selector(ofPod.metric, [{ name: ofPod.kind, op: '=', value: owner.child }]);
        const alive = `label_replace(count by (${ofPod.namespace}, ${ofPod.owner}) (${matching}), ${quoted(owner.name)}, "$1", ${quoted(ofPod.owner)}, "(.+)")`;
        // The two metrics may name the namespace differently; then the name alone has to do.
        const on = ofPod.namespace === owner.namespace ? `${owner.namespace}, ${owner.name}` : owner.name;
        return { owner, query: `${all} and on (${on}) ${alive}` };
      }),
    onNodes: `count by (${pods.namespace}, ${pods.node}, ${pods.kind}, ${pods.owner}) (${selector(pods.metric, [
      { name: pods.node, op: '!=', value: '' },
    ])})`,
  };
}

/** What a server answered; null where it did not. */
export type ContainmentAnswers = {
  ofPods: VectorSeries[] | null;
  ofOthers: { owner: OwnerMapping; series: VectorSeries[] | null }[];
  onNodes: VectorSeries[] | null;
};

const keyOf = ({ namespace, kind, name }: Key): string => `${namespace}\n${kind}\n${name}`;

/** From what owns what, the topmost owner of anything. */
export type TopOwner = (of: Key) => Key;

/** `owners` by child; a ReplicaSet whose owner could not be asked for is taken to be its Deployment's, by its name. */
export async function topOwner(answers: ContainmentAnswers['ofOthers']): Promise<TopOwner> {
  const above = new Map<string, Key>();
  const unasked = new Set<string>();
  for (const { owner, series } of answers) {
    if (series === null) unasked.add(owner.child);
    await eachInTurn(series ?? [], ({ metric }) => {
      const named = read(metric, owner.namespace, owner.kind, owner.owner);
      const name = metric[owner.name];
      if (named && name) above.set(keyOf({ namespace: named.namespace, kind: owner.child, name }), named);
    });
  }
  return (of) => {
    let top = of;
    for (let depth = 0; depth < DEEPEST; depth += 1) {
      const next = above.get(keyOf(top));
      if (!next) break;
      top = next;
    }
    if (top.kind !== 'ReplicaSet' || !unasked.has('ReplicaSet')) return top;
    const name = /^(.+)-[bcdfghjklmnpqrstvwxz2456789]{5,10}$/.exec(top.name)?.[1];
    return name ? { ...top, kind: 'Deployment', name } : top;
  };
}

/** The owner that a series names, if it names one. */
export function read(metric: SeriesLabels, namespace: string, kind: string, owner: string): Key | null {
  const name = metric[owner] ?? '';
  const found = { namespace: metric[namespace] ?? '', kind: metric[kind] ?? '', name };
  return nobody.has(name) || noWorkload.has(found.kind) || found.namespace === '' ? null : found;
}

/** What one server's answers say, or null when they say nothing. 8,000 workloads take some 60 ms, so it goes turn by turn. */
export async function containmentIn(
  answers: ContainmentAnswers,
  { pods, owners }: ContainmentMapping,
  server: { name: string; match?: Record<string, string> | undefined },
  now: number,
): Promise<ClusterContainment | null> {
  const top = await topOwner(answers.ofOthers);
  const onNodes = await pairsIn(answers.onNodes ?? [], pods, top);
  const workloads = new Map<string, Workload>();
  const add = (key: Key, count: number): void => {
    const id = keyOf(key);
    const workload = workloads.get(id);
    if (workload) workload.pods += count;
    else workloads.set(id, { namespace: key.namespace, kind: key.kind, name: key.name, pods: count });
  };
  const ofPod = podOwner(owners);
  await eachInTurn(answers.ofPods ?? [], ({ metric, sample }) => {
    const own = ofPod ? read(metric, ofPod.namespace, ofPod.kind, ofPod.owner) : null;
    if (own) add(top(own), count(sample[1]));
  });
  // Without kube_pod_owner the pods' own word has to do.
  if (workloads.size === 0) for (const { key, pods: on } of onNodes) add(key, on);
  if (workloads.size === 0) return null;
  const listed = [...workloads]
    .sort(([a, { pods: x }], [b, { pods: y }]) => y - x || (a < b ? -1 : 1))
    .slice(0, MOST_WORKLOADS);
  const at = new Map(listed.map(([id], i) => [id, i]));
  const pairs = onNodes.flatMap(({ node, key, pods: on }): [string, number, number][] => {
    const i = at.get(keyOf(key));
    return i === undefined ? [] : [[node, i, on]];
  });
  return {
    server: server.name,
    match: server.match ?? {},
    workloads: listed.map(([, workload]) => workload),
    onNodes: answers.onNodes === null || pairs.length > MOST_PAIRS ? null : pairs,
    seenAt: now,
  };
}

async function pairsIn(
  series: readonly VectorSeries[],
  pods: ContainmentMapping['pods'],
  top: TopOwner,
): Promise<{ node: string; key: Key; pods: number }[]> {
  const pairs = new Map<string, { node: string; key: Key; pods: number }>();
  await eachInTurn(series, ({ metric, sample }) => {
    const own = read(metric, pods.namespace, pods.kind, pods.owner);
    const node = metric[pods.node];
    if (!own || !node) return;
    const key = top(own);
    const id = `${node}\n${keyOf(key)}`;
    const pair = pairs.get(id);
    if (pair) pair.pods += count(sample[1]);
    else pairs.set(id, { node, key, pods: count(sample[1]) });
  });
  return [...pairs.values()];
}

const count = (value: number): number => (Number.isFinite(value) && value > 0 ? Math.round(value) : 0);

/** What is known after a look: answers replace what their server said before, silence keeps it for a day. */
export function learnContainment(
  known: readonly ClusterContainment[],
  seen: readonly ClusterContainment[],
  now: number,
): ClusterContainment[] {
  const fresh = new Set(seen.map(({ server }) => server));
  const kept = known.filter(({ server, seenAt }) => !fresh.has(server) && now - seenAt <= FORGET_MS);
  return [...kept, ...seen].sort((a, b) => (a.server < b.server ? -1 : 1));
}
