import { conclude, type Judgement } from './assess/conclude.ts';
import { document } from './assess/document.ts';
import { servicesOf, speaking } from './assess/speaking.ts';
import { endedWhileHeld, verdictFacts, worthFacts } from './assess/verdict.ts';
import { routeFor, type Weights, weigh } from './assess/weigh.ts';
import { pointOf } from './correlate/place.ts';
import type { Alert } from './domain/alert.ts';
import type { Facts } from './domain/facts.ts';
import { type Incident, type RootCause, unknownImpact } from './domain/incident.ts';
import type { Degraded, Reason } from './domain/reason.ts';
import { type Severity, severityRank, worse } from './domain/severity.ts';
import type { LiveIncident, World } from './domain/world.ts';
import type { Rules } from './rules.ts';
import { rankCauses } from './score/causes.ts';
import { deploysHere, suspectDeploys } from './score/deploys.ts';
import { assessImpact } from './score/impact.ts';
import { tierOf } from './score/priority.ts';
import { recommend } from './score/recommend.ts';

/** Members that ranking looks at: in a storm of one rule the first thousand say what the next nine would. */
const RANKED = 1_000;

/**
 * Judges one incident as it stands: cause, impact, priority, recommendation, route, decision; writes the document that all
 * messages and the API show, settles the changes in flight, and plans who is told. A bug in here must not keep anyone
 * asleep: then a plain document goes out that says so.
 */
export function assess(world: World, rules: Rules, incident: LiveIncident, facts: Facts, now: number): Judgement {
  let judgement: Judgement;
  try {
    judgement = judge(world, rules, incident, facts, now);
  } catch (error) {
    const reason = `the assessment failed (${error instanceof Error ? error.message : String(error)}); this is the plain message`;
    judgement = plain(rules, incident, [...facts.degraded, { stage: 'assess', reason }]);
  }
  incident.doc = judgement.doc;
  conclude(world, rules, incident, judgement, now);
  return judgement;
}

function judge(world: World, rules: Rules, incident: LiveIncident, facts: Facts, now: number): Judgement {
  const { policy, graph, models } = rules;
  const { state } = incident;
  const alerts = speaking(incident);
  const members = [...incident.members.values()];
  const services = servicesOf(members);
  const declared = state.declared?.service ? [{ service: state.declared.service, namespace: null }] : [];
  const affected = services.length > 0 ? services : declared;
  const names = affected.map((s) => s.service);
  const over = state.status === 'resolved';

  const ranked =
    members.length > RANKED ? [...members].sort((a, b) => a.startsAt - b.startsAt).slice(0, RANKED) : members;
  const changes = deploysHere([...world.deploys, ...facts.deploys], ranked);
  const deploys = suspectDeploys({
    deploys: changes,
    alerts: ranked,
    declared,
    graph,
    startedAt: state.startedAt,
  });
  const causes = rankCauses(
    {
      alerts: ranked.map((a) => ({ ...pointOf(a), status: a.status, relevance: world.relevance(a).relevance })),
      graph,
      deploys: changes,
      serviceMetrics: facts.serviceMetrics,
      feedback: state.causeFeedback,
      precedence: (a, b) => world.lags.between(state.tenant, a, b),
      startedAt: state.startedAt,
      now,
    },
    models.causes,
  );
  const lead = leadOf(alerts, causes);
  const severity = severityOf(alerts, state.declared?.severity ?? null);
  const {
    impact,
    notes,
    degraded: unpriced,
    lookAgainAt,
  } = assessImpact({
    services: names,
    suspect: causes[0] && causes[0].confidence !== 'low' ? causes[0].service : null,
    severity,
    catalogue: policy.catalogue,
    graph,
    facts,
    startedAt: state.startedAt,
    now: state.resolvedAt ?? now,
    over,
    edges: [...policy.priority.revenue_impact.map((row) => row.over), ...policy.routing.byImpact.edges],
  });
  state.lookAgainAt = lookAgainAt;
  const assigned = state.assignee && 'team' in state.assignee ? state.assignee.team : (state.declared?.team ?? null);
  const recommendations = recommend({
    alerts: lead ? [lead, ...alerts.filter((a) => a !== lead).slice(0, 50)] : [],
    causes,
    deploys,
    similar: facts.similar,
    patterns: policy.patterns,
    catalogue: policy.catalogue,
  });
  const weights: Weights = {
    severity,
    tier: tierOf(impact.affectedServices, policy.catalogue),
    impact,
    openPriority: over ? ((incident.doc?.priority ?? null) as Weights['openPriority']) : null,
    labels: lead?.labels ?? {},
    service: causes[0]?.service ?? lead?.service ?? declared[0]?.service ?? null,
    assignedTeam: assigned,
    tenant: state.tenant,
    worth: worthFacts(world, rules, incident, alerts, causes[0]?.probability ?? null, now),
    decide: verdictFacts(world, rules, incident, alerts, names, now),
  };
  const { priority, priorityReasons, routed, worth, ...weighed } = weigh(weights, policy);
  const decided = endedWhileHeld(incident, worth.value) ?? weighed.decided;
  const doc = document(rules, incident, {
    severity,
    priority,
    team: routed.primaryTeam,
    services: affected.map((s) => s.service),
    causes,
    impact,
    decision: decided.decision,
    routed,
    lead,
    deploys,
    recommendations,
    similar: facts.similar,
    metrics: facts.lead,
    degraded: [...facts.degraded, ...unpriced],
  });
  return {
    doc,
    decided,
    route: routed,
    parts: { priority: priorityReasons, actionability: worth.parts, impact: notes },
    weights,
  };
}

/** The contract's lead: the worst firing alert of the top suspect, else the worst and earliest one. */
function leadOf(alerts: Alert[], causes: RootCause[]): Alert | null {
  const suspect = causes[0];
  const own = suspect
    ? alerts.find(
        (a) => a.service === suspect.service && (suspect.namespace === null || a.namespace === suspect.namespace),
      )
    : undefined;
  return own ?? alerts[0] ?? null;
}

const severityOf = (alerts: Alert[], declared: Severity | null): Severity =>
  alerts.reduce<Severity>((worst, a) => worse(worst, a.severity), declared ?? alerts[0]?.severity ?? 'medium');

/** The document of last resort, from the alerts alone; it always notifies. */
function plain(rules: Rules, incident: LiveIncident, degraded: Degraded[]): Judgement {
  const alerts = speaking(incident);
  const lead = alerts[0] ?? null;
  const routed = routeFor(incident.state.tenant, rules.policy, {
    labels: lead?.labels ?? {},
    service: lead?.service ?? null,
  });
  const impact = unknownImpact();
  const reasons: Reason[] = [{ code: 'assessment-failed', text: 'The assessment failed: when in doubt, page' }];
  const decision: Incident['decision'] = { verdict: 'notify', actionability: 1, mode: 'passthrough', reasons };
  const severity = severityOf(alerts, incident.state.declared?.severity ?? null);
  const doc = document(rules, incident, {
    severity,
    priority: Math.min(5, severityRank(severity) + 1),
    team: routed.primaryTeam,
    services: servicesOf(alerts).map((s) => s.service),
    causes: [],
    impact,
    decision,
    routed,
    lead,
    deploys: [],
    recommendations: [],
    similar: [],
    metrics: {},
    degraded,
  });
  return {
    doc,
    decided: { decision, done: 'notify', perAlert: [], expiresAt: null, budget: null },
    route: routed,
    parts: {},
    weights: null,
  };
}
