import { DateTime } from 'luxon';
import type pg from 'pg';
import type { Config } from '../config/schema.ts';
import type { DigestItem } from '../domain/digest.ts';
import { digestJobs, endedAfter } from '../notify/digest.ts';
import { addressBook, logTarget, targetsOf } from '../route/targets.ts';
import { doubtOf } from '../score/doubt.ts';
import { withDigestTurn } from '../store/digest.ts';
import type { HeldIncident } from '../store/held.ts';

/** A service that was down in the morning says it later that day, not the next night. */
const LATEST_MS = 12 * 3_600_000;

/** The newest moment, at or before `now`, at which a digest is due, and its local day; null when digests are off. Epoch ms. */
export function digestDue(
  { at, time_zone }: Config['tocsin']['digest'],
  now: number,
): { at: number; day: string } | null {
  if (at === 'off') return null;
  const [hour, minute] = at.split(':').map(Number);
  const today = DateTime.fromMillis(now, { zone: time_zone });
  for (const day of [today, today.minus({ days: 1 })]) {
    // In a gap of daylight saving luxon takes the time after it.
    const due = day.set({ hour: hour!, minute: minute!, second: 0, millisecond: 0 });
    if (due.toMillis() <= now) return { at: due.toMillis(), day: due.toISODate()! };
  }
  return null;
}

/**
 * Tells each team what was held back from it since the last digest (in shadow mode: would have been), the most doubtful
 * first; nothing held back, nothing sent. Into the outbox in one transaction with the note that this day is done, so that
 * it goes out once, whatever dies and however many replicas there are. Gives how many teams were told.
 */
export async function runDailyDigest(pool: pg.Pool, config: Config, now: number): Promise<number> {
  const due = digestDue(config.tocsin.digest, now);
  if (!due || now - due.at > LATEST_MS) return 0;
  return withDigestTurn(pool, due, (held, from) => {
    const book = addressBook(config, false);
    return [...Map.groupBy(held, (one) => one.team)].flatMap(([team, incidents]) => {
      const { targets } = targetsOf({ team }, ['slack', 'email'], book);
      const items = incidents
        .map((one) => ({ one, doubt: doubtOf(one, now) }))
        .sort((a, b) => b.doubt.points - a.doubt.points || b.one.number - a.one.number)
        .map(({ one, doubt }) => itemOf(one, doubt.why));
      const digest = { kind: 'daily' as const, team, from, to: due.at, items, total: items.length };
      return digestJobs(digest, due.day, targets.length > 0 ? targets : [logTarget], { now });
    });
  });
}

function itemOf(one: HeldIncident, doubts: string[]): DigestItem {
  const ended =
    one.endedAt === null
      ? 'still firing'
      : one.endedBy === null
        ? endedAfter(one.endedAt - one.startedAt)
        : `ended by ${one.endedBy}`;
  return {
    incidentId: one.id,
    number: one.number,
    title: one.title,
    severity: one.severity,
    at: one.startedAt,
    because: one.because,
    outcome: [ended, ...doubts.filter((why) => why !== one.severity && !why.startsWith('still'))].join(', '),
    held: one.held,
  };
}
