import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Incident } from '../../src/domain/incident.ts';
import type { NotificationJob, Target } from '../../src/domain/notification.ts';
import { createDelivery, type Delivery } from '../../src/notify/deliver.ts';
import { logChannel } from '../../src/notify/log-channel.ts';
import { createPainter, type Painter } from '../../src/notify/picture/painter.ts';
import { slackChannel } from '../../src/notify/slack.ts';
import { enqueue } from '../../src/store/outbox.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createOutbound, type Outbound } from '../../src/telemetry/outbound.ts';
import { incident, job as jobOf, leadMetrics, resolvedIncident } from '../fakes/notify-example.ts';
import { quiet, type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { type FakeSlack, type FakeSlackMessage, startFakeSlack } from '../fakes/slack.ts';
import { until } from '../fakes/until.ts';

let db: TestDatabase;
let slack: FakeSlack;
let delivery: Delivery;
let outbound: Outbound;
let painter: Painter;
let metrics: ReturnType<typeof createMetrics>;
let warned: string[];
/** The clock runs a hundred times faster wherever something waits, so that minutes of patience are told in a second. */
let ahead: number;
const now = () => Date.now() + ahead;
const target: Target = { channel: 'slack', address: '#payments-oncall' };

beforeEach(async () => {
  [db, slack] = await Promise.all([withDatabase(), startFakeSlack()]);
  warned = [];
  ahead = 0;
  metrics = createMetrics();
  const log = {
    ...quiet,
    warn: (fields: object, message: string) => void warned.push(`${message} ${JSON.stringify(fields)}`),
  };
  outbound = createOutbound({ timeoutMs: 10_000, log, registry: metrics.registry });
  painter = createPainter(log);
  const channels = {
    log: logChannel({ info: () => {} }),
    slack: slackChannel({ token: slack.token, apiUrl: slack.url, interactive: true, outbound }),
  };
  delivery = createDelivery({
    pool: db.pool,
    channels: () => channels,
    painter: { ...painter, paint: (data) => painter.paint(data) },
    publicUrl: () => null,
    log,
    metrics,
    now,
    sleep: async (ms, signal) => {
      await wait(Math.max(10, ms / 100), undefined, { signal }).catch(() => {});
      ahead += ms;
    },
    random: () => 0,
  });
  delivery.start();
}, 60_000);

afterEach(async () => {
  slack.recover();
  await delivery.stop();
  painter.close();
  outbound.close();
  await slack.close();
  await db.close();
}, 60_000);

async function stands(doc: Incident): Promise<void> {
  await db.pool.query(
    `insert into incidents (id, number, status, severity, priority, team, title, started_at, updated_at, revision, assessed_revision, state, doc)
     values ($1, $2, $3, $4, 1, $5, $6, $7, $7, 1, 1, '{"trace": "t"}', $8)
     on conflict (id) do update set status = excluded.status, doc = excluded.doc, updated_at = excluded.updated_at`,
    [doc.id, doc.number, doc.status, doc.severity, doc.team, doc.title, doc.startedAt, JSON.stringify(doc)],
  );
}
async function tell(kind: NotificationJob['kind']): Promise<void> {
  await enqueue(db.pool, [jobOf(kind, { target, createdAt: now() })]);
  delivery.kick();
}
const imageOf = (message: FakeSlackMessage | undefined) =>
  message?.blocks.find((block) => block.type === 'image') as
    | { slack_file: { id: string }; alt_text: string }
    | undefined;
const pictured = (check: (id: string) => boolean = () => true) =>
  until(
    () => {
      const image = imageOf(slack.messages[0]);
      return image && check(image.slack_file.id) ? image : undefined;
    },
    () => `no picture. ${warned.join('\n')} ${slack.calls.map((call) => call.method).join()}`,
    20_000,
  );
const settled = () =>
  until(
    async () => (await db.pool.query("select 1 from notifications where state = 'waiting'")).rows.length === 0,
    () => 'something waits',
  );
const uploads = () => slack.calls.filter((call) => call.method === 'files.getUploadURLExternal').length;

test('text first, then the picture: uploaded in three steps, shown by one edit', async () => {
  await stands(incident());
  await tell('open');
  const image = await pictured();
  const [message] = slack.messages;
  expect(message?.history).toHaveLength(1);
  expect(imageOf({ ...message!, blocks: message!.history[0]!.blocks })).toBeUndefined();
  expect(slack.calls.map((call) => call.method).filter((method) => method !== 'files.info')).toEqual([
    'chat.postMessage',
    'files.getUploadURLExternal',
    'files.completeUploadExternal',
    'chat.update',
  ]);
  const file = slack.files.get(image.slack_file.id);
  expect(file?.bytes?.subarray(1, 4).toString()).toBe('PNG');
  expect(file?.shared).toBeNull();
  expect(image.alt_text).toContain('12.4 %, 2.5 times the limit of 5 %');
  await settled();
  expect(slack.messages).toHaveLength(1);
});

test('every later edit keeps the picture, a new one comes only when the situation changed, the last edit keeps it', async () => {
  await stands(incident());
  await tell('open');
  const first = (await pictured()).slack_file.id;
  await stands(incident({ firingCount: 3, metrics: { prometheus: leadMetrics({ value: 0.3 }) } }));
  ahead += 5_000;
  await tell('update');
  await slack.expect('#payments-oncall', /3 firing/);
  expect((await pictured()).slack_file.id).toBe(first);
  await settled();
  expect(uploads()).toBe(1);
  await stands(incident({ severity: 'high', firingCount: 3 }));
  ahead += 5_000;
  await tell('update');
  const second = (await pictured((id) => id !== first)).slack_file.id;
  expect(uploads()).toBe(2);
  await stands(resolvedIncident({ severity: 'high', metrics: { prometheus: leadMetrics({ threshold: 0.2 }) } }));
  await tell('resolve');
  await slack.expect('#payments-oncall', /Resolved after/);
  await settled();
  expect((await pictured()).slack_file.id).toBe(second);
  expect(uploads()).toBe(2);
  expect(slack.messages).toHaveLength(1);
});

test('without a series nothing is uploaded; facts that come later bring the picture', async () => {
  await stands(incident({ metrics: {} }));
  await tell('open');
  await slack.expect('#payments-oncall', /HighErrorRate/);
  await settled();
  expect(uploads()).toBe(0);
  await stands(incident());
  ahead += 5_000;
  await tell('update');
  await pictured();
});

test('a file that Slack is still digesting is waited for, and shown when it may be', async () => {
  slack.digestFiles(false);
  await stands(incident());
  await tell('open');
  await until(
    () => slack.calls.filter((call) => call.method === 'files.info').length >= 2,
    () => 'nobody asked whether the file is usable',
  );
  slack.digestFiles(true);
  await pictured();
  expect(uploads()).toBe(1);
  expect(slack.messages).toHaveLength(1);
});

test('a file that never becomes usable costs no edit: the news go out without it, at last it is posted in the thread', async () => {
  slack.digestFiles(false);
  await stands(incident());
  await tell('open');
  const reply = await slack.expect('#payments-oncall', /file chart\.png/, { thread: true, timeoutMs: 20_000 });
  expect(reply.broadcast).toBe(false);
  const [message] = slack.messages;
  expect(imageOf(message)).toBeUndefined();
  await stands(incident({ firingCount: 2 }));
  ahead += 5_000;
  await tell('update');
  await slack.expect('#payments-oncall', /2 firing/);
  await settled();
  expect(slack.messages).toHaveLength(2);
  expect(uploads()).toBe(2);
});

test('an app that may not upload is told what to do, once, and its messages go out as ever', async () => {
  slack.fail({ do: 'error', error: 'missing_scope' }, { method: 'files.getUploadURLExternal' });
  await stands(incident());
  await tell('open');
  await until(
    () => warned.find((line) => line.includes('files:write')),
    () => `warned: ${warned}`,
  );
  await stands(incident({ firingCount: 2, severity: 'high' }));
  ahead += 5_000;
  await tell('update');
  await slack.expect('#payments-oncall', /2 firing/);
  await settled();
  expect(uploads()).toBe(1);
});

test('an upload that breaks off is tried again', async () => {
  slack.fail({ do: 'status', code: 502 }, { method: 'upload', times: 1 });
  await stands(incident());
  await tell('open');
  await pictured();
  expect(uploads()).toBe(2);
});

test('a Slack that hangs on uploads delays no page in the same channel', async () => {
  slack.fail({ do: 'hang' }, { method: 'files.getUploadURLExternal' });
  await stands(incident());
  await tell('open');
  await until(
    () => uploads() === 1,
    () => 'no upload was begun',
  );
  const other = incident({ id: 'other', number: 43, title: 'DiskFull on cart' });
  await stands(other);
  await enqueue(db.pool, [jobOf('open', { target, incidentId: 'other', createdAt: now() })]);
  delivery.kick();
  await slack.expect('#payments-oncall', /DiskFull/, { timeoutMs: 3_000 });
});

test('the first message is timed from the arrival of its first alert; what policy held back is not', async () => {
  const count = async () =>
    (await metrics.registry.getSingleMetricAsString('tocsin_first_notification_seconds')).match(/_count (\d+)/)?.[1];
  const arrive = (fingerprint: string, incidentId: string) =>
    db.pool.query(
      `insert into alerts (source, fingerprint, starts_at, status, received_at, updated_at, last_seen_at, alertname, severity,
                           labels, annotations, incident_id)
       values ('default', $1, now(), 'firing', now() - interval '2 s', now(), now(), 'A', 'high', '{}', '{}', $2)`,
      [fingerprint, incidentId],
    );
  await stands(incident({ metrics: {} }));
  await arrive('a', incident().id);
  await tell('open');
  await until(
    async () => (await count()) === '1',
    () => 'nothing was timed',
  );
  expect(await metrics.registry.getSingleMetricAsString('tocsin_first_notification_seconds')).toMatch(
    /_bucket\{le="1"\} 0\n[\s\S]*_bucket\{le="2.5"\} [01]\n/,
  );
  await stands(incident({ id: 'held', number: 44, metrics: {} }));
  await arrive('b', 'held');
  await db.pool.query(
    "insert into timeline (incident_id, at, kind, text) values ('held', now(), 'suppressed', 'noise')",
  );
  await enqueue(db.pool, [jobOf('open', { target, incidentId: 'held', createdAt: now() })]);
  delivery.kick();
  await slack.expect('#payments-oncall', /#44/);
  await settled();
  expect(await count()).toBe('1');
});
