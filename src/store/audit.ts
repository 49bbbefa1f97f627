import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { linkSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import type { AuditRecord } from '../domain/effects.ts';
import { clean, timestamp, toJson } from './encode.ts';
import { transaction } from './pool.ts';

type Db = Pick<pg.Pool, 'query'>;

/** Entries a statement: 10,000 incidents held back in one commit must not hold the event loop while they are chained. */
const CHUNK = 250;

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

/** A row of the trail. `at` is epoch ms. */
export type AuditRow = AuditRecord & { id: number; key: string; previous: string; mac: string };

/**
 * Appends to the trail, inside the caller's transaction. Writers take turns (a lock until the commit), because each row's
 * mac covers the mac before it. Names and what people wrote are put aside (`audit_private`) and committed to instead.
 */
export async function appendAudit(client: Db, key: AuditKey, records: AuditRecord[]): Promise<void> {
  if (records.length === 0) return;
  await client.query("select pg_advisory_xact_lock(hashtext('tocsin_audit'))");
  const last = await client.query('select mac from audit_log order by id desc limit 1');
  let previous: string = last.rows[0]?.mac ?? (await readSeal(client, 'audit_start'))?.mac ?? '';
  let end = 0;
  for (let i = 0; i < records.length; i += CHUNK) {
    const rows = (await conceal(client, records.slice(i, i + CHUNK).map(storable))).map((row) => {
      const chained = { ...row, at: timestamp(row.at), key: key.id, previous, mac: macOf(key, previous, row) };
      previous = chained.mac;
      return chained;
    });
    const inserted = await client.query(
      `insert into audit_log (at, who, what, target, before, after, why, key, previous, mac)
       select (r ->> 'at')::timestamptz, r ->> 'who', r ->> 'what', r ->> 'target', r -> 'before', r -> 'after', r ->> 'why',
              r ->> 'key', r ->> 'previous', r ->> 'mac'
       from jsonb_array_elements($1::jsonb) with ordinality as t (r, position)
       order by position
       returning id`,
      [toJson(rows)],
    );
    end = inserted.rows.at(-1).id;
  }
  // what the last row is, sealed: rows cut off the end would otherwise leave a shorter, valid chain
  await writeSeal(client, key, 'audit_end', { id: end, mac: previous });
}

/** Appends to the trail in a transaction of its own. */
export async function recordAudit(pool: pg.Pool, key: AuditKey, records: AuditRecord[]): Promise<void> {
  await transaction(pool, (client) => appendAudit(client, key, records));
}

/** The end of the trail as `ID:MAC`, for the log; null when it was never written to. */
export async function readAuditHead(db: Db): Promise<string | null> {
  const { rows } = await db.query('select id, mac from audit_log order by id desc limit 1');
  return rows[0] ? `${rows[0].id}:${rows[0].mac}` : null;
}

/** The hash of the config that the trail names last; null when it names none. */
export async function lastConfigHash(db: Db): Promise<string | null> {
  const { rows } = await db.query(
    "select after ->> 'hash' as hash from audit_log where what = 'config' order by id desc limit 1",
  );
  return rows[0]?.hash ?? null;
}

/** A head as it stands in the log, or null when the text is none. */
export function parseHead(text: string): AuditHead | null {
  const parts = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text.trim());
  return parts ? { id: Number(parts[1]), mac: parts[2]! } : null;
}
export type AuditHead = { id: number; mac: string };

export type AuditVerdict = {
  ok: boolean;
  rows: number;
  /** The first thing that is wrong, in words; null when all is well. */
  fault: string | null;
};

/**
 * Walks the whole trail: every mac, every link, both ends, and everything put aside. `head`, from the log, is compared too:
 * it alone shows that trail and seals were both put back to an older copy.
 */
export async function verifyAudit(
  pool: pg.Pool,
  key: AuditKey,
  { head = null }: { head?: AuditHead | null } = {},
): Promise<AuditVerdict> {
  const client = await pool.connect();
  try {
    // one snapshot: the service goes on writing meanwhile
    await client.query('begin isolation level repeatable read read only');
    const verdict = await verifySnapshot(client, key, head);
    await client.query('commit');
    client.release();
    return verdict;
  } catch (error) {
    client.release(true);
    throw error;
  }
}

