import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { Alert } from '../../src/domain/alert.ts';
import type { AlertRecord, Effects, IncidentState } from '../../src/domain/effects.ts';
import { neverTurned } from '../../src/domain/kill-switch.ts';
import type { NotificationJob } from '../../src/domain/notification.ts';
import { emptyEffects } from '../../src/domain/world.ts';
import { type AuditKey, loadAuditKey, pruneAudit, readAudit, recordAudit, verifyAudit } from '../../src/store/audit.ts';
import { createInbox } from '../../src/store/inbox.ts';
import { openPool } from '../../src/store/pool.ts';
import { openShard, ShardError, type ShardSession } from '../../src/store/shard.ts';
import type { Log } from '../../src/store/types.ts';
import { quiet, type TestDatabase, withDatabase } from '../fakes/postgres.ts';

let database: TestDatabase;
let auditKey: AuditKey;
let keyDir: string;
const sessions: ShardSession[] = [];
const now = Date.parse('2026-11-20T08:00:00Z');
const minute = 60_000;

beforeAll(async () => {
  database = await withDatabase();
  keyDir = mkdtempSync(join(tmpdir(), 'tocsin-key-'));
  auditKey = loadAuditKey(keyDir);
}, 60_000);
afterAll(async () => {
  await database.close();
  rmSync(keyDir, { recursive: true, force: true });
});
beforeEach(() =>
  database.pool.query(`truncate inbox, deliveries, alerts, incidents, timeline, decisions, notifications, quarantine, deploys,
    suppressed, heartbeats, feedback, links, silences, correlation_memory, actions, settings, audit_log;
    update ledger set count = 0`),
);
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.close();
});

async function own(log: Log = quiet): Promise<ShardSession> {
  const session = await openShard({ url: database.url, name: 'test', log, auditKey, now: () => now });
  if (!session) throw new Error('somebody else owns the shard');
  sessions.push(session);
  return session;
}

const alert = (over: Partial<Alert> = {}): Alert => ({
  source: 'default',
  fingerprint: 'f1',
  labels: { alertname: 'HighErrorRate', service: 'checkout' },
  annotations: { summary: 'it burns' },
  status: 'firing',
  startsAt: now - minute,
  endsAt: null,
  expiresAt: null,
  generatorUrl: 'http://prometheus/graph',
  severity: 'critical',
  alertname: 'HighErrorRate',
  service: 'checkout',
  namespace: null,
  cluster: null,
  tenant: '',
  destination: null,
  groupKey: '{}:{}',
  receiver: 'tocsin',
  receivedAt: now,
  updatedAt: now,
  lastSeenAt: now,
  closedBecause: null,
  incidentId: 'i1',
  fireVerdict: null,
  resolveVerdict: null,
  reasons: [],
  ...over,
});
const record = (over: Partial<Alert> = {}, rest: Partial<AlertRecord> = {}): AlertRecord => ({
  alert: alert(over),
  why: { rule: 'first', neighbours: [], eps: 0.4, minPts: 2, note: null },
  deliveryId: '1',
  ...rest,
});

const incident = (over: Partial<IncidentState> = {}): IncidentState => ({
  id: 'i1',
  number: 7,
  tenant: '',
  status: 'open',
  startedAt: now - minute,
  updatedAt: now,
  lastChangeAt: now,
  acknowledgedAt: null,
  acknowledgedBy: null,
  resolvedAt: null,
  resolvedBy: null,
  mergedInto: null,
  mergedFrom: [],
  assignee: null,
  snoozedUntil: null,
  silencedUntil: null,
  declared: null,
  revision: 1,
  assessedRevision: 1,
  assessedAt: now,
  firstNotifiedAt: null,
  notifiedSeverity: null,
  notifiedServices: [],
  told: [],
  toldAs: null,
  shown: null,
  handedOver: false,
  notices: 0,
  suppressedUntil: null,
  heldAt: null,
  reopens: 0,
  resolveDueAt: null,
  escalation: null,
  trace: 't',
  ...over,
});

