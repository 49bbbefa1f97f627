import type { Alert, ClosedBecause, Labels } from '../domain/alert.ts';
import type { SeenAlert } from './seen.ts';

/**
 * The state machine of one alert. Alertmanager's webhook is a lossy, level-triggered, at-least-once hint: every send lists
 * the whole group again, retries and HA twins repeat it, and some resolves never come. What counts is the change against
 * what is already known.
 */
export type Transition =
  /** It starts firing (a first time, or again after it had ended). */
  | { kind: 'fire' }
  /** It fires with a newer start although it never ended here: the old episode's resolve was lost. */
  | { kind: 'refire' }
  /** We had closed it ourselves, or its sender lost touch; the same episode fires after all. */
  | { kind: 'revive' }
  | { kind: 'resolve'; endsAt: number }
  /** A resolve of something never seen firing: kept on record, wakes nobody. */
  | { kind: 'unseen-resolve'; endsAt: number }
  /** No news. */
  | { kind: 'repeat' }
  /** Older than what is known: arrived out of order. */
  | { kind: 'late' };

/** HA twins may stamp the same episode a little differently when the client sent no startsAt. */
const SAME_START_MS = 60_000;
/** A peer may still send the firing state it took before the resolve: at most one group_interval (5 min) old. */
const OUT_OF_ORDER_MS = 5 * 60_000;

/** What a sighting means for an alert, given its current episode (`known`, null when never seen). Pure. */
export function transition(known: Alert | null, seen: SeenAlert, now: number): Transition {
  const endsAt = seen.endsAt ?? now;
  if (!known) return seen.status === 'firing' ? { kind: 'fire' } : { kind: 'unseen-resolve', endsAt };
  // A start that was not sent is only our arrival time: it cannot show that a firing alert began anew.
  const newer = seen.startsAt > known.startsAt + SAME_START_MS && (seen.startsAtSent || known.status === 'resolved');
  if (known.status === 'firing') {
    if (seen.status === 'firing') return newer ? { kind: 'refire' } : { kind: 'repeat' };
    return endsAt < known.startsAt && seen.startsAt < known.startsAt ? { kind: 'late' } : { kind: 'resolve', endsAt };
  }
  if (seen.status === 'resolved') return newer ? { kind: 'unseen-resolve', endsAt } : { kind: 'repeat' };
  if (newer || seen.startsAt >= (known.endsAt ?? known.updatedAt)) return { kind: 'fire' };
  if (seen.startsAt < known.startsAt - SAME_START_MS) return { kind: 'late' };
  if (known.closedBecause !== 'resolved') return { kind: 'revive' };
  return now - known.updatedAt > OUT_OF_ORDER_MS ? { kind: 'revive' } : { kind: 'late' };
}

/** Annotations that a message needs, kept in memory; the store has them all. 100,000 alerts must fit in 250 MB. */
const kept = ['summary', 'description', 'message', 'runbook_url', 'runbook', 'dashboard_url', 'dashboard'];
const KEPT_CHARS = 600;

export function trimAnnotations(annotations: Labels): Labels {
  const trimmed: Record<string, string> = {};
  for (const name of kept) {
    const value = annotations[name];
    if (value) trimmed[name] = value.length > KEPT_CHARS ? `${value.slice(0, KEPT_CHARS)}…` : value;
  }
  return trimmed;
}

/** A new episode from its first sighting. Everything not said stays null. */
export function newEpisode(seen: SeenAlert, source: string, now: number): Alert {
  return {
    source,
    fingerprint: seen.fingerprint,
    labels: seen.labels,
    annotations: trimAnnotations(seen.annotations),
    status: 'firing',
    startsAt: seen.startsAt,
    endsAt: null,
    expiresAt: seen.expiresAt,
    generatorUrl: seen.generatorUrl,
    severity: seen.severity,
    alertname: seen.alertname,
    service: seen.service,
    namespace: seen.namespace,
    cluster: seen.cluster,
    tenant: seen.tenant,
    destination: seen.destination,
    groupKey: seen.groupKey,
    receiver: seen.receiver,
    receivedAt: now,
    updatedAt: now,
    lastSeenAt: now,
    closedBecause: null,
    incidentId: null,
    fireVerdict: null,
    resolveVerdict: null,
    reasons: [],
  };
}

/** Ends an episode in place. The end never lies before the start, whatever the sender's clock said. */
export function close(alert: Alert, endsAt: number, because: ClosedBecause, now: number): void {
  alert.status = 'resolved';
  alert.endsAt = Math.max(endsAt, Math.min(alert.startsAt, now));
  alert.expiresAt = null;
  alert.closedBecause = because;
  alert.updatedAt = now;
}
