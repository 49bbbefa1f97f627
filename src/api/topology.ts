import type { Config, Provenance, Service } from '../config/schema.ts';
import type { ServiceGraph } from '../correlate/types.ts';
import type { ClusterContainment } from '../domain/containment.ts';
import { type Severity, worse } from '../domain/severity.ts';
import { edgeKey, type LearnedEdge } from '../enrich/topology/edges.ts';
import type { TopologyAnswer } from './schemas.ts';

/** So many workloads of a cluster are listed, each with so many nodes: those that alert first, then the largest. */
const WORKLOADS = 1_000;
const NODES = 20;

type Firing = { service: string; namespace: string | null; firing: number; worst: string };

/**
 * The service graph as it is used now, with what the catalogue knows of each service and how many alerts fire there; and
 * what the catalogue does not know. `facts` are the catalogue's, each with its source. An edge's `source` is `config` when
 * the catalogue declares it, else `learned`; what metrics say of it (`learned`) gives weight and age. `contained` says which
 * pods run where. Workloads are no services: they are no part of the drift. `now` in epoch ms.
 */
export function topologyView(
  config: Config,
  graph: ServiceGraph,
  firing: readonly Firing[],
  learned: readonly LearnedEdge[],
  contained: readonly ClusterContainment[],
  now: number,
): TopologyAnswer {
  const { services } = config.business;
  const nodes = new Map<string, TopologyAnswer['nodes'][number]>();
  const nodeOf = (service: string, namespace: string | null) => {
    const key = `${namespace ?? ''}/${service}`;
    const known = Object.hasOwn(services, service) ? services[service] : undefined;
    const node = nodes.get(key) ?? {
      namespace,
      service,
      owner: known?.owner ?? null,
      tier: known?.tier ?? null,
      catalogued: known !== undefined,
      firing: 0,
      worstSeverity: null,
      facts: known ? factsOf(known, config.provenance[service] ?? {}) : {},
    };
    nodes.set(key, node);
    return node;
  };
  for (const { service, namespace } of graph.nodes()) nodeOf(service, namespace);
  for (const { caller, callee, namespace } of learned) {
    nodeOf(caller, namespace);
    nodeOf(callee, namespace);
  }
  for (const service of Object.keys(services)) nodeOf(service, null);
  for (const one of firing) {
    // An alert's namespace says more than the catalogue does: it lands on the plain node unless the graph knows it there.
    const exact = nodes.has(`${one.namespace ?? ''}/${one.service}`);
    const plain = nodes.has(`/${one.service}`);
    const node = nodeOf(one.service, exact || !plain ? one.namespace : null);
    node.firing += one.firing;
    node.worstSeverity = node.worstSeverity
      ? worse(node.worstSeverity, one.worst as Severity)
      : (one.worst as Severity);
  }

  const pair = ({ caller, callee }: { caller: string; callee: string }): string => `${caller}\n${callee}`;
  const declared = new Map<string, { caller: string; callee: string }>();
  for (const [caller, entry] of Object.entries(services)) {
    for (const callee of entry.depends_on) declared.set(pair({ caller, callee }), { caller, callee });
  }
  const seen = new Map(learned.map((edge) => [edgeKey(edge), edge]));
  const seenPairs = new Map(learned.map((edge) => [pair(edge), edge]));
  const edges = new Map([...graph.edges(), ...learned].map((edge) => [edgeKey(edge), edge]));
  const uncatalogued = (names: Iterable<string>): string[] =>
    [...new Set(names)].filter((name) => !Object.hasOwn(services, name)).sort();
  return {
    nodes: [...nodes.values()],
    edges: [...edges.values()].map(({ namespace, caller, callee }) => {
      // The catalogue names no namespace: its edge has the traffic of whichever namespace the two meet in.
      const traffic = seen.get(edgeKey({ namespace, caller, callee })) ?? seenPairs.get(pair({ caller, callee }));
      return {
        namespace,
        caller,
        callee,
        source: declared.has(pair({ caller, callee })) ? 'config' : 'learned',
        seenBy: traffic?.source ?? null,
        requestsPerSecond: traffic?.weight ?? null,
        lastSeenSecondsAgo: traffic ? Math.max(0, Math.round((now - traffic.lastSeenAt) / 1000)) : null,
      };
    }),
    containment: contained.map((cluster) => clusterView(cluster, new Set(firing.map(({ service }) => service)), now)),
    drift: {
      alertingNotCatalogued: uncatalogued(firing.map((one) => one.service)),
      declaredNotCatalogued: uncatalogued(Object.values(services).flatMap((entry) => entry.depends_on)),
      // Without any traffic seen nothing can be said of what is missing in it.
      declaredNeverSeen:
        learned.length === 0 ? [] : [...declared].filter(([key]) => !seenPairs.has(key)).map(([, edge]) => edge),
      seenNotDeclared: [...seenPairs]
        .filter(([key]) => !declared.has(key))
        .map(([, { caller, callee }]) => ({ caller, callee })),
    },
  };
}

function clusterView(
  { server, workloads, onNodes, seenAt }: ClusterContainment,
  alerting: ReadonlySet<string>,
  now: number,
): TopologyAnswer['containment'][number] {
  const nodes = new Map<number, { node: string; pods: number }[]>();
  for (const [node, at, pods] of onNodes ?? []) {
    const known = nodes.get(at);
    if (known) known.push({ node, pods });
    else nodes.set(at, [{ node, pods }]);
  }
  const listed = workloads
    .map((workload, at) => ({ workload, at }))
    .sort((a, b) => Number(alerting.has(b.workload.name)) - Number(alerting.has(a.workload.name)))
    .slice(0, WORKLOADS);
  return {
    server,
    seenSecondsAgo: Math.max(0, Math.round((now - seenAt) / 1000)),
    pods: workloads.reduce((sum, { pods }) => sum + pods, 0),
    nodes: onNodes === null ? null : new Set(onNodes.map(([node]) => node)).size,
    workloads: listed.map(({ workload, at }) => ({
      ...workload,
      alerting: alerting.has(workload.name),
      nodes:
        onNodes === null
          ? null
          : [...(nodes.get(at) ?? [])].sort((a, b) => b.pods - a.pods || (a.node < b.node ? -1 : 1)).slice(0, NODES),
    })),
    omittedWorkloads: workloads.length - listed.length,
  };
}

const factsOf = (service: Service, origin: Provenance[string]): TopologyAnswer['nodes'][number]['facts'] =>
  Object.fromEntries(
    Object.entries(origin).map(([field, { source, from }]) => [
      field,
      { value: service[field as keyof Service], source, from },
    ]),
  );
