import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { type AuditKey, eraseFromAudit } from './audit.ts';
import { toJson } from './encode.ts';
import { types } from './pool.ts';

/** Where the store holds what people are called and what they wrote, beside the audit trail. */
type Place = {
  table: string;
  key: string[];
  /** A name and nothing else. */
  names?: string[];
  /** Sentences that may name somebody. */
  texts?: string[];
  json?: string[];
  /** JSON as bytes: what was posted. */
  bodies?: string[];
  where?: string;
};

const places: readonly Place[] = [
  { table: 'incidents', key: ['id'], json: ['state', 'doc'] },
  { table: 'timeline', key: ['id'], names: ['by'], texts: ['text'], json: ['data'] },
  { table: 'decisions', key: ['incident_id', 'revision'], json: ['doc'] },
  { table: 'notifications', key: ['id'], texts: ['text'], json: ['job'] },
  { table: 'feedback', key: ['id'], names: ['by'], texts: ['text'], json: ['ranking'] },
  { table: 'silences', key: ['id'], names: ['by'], texts: ['text'] },
  { table: 'links', key: ['kind', 'a', 'b'], names: ['by'] },
  { table: 'actions', key: ['id'], texts: ['detail'] },
  { table: 'alerts', key: ['fingerprint', 'source', 'starts_at'], json: ['reasons'] },
  { table: 'suppressed', key: ['source', 'fingerprint', 'starts_at'], json: ['reasons'] },
  { table: 'deploys', key: ['id'], names: ['author'], texts: ['summary'] },
  { table: 'correlation_memory', key: ['scope', 'key'], json: ['doc'], where: "scope = 'silences'" },
  { table: 'deliveries', key: ['id'], bodies: ['body'], where: "kind in ('action', 'deploy', 'poll')" },
];

/** Members that hold a name and nothing else; in every other member only those of `SENTENCES` are looked through. */
const NAMES = new Set([
  'by',
  'who',
  'person',
  'assignee',
  'acknowledgedBy',
  'resolvedBy',
  'endedBy',
  'author',
  'createdBy',
]);
const SENTENCES = new Set(['text', 'why', 'detail', 'reason', 'comment']);

export type Erased = {
  /** What stands in the name's place from now on; random, and the same everywhere. */
  pseudonym: string;
  /** Rows changed, by table. */
  rows: Record<string, number>;
  audit: { erased: number; older: number };
};

/**
 * Removes a person from the store for good: everywhere their name stands a random pseudonym takes its place, so that counts
 * and stories still hold, and the audit trail stays whole (`eraseFromAudit`). The owner of each shard is put out while this
 * runs and rebuilds its memory afterwards, or it would write the name back. `by`: who asked for it. Null, and nothing is
 * done, when nobody of that name ever did or wrote anything: a mistyped name may be an ordinary word of many sentences.
 */
