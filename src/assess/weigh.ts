import { type DecideAlert, type Decided, type DecideInput, decide } from '../decide/decide.ts';
import type { Policy } from '../decide/policy.ts';
import type { Labels } from '../domain/alert.ts';
import { CANARY } from '../domain/canary.ts';
import type { Impact } from '../domain/incident.ts';
import type { Reason } from '../domain/reason.ts';
import type { Severity } from '../domain/severity.ts';
import { type RouteInput, type RouteResult, route } from '../route/route.ts';
import { logTarget } from '../route/targets.ts';
import { type Actionability, actionability, type Priority, priorityOf } from '../score/priority.ts';

/**
 * Everything that priority, route and verdict hang on, apart from the policy. Kept with the decision: a record of it is enough
 * to judge again, as it was or with one thing changed (`explain`).
 */
export type Weights = {
  severity: Severity;
  /** The most important tier among the affected services; null when none is declared. */
  tier: number | null;
  size: { services: number; alerts: number };
  impact: Impact;
  /** The lead's labels as sent, and the suspected service: what the route is chosen by. */
  labels: Labels;
  service: string | null;
  assignedTeam: string | null;
  tenant: string;
  /** Probability of the top suspect; null when there is none. */
  suspect: number | null;
  hasAction: boolean;
  /** What the verdict looks at beside all that. */
  decide: Omit<DecideInput, 'alerts' | 'severity' | 'team' | 'unknownOwner' | 'actionability'> & {
    alerts: readonly (DecideAlert & { startsAt: number })[];
  };
};

export type Weighed = {
  priority: Priority;
  priorityReasons: Reason[];
  routed: RouteResult;
  worth: Actionability;
  decided: Decided;
};

/** Priority, then route, then what waking somebody is worth, then the verdict: each may look at those before it. */
export function weigh(input: Weights, policy: Policy): Weighed {
  const { severity, tier, size, impact } = input;
  const { priority, reasons } = priorityOf({ severity, tier, size, impact });
  const { labels, service, assignedTeam } = input;
  const routed = routeFor(input.tenant, policy, { labels, service, assignedTeam, priority, impact });
  const { unknownOwner, primaryTeam: team } = routed;
  const { suspect, hasAction } = input;
  const worth = actionability({
    severity,
    customerImpact: impact.customerImpact,
    suspect,
    hasAction,
    unknownOwner,
  });
  const decided = decide({ ...input.decide, severity, team, unknownOwner, actionability: worth.value }, policy);
  return { priority, priorityReasons: reasons, routed, worth, decided };
}

/** The route of the lead; the canary's round ends in the log and wakes nobody. */
export function routeFor(tenant: string, policy: Policy, input: RouteInput): RouteResult {
  const routed = route(input, policy);
  if (tenant !== CANARY) return routed;
  return {
    ...routed,
    targets: [logTarget],
    fallback: [logTarget],
    channels: ['log'],
    escalationPolicy: null,
    impactTeams: [],
  };
}