async function verifySnapshot(db: Db, key: AuditKey, head: AuditHead | null): Promise<AuditVerdict> {
  let rows = 0;
  const fault = (text: string): AuditVerdict => ({ ok: false, rows, fault: text });
  const start = await readSeal(db, 'audit_start');
  if (start && !isSealed(key, 'audit_start', start)) return fault('the record of where the trail begins was changed');
  const aside = await readAside(db);
  if (typeof aside === 'string') return fault(aside);
  const erased = new Set<string>();
  const missing = new Map<string, number>();
  let previous = start?.mac ?? '';
  let last = start?.id ?? 0;
  for await (const row of readStored(db)) {
    rows += 1;
    if (row.key !== key.id) {
      return fault(`row ${row.id} was written with another key (${row.key}); verify where that audit.key lies`);
    }
    if (row.previous !== previous)
      return fault(`before row ${row.id} (after ${last}) something was removed or inserted`);
    if (!same(row.mac, macOf(key, previous, row))) return fault(`row ${row.id} was changed`);
    if (head && row.id === head.id && row.mac !== head.mac)
      return fault(`row ${row.id} is not the one that was logged: the trail was replaced`);
    if (row.what === ERASE) for (const ref of refsIn(row.after)) erased.add(ref);
    for (const ref of refsIn([row.who, row.before, row.after, row.why]))
      if (!aside.get(ref)?.kept) missing.set(ref, row.id);
    previous = row.mac;
    last = row.id;
  }
  for (const [ref, id] of missing) {
    const owner = aside.get(ref)?.owner;
    if (!erased.has(ref) && !(owner !== undefined && erased.has(owner)))
      return fault(`what belongs to row ${id} (${ref}) was removed, and no erasure is on record`);
  }
  const end = await readSeal(db, 'audit_end');
  if (!end) {
    if (rows > 0 || start) return fault('the record of where the trail ends is gone');
    return head ? fault(`row ${head.id} was logged, and there is no trail`) : { ok: true, rows, fault: null };
  }
  if (!isSealed(key, 'audit_end', end)) return fault('the record of where the trail ends was changed');
  if (end.mac !== previous) return fault(`after row ${last} something was removed`);
  if (head && head.id > last)
    return fault(`row ${head.id} was logged, and the trail ends at row ${last}: an older copy was put back`);
  if (head && start && head.id === start.id && head.mac !== start.mac)
    return fault(`row ${head.id} is not the one that was logged: the trail was replaced`);
  return { ok: true, rows, fault: null };
}

/** The trail from the beginning, in pages, as people read it: what was put aside in its place, `erased:…` where it is gone. */
export async function* readAudit(db: Db): AsyncGenerator<AuditRow> {
  for await (const page of readPages(db)) {
    const refs = [...new Set(page.flatMap((row) => [...refsIn([row.who, row.before, row.after, row.why])]))];
    const { rows } = await db.query('select ref, value from audit_private where ref = any ($1)', [refs]);
    const values = new Map(rows.map((row) => [row.ref as string, row.value as string | null]));
    const shown = (text: string): string =>
      REF.test(text) ? (values.get(text) ?? `erased:${text.slice(1, 9)}`) : text;
    for (const row of page) yield mapStrings(row, shown) as AuditRow;
  }
}

async function* readStored(db: Db): AsyncGenerator<AuditRow> {
  for await (const page of readPages(db)) yield* page;
}

async function* readPages(db: Db): AsyncGenerator<AuditRow[]> {
  for (let after = 0; ; ) {
    const { rows } = await db.query(
      `select id, at, who, what, target, before, after, why, key, previous, mac
       from audit_log where id > $1 order by id limit 1000`,
      [after],
    );
    if (rows.length === 0) return;
    yield rows.map((row) => ({ ...row, at: row.at.getTime() }));
    after = rows.at(-1).id;
  }
}

const REF = /^#[0-9a-f]{32}$/;
/** The entry of an erasure; `after.refs` names what was erased. */
const ERASE = 'erase';
/** Members of what is recorded that name a person, and those that hold what a person wrote. */
const NAMES = new Set(['by', 'person', 'assignee', 'acknowledgedBy', 'resolvedBy']);
const WRITTEN = new Set(['text', 'note']);
/** Tocsin itself is nobody's personal data. */
const ITSELF = 'tocsin';

const refOf = (salt: Buffer, value: string): string =>
  `#${createHmac('sha256', salt).update(value).digest('hex').slice(0, 32)}`;

/** Puts names and texts aside: a person has one ref for good (until erased), each text one of its own. */
async function conceal(client: Db, records: AuditRecord[]): Promise<AuditRecord[]> {
  const names = new Set<string>();
  for (const { who, before, after } of records) {
    names.add(who);
    eachMember([before, after], (member, value) => void (NAMES.has(member) && names.add(value)));
  }
  names.delete(ITSELF);
  const known = await client.query('select value, ref from audit_private where ref = owner and value = any ($1)', [
    [...names],
  ]);
  const refs = new Map<string, string>(known.rows.map((row) => [row.value, row.ref]));
  const fresh: { ref: string; owner: string; salt: string; value: string }[] = [];
  const commit = (value: string, owner: string | null): string => {
    const salt = randomBytes(32);
    const ref = refOf(salt, value);
    fresh.push({ ref, owner: owner ?? ref, salt: salt.toString('hex'), value });
    return ref;
  };
  for (const name of names) if (!refs.has(name)) refs.set(name, commit(name, null));
  const nameRef = (name: string): string => refs.get(name) ?? name;
  const concealed = records.map((record) => {
    const who = nameRef(record.who);
    const inside = (value: unknown): unknown =>
      mapMembers(value, (member, text) =>
        NAMES.has(member) ? nameRef(text) : WRITTEN.has(member) ? commit(text, REF.test(who) ? who : null) : text,
      );
    return { ...record, who, before: inside(record.before), after: inside(record.after) };
  });
  if (fresh.length > 0)
    await client.query(
      `insert into audit_private (ref, owner, salt, value)
       select ref, owner, decode(salt, 'hex'), value
       from jsonb_to_recordset($1::jsonb) as n (ref text, owner text, salt text, value text)`,
      [toJson(fresh)],
    );
  return concealed;
}

