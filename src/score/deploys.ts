import type { ServiceGraph } from '../correlate/types.ts';
import type { Deploy } from '../domain/deploy.ts';
import type { IncidentDeploy } from '../domain/incident.ts';

/** How far back a deploy is looked at, and how fast its suspicion fades. Gandalf (NSDI'20) looks at an hour for fast rollouts. */
const WINDOW_MS = 60 * 60_000;
const HALF_LIFE_MS = 20 * 60_000;
/** Onsets are known to about the rule's evaluation interval; a deploy so little later may still be the cause. */
const JITTER_MS = 60_000;
/** What a deploy of a called service, or one two calls away, counts against one of the alerting service itself. */
const BY_HOPS = [1, 0.7, 0.4];
const SHOWN = 5;

/**
 * The deploys that may have to do with an incident, most suspicious first: time before onset with decay, times distance in
 * the service graph (an alerting service and what it calls, two calls deep). `suspicion` is 0..1, a weight and not a
 * probability.
 */
export function suspectDeploys(
  deploys: readonly Deploy[],
  services: readonly { service: string; namespace: string | null }[],
  graph: ServiceGraph,
  startedAt: number,
): IncidentDeploy[] {
  const hops = new Map<string, number>();
  let frontier = services.map((s) => ({ ...s }));
  for (let hop = 0; hop < BY_HOPS.length && frontier.length > 0; hop += 1) {
    const next: typeof frontier = [];
    for (const { service, namespace } of frontier) {
      const key = service.toLowerCase();
      if (hops.has(key)) continue;
      hops.set(key, hop);
      for (const callee of graph.callees(service, namespace)) next.push({ service: callee, namespace });
    }
    frontier = next;
  }
  const found: IncidentDeploy[] = [];
  for (const deploy of deploys) {
    const lead = startedAt - deploy.startedAt;
    if (lead < -JITTER_MS || lead > WINDOW_MS) continue;
    const hop = hops.get(deploy.service.toLowerCase());
    if (hop === undefined) continue;
    const suspicion = BY_HOPS[hop]! * 2 ** (-Math.max(0, lead) / HALF_LIFE_MS);
    found.push({
      id: deploy.id,
      service: deploy.service,
      version: deploy.version,
      previousVersion: deploy.previousVersion,
      startedAt: new Date(deploy.startedAt).toISOString(),
      author: deploy.author,
      commit: deploy.commit,
      url: deploy.url,
      rollback: deploy.rollback,
      leadSeconds: Math.round(lead / 1000),
      suspicion: Math.round(suspicion * 1000) / 1000,
    });
  }
  return found.sort((a, b) => b.suspicion - a.suspicion || (a.id < b.id ? -1 : 1)).slice(0, SHOWN);
}
