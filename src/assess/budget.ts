import type { Digest, DigestItem } from '../domain/digest.ts';
import type { LiveIncident, World } from '../domain/world.ts';
import { digestJobs, endedAfter } from '../notify/digest.ts';
import { logTarget, targetsOf } from '../route/targets.ts';
import type { Rules } from '../rules.ts';

/** When the next hour with something to tell ends, epoch ms, or null. */
export function hourDue(world: World): number | null {
  let next: number | null = null;
  for (const { until, held } of world.budgets.values())
    if (held.size > 0 && (next === null || until < next)) next = until;
  return next;
}

/**
 * Ends the hours that are over: what was held back for a team's budget is told in one message, and what still fires comes up
 * for a verdict again, in the new hour.
 */
export function closeHours(world: World, rules: Rules, now: number): void {
  for (const [team, hour] of world.budgets) {
    if (hour.until > now) continue;
    world.budgets.delete(team);
    world.out.memory.push({ scope: 'budget', key: team, doc: { until: hour.until, opened: [], held: [], more: 0 } });
    const items = [...hour.held].flatMap((id) => {
      const incident = world.incidents.get(id);
      // Told meanwhile: it became worse, or the mode sends everything.
      return incident && incident.state.firstNotifiedAt === null ? [incident] : [];
    });
    if (items.length === 0) continue;
    const priority = ({ doc }: LiveIncident): number => doc?.priority ?? 3;
    items.sort((a, b) => priority(a) - priority(b) || a.state.number - b.state.number);
    const digest: Digest = {
      kind: 'budget',
      team,
      from: hour.until - HOUR,
      to: hour.until,
      items: items.map(itemOf),
      total: items.length + hour.more,
    };
    const { targets } = targetsOf({ team }, ['slack', 'email'], rules.policy.routing.addresses);
    const key = new Date(hour.until).toISOString();
    world.out.notifications.push(...digestJobs(digest, key, targets.length > 0 ? targets : [logTarget], { now }));
  }
}

const HOUR = 60 * 60_000;

const itemOf = ({ state, doc }: LiveIncident): DigestItem => ({
  incidentId: state.id,
  number: state.number,
  title: doc?.title ?? `Incident ${state.number}`,
  severity: doc?.severity ?? 'medium',
  at: state.startedAt,
  because: 'over the hourly number of new messages',
  outcome: state.resolvedAt === null ? 'still firing' : endedAfter(state.resolvedAt - state.startedAt),
  held: true,
});
