import type pg from 'pg';
import { clean, timestamp } from './encode.ts';
import { bumpLedger } from './ledger.ts';
import { transaction } from './pool.ts';

/** A body that was refused as a whole. `place` says where it went wrong, `raw` is what was sent, byte for byte. */
export type RefusedBody = { at: number; source: string; place: string; reason: string; raw: Buffer };

/** Keeps a refused body and counts it once as received and quarantined, in one transaction (contract, ledger). */
export async function quarantineBody(pool: pg.Pool, body: RefusedBody): Promise<void> {
  await transaction(pool, async (client) => {
    await client.query('insert into quarantine (at, source, place, reason, raw) values ($1, $2, $3, $4, $5)', [
      timestamp(body.at),
      clean(body.source),
      clean(body.place),
      clean(body.reason),
      body.raw,
    ]);
    await bumpLedger(client, { received: 1, quarantined: 1 });
  });
}
