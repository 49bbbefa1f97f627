import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { NotificationJob } from '../../src/domain/notification.ts';
import {
  claimNotifications,
  enqueue,
  finishNotification,
  getIncidentForDelivery,
  getMessages,
  type MessageRecord,
  nextDue,
  outboxStats,
  postpone,
} from '../../src/store/outbox.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await withDatabase();
}, 60_000);
afterAll(() => database.close());
beforeEach(() => database.pool.query('truncate notifications, messages, timeline, incidents'));

const now = Date.parse('2026-11-20T08:00:00Z');
const slack = { channel: 'slack', address: '#sre' } as const;

const job = (id: string, over: Partial<NotificationJob> = {}): NotificationJob => ({
  id,
  incidentId: 'i1',
  target: slack,
  kind: 'open',
  urgency: 0,
  createdAt: now,
  text: null,
  broadcast: false,
  fallback: [],
  trace: 't',
  ...over,
});

const claim = (over: Partial<Parameters<typeof claimNotifications>[1]> = {}) =>
  claimNotifications(database.pool, { now, limit: 10, leaseMs: 30_000, worker: 'a', ...over });
const ids = (threads: Awaited<ReturnType<typeof claim>>) => threads.map((thread) => thread.jobs.map(({ id }) => id));

test('all that waits for one message is claimed together, the most urgent message first', async () => {
  await enqueue(database.pool, [
    job('update', { kind: 'update', urgency: 3 }),
    job('page', { incidentId: 'i2', createdAt: now - 1 }),
    job('resolve', { kind: 'resolve', urgency: 1 }),
    job('elsewhere', { target: { channel: 'email', address: 'a@example.com' }, kind: 'thread', urgency: 2 }),
  ]);
  expect(ids(await claim())).toEqual([['page'], ['resolve', 'update'], ['elsewhere']]);
});

test('a message in one worker’s hands is not given to another, also not what is added to it meanwhile', async () => {
  await enqueue(database.pool, [job('one')]);
  expect(ids(await claim())).toEqual([['one']]);
  await enqueue(database.pool, [job('two', { kind: 'resolve' })]);
  expect(await claim({ worker: 'b' })).toEqual([]);
  await finish('one');
  expect(ids(await claim({ worker: 'b' }))).toEqual([['two']]);
});

test('ten workers claiming at once share the messages without one being taken twice', async () => {
  await enqueue(
    database.pool,
    Array.from({ length: 200 }, (_, n) =>
      job(`j${n}`, { incidentId: `i${n % 100}`, kind: n < 100 ? 'open' : 'thread' }),
    ),
  );
  const taken: string[] = [];
  const work = async (worker: string) => {
    for (;;) {
      const threads = await claim({ worker, limit: 7 });
      if (threads.length === 0) return;
      for (const thread of threads) {
        expect(thread.jobs).toHaveLength(2);
        taken.push(thread.incidentId);
      }
    }
  };
  await Promise.all(Array.from({ length: 10 }, (_, n) => work(`w${n}`)));
  expect(taken).toHaveLength(100);
  expect(new Set(taken).size).toBe(100);
});

test('a worker that dies lets go when its lease ends', async () => {
  await enqueue(database.pool, [job('one')]);
  await claim();
  expect(await claim({ worker: 'b', now: now + 29_000 })).toEqual([]);
  expect(ids(await claim({ worker: 'b', now: now + 31_000 }))).toEqual([['one']]);
});

test('excluded targets and channels are left alone', async () => {
  const email = { channel: 'email', address: 'a@example.com' } as const;
  await enqueue(database.pool, [
    job('s'),
    job('t', { target: { ...slack, address: '#dev' } }),
    job('m', { target: email }),
  ]);
  expect(ids(await claim({ exclude: [slack, { channel: 'email' }] }))).toEqual([['t']]);
});

test('a postponed job comes back when it is due, with its attempts; what is new takes it along at once', async () => {
  await enqueue(database.pool, [job('one')]);
  await claim();
  await postpone(database.pool, ['one'], now + 60_000, { at: now, result: 'rate limited' }, 'a');
  expect(await claim()).toEqual([]);
  expect(await nextDue(database.pool)).toBe(now + 60_000);
  await enqueue(database.pool, [job('two', { kind: 'resolve', urgency: 1 })]);
  const [thread] = await claim();
  expect(thread?.jobs.map(({ id, attempts }) => [id, attempts])).toEqual([
    ['one', [{ at: now, result: 'rate limited' }]],
    ['two', []],
  ]);
});

test('a worker whose lease ran out cannot postpone what another holds now', async () => {
  await enqueue(database.pool, [job('one')]);
  await claim();
  await claim({ worker: 'b', now: now + 31_000 });
  await postpone(database.pool, ['one'], now, null, 'a');
  expect(await claim({ worker: 'c', now: now + 32_000 })).toEqual([]);
});