const job = (over: Partial<NotificationJob> = {}): NotificationJob => ({
  id: 'i1-1',
  incidentId: 'i1',
  target: { channel: 'slack', address: '#sre' },
  kind: 'open',
  urgency: 0,
  createdAt: now,
  text: null,
  broadcast: false,
  fallback: [],
  trace: 't',
  ...over,
});

const effects = (over: Partial<Effects>): Effects => ({ ...emptyEffects(), ...over });
const rows = async (sql: string, values: unknown[] = []) => (await database.pool.query(sql, values)).rows;

test('a shard has one owner; the next gets it when the first lets go', async () => {
  const first = await own();
  expect(await openShard({ url: database.url, name: 'test', log: quiet, auditKey })).toBeNull();
  const other = await openShard({ url: database.url, name: 'another', log: quiet, auditKey });
  expect(other).not.toBeNull();
  await other?.close();
  await first.close();
  await own();
});

test('an owner whose connection is cut learns of it, cannot write any more, and another takes over', async () => {
  const first = await own();
  const lost = vi.fn();
  first.onLost(lost);
  await rows(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tocsin-shard-test' and datname = current_database()",
  );
  await vi.waitFor(() => expect(lost).toHaveBeenCalledTimes(1), { timeout: 10_000 });
  const failure = await first.commit(effects({ alerts: [record()] }), []).catch((error) => error);
  expect(failure).toBeInstanceOf(ShardError);
  expect(failure).toMatchObject({ lost: true, retryable: true });
  await own();
  expect(await rows('select from alerts')).toHaveLength(0);
});

test('an owner that has been silent for 20 s (stopped, or cut off) is put out', async () => {
  const stuck = new pg.Client({ connectionString: database.url });
  stuck.on('error', () => undefined);
  await stuck.connect();
  await stuck.query("select pg_try_advisory_lock(hashtext('tocsin_shard'), hashtext('test'))");
  expect(await openShard({ url: database.url, name: 'test', log: quiet, auditKey })).toBeNull();
  await vi.waitFor(() => own(), { timeout: 60_000, interval: 1_000 });
}, 90_000);

test('a database that cannot be reached is a retryable error, not a crash', async () => {
  const nowhere = openShard({ url: 'postgres://x:x@127.0.0.1:1/x', name: 'test', log: quiet, auditKey });
  await expect(nowhere).rejects.toMatchObject({ name: 'ShardError', lost: true, retryable: true });
});

test('deliveries are taken oldest first, bounded by number and bytes, and stay until a commit finishes them', async () => {
  const pool = openPool(database.url, { max: 3, name: 'inbox' });
  const inbox = createInbox(pool, { limit: 1000, minFreeDisk: 0, dataDir: tmpdir(), now: () => now });
  for (const trace of ['a', 'b', 'c', 'd']) {
    await inbox.append({ kind: 'alertmanager', source: 's', receivedAt: now, trace, body: Buffer.alloc(100, trace) });
  }
  await inbox.close();
  await pool.end();
  const session = await own();
  const traces = async (limit: number, maxBytes: number) =>
    (await session.take({ limit, maxBytes })).map((i) => i.trace);
  expect(await traces(3, 1e9)).toEqual(['a', 'b', 'c']);
  expect(await traces(10, 250)).toEqual(['a', 'b', 'c']);
  expect(await traces(10, 1)).toEqual(['a']);
  const items = await session.take({ limit: 2, maxBytes: 1e9 });
  expect(items[0]).toMatchObject({ kind: 'alertmanager', source: 's', receivedAt: now, body: Buffer.alloc(100, 'a') });
  await session.commit(
    emptyEffects(),
    items.map((i) => i.id),
  );
  expect(await traces(10, 1e9)).toEqual(['c', 'd']);
  expect(await rows('select from deliveries')).toHaveLength(4);
});

