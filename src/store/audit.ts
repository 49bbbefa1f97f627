import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { linkSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import type { AuditRecord } from '../domain/effects.ts';
import { clean, timestamp, toJson } from './encode.ts';
import { transaction } from './pool.ts';

type Db = Pick<pg.Pool, 'query'>;

/** The secret behind the trail. `id` names it in each row without giving it away. */
export type AuditKey = { id: string; secret: Buffer };

/**
 * The key in `dataDir`/audit.key (32 random bytes, base64, mode 0600), made at the first use. Replicas that share a
 * database should share this file; rows written with a key that is not at hand are reported, not believed.
 */
export function loadAuditKey(dataDir: string): AuditKey {
  const file = join(dataDir, 'audit.key');
  if (!statSync(file, { throwIfNoEntry: false })) {
    const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
    writeFileSync(draft, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
    try {
      // a link is made whole or not at all, and not over another process's key
      linkSync(draft, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(draft, { force: true });
    }
  }
  const secret = Buffer.from(readFileSync(file, 'utf8').trim(), 'base64');
  if (secret.length < 32) {
    throw new Error(
      `${file} does not hold an audit key (32 bytes in base64). Restore it from a backup; without it the trail so far cannot be verified.`,
    );
  }
  return { id: createHash('sha256').update(secret).digest('hex').slice(0, 12), secret };
}

/** A row of the trail as it is stored. `at` is epoch ms. */
export type AuditRow = AuditRecord & { id: number; key: string; previous: string; mac: string };

/**
 * Appends to the trail, inside the caller's transaction. Writers take turns (a lock until the commit), because each row's
 * mac covers the mac before it.
 */
export async function appendAudit(client: Db, key: AuditKey, records: AuditRecord[]): Promise<void> {
  if (records.length === 0) return;
  await client.query("select pg_advisory_xact_lock(hashtext('tocsin_audit'))");
  const last = await client.query('select mac from audit_log order by id desc limit 1');
  let previous: string = last.rows[0]?.mac ?? (await readSeal(client, 'audit_start'))?.mac ?? '';
  let id = 0;
  for (const record of records) {
    const row = storable(record);
    const mac = macOf(key, previous, row);
    const { rows } = await client.query(
      `insert into audit_log (at, who, what, target, before, after, why, key, previous, mac)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning id`,
      [
        timestamp(row.at),
        row.who,
        row.what,
        row.target,
        toJson(row.before),
        toJson(row.after),
        row.why,
        key.id,
        previous,
        mac,
      ],
    );
    id = rows[0].id;
    previous = mac;
  }
  // what the last row is, sealed: rows cut off the end would otherwise leave a shorter, valid chain
  await writeSeal(client, key, 'audit_end', { id, mac: previous });
}

/** Appends to the trail in a transaction of its own. */
export async function recordAudit(pool: pg.Pool, key: AuditKey, records: AuditRecord[]): Promise<void> {
  await transaction(pool, (client) => appendAudit(client, key, records));
}

export type AuditVerdict = {
  ok: boolean;
  rows: number;
  /** The first thing that is wrong, in words; null when all is well. */
  fault: string | null;
};

/** Walks the whole trail: every mac, every link, and both ends. */
export async function verifyAudit(pool: pg.Pool, key: AuditKey): Promise<AuditVerdict> {
  let rows = 0;
  const fault = (text: string): AuditVerdict => ({ ok: false, rows, fault: text });
  const start = await readSeal(pool, 'audit_start');
  if (start && !isSealed(key, 'audit_start', start)) return fault('the record of where the trail begins was changed');
  let previous = start?.mac ?? '';
  let last = start?.id ?? 0;
  for await (const row of readAudit(pool)) {
    rows += 1;
    if (row.key !== key.id) {
      return fault(`row ${row.id} was written with another key (${row.key}); verify where that audit.key lies`);
    }
    if (row.previous !== previous)
      return fault(`before row ${row.id} (after ${last}) something was removed or inserted`);
    if (!same(row.mac, macOf(key, previous, row))) return fault(`row ${row.id} was changed`);
    previous = row.mac;
    last = row.id;
  }
  const end = await readSeal(pool, 'audit_end');
  if (!end)
    return rows === 0 && !start ? { ok: true, rows, fault: null } : fault('the record of where the trail ends is gone');
  if (!isSealed(key, 'audit_end', end)) return fault('the record of where the trail ends was changed');
  if (end.mac !== previous) return fault(`after row ${last} something was removed`);
  return { ok: true, rows, fault: null };
}

/** The trail from the beginning, in pages. */
export async function* readAudit(db: Db): AsyncGenerator<AuditRow> {
  for (let after = 0; ; ) {
    const { rows } = await db.query(
      `select id, at, who, what, target, before, after, why, key, previous, mac
       from audit_log where id > $1 order by id limit 1000`,
      [after],
    );
    for (const row of rows) yield { ...row, at: row.at.getTime() };
    if (rows.length === 0) return;
    after = rows.at(-1).id;
  }
}

/** Removes at most `limit` rows older than `before` (epoch ms) from the beginning, and seals the new one. Gives how many. */
export async function pruneAudit(pool: pg.Pool, key: AuditKey, before: number, limit: number): Promise<number> {
  return transaction(pool, async (client) => {
    await client.query("select pg_advisory_xact_lock(hashtext('tocsin_audit'))");
    const { rows } = await client.query('select id, mac, at < $1 as old from audit_log order by id limit $2', [
      timestamp(before),
      limit,
    ]);
    // only a run of old rows from the beginning: a clock that once went back must not tear a hole
    const firstYoung = rows.findIndex((row) => !row.old);
    const old = firstYoung < 0 ? rows : rows.slice(0, firstYoung);
    const last = old.at(-1);
    if (!last) return 0;
    await client.query('delete from audit_log where id <= $1', [last.id]);
    await writeSeal(client, key, 'audit_start', { id: last.id, mac: last.mac });
    return old.length;
  });
}

/** As it will be read back, so that the mac covers what is stored: text PostgreSQL can hold, JSON after a round trip. */
const storable = (record: AuditRecord): AuditRecord => ({
  at: new Date(timestamp(record.at)).getTime(),
  who: clean(record.who),
  what: clean(record.what),
  target: clean(record.target),
  before: JSON.parse(toJson(record.before)),
  after: JSON.parse(toJson(record.after)),
  why: record.why === null ? null : clean(record.why),
});

const macOf = (key: AuditKey, previous: string, { at, who, what, target, before, after, why }: AuditRecord): string =>
  hmac(key, `${previous}\n${canonical({ at, who, what, target, before, after, why })}`);

const hmac = (key: AuditKey, text: string) => createHmac('sha256', key.secret).update(text).digest('hex');

const same = (a: string, b: string) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

/** JSON with its keys in order, because jsonb keeps none. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`);
  return `{${members.join(',')}}`;
}

type Seal = { id: number; mac: string; seal: string };

const sealOf = (key: AuditKey, name: string, { id, mac }: { id: number; mac: string }) =>
  hmac(key, `${name}\n${id}\n${mac}`);

const isSealed = (key: AuditKey, name: string, seal: Seal) => same(seal.seal, sealOf(key, name, seal));

async function readSeal(db: Db, name: string): Promise<Seal | null> {
  const { rows } = await db.query('select value from settings where key = $1', [name]);
  return rows[0]?.value ?? null;
}

async function writeSeal(db: Db, key: AuditKey, name: string, at: { id: number; mac: string }): Promise<void> {
  await db.query(
    'insert into settings (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value',
    [name, toJson({ ...at, seal: sealOf(key, name, at) })],
  );
}
