import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { AuditRecord } from '../../src/domain/effects.ts';
import {
  type AuditKey,
  type AuditRow,
  parseHead,
  pruneAudit,
  readAudit,
  readAuditHead,
  recordAudit,
  verifyAudit,
} from '../../src/store/audit.ts';
import { erasePerson } from '../../src/store/erase.ts';
import { openShard } from '../../src/store/shard.ts';
import { quiet, type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { until } from '../fakes/until.ts';

let database: TestDatabase;
const key: AuditKey = { id: 'test', secret: randomBytes(32) };
const now = Date.parse('2026-11-20T03:00:00Z');

beforeAll(async () => {
  database = await withDatabase();
}, 60_000);
afterAll(() => database.close());
beforeEach(() =>
  database.pool.query(
    'truncate audit_log, audit_private, settings, incidents, timeline, feedback, correlation_memory, configs',
  ),
);

const deed = (n: number, who: string, after: unknown = {}): AuditRecord => ({
  at: now + n,
  who,
  what: 'acknowledge',
  target: 'i1',
  before: null,
  after,
  why: 'api',
});

async function trail(): Promise<AuditRow[]> {
  const rows: AuditRow[] = [];
  for await (const row of readAudit(database.pool)) rows.push(row);
  return rows;
}
const verdict = (head?: string) =>
  verifyAudit(database.pool, key, { head: head === undefined ? null : parseHead(head) });

test('names and words are put aside: the chained rows hold none of them, the trail shows them', async () => {
  await recordAudit(database.pool, key, [
    deed(1, 'ana', { by: 'ana', text: 'restarted it' }),
    deed(2, 'tocsin', { person: 'ben' }),
    deed(3, 'ana'),
  ]);
  const { rows } = await database.pool.query('select who, after::text from audit_log order by id');
  expect(JSON.stringify(rows)).not.toMatch(/ana|ben|restarted/);
  expect(rows[0].who).toBe(rows[2].who);
  expect((await trail()).map(({ who, after }) => ({ who, after }))).toEqual([
    { who: 'ana', after: { by: 'ana', text: 'restarted it' } },
    { who: 'tocsin', after: { person: 'ben' } },
    { who: 'ana', after: {} },
  ]);
  expect(await verdict()).toEqual({ ok: true, rows: 3, fault: null });
});

test('nobody can put another name in the place of one, or take one away', async () => {
  await recordAudit(database.pool, key, [deed(1, 'ana', { text: 'a mistake' }), deed(2, 'ben')]);
  await database.pool.query("update audit_private set value = 'eve' where value = 'ana'");
  expect((await verdict()).fault).toMatch(/was changed/);
  await database.pool.query("update audit_private set value = 'ana' where value = 'eve'");
  expect((await verdict()).ok).toBe(true);
  await database.pool.query("update audit_private set value = null, salt = null where value = 'a mistake'");
  expect((await verdict()).fault).toMatch(/was removed, and no erasure is on record/);
});

test('a logged head shows that trail and seal were put back to an older copy together', async () => {
  await recordAudit(database.pool, key, [deed(1, 'ana'), deed(2, 'ana')]);
  const copy = ['audit_log', 'audit_private', 'settings'];
  for (const table of copy) await database.pool.query(`create table copy_${table} as select * from ${table}`);
  await recordAudit(database.pool, key, [deed(3, 'ben')]);
  const head = (await readAuditHead(database.pool))!;
  expect(await verdict(head)).toMatchObject({ ok: true, rows: 3 });
  await recordAudit(database.pool, key, [deed(4, 'ana')]);
  expect(await verdict(head)).toMatchObject({ ok: true, rows: 4 });

  await database.pool.query(`truncate ${copy.join(', ')}`);
  for (const table of copy)
    await database.pool.query(`insert into ${table} overriding system value select * from copy_${table}`);
  expect(await verdict()).toMatchObject({ ok: true, rows: 2 });
  expect((await verdict(head)).fault).toMatch(/an older copy was put back/);

  // with other entries in the place of those that were cut off
  await database.pool.query(
    "select setval(pg_get_serial_sequence('audit_log', 'id'), (select max(id) from audit_log))",
  );
  await recordAudit(database.pool, key, [deed(3, 'eve'), deed(4, 'eve')]);
  expect(await verdict()).toMatchObject({ ok: true });
  expect((await verdict(head)).fault).toMatch(/is not the one that was logged/);
  for (const table of copy) await database.pool.query(`drop table copy_${table}`);
});

test('what retention removes takes what was put aside with it', async () => {
  await recordAudit(database.pool, key, [
    deed(1, 'ana', { text: 'one' }),
    deed(2, 'ben', { text: 'two' }),
    deed(3, 'ana', { text: 'three' }),
  ]);
  expect(await pruneAudit(database.pool, key, now + 3, 100)).toBe(2);
  const { rows } = await database.pool.query('select value from audit_private order by value');
  expect(rows.map((row) => row.value)).toEqual(['ana', 'three']);
  expect(await verdict()).toEqual({ ok: true, rows: 1, fault: null });
});

test('an erased person is nowhere any more, counts stay, and the trail is whole', async () => {
  const pool = database.pool;
  await recordAudit(pool, key, [
    deed(1, 'ana', { by: 'ana', text: 'on it' }),
    deed(2, 'ben', { text: 'ana has it, says manager', person: 'ana' }),
    deed(3, 'ben', { text: 'unrelated' }),
  ]);
  const state = { acknowledgedBy: 'ana', assignee: { person: 'ana' }, causeFeedback: [{ by: 'ana', service: 'ana' }] };
  const doc = {
    title: 'Slow banana',
    acknowledgedBy: 'ana',
    decision: { reasons: [{ text: 'Silenced by ana until' }] },
  };
  await pool.query(
    `insert into incidents (id, number, status, started_at, updated_at, revision, assessed_revision, state, doc)
     values ('i1', 1, 'acknowledged', now(), now(), 1, 1, $1, $2)`,
    [state, doc],
  );
  await pool.query(
    `insert into timeline (incident_id, at, kind, text, by) values ('i1', now(), 'acknowledged', 'Acknowledged by ana: manana', 'ana')`,
  );
  await pool.query(
    `insert into feedback (incident_id, at, by, kind, key, first_at) values ('i1', now(), 'ana', 'noise', '4f2c', now())`,
  );
  await pool.query(`insert into correlation_memory (scope, key, doc) values ('silences', 'main', $1)`, [
    { polledAt: 1, silences: [{ id: 's', match: [], until: 2, by: 'ana', comment: 'ana was here' }] },
  ]);
  await pool.query(`insert into configs (hash, first_at, tree) values ('a', now(), $1), ('b', now(), $2)`, [
    { routing: { people: { ana: { email: 'ana@example.com' } } } },
    { routing: { people: { manana: {} } } },
  ]);
  // an owner holds the shard, as the service does
  const session = (await openShard({ url: database.url, name: 'default', log: quiet, auditKey: key }))!;
  let lost = false;
  session.onLost(() => {
    lost = true;
  });

  // a word of a sentence is nobody
  expect(await erasePerson(database.url, key, { name: 'manana', by: 'tocsin', now })).toBeNull();
  const erased = (await erasePerson(database.url, key, { name: 'ana', by: 'tocsin', now }))!;
  await until(
    () => lost,
    () => 'the owner still has the shard, and the name in its memory',
  );
  const { pseudonym } = erased;
  expect(erased.rows).toEqual({ incidents: 1, timeline: 1, feedback: 1, correlation_memory: 1, configs: 1 });
  expect((await pool.query('select hash from configs')).rows).toEqual([{ hash: 'b' }]);

  const all: unknown[] = [];
  for (const table of ['incidents', 'timeline', 'feedback', 'audit_log', 'audit_private', 'correlation_memory'])
    all.push((await pool.query(`select * from ${table}`)).rows);
  // the service of that name and the words that only contain it stay
  expect(JSON.stringify(all).match(/\bana\b/g)).toEqual(['ana']);
  expect((await pool.query('select state, doc from incidents')).rows[0]).toMatchObject({
    state: { acknowledgedBy: pseudonym, causeFeedback: [{ by: pseudonym, service: 'ana' }] },
    doc: { title: 'Slow banana', decision: { reasons: [{ text: `Silenced by ${pseudonym} until` }] } },
  });
  expect((await pool.query('select by, key from feedback')).rows).toEqual([
    { by: pseudonym, key: expect.stringMatching(/^erased-/) },
  ]);
  expect((await pool.query('select text from timeline')).rows[0].text).toBe(`Acknowledged by ${pseudonym}: manana`);

  expect(await verdict()).toEqual({ ok: true, rows: 4, fault: null });
  const shown = await trail();
  expect(shown.map(({ who }) => who)).toEqual([expect.stringMatching(/^erased:/), 'ben', 'ben', 'tocsin']);
  expect(shown[2]!.after).toEqual({ text: 'unrelated' });
  expect(shown[3]).toMatchObject({ what: 'erase' });
  // taking away somebody else's words is still told
  await pool.query("update audit_private set value = null, salt = null where value = 'unrelated'");
  expect((await verdict()).fault).toMatch(/no erasure is on record/);
});