test('a delivery that somebody else already finished undoes the whole commit', async () => {
  const session = await own();
  await expect(session.commit(effects({ alerts: [record()] }), ['99'])).rejects.toMatchObject({ lost: true });
  expect(await rows('select from alerts')).toHaveLength(0);
});

test('everything of one step is stored, and given back by restore as it was', async () => {
  const session = await own();
  const deploy = {
    id: 'd1',
    service: 'checkout',
    version: '2',
    previousVersion: '1',
    environment: 'prod',
    cluster: null,
    startedAt: now - minute,
    finishedAt: null,
    status: null,
    author: 'ana',
    commit: 'abc',
    url: null,
    sources: ['api'],
    summary: null,
    rollback: false,
  };
  const heartbeat = { key: 'h', name: 'Watchdog', lastSeenAt: now, within: 600_000, missingSince: null };
  const link = { kind: 'must' as const, a: 'default/f1', b: 'default/f2', by: 'ana', at: now, incidentId: 'i1' };
  const silence = {
    id: 's1',
    incidentId: 'i1',
    alerts: ['default/f1'],
    until: now + minute,
    by: 'ana',
    at: now,
    text: null,
  };
  const memory = { scope: 'rules', key: 'a|b', doc: { n: 3 } };
  await session.commit(
    effects({
      alerts: [record()],
      incidents: [{ state: incident({ snoozedUntil: now + 5 * minute, resolveDueAt: now + minute }), doc: null }],
      timeline: [{ incidentId: 'i1', at: now, kind: 'opened', text: 'opened', by: null, data: { x: 1 } }],
      decisions: [{ incidentId: 'i1', revision: 1, at: now, configHash: 'c', doc: { weight: 0.5 } }],
      notifications: [job()],
      ledger: { received: 5, notified: 1, grouped: 2, suppressed: 0, failed: 0, inFlight: 1, quarantined: 1 },
      quarantine: [
        { at: now, source: 's', deliveryId: '4', place: 'alerts[3]', reason: 'no labels', raw: '{"a":"ü"}' },
      ],
      deploys: [deploy],
      heartbeats: [heartbeat],
      feedback: [feedback()],
      links: [link],
      silences: [silence],
      memory: [memory],
      actionResults: [{ id: 'a1', result: { status: 200, incidentId: 'i1', detail: 'done' } }],
      killSwitch: { ...neverTurned(), on: true, by: 'ana' },
    }),
    [],
  );
  const restored = await session.restore({ now, lookbackMs: 60 * minute });
  expect(restored).toMatchObject({
    alerts: [alert()],
    incidents: [{ state: incident({ snoozedUntil: now + 5 * minute, resolveDueAt: now + minute }), doc: null }],
    deploys: [deploy],
    heartbeats: [heartbeat],
    links: [link],
    silences: [silence],
    memory: [memory],
    rules: ['HighErrorRate'],
    nextNumber: 8,
    killSwitch: { on: true, by: 'ana', at: null },
    ledger: { received: 5, notified: 1, grouped: 2, suppressed: 0, failed: 0, inFlight: 1, quarantined: 1 },
  });
  expect(await rows('select next_due_at from incidents')).toEqual([{ next_due_at: new Date(now + minute) }]);
  expect(await rows('select incident_id, kind, data from timeline')).toEqual([
    { incident_id: 'i1', kind: 'opened', data: { x: 1 } },
  ]);
  expect(await rows('select doc from decisions')).toEqual([{ doc: { weight: 0.5 } }]);
  expect(await rows('select state, job from notifications')).toEqual([{ state: 'waiting', job: job() }]);
  expect((await rows('select raw from quarantine'))[0].raw.toString()).toBe('{"a":"ü"}');
  expect(await rows('select status, incident_id, detail from actions')).toEqual([
    { status: 200, incident_id: 'i1', detail: 'done' },
  ]);
  expect(await rows('select kind from feedback')).toEqual([{ kind: 'real' }]);
});

