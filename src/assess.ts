import { markAlert } from './correlate/life.ts';
import { pointOf } from './correlate/place.ts';
import { type DecideAlert, type Decided, decide } from './decide/decide.ts';
import { type Alert, alertKey, type Verdict } from './domain/alert.ts';
import { CANARY } from './domain/canary.ts';
import type { Facts } from './domain/facts.ts';
import type { Impact, Incident, RootCause } from './domain/incident.ts';
import type { Degraded, Reason } from './domain/reason.ts';
import { type Severity, severityRank, worse } from './domain/severity.ts';
import type { LiveIncident, World } from './domain/world.ts';
import type { Subject } from './enrich/gather.ts';
import { begin, firstNotify, nextEscalation, shorten } from './escalate/plan.ts';
import { resolveNotify } from './escalate/resolve-notify.ts';
import { announce, post, sameTarget } from './notify/announce.ts';
import { type RouteInput, type RouteResult, route, routingOf } from './route/route.ts';
import { logTarget, targetLabel } from './route/targets.ts';
import type { Rules } from './rules.ts';
import { rankCauses } from './score/causes.ts';
import { suspectDeploys } from './score/deploys.ts';
import { assessImpact } from './score/impact.ts';
import { actionability, priorityOf, tierOf } from './score/priority.ts';
import { recommend, runbookOf, webAddress } from './score/recommend.ts';
import { clearSuspect } from './score/similar.ts';

/** What one assessment came to, for outcomes and tests. */
export type Judgement = { doc: Incident; decided: Decided; route: RouteResult; parts: Record<string, unknown> };

/** Members that ranking looks at: in a storm of one rule the first thousand say what the next nine would. */
const RANKED = 1_000;
/** Alerts handed to the fact sources. */
const SUBJECT_ALERTS = 20;

const rfc = (at: number): string => new Date(at).toISOString();
const rfcOrNull = (at: number | null): string | null => (at === null ? null : rfc(at));

const byWeight = (a: Alert, b: Alert): number =>
  severityRank(a.severity) - severityRank(b.severity) ||
  a.startsAt - b.startsAt ||
  (a.fingerprint < b.fingerprint ? -1 : 1);

/** The alerts that speak for the incident: the firing ones, or all when none fires any more; worst and earliest first. */
function speaking(incident: LiveIncident): Alert[] {
  const all = [...incident.members.values()];
  const firing = all.filter((a) => a.status === 'firing');
  return (firing.length > 0 ? firing : all).sort(byWeight);
}

const servicesOf = (alerts: Iterable<Alert>): { service: string; namespace: string | null }[] => {
  const seen = new Map<string, { service: string; namespace: string | null }>();
  for (const { service, namespace } of alerts) {
    if (service !== null && !seen.has(service)) seen.set(service, { service, namespace });
  }
  return [...seen.values()];
};

