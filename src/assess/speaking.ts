import type { Alert } from '../domain/alert.ts';
import { severityRank } from '../domain/severity.ts';
import type { LiveIncident } from '../domain/world.ts';
import type { Subject } from '../enrich/gather.ts';
import { clearSuspect } from '../score/similar.ts';

/** Alerts handed to the fact sources. */
const SUBJECT_ALERTS = 20;

const byWeight = (a: Alert, b: Alert): number =>
  severityRank(a.severity) - severityRank(b.severity) ||
  a.startsAt - b.startsAt ||
  (a.fingerprint < b.fingerprint ? -1 : 1);

/** The alerts that speak for the incident: the firing ones, or all when none fires any more; worst and earliest first. */
export function speaking(incident: LiveIncident): Alert[] {
  const all = [...incident.members.values()];
  const firing = all.filter((a) => a.status === 'firing');
  return (firing.length > 0 ? firing : all).sort(byWeight);
}

export const servicesOf = (alerts: Iterable<Alert>): { service: string; namespace: string | null }[] => {
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
