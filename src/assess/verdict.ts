import { living, touch } from '../correlate/life.ts';
import type { BudgetHour, Decided, Learned } from '../decide/decide.ts';
import { type Alert, alertKey } from '../domain/alert.ts';
import { CANARY } from '../domain/canary.ts';
import type { FeedbackRecord, MemoryRecord } from '../domain/effects.ts';
import type { RootCause } from '../domain/incident.ts';
import { questionOf } from '../domain/label.ts';
import { severityRank, worse } from '../domain/severity.ts';
import type { LiveIncident, TeamHour, World } from '../domain/world.ts';
import { type Policy, snooze, unsnooze } from '../escalate/plan.ts';
import type { Rules } from '../rules.ts';
import type { RuleWorth, WorthFacts } from '../score/actionability.ts';
import type { Weights } from './weigh.ts';

/** Rules of an incident that are weighed; the worst alerts come first, and one that speaks of faults is enough. */
const WEIGHED_RULES = 20;
/** Calls between a symptom and what it is a symptom of. */
const SYMPTOM_HOPS = 3;
/** It begins within this time of the last change there: later, it is rather a story of its own. */
const SYMPTOM_MS = 5 * 60_000;
/** Wider than this it is a story of its own; and looking from each service through a large graph must not cost an assessment. */
const SYMPTOM_SERVICES = 20;
const MOST_REACHED = 500;

/** Everything about this incident that the verdict may look at, apart from what the other judges find. */
export function verdictFacts(
  world: World,
  rules: Rules,
  incident: LiveIncident,
  alerts: readonly Alert[],
  services: readonly string[],
  now: number,
): Weights['decide'] {
  const { state } = incident;
  // What came and went again since the last look is judged as well: a floor speaks for it all the same.
  const unjudged = incident.pending.flatMap(({ alert, change }) => (change === 'fire' ? [alert] : []));
  const firing = [...new Set([...alerts.filter((a) => a.status === 'firing'), ...unjudged])];
  const firstEver = new Set(firing.map((a) => a.alertname).filter((name) => world.rules.get(name) === state.id));
  const told =
    state.notifiedSeverity !== null ? { severity: state.notifiedSeverity, services: state.notifiedServices } : null;
  return {
    alerts: firing,
    services,
    firstEver,
    baseline: told ?? state.heldAt,
    snoozedUntil: state.snoozedUntil,
    silencedUntil: state.silencedUntil,
    silences: world.silences,
    killSwitch: world.killSwitch.on,
    learned: learnedOf(world, rules, incident, firing, services, now),
    now,
  };
}

/** What it may be worth to wake somebody for these alerts. */
export function worthFacts(
  world: World,
  rules: Rules,
  incident: LiveIncident,
  alerts: readonly Alert[],
  suspect: number | null,
  now: number,
): WorthFacts {
  learnFrom(world, rules, incident, now);
  const places = new Map<string, RuleWorth>();
  const services = new Set<string>();
  let changes = Number.POSITIVE_INFINITY;
  let known = false;
  for (const alert of alerts) {
    const key = `${alert.cluster}\n${alert.namespace}\n${alert.alertname}`;
    if (!places.has(key) && places.size < WEIGHED_RULES) {
      const { relevance, onsets } = world.relevance(alert);
      places.set(key, { alertname: alert.alertname, relevance, onsets, ...world.habits.of(alert) });
    }
    if (alert.service !== null && !services.has(alert.service)) {
      services.add(alert.service);
      known ||= rules.graph.has(alert.service, alert.namespace) || rules.policy.catalogue.has(alert.service);
    }
    if (changes > 0) changes = Math.min(changes, world.habits.changes(alert, now));
  }
  const anyKnown = rules.graph.nodes().length > 0 || rules.policy.catalogue.size > 0;
  return {
    rules: [...places.values()],
    services: services.size,
    known: anyKnown ? known : null,
    suspect,
    changes: Number.isFinite(changes) ? changes : 0,
    model: rules.models.actionability,
  };
}

/** Whether all members are firings of one rule on one service. */
function isAlone({ members }: LiveIncident): boolean {
  let first: Alert | null = null;
  for (const alert of members.values()) {
    first ??= alert;
    if (alert.alertname !== first.alertname || alert.service !== first.service) return false;
  }
  return first !== null;
}