const feedback = (over: Partial<Effects['feedback'][number]> = {}): Effects['feedback'][number] => ({
  key: 'k1',
  actionId: 'a1',
  incidentId: 'i1',
  at: now,
  by: 'ana',
  origin: 'api',
  kind: 'real',
  alert: null,
  alertSource: null,
  other: null,
  otherSource: null,
  together: null,
  service: null,
  text: null,
  configHash: null,
  models: null,
  ranking: null,
  ...over,
});

test('a label said again is one row that keeps what was shown first; what the engine forgot comes from the record', async () => {
  const session = await own();
  const cause = { service: 'payment', namespace: 'shop', probability: 0.7, evidence: [{ kind: 'metric' }] };
  const models = { correlation: '3', causes: '4' };
  await session.commit(
    effects({
      alerts: [record({ incidentId: 'i1' })],
      incidents: [{ state: incident({}), doc: { rootCauses: [cause] } as never }],
      decisions: [{ incidentId: 'i1', revision: 1, at: now, configHash: 'c1', doc: { models } }],
    }),
    [],
  );
  const said = feedback({ kind: 'wrong-cause', service: 'payment', alert: 'f1' });
  await session.commit(effects({ feedback: [said] }), []);
  const shown = { withMetrics: true, causes: [{ service: 'payment', namespace: 'shop', probability: 0.7 }] };
  const columns = 'kind, at, first_at, alert_source, config_hash, models, ranking';
  const first = { kind: 'wrong-cause', at: new Date(now), first_at: new Date(now), alert_source: 'default' };
  expect(await rows(`select ${columns} from feedback`)).toEqual([
    { ...first, config_hash: 'c1', models, ranking: shown },
  ]);
  const other = { withMetrics: false, causes: [] };
  await session.commit(
    effects({ feedback: [{ ...said, kind: 'right-cause', at: now + minute, ranking: other, configHash: 'c2' }] }),
    [],
  );
  expect(await rows(`select ${columns} from feedback`)).toEqual([
    { ...first, kind: 'right-cause', at: new Date(now + minute), config_hash: 'c1', models, ranking: shown },
  ]);
});

test('a label for an incident that retention has removed is refused as gone', async () => {
  const session = await own();
  await session.commit(
    effects({
      feedback: [feedback({ incidentId: 'gone', actionId: 'a9' })],
      actionResults: [{ id: 'a9', result: { status: 200, incidentId: 'gone', detail: 'noted' } }],
    }),
    [],
  );
  expect(await rows('select kind from feedback')).toEqual([]);
  expect(await rows('select status, incident_id from actions')).toEqual([{ status: 410, incident_id: null }]);
});

test('of what people said of a pair the newest word is kept', async () => {
  const session = await own();
  const link = (kind: 'must' | 'cannot', at: number) => ({ kind, a: 'x/1', b: 'x/2', by: 'ana', at, incidentId: 'i1' });
  await session.commit(effects({ links: [link('must', now), link('cannot', now + 1)] }), []);
  await session.commit(effects({ links: [link('must', now + 2)] }), []);
  const { links } = await session.restore({ now, lookbackMs: minute });
  expect(links).toEqual([link('must', now + 2)]);
});

