import { markAlert } from '../correlate/life.ts';
import type { Decided } from '../decide/decide.ts';
import { type Alert, alertKey, type Verdict } from '../domain/alert.ts';
import type { Incident } from '../domain/incident.ts';
import type { Reason } from '../domain/reason.ts';
import { rfc, rfcOrNull } from '../domain/time.ts';
import type { LiveIncident, World } from '../domain/world.ts';
import { begin, firstNotify, nextEscalation, shorten } from '../escalate/plan.ts';
import { resolveNotify } from '../escalate/resolve-notify.ts';
import { announce, post, sameTarget } from '../notify/announce.ts';
import type { RouteResult } from '../route/route.ts';
import { targetLabel } from '../route/targets.ts';
import type { Rules } from '../rules.ts';
import { recordWeights } from './recorded.ts';
import { hush, remember } from './verdict.ts';
import type { Weights } from './weigh.ts';

/** What one assessment came to, for outcomes and tests. */
export type Judgement = {
  doc: Incident;
  decided: Decided;
  route: RouteResult;
  parts: Record<string, unknown>;
  /** What it was judged by; null when the judging itself failed. */
  weights: Weights | null;
};

/** Turns the judgement into effects: who is told, the escalation, the verdict of each change in flight, the record. */
export function conclude(
  world: World,
  rules: Rules,
  incident: LiveIncident,
  { doc, decided, route: routed, parts, weights }: Judgement,
  now: number,
): void {
  const { state } = incident;
  const send = decided.done === 'notify';
  const policyName = routed.escalationPolicy;
  const policy = policyName === null ? null : rules.config.routing.escalation_policies[policyName];

  const begins = !send && state.suppressedUntil === null && state.status !== 'resolved';
  if (begins) {
    state.heldAt = { severity: doc.severity, services: doc.services };
    world.out.timeline.push({
      incidentId: state.id,
      at: now,
      kind: 'suppressed',
      text: decided.decision.reasons.map((r) => r.text).join('; '),
      by: null,
      data: { until: rfcOrNull(decided.expiresAt) },
    });
    // Once for each time it begins; the alerts it holds are in `suppressed`.
    world.out.audit.push({
      at: now,
      who: 'tocsin',
      what: 'suppress',
      target: state.id,
      before: null,
      after: { mode: doc.decision.mode, until: rfcOrNull(decided.expiresAt), config: doc.configHash },
      why: decided.decision.reasons.map((r) => (r.policy ? `${r.code}: ${r.policy}` : r.code)).join('; '),
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
  const opening = weights?.decide.learned.opening ?? true;
  remember(world, incident, decided, { team: doc.team, causes: doc.rootCauses, opening }, now);
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
  hush(incident, decided, policy ?? null, now);
  if (state.escalation && policy) state.escalation = shorten(state.escalation, policy, routed.autoEscalateMinutes);
  if (state.firstNotifiedAt !== null && state.status === 'open' && send)
    handOver(world, rules, incident, doc, routed, now);
  const next = state.escalation ? nextEscalation(state.escalation, policy) : null;
  doc.nextEscalation = next
    ? { at: rfc(next.at), notify: [...new Set([...next.notify, ...routed.impactTeams])] }
    : null;
  doc.routing.channels = state.told.length > 0 ? state.told.map(targetLabel) : doc.routing.channels;

  settle(world, incident, decided, { told: announced.told, begins }, now);
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
      models: { correlation: rules.models.correlation.version, causes: rules.models.causes.version },
      parts,
      weights: weights && recordWeights(weights),
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

/**
 * Each change that was in flight gets its verdict: the one that made the message, those it spoke for, those held back. What
 * had been held back and still fires when its incident is released, or joins one that somebody was told of, is spoken for by
 * the message now: its verdict is what was done in the end, and the ledger moves with it.
 */
function settle(
  world: World,
  incident: LiveIncident,
  decided: Decided,
  { told, begins }: { told: boolean; begins: boolean },
  now: number,
): void {
  const held = new Map(decided.perAlert.filter((d) => d.suppress !== null).map((d) => [d.key, d]));
  const suppressed = decided.done === 'suppress';
  const { ledger } = world.out;
  let spoken = !told;
  // One object for all that share it: a storm of 100,000 keeps one sentence in memory, not 100,000.
  const shared = [joined(incident, suppressed ? 'suppress' : 'group')];
  const record = (alert: Alert): void => {
    const because = held.get(alertKey(alert));
    if (!because?.suppress || because.until === null) return;
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
  };
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
    if (change === 'fire') record(alert);
  }
  incident.pending = [];
  // Told before, and held only now (a silence, a snooze, a window): each of its alerts is on record as held.
  if (suppressed && begins)
    for (const alert of incident.members.values())
      if (alert.status === 'firing' && alert.fireVerdict !== 'suppress') record(alert);
  if (suppressed || incident.state.status === 'resolved') return;
  for (const alert of incident.members.values()) {
    if (alert.status !== 'firing' || alert.fireVerdict !== 'suppress') continue;
    world.out.released.push({ source: alert.source, fingerprint: alert.fingerprint });
    const verdict: Verdict = spoken ? 'group' : 'notify';
    spoken = true;
    ledger.suppressed -= 1;
    ledger[verdict === 'notify' ? 'notified' : 'grouped'] += 1;
    alert.fireVerdict = verdict;
    alert.reasons = verdict === 'notify' ? decided.decision.reasons : shared;
    markAlert(world, alert);
  }
}

const joined = (incident: LiveIncident, verdict: Verdict): Reason => ({
  code: verdict === 'suppress' ? 'incident-suppressed' : 'grouped',
  text:
    verdict === 'suppress'
      ? 'Its whole incident is held back'
      : `Spoken for by the message of incident ${incident.state.number}`,
});
