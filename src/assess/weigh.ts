import { type DecideAlert, type Decided, type DecideInput, decide } from '../decide/decide.ts';
import type { Policy } from '../decide/policy.ts';
import type { Labels } from '../domain/alert.ts';
import { CANARY } from '../domain/canary.ts';
import type { Impact } from '../domain/incident.ts';
import type { Reason } from '../domain/reason.ts';
import type { Severity } from '../domain/severity.ts';
import { type RouteInput, type RouteResult, route } from '../route/route.ts';
import { logTarget } from '../route/targets.ts';
import { type Actionability, actionability, type WorthFacts } from '../score/actionability.ts';
import { type Priority, priorityOf } from '../score/priority.ts';

/**
 * Everything that priority, route and verdict hang on, apart from the policy. Kept with the decision: a record of it is enough
 * to judge again, as it was or with one thing changed (`explain`).
 */
export type Weights = {
  severity: Severity;
  /** The most important tier among the affected services; null when none is declared. */
  tier: number | null;
  impact: Impact;
  /** The priority it had last while it was open, once it is over; else null. */
  openPriority: Priority | null;
  /** The lead's labels as sent, and the suspected service: what the route is chosen by. */
  labels: Labels;
  service: string | null;
  assignedTeam: string | null;
  tenant: string;
  /** What waking somebody for it may be worth, apart from severity, tier and customers. */
  worth: WorthFacts;
  /** What the verdict looks at beside all that. */
  decide: Omit<DecideInput, 'alerts' | 'severity' | 'team' | 'unknownOwner' | 'priority' | 'worth'> & {
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
  const { severity, tier, impact } = input;
  const { priority, reasons } = priorityFor(input, policy);
  const { labels, service, assignedTeam } = input;
  const weighed = { severity, priority, impact };
  const routed = routeFor(input.tenant, policy, { labels, service, assignedTeam, weighed });
  const { unknownOwner, primaryTeam: team } = routed;
  const worth = actionability({ ...input.worth, severity, tier, customerImpact: impact.customerImpact });
  const decided = decide({ ...input.decide, severity, team, unknownOwner, priority, worth }, policy);
  return { priority, priorityReasons: reasons, routed, worth, decided };
}

/** The points of the moment; an incident that is over keeps the priority that it had, for it was no less urgent in hindsight. */
function priorityFor(
  { severity, tier, impact, openPriority }: Weights,
  policy: Policy,
): { priority: Priority; reasons: Reason[] } {
  const { priority, reasons } = priorityOf({ severity, tier, impact }, policy.priority);
  if (openPriority === null || openPriority >= priority) return { priority, reasons };
  const kept = { code: 'kept', text: `It was P${openPriority} while it was open` };
  return { priority: openPriority, reasons: [...reasons, kept] };
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