/** What the fact sources are asked about this incident. */
export function subjectOf(incident: LiveIncident, now: number): Subject {
  const alerts = speaking(incident);
  const { state, doc } = incident;
  const lead = alerts.find((a) => a.fingerprint === doc?.lead.fingerprint) ?? alerts[0] ?? null;
  return {
    incidentId: state.id,
    revision: state.revision,
    startedAt: state.startedAt,
    now,
    lead,
    services: servicesOf(incident.members.values()),
    alerts: alerts.slice(0, SUBJECT_ALERTS),
    suspect: doc ? clearSuspect(doc) : null,
  };
}

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
  const end = state.resolvedAt ?? now;

  const deploys = suspectDeploys([...world.deploys, ...facts.deploys], affected, graph, state.startedAt);
  const ranked =
    members.length > RANKED ? [...members].sort((a, b) => a.startsAt - b.startsAt).slice(0, RANKED) : members;
  const causes = rankCauses(
    {
      alerts: ranked.map((a) => ({ ...pointOf(a), status: a.status })),
      graph,
      deploys: [...world.deploys, ...facts.deploys],
      serviceMetrics: facts.serviceMetrics,
      feedback: state.causeFeedback,
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
  } = assessImpact({
    services: affected.map((s) => s.service),
    severity,
    catalogue: policy.catalogue,
    graph,
    facts,
    startedAt: state.startedAt,
    now: end,
  });
  const names = affected.map((s) => s.service);
  const { priority, reasons: priorityReasons } = priorityOf({
    severity,
    tier: tierOf(names, policy.catalogue),
    size: { services: affected.length, alerts: incident.firing },
    impact,
  });
  const assigned = state.assignee && 'team' in state.assignee ? state.assignee.team : (state.declared?.team ?? null);
  const routed = routeFor(incident, policy, {
    labels: lead?.labels ?? {},
    service: causes[0]?.service ?? lead?.service ?? declared[0]?.service ?? null,
    assignedTeam: assigned,
    priority,
    impact,
  });
  const recommendations = recommend({
    alerts: lead ? [lead, ...alerts.filter((a) => a !== lead).slice(0, 50)] : [],
    causes,
    deploys,
    patterns: policy.patterns,
    catalogue: policy.catalogue,
  });
  const worth = actionability({
    severity,
    customerImpact: impact.customerImpact,
    suspect: causes[0]?.probability ?? null,
    hasAction: recommendations.length > 0,
    unknownOwner: routed.unknownOwner,
  });
  const decided = decideFor(
    world,
    rules,
    incident,
    alerts,
    { severity, routed, actionability: worth.value, services: names },
    now,
  );
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
  };
}