/** Counts what the changes since the last assessment say of their rules; each change passes here once. */
function learnFrom(world: World, rules: Rules, incident: LiveIncident, now: number): void {
  const { state, pending, members } = incident;
  if (state.tenant === CANARY) return;
  const { suppression } = rules.policy;
  if (state.assessedAt === null) {
    const begun = new Map(
      pending.map(({ alert }) => [`${alert.cluster}\n${alert.namespace}\n${alert.alertname}`, alert]),
    );
    for (const alert of [...begun.values()].slice(0, WEIGHED_RULES)) world.habits.began(alert, now);
  }
  let ended: Alert | null = null;
  for (const { alert, change } of pending) {
    const { flapping } = suppression.matched(alert.labels).learning;
    if (flapping) world.habits.changed(alert, flapping, change === 'fire' ? alert.receivedAt : alert.updatedAt);
    if (change === 'resolve') ended = alert;
  }
  if (ended === null || incident.firing > 0) return;
  const acted =
    state.acknowledgedAt !== null ||
    state.resolvedBy !== null ||
    state.assignee !== null ||
    state.snoozedUntil !== null;
  const first = [...members.values()].reduce((a, b) => (b.receivedAt < a.receivedAt ? b : a), ended);
  if (isAlone(incident) && ended.closedBecause !== 'stale' && ended.closedBecause !== 'by-hand') {
    const { transient } = suppression.matched(ended.labels).learning;
    const soon = transient !== null && ended.updatedAt - first.receivedAt <= transient.within;
    world.habits.ended(ended, soon && !acted, now);
  }
  if (state.firstNotifiedAt === null) return;
  for (const alert of placesOf(incident)) world.habits.told(alert, acted, now);
}

/** One alert for each rule in each place, the first few of them. */
function placesOf({ members }: Pick<LiveIncident, 'members'>): Alert[] {
  const found = new Map<string, Alert>();
  for (const alert of members.values()) {
    const key = `${alert.cluster}\n${alert.namespace}\n${alert.alertname}`;
    if (!found.has(key)) found.set(key, alert);
    if (found.size >= WEIGHED_RULES) break;
  }
  return [...found.values()];
}

/** What people say an alert or an incident was worth shifts what its rules are held to be worth from now on. */
export function learnFromPeople(world: World, said: readonly FeedbackRecord[], now: number): void {
  for (const { key, kind, incidentId, alert } of said) {
    if (questionOf[kind] !== 'worth') continue;
    const incident = living(world, incidentId);
    const places = incident ? placesOf(incident).filter((a) => alert === null || a.fingerprint === alert) : [];
    world.habits.said(key, kind === 'noise' ? 'noise' : 'real', { incidentId, places }, now);
  }
}

function learnedOf(
  world: World,
  rules: Rules,
  incident: LiveIncident,
  firing: readonly Alert[],
  services: readonly string[],
  now: number,
): Learned {
  const { suppression } = rules.policy;
  const flapping: Record<string, NonNullable<ReturnType<World['habits']['flapping']>>> = {};
  for (const alert of firing) {
    const rule = suppression.matched(alert.labels).learning.flapping;
    const flaps = rule && world.habits.flapping(alert, rule, now);
    if (flaps) flapping[alertKey(alert)] = flaps;
  }
  const budgets: Record<string, BudgetHour> = {};
  for (const [team, hour] of world.budgets) {
    if (hour.until <= now) continue;
    const { id } = incident.state;
    const side = hour.opened.has(id) ? 'counted' : hour.held.has(id) ? 'held' : null;
    budgets[team] = { opened: hour.opened.size, until: hour.until, side };
  }
  const lead = firing[0];
  return {
    transient: lead && isAlone(incident) ? world.habits.of(lead).selfResolve : null,
    flapping,
    symptomOf: symptomOf(world, rules, incident, firing, services, now),
    budgets,
    opening: incident.state.wanted !== true,
    senderSilences: silencedAtSender(world, firing, now),
  };
}

/** A source whose Alertmanager was not heard of for so long is said to be silent: unchanged lists are stored every 4 min. */
const SILENT_MS = 10 * 60_000;

