import { isIP } from 'node:net';
import type { Config } from '../../config/schema.ts';
import type { Alert } from '../../domain/alert.ts';
import type { Containment, Resident } from '../../domain/containment.ts';
import type { NodePlace, Places, PodPlace } from '../../domain/metrics.ts';
import type { Subject } from '../gather.ts';
import { read, type TopOwner, topOwner } from '../topology/containment.ts';
import { instant, metricNames } from './ask.ts';
import type { Client, Failure } from './client.ts';
import { asRegex, type Matcher, selector } from './expression.ts';
import { placesText } from './words.ts';

type Mapping = Config['tocsin']['enrich']['topology']['containment'];

/** Pods and nodes looked up for one incident; a storm names more, and these show where it happens. */
const PODS = 20;
const NODES = 3;
/** Pods of incidents that come within this time are asked for together, ms and at most so many a request. */
const TOGETHER_MS = 20;
const BATCH = 100;
/** What is known of a pod is asked for again after this; a pod never moves, but its name may be gone. */
const POD_KEPT_MS = 5 * 60_000;
const PODS_KEPT = 5_000;
const FRESH_MS = 30_000;
const RESIDENTS = 8;

export type PlacesOf = (
  client: Client,
  subject: Subject,
  signal: AbortSignal,
) => Promise<{ places: Places | null; failure: Failure | null }>;

/**
 * Where the pods and nodes that an incident's alerts name belong: pod → workload → node, what else runs on a node, and
 * nodes that are not well. One request for the pods of all incidents of a moment; nothing where no alert names a pod or node,
 * or the server has no such metrics. `containment` is what the topology watch learned: it answers without a request.
 */
export function createPlaces(mapping: () => Mapping, containment: () => Containment): PlacesOf {
  const books = new WeakMap<Client, PodBook>();
  const bookOf = (client: Client): PodBook => {
    const known = books.get(client) ?? createPodBook(client, mapping);
    books.set(client, known);
    return known;
  };

  return async (client, subject, signal) => {
    const none = { places: null, failure: null };
    const known = containment();
    const named = namedIn(subject.alerts, (host) => (known.onNode(client.name, host)?.length ?? 0) > 0);
    if (named.pods.length + named.nodes.length + named.hosts.length === 0 || mapping().owners.length === 0) return none;
    const names = await metricNames(client, subject.now, signal);
    if (!names?.has(mapping().pods.metric)) return none;
    const { now } = subject;
    const [pods, behind] = await Promise.all([
      bookOf(client).find(named.pods, now, signal),
      nodesBehind(client, mapping(), named.hosts, { now, signal }),
    ]);
    let failure = pods.failure ?? behind.failure;
    const top = await ownersOf(client, mapping(), known, pods.found, { now, signal });
    const podPlaces = pods.found.map(({ namespace, pod, node, owner }): PodPlace => {
      const own = owner && top(owner);
      const workload = own && (known.find(client.name, own.namespace, own.kind, own.name) ?? { ...own, pods: null });
      return { namespace, pod, node, workload: workload && pick(workload) };
    });
    const nodes: NodePlace[] = [];
    for (const node of [...new Set([...named.nodes, ...behind.nodes])].slice(0, NODES)) {
      const residents = await residentsOf(client, mapping(), known, node, { now, signal });
      if ('ok' in residents) {
        failure ??= residents;
        continue;
      }
      if (residents.length > 0) nodes.push(shownNode(node, residents));
    }
    const touched = new Set([...podPlaces.map(({ node }) => node), ...nodes.map(({ node }) => node)]);
    const unwell = await unwellNodes(client, names, touched, { now, signal });
    if (podPlaces.length === 0 && nodes.length === 0) return { places: null, failure };
    const places = { pods: podPlaces, nodes, unwell };
    return { places: { ...places, text: placesText(places) }, failure };
  };
}

/**
 * What alerts name: pods, nodes, and the host of an `instance` where the alert is about no service or a node exporter's: an
 * address, or the name of a node.
 */
function namedIn(
  alerts: readonly Alert[],
  isNode: (host: string) => boolean,
): { pods: PodKey[]; nodes: string[]; hosts: string[] } {
  const pods = new Map<string, PodKey>();
  const nodes = new Set<string>();
  const hosts = new Set<string>();
  for (const { labels, namespace, service } of alerts) {
    const { pod, node, instance } = labels;
    if (pod && namespace !== null) pods.set(`${namespace}/${pod}`, { namespace, pod });
    else if (node) nodes.add(node);
    else if (instance && (service === null || labels.job?.includes('node'))) {
      const host = instance.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
      if (isNode(host)) nodes.add(host);
      else if (isIP(host) > 0) hosts.add(host);
    }
  }
  return {
    pods: [...pods.values()].slice(0, PODS),
    nodes: [...nodes].slice(0, NODES),
    hosts: [...hosts].slice(0, NODES),
  };
}