test('restore gives what fires, what ended lately, and every member of an open incident; not the rest', async () => {
  const session = await own();
  const old = now - 600 * minute;
  const ended = (fingerprint: string, incidentId: string, at: number) =>
    record({
      fingerprint,
      incidentId,
      status: 'resolved',
      startsAt: at - minute,
      endsAt: at,
      updatedAt: at,
      receivedAt: at,
    });
  await session.commit(
    effects({
      incidents: [
        { state: incident({ id: 'open', number: 1, startedAt: old }), doc: null },
        { state: incident({ id: 'past', number: 2, status: 'resolved', resolvedAt: old }), doc: null },
        { state: incident({ id: 'fresh', number: 3, status: 'resolved', resolvedAt: now - minute }), doc: null },
        { state: incident({ id: 'unjudged', number: 4, status: 'resolved', resolvedAt: old, revision: 2 }), doc: null },
      ],
      alerts: [
        record({ fingerprint: 'fires', incidentId: 'open', startsAt: old, receivedAt: old, updatedAt: old }),
        ended('member', 'open', old),
        ended('gone', 'past', old),
        ended('lately', 'fresh', now - minute),
        ended('pending', 'unjudged', old),
      ],
    }),
    [],
  );
  const restored = await session.restore({ now, lookbackMs: 60 * minute });
  expect(restored.incidents.map(({ state }) => state.id)).toEqual(['open', 'fresh', 'unjudged']);
  expect(restored.alerts.map((a) => a.fingerprint).sort()).toEqual(['fires', 'lately', 'member', 'pending']);
});

test('an alert has one current episode, whatever the order in which its episodes come', async () => {
  const session = await own();
  const episode = (startsAt: number, over: Partial<Alert> = {}) => record({ startsAt, ...over });
  const current = async () =>
    (await rows('select starts_at from alerts where is_current')).map((row) => row.starts_at.getTime());
  await session.commit(effects({ alerts: [episode(now - 3 * minute)] }), []);
  await session.commit(
    effects({
      alerts: [episode(now - 3 * minute, { status: 'resolved' }), episode(now - 2 * minute), episode(now - minute)],
    }),
    [],
  );
  expect(await current()).toEqual([now - minute]);
  // a late word on an older episode, known and unknown, changes nothing of that
  await session.commit(
    effects({ alerts: [episode(now - 2 * minute, { status: 'resolved' }), episode(now - 9 * minute)] }),
    [],
  );
  expect(await current()).toEqual([now - minute]);
  expect(await rows('select from alerts')).toHaveLength(4);
});

test('a later record with trimmed annotations does not erase what was stored', async () => {
  const session = await own();
  await session.commit(effects({ alerts: [record()] }), []);
  const trimmed = record(
    {
      annotations: {},
      generatorUrl: null,
      groupKey: null,
      receiver: null,
      status: 'resolved',
      endsAt: now,
      fireVerdict: 'notify',
    },
    { why: null, deliveryId: null },
  );
  await session.commit(effects({ alerts: [trimmed] }), []);
  expect(
    (await rows('select status, annotations, generator_url, group_key, why, delivery_id, fire_verdict from alerts'))[0],
  ).toMatchObject({
    status: 'resolved',
    annotations: { summary: 'it burns' },
    generator_url: 'http://prometheus/graph',
    group_key: '{}:{}',
    why: { rule: 'first' },
    delivery_id: 1,
    fire_verdict: 'notify',
  });
  // the same within one step
  await session.commit(
    effects({
      alerts: [record({ fingerprint: 'f2' }), { ...trimmed, alert: { ...trimmed.alert, fingerprint: 'f2' } }],
    }),
    [],
  );
  expect((await rows("select annotations from alerts where fingerprint = 'f2'"))[0].annotations).toEqual({
    summary: 'it burns',
  });
});

test('hostile text, a megabyte of label and the years 0001 and 9999 are stored', async () => {
  const session = await own();
  const huge = Array.from({ length: 65_536 }, (_, n) => n.toString(36).padStart(16, String(n * 7919))).join('');
  await session.commit(
    effects({
      alerts: [
        record({
          fingerprint: 'nul',
          labels: { alertname: 'a\0b', 'k\0': '\ud800', literal: '\\u0000', huge },
          alertname: huge,
          service: huge,
          startsAt: Date.parse('0001-01-01T00:00:00Z'),
          endsAt: Date.parse('9999-12-31T23:59:59Z'),
          expiresAt: Number.MAX_SAFE_INTEGER,
        }),
      ],
      timeline: [{ incidentId: 'i1', at: now, kind: 'note', text: 'a\0b\udfff', by: 'x', data: {} }],
    }),
    [],
  );
  const [row] = await rows("select labels, starts_at, ends_at from alerts where fingerprint = 'nul'");
  expect(row.labels).toEqual({ alertname: 'a\uFFFDb', 'k\uFFFD': '\uFFFD', literal: '\\u0000', huge });
  expect(row.starts_at.getTime()).toBe(Date.parse('0001-01-01T00:00:00Z'));
  expect(row.ends_at.getTime()).toBe(Date.parse('9999-12-31T23:59:59Z'));
  expect(await rows('select text from timeline')).toEqual([{ text: 'a\uFFFDb\uFFFD' }]);
  expect(await rows('select from quarantine')).toHaveLength(0);
});

