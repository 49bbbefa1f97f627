import { parseDuration, type RoutingFile } from '../config/schema.ts';
import * as life from '../correlate/life.ts';
import { linksBetween } from '../correlate/people.ts';
import { type Action, type ActionResult, actionBodies } from '../domain/action.ts';
import { alertKey } from '../domain/alert.ts';
import type { LinkRecord } from '../domain/effects.ts';
import type { LabelKind } from '../domain/label.ts';
import { Severity } from '../domain/severity.ts';
import { rfc } from '../domain/time.ts';
import type { LiveIncident, World } from '../domain/world.ts';
import * as escalation from '../escalate/plan.ts';
import { turnKillSwitch } from './kill-switch.ts';
import { type LabelRules, label } from './label.ts';

/**
 * What people do to incidents: one function for Slack, PagerDuty, API and replay, applied in the one order of the inbox, so
 * that whatever races, each deed counts once. A deed that is already done is fine, not an error.
 */
export type ResponseRules = LabelRules & {
  routing: RoutingFile;
  /** Fires the next escalation step now; false when there is no policy to follow. */
  escalateNow(incident: LiveIncident, by: string, now: number): boolean;
  /** The correlator is told of moves. */
  merged(from: string, into: string): void;
  moved(keys: string[], incidentId: string): void;
};

type Body = {
  text?: string;
  until?: string;
  for?: string;
  into?: string;
  alerts?: string[];
  team?: string;
  person?: string;
  kind?: LabelKind;
  alert?: string;
  other?: string;
  service?: string;
};

const ok = (incident: LiveIncident, detail: string): ActionResult => ({
  status: 200,
  incidentId: incident.state.id,
  detail,
});
const refuse = (status: number, detail: string): ActionResult => ({ status, incidentId: null, detail });

/** The incident an id or number names now: a merged one is followed to the one that lives on. */
function living(world: World, id: string): LiveIncident | null {
  let incident = world.incidents.get(id) ?? null;
  if (!incident && /^\d{1,15}$/.test(id)) {
    for (const candidate of world.incidents.values()) if (candidate.state.number === Number(id)) incident = candidate;
  }
  return incident && life.living(world, incident.state.id);
}

function find(world: World, ref: Action['incident']): LiveIncident | ActionResult {
  if (!ref) return refuse(400, 'no incident was named');
  if ('id' in ref) {
    const incident = living(world, ref.id);
    return (
      incident ?? refuse(409, `Incident ${ref.id} ended too long ago to be changed; notes and feedback still work.`)
    );
  }
  const alert = life.findAlert(world, ref.fingerprint, ref.source);
  if (alert === 'ambiguous')
    return refuse(409, `Several sources have an alert ${ref.fingerprint}; name one with source.`);
  const incident = alert?.incidentId ? living(world, alert.incidentId) : null;
  return incident ?? refuse(404, `No incident holds an alert ${ref.fingerprint}.`);
}

/** Until when `{until}` or `{for}` means, epoch ms; null when neither is usable or the time has passed. */
function untilOf(body: { until?: string; for?: string }, now: number): number | null {
  const until = body.until ? Date.parse(body.until) : body.for ? now + (parseDuration(body.for) ?? 0) : Number.NaN;
  return until > now ? until : null;
}

/** Applies one action. Never throws for what a person can get wrong; the answer says what to do instead. */
export function applyAction(world: World, rules: ResponseRules, action: Action, now: number): ActionResult {
  const before = standing(world, action.incident);
  const result = perform(world, rules, action, now);
  if (result.status < 300) {
    const target = result.incidentId ?? 'tocsin';
    world.out.audit.push({
      at: now,
      who: action.by,
      what: action.do,
      target,
      before,
      after: { ...action.body, became: standing(world, result.incidentId === null ? null : { id: result.incidentId }) },
      why: action.token === undefined ? action.origin : `${action.origin} (token ${action.token})`,
    });
  }
  return result;
}

/** What people can change of an incident, for the audit trail: before and after. */
function standing(world: World, ref: Action['incident']): Record<string, unknown> | null {
  const incident = ref ? find(world, ref) : null;
  if (!incident || !('state' in incident)) return null;
  const { status, acknowledgedBy, resolvedBy, assignee, snoozedUntil, silencedUntil } = incident.state;
  return { status, acknowledgedBy, resolvedBy, assignee, snoozedUntil, silencedUntil };
}

