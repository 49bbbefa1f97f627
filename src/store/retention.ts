import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { type AuditKey, pruneAudit } from './audit.ts';
import { timestamp } from './encode.ts';
import { transaction } from './pool.ts';

/** How long each class of data is kept, ms. */
export type Retention = { deliveries: number; incidents: number; audit: number };

/** Rows removed, per class. */
export type Removed = {
  deliveries: number;
  quarantine: number;
  actions: number;
  digests: number;
  incidents: number;
  alerts: number;
  deploys: number;
  audit: number;
};

export type RetentionOptions = {
  auditKey: AuditKey;
  /** Stops between two batches. */
  signal?: AbortSignal;
};

/** Small enough that a batch takes milliseconds and holds no lock anybody waits for. */
const BATCH = 500;
const PAUSE_MS = 20;

/**
 * Removes what is older than its retention, in small batches with pauses. Kept whatever their age: deliveries that still
 * wait in the inbox, incidents that are not resolved with all that belongs to them, alerts that fire.
 */
export async function runRetention(
  pool: pg.Pool,
  retention: Retention,
  now: number,
  { auditKey, signal }: RetentionOptions,
): Promise<Removed> {
  const before = (age: number) => timestamp(now - age);
  const each = (step: () => Promise<number>) => untilDone(step, signal);
  const statement = (sql: string, age: number) =>
    each(async () => (await pool.query(sql, [before(age), BATCH])).rowCount ?? 0);
  return {
    deliveries: await statement(oldDeliveries, retention.deliveries),
    quarantine: await statement(old('quarantine', 'at'), retention.deliveries),
    actions: await statement(old('actions', 'at'), retention.deliveries),
    digests: await statement(oldDigests, retention.deliveries),
    incidents: await each(() => removeIncidents(pool, before(retention.incidents))),
    alerts: await statement(looseAlerts, retention.incidents),
    deploys: await statement(old('deploys', 'started_at'), retention.incidents),
    audit: await each(() => pruneAudit(pool, auditKey, now - retention.audit, BATCH)),
  };
}

async function untilDone(step: () => Promise<number>, signal?: AbortSignal): Promise<number> {
  let total = 0;
  while (!signal?.aborted) {
    const removed = await step();
    total += removed;
    if (removed < BATCH) break;
    await sleep(PAUSE_MS);
  }
  return total;
}

const old = (table: string, column: string) => `
delete from ${table} where ctid = any (array(
  select ctid from ${table} where ${column} < $1 order by ${column} limit $2))`;

const oldDeliveries = `
delete from deliveries where id = any (array(
  select d.id from deliveries d
  where d.received_at < $1 and not exists (select from inbox i where i.delivery_id = d.id)
  order by d.received_at limit $2))`;

/** They belong to no incident that they could go with. */
const oldDigests = `
delete from notifications where id = any (array(
  select id from notifications where kind = 'digest' and state <> 'waiting' and created_at < $1 order by created_at limit $2))`;

/** Episodes that ended long ago and belong to no incident: heartbeats, and what an incident's removal left behind. */
const looseAlerts = `
delete from alerts where ctid = any (array(
  select a.ctid from alerts a
  where a.status = 'resolved' and a.updated_at < $1
    and not exists (select from incidents i where i.id = a.incident_id)
  order by a.updated_at limit $2))`;

/** What belongs to an incident and goes with it. Feedback and links stay: they are what people taught. */
const belongings = ['alerts', 'timeline', 'decisions', 'notifications', 'messages', 'suppressed'];

async function removeIncidents(pool: pg.Pool, before: string): Promise<number> {
  return transaction(pool, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `select id from incidents
       where status = 'resolved' and resolved_at < $1 and assessed_revision >= revision
         and not exists (select from alerts a where a.incident_id = incidents.id and a.status = 'firing')
       order by resolved_at limit $2
       for update skip locked`,
      [before, BATCH],
    );
    if (rows.length === 0) return 0;
    const ids = rows.map((row) => row.id);
    for (const table of belongings) await client.query(`delete from ${table} where incident_id = any ($1)`, [ids]);
    await client.query('delete from incidents where id = any ($1)', [ids]);
    return ids.length;
  });
}