const message: MessageRecord = {
  incidentId: 'i1',
  target: slack,
  ref: { channel: 'C1', ts: '1.2' },
  state: 'open',
  sentAt: now,
  updatedAt: now,
  fingerprint: 'x',
};

const finish = (id: string) =>
  finishNotification(database.pool, {
    at: now,
    jobs: [{ id, state: 'sent', attempt: { at: now, result: 'ok' }, text: 'hi' }],
  });

test('outcomes, message, failover jobs and timeline are written together, and the message is there next time', async () => {
  await enqueue(database.pool, [job('one'), job('two', { kind: 'update', urgency: 3 })]);
  await claim();
  await finishNotification(database.pool, {
    at: now + 5,
    jobs: [
      { id: 'one', state: 'sent', attempt: { at: now + 5, result: 'ok' }, text: 'said\0' },
      { id: 'two', state: 'superseded', attempt: null },
    ],
    message,
    next: [job('three', { target: { channel: 'log', address: 'log' } })],
    timeline: [{ incidentId: 'i1', at: now, kind: 'notified', text: 'told #sre', by: null, data: {} }],
  });
  const { rows } = await database.pool.query(
    'select id, state, text, sent_at, attempts, claimed_by from notifications order by id',
  );
  expect(rows).toEqual([
    {
      id: 'one',
      state: 'sent',
      text: 'said\uFFFD',
      sent_at: new Date(now + 5),
      attempts: [{ at: now + 5, result: 'ok' }],
      claimed_by: null,
    },
    expect.objectContaining({ id: 'three', state: 'waiting' }),
    { id: 'two', state: 'superseded', text: null, sent_at: null, attempts: [], claimed_by: null },
  ]);
  expect(await getMessages(database.pool, 'i1')).toEqual([message]);
  expect((await database.pool.query('select text from timeline')).rows).toEqual([{ text: 'told #sre' }]);
  await enqueue(database.pool, [job('four', { kind: 'update', urgency: 3 })]);
  const thread = (await claim()).find(({ target }) => target.channel === 'slack');
  expect(thread?.message).toEqual(message);
});

test('the first outcome of a job stands', async () => {
  await enqueue(database.pool, [job('one')]);
  await finish('one');
  await finishNotification(database.pool, { at: now, jobs: [{ id: 'one', state: 'failed', attempt: null }] });
  const { rows } = await database.pool.query('select state, attempts from notifications');
  expect(rows).toEqual([{ state: 'sent', attempts: [{ at: now, result: 'ok' }] }]);
});

test('an update that comes while another one is being sent waits for its turn; given back, only the newest stays', async () => {
  await enqueue(database.pool, [job('u1', { kind: 'update' })]);
  expect(ids(await claim())).toEqual([['u1']]);
  await enqueue(database.pool, [job('u2', { kind: 'update', createdAt: now + 1 })]);
  await enqueue(database.pool, [job('u3', { kind: 'update', createdAt: now + 2 })]);
  await postpone(database.pool, ['u1'], now, { at: now, result: 'timed out' }, 'a');
  expect(ids(await claim({ now: now + 10 }))).toEqual([['u2']]);
  const states = await database.pool.query('select id, state from notifications order by id');
  expect(states.rows).toEqual([
    { id: 'u1', state: 'superseded' },
    { id: 'u2', state: 'waiting' },
  ]);
  // A worker that took over from a dead one may hold two of them.
  await database.pool.query("update notifications set state = 'waiting', claimed_by = 'a' where id = 'u1'");
  await postpone(database.pool, ['u1', 'u2'], now, null, 'a');
  expect(ids(await claim({ now: now + 20 }))).toEqual([['u2']]);
});

test('a second waiting update of the same message is dropped, also by failover', async () => {
  await enqueue(database.pool, [job('u1', { kind: 'update' }), job('u2', { kind: 'update' })]);
  await enqueue(database.pool, [job('u3', { kind: 'update' })]);
  expect(await outboxStats(database.pool, now)).toEqual({ waiting: 1, oldestDueAt: now });
});

test('the incident is read as it is now, with the end of its story', async () => {
  expect(await getIncidentForDelivery(database.pool, 'nobody')).toBeNull();
  await database.pool.query(
    `insert into incidents (id, number, status, started_at, updated_at, revision, assessed_revision, state, doc)
     values ('i1', 1, 'open', now(), now(), 1, 1, '{"id":"i1"}', '{"title":"x"}')`,
  );
  await database.pool.query(
    `insert into timeline (incident_id, at, kind, text) select 'i1', $1, 'note', 'n' || n from generate_series(1, 5) n`,
    [new Date(now)],
  );
  const found = await getIncidentForDelivery(database.pool, 'i1', 2);
  expect(found).toMatchObject({ doc: { title: 'x' }, state: { id: 'i1' } });
  expect(found?.timeline.map(({ text, at }) => [text, at])).toEqual([
    ['n4', now],
    ['n5', now],
  ]);
});
