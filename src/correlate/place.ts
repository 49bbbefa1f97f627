import { type Alert, episodeKey } from '../domain/alert.ts';
import { CANARY } from '../domain/canary.ts';
import type { LiveIncident, World } from '../domain/world.ts';
import * as life from './life.ts';
import * as people from './people.ts';
import type { Correlator, Earlier, Point } from './types.ts';

export type PlaceRules = {
  correlator: Correlator;
  /** An alert never joins an incident quieter than this, ms. */
  windowMs: number;
  /** A re-fire within this after the resolve reopens, ms. */
  reopenMs: number;
};

/** What the correlator sees of an alert. A start in the future (clock skew) counts as the arrival. */
export const pointOf = (alert: Alert): Point => ({
  key: episodeKey(alert),
  alert: `${alert.source}/${alert.fingerprint}`,
  tenant: alert.tenant,
  alertname: alert.alertname,
  service: alert.service,
  destination: alert.destination,
  namespace: alert.namespace,
  cluster: alert.cluster,
  severity: alert.severity,
  labels: alert.labels,
  summary: alert.annotations.summary ?? null,
  groupKey: alert.groupKey,
  startsAt: Math.min(alert.startsAt, alert.receivedAt),
  at: alert.receivedAt,
});

/**
 * Puts one newly firing alert into its incident: where a person put it, else the one the correlator finds, which for an
 * alert that fires again may be that of its last episode, else a new one. Merges whatever the alert showed to be one story,
 * unless a person keeps a part of it apart.
 */
export function place(
  world: World,
  rules: PlaceRules,
  fired: { alert: Alert; previous: Alert | null; trace: string },
  now: number,
): LiveIncident {
  const { alert, previous } = fired;
  const { correlator } = rules;
  const point = pointOf(alert);

  if (alert.tenant === CANARY) {
    const incident = life.open(world, point.key, CANARY, alert.startsAt, now, fired.trace);
    life.join(world, incident, alert, now);
    return incident;
  }
  const placement = correlator.place(point, now, previous && earlierOf(world, rules, alert, previous, now));
  const fits = (incident: LiveIncident | null): incident is LiveIncident =>
    incident !== null && takes(incident, rules, now) && !people.separated(world, alert, incident);
  const found = placement.incidentId ? life.living(world, placement.incidentId) : null;
  const bound = people.togetherWith(world, alert, (id) => life.living(world, id)).find(fits) ?? null;
  const home = bound ?? (fits(found) ? found : null);
  const others = placement.merges
    .map((m) => ({ incident: life.living(world, m.incidentId), reason: m.reason }))
    .filter((m): m is { incident: LiveIncident; reason: string } => fits(m.incident));

  let incident =
    home ?? others[0]?.incident ?? life.open(world, point.key, alert.tenant, alert.startsAt, now, fired.trace);
  for (const { incident: other, reason } of others) {
    if (other === incident || people.keptApart(world, incident, other)) continue;
    const elder = life.elderOf(incident, other);
    const younger = elder === incident ? other : incident;
    if (elder.state.status === 'resolved' && younger.firing > 0)
      life.reopen(world, elder, now, null, `merged with incident ${younger.state.number}`);
    life.merge(world, elder, younger, reason, now);
    correlator.merged(younger.state.id, elder.state.id);
    incident = elder;
  }
  if (incident.state.status === 'resolved')
    life.reopen(world, incident, now, null, `${alert.alertname || 'a related alert'} fires`);
  life.join(world, incident, alert, now);
  if (!world.rules.has(alert.alertname)) world.rules.set(alert.alertname, incident.state.id);
  correlator.assigned(point, incident.state.id);
  const note = bound && bound !== found ? 'A person put these alerts together.' : placement.why.note;
  life.markAlert(world, alert, { why: { ...placement.why, note } });
  return incident;
}

/** The incident of the alert's last episode, when it still takes alerts and, if resolved, the alert is back in time. */
function earlierOf(world: World, rules: PlaceRules, alert: Alert, previous: Alert, now: number): Earlier | null {
  const incident = livingOf(world, previous);
  if (!incident || !takes(incident, rules, now)) return null;
  const endedAt = previous.endsAt ?? alert.startsAt;
  const resolved = incident.state.status === 'resolved';
  if (resolved && alert.startsAt - endedAt > rules.reopenMs) return null;
  return { incidentId: incident.state.id, endedAt, resolved };
}

/** Whether an incident still takes alerts: open and not quiet for longer than the window, or resolved only just now. */
export function takes(incident: LiveIncident, rules: Pick<PlaceRules, 'windowMs' | 'reopenMs'>, now: number): boolean {
  const { state } = incident;
  if (state.mergedInto) return false;
  if (state.status === 'resolved') return state.resolvedAt !== null && now - state.resolvedAt <= rules.reopenMs;
  return now - state.lastChangeAt <= rules.windowMs;
}

const livingOf = (world: World, alert: Alert): LiveIncident | null =>
  alert.incidentId ? life.living(world, alert.incidentId) : null;
