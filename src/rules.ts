import type { Models } from './config/models.ts';
import type { Config } from './config/schema.ts';
import { buildGraph } from './correlate/graph.ts';
import type { ServiceGraph } from './correlate/types.ts';
import { compilePolicy, type Policy } from './decide/policy.ts';
import type { Topology } from './domain/topology.ts';
import type { LiveIncident } from './domain/world.ts';
import { resolveNotify } from './escalate/resolve-notify.ts';
import type { TimerRules } from './escalate/timers.ts';
import type { TakeInRules } from './receive/take-in.ts';
import { type RouteResult, route } from './route/route.ts';

/** The config tree and the fitted models, compiled once for the engine; a reload makes a new one. */
export type Rules = Omit<TakeInRules, 'serviceByPlace'> & {
  config: Config;
  policy: Policy;
  models: Models;
  graph: ServiceGraph;
  windowMs: number;
  /** What the clocks need to reach people. */
  timers(): TimerRules;
  /** The route of an incident as it stands, for its own labels, suspect and impact. */
  routeOf(incident: LiveIncident): RouteResult;
};

/** The call graph of the business context: `depends_on` says who calls whom. Namespaces are not declared there. */
export const declaredTopology = (config: Config): Topology => ({
  nodes: Object.keys(config.business.services).map((service) => ({ service, namespace: null })),
  edges: Object.entries(config.business.services).flatMap(([caller, { depends_on }]) =>
    depends_on.map((callee) => ({ caller, callee, namespace: null })),
  ),
});

/**
 * Compiles everything. `topology` replaces the declared graph (`replay --topology`) or adds to it; `assumeSecrets` takes every
 * referenced secret as set, so that a replay says the same on every machine.
 */
export function compileRules(
  config: Config,
  models: Models,
  options: { topology?: Topology | null; assumeSecrets?: boolean } = {},
): Rules {
  const policy = compilePolicy(config, { assumeSecrets: options.assumeSecrets ?? false });
  const declared = declaredTopology(config);
  const graph = buildGraph({
    nodes: [...declared.nodes, ...(options.topology?.nodes ?? [])],
    edges: [...declared.edges, ...(options.topology?.edges ?? [])],
  });
  const { correlate, alerts } = config.tocsin;

  function routeOf(incident: LiveIncident): RouteResult {
    const { doc, state } = incident;
    const assigned = state.assignee && 'team' in state.assignee ? state.assignee.team : (state.declared?.team ?? null);
    const suspect = doc?.rootCauses[0]?.service ?? doc?.lead.service ?? state.declared?.service ?? null;
    const weighed = doc ? { weighed: { severity: doc.severity, priority: doc.priority, impact: doc.impact } } : {};
    return route({ labels: doc?.lead.labels ?? {}, service: suspect, assignedTeam: assigned, ...weighed }, policy);
  }

  const timers = (): TimerRules => ({
    routing: config.routing,
    reach(incident, notify, now) {
      const routed = routeOf(incident);
      return resolveNotify(notify, {
        team: incident.doc?.team ?? routed.primaryTeam,
        routeChannels: routed.channels,
        addresses: policy.routing.addresses,
        schedules: config.routing.schedules,
        now,
        // Every step that comes due is later than the first notification, so whom impact adds is told too.
        extra: routed.impactTeams,
      });
    },
    fallback: (incident) => routeOf(incident).fallback,
  });

  return {
    config,
    policy,
    models,
    graph,
    windowMs: correlate.window,
    reopenMs: correlate.reopen,
    staleAfterMs: alerts.stale_after,
    heartbeats: policy.heartbeats.map(({ matchers, within, name }) => ({ match: matchers, within, name })),
    timers,
    routeOf,
  };
}
