import type pg from 'pg';
import { CANARY } from '../domain/canary.ts';
import { timestamp } from './encode.ts';
import { transaction } from './pool.ts';

/** Whether the first message of the canary's incident was delivered. */
export async function isCanaryTold(pool: pg.Pool, fingerprint: string): Promise<boolean> {
  const { rows } = await pool.query(
    `select exists (
       select from alerts a
         join notifications n on n.incident_id = a.incident_id
        where a.source = $1 and a.fingerprint = $2 and n.kind = 'open' and n.state = 'sent') as told`,
    [CANARY, fingerprint],
  );
  return rows[0].told;
}

/** Removes canaries that ended before `before` (epoch ms) with everything that belongs to them: one a minute adds up. */
export async function dropCanaries(pool: pg.Pool, before: number): Promise<void> {
  await transaction(pool, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `select id from incidents where tenant = $1 and status = 'resolved' and resolved_at < $2 order by resolved_at limit 500`,
      [CANARY, timestamp(before)],
    );
    const ids = rows.map((row) => row.id);
    for (const table of ['alerts', 'timeline', 'decisions', 'notifications', 'messages'])
      await client.query(`delete from ${table} where incident_id = any ($1)`, [ids]);
    await client.query('delete from incidents where id = any ($1)', [ids]);
  });
}