function perform(world: World, rules: ResponseRules, action: Action, now: number): ActionResult {
  if (action.do === 'kill-switch') return turnKillSwitch(world, action, now);
  if (action.do === 'declare') return declare(world, rules, action, now);
  const parsed =
    action.do === 'unacknowledge' ? null : actionBodies[action.do].safeParse({ by: action.by, ...action.body });
  if (parsed && !parsed.success)
    return refuse(400, parsed.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`).join('; '));
  const body: Body = parsed?.data ?? {};
  if (action.do === 'note' || action.do === 'feedback') return remember(world, rules, action, body, now);
  const incident = find(world, action.incident);
  if (!('state' in incident)) return incident;
  if (action.origin === 'pagerduty') incident.echo = 'pagerduty';
  const { state } = incident;
  const policy = state.escalation ? rules.routing.escalation_policies[state.escalation.policy] : null;
  const ended = (): ActionResult => refuse(409, `Incident ${state.number} is resolved; reopen it first.`);
  const said = body.text ? `: ${body.text}` : '';

  switch (action.do) {
    case 'acknowledge':
      if (state.status === 'resolved') return ended();
      if (state.status === 'acknowledged') return ok(incident, `already acknowledged by ${state.acknowledgedBy}`);
      state.status = 'acknowledged';
      state.acknowledgedAt = now;
      state.acknowledgedBy = action.by;
      state.snoozedUntil = null;
      if (state.escalation) {
        const awake = escalation.unsnooze(state.escalation, policy, now);
        state.escalation = escalation.acknowledge(awake, policy, now);
      }
      life.say(world, state.id, now, 'acknowledged', `Acknowledged by ${action.by}${said}`, action.by, {
        origin: action.origin,
      });
      life.touch(world, incident, now, true);
      return ok(incident, 'acknowledged');
    case 'unacknowledge':
      if (state.status !== 'acknowledged') return ok(incident, 'was not acknowledged');
      state.status = 'open';
      state.acknowledgedAt = null;
      state.acknowledgedBy = null;
      if (state.escalation) state.escalation = escalation.unacknowledge(state.escalation, policy, now);
      life.say(world, state.id, now, 'unacknowledged', `Given back by ${action.by}; the escalation goes on`, action.by);
      life.touch(world, incident, now, true);
      return ok(incident, 'unacknowledged');
    case 'resolve':
      if (state.status === 'resolved') return ok(incident, 'already resolved');
      life.resolve(world, incident, now, action.by, body.text ?? 'by hand');
      return ok(incident, 'resolved');
    case 'reopen':
      if (state.mergedInto)
        return refuse(409, `Incident ${state.number} was merged into ${state.mergedInto}; reopen that one.`);
      if (state.status !== 'resolved') return ok(incident, 'is open');
      life.reopen(world, incident, now, action.by, body.text ?? 'by hand');
      return ok(incident, 'reopened');
    case 'snooze': {
      if (state.status === 'resolved') return ended();
      const until = untilOf(body, now);
      if (until === null)
        return refuse(400, 'Say how long: {"for":"30m"} or {"until":"<RFC 3339 time in the future>"}.');
      state.snoozedUntil = until;
      if (state.escalation) state.escalation = escalation.snooze(state.escalation);
      life.say(world, state.id, now, 'snoozed', `Snoozed until ${rfc(until)} by ${action.by}${said}`, action.by, {
        until: rfc(until),
      });
      life.touch(world, incident, now, true);
      return ok(incident, `snoozed until ${rfc(until)}`);
    }
    case 'silence': {
      const until = untilOf(body, now);
      if (until === null)
        return refuse(400, 'Say how long: {"for":"2h"} or {"until":"<RFC 3339 time in the future>"}.');
      const alerts = [...new Set([...incident.members.values()].map(alertKey))];
      const silence = {
        id: action.id,
        incidentId: state.id,
        alerts,
        until,
        by: action.by,
        at: now,
        text: body.text ?? null,
      };
      world.silences.push(silence);
      world.out.silences.push(silence);
      state.silencedUntil = until;
      if (state.escalation) state.escalation = escalation.snooze(state.escalation);
      state.snoozedUntil = until;
      life.say(world, state.id, now, 'silenced', `Silenced until ${rfc(until)} by ${action.by}${said}`, action.by, {
        until: rfc(until),
      });
      life.touch(world, incident, now, true);
      return ok(incident, `silenced until ${rfc(until)}`);
    }
    case 'assign': {
      const { team, person } = body;
      if ((team === undefined) === (person === undefined)) return refuse(400, 'Name either a team or a person.');
      if (team !== undefined && !rules.routing.teams[team])
        return refuse(400, `There is no team ${team}; the teams are ${Object.keys(rules.routing.teams).join(', ')}.`);
      if (person !== undefined && !rules.routing.people[person])
        return refuse(
          400,
          `There is no person ${person}; the people are ${Object.keys(rules.routing.people).join(', ')}.`,
        );
      state.assignee = team !== undefined ? { team } : { person: person! };
      life.say(world, state.id, now, 'assigned', `Assigned to ${team ?? person} by ${action.by}${said}`, action.by);
      life.touch(world, incident, now, true);
      return ok(incident, `assigned to ${team ?? person}`);
    }
    case 'escalate':
      if (state.status === 'resolved') return ended();
      if (!rules.escalateNow(incident, action.by, now))
        return refuse(
          409,
          `Incident ${state.number} follows no escalation policy; give its route one in routing.yaml.`,
        );
      life.touch(world, incident, now, true);
      return ok(incident, 'escalated');
    case 'merge': {
      const other = living(world, body.into!);
      if (!other) return refuse(404, `There is no open incident ${body.into!} to merge into.`);
      if (other === incident) return ok(incident, 'already one incident');
      if (other.state.tenant !== state.tenant) return refuse(409, 'Incidents of different tenants are never merged.');
      const elder = life.elderOf(incident, other);
      const younger = elder === incident ? other : incident;
      if (elder.state.status === 'resolved' && younger.firing > 0)
        life.reopen(world, elder, now, action.by, `merged with incident ${younger.state.number}`);
      linkAll(world, rules, 'must', younger, elder, action.by, now);
      life.merge(world, elder, younger, body.text ?? 'by hand', now, action.by);
      rules.merged(younger.state.id, elder.state.id);
      return ok(elder, `merged into incident ${elder.state.number}`);
    }
    case 'split': {
      const wanted = new Set(body.alerts);
      const moving = [...incident.members.values()].filter((a) => wanted.has(a.fingerprint));
      if (moving.length === 0) return refuse(404, `Incident ${state.number} holds none of these alerts.`);
      if (moving.length === incident.members.size) return refuse(409, 'A split must leave at least one alert behind.');
      const fresh = life.split(world, incident, moving, now, action.by);
      linkAll(world, rules, 'cannot', fresh, incident, action.by, now);
      rules.moved([...fresh.members.keys()], fresh.state.id);
      return ok(fresh, `split off as incident ${fresh.state.number}`);
    }
  }
}

/** A merge or split by a person holds for the alerts' next firings too. */
function linkAll(
  world: World,
  rules: ResponseRules,
  kind: LinkRecord['kind'],
  a: LiveIncident,
  b: LiveIncident,
  by: string,
  now: number,
): void {
  const keys = (incident: LiveIncident) => [...incident.members.values()].map(alertKey);
  for (const link of linksBetween(keys(a), keys(b), { kind, by, at: now, incidentId: b.state.id })) {
    world.out.links.push(link);
    rules.link(link);
  }
}

/** Notes and feedback are taken for ever, also on incidents the engine no longer holds. */
function remember(world: World, rules: ResponseRules, action: Action, body: Body, now: number): ActionResult {
  const ref = action.incident;
  const found = find(world, ref);
  const held = 'state' in found ? found : null;
  const id = held?.state.id ?? (ref && 'id' in ref && /^[0-9a-f]{24}$/.test(ref.id) ? ref.id : null);
  if (id === null) return found as ActionResult;
  if (action.do === 'feedback') {
    const { kind, alert = null, other = null, service = null, text = null } = body;
    return label(world, rules, held, id, action, { kind: kind!, alert, other, service, text }, now);
  }
  life.say(world, id, now, 'note', `${action.by}: ${body.text}`, action.by);
  return { status: 200, incidentId: id, detail: 'noted' };
}

function declare(world: World, rules: ResponseRules, action: Action, now: number): ActionResult {
  const { title, severity, service, team, text } = action.body as Record<string, string | undefined>;
  const worst = Severity.safeParse(severity ?? 'high');
  if (!title) return refuse(400, 'title: say in a few words what is wrong');
  if (!worst.success) return refuse(400, 'severity: one of critical, high, medium, low, info');
  if (team && !rules.routing.teams[team]) return refuse(400, `team: there is no team ${team}`);
  const incident = life.open(world, `declared:${action.id}`, '', now, now, action.id);
  incident.state.declared = { title, severity: worst.data, service: service ?? null, team: team ?? null };
  life.say(world, incident.state.id, now, 'note', `Declared by ${action.by}${text ? `: ${text}` : ''}`, action.by);
  life.touch(world, incident, now, true);
  return { status: 201, incidentId: incident.state.id, detail: 'declared' };
}
