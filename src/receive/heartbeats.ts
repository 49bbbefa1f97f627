import { createHash } from 'node:crypto';
import type { HeartbeatRecord } from '../domain/effects.ts';
import type { World } from '../domain/world.ts';
import type { SeenAlert } from './seen.ts';
import type { Sighting } from './take-in.ts';

/** The source of alerts that Tocsin raises about its own surroundings. */
export const OWN_SOURCE = 'tocsin';

/** When the next heartbeat will have been missing too long, epoch ms, or null. */
export function heartbeatDue(world: World): number | null {
  let next: number | null = null;
  for (const { lastSeenAt, within, missingSince } of world.heartbeats.values()) {
    if (within === null || missingSince !== null) continue;
    const at = lastSeenAt + within;
    if (next === null || at < next) next = at;
  }
  return next;
}

/**
 * A heartbeat silent for longer than its `within` becomes a critical alert of Tocsin's own, and resolves when it is heard
 * again. `take` puts the alert on the same road as any other.
 */
export function checkHeartbeats(world: World, now: number, take: (sighting: Sighting) => void): void {
  for (const record of world.heartbeats.values()) {
    const firing = world.alerts.get(`${OWN_SOURCE}/${fingerprintOf(record)}`)?.status === 'firing';
    const missing = record.within !== null && now - record.lastSeenAt >= record.within;
    if (missing === firing) continue;
    const next = { ...record, missingSince: missing ? now : null };
    world.heartbeats.set(record.key, next);
    world.out.heartbeats.push(next);
    take({ source: OWN_SOURCE, deliveryId: null, trace: fingerprintOf(record), seen: [alertOf(record, missing, now)] });
  }
}

const fingerprintOf = (record: HeartbeatRecord): string =>
  createHash('sha256').update(`heartbeat ${record.key}`).digest('hex').slice(0, 16);

function alertOf(record: HeartbeatRecord, missing: boolean, now: number): SeenAlert {
  const seconds = Math.round((record.within ?? 0) / 1_000);
  const span = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  const summary = `Heartbeat ${record.name} has not come for ${span}: the alerting chain that sends it may be dead`;
  return {
    fingerprint: fingerprintOf(record),
    status: missing ? 'firing' : 'resolved',
    labels: {
      alertname: 'HeartbeatMissing',
      severity: 'critical',
      heartbeat: record.name,
      source: record.key.split('/')[0]!,
    },
    annotations: {
      summary,
      description: `Last heard at ${new Date(record.lastSeenAt).toISOString()}. Check Prometheus, Alertmanager and the way to Tocsin.`,
    },
    startsAt: missing ? now : record.lastSeenAt,
    startsAtSent: true,
    endsAt: missing ? null : now,
    expiresAt: null,
    generatorUrl: null,
    severity: 'critical',
    alertname: 'HeartbeatMissing',
    service: null,
    namespace: null,
    cluster: null,
    tenant: '',
    destination: null,
    groupKey: null,
    receiver: null,
  };
}