type PodKey = { namespace: string; pod: string };
type Owner = { namespace: string; kind: string; name: string };
type FoundPod = PodKey & { node: string | null; owner: Owner | null };
type How = { now: number; signal: AbortSignal };
type Found = { found: FoundPod[]; failure: Failure | null };
type PodBook = { find(pods: readonly PodKey[], now: number, signal: AbortSignal): Promise<Found> };

/** Remembers pods, and asks for those it does not know together with everyone else's. */
function createPodBook(client: Client, mapping: () => Mapping): PodBook {
  const known = new Map<string, { at: number; pod: FoundPod | null }>();
  let wanted = new Map<string, PodKey>();
  let asking: Promise<Failure | null> | null = null;

  const keyOf = ({ namespace, pod }: PodKey): string => `${namespace}/${pod}`;

  async function ask(now: number): Promise<Failure | null> {
    // In a replay time does not pass by waiting.
    if (client.live) await new Promise((go) => setTimeout(go, TOGETHER_MS));
    const all = [...wanted.values()];
    wanted = new Map();
    asking = null;
    let failure: Failure | null = null;
    for (let i = 0; i < all.length; i += BATCH) failure ??= await lookUp(all.slice(i, i + BATCH), now);
    return failure;
  }

  async function lookUp(batch: PodKey[], now: number): Promise<Failure | null> {
    const { pods } = mapping();
    const spaces = [...new Set(batch.map(({ namespace }) => namespace))];
    const matchers: Matcher[] = [
      { name: pods.namespace, op: '=~', value: spaces.map(asRegex).join('|') },
      { name: pods.pod, op: '=~', value: batch.map(({ pod }) => asRegex(pod)).join('|') },
    ];
    const got = await instant(client, selector(pods.metric, matchers), { now, maxAgeMs: FRESH_MS, weight: 'extra' });
    if (!got.ok) return got;
    for (const one of batch) known.set(keyOf(one), { at: now, pod: null });
    for (const { metric } of got.value) {
      const [namespace, pod] = [metric[pods.namespace] ?? '', metric[pods.pod] ?? ''];
      const owner = read(metric, pods.namespace, pods.kind, pods.owner);
      const key = keyOf({ namespace, pod });
      if (known.has(key)) known.set(key, { at: now, pod: { namespace, pod, node: metric[pods.node] || null, owner } });
    }
    for (const [oldest] of known) {
      if (known.size <= PODS_KEPT) break;
      known.delete(oldest);
    }
    return null;
  }

  return {
    async find(pods, now, signal) {
      const isKnown = (pod: PodKey): boolean => {
        const age = now - (known.get(keyOf(pod))?.at ?? Number.NEGATIVE_INFINITY);
        return age >= 0 && age <= POD_KEPT_MS;
      };
      let failure: Failure | null = null;
      const missing = pods.filter((pod) => !isKnown(pod));
      if (missing.length > 0) {
        for (const pod of missing) wanted.set(keyOf(pod), pod);
        asking ??= ask(now);
        failure = await untilAborted(asking, signal);
      }
      return { found: pods.flatMap((pod) => known.get(keyOf(pod))?.pod ?? []), failure };
    },
  };
}

