import * as life from '../correlate/life.ts';
import { type Alert, alertKey } from '../domain/alert.ts';
import { CANARY } from '../domain/canary.ts';
import type { LiveIncident, World } from '../domain/world.ts';
import type { CompiledMatchers } from '../route/matchers.ts';
import { close, newEpisode, transition, trimAnnotations } from './intake.ts';
import type { SeenAlert } from './seen.ts';

/** What one delivery brought, parsed. */
export type Sighting = { source: string; deliveryId: string | null; trace: string; seen: SeenAlert[] };

export type TakeInRules = {
  reopenMs: number;
  staleAfterMs: number;
  /** Matchers of heartbeats, and after how much silence (ms, null: not watched) the absence is an incident. */
  heartbeats: { match: CompiledMatchers; within: number | null; name: string }[];
  /** The service of an alert whose labels do not say it, by where its pod belongs; null: as sent. */
  serviceByPlace: (alert: Pick<SeenAlert, 'labels' | 'namespace' | 'service'>) => string | null;
};

/** A newly firing episode, to be placed; `previous` is the episode before it, whose incident it may belong to. */
export type Fired = { alert: Alert; previous: Alert | null; deliveryId: string | null; trace: string };

/**
 * Takes one delivery in: finds the state changes in it, closes what ended, and gives back what newly fires, in order.
 * Repeats only refresh what is known. `schedule` is told when each touched alert wants to be looked at again.
 */
export function takeIn(
  world: World,
  rules: TakeInRules,
  sighting: Sighting,
  now: number,
  schedule: (alert: Alert) => void,
): Fired[] {
  const fired: Fired[] = [];
  for (const sent of sighting.seen) {
    // Nobody else's tenant: the canary never meets a real alert.
    const own = sighting.source === CANARY ? { ...sent, tenant: CANARY } : sent;
    const byPlace = rules.serviceByPlace(own);
    const seen = byPlace === null ? own : { ...own, service: byPlace };
    const key = alertKey({ source: sighting.source, fingerprint: seen.fingerprint });
    const known = world.alerts.get(key) ?? null;
    const heartbeat = rules.heartbeats.find((h) => h.match.matches(seen.labels)) ?? null;
    const step = transition(known, seen, now);
    if (heartbeat && seen.status === 'firing') beat(world, key, heartbeat, now);

    switch (step.kind) {
      case 'late':
        break;
      case 'repeat':
        refresh(world, rules, known!, seen, now);
        schedule(known!);
        break;
      case 'resolve':
        end(world, rules, known!, step.endsAt, 'resolved', now);
        schedule(known!);
        break;
      case 'unseen-resolve': {
        const alert = newEpisode(seen, sighting.source, now);
        close(alert, step.endsAt, 'resolved', now);
        settle(world, alert, 'group', {
          code: 'resolved-unseen',
          text: 'Resolved before it was ever seen firing: kept on record, nobody was told.',
        });
        alert.resolveVerdict = 'group';
        world.alerts.set(key, alert);
        life.markAlert(world, alert, { annotations: seen.annotations, deliveryId: sighting.deliveryId });
        schedule(alert);
        break;
      }
      case 'refire':
      case 'fire':
      case 'revive': {
        if (step.kind === 'refire') end(world, rules, known!, seen.startsAt, 'refired', now);
        const alert = step.kind === 'revive' ? revive(known!, seen, now) : newEpisode(seen, sighting.source, now);
        world.alerts.set(key, alert);
        life.markAlert(world, alert, { annotations: seen.annotations, deliveryId: sighting.deliveryId });
        schedule(alert);
        if (heartbeat) {
          const text = `A heartbeat (${heartbeat.name}): no incident while it comes.`;
          settle(world, alert, 'group', { code: 'heartbeat', text });
          break;
        }
        world.out.ledger.received += 1;
        world.out.ledger.inFlight += 1;
        fired.push({ alert, previous: known, deliveryId: sighting.deliveryId, trace: sighting.trace });
      }
    }
  }
  return fired;
}

/** The same episode after all: what we had closed ourselves still fires. */
function revive(known: Alert, seen: SeenAlert, now: number): Alert {
  return { ...newEpisode(seen, known.source, now), startsAt: known.startsAt, receivedAt: known.receivedAt };
}

/** A change that is decided on the spot, outside any incident. */
function settle(world: World, alert: Alert, verdict: 'group', reason: Alert['reasons'][number]): void {
  alert.fireVerdict = verdict;
  alert.reasons = [reason];
  world.out.ledger.received += 1;
  world.out.ledger.grouped += 1;
}

/** An episode ends, for whatever reason; its incident (if any) is told. */
export function end(
  world: World,
  rules: Pick<TakeInRules, 'reopenMs'>,
  alert: Alert,
  endsAt: number,
  because: NonNullable<Alert['closedBecause']>,
  now: number,
): void {
  close(alert, endsAt, because, now);
  life.markAlert(world, alert);
  world.out.ledger.received += 1;
  const incident: LiveIncident | null = life.incidentOf(world, alert);
  if (!incident) {
    alert.resolveVerdict = 'group';
    world.out.ledger.grouped += 1;
    return;
  }
  world.out.ledger.inFlight += 1;
  if (because !== 'resolved')
    life.say(world, incident.state.id, now, 'alert-resolved', closedText(alert), null, {
      fingerprint: alert.fingerprint,
    });
  life.leave(world, incident, alert, now, rules.reopenMs);
}

const closedText = (alert: Alert): string => {
  const name = alert.alertname || alert.fingerprint;
  switch (alert.closedBecause) {
    case 'expired':
      return `${name} expired: its sender gave it an end and did not confirm it again`;
    case 'stale':
      return `${name} is stale: nobody confirmed it for the configured time (alerts.stale_after)`;
    case 'reconciled':
      return `${name} closed: its Alertmanager no longer lists it, and no resolve had come`;
    case 'refired':
      return `${name} began anew: the resolve of its earlier episode was never sent`;
    default:
      return `${name} resolved`;
  }
};

function refresh(world: World, rules: TakeInRules, alert: Alert, seen: SeenAlert, now: number): void {
  // A resolve posted without annotations would blank them: keep what is known.
  const annotations = trimAnnotations(seen.annotations);
  const news = Object.keys(annotations).some((name) => annotations[name] !== alert.annotations[name]);
  if (news) alert.annotations = { ...alert.annotations, ...annotations };
  if (alert.status === 'firing') alert.expiresAt = seen.expiresAt;
  // Sightings are written now and then only: a restart then thinks the alert was confirmed a little earlier than it was.
  const due = now - alert.lastSeenAt > rules.staleAfterMs / 8;
  alert.lastSeenAt = now;
  if (news || due) life.markAlert(world, alert, news ? { annotations: seen.annotations } : {});
}

function beat(world: World, key: string, heartbeat: TakeInRules['heartbeats'][number], now: number): void {
  const record = { key, name: heartbeat.name, lastSeenAt: now, within: heartbeat.within, missingSince: null };
  world.heartbeats.set(key, record);
  world.out.heartbeats.push(record);
}