/** What the senders' Alertmanagers keep quiet, each alert with the silence that lasts longest. */
function silencedAtSender(world: World, firing: readonly Alert[], now: number): Learned['senderSilences'] {
  const found: Record<string, Learned['senderSilences'][string]> = {};
  if (world.senderSilences.size === 0) return found;
  for (const alert of firing) {
    const known = world.senderSilences.get(alert.source);
    if (!known) continue;
    const staleSince = now - known.polledAt > SILENT_MS ? known.polledAt : null;
    for (const { id, by, until, comment, matchers } of known.silences) {
      const key = alertKey(alert);
      if (until <= now || (found[key]?.until ?? 0) >= until || !matchers.matches(alert.labels)) continue;
      found[key] = { id, by, until, comment, staleSince };
    }
  }
  return found;
}

/**
 * The escalation rests while the sender's silence holds everything that fires, and goes on where it was when it no longer
 * does. What a person snoozed here is left to the snooze.
 */
export function hush(
  { state, firing }: LiveIncident,
  { done, decision }: Decided,
  policy: Policy | null,
  now: number,
): void {
  const silenced =
    done === 'suppress' && firing > 0 && decision.reasons.some(({ code }) => code === 'silenced-at-sender');
  if (silenced && state.escalation && state.escalation.paused === null) {
    state.escalation = snooze(state.escalation);
    state.hushed = true;
  } else if (!silenced && state.hushed) {
    state.hushed = false;
    if (state.escalation && state.snoozedUntil === null && state.status === 'open')
      state.escalation = unsnooze(state.escalation, policy, now);
  }
}

/**
 * The open incident, told of before this one began, whose suspect every service here is or calls, directly or through
 * others, in the same cluster, and where something began or ended within five minutes of its beginning. Null when there is
 * none, or when this one is worse.
 */
function symptomOf(
  world: World,
  rules: Rules,
  { state }: LiveIncident,
  firing: readonly Alert[],
  services: readonly string[],
  now: number,
): Learned['symptomOf'] {
  if (world.suspected.size === 0 || services.length === 0 || services.length > SYMPTOM_SERVICES) return null;
  const severity = firing.reduce<Alert['severity']>((a, b) => worse(a, b.severity), 'info');
  const under = services.map((service) => reachable(rules, service));
  const [first, ...others] = under;
  for (const suspect of first!) {
    if (!others.every((set) => set.has(suspect))) continue;
    for (const id of world.suspected.get(suspect) ?? []) {
      const paged = world.incidents.get(id);
      if (!paged || id === state.id || paged.state.tenant !== state.tenant) continue;
      const { number, lastChangeAt, startedAt, notifiedSeverity } = paged.state;
      if (paged.state.status === 'resolved' || number > state.number || notifiedSeverity === null) continue;
      if (state.startedAt - lastChangeAt > SYMPTOM_MS || state.startedAt < startedAt - SYMPTOM_MS) continue;
      if (severityRank(severity) < severityRank(notifiedSeverity) || now < startedAt) continue;
      if (!sameClusters(firing, paged)) continue;
      return { incidentId: id, number, suspect, startedAt };
    }
  }
  return null;
}

/** Services of one name in two clusters are two services. */
function sameClusters(firing: readonly Alert[], { members }: LiveIncident): boolean {
  const there = new Set([...members.values()].map((alert) => alert.cluster));
  return firing.every((alert) => there.has(alert.cluster));
}

/** A service and what it calls, directly or through others. */
function reachable({ graph }: Rules, service: string): Set<string> {
  const seen = new Set([service]);
  let edge = [service];
  for (let hop = 0; hop < SYMPTOM_HOPS && edge.length > 0 && seen.size < MOST_REACHED; hop += 1) {
    edge = edge.flatMap((name) => graph.callees(name, null).filter((callee) => !seen.has(callee)));
    for (const callee of edge) seen.add(callee);
  }
  return seen;
}

/** Remembers what the verdict means for those to come: what is told, what its team's hour holds, whom it may explain. */
export function remember(
  world: World,
  incident: LiveIncident,
  { decision, budget }: Decided,
  verdict: { team: string; causes: readonly RootCause[]; opening: boolean },
  now: number,
): void {
  const { state } = incident;
  const over = state.status === 'resolved';
  if (decision.verdict === 'notify' && !over) {
    if (verdict.opening) for (const alert of incident.members.values()) world.habits.flapTold(alert, now);
    state.wanted = true;
  }
  if (decision.verdict === 'suppress') world.habits.heldBack(state.id, placesOf(incident));
  if (budget !== null && !over) spend(world, verdict.team, state.id, budget, now);

  index(world, incident, decision, verdict.causes);
  // What was held as its symptom has to stand for itself now.
  if (!over) return;
  for (const [id, of] of world.symptoms) {
    const symptom = of === state.id ? world.incidents.get(id) : undefined;
    if (symptom && symptom.state.heldAt !== null && symptom.state.status !== 'resolved')
      touch(world, symptom, now, true);
  }
}

