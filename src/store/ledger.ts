import type pg from 'pg';
import { type KillSwitch, readKillSwitch } from '../domain/kill-switch.ts';
import { emptyLedger, type Ledger } from '../domain/ledger.ts';
import { toJson } from './encode.ts';

type Db = Pick<pg.Pool, 'query'>;

/** Adds to the ledger's columns. The rows are locked in the order of their names, so that two writers never deadlock. */
export async function bumpLedger(db: Db, by: Partial<Ledger>): Promise<void> {
  const changes = Object.entries(by).filter(([, count]) => count !== 0);
  if (changes.length === 0) return;
  await db.query(
    `update ledger set count = ledger.count + locked.change
     from (select l.name, c.change
           from ledger l join jsonb_to_recordset($1::jsonb) as c (name text, change bigint) on c.name = l.name
           order by l.name for update of l) as locked
     where locked.name = ledger.name`,
    [toJson(changes.map(([name, change]) => ({ name, change })))],
  );
}

/** The totals since the store was made. */
export async function readLedger(db: Db): Promise<Ledger> {
  const { rows } = await db.query<{ name: keyof Ledger; count: number }>('select name, count from ledger');
  const ledger = emptyLedger();
  for (const { name, count } of rows) ledger[name] = count;
  return ledger;
}

/** The kill switch as it is stored. */
export async function readKillSwitchRow(db: Db): Promise<KillSwitch> {
  const { rows } = await db.query("select value from settings where key = 'kill_switch'");
  return readKillSwitch(rows[0]?.value);
}

/**
 * Counts from the alerts themselves what the ledger calls in flight, in one snapshot. The two may differ for a moment while
 * an alert that ended fires again before its end was judged; a difference that stays is a fault. Reads every episode kept:
 * about 1 s for a million.
 */
export async function recountInFlight(db: Db): Promise<{ ledger: number; counted: number }> {
  const { rows } = await db.query(
    `select (select count from ledger where name = 'inFlight') as ledger,
            (count(*) filter (where fire_verdict is null)
             + count(*) filter (where status = 'resolved' and resolve_verdict is null)) as counted
     from alerts where fire_verdict is null or resolve_verdict is null and status = 'resolved'`,
  );
  return { ledger: Number(rows[0].ledger), counted: Number(rows[0].counted) };
}
