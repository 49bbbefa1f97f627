import * as life from '../correlate/life.ts';
import { type Alert, alertKey } from '../domain/alert.ts';
import type { MemoryRecord } from '../domain/effects.ts';
import type { World } from '../domain/world.ts';
import { compileMatchers } from '../route/matchers.ts';
import type { Poll, SilenceJson } from './poll.ts';
import { reconcile } from './reconcile-plan.ts';
import { end, type Sighting } from './take-in.ts';

/**
 * Takes in what an Alertmanager lists: closes alerts whose resolve it never sent, confirms the rest, and treats alerts whose
 * webhook was lost as if it had come. Its silences are honoured from here on: what they begin or cease to cover is judged anew.
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
  if (poll.silences !== null) takeSilences(world, poll.source, poll.silences, poll.polledAt, now);
  if (plan.fire.length > 0)
    engine.take({ source: poll.source, deliveryId: polled.deliveryId, trace: polled.trace, seen: plan.fire });
}

function takeSilences(
  world: World,
  source: string,
  silences: readonly SilenceJson[],
  polledAt: number,
  now: number,
): void {
  const before = world.senderSilences.get(source)?.silences ?? [];
  const compiled = silences.map((silence) => ({ ...silence, matchers: compileMatchers(silence.match) }));
  const text = (one: SilenceJson): string => JSON.stringify([one.id, one.match, one.until, one.by, one.comment]);
  const [was, is] = [new Set(before.map(text)), new Set(compiled.map(text))];
  const news = [...before.filter((one) => !is.has(text(one))), ...compiled.filter((one) => !was.has(text(one)))];
  world.senderSilences.set(source, { polledAt, silences: compiled });
  world.out.memory.push({ scope: 'silences', key: source, doc: { polledAt, silences } });
  if (news.length === 0) return;
  for (const alert of world.alerts.values()) {
    if (alert.source !== source || alert.status !== 'firing') continue;
    const incident = news.some(({ matchers }) => matchers.matches(alert.labels)) && life.incidentOf(world, alert);
    if (incident && incident.state.status !== 'resolved') life.touch(world, incident, now, true);
  }
}

/** The silences as they were known before a restart. */
export function restoreSilences(world: World, memory: readonly MemoryRecord[]): void {
  for (const { scope, key, doc } of memory) {
    if (scope !== 'silences') continue;
    const { polledAt, silences } = doc as { polledAt: number; silences: SilenceJson[] };
    const compiled = silences.map((silence) => ({ ...silence, matchers: compileMatchers(silence.match) }));
    world.senderSilences.set(key, { polledAt, silences: compiled });
  }
}
