import type { Place } from './features.ts';
import type { CorrelationModel } from './model.ts';
import type { ServiceGraph } from './types.ts';

/** Services in reach of one service, with the number of hops; at most this many are looked at, nearest first. */
const ballSize = 512;
/** Cached reach entries over all services; above it the cache is dropped whole (100,000 edges stay below 20 MB). */
const cacheSize = 200_000;

/**
 * How closely two spots are connected, 0..1: the same service is 1, a path in the service graph is worth less with each
 * hop (calls in either direction), `null` means that the graph does not know one of them.
 */
export type Connectivity = {
  of(a: Place, b: Place): number;
  /** Names of the services within reach of this one, itself included. */
  reach(service: string, namespace: string | null): ReadonlyMap<string, number>;
  onGraph(f: Place): boolean;
};

export function createConnectivity(graph: ServiceGraph, model: CorrelationModel['connectivity']): Connectivity {
  const balls = new Map<string, Map<string, number>>();
  let cached = 0;
  const maxHops = model.hops.length - 1;

  /**
   * Breadth first, both directions. Passing through a hub (more than `hubDegree` neighbours) costs a hop more: two services
   * that share nothing but the gateway are hardly related. The visited set makes cycles and any size harmless.
   */
  function reach(service: string, namespace: string | null): ReadonlyMap<string, number> {
    const key = `${namespace ?? ''}\n${service}`;
    const known = balls.get(key);
    if (known) return known;
    const ball = new Map<string, number>([[service, 0]]);
    let frontier: string[][] = [[service]];
    for (let hops = 0; hops < maxHops && ball.size < ballSize; hops += 1) {
      for (const name of frontier[hops] ?? []) {
        if (ball.get(name) !== hops) continue;
        const callees = graph.callees(name, namespace);
        const callers = graph.callers(name, namespace);
        const cost = name !== service && callees.length + callers.length > model.hubDegree ? 2 : 1;
        const next = hops + cost;
        if (next > maxHops) continue;
        frontier[next] ??= [];
        for (const list of [callees, callers]) {
          for (const neighbour of list) {
            if (ball.size >= ballSize) break;
            if ((ball.get(neighbour) ?? Infinity) <= next) continue;
            ball.set(neighbour, next);
            frontier[next]!.push(neighbour);
          }
        }
      }
    }
    frontier = [];
    if (cached > cacheSize) {
      balls.clear();
      cached = 0;
    }
    balls.set(key, ball);
    cached += ball.size;
    return ball;
  }

  /** A service that is listed without a single call is as good as unknown: who lists owners has not said who calls whom. */
  const known = (service: string, f: Place): boolean =>
    graph.callees(service, f.namespace).length > 0 || graph.callers(service, f.namespace).length > 0;
  const listed = new WeakMap<Place, boolean>();
  /** Asked of every pair of a cluster, so remembered: 20 % of what a storm over 200 unknown services cost. */
  function onGraph(f: Place): boolean {
    let found = listed.get(f);
    if (found === undefined) {
      found = f.service !== null && known(f.service, f);
      listed.set(f, found);
    }
    return found;
  }

  function hopsBetween(a: string, fa: Place, b: string, fb: Place): number {
    const sameNamespace = fa.namespace === fb.namespace || fa.namespace === null || fb.namespace === null;
    if (a === b) return sameNamespace ? 0 : Infinity;
    if (a === fa.service && !onGraph(fa)) return Infinity;
    const there = reach(a, fa.namespace).get(b) ?? Infinity;
    // Namespaces that differ are connected only by edges that both of them see, such as the catalogue's.
    return sameNamespace ? there : Math.max(there, reach(b, fb.namespace).get(a) ?? Infinity);
  }

  function of(a: Place, b: Place): number {
    if (a.tenant !== b.tenant) return 0;
    if (a.cluster !== null && b.cluster !== null && a.cluster !== b.cluster) return 0;
    if (a.spot === b.spot) return 1;
    let value = a.host !== null && a.host === b.host ? model.host : 0;
    if (a.service !== null && b.service !== null) {
      let hops = hopsBetween(a.service, a, b.service, b);
      if (b.destination !== null) hops = Math.min(hops, hopsBetween(a.service, a, b.destination, b));
      if (a.destination !== null) {
        hops = Math.min(hops, hopsBetween(a.destination, a, b.service, b));
        if (b.destination !== null) hops = Math.min(hops, hopsBetween(a.destination, a, b.destination, b));
      }
      if (hops <= maxHops) return Math.max(value, model.hops[hops]!);
      if (onGraph(a) && onGraph(b)) return value;
      if (siteShared(a, b)) value = Math.max(value, model.unknown);
      return value;
    }
    // Without a service on either side: the same host or instance, or the same rule in the same known site or from the same
    // group; never strangers.
    if (a.nameless === null || b.nameless === null) return value;
    if (value > 0) return 1;
    const { alertname, group } = a.nameless;
    const together = siteShared(a, b) || (group !== null && group === b.nameless.group);
    return alertname === b.nameless.alertname && together ? model.unknown : 0;
  }

  return { of, reach, onGraph };
}

/** Both say where they are, and it is the same place. */
function siteShared(a: Place, b: Place): boolean {
  return a.site === b.site && (a.namespace !== null || a.cluster !== null);
}
