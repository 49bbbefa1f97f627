import type { RoutingFile } from '../config/schema.ts';
import * as life from '../correlate/life.ts';
import type { Target } from '../domain/notification.ts';
import type { LiveIncident, World } from '../domain/world.ts';
import { post, sameTarget } from '../notify/announce.ts';
import * as plan from './plan.ts';
import type { Notified } from './resolve-notify.ts';

export type TimerRules = {
  routing: RoutingFile;
  /** The addresses behind a step's `notify` for this incident, now; `said` tells of those that led nowhere. */
  reach(incident: LiveIncident, notify: string[], now: number): Notified;
  /** The route's other targets, for when one keeps failing. */
  fallback(incident: LiveIncident): Target[];
};

const policyOf = (rules: TimerRules, incident: LiveIncident): plan.Policy | null => {
  const name = incident.state.escalation?.policy;
  return name !== undefined && Object.hasOwn(rules.routing.escalation_policies, name)
    ? rules.routing.escalation_policies[name]!
    : null;
};

const clock = (at: number): string => new Date(at).toISOString();

/** The next moment at which an incident needs a look by itself, epoch ms, or null. */
export function dueAt(incident: LiveIncident): number | null {
  const { state } = incident;
  if (state.status === 'resolved') return null;
  const times = [
    plan.wakeAt(state.escalation),
    state.snoozedUntil,
    state.suppressedUntil,
    state.resolveDueAt,
    state.lookAgainAt ?? null,
  ].filter((t) => t !== null);
  return times.length === 0 ? null : Math.min(...times);
}

/** Everything an incident's clocks ask for at `now`: resolve after the hold, time-outs, ends of snoozes, steps due. */
export function advanceIncident(world: World, rules: TimerRules, incident: LiveIncident, now: number): void {
  const { state } = incident;
  if (state.status === 'resolved') return;
  if (state.resolveDueAt !== null && state.resolveDueAt <= now) {
    state.resolveDueAt = null;
    if (incident.firing === 0) {
      life.resolve(world, incident, now, null, 'every alert has resolved and stayed so');
      return;
    }
  }
  if (state.snoozedUntil !== null && state.snoozedUntil <= now) {
    state.snoozedUntil = null;
    state.silencedUntil = null;
    if (state.escalation) state.escalation = plan.unsnooze(state.escalation, policyOf(rules, incident), now);
    life.say(world, state.id, now, 'unsnoozed', 'The snooze is over and it still fires');
    life.touch(world, incident, now, true);
  }
  if (state.suppressedUntil !== null && state.suppressedUntil <= now) {
    state.suppressedUntil = null;
    life.touch(world, incident, now, true);
  }
  if (state.lookAgainAt && state.lookAgainAt <= now) {
    state.lookAgainAt = null;
    life.touch(world, incident, now, true);
  }
  if (!state.escalation) return;
  const policy = policyOf(rules, incident);
  const timedOut = plan.ackTimedOut(state.escalation, policy, now);
  if (timedOut) {
    const by = state.acknowledgedBy;
    state.status = 'open';
    state.acknowledgedAt = null;
    state.acknowledgedBy = null;
    state.escalation = timedOut;
    life.say(
      world,
      state.id,
      now,
      'ack-timeout',
      `Still firing long after ${by} acknowledged it: unacknowledged, the escalation goes on`,
    );
    life.touch(world, incident, now, true);
  }
  // A step that reaches nobody hands over to the next at once; no policy has more steps than this loop allows.
  for (let guard = 0; guard < 100; guard += 1) {
    const { fire, state: after, said } = plan.due(state.escalation, policy, now);
    if (after !== state.escalation) world.touched.add(state.id);
    state.escalation = after;
    if (said) life.say(world, state.id, now, 'escalation-skipped', said);
    if (!fire) return;
    life.touch(world, incident, now);
    if (tell(world, rules, incident, fire, `${stepName(fire)}`, null, now)) return;
    state.escalation = plan.atOnce(state.escalation, policy, now);
  }
}

const stepName = (fire: plan.Fired): string =>
  fire.round === 0 ? `step ${fire.step + 1}` : `step ${fire.step + 1}, round ${fire.round + 1}`;

/** A person asks for the next step now. False when the incident follows no policy. */
export function escalateNow(world: World, rules: TimerRules, incident: LiveIncident, by: string, now: number): boolean {
  const { state } = incident;
  const policy = policyOf(rules, incident);
  if (!state.escalation || !policy) return false;
  for (let guard = 0; guard < 100; guard += 1) {
    const next = plan.escalateNow(state.escalation, policy, now);
    if (!next) return false;
    state.escalation = next.state;
    if (tell(world, rules, incident, next.fire, `${by} asked for ${stepName(next.fire)}`, by, now)) return true;
    if (next.fire.step >= policy.steps.length - 1) return true;
  }
  return true;
}

/** Tells everyone a step names, and the teams that impact adds; false when none of those it names was reached. */
function tell(
  world: World,
  rules: TimerRules,
  incident: LiveIncident,
  fire: plan.Fired,
  why: string,
  by: string | null,
  now: number,
): boolean {
  const { state } = incident;
  const { targets, people, said, reached } = rules.reach(incident, fire.notify, now);
  const named = fire.notify.join(', ');
  for (const line of said) life.say(world, state.id, now, 'escalation-skipped', line);
  if (!reached) {
    const text = `Escalation ${why} (${named}) reached nobody it names; going on at once`;
    life.say(world, state.id, now, 'escalation-skipped', text);
  }
  if (targets.length === 0) return reached;
  const whom = people.length > 0 ? people.join(', ') : named;
  const text = `Escalated to ${whom}: ${why}, nobody has acknowledged since ${clock(state.firstNotifiedAt ?? now)}`;
  life.say(world, state.id, now, 'escalated', text, by, { step: fire.step, round: fire.round, notify: fire.notify });
  const fallback = rules.fallback(incident);
  for (const target of targets) {
    if (!state.told.some((t) => sameTarget(t, target))) state.told.push(target);
    post(world, incident, target, 'escalate', now, { text, broadcast: true, fallback });
  }
  // The thread under the first Slack message shows it too, whoever is paged.
  const home = state.told.find((t) => t.channel === 'slack');
  if (home && !targets.some((t) => sameTarget(t, home)))
    post(world, incident, home, 'thread', now, { text, broadcast: true });
  return reached;
}
