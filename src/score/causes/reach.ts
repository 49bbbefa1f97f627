import type { ServiceGraph } from '../../correlate/types.ts';

/** Services met on one walk, nearest first; beyond this a service explains nothing that a reader would believe. */
const mostServices = 256;
/** Calls looked at on one walk: a hub with 100,000 callers costs no more than a plain service. */
const mostCalls = 1000;

/** Who reaches whom through calls, each walk done once. A service is known by its name within a namespace. */
export type Reach = {
  /** Services that this one calls, directly or through others, with the number of hops. */
  down(service: string, namespace: string | null): ReadonlyMap<string, number>;
  /** Services that call this one, directly or through others, with the number of hops. */
  up(service: string, namespace: string | null): ReadonlyMap<string, number>;
};

/** Walks are bounded and cycles are walked once, so that any graph may come. */
export function createReach(graph: ServiceGraph): Reach {
  const walks = {
    down: new Map<string, ReadonlyMap<string, number>>(),
    up: new Map<string, ReadonlyMap<string, number>>(),
  };
  const walked = (way: 'down' | 'up', service: string, namespace: string | null): ReadonlyMap<string, number> => {
    const key = `${namespace ?? ''}\n${service}`;
    let known = walks[way].get(key);
    if (!known) {
      const next = way === 'down' ? graph.callees : graph.callers;
      known = walk(next, service, namespace);
      walks[way].set(key, known);
    }
    return known;
  };
  return {
    down: (service, namespace) => walked('down', service, namespace),
    up: (service, namespace) => walked('up', service, namespace),
  };
}

function walk(next: ServiceGraph['callees'], from: string, namespace: string | null): Map<string, number> {
  const hops = new Map<string, number>([[from, 0]]);
  let calls = 0;
  for (const [service, hop] of hops) {
    if (hops.size >= mostServices || calls >= mostCalls) break;
    for (const other of next(service, namespace)) {
      calls += 1;
      if (hops.size >= mostServices || calls >= mostCalls) break;
      if (!hops.has(other)) hops.set(other, hop + 1);
    }
  }
  hops.delete(from);
  return hops;
}