/** Puts the engine where it stood: what was learned, the hours of the teams, and who explains whom. */
export function restoreVerdicts(world: World, memory: readonly MemoryRecord[]): void {
  world.habits.load(memory);
  for (const { scope, key, doc } of memory) {
    const { until, opened, held, more } = (doc ?? {}) as Partial<ReturnType<typeof hourRecord>>;
    if (scope === 'budget' && typeof until === 'number' && Array.isArray(opened) && Array.isArray(held))
      world.budgets.set(key, { until, opened: new Set(opened), held: new Set(held), more: more ?? 0 });
  }
  for (const incident of world.incidents.values())
    if (incident.doc) index(world, incident, incident.doc.decision, incident.doc.rootCauses);
}

/** What this incident explains to others, and what explains it. */
function index(
  world: World,
  { state }: LiveIncident,
  decision: Decided['decision'],
  causes: readonly RootCause[],
): void {
  const suspect = causes[0];
  const tells = state.status !== 'resolved' && state.wanted === true && suspect?.confidence === 'high';
  suspects(world, state.id, tells && suspect ? suspect.service : null);
  const symptom = decision.reasons.find((reason) => reason.code === 'symptom');
  if (decision.verdict === 'suppress' && state.status !== 'resolved' && typeof symptom?.incidentId === 'string')
    world.symptoms.set(state.id, symptom.incidentId);
  else world.symptoms.delete(state.id);
}

/** An incident is suspected of one service at most; a change of mind moves it. */
function suspects(world: World, id: string, service: string | null): void {
  const before = world.explains.get(id) ?? null;
  if (before === service) return;
  if (before !== null) {
    const others = world.suspected.get(before);
    others?.delete(id);
    if (others?.size === 0) world.suspected.delete(before);
    world.explains.delete(id);
  }
  if (service === null) return;
  world.explains.set(id, service);
  const same = world.suspected.get(service);
  if (same) same.add(id);
  else world.suspected.set(service, new Set([id]));
}

const HOUR = 60 * 60_000;

/** The hour of a team begins with the first message counted. */
function spend(world: World, team: string, id: string, side: 'counted' | 'held', now: number): void {
  let hour = world.budgets.get(team);
  if (!hour || hour.until <= now) {
    if (side === 'held') return;
    hour = { until: now + HOUR, opened: new Set(), held: new Set(), more: 0 };
    world.budgets.set(team, hour);
  }
  const list = side === 'counted' ? hour.opened : hour.held;
  if (list.has(id)) return;
  list.add(id);
  world.out.memory.push({ scope: 'budget', key: team, doc: hourRecord(hour) });
}

/** Held incidents named in the store; in a storm the digest names the first of them and counts the rest. */
const HELD_NAMED = 200;

const hourRecord = ({ until, opened, held, more }: TeamHour) => ({
  until,
  opened: [...opened],
  held: [...held].slice(0, HELD_NAMED),
  more: more + Math.max(0, held.size - HELD_NAMED),
});

/**
 * Nothing fires any more and nobody was to be told: without this its end would be the first that anybody hears of it. Null
 * when that is not so. In a mode that sends everything the end is sent too; the verdict stays what the policy would do.
 */
export function endedWhileHeld(incident: LiveIncident, actionability: number): Decided | null {
  const { doc, state, members, firing, pending } = incident;
  const untold = state.heldAt !== null && state.firstNotifiedAt === null;
  const unwanted = state.wanted !== true && doc?.decision.verdict === 'suppress';
  if (!(untold || unwanted) || firing > 0 || members.size === 0) return null;
  if (pending.some(({ change }) => change === 'fire')) return null;
  const reason = { code: 'ended-while-held', text: 'It ended while it was held back; there is nothing left to tell' };
  const before = doc?.decision.reasons.filter((r) => r.code !== reason.code) ?? [];
  const mode = doc?.decision.mode ?? 'active';
  return {
    decision: { verdict: 'suppress', actionability, mode, reasons: [reason, ...before] },
    done: untold ? 'suppress' : 'notify',
    perAlert: [],
    expiresAt: untold ? state.suppressedUntil : null,
    budget: null,
  };
}