export async function erasePerson(
  url: string,
  key: AuditKey,
  { name, by, now }: { name: string; by: string; now: number },
): Promise<Erased | null> {
  const client = new pg.Client({ connectionString: url, application_name: 'tocsin erase', types });
  await client.connect();
  try {
    await client.query('begin');
    if (!(await isPerson(client, name))) {
      await client.query('rollback');
      return null;
    }
    await becomeOwner(client, url);
    const pseudonym = `erased-${randomBytes(4).toString('hex')}`;
    const mentions = wholeName(name);
    // a label's key is a hash with the name in it: who has a list of names could try them all
    await client.query("update feedback set key = 'erased-' || id where by = $1", [name]);
    const rows: Record<string, number> = {};
    for (const place of places) {
      const changed = await scrubPlace(client, place, { name, pseudonym, mentions });
      if (changed > 0) rows[place.table] = changed;
    }
    // A kept config tree explains past verdicts; one that names them goes, and the tree in force has to do.
    const trees = await client.query<{ hash: string; tree: string }>('select hash, tree::text from configs');
    const naming = trees.rows.filter(({ tree }) => new RegExp(mentions.source, 'u').test(tree)).map(({ hash }) => hash);
    if (naming.length > 0) {
      await client.query('delete from configs where hash = any ($1)', [naming]);
      rows.configs = naming.length;
    }
    const audit = await eraseFromAudit(client, key, { name, mentions: new RegExp(mentions.source, 'u'), by, at: now });
    await client.query('commit');
    return { pseudonym, rows, audit };
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function isPerson(client: pg.Client, name: string): Promise<boolean> {
  const { rows } = await client.query(
    `select exists (select from timeline where by = $1) or exists (select from feedback where by = $1)
         or exists (select from silences where by = $1) or exists (select from links where by = $1)
         or exists (select from deploys where author = $1) or exists (select from audit_log where who = $1)
         or exists (select from audit_private where value = $1 and ref = owner)
         or exists (select from correlation_memory m, jsonb_array_elements(m.doc -> 'silences') s
                    where m.scope = 'silences' and s ->> 'by' = $1)
         or exists (select from incidents where $1 in (state ->> 'acknowledgedBy', state ->> 'resolvedBy',
                                                      state #>> '{assignee,person}')) as known`,
    [name],
  );
  return rows[0].known;
}

/** Waits in line for the shard's lock, then sends its holder away: the lock is ours before the owner can come back. */
async function becomeOwner(client: pg.Client, url: string): Promise<void> {
  const { rows } = await client.query('select pg_backend_pid() as pid');
  await client.query("set local lock_timeout = '20s'");
  const waiting = client.query("select pg_advisory_xact_lock(hashtext('tocsin_shard'), hashtext('default'))");
  const other = new pg.Client({ connectionString: url, application_name: 'tocsin erase' });
  await other.connect();
  try {
    await other.query(
      `select pg_terminate_backend(l.pid) from pg_locks l
       where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.pid <> $1
         and l.database = (select oid from pg_database where datname = current_database())
         and l.classid = hashtext('tocsin_shard')::oid and l.objid = hashtext('default')::oid`,
      [rows[0].pid],
    );
  } finally {
    await other.end();
  }
  await waiting;
}

type Scrub = { name: string; pseudonym: string; mentions: RegExp };

/** The name as a word of its own: "ana" is not in "manage". */
const wholeName = (name: string): RegExp =>
  new RegExp(`(?<![\\p{L}\\p{N}_-])${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?![\\p{L}\\p{N}_-])`, 'gu');

const BATCH = 500;

async function scrubPlace(client: pg.Client, place: Place, scrub: Scrub): Promise<number> {
  const { table, key, names = [], texts = [], json = [], bodies = [], where = 'true' } = place;
  const quoted = JSON.stringify(scrub.name).slice(1, -1);
  const holds = [
    ...[...names, ...texts].map((column) => `position($1 in ${column}) > 0`),
    ...json.map((column) => `position($2 in ${column}::text) > 0`),
    ...bodies.map((column) => `position(convert_to($2, 'UTF8') in ${column}) > 0`),
  ].join(' or ');
  const columns = [...names, ...texts, ...json, ...bodies];
  await client.query({
    text: `declare scrubbed no scroll cursor for
           select ${[...key, ...columns].join(', ')} from ${table}
           where ($1::text is not null and $2::text is not null) and (${where}) and (${holds})`,
    values: [scrub.name, quoted],
  });
  let changed = 0;
  for (;;) {
    const { rows } = await client.query(`fetch ${BATCH} from scrubbed`);
    for (const row of rows) {
      const next: Record<string, unknown> = {};
      for (const column of names) if (row[column] === scrub.name) next[column] = scrub.pseudonym;
      for (const column of texts) if (row[column] !== null) next[column] = replaced(row[column], scrub);
      for (const column of json) if (row[column] !== null) next[column] = toJson(scrubbed(row[column], scrub));
      for (const column of bodies) next[column] = scrubbedBody(row[column], scrub);
      const news = Object.entries(next).filter(([column, value]) => !isSame(row[column], value));
      if (news.length === 0) continue;
      await client.query(
        `update ${table} set ${news.map(([column], i) => `${column} = $${key.length + i + 1}`).join(', ')}
         where ${key.map((column, i) => `${column} = $${i + 1}`).join(' and ')}`,
        [...key.map((column) => row[column]), ...news.map(([, value]) => value)],
      );
      changed += 1;
    }
    if (rows.length < BATCH) break;
  }
  await client.query('close scrubbed');
  return changed;
}

const isSame = (before: unknown, after: unknown): boolean =>
  before === after ||
  (Buffer.isBuffer(before) && Buffer.isBuffer(after) && before.equals(after)) ||
  (typeof before === 'object' && typeof after === 'string' && toJson(before) === after);

const replaced = (text: string, { mentions, pseudonym }: Scrub): string => text.replace(mentions, pseudonym);

function scrubbed(value: unknown, scrub: Scrub, member = ''): unknown {
  if (typeof value === 'string') {
    if (NAMES.has(member)) return value === scrub.name ? scrub.pseudonym : value;
    return SENTENCES.has(member) ? replaced(value, scrub) : value;
  }
  if (Array.isArray(value)) return value.map((inner) => scrubbed(inner, scrub, member));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, scrubbed(inner, scrub, name)]));
}

/** A body that is no JSON (a form, an envelope of another kind) has the name replaced wherever it stands as a word. */
function scrubbedBody(body: Buffer, scrub: Scrub): Buffer {
  const text = body.toString('utf8');
  try {
    return Buffer.from(JSON.stringify(scrubbed(JSON.parse(text), scrub)));
  } catch {
    return Buffer.from(replaced(text, scrub));
  }
}
