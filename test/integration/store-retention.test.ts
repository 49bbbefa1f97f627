import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Config } from '../../src/config/schema.ts';
import { startJobs } from '../../src/jobs/start.ts';
import { listen } from '../../src/store/listen.ts';
import { runRetention } from '../../src/store/retention.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { quiet, type TestDatabase, withDatabase } from '../fakes/postgres.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await withDatabase();
}, 60_000);
afterAll(() => database.close());

const now = Date.parse('2026-11-20T08:00:00Z');
const day = 86_400_000;
const old = new Date(now - 40 * day);
const young = new Date(now - day);
const auditKey = { id: 'test', secret: randomBytes(32) };
const retention = { deliveries: 30 * day, incidents: 30 * day, audit: 30 * day };

const sql = (text: string, values: unknown[] = []) => database.pool.query(text, values);
const ids = async (text: string) => (await sql(text)).rows.map((row) => row.id);

async function incident(id: string, number: number, status: string, resolvedAt: Date | null) {
  await sql(
    `insert into incidents (id, number, status, started_at, updated_at, resolved_at, revision, assessed_revision, state)
     values ($1, $2, $3, $4, $4, $5, 1, 1, '{}')`,
    [id, number, status, old, resolvedAt],
  );
  const alertStatus = status === 'resolved' ? 'resolved' : 'firing';
  await sql(
    `insert into alerts (source, fingerprint, starts_at, status, received_at, updated_at, last_seen_at, alertname, severity, labels,
       annotations, incident_id) values ('s', $1, $2, $3, $2, $2, $2, 'a', 'high', '{}', '{}', $1)`,
    [id, old, alertStatus],
  );
  await sql("insert into timeline (incident_id, at, kind, text) values ($1, $2, 'opened', '')", [id, old]);
  await sql("insert into decisions (incident_id, revision, at, config_hash, doc) values ($1, 1, $2, '', '{}')", [
    id,
    old,
  ]);
  await sql(
    `insert into notifications (id, incident_id, channel, address, kind, urgency, state, created_at, due_at, job)
     values ($1, $1, 'log', 'log', 'open', 0, 'sent', $2, $2, '{}')`,
    [id, old],
  );
  await sql(
    "insert into messages (incident_id, channel, address, ref, state, sent_at, updated_at) values ($1, 'log', 'log', '{}', 'open', $2, $2)",
    [id, old],
  );
  await sql(
    "insert into suppressed (source, fingerprint, starts_at, incident_id, reasons, policy, at, expires_at) values ('s', $1, $2, $1, '[]', '', $2, $2)",
    [id, old],
  );
}

test('what is older than its retention goes, with all that belongs to it; what is open, waits or is young stays', async () => {
  await incident('past', 1, 'resolved', old);
  await incident('young', 2, 'resolved', young);
  await incident('open', 3, 'open', null);
  for (const [at, times] of [
    [old, 1_201],
    [young, 1],
  ] as const) {
    await sql(
      `insert into deliveries (kind, source, received_at, trace, body)
       select 'alertmanager', 's', $1::timestamptz, 't', '' from generate_series(1, $2::int)`,
      [at, times],
    );
    await sql("insert into quarantine (at, source, place, reason, raw) values ($1, 's', '', '', '')", [at]);
    await sql("insert into actions (id, at, status, detail) values ($1, $2, 200, '')", [`a${times}`, at]);
    await sql("insert into deploys (id, service, started_at, received_at) values ($1, 's', $2, $2)", [`d${times}`, at]);
  }
  await sql(
    `insert into notifications (id, incident_id, channel, address, kind, urgency, state, created_at, due_at, job)
     values ('d', 'digest-daily', 'log', 'log', 'digest', 3, 'sent', $1, $1, '{}')`,
    [old],
  );
  await sql('insert into inbox (delivery_id) select min(id) from deliveries');
  await sql(
    `insert into alerts (source, fingerprint, starts_at, status, received_at, updated_at, last_seen_at, alertname, severity, labels,
       annotations) values ('s', 'heartbeat', $1, 'resolved', $1, $1, $1, 'a', 'high', '{}', '{}')`,
    [old],
  );

  const removed = await runRetention(database.pool, retention, now, { auditKey });
  expect(removed).toEqual({
    deliveries: 1_200,
    quarantine: 1,
    actions: 1,
    digests: 1,
    incidents: 1,
    alerts: 1,
    deploys: 1,
    audit: 0,
  });
  for (const table of ['timeline', 'decisions', 'notifications', 'messages', 'suppressed', 'alerts']) {
    expect(await ids(`select incident_id as id from ${table} order by 1`), table).toEqual(['open', 'young']);
  }
  expect(await ids('select id from incidents order by id')).toEqual(['open', 'young']);
  expect(await ids('select delivery_id as id from inbox i join deliveries d on d.id = i.delivery_id')).toHaveLength(1);
  expect(await ids('select id from deploys')).toEqual(['d1']);
});

test('a stop ends it between two batches', async () => {
  await sql(
    `insert into deliveries (kind, source, received_at, trace, body)
     select 'alertmanager', 's', $1::timestamptz, 't', '' from generate_series(1, 600)`,
    [old],
  );
  const removed = await runRetention(database.pool, retention, now, { auditKey, signal: AbortSignal.abort() });
  expect(removed.deliveries).toBe(0);
});

test('the job engine runs the retention that the config says, and stops', async () => {
  const config = { tocsin: { retention, digest: { at: 'off' } } } as Config;
  const jobs = await startJobs({
    url: database.url,
    pool: database.pool,
    config: () => config,
    auditKey,
    onImbalance: () => {},
    metrics: createMetrics(),
    log: quiet,
    now: () => now,
  });
  try {
    expect(await ids('select name as id from jobs.schedule order by name')).toEqual(['digest', 'recount', 'retention']);
    // what the hourly schedule does, done now
    const { PgBoss } = await import('pg-boss');
    const sender = new PgBoss({
      connectionString: database.url,
      schema: 'jobs',
      supervise: false,
      schedule: false,
      max: 1,
    });
    await sender.start();
    await sender.send('retention', {});
    await sender.stop();
    await vi.waitFor(async () => expect(await ids('select id from deliveries')).toHaveLength(2), {
      timeout: 60_000,
      interval: 250,
    });
  } finally {
    await jobs.stop();
  }
}, 90_000);

test('listening survives a cut connection, and says that there may be news', async () => {
  const heard: string[] = [];
  const listener = listen(
    database.url,
    ['tocsin_inbox'],
    (channel, payload) => heard.push(`${channel}:${payload}`),
    quiet,
  );
  try {
    await vi.waitFor(() => expect(heard).toEqual(['tocsin_inbox:']), { timeout: 10_000 });
    await sql(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tocsin-listen' and datname = current_database()",
    );
    await vi.waitFor(() => expect(heard).toHaveLength(2), { timeout: 10_000 });
    await sql("select pg_notify('tocsin_inbox', 'news')");
    await vi.waitFor(() => expect(heard.at(-1)).toBe('tocsin_inbox:news'), { timeout: 10_000 });
  } finally {
    await listener.close();
  }
});
