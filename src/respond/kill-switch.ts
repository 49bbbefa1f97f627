import type { TocsinFile } from '../config/schema.ts';
import * as life from '../correlate/life.ts';
import type { Action, ActionResult } from '../domain/action.ts';
import type { KillSwitch, TripCause } from '../domain/kill-switch.ts';
import type { Reason } from '../domain/reason.ts';
import type { LiveIncident, World } from '../domain/world.ts';

/**
 * The kill switch: everything is passed through plainly, nothing is held back. People turn it on and off; Tocsin turns it on
 * by itself when it must not be trusted, tells the default team by an incident of its own, and never turns it off.
 */

/** One turn by a person, a signal, a file or a trip, in the order of the inbox. */
export function turnKillSwitch(world: World, action: Action, now: number): ActionResult {
  const { on, text, cause } = action.body as { on?: unknown; text?: string; cause?: TripCause };
  if (typeof on !== 'boolean')
    return { status: 400, incidentId: null, detail: 'on: true passes everything through plainly, false ends that' };
  const before = world.killSwitch;
  const done = { status: 200, incidentId: null };
  if (on === before.on) return { ...done, detail: on ? 'was passing everything through already' : 'was off already' };
  if (!on && action.origin === 'file' && before.origin !== 'file')
    return { ...done, detail: `the file is gone, but it was ${before.by} who turned it on: it stays on` };
  turn(world, { on, by: action.by, origin: action.origin, reason: text ?? null, at: now, incidentId: null }, now);
  if (on && action.origin === 'trip') tell(world, cause ?? 'ledger', text ?? 'it must not be trusted', now);
  // The trip's incident has said what it had to.
  const told = !on && before.incidentId !== null ? (world.incidents.get(before.incidentId) ?? null) : null;
  if (told && told.state.status !== 'resolved')
    life.resolve(world, told, now, action.by, 'the kill switch was turned off');
  return { ...done, detail: on ? 'passing everything through' : 'suppression as configured' };
}

/** Turns it on because of what the engine itself saw. */
export function trip(world: World, cause: TripCause, reason: string, now: number): void {
  if (world.killSwitch.on) return;
  turn(world, { on: true, by: 'tocsin', origin: 'trip', reason, at: now, incidentId: null }, now);
  tell(world, cause, reason, now);
  world.out.audit.push({
    at: now,
    who: 'tocsin',
    what: 'kill-switch',
    target: 'tocsin',
    before: { on: false },
    after: { on: true, cause },
    why: reason,
  });
}

function turn(world: World, next: KillSwitch, now: number): void {
  world.killSwitch = next;
  world.out.killSwitch = next;
  // What was held back until now must go out.
  if (next.on)
    for (const incident of world.incidents.values())
      if (incident.state.status !== 'resolved') life.touch(world, incident, now, true);
}

/** An incident that nobody owns goes to the default team, once, on the road of any other. */
function tell(world: World, cause: TripCause, reason: string, now: number): void {
  const incident = life.open(world, `kill-switch:${cause}:${now}`, '', now, now, `kill-switch-${cause}`);
  const title = `Tocsin passes everything through: the kill switch tripped (${cause})`;
  incident.state.declared = { title, severity: 'critical', service: null, team: null };
  const text = `${reason}. Nothing is held back until somebody turns the kill switch off (POST /api/v1/kill-switch).`;
  life.say(world, incident.state.id, now, 'note', text, 'tocsin');
  life.touch(world, incident, now, true);
  world.killSwitch = { ...world.killSwitch, incidentId: incident.state.id };
  world.out.killSwitch = world.killSwitch;
}

/** What a person decided themselves is no mistake of a policy. */
const byHand = (reasons: readonly Reason[]): boolean =>
  reasons.some((reason) => reason.policy === 'silence' || reason.policy === 'snooze');

/**
 * Why holding back must stop, or null: of the critical incidents that began within the window more than `share` are held
 * back by policy. Looked at only when one more is, so that it costs nothing otherwise; counted from the incidents
 * themselves, so that a restart forgets nothing.
 */
export function tooManyCriticalsHeld(
  world: World,
  limits: TocsinFile['kill_switch']['criticals'],
  now: number,
): string | null {
  let all = 0;
  let held = 0;
  for (const { state, doc } of world.incidents.values()) {
    if (doc?.severity !== 'critical' || state.mergedInto !== null || state.startedAt < now - limits.within) continue;
    all += 1;
    if (isHeld(state.heldAt !== null, doc.decision.reasons)) held += 1;
  }
  if (held < limits.at_least || held / all <= limits.share) return null;
  return `${held} of the ${all} critical incidents of the last ${Math.round(limits.within / 60_000)} min would be held back`;
}

const isHeld = (held: boolean, reasons: readonly Reason[]): boolean => held && !byHand(reasons);

/** Since when the oldest change waits for its verdict, epoch ms, or null. */
export function oldestInFlight(incidents: Iterable<LiveIncident>): number | null {
  let oldest: number | null = null;
  for (const { pending } of incidents)
    for (const { alert } of pending) if (oldest === null || alert.updatedAt < oldest) oldest = alert.updatedAt;
  return oldest;
}
