import { createHash } from 'node:crypto';
import { type Alert, alertKey, episodeKey } from '../domain/alert.ts';
import type { IncidentState, PlacementWhy } from '../domain/effects.ts';
import type { TimelineEntry } from '../domain/timeline.ts';
import type { LiveIncident, World } from '../domain/world.ts';

/**
 * The life of an incident: opened, joined, left, merged, split, resolved, reopened. Each step changes the world in place
 * and notes what the store must write; nothing here decides who is told.
 */

/** A stable id: the same first alert under the same number gives the same id, in the service and in replay. */
const incidentId = (seed: string, number: number): string =>
  createHash('sha256').update(`${seed}#${number}`).digest('hex').slice(0, 24);

export function say(
  world: World,
  incidentId: string,
  at: number,
  kind: TimelineEntry['kind'],
  text: string,
  by: string | null = null,
  data: Record<string, unknown> = {},
): void {
  world.out.timeline.push({ incidentId, at, kind, text, by, data });
}

/** Something about the incident changed: it is judged anew and written with the next commit. */
export function touch(world: World, incident: LiveIncident, now: number, urgent = false): void {
  incident.state.revision += 1;
  incident.state.updatedAt = now;
  incident.urgent ||= urgent;
  world.dirty.add(incident.state.id);
  world.touched.add(incident.state.id);
}

/** A new incident without members; `seed` makes the id. */
export function open(
  world: World,
  seed: string,
  tenant: string,
  startedAt: number,
  now: number,
  trace: string,
): LiveIncident {
  const number = world.nextNumber++;
  const state: IncidentState = {
    id: incidentId(seed, number),
    number,
    tenant,
    status: 'open',
    startedAt,
    updatedAt: now,
    lastChangeAt: now,
    acknowledgedAt: null,
    acknowledgedBy: null,
    resolvedAt: null,
    resolvedBy: null,
    mergedInto: null,
    mergedFrom: [],
    assignee: null,
    snoozedUntil: null,
    silencedUntil: null,
    declared: null,
    revision: 0,
    assessedRevision: 0,
    assessedAt: null,
    firstNotifiedAt: null,
    notifiedSeverity: null,
    notifiedServices: [],
    told: [],
    toldAs: null,
    shown: null,
    handedOver: false,
    notices: 0,
    suppressedUntil: null,
    heldAt: null,
    reopens: 0,
    resolveDueAt: null,
    escalation: null,
    trace,
  };
  const incident: LiveIncident = {
    state,
    doc: null,
    members: new Map(),
    firing: 0,
    pending: [],
    assessing: null,
    fresh: true,
    echo: null,
    urgent: true,
  };
  world.incidents.set(state.id, incident);
  say(world, state.id, now, 'opened', `Incident ${number} opened`);
  return incident;
}

/** An alert starts firing in this incident. */
export function join(world: World, incident: LiveIncident, alert: Alert, now: number): void {
  const { state } = incident;
  const key = episodeKey(alert);
  alert.incidentId = state.id;
  if (!incident.members.has(key) || incident.members.get(key)?.status !== 'firing') incident.firing += 1;
  incident.members.set(key, alert);
  incident.pending.push({ alert, change: 'fire' });
  state.startedAt = Math.min(state.startedAt, alert.startsAt > 0 ? alert.startsAt : now);
  state.lastChangeAt = now;
  state.resolveDueAt = null;
  touch(world, incident, now);
}

/** A member stopped firing. When it was the last, the incident resolves: at once, or after a hold when it keeps coming back. */
export function leave(world: World, incident: LiveIncident, alert: Alert, now: number, reopenMs: number): void {
  const { state } = incident;
  incident.firing -= 1;
  incident.pending.push({ alert, change: 'resolve' });
  state.lastChangeAt = now;
  touch(world, incident, now);
  if (incident.firing > 0 || state.status === 'resolved' || state.declared) return;
  const hold = resolveHold(state.reopens, reopenMs);
  if (hold === 0) resolve(world, incident, now, null, 'every alert has resolved');
  else state.resolveDueAt = now + hold;
}

/** How long an incident that came back `reopens` times must stay quiet: 0, then 30 s doubling up to the reopen window. */
export const resolveHold = (reopens: number, reopenMs: number): number =>
  reopens === 0 ? 0 : Math.min(reopenMs, 30_000 * 2 ** Math.min(reopens - 1, 20));

export function resolve(world: World, incident: LiveIncident, now: number, by: string | null, why: string): void {
  const { state } = incident;
  state.status = 'resolved';
  state.resolvedAt = now;
  state.resolvedBy = by;
  state.resolveDueAt = null;
  state.snoozedUntil = null;
  state.suppressedUntil = null;
  if (state.escalation) state.escalation = { ...state.escalation, dueAt: null, ackTimeoutAt: null };
  say(world, state.id, now, 'resolved', by ? `Resolved by ${by}: ${why}` : `Resolved: ${why}`, by);
  touch(world, incident, now, true);
}

export function reopen(world: World, incident: LiveIncident, now: number, by: string | null, why: string): void {
  const { state } = incident;
  state.status = 'open';
  state.resolvedAt = null;
  state.resolvedBy = null;
  state.acknowledgedAt = null;
  state.acknowledgedBy = null;
  state.reopens += 1;
  state.wanted = false;
  state.escalation = null;
  say(world, state.id, now, 'reopened', by ? `Reopened by ${by}: ${why}` : `Reopened: ${why}`, by);
  touch(world, incident, now, true);
}