test('a row that the database refuses goes to quarantine, is reported, and holds nothing else up', async () => {
  const error = vi.fn();
  const session = await own({ ...quiet, error });
  const good = Array.from({ length: 20 }, (_, n) => record({ fingerprint: `good${n}` }));
  const poison = record({ fingerprint: 'bad', fireVerdict: 'perhaps' as never });
  await session.commit(
    effects({ alerts: [...good.slice(0, 9), poison, ...good.slice(9)], notifications: [job()] }),
    [],
  );
  expect(await rows('select from alerts')).toHaveLength(20);
  expect(await rows('select from notifications')).toHaveLength(1);
  const [kept] = await rows('select place, reason, raw from quarantine');
  expect(kept).toMatchObject({ place: 'alerts', reason: expect.stringContaining('violates check constraint') });
  expect(JSON.parse(kept.raw)).toMatchObject({ fingerprint: 'bad' });
  expect(error).toHaveBeenCalledTimes(1);
});

test('one update waits per message; a second one is dropped, other kinds are not', async () => {
  const session = await own();
  const update = (id: string) => job({ id, kind: 'update', urgency: 3 });
  await session.commit(effects({ notifications: [job(), update('i1-2'), update('i1-3')] }), []);
  await session.commit(effects({ notifications: [update('i1-4'), job({ id: 'i1-5', kind: 'resolve' })] }), []);
  expect((await rows('select id from notifications order by id')).map((row) => row.id)).toEqual([
    'i1-1',
    'i1-2',
    'i1-5',
  ]);
});

test('deploys told by several sources are one deploy that knows more', async () => {
  const session = await own();
  const base = {
    id: 'd1',
    service: 'checkout',
    version: '2',
    previousVersion: null,
    environment: null,
    cluster: null,
    startedAt: now,
    finishedAt: null,
    status: null,
    author: null,
    commit: null,
    url: null,
    sources: ['github'],
    summary: null,
    rollback: false,
  };
  await session.commit(effects({ deploys: [base] }), []);
  await session.commit(
    effects({ deploys: [{ ...base, version: null, author: 'ana', finishedAt: now + 1, sources: ['argocd'] }] }),
    [],
  );
  const { deploys } = await session.restore({ now, lookbackMs: minute });
  expect(deploys).toEqual([{ ...base, author: 'ana', finishedAt: now + 1, sources: ['argocd', 'github'] }]);
});

test('a suppression ends when it is released, and begins anew when it is said again', async () => {
  const session = await own();
  const held = {
    source: 'default',
    fingerprint: 'f1',
    startsAt: now,
    incidentId: 'i1',
    reasons: [{ code: 'noise', text: 'dev' }],
    policy: 'dev-noise',
    at: now,
    expiresAt: now + minute,
  };
  const released = async () => (await rows('select released_at from suppressed'))[0].released_at?.getTime() ?? null;
  await session.commit(effects({ suppressed: [held] }), []);
  await session.commit(effects({ released: [{ source: 'default', fingerprint: 'f1' }] }), []);
  expect(await released()).toBe(now);
  await session.commit(effects({ suppressed: [held] }), []);
  expect(await released()).toBeNull();
});

