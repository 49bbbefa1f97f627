import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Incident } from '../../src/domain/incident.ts';
import type { NotificationJob, Target } from '../../src/domain/notification.ts';
import type { Channels } from '../../src/notify/channels.ts';
import { createDelivery, type Delivery } from '../../src/notify/deliver.ts';
import { emailChannel } from '../../src/notify/email.ts';
import { logChannel } from '../../src/notify/log-channel.ts';
import { pagerDutyChannel } from '../../src/notify/pagerduty.ts';
import { createPainter } from '../../src/notify/picture/painter.ts';
import { slackChannel } from '../../src/notify/slack.ts';
import { webhookChannel } from '../../src/notify/webhook.ts';
import { claimNotifications, enqueue, finishNotification } from '../../src/store/outbox.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createOutbound } from '../../src/telemetry/outbound.ts';
import { acknowledgedIncident, incident, job as jobOf, resolvedIncident } from '../fakes/notify-example.ts';
import { type FakePagerDuty, startFakePagerDuty } from '../fakes/pagerduty.ts';
import { quiet, type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { type FakeSlack, startFakeSlack } from '../fakes/slack.ts';
import { type FakeSmtp, startFakeSmtp } from '../fakes/smtp.ts';
import { until } from '../fakes/until.ts';
import { type FakeWebhook, startFakeWebhook } from '../fakes/webhook.ts';

let db: TestDatabase;
let slack: FakeSlack;
let pagerduty: FakePagerDuty;
let smtp: FakeSmtp;
let receiver: FakeWebhook;
let workers: { delivery: Delivery; close(): Promise<void> }[];
let logged: string[];
/** The clock is the real one, set forward by tests that wait for minutes. */
let ahead: number;
const now = () => Date.now() + ahead;
const id = incident().id;
/** An incident without a series, so without a picture; pictures have stories of their own. */
const unplotted = (doc: Incident): Incident => ({ ...doc, metrics: {} });

beforeEach(async () => {
  [db, slack, pagerduty, smtp, receiver] = await Promise.all([
    withDatabase(),
    startFakeSlack(),
    startFakePagerDuty(),
    startFakeSmtp(),
    startFakeWebhook({ secret: 's3cret' }),
  ]);
  workers = [];
  logged = [];
  ahead = 0;
}, 60_000);

afterEach(async () => {
  for (const fake of [slack, pagerduty, smtp, receiver]) if ('recover' in fake) fake.recover();
  await Promise.all(workers.map((worker) => worker.close()));
  await Promise.all([slack.close(), pagerduty.close(), smtp.close(), receiver.close()]);
  await db.close();
}, 60_000);

function startWorker() {
  const painter = createPainter(quiet);
  const metrics = createMetrics();
  const outbound = createOutbound({ timeoutMs: 10_000, log: quiet, registry: metrics.registry });
  const channels: Channels = {
    log: logChannel({ info: (_, message) => void logged.push(message) }),
    slack: slackChannel({ token: slack.token, apiUrl: slack.url, interactive: true, outbound }),
    pagerduty: pagerDutyChannel({ eventsUrl: pagerduty.url, keyOf: (address) => `key-of-${address}`, outbound }),
    email: emailChannel({ smtpUrl: smtp.url, from: 'tocsin@example.com' }),
    webhook: webhookChannel({ targetOf: () => ({ url: receiver.url, secret: 's3cret' }), outbound }),
  };
  const delivery = createDelivery({
    pool: db.pool,
    channels: () => channels,
    painter,
    publicUrl: () => null,
    log: quiet,
    metrics,
    now,
    sleep: (ms, signal) => wait(ms, undefined, { signal }).catch(() => {}),
    random: () => 0,
  });
  delivery.start();
  const worker = {
    delivery,
    metrics,
    close: async () => {
      await delivery.stop();
      painter.close();
      outbound.close();
    },
  };
  workers.push(worker);
  return worker;
}

/** The incident as the newest assessment left it. */
async function stands(shown: Incident): Promise<void> {
  const doc = unplotted(shown);
  await db.pool.query(
    `insert into incidents (id, number, status, severity, priority, team, title, started_at, updated_at, revision, assessed_revision, state, doc)
     values ($1, $2, $3, $4, 1, $5, $6, $7, $7, 1, 1, '{}', $8)
     on conflict (id) do update set status = excluded.status, doc = excluded.doc, updated_at = excluded.updated_at`,
    [doc.id, doc.number, doc.status, doc.severity, doc.team, doc.title, doc.startedAt, JSON.stringify(doc)],
  );
}

const toSlack: Target = { channel: 'slack', address: '#payments-oncall' };
const toPager: Target = { channel: 'pagerduty', address: 'team/payments' };
const toMail: Target = { channel: 'email', address: 'payments@example.com' };
const toHook: Target = { channel: 'webhook', address: 'siem' };

async function queue(...jobs: NotificationJob[]): Promise<void> {
  await enqueue(db.pool, jobs);
  for (const { delivery } of workers) delivery.kick();
}
const tell = (kind: NotificationJob['kind'], target: Target, changes: Partial<NotificationJob> = {}): NotificationJob =>
  jobOf(kind, { incidentId: id, target, createdAt: now(), ...changes });

const rows = async (): Promise<
  { id: string; kind: string; channel: string; state: string; attempts: { result: string }[]; text: string | null }[]
> =>
  (await db.pool.query('select id, kind, channel, state, attempts, text from notifications order by created_at, id'))
    .rows;
const settled = () =>
  until(
    async () => (await rows()).every((row) => row.state !== 'waiting'),
    () => 'something still waits in the outbox',
    20_000,
  );

test('one incident on four channels: opened, acknowledged, resolved, each as that channel does it', async () => {
  startWorker();
  await stands(incident());
  await queue(...[toSlack, toPager, toMail, toHook].map((target) => tell('open', target)));
  await slack.expect('#payments-oncall', /CRITICAL HighErrorRate/);
  await pagerduty.expectTrigger('key-of-team/payments', /5 min after deploy 4f2c/);
  await smtp.expect('payments@example.com', /\[CRITICAL\] #42/);
  await receiver.expect('open');
  await stands(acknowledgedIncident());
  await queue(...[toSlack, toPager, toMail, toHook].map((target) => tell('acknowledge', target)));
  await pagerduty.expectAcknowledge('key-of-team/payments');
  await slack.expect('#payments-oncall', /Acknowledged by ana/);
  await receiver.expect('acknowledge');
  await stands(resolvedIncident());
  await queue(...[toSlack, toPager, toMail, toHook].map((target) => tell('resolve', target)));
  await pagerduty.expectResolve('key-of-team/payments');
  const message = await slack.expect('#payments-oncall', /Resolved after 14 min/);
  expect(message.history).toHaveLength(2);
  await smtp.expect('payments@example.com', /\[RESOLVED\] #42/);
  expect(await receiver.expect('resolve')).toMatchObject({ signed: true });
  await settled();
  for (const fake of [slack, pagerduty, smtp, receiver]) fake.expectNothingElse();
  const record = await rows();
  expect(record.filter((row) => row.state === 'sent')).toHaveLength(11);
  expect(record.find((row) => row.state === 'superseded')?.attempts[0]?.result).toBe('superseded: mail is not edited');
  expect(record.find((row) => row.kind === 'open' && row.channel === 'slack')?.text).toMatch(/^CRITICAL HighErrorRate/);
});

test('after an outage everything arrives, newest state only', async () => {
  slack.fail({ do: 'status', code: 503 });
  pagerduty.fail({ do: 'status', code: 503 });
  startWorker();
  await stands(incident());
  await queue(tell('open', toSlack), tell('open', toPager));
  await until(
    async () => (await rows()).every((row) => row.attempts.length > 0),
    () => 'nothing was tried',
  );
  await stands(resolvedIncident());
  await queue(tell('resolve', toSlack), tell('resolve', toPager));
  slack.recover();
  pagerduty.recover();
  const message = await slack.expect('#payments-oncall', /Resolved after 14 min/);
  await settled();
  expect(message.history).toHaveLength(0);
  slack.expectNothingElse();
  // A page for what is over must never go out, and a resolve without a page means nothing to PagerDuty.
  expect(pagerduty.events).toHaveLength(0);
  expect((await rows()).filter((row) => row.channel === 'pagerduty').map((row) => row.state)).toEqual([
    'superseded',
    'superseded',
  ]);
});

test('a channel that hangs delays no other', async () => {
  slack.fail({ do: 'hang' });
  startWorker();
  await stands(incident());
  await queue(...Array.from({ length: 20 }, (_, n) => tell('open', { channel: 'slack', address: `#c${n}` })));
  await until(
    () => slack.calls.length > 0,
    () => 'Slack was not called',
  );
  await queue(tell('open', toPager), tell('open', toMail));
  await pagerduty.expectTrigger('key-of-team/payments', null, 5_000);
  await smtp.expect('payments@example.com', /#42/, 5_000);
  slack.recover();
}, 30_000);

test('a refused page goes to the next channel at once, which then hears of the end as well', async () => {
  slack.fail({ do: 'error', error: 'channel_not_found' }, { to: '#payments-oncall' });
  const { metrics } = startWorker();
  await stands(incident());
  await queue(tell('open', toSlack, { fallback: [toMail] }));
  const mail = await smtp.expect(
    'payments@example.com',
    /slack:#payments-oncall could not be reached.*channel_not_found/,
  );
  expect(mail.subject).toMatch(/^\[CRITICAL\] #42/);
  await stands(resolvedIncident());
  await queue(tell('resolve', toSlack));
  await smtp.expect('payments@example.com', /\[RESOLVED\] #42/);
  smtp.expectNothingElse();
  expect(await metrics.registry.getSingleMetricAsString('tocsin_notification_failovers_total')).toContain(
    '{from="slack",to="email"} 1',
  );
  const { rows: story } = await db.pool.query("select text from timeline where kind = 'notification-failed'");
  expect(story.map((row) => row.text).join()).toContain('sent to email:payments@example.com instead');
});

test('a page that every channel refuses ends in the log, with an alarm', async () => {
  slack.fail({ do: 'error', error: 'invalid_auth' });
  smtp.fail({ do: 'answer', code: 550 });
  const { metrics } = startWorker();
  await stands(incident());
  await queue(tell('open', toSlack, { fallback: [toMail] }));
  await until(
    () => logged.find((line) => line.includes('email:payments@example.com could not be reached')),
    () => `the log has ${logged}`,
  );
  expect(await metrics.registry.getSingleMetricAsString('tocsin_notification_last_resort_total')).toContain(' 1');
  expect(logged).toHaveLength(1);
});

test('a page that is retried for a minute also goes to the next channel, and to its own when that is back', async () => {
  slack.fail({ do: 'status', code: 500 });
  startWorker();
  await stands(incident());
  await queue(tell('open', toSlack, { fallback: [toPager, toMail] }));
  await until(
    async () => (await rows()).some((row) => row.attempts.length > 0),
    () => 'nothing was tried',
  );
  expect(pagerduty.events).toHaveLength(0);
  ahead += 61_000;
  await pagerduty.expectTrigger('key-of-team/payments', /could not be reached/);
  slack.recover();
  ahead += 61_000;
  await slack.expect('#payments-oncall', /CRITICAL/);
  await settled();
  for (const fake of [slack, pagerduty, smtp]) fake.expectNothingElse();
});

test('nobody is told twice when the next channel has the page already', async () => {
  slack.fail({ do: 'error', error: 'is_archived' });
  startWorker();
  await stands(incident());
  await queue(tell('open', toSlack, { fallback: [toPager] }), tell('open', toPager, { fallback: [toSlack] }));
  await pagerduty.expectTrigger('key-of-team/payments');
  await until(
    () => logged.length > 0,
    () => 'the last resort was not used',
  );
  pagerduty.expectNothingElse();
  expect(pagerduty.events).toHaveLength(1);
});

test('Retry-After is honoured', async () => {
  slack.fail({ do: 'rate-limit', retryAfterSeconds: 2 }, { times: 1 });
  startWorker();
  await stands(incident());
  await queue(tell('open', toSlack));
  await slack.expect('#payments-oncall', /CRITICAL/);
  const [first, second] = slack.calls;
  expect(second!.at - first!.at).toBeGreaterThanOrEqual(1_900);
});

test('many changes in a short time are one edit, and an edit that changes nothing is none', async () => {
  startWorker();
  await stands(incident());
  await queue(tell('open', toSlack));
  const message = await slack.expect('#payments-oncall', /12 firing/);
  for (const firingCount of [11, 10, 9]) {
    await stands(incident({ firingCount }));
    await queue(tell('update', toSlack));
    await wait(100);
  }
  await slack.expect('#payments-oncall', /9 firing/);
  await settled();
  expect(message.history).toHaveLength(1);
  ahead += 5_000;
  await queue(tell('update', toSlack));
  await settled();
  expect(message.history).toHaveLength(1);
  slack.expectNothingElse();
});

test('what a killed worker held goes out after its lease; PagerDuty pages once', async () => {
  await stands(incident());
  await queue(tell('open', toPager), tell('open', toSlack));
  const claimed = await claimNotifications(db.pool, {
    now: now(),
    limit: 10,
    leaseMs: 6_000,
    worker: 'the one that was killed',
  });
  expect(claimed).toHaveLength(2);
  startWorker();
  await wait(1_500);
  expect(pagerduty.events).toHaveLength(0);
  ahead += 6_000;
  await pagerduty.expectTrigger('key-of-team/payments');
  await slack.expect('#payments-oncall', /CRITICAL/);
  await settled();
  for (const fake of [slack, pagerduty]) fake.expectNothingElse();
});

test('the page of a worker killed between send and record is no second page', async () => {
  startWorker();
  await stands(incident());
  const page = tell('open', toPager);
  await queue(page);
  await settled();
  // As if the record had been lost with the process.
  await db.pool.query('delete from messages');
  await db.pool.query("update notifications set state = 'waiting', sent_at = null where id = $1", [page.id]);
  await until(
    () => pagerduty.events.length === 2,
    () => 'it was not sent again',
  );
  expect(pagerduty.events.map((event) => event.effect)).toEqual(['opened', 'appended']);
});

test('two workers on one database deliver everything once', async () => {
  startWorker();
  startWorker();
  const docs = Array.from({ length: 40 }, (_, n) => incident({ id: `i${n}`, number: 100 + n }));
  for (const doc of docs) await stands(doc);
  await queue(
    ...docs.flatMap((doc) => [
      tell('open', toPager, { incidentId: doc.id }),
      tell('open', toHook, { incidentId: doc.id }),
    ]),
  );
  await settled();
  expect(pagerduty.events).toHaveLength(40);
  expect(receiver.calls).toHaveLength(40);
  expect((await rows()).every((row) => row.state === 'sent' && row.attempts.length === 1)).toBe(true);
}, 60_000);

test('many pages to one channel keep to a burst and then one a second', async () => {
  startWorker();
  const docs = Array.from({ length: 8 }, (_, n) => incident({ id: `i${n}`, number: 100 + n }));
  for (const doc of docs) await stands(doc);
  await queue(...docs.map((doc) => tell('open', toSlack, { incidentId: doc.id })));
  await until(
    () => slack.messages.length === 8,
    () => `${slack.messages.length} of 8`,
    20_000,
  );
  const times = slack.calls.map((call) => call.at);
  expect(times[7]! - times[0]!).toBeGreaterThan(3_000);
}, 30_000);

test('a merged incident is resolved in PagerDuty and points to the elder in Slack', async () => {
  startWorker();
  await stands(incident({ id: 'elder', number: 41, title: 'PodOOMKilled on payment' }));
  await stands(incident());
  await queue(tell('open', toSlack), tell('open', toPager));
  await settled();
  await stands(resolvedIncident({ mergedInto: 'elder' }));
  await queue(tell('resolve', toSlack), tell('resolve', toPager));
  await slack.expect('#payments-oncall', /Goes on in #41 PodOOMKilled on payment/);
  await pagerduty.expectTrigger('key-of-team/payments');
  await pagerduty.expectResolve('key-of-team/payments');
});

test('stopping ends within seconds and gives back what was not sent', async () => {
  slack.fail({ do: 'status', code: 500 });
  const { delivery } = startWorker();
  await stands(incident());
  await queue(tell('open', toSlack));
  await until(
    async () => (await rows()).some((row) => row.attempts.length > 0),
    () => 'nothing was tried',
  );
  const started = performance.now();
  await delivery.stop();
  expect(performance.now() - started).toBeLessThan(6_000);
  const { rows: held } = await db.pool.query(
    "select 1 from notifications where state = 'waiting' and claimed_until > now()",
  );
  expect(held).toHaveLength(0);
});

test('what is gone from the store is not told', async () => {
  startWorker();
  await queue(tell('open', toSlack, { incidentId: 'nowhere' }));
  await settled();
  expect((await rows())[0]).toMatchObject({ state: 'superseded' });
  expect(slack.messages).toHaveLength(0);
  // The outcome of a job stays what it was.
  await finishNotification(db.pool, { at: now(), jobs: [{ id: (await rows())[0]!.id, state: 'sent', attempt: null }] });
  expect((await rows())[0]).toMatchObject({ state: 'superseded' });
});
