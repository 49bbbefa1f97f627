import type { Models } from '../../config/models.ts';
import type { ServiceMetric } from '../../domain/facts.ts';
import type { RootCause } from '../../domain/incident.ts';
import { type CauseAlert, type CausesInput, rankCauses } from '../../score/causes.ts';
import { createCorrelator, type Tuning } from '../correlator.ts';
import { buildGraph } from '../graph.ts';
import type { Correlator, Point } from '../types.ts';
import type { Episode, Stream } from './streams.ts';

type Incident = {
  id: string;
  number: number;
  members: Map<string, CauseAlert>;
  firing: Set<string>;
  lastChangeAt: number;
  resolvedAt: number | null;
  mergedInto: Incident | null;
  closed: boolean;
};

export type Outcome = {
  /** `<fingerprint>@<startsAt>` of the recording -> incident. */
  assignments: Map<string, string>;
  incidents: Map<string, { alerts: CauseAlert[]; startedAt: number }>;
};

const severity: Record<string, Point['severity']> = {
  critical: 'critical',
  page: 'critical',
  error: 'high',
  warning: 'medium',
  info: 'low',
  none: 'info',
};

export function pointOf(e: Episode): Point {
  const { labels } = e;
  return {
    key: `bench/${e.id}`,
    alert: `bench/${e.fingerprint}`,
    tenant: '',
    alertname: labels.alertname ?? '',
    service: labels.service ?? null,
    destination: labels.destination_service ?? null,
    namespace: labels.namespace ?? null,
    cluster: labels.cluster ?? null,
    severity: severity[labels.severity ?? ''] ?? 'medium',
    labels,
    summary: e.summary,
    groupKey: e.groupKey,
    startsAt: e.startsAt,
    at: e.startsAt + e.delayMs,
  };
}

/** What the engine does around the correlator, without store, people or notifications: episodes in, incidents out. */
export function correlateStream(
  stream: Stream,
  models: Models,
  how: { windowMs?: number; reopenMs?: number; tuning?: Partial<Tuning>; correlator?: Correlator } = {},
): Outcome {
  const windowMs = how.windowMs ?? 900_000;
  const reopenMs = how.reopenMs ?? 300_000;
  const fresh = (): Correlator =>
    createCorrelator({ graph: buildGraph(stream.topology), windowMs }, models.correlation, how.tuning);
  const correlator = how.correlator ?? fresh();
  if (stream.before) {
    const earlier = fresh();
    correlateStream(stream.before, models, { ...how, correlator: earlier });
    correlator.loadMemory(earlier.drainMemory());
  }
  const events: { at: number; fire: boolean; episode: Episode }[] = [];
  for (const e of stream.episodes) {
    events.push({ at: e.startsAt + e.delayMs, fire: true, episode: e });
    if (e.endsAt !== null)
      events.push({ at: Math.max(e.endsAt + e.resolveDelayMs, e.startsAt + e.delayMs), fire: false, episode: e });
  }
  events.sort((a, b) => a.at - b.at || Number(b.fire) - Number(a.fire));

  const open = new Map<string, Incident>();
  const all: Incident[] = [];
  const ofEpisode = new Map<string, Incident>();
  const lastOf = new Map<string, { incident: Incident; endedAt: number | null }>();
  const live = (i: Incident): Incident => (i.mergedInto ? live(i.mergedInto) : i);
  const sweep = (now: number): void => {
    for (const incident of open.values()) {
      const over = incident.resolvedAt !== null && now - incident.resolvedAt > reopenMs;
      if (over || now - incident.lastChangeAt > windowMs) {
        incident.closed = true;
        open.delete(incident.id);
        correlator.closed(incident.id);
      }
    }
  };
  for (const { at, fire, episode } of events) {
    sweep(at);
    correlator.expire(at);
    if (!fire) {
      const incident = ofEpisode.get(episode.id);
      if (!incident) continue;
      const now = live(incident);
      now.firing.delete(episode.id);
      now.lastChangeAt = at;
      if (now.firing.size === 0) now.resolvedAt = at;
      const last = lastOf.get(episode.fingerprint);
      if (last) last.endedAt = episode.endsAt;
      continue;
    }
    const point = pointOf(episode);
    const before = lastOf.get(episode.fingerprint);
    let incident: Incident | null = null;
    {
      const home = before ? live(before.incident) : null;
      const endedAt = before?.endedAt ?? point.startsAt;
      const resolved = home !== null && home.resolvedAt !== null;
      const takes = home !== null && !home.closed && (!resolved || point.startsAt - endedAt <= reopenMs);
      const earlier = takes ? { incidentId: home.id, endedAt, resolved } : null;
      const placement = correlator.place(point, at, earlier);
      incident = placement.incidentId === null ? null : (open.get(placement.incidentId) ?? null);
      if (placement.incidentId !== null && !incident)
        throw new Error(`placed into an incident that is not open: ${placement.incidentId}`);
      for (const { incidentId } of placement.merges) {
        const other = open.get(incidentId);
        if (!other || !incident || other === incident) continue;
        const [elder, younger] = other.number < incident.number ? [other, incident] : [incident, other];
        for (const [k, m] of younger.members) elder.members.set(k, m);
        for (const f of younger.firing) elder.firing.add(f);
        elder.lastChangeAt = Math.max(elder.lastChangeAt, younger.lastChangeAt);
        younger.mergedInto = elder;
        open.delete(younger.id);
        correlator.merged(younger.id, elder.id);
        incident = elder;
      }
    }
    if (!incident) {
      const number = all.length + 1;
      incident = {
        id: `i${number}`,
        number,
        members: new Map(),
        firing: new Set(),
        lastChangeAt: at,
        resolvedAt: null,
        mergedInto: null,
        closed: false,
      };
      all.push(incident);
      open.set(incident.id, incident);
    }
    correlator.assigned(point, incident.id);
    incident.members.set(episode.id, { ...point, status: 'firing', relevance: correlator.relevance(point).relevance });
    incident.firing.add(episode.id);
    incident.lastChangeAt = at;
    incident.resolvedAt = null;
    ofEpisode.set(episode.id, incident);
    lastOf.set(episode.fingerprint, { incident, endedAt: null });
  }
  const assignments = new Map<string, string>();
  const incidents: Outcome['incidents'] = new Map();
  for (const [id, incident] of ofEpisode) assignments.set(id, live(incident).id);
  for (const incident of all) {
    if (incident.mergedInto) continue;
    const alerts = [...incident.members.values()];
    incidents.set(incident.id, { alerts, startedAt: Math.min(...alerts.map((a) => a.startsAt)) });
  }
  return { assignments, incidents };
}

/** Ranks every incident's causes. `metricsOf` gives the metric facts of an incident, nothing when alerts stand alone. */
export function rankAll(
  stream: Stream,
  outcome: Outcome,
  models: Models,
  metricsOf: (alerts: CauseAlert[], startedAt: number) => ServiceMetric[] = () => [],
  rank: (input: CausesInput, model: Models['causes']) => RootCause[] = rankCauses,
): Map<string, RootCause[]> {
  const graph = buildGraph(stream.topology);
  const causes = new Map<string, RootCause[]>();
  for (const [id, { alerts, startedAt }] of outcome.incidents) {
    const input: CausesInput = {
      alerts,
      graph,
      deploys: [],
      serviceMetrics: metricsOf(alerts, startedAt),
      startedAt,
      now: startedAt,
    };
    causes.set(id, rank(input, models.causes));
  }
  return causes;
}