/** The route of the lead; the canary's round ends in the log and wakes nobody. */
function routeFor(incident: LiveIncident, policy: Rules['policy'], input: RouteInput): RouteResult {
  const routed = route(input, policy);
  if (incident.state.tenant !== CANARY) return routed;
  return {
    ...routed,
    targets: [logTarget],
    fallback: [logTarget],
    channels: ['log'],
    escalationPolicy: null,
    impactTeams: [],
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

function decideFor(
  world: World,
  rules: Rules,
  incident: LiveIncident,
  alerts: Alert[],
  judged: { severity: Severity; routed: RouteResult; actionability: number; services: string[] },
  now: number,
): Decided {
  const { state } = incident;
  const firing: DecideAlert[] = alerts.filter((a) => a.status === 'firing');
  const untold = state.heldAt !== null && state.firstNotifiedAt === null;
  if (untold && firing.length === 0 && incident.members.size > 0) return endedWhileHeld(incident, judged.actionability);
  const firstEver = new Set(firing.map((a) => a.alertname).filter((name) => world.rules.get(name) === state.id));
  const told =
    state.notifiedSeverity !== null ? { severity: state.notifiedSeverity, services: state.notifiedServices } : null;
  return decide(
    {
      alerts: firing,
      severity: judged.severity,
      services: judged.services,
      team: judged.routed.primaryTeam,
      unknownOwner: judged.routed.unknownOwner,
      actionability: judged.actionability,
      firstEver,
      baseline: told ?? state.heldAt,
      snoozedUntil: state.snoozedUntil,
      silencedUntil: state.silencedUntil,
      silences: world.silences,
      killSwitch: world.killSwitch,
      now,
    },
    rules.policy,
  );
}

/** Nothing fires any more and nobody was told: without this its end would be the first that anybody hears of it. */
function endedWhileHeld({ doc, state }: LiveIncident, actionability: number): Decided {
  const reason = { code: 'ended-while-held', text: 'It ended while it was held back; there is nothing left to tell' };
  const before = doc?.decision.reasons.filter((r) => r.code !== reason.code) ?? [];
  const mode = doc?.decision.mode ?? 'active';
  return {
    decision: { verdict: 'suppress', actionability, mode, reasons: [reason, ...before] },
    done: 'suppress',
    perAlert: [],
    expiresAt: state.suppressedUntil,
  };
}

type Findings = {
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
function document(rules: Rules, incident: LiveIncident, found: Findings): Incident {
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

/** The document of last resort, from the alerts alone; it always notifies. */
function plain(rules: Rules, incident: LiveIncident, degraded: Degraded[]): Judgement {
  const alerts = speaking(incident);
  const lead = alerts[0] ?? null;
  const routed = routeFor(incident, rules.policy, { labels: lead?.labels ?? {}, service: lead?.service ?? null });
  const impact: Impact = {
    revenuePerHour: null,
    currency: null,
    totalRevenueImpact: null,
    affectedServices: [],
    affectedUsers: null,
    customerImpact: null,
    regulatoryRisk: false,
    slaBreachRisk: 'unknown',
    cascadeRisk: 'unknown',
    estimatedDurationSeconds: null,
  };
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
  return { doc, decided: { decision, done: 'notify', perAlert: [], expiresAt: null }, route: routed, parts: {} };
}

/** Turns the judgement into effects: who is told, the escalation, the verdict of each change in flight, the record. */
function conclude(
  world: World,
  rules: Rules,
  incident: LiveIncident,
  { doc, decided, route: routed, parts }: Judgement,
  now: number,
): void {
  const { state } = incident;
  const send = decided.done === 'notify';
  const policyName = routed.escalationPolicy;
  const policy = policyName === null ? null : rules.config.routing.escalation_policies[policyName];

  if (!send && state.suppressedUntil === null && state.status !== 'resolved') {
    state.heldAt = { severity: doc.severity, services: doc.services };
    world.out.timeline.push({
      incidentId: state.id,
      at: now,
      kind: 'suppressed',
      text: decided.decision.reasons.map((r) => r.text).join('; '),
      by: null,
      data: { until: rfcOrNull(decided.expiresAt) },
    });
  }
  if (send && state.heldAt !== null && state.status !== 'resolved') {
    world.out.timeline.push({
      incidentId: state.id,
      at: now,
      kind: 'released',
      text: 'No longer held back',
      by: null,
      data: {},
    });
    for (const alert of incident.members.values())
      world.out.released.push({ source: alert.source, fingerprint: alert.fingerprint });
    state.heldAt = null;
  }
  state.suppressedUntil = send || state.status === 'resolved' ? null : decided.expiresAt;

  // A first message: to whom the policy's steps at 0s say, which is the team's addresses on the route's channels.
  const first = firstTargets(rules, incident, routed, policy ? firstNotify(policy) : ['team'], now);
  const announced = announce(
    world,
    incident,
    doc,
    { send, first, fallback: routed.fallback, echo: incident.echo },
    now,
  );
  if (announced.first && policyName !== null && policy && state.status === 'open') {
    state.escalation = begin(policyName, policy, now);
  }
  if (state.escalation && policy) state.escalation = shorten(state.escalation, policy, routed.autoEscalateMinutes);
  if (state.firstNotifiedAt !== null && state.status === 'open' && send)
    handOver(world, rules, incident, doc, routed, now);
  const next = state.escalation ? nextEscalation(state.escalation, policy) : null;
  doc.nextEscalation = next ? { at: rfc(next.at), notify: next.notify } : null;
  doc.routing.channels = state.told.length > 0 ? state.told.map(targetLabel) : doc.routing.channels;

  settle(world, incident, decided, announced.told, now);
  world.out.decisions.push({
    incidentId: state.id,
    revision: state.revision,
    at: now,
    configHash: doc.configHash,
    doc: {
      decision: doc.decision,
      done: decided.done,
      priority: doc.priority,
      severity: doc.severity,
      impact: doc.impact,
      rootCauses: doc.rootCauses,
      routing: doc.routing,
      route: { path: routed.path, teamFrom: routed.teamFrom, unusable: routed.unusable },
      degraded: doc.degraded,
      parts,
    },
  });
}

function firstTargets(rules: Rules, incident: LiveIncident, routed: RouteResult, notify: string[], now: number) {
  const assignee = incident.state.assignee;
  const words = assignee && 'person' in assignee ? [...notify, `person:${assignee.person}`] : notify;
  if (words.length === 1 && words[0] === 'team') return routed.targets;
  const { targets } = resolveNotify(words, {
    team: routed.primaryTeam,
    routeChannels: routed.channels,
    addresses: rules.policy.routing.addresses,
    schedules: rules.config.routing.schedules,
    now,
  });
  const usable = targets.filter((t) => t.channel !== 'log');
  return usable.length > 0 ? targets : routed.targets;
}

/**
 * The incident turned out to belong to another team: a person said so, or a suspect that is beyond doubt. The new team is
 * told once; a suspect hands over at most once by itself, so that a storm does not walk through every channel.
 */
function handOver(
  world: World,
  rules: Rules,
  incident: LiveIncident,
  doc: Incident,
  routed: RouteResult,
  now: number,
): void {
  const { state } = incident;
  const sure = doc.rootCauses[0]?.confidence === 'high' && !state.handedOver;
  const assigned = state.assignee !== null;
  if (!assigned && !sure) return;
  const words = state.assignee && 'person' in state.assignee ? [`person:${state.assignee.person}`] : ['team'];
  const targets = firstTargets(rules, incident, routed, words, now).filter(
    (t) => t.channel !== 'log' && !state.told.some((told) => sameTarget(told, t)),
  );
  if (targets.length === 0) return;
  state.handedOver = true;
  const text = assigned
    ? `Assigned to ${doc.assignee ?? doc.team}`
    : `Handed over to ${doc.team}: ${doc.rootCauses[0]!.service} is the likely cause`;
  if (!assigned)
    world.out.timeline.push({
      incidentId: state.id,
      at: now,
      kind: 'assigned',
      text,
      by: null,
      data: { team: doc.team },
    });
  for (const target of targets) {
    state.told.push(target);
    post(world, incident, target, 'escalate', now, { text, fallback: routed.fallback });
  }
}

/** Each change that was in flight gets its verdict: the one that made the message, those it spoke for, those held back. */
function settle(world: World, incident: LiveIncident, decided: Decided, told: boolean, now: number): void {
  const held = new Map(decided.perAlert.filter((d) => d.suppress !== null).map((d) => [d.key, d]));
  const suppressed = decided.done === 'suppress';
  const { ledger } = world.out;
  let spoken = !told;
  // One object for all that share it: a storm of 100,000 keeps one sentence in memory, not 100,000.
  const shared = [joined(incident, suppressed ? 'suppress' : 'group')];
  for (const { alert, change } of incident.pending) {
    const verdict: Verdict = suppressed && change === 'fire' ? 'suppress' : spoken ? 'group' : 'notify';
    if (verdict === 'notify') spoken = true;
    ledger.inFlight -= 1;
    ledger[verdict === 'notify' ? 'notified' : verdict === 'group' ? 'grouped' : 'suppressed'] += 1;
    const because = held.get(alertKey(alert));
    if (change === 'fire') {
      alert.fireVerdict = verdict;
      alert.reasons = because?.suppress ?? (verdict === 'notify' ? decided.decision.reasons : shared);
    } else {
      alert.resolveVerdict = verdict;
    }
    markAlert(world, alert);
    if (change === 'fire' && because?.suppress && because.until !== null) {
      world.out.suppressed.push({
        source: alert.source,
        fingerprint: alert.fingerprint,
        startsAt: alert.startsAt,
        incidentId: incident.state.id,
        reasons: because.suppress,
        policy: because.policy ?? 'policy',
        at: now,
        expiresAt: because.until,
      });
    }
  }
  incident.pending = [];
}

const joined = (incident: LiveIncident, verdict: Verdict): Reason => ({
  code: verdict === 'suppress' ? 'incident-suppressed' : 'grouped',
  text:
    verdict === 'suppress'
      ? 'Its whole incident is held back'
      : `Spoken for by the message of incident ${incident.state.number}`,
});
