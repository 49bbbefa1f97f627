import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Digest } from '../../src/domain/digest.ts';
import type { Channels } from '../../src/notify/channels.ts';
import { createDelivery, type Delivery } from '../../src/notify/deliver.ts';
import { digestJobs } from '../../src/notify/digest.ts';
import { emailChannel } from '../../src/notify/email.ts';
import { checkShouldHavePagedUrl, shouldHavePagedUrl } from '../../src/notify/feedback-url.ts';
import { logChannel } from '../../src/notify/log-channel.ts';
import { createPainter, type Painter } from '../../src/notify/picture/painter.ts';
import { slackChannel } from '../../src/notify/slack.ts';
import { webhookChannel } from '../../src/notify/webhook.ts';
import { parseSlackInteraction } from '../../src/respond/slack.ts';
import { enqueue } from '../../src/store/outbox.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createOutbound } from '../../src/telemetry/outbound.ts';
import { quiet, type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { type FakeSlack, startFakeSlack } from '../fakes/slack.ts';
import { type FakeSmtp, startFakeSmtp } from '../fakes/smtp.ts';
import { until } from '../fakes/until.ts';
import { type FakeWebhook, startFakeWebhook } from '../fakes/webhook.ts';

const key = randomBytes(32);
let db: TestDatabase;
let slack: FakeSlack;
let smtp: FakeSmtp;
let receiver: FakeWebhook;
let delivery: Delivery;
let painter: Painter;
let logged: string[];

beforeEach(async () => {
  [db, slack, smtp, receiver] = await Promise.all([
    withDatabase(),
    startFakeSlack(),
    startFakeSmtp(),
    startFakeWebhook({ secret: 's3cret' }),
  ]);
  logged = [];
  const metrics = createMetrics();
  const outbound = createOutbound({ timeoutMs: 10_000, log: quiet, registry: metrics.registry });
  painter = createPainter(quiet);
  const channels: Channels = {
    log: logChannel({ info: (_, message) => void logged.push(message) }),
    slack: slackChannel({ token: slack.token, apiUrl: slack.url, interactive: true, outbound }),
    email: emailChannel({
      smtpUrl: smtp.url,
      from: 'tocsin@example.com',
      feedbackUrlOf: (id, to, at) => shouldHavePagedUrl('https://tocsin.example.com/', key, id, to, at),
    }),
    webhook: webhookChannel({ targetOf: () => ({ url: receiver.url, secret: 's3cret' }), outbound }),
  };
  delivery = createDelivery({
    pool: db.pool,
    channels: () => channels,
    painter,
    publicUrl: () => 'https://tocsin.example.com',
    log: quiet,
    metrics,
    now: Date.now,
    sleep: (ms, signal) => wait(ms, undefined, { signal }).catch(() => {}),
    random: () => 0,
  });
  delivery.start();
}, 60_000);

afterEach(async () => {
  await delivery.stop();
  painter.close();
  await Promise.all([slack.close(), smtp.close(), receiver.close()]);
  await db.close();
}, 60_000);

const digest: Digest = {
  kind: 'daily',
  team: 'payments',
  from: Date.parse('2026-11-19T08:00:00Z'),
  to: Date.parse('2026-11-20T08:00:00Z'),
  total: 3,
  items: [1, 2].map((n) => ({
    incidentId: `01JD4Z8K6Q000000000000004${n}`,
    number: 40 + n,
    title: `DiskFull on <!channel> shard-${n}`,
    severity: 'medium',
    at: Date.parse('2026-11-19T23:00:00Z'),
    because: 'Noise policy dev-noise: nobody is on call for dev',
    outcome: 'ended by itself after 4 min',
    held: true,
  })),
};

const states = async () =>
  (await db.pool.query('select channel, kind, state, text from notifications order by created_at, id')).rows;
const settled = () =>
  until(
    async () => (await states()).every((row) => row.state !== 'waiting'),
    () => 'a digest still waits',
    20_000,
  );

test('a digest goes out once to each of a team: in Slack with a button an incident, as mail, to a webhook', async () => {
  const targets = [
    { channel: 'slack', address: '#payments' },
    { channel: 'email', address: 'payments@example.com' },
    { channel: 'webhook', address: 'siem' },
  ] as const;
  const jobs = digestJobs(digest, '2026-11-20', targets, { now: Date.now() });
  await enqueue(db.pool, jobs);
  // another replica, or the same one after a restart, makes the same digest
  await enqueue(db.pool, digestJobs(digest, '2026-11-20', targets, { now: Date.now() + 5 }));
  delivery.kick();
  await settled();
  expect((await states()).map((row) => `${row.channel} ${row.kind} ${row.state}`).sort()).toEqual([
    'email digest sent',
    'slack digest sent',
    'webhook digest sent',
  ]);

  const shown = await slack.expect('#payments', /payments: 3 incidents held back/);
  expect(slack.messages).toHaveLength(1);
  expect(JSON.stringify([shown.text, shown.blocks])).not.toContain('<!channel>');
  expect(shown.shown).toMatch(/and 1 more/);
  const buttons = shown.blocks.flatMap((block) => ('accessory' in block ? [block.accessory] : []));
  expect(buttons).toMatchObject([
    { action_id: 'tocsin.should_have_paged', value: digest.items[0]!.incidentId },
    { action_id: 'tocsin.should_have_paged', value: digest.items[1]!.incidentId },
  ]);

  const mail = await smtp.expect('payments@example.com', /\[DIGEST\] payments: 3 incidents held back/);
  expect(mail.text).toContain('#41 DiskFull');
  const [link] = /https:\/\/tocsin[^\s]+/.exec(mail.text)!;
  const { pathname, searchParams } = new URL(link!);
  const asked = {
    id: pathname.split('/').at(-1)!,
    to: searchParams.get('to')!,
    expires: Number(searchParams.get('expires')),
    signature: searchParams.get('signature')!,
  };
  expect(asked).toMatchObject({ id: digest.items[0]!.incidentId, to: 'payments@example.com' });
  const week = 7 * 86_400_000;
  expect(checkShouldHavePagedUrl(key, asked, digest.to + week - 1)).toBe('good');
  expect(checkShouldHavePagedUrl(key, asked, digest.to + week + 1)).toBe('expired');
  expect(checkShouldHavePagedUrl(key, { ...asked, id: digest.items[1]!.incidentId }, digest.to)).toBe('forged');
  expect(checkShouldHavePagedUrl(key, { ...asked, to: 'eve@example.com' }, digest.to)).toBe('forged');
});

test('a digest that Slack refuses goes to the next target, at last to the log', async () => {
  slack.fail({ do: 'error', error: 'is_archived' });
  await enqueue(
    db.pool,
    digestJobs(digest, '2026-11-20', [{ channel: 'slack', address: '#payments' }], { now: Date.now() }),
  );
  delivery.kick();
  await until(
    () => logged.length > 0,
    () => 'nothing was logged',
    20_000,
  );
  expect(logged).toEqual([expect.stringMatching(/^payments: 3 incidents held back: #41 DiskFull/)]);
  await settled();
  expect((await states()).map((row) => [row.channel, row.state])).toEqual([
    ['slack', 'failed'],
    ['log', 'sent'],
  ]);
});

test('"Should have paged" in a digest becomes feedback, once per person', () => {
  const click = (user: string, value: string) =>
    parseSlackInteraction(
      new URLSearchParams({
        payload: JSON.stringify({
          type: 'block_actions',
          user: { id: user },
          message: { ts: '1.2' },
          channel: { id: 'C1' },
          actions: [{ action_id: 'tocsin.should_have_paged', value, action_ts: '1763625600.1' }],
        }),
      }).toString(),
      { people: { ana: { slack: 'U0ANA' } }, apiUrl: 'https://slack.com/api/' },
    );
  const first = click('U0ANA', '42');
  expect(first).toMatchObject({
    kind: 'action',
    action: { do: 'feedback', by: 'ana', incident: { id: '42' }, body: { kind: 'should-have-paged' } },
  });
  const idOf = (one: typeof first) => (one.kind === 'action' ? one.action.id : null);
  expect(idOf(click('U0ANA', '42'))).toBe(idOf(first));
  expect(idOf(click('U0BEN', '42'))).not.toBe(idOf(first));
  expect(idOf(click('U0ANA', '43'))).not.toBe(idOf(first));
});
