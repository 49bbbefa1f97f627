import type { ServiceGraph } from '../../correlate/types.ts';

/**
 * Names that say that a service only stands before another one: balancers, proxies and what tracing calls a remote. They are
 * slow and fail because of what is behind them.
 */
const standsBefore =
  /(^|[^a-z])(elb|alb|nlb|lb|load-?balancer|remote|proxy|haproxy|envoy|sidecar|ingress|vip)([^a-z]|$)/i;

export const isProxy = (service: string): boolean => standsBefore.test(service);

/** A shorter part of a name is found in other names by chance. */
const shortestPart = 5;
/** A part of a name that more services around share says what system it is, not which service. */
const mostNamesakes = 3;
const mostProxies = 200;
/** Neighbours looked at for one proxy. */
const mostNeighbours = 400;

/**
 * The services that a proxy stands before, by name: siblings (called by the same callers, or by what those call) that call
 * something themselves and share a part of the name, of at least five letters, which hardly any other neighbour has. The
 * graph seldom has the edge: the caller sees the balancer, the trace sees the service.
 */
function behind(proxy: string, namespace: string | null, graph: ServiceGraph): string[] {
  const parts = proxy
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((part) => part.length >= shortestPart && !isProxy(part));
  if (parts.length === 0) return [];
  const near = new Set<string>();
  for (const caller of graph.callers(proxy, namespace).slice(0, 20)) {
    for (const sibling of graph.callees(caller, namespace)) {
      if (near.size >= mostNeighbours) break;
      if (sibling !== proxy) near.add(sibling);
    }
  }
  const names = [...near].filter((name) => !isProxy(name));
  for (const part of parts) {
    const namesakes = names.filter((name) => name.toLowerCase().includes(part));
    if (namesakes.length === 0 || namesakes.length > mostNamesakes) continue;
    const working = namesakes.filter((name) => graph.callees(name, namespace).length > 0);
    if (working.length > 0) return working;
  }
  return [];
}

/** The graph with the calls that names give away: from each of these proxies to what it stands before. */
export function withProxies(
  graph: ServiceGraph,
  services: Iterable<{ service: string; namespace: string | null }>,
): ServiceGraph {
  const down = new Map<string, string[]>();
  const up = new Map<string, string[]>();
  const keyOf = (service: string, namespace: string | null): string => `${namespace ?? ''}\n${service}`;
  for (const { service, namespace } of services) {
    const key = keyOf(service, namespace);
    if (down.has(key) || !isProxy(service)) continue;
    if (down.size >= mostProxies) break;
    const known = graph.callees(service, namespace);
    const hidden = known.length > 0 ? [] : behind(service, namespace, graph);
    down.set(key, hidden);
    for (const name of hidden) up.set(keyOf(name, namespace), [...(up.get(keyOf(name, namespace)) ?? []), service]);
  }
  if (up.size === 0) return graph;
  const joined = (list: readonly string[], more: readonly string[] | undefined): readonly string[] =>
    more && more.length > 0 ? [...list, ...more] : list;
  return {
    ...graph,
    callees: (service, namespace) => joined(graph.callees(service, namespace), down.get(keyOf(service, namespace))),
    callers: (service, namespace) => joined(graph.callers(service, namespace), up.get(keyOf(service, namespace))),
  };
}