/** Everything put aside, each checked against its commitment; a sentence when one does not fit. */
async function readAside(db: Db): Promise<Map<string, { owner: string; kept: boolean }> | string> {
  const aside = new Map<string, { owner: string; kept: boolean }>();
  for (let after = ''; ; ) {
    const { rows } = await db.query(
      'select ref, owner, salt, value from audit_private where ref > $1 order by ref limit 5000',
      [after],
    );
    if (rows.length === 0) return aside;
    for (const { ref, owner, salt, value } of rows) {
      const kept = salt !== null && value !== null;
      if (kept && refOf(salt, value) !== ref) return `what is put aside as ${ref} was changed`;
      aside.set(ref, { owner, kept });
    }
    after = rows.at(-1).ref;
  }
}

/**
 * Removes a person from the trail, inside the caller's transaction: their name, all that they wrote, and what others wrote
 * that names them; the erasure itself is recorded, without the name. The chain stays whole. `older`: entries of releases
 * before names were put aside; their macs cover the name, so they keep it until their retention ends.
 */
export async function eraseFromAudit(
  client: Db,
  key: AuditKey,
  { name, mentions, by, at }: { name: string; mentions: RegExp; by: string; at: number },
): Promise<{ erased: number; older: number }> {
  const own = await client.query(
    `select ref from audit_private where owner in (select ref from audit_private where ref = owner and value = $1)`,
    [name],
  );
  const written = await client.query(
    'select ref, value from audit_private where ref <> owner and position($1 in value) > 0',
    [name],
  );
  const refs = [
    ...new Set<string>([
      ...own.rows.map((row) => row.ref),
      ...written.rows.filter((row) => mentions.test(row.value)).map((row) => row.ref),
    ]),
  ];
  await client.query('update audit_private set salt = null, value = null where ref = any ($1)', [refs]);
  const older = await client.query(
    `select count(*)::int as n from audit_log where who = $1 or position($2 in coalesce(after::text, '')) > 0`,
    [name, JSON.stringify(name)],
  );
  if (refs.length > 0)
    await appendAudit(client, key, [
      { at, who: by, what: ERASE, target: 'person', before: null, after: { refs }, why: 'a person was erased' },
    ]);
  return { erased: refs.length, older: older.rows[0].n };
}

/** Calls back with every string that is a member of an object, at whatever depth. */
function eachMember(value: unknown, visit: (member: string, text: string) => void): void {
  mapMembers(value, (member, text) => {
    visit(member, text);
    return text;
  });
}

/** A copy with every string member of an object replaced. */
function mapMembers(value: unknown, change: (member: string, text: string) => string, member = ''): unknown {
  if (typeof value === 'string') return change(member, value);
  if (Array.isArray(value)) return value.map((inner) => mapMembers(inner, change, member));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, mapMembers(inner, change, name)]));
}

const mapStrings = (value: unknown, change: (text: string) => string): unknown =>
  mapMembers(value, (_member, text) => change(text));

function refsIn(value: unknown): Set<string> {
  const refs = new Set<string>();
  eachMember(value, (_member, text) => void (REF.test(text) && refs.add(text)));
  return refs;
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
    const gone = await client.query('delete from audit_log where id <= $1 returning who, before, after, why', [
      last.id,
    ]);
    await forget(client, [...refsIn(gone.rows)]);
    await writeSeal(client, key, 'audit_start', { id: last.id, mac: last.mac });
    return old.length;
  });
}

/** What was put aside for entries that are gone: texts at once, a name when no entry has it any more. */
async function forget(client: Db, refs: string[]): Promise<void> {
  if (refs.length === 0) return;
  await client.query('delete from audit_private where ref = any ($1) and ref <> owner', [refs]);
  await client.query(
    `delete from audit_private p where p.ref = any ($1) and p.ref = p.owner
       and not exists (select from audit_log l where l.who = p.ref)
       and not exists (select from audit_log l
                       where position(p.ref in l.after::text) > 0 or position(p.ref in l.before::text) > 0)`,
    [refs],
  );
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