async function untilAborted(asked: Promise<Failure | null>, signal: AbortSignal): Promise<Failure | null> {
  const late: Failure = { ok: false, kind: 'unanswered', reason: 'no answer in time' };
  if (signal.aborted) return late;
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve(late);
    signal.addEventListener('abort', onAbort, { once: true });
    asked.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** The nodes at these addresses. */
async function nodesBehind(
  client: Client,
  { pods }: Mapping,
  addresses: readonly string[],
  how: How,
): Promise<{ nodes: string[]; failure: Failure | null }> {
  if (addresses.length === 0) return { nodes: [], failure: null };
  const match = selector(pods.metric, [{ name: pods.host_ip, op: '=~', value: addresses.map(asRegex).join('|') }]);
  const got = await instant(client, `count by (${pods.node}) (${match})`, {
    ...how,
    maxAgeMs: FRESH_MS,
    weight: 'extra',
  });
  if (!got.ok) return { nodes: [], failure: got };
  return { nodes: got.value.flatMap(({ metric }) => metric[pods.node] ?? []), failure: null };
}

/** The topmost owners of what the pods are owned by; asked for only where the watch does not know the workload. */
async function ownersOf(
  client: Client,
  { owners }: Mapping,
  known: Containment,
  pods: readonly FoundPod[],
  how: How,
): Promise<TopOwner> {
  const children = new Map<string, Set<string>>();
  const byWatch = new Map<string, Owner>();
  for (const { namespace, pod, owner } of pods) {
    if (!owner) continue;
    const workload = known.workloadOf({ labels: { pod }, namespace });
    if (workload && owner.name.startsWith(workload.name)) byWatch.set(`${namespace}\n${owner.name}`, workload);
    else children.set(owner.kind, (children.get(owner.kind) ?? new Set()).add(owner.name));
  }
  const answers = await Promise.all(
    owners
      .filter(({ child }) => children.has(child))
      .map(async (owner) => {
        const value = [...children.get(owner.child)!].sort().map(asRegex).join('|');
        const query = selector(owner.metric, [{ name: owner.name, op: '=~', value }]);
        const got = await instant(client, query, { ...how, maxAgeMs: 10 * FRESH_MS, weight: 'extra' });
        return { owner, series: got.ok ? got.value : null };
      }),
  );
  const top = await topOwner(answers);
  return (of) => byWatch.get(`${of.namespace}\n${of.name}`) ?? top(of);
}

/** What runs on a node, most pods first. */
async function residentsOf(
  client: Client,
  { pods, owners }: Mapping,
  known: Containment,
  node: string,
  how: How,
): Promise<Resident[] | Failure> {
  const listed = known.onNode(client.name, node);
  if (listed) return listed;
  const by = `${pods.namespace}, ${pods.kind}, ${pods.owner}`;
  const query = `count by (${by}) (${selector(pods.metric, [{ name: pods.node, op: '=', value: node }])})`;
  const got = await instant(client, query, { ...how, maxAgeMs: FRESH_MS, weight: 'extra' });
  if (!got.ok) return got;
  // A node has some hundred pods: the name of a ReplicaSet tells its Deployment well enough here.
  const top = await topOwner(owners.map((owner) => ({ owner, series: null })));
  const residents = new Map<string, Resident>();
  for (const { metric, sample } of got.value) {
    const own = read(metric, pods.namespace, pods.kind, pods.owner);
    if (!own) continue;
    const owner = top(own);
    const key = `${owner.namespace}\n${owner.kind}\n${owner.name}`;
    const workload = known.find(client.name, owner.namespace, owner.kind, owner.name) ?? { ...owner, pods: 0 };
    const before = residents.get(key)?.pods ?? 0;
    residents.set(key, { workload, pods: before + (Number.isFinite(sample[1]) ? sample[1] : 0) });
  }
  return [...residents.values()].sort((a, b) => b.pods - a.pods);
}

/** A node with what it costs to lose it: workloads with the largest share of their pods there first. */
function shownNode(node: string, residents: readonly Resident[]): NodePlace {
  const share = ({ workload, pods }: Resident): number => (workload.pods > 0 ? pods / workload.pods : 0);
  // A DaemonSet runs on every node: that it runs on this one says nothing.
  const telling = residents.filter(({ workload }) => workload.kind !== 'DaemonSet');
  const ranked = [...telling].sort((a, b) => share(b) - share(a) || b.pods - a.pods);
  return {
    node,
    pods: residents.reduce((sum, { pods }) => sum + pods, 0),
    workloads: residents.length,
    hit: ranked.slice(0, RESIDENTS).map(({ workload, pods }) => ({ ...pick(workload), here: pods })),
  };
}

const pick = ({ namespace, kind, name, pods }: Owner & { pods: number | null }) => ({
  namespace,
  kind,
  name,
  pods: pods === 0 ? null : pods,
});

const CONDITIONS = 'kube_node_status_condition';

/** Conditions of these nodes that are not as they should be; asked once for everybody. */
async function unwellNodes(
  client: Client,
  names: ReadonlySet<string>,
  nodes: ReadonlySet<string | null>,
  how: How,
): Promise<Places['unwell']> {
  if (!names.has(CONDITIONS) || [...nodes].every((node) => node === null)) return [];
  const query = `${CONDITIONS}{condition="Ready",status="true"} == 0 or ${CONDITIONS}{condition!="Ready",status="true"} == 1`;
  const got = await instant(client, query, { ...how, maxAgeMs: 15_000, weight: 'extra' });
  if (!got.ok) return [];
  const unwell = got.value.flatMap(({ metric: { node, condition } }) =>
    node && condition && nodes.has(node) ? [{ node, condition: condition === 'Ready' ? 'NotReady' : condition }] : [],
  );
  return unwell
    .sort((a, b) => (`${a.node}\n${a.condition}` < `${b.node}\n${b.condition}` ? -1 : 1))
    .slice(0, 2 * NODES);
}