test('commits wake the outbox, the callers of actions and the event stream', async () => {
  const session = await own();
  const client = await database.pool.connect();
  const heard: string[] = [];
  client.on('notification', ({ channel, payload }) => heard.push(`${channel} ${payload}`));
  await client.query('listen tocsin_outbox; listen tocsin_action; listen tocsin_incident');
  await session.commit(
    effects({
      notifications: [job()],
      incidents: [{ state: incident(), doc: null }],
      actionResults: [{ id: 'a1', result: { status: 404, incidentId: null, detail: 'unknown' } }],
    }),
    [],
  );
  await vi.waitFor(() => expect(heard).toHaveLength(3), { timeout: 10_000 });
  expect(heard.sort()).toEqual([
    'tocsin_action a1',
    'tocsin_incident {"id":"i1","revision":1,"status":"open"}',
    'tocsin_outbox ',
  ]);
  client.release(true);
});

const deed = (n: number) => ({
  at: now + n,
  who: 'ana\0',
  what: 'acknowledge',
  target: 'i1',
  before: null,
  after: { b: 1.5, a: ['ü', null] },
  why: 'api',
});

test('the audit trail verifies, over writers and restarts, and tells any change, insertion and removal', async () => {
  const session = await own();
  await session.commit(effects({ audit: [deed(1), deed(2)] }), []);
  await recordAudit(database.pool, loadAuditKey(keyDir), [deed(3)]);
  await session.commit(effects({ audit: [deed(4)] }), []);
  expect(await verifyAudit(database.pool, auditKey)).toEqual({ ok: true, rows: 4, fault: null });

  const spoil = async (sql: string) => {
    const client = await database.pool.connect();
    try {
      await client.query('create temp table saved as select * from audit_log');
      await client.query(sql);
      return (await verifyAudit(database.pool, auditKey)).fault;
    } finally {
      await client.query('delete from audit_log; insert into audit_log overriding system value select * from saved');
      client.release(true);
    }
  };
  const second = '(select id from audit_log order by id offset 1 limit 1)';
  expect(await spoil(`update audit_log set who = 'eve' where id = ${second}`)).toMatch(/was changed/);
  expect(await spoil(`update audit_log set after = '{}' where id = ${second}`)).toMatch(/was changed/);
  expect(await spoil(`delete from audit_log where id = ${second}`)).toMatch(/removed or inserted/);
  expect(await spoil('delete from audit_log where id = (select min(id) from audit_log)')).toMatch(
    /removed or inserted/,
  );
  expect(await spoil('delete from audit_log where id = (select max(id) from audit_log)')).toMatch(
    /something was removed/,
  );
  expect(await spoil('delete from audit_log')).toMatch(/something was removed/);
  expect((await verifyAudit(database.pool, auditKey)).ok).toBe(true);
});

test('retention may cut the beginning off the trail; what is left still verifies', async () => {
  await recordAudit(database.pool, auditKey, [deed(1), deed(2), deed(3)]);
  expect(await pruneAudit(database.pool, auditKey, now + 3, 100)).toBe(2);
  expect(await verifyAudit(database.pool, auditKey)).toEqual({ ok: true, rows: 1, fault: null });
  expect(await pruneAudit(database.pool, auditKey, now + 100, 100)).toBe(1);
  await recordAudit(database.pool, auditKey, [deed(9)]);
  expect(await verifyAudit(database.pool, auditKey)).toEqual({ ok: true, rows: 1, fault: null });
  const ats: number[] = [];
  for await (const row of readAudit(database.pool)) ats.push(row.at);
  expect(ats).toEqual([now + 9]);
});

test('the release before may go on writing feedback as it did', async () => {
  await database.pool.query(
    "insert into feedback (incident_id, at, by, kind) values ('i1', now(), 'ana', 'real'), ('i1', now(), 'ana', 'real')",
  );
  expect(await rows('select kind, origin from feedback')).toHaveLength(2);
});
