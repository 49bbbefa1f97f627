import type { Labels } from '../domain/alert.ts';
import type { Routing } from '../domain/incident.ts';
import type { Target } from '../domain/notification.ts';
import { byImpact, type Weighed } from './by-impact.ts';
import { logTarget, targetLabel, targetsOf, type Unusable, union } from './targets.ts';
import type { RouteNode, RoutingPolicy } from './tree.ts';

/** What a route is chosen by. */
export type RouteInput = {
  /** The lead alert's labels, as sent; none for an incident declared by hand. */
  labels: Labels;
  /** The suspected service: the top root cause's, else the lead's. */
  service: string | null;
  /** A person assigned the incident to this team, or declared it for this team; wins over the tree. */
  assignedTeam?: string | null;
  /** For `by_impact`; left out (as by `routes test`) nobody is added. */
  weighed?: Weighed;
};

export type RouteResult = {
  primaryTeam: string;
  /** What named the team, in the contract's order of precedence. */
  teamFrom: 'assigned' | 'route' | 'label' | 'owner' | 'unowned' | 'default';
  /** True when neither the route nor a label nor the catalogue names a configured team. */
  unknownOwner: boolean;
  /** Who gets the first message; never empty. */
  targets: Target[];
  /** Where a message goes in turn when its target keeps failing: the first of these not told already, at last `log`. */
  fallback: Target[];
  /** The first route's channels, for the `team` of an escalation step. */
  channels: string[];
  escalationPolicy: string | null;
  /** Whom impact adds from the escalation's second step on, as words of a step: `team:sre`, `schedule:secondary`. */
  impactTeams: string[];
  /** Teams told after the first step, the policy's and impact's, for people to see; a schedule or person with its kind. */
  escalationTeams: string[];
  /** Minutes from the first notification to the policy's next step as impact shortens it; null when there is none. */
  autoEscalateMinutes: number | null;
  /** The matching nodes from the root down, route by route. */
  path: string[][];
  /** Addresses that could not be used, and why; each fell to the next channel, at last to `log`. */
  unusable: Unusable[];
};

/** The slices of the policy that routing reads. */
export type RoutePolicies = {
  routing: RoutingPolicy;
  catalogue: { get(service: string): { owner?: string } | undefined };
};

/**
 * Who is told of an incident. The tree is Alertmanager's: the first matching child wins, `continue` looks at its siblings
 * too, a node whose children do not match is itself the match. Of several matching routes the targets are united; the
 * first one gives team, channels and escalation policy.
 */
export function route(input: RouteInput, policy: RoutePolicies): RouteResult {
  const { routing } = policy;
  const matched = matching(routing.root, input.labels);
  const first = matched[0]!;
  const { team: primaryTeam, from: teamFrom } = teamOf(first, input, policy);

  const reached = matched.map((node) =>
    targetsOf({ team: teamOf(node, input, policy).team }, node.channels, routing.addresses),
  );
  const found = union(reached.flatMap((r) => r.targets));
  const targets = found.length > 0 ? found : [logTarget];

  const added = input.weighed ? byImpact(input.weighed, routing.byImpact) : { add: [], wait: null };
  const { steps, goesOn } = stepsOf(first.escalation, routing);
  // Without a step after the first nobody would ever tell them: then none is promised.
  const impactTeams = goesOn ? added.add.filter((word) => word !== `team:${primaryTeam}`) : [];
  const laterTeams = steps.slice(1).flatMap((step) => step.notify.filter((who) => who.startsWith('team:')));
  const wait = steps[1] === undefined ? null : Math.min(steps[1].after, added.wait ?? steps[1].after);

  return {
    primaryTeam,
    teamFrom,
    unknownOwner: teamFrom === 'default',
    targets,
    fallback: union([...targets, logTarget]),
    channels: [...first.channels],
    escalationPolicy: steps.length === 0 ? null : first.escalation,
    impactTeams,
    escalationTeams: [...new Set([...laterTeams, ...impactTeams])]
      .map((word) => (word.startsWith('team:') ? word.slice('team:'.length) : word))
      .filter((team) => team !== primaryTeam),
    autoEscalateMinutes: wait === null ? null : wait / 60_000,
    path: matched.map((node) => [...node.path]),
    unusable: reached.flatMap((r) => r.unusable),
  };
}

/** The matching nodes in order, never none: the root matches everything. */
function matching(node: RouteNode, labels: Labels): RouteNode[] {
  const found: RouteNode[] = [];
  for (const child of node.children) {
    if (!child.matchers.matches(labels)) continue;
    found.push(...matching(child, labels));
    if (!child.goesOn) break;
  }
  return found.length > 0 ? found : [node];
}

function teamOf(
  node: RouteNode,
  input: RouteInput,
  { routing, catalogue }: RoutePolicies,
): { team: string; from: RouteResult['teamFrom'] } {
  const isTeam = (name: string | null | undefined): name is string =>
    typeof name === 'string' && routing.addresses.teams.has(name);
  if (isTeam(input.assignedTeam)) return { team: input.assignedTeam, from: 'assigned' };
  if (isTeam(node.team)) return { team: node.team, from: 'route' };
  const label = Object.hasOwn(input.labels, 'team') ? input.labels.team : null;
  if (isTeam(label)) return { team: label, from: 'label' };
  const owner = input.service === null ? null : catalogue.get(input.service)?.owner;
  if (isTeam(owner)) return { team: owner, from: 'owner' };
  if (isTeam(node.unownedTeam)) return { team: node.unownedTeam, from: 'unowned' };
  return { team: routing.defaultTeam, from: 'default' };
}

/**
 * The policy's steps with the leading ones at `0s` taken as the first: they are the first notification. `goesOn`: somebody is
 * told after it, by a later step or another round.
 */
function stepsOf(
  name: string | null,
  routing: RoutingPolicy,
): { steps: { after: number; notify: readonly string[] }[]; goesOn: boolean } {
  const policy = name !== null && Object.hasOwn(routing.escalation, name) ? routing.escalation[name] : undefined;
  if (!policy) return { steps: [], goesOn: false };
  const atOnce = policy.steps.filter((step) => step.after === 0);
  const later = policy.steps.filter((step) => step.after > 0);
  const steps = [{ after: 0, notify: atOnce.flatMap((step) => step.notify) }, ...later];
  return { steps, goesOn: later.length > 0 || policy.repeat > 0 };
}

/** The part of a route that the incident document shows. */
export const routingOf = (result: RouteResult): Routing => ({
  primaryTeam: result.primaryTeam,
  escalationTeams: result.escalationTeams,
  channels: result.targets.map(targetLabel),
  autoEscalateMinutes: result.autoEscalateMinutes,
});