/** Which of two incidents lives on: the one a human or a message knows longest, that is the lower number. */
export const elderOf = (a: LiveIncident, b: LiveIncident): LiveIncident => (a.state.number < b.state.number ? a : b);

/** The younger's alerts move to the elder; it stays readable as resolved with `mergedInto`. */
export function merge(
  world: World,
  elder: LiveIncident,
  younger: LiveIncident,
  reason: string,
  now: number,
  by: string | null = null,
): void {
  for (const [key, alert] of younger.members) {
    alert.incidentId = elder.state.id;
    elder.members.set(key, alert);
    markAlert(world, alert);
  }
  elder.firing += younger.firing;
  elder.pending.push(...younger.pending);
  elder.state.startedAt = Math.min(elder.state.startedAt, younger.state.startedAt);
  elder.state.lastChangeAt = Math.max(elder.state.lastChangeAt, younger.state.lastChangeAt);
  if (younger.firing > 0) elder.state.resolveDueAt = null;
  if (younger.fresh) {
    absorb(world, younger);
    touch(world, elder, now, true);
    return;
  }
  elder.state.mergedFrom.push(younger.state.id);
  younger.members = new Map();
  younger.firing = 0;
  younger.pending = [];
  younger.state.mergedInto = elder.state.id;
  say(world, elder.state.id, now, 'merged', `Incident ${younger.state.number} is part of this one: ${reason}`, by, {
    from: younger.state.id,
  });
  say(world, younger.state.id, now, 'merged', `Merged into incident ${elder.state.number}: ${reason}`, by, {
    into: elder.state.id,
  });
  if (younger.state.status !== 'resolved')
    resolve(world, younger, now, by, `merged into incident ${elder.state.number}`);
  else touch(world, younger, now);
  touch(world, elder, now, true);
}

/** An incident that nobody outside has heard of yet disappears without a trace. */
function absorb(world: World, incident: LiveIncident): void {
  const { id } = incident.state;
  world.incidents.delete(id);
  world.dirty.delete(id);
  world.touched.delete(id);
  world.out.timeline = world.out.timeline.filter((entry) => entry.incidentId !== id);
}

/** These alerts were another story: they get an incident of their own, which takes over how they stand. */
export function split(world: World, from: LiveIncident, alerts: Alert[], now: number, by: string): LiveIncident {
  const first = alerts.reduce((a, b) => (b.startsAt < a.startsAt ? b : a));
  const fresh = open(world, `split:${episodeKey(first)}`, from.state.tenant, first.startsAt, now, from.state.trace);
  for (const alert of alerts) {
    const key = episodeKey(alert);
    from.members.delete(key);
    fresh.members.set(key, alert);
    if (alert.status === 'firing') {
      from.firing -= 1;
      fresh.firing += 1;
    }
    alert.incidentId = fresh.state.id;
    markAlert(world, alert);
  }
  const moved = new Set(alerts);
  fresh.pending = from.pending.filter((p) => moved.has(p.alert));
  from.pending = from.pending.filter((p) => !moved.has(p.alert));
  say(world, from.state.id, now, 'split', `${alerts.length} alerts split off as incident ${fresh.state.number}`, by, {
    into: fresh.state.id,
  });
  say(world, fresh.state.id, now, 'split', `Split off from incident ${from.state.number}`, by, { from: from.state.id });
  touch(world, from, now, true);
  touch(world, fresh, now, true);
  if (fresh.firing === 0) resolve(world, fresh, now, null, 'none of its alerts fires');
  if (from.firing === 0 && from.state.status !== 'resolved' && !from.state.declared)
    resolve(world, from, now, null, 'none of its remaining alerts fires');
  return fresh;
}

/** The alert's row is to be written with the next commit. */
export function markAlert(
  world: World,
  alert: Alert,
  more: { annotations?: Alert['annotations']; why?: PlacementWhy; deliveryId?: string | null } = {},
): void {
  const key = episodeKey(alert);
  const known = world.written.get(key);
  world.written.set(key, {
    alert,
    annotations: more.annotations ?? known?.annotations ?? null,
    why: more.why ?? known?.why ?? null,
    deliveryId: more.deliveryId ?? known?.deliveryId ?? null,
  });
}

/** An incident by its id; a merged one is followed to the one that lives on. */
export function living(world: World, id: string): LiveIncident | null {
  let incident = world.incidents.get(id) ?? null;
  for (let hops = 0; incident?.state.mergedInto && hops < 50; hops += 1)
    incident = world.incidents.get(incident.state.mergedInto) ?? null;
  return incident;
}

/** The incident an alert stands in, if the engine still holds it. */
export const incidentOf = (world: World, alert: Alert): LiveIncident | null =>
  (alert.incidentId && world.incidents.get(alert.incidentId)) || null;

/** An alert by what people type: a fingerprint, with the source when it is not unique. */
export function findAlert(world: World, fingerprint: string, source?: string): Alert | 'ambiguous' | null {
  if (source) return world.alerts.get(alertKey({ source, fingerprint })) ?? null;
  let found: Alert | null = null;
  for (const alert of world.alerts.values()) {
    if (alert.fingerprint !== fingerprint) continue;
    if (found) return 'ambiguous';
    found = alert;
  }
  return found;
}
