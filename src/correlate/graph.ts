import type { Topology } from '../domain/topology.ts';
import type { ServiceGraph } from './types.ts';

type Edge = { namespace: string | null; caller: string; callee: string };

const nowhere: readonly string[] = [];

/** Both a name within one namespace (`ns/service`) and the name alone (any namespace) are looked up by one string. */
const inside = (namespace: string | null, service: string): string => `${namespace ?? ''}\n${service}`;
const anywhere = (service: string): string => `*\n${service}`;

/**
 * The service graph from a topology file, the catalogue's `depends_on` or both, edges from caller to callee.
 *
 * A node without a namespace is known in every namespace, and a question without a namespace is answered from all of
 * them. Self-loops are dropped (a service that calls itself explains nothing), repeated edges count once, cycles are
 * kept: everyone who walks the graph keeps a visited set. 100,000 edges take well under a second.
 */
export function buildGraph(topology: Pick<Topology, 'edges'> & Partial<Pick<Topology, 'nodes'>>): ServiceGraph {
  const callees = new Map<string, Set<string>>();
  const callers = new Map<string, Set<string>>();
  const known = new Set<string>();
  const nodes = new Map<string, { namespace: string | null; service: string }>();
  const edges = new Map<string, Edge>();

  const addNode = (namespace: string | null, service: string): void => {
    known.add(inside(namespace, service)).add(anywhere(service));
    const key = inside(namespace, service);
    if (!nodes.has(key)) nodes.set(key, { namespace, service });
  };
  for (const node of topology.nodes ?? []) addNode(node.namespace ?? null, node.service);
  for (const edge of topology.edges) {
    const namespace = edge.namespace ?? null;
    addNode(namespace, edge.caller);
    addNode(namespace, edge.callee);
    if (edge.caller === edge.callee) continue;
    edges.set(`${inside(namespace, edge.caller)}\n${edge.callee}`, {
      namespace,
      caller: edge.caller,
      callee: edge.callee,
    });
    add(callees, inside(namespace, edge.caller), edge.callee);
    add(callees, anywhere(edge.caller), edge.callee);
    add(callers, inside(namespace, edge.callee), edge.caller);
    add(callers, anywhere(edge.callee), edge.caller);
  }

  const lists = { callees: new Map<string, readonly string[]>(), callers: new Map<string, readonly string[]>() };
  const neighbours =
    (table: Map<string, Set<string>>, cache: Map<string, readonly string[]>) =>
    (service: string, namespace: string | null): readonly string[] => {
      const key = namespace === null ? anywhere(service) : inside(namespace, service);
      const cached = cache.get(key);
      if (cached) return cached;
      const own = table.get(key);
      const shared = namespace === null ? undefined : table.get(inside(null, service));
      if (!own && !shared) return nowhere;
      const list = [...new Set([...(own ?? []), ...(shared ?? [])])];
      cache.set(key, list);
      return list;
    };
  const edgeList = [...edges.values()];
  const nodeList = [...nodes.values()];
  return {
    callees: neighbours(callees, lists.callees),
    callers: neighbours(callers, lists.callers),
    has: (service, namespace) =>
      namespace === null
        ? known.has(anywhere(service))
        : known.has(inside(namespace, service)) || known.has(inside(null, service)),
    edges: () => edgeList,
    nodes: () => nodeList,
  };
}

function add(table: Map<string, Set<string>>, key: string, value: string): void {
  const set = table.get(key);
  if (set) set.add(value);
  else table.set(key, new Set([value]));
}

/** A graph that knows nothing: every question is answered with "unknown", which is neutral evidence. */
export const emptyGraph = (): ServiceGraph => buildGraph({ nodes: [], edges: [] });
