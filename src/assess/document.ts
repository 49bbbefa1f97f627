import { type Alert, alertKey } from '../domain/alert.ts';
import type { Impact, Incident, RootCause } from '../domain/incident.ts';
import type { Degraded } from '../domain/reason.ts';
import type { Severity } from '../domain/severity.ts';
import { rfc, rfcOrNull } from '../domain/time.ts';
import type { LiveIncident } from '../domain/world.ts';
import { nextEscalation } from '../escalate/plan.ts';
import { type RouteResult, routingOf } from '../route/route.ts';
import type { Rules } from '../rules.ts';
import { runbookOf, webAddress } from '../score/recommend.ts';

/** What the judges found; the document says it to everyone. */
export type Findings = {
  severity: Severity;
  priority: number;
  team: string;
  services: string[];
  causes: RootCause[];
  impact: Impact;
  decision: Incident['decision'];
  routed: RouteResult;
  lead: Alert | null;
  deploys: Incident['deploys'];
  recommendations: Incident['recommendations'];
  similar: Incident['similarIncidents'];
  metrics: Record<string, unknown>;
  degraded: Degraded[];
};

/** What everyone reads: the contract's Incident. */
export function document(rules: Rules, incident: LiveIncident, found: Findings): Incident {
  const { state } = incident;
  const { lead } = found;
  const policy = state.escalation ? rules.config.routing.escalation_policies[state.escalation.policy] : null;
  const next = nextEscalation(state.escalation, policy);
  const service = lead?.service ?? state.declared?.service ?? null;
  return {
    id: state.id,
    number: state.number,
    status: state.status,
    title: titleOf(incident, lead, found.services),
    severity: found.severity,
    priority: found.priority,
    startedAt: rfc(state.startedAt),
    updatedAt: rfc(state.updatedAt),
    acknowledgedAt: rfcOrNull(state.acknowledgedAt),
    acknowledgedBy: state.acknowledgedBy,
    resolvedAt: rfcOrNull(state.resolvedAt),
    resolvedBy: state.resolvedBy,
    mergedInto: state.mergedInto,
    assignee: state.assignee ? ('team' in state.assignee ? state.assignee.team : state.assignee.person) : null,
    snoozedUntil: rfcOrNull(state.snoozedUntil),
    team: found.team,
    services: found.services,
    alertCount: new Set([...incident.members.values()].map(alertKey)).size,
    firingCount: incident.firing,
    rootCauses: found.causes,
    impact: found.impact,
    recommendations: found.recommendations,
    decision: found.decision,
    routing: routingOf(found.routed),
    nextEscalation: next ? { at: rfc(next.at), notify: next.notify } : null,
    deploys: found.deploys,
    similarIncidents: found.similar,
    degraded: found.degraded,
    lead: {
      fingerprint: lead?.fingerprint ?? '',
      alertname: lead?.alertname ?? '',
      service,
      summary: lead?.annotations.summary ?? lead?.annotations.message ?? state.declared?.title ?? null,
      description: lead?.annotations.description ?? null,
      runbook:
        (lead && runbookOf(lead.annotations)) ?? (service && rules.policy.catalogue.get(service)?.runbook) ?? null,
      dashboard:
        webAddress(lead?.annotations.dashboard_url ?? lead?.annotations.dashboard ?? '') ??
        (service && rules.policy.catalogue.get(service)?.dashboards[0]) ??
        null,
      labels: { ...lead?.labels },
    },
    metrics: found.metrics,
    revision: state.revision,
    configHash: rules.policy.hash,
  };
}

function titleOf(incident: LiveIncident, lead: Alert | null, services: string[]): string {
  if (incident.state.declared) return incident.state.declared.title;
  if (!lead) return `Incident ${incident.state.number}`;
  const name = lead.alertname || lead.annotations.summary || 'Alert';
  const where = lead.service ? ` on ${lead.service}` : '';
  const more = services.length > 1 ? ` and ${services.length - 1} more service${services.length > 2 ? 's' : ''}` : '';
  return `${name}${where}${more}`.slice(0, 200);
}
