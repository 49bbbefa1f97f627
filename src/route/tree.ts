import type { Config, Route } from '../config/schema.ts';
import { compileByImpact, type ImpactRouting } from './by-impact.ts';
import { type CompiledMatchers, compileMatchers } from './matchers.ts';
import { type AddressBook, addressBook } from './targets.ts';

/** A node of the routing tree with everything it inherits written out. */
export type RouteNode = {
  matchers: CompiledMatchers;
  team: string | null;
  /** The team of what neither the route, a label nor the catalogue gives to anybody. */
  unownedTeam: string | null;
  channels: readonly string[];
  escalation: string | null;
  goesOn: boolean;
  children: readonly RouteNode[];
  /** Where it stands in routing.yaml and what it matches, from the root down: `routes`, `routes[1] service=~"pay.*"`. */
  path: readonly string[];
};

export type EscalationPolicies = Config['routing']['escalation_policies'];

export type RoutingPolicy = {
  root: RouteNode;
  defaultTeam: string;
  addresses: AddressBook;
  byImpact: ImpactRouting;
  escalation: EscalationPolicies;
};

/** Compiles routing.yaml once. `assumeSecrets` as in `channelOff`. Throws on a matcher that `check` refuses. */
export function compileRouting(config: Config, assumeSecrets: boolean): RoutingPolicy {
  const { default_team, channels, escalation, routes } = config.routing.routes;
  const root: RouteNode = {
    matchers: compileMatchers([]),
    team: null,
    unownedTeam: null,
    channels,
    escalation: escalation ?? null,
    goesOn: false,
    children: [],
    path: ['routes'],
  };
  return {
    root: { ...root, children: compileChildren(routes, root, '') },
    defaultTeam: default_team,
    addresses: addressBook(config, assumeSecrets),
    byImpact: compileByImpact(config.routing),
    escalation: config.routing.escalation_policies,
  };
}

function compileChildren(routes: readonly Route[], parent: RouteNode, prefix: string): RouteNode[] {
  return routes.map((route, i) => {
    const place = `${prefix}routes[${i}]`;
    const matchers = compileMatchers(route.match);
    const node: RouteNode = {
      matchers,
      team: route.team ?? parent.team,
      unownedTeam: route.unowned_team ?? parent.unownedTeam,
      channels: route.channels ?? parent.channels,
      escalation: route.escalation ?? parent.escalation,
      goesOn: route.continue,
      children: [],
      path: [...parent.path, `${place} ${matchers.text}`],
    };
    return { ...node, children: compileChildren(route.routes, node, `${place}.`) };
  });
}
