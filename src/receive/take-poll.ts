import { type Alert, alertKey } from '../domain/alert.ts';
import type { World } from '../domain/world.ts';
import type { Poll } from './poll.ts';
import { reconcile } from './reconcile-plan.ts';
import { end, type Sighting } from './take-in.ts';

/**
 * Takes in what an Alertmanager lists: closes alerts whose resolve it never sent, confirms the rest, and treats alerts whose
 * webhook was lost as if it had come.
 */
export function takePoll(
  world: World,
  rules: { reopenMs: number },
  polled: { poll: Poll; deliveryId: string | null; trace: string },
  now: number,
  engine: { take(sighting: Sighting): void; schedule(alert: Alert): void },
): void {
  const { poll } = polled;
  const known = [...world.alerts.values()].filter((alert) => alert.source === poll.source);
  const plan = reconcile(known, poll, world.polled.get(poll.source) ?? new Set());
  world.polled.set(poll.source, plan.history);
  const find = (fingerprint: string) => world.alerts.get(alertKey({ source: poll.source, fingerprint }))!;
  for (const { fingerprint, endsAt } of plan.resolve) {
    const alert = find(fingerprint);
    end(world, rules, alert, endsAt, 'reconciled', now);
    engine.schedule(alert);
  }
  for (const fingerprint of plan.confirm) {
    const alert = find(fingerprint);
    alert.lastSeenAt = Math.max(alert.lastSeenAt, poll.polledAt);
  }
  if (plan.fire.length > 0)
    engine.take({ source: poll.source, deliveryId: polled.deliveryId, trace: polled.trace, seen: plan.fire });
}
