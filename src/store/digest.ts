import type pg from 'pg';
import type { NotificationJob } from '../domain/notification.ts';
import { toJson } from './encode.ts';
import { type HeldIncident, readHeld } from './held.ts';
import { enqueue } from './outbox.ts';
import { transaction } from './pool.ts';

const DAY_MS = 24 * 3_600_000;
/** After a longer pause a digest still speaks of no more than this. */
const MOST_MS = 7 * DAY_MS;

/**
 * Makes the digest of one day, once: whoever comes first holds the row, everybody else finds the day done. `make` is given
 * what was held back since the last one and gives the jobs; they are stored with the note in one transaction.
 */
export function withDigestTurn(
  pool: pg.Pool,
  due: { at: number; day: string },
  make: (held: HeldIncident[], from: number) => NotificationJob[],
): Promise<number> {
  return transaction(pool, async (client) => {
    await client.query("insert into settings (key, value) values ('digest', '{}') on conflict do nothing");
    const { rows } = await client.query<{ value: { day?: string; to?: number } }>(
      "select value from settings where key = 'digest' for update",
    );
    const { day, to } = rows[0]!.value;
    if (day !== undefined && day >= due.day) return 0;
    const from = Math.max(to ?? due.at - DAY_MS, due.at - MOST_MS);
    const jobs = make(await readHeld(client, from, due.at), from);
    await enqueue(client, jobs);
    await client.query("update settings set value = $1 where key = 'digest'", [toJson({ day: due.day, to: due.at })]);
    return new Set(jobs.map((job) => job.incidentId)).size;
  });
}
