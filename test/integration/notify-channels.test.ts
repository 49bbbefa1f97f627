import { Registry } from 'prom-client';
import { afterEach, describe, expect, test } from 'vitest';
import type { ChannelKind } from '../../src/domain/notification.ts';
import type { Channel, DeliveryJob, SendResult } from '../../src/notify/channel.ts';
import { emailChannel } from '../../src/notify/email.ts';
import { logChannel } from '../../src/notify/log-channel.ts';
import { buildMessage } from '../../src/notify/message.ts';
import { pagerDutyChannel } from '../../src/notify/pagerduty.ts';
import { checkSlack, slackChannel } from '../../src/notify/slack.ts';
import { webhookChannel } from '../../src/notify/webhook.ts';
import { createOutbound, type Outbound } from '../../src/telemetry/outbound.ts';
import { acknowledgedIncident, extras, incident, resolvedIncident } from '../fakes/notify-example.ts';
import { startFakePagerDuty } from '../fakes/pagerduty.ts';
import { startFakeSlack } from '../fakes/slack.ts';
import { startFakeSmtp } from '../fakes/smtp.ts';
import { startFakeWebhook } from '../fakes/webhook.ts';

const logged: string[] = [];
const log = { debug: (fields: object, message: string) => void logged.push(JSON.stringify({ ...fields, message })) };
const outbound: Outbound = createOutbound({ timeoutMs: 10_000, log, registry: new Registry() });

const secrets = {
  slack: 'xoxb-very-secret-token',
  pagerduty: 'R0UT1NGKEYR0UT1NGKEYR0UT1NGKEY00',
  email: 'p@ss word/for:smtp',
  webhook: 'webhook-signing-secret',
};

const jobFor = (channel: Channel, address: string, changes: Partial<DeliveryJob> = {}): DeliveryJob => {
  const doc = changes.incident ?? incident();
  return {
    id: 'n1',
    kind: 'open',
    target: { channel: channel.kind, address },
    incident: doc,
    message: buildMessage(doc, extras()),
    existing: null,
    text: null,
    broadcast: false,
    at: Date.parse('2026-11-20T03:12:03Z'),
    ...changes,
  };
};

type Bench = {
  channel: Channel;
  address: string;
  secret: string;
  arrived: () => number;
  /** Makes the far side fail that way; null where its protocol has no such thing. */
  fault: Record<'limited' | 'broken' | 'hung' | 'refusing', (() => void) | null>;
  close: () => Promise<void>;
};

const benches: Record<Exclude<ChannelKind, 'log'>, () => Promise<Bench>> = {
  slack: async () => {
    const slack = await startFakeSlack({ token: secrets.slack });
    return {
      channel: slackChannel({ token: secrets.slack, apiUrl: slack.url, interactive: true, outbound }),
      address: '#payments-oncall',
      secret: secrets.slack,
      arrived: () => slack.messages.length,
      fault: {
        limited: () => slack.fail({ do: 'rate-limit', retryAfterSeconds: 7 }),
        broken: () => slack.fail({ do: 'status', code: 503 }),
        hung: () => slack.fail({ do: 'hang' }),
        refusing: () => slack.fail({ do: 'error', error: 'invalid_auth' }),
      },
      close: slack.close,
    };
  },
  pagerduty: async () => {
    const pagerduty = await startFakePagerDuty();
    return {
      channel: pagerDutyChannel({
        eventsUrl: pagerduty.url,
        keyOf: (who) => (who === 'team/payments' ? secrets.pagerduty : null),
        outbound,
      }),
      address: 'team/payments',
      secret: secrets.pagerduty,
      arrived: () => pagerduty.events.length,
      fault: {
        limited: () => pagerduty.fail({ do: 'status', code: 429, retryAfterSeconds: 7 }),
        broken: () => pagerduty.fail({ do: 'status', code: 502 }),
        hung: () => pagerduty.fail({ do: 'hang' }),
        refusing: () => pagerduty.fail({ do: 'status', code: 400 }),
      },
      close: pagerduty.close,
    };
  },
  email: async () => {
    const smtp = await startFakeSmtp({ user: 'tocsin', password: secrets.email });
    return {
      channel: emailChannel({ smtpUrl: smtp.url, from: 'Tocsin <tocsin@example.com>' }),
      address: 'payments@example.com',
      secret: secrets.email,
      arrived: () => smtp.mails.length,
      fault: {
        limited: null,
        broken: () => smtp.fail({ do: 'answer', code: 451, text: `try later, ${secrets.email}` }),
        hung: () => smtp.fail({ do: 'hang' }),
        refusing: () => smtp.fail({ do: 'answer', code: 550, text: `no such mailbox, ${secrets.email}` }),
      },
      close: smtp.close,
    };
  },
  webhook: async () => {
    const receiver = await startFakeWebhook({ secret: secrets.webhook });
    return {
      channel: webhookChannel({
        targetOf: (name) => (name === 'siem' ? { url: receiver.url, secret: secrets.webhook } : null),
        outbound,
      }),
      address: 'siem',
      secret: secrets.webhook,
      arrived: () => receiver.calls.length,
      fault: {
        limited: () => receiver.fail({ do: 'status', code: 429, retryAfterSeconds: 7 }),
        broken: () => receiver.fail({ do: 'status', code: 500, body: `stack trace with ${secrets.webhook}` }),
        hung: () => receiver.fail({ do: 'hang' }),
        refusing: () => receiver.fail({ do: 'status', code: 403 }),
      },
      close: receiver.close,
    };
  },
};

const closing: (() => Promise<void> | undefined)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});
const on = async (kind: keyof typeof benches): Promise<Bench> => {
  const bench = await benches[kind]();
  closing.push(async () => bench.channel.close?.(), bench.close);
  return bench;
};

const keepsSecret = (result: SendResult, { secret }: Bench) => {
  for (const text of [JSON.stringify(result), ...logged]) expect(text).not.toContain(secret);
};

describe.each(Object.keys(benches) as (keyof typeof benches)[])('every channel keeps the contract: %s', (kind) => {
  test('delivers, and says what a reader saw first', async () => {
    const bench = await on(kind);
    const result = await bench.channel.send(jobFor(bench.channel, bench.address));
    expect(result).toMatchObject({
      status: 'sent',
      ref: expect.anything(),
      text: expect.stringMatching(/HighErrorRate/),
    });
    expect(bench.arrived()).toBe(1);
    keepsSecret(result, bench);
  });

  test('too many requests: again, not before the time it was told', async () => {
    const bench = await on(kind);
    if (!bench.fault.limited) return expect(kind).toBe('email');
    bench.fault.limited();
    const result = await bench.channel.send(jobFor(bench.channel, bench.address));
    expect(result).toMatchObject({ status: 'retry', afterMs: 7000 });
    keepsSecret(result, bench);
  });

  test('a fault of the far side: again', async () => {
    const bench = await on(kind);
    bench.fault.broken?.();
    const result = await bench.channel.send(jobFor(bench.channel, bench.address));
    expect(result).toMatchObject({ status: 'retry' });
    keepsSecret(result, bench);
  });

  test('a refusal: not again by itself, with what to do about it', async () => {
    const bench = await on(kind);
    bench.fault.refusing?.();
    const result = await bench.channel.send(jobFor(bench.channel, bench.address));
    expect(result).toMatchObject({ status: 'refused', fix: expect.stringMatching(/\w/) });
    keepsSecret(result, bench);
  });

  test('nobody there: again', async () => {
    const bench = await on(kind);
    await bench.close();
    const result = await bench.channel.send(jobFor(bench.channel, bench.address));
    expect(result).toMatchObject({ status: 'retry' });
    keepsSecret(result, bench);
  });
});

test('silence: every channel gives a call up after 10 s, and says to try again', { timeout: 40_000 }, async () => {
  const kinds = Object.keys(benches) as (keyof typeof benches)[];
  await Promise.all(
    kinds.map(async (kind) => {
      const bench = await on(kind);
      bench.fault.hung?.();
      const started = performance.now();
      const result = await bench.channel.send(jobFor(bench.channel, bench.address));
      expect(result, kind).toMatchObject({ status: 'retry' });
      expect(performance.now() - started).toBeGreaterThan(9_000);
      expect(performance.now() - started).toBeLessThan(25_000);
      keepsSecret(result, bench);
    }),
  );
});

describe('Slack', () => {
  const start = async () => {
    const slack = await startFakeSlack({ token: secrets.slack });
    closing.push(slack.close);
    const channel = slackChannel({ token: secrets.slack, apiUrl: slack.url, interactive: true, outbound });
    const send = async (changes: Partial<DeliveryJob> = {}, address = '#payments-oncall') => {
      const result = await channel.send(jobFor(channel, address, changes));
      if (result.status !== 'sent') throw new Error(JSON.stringify(result));
      return result;
    };
    return { slack, channel, send };
  };

  test('one message goes through the whole life of an incident', async () => {
    const { slack, send } = await start();
    const { ref } = await send();
    const existing = { ref: ref!, state: 'open' as const };
    await send({ kind: 'acknowledge', existing, incident: acknowledgedIncident() });
    await send({ kind: 'resolve', existing, incident: resolvedIncident() });
    const message = await slack.expect('#payments-oncall', /Resolved after 14 min by ana/);
    expect(message.history).toHaveLength(2);
    slack.expectNothingElse();
  });

  test('an escalation is also said in the channel, a thread line is not', async () => {
    const { slack, send } = await start();
    const { ref } = await send();
    const existing = { ref: ref!, state: 'open' as const };
    await send({ kind: 'escalate', existing, text: 'Nobody answered for 5 min: telling <@U0BEN>' });
    await send({ kind: 'thread', existing, text: 'ana noted: looking\n<!channel>' });
    expect((await slack.expect('#payments-oncall', /telling <@U0BEN>/, { thread: true })).broadcast).toBe(true);
    const line = await slack.expect('#payments-oncall', /looking/, { thread: true });
    expect(line.broadcast).toBe(false);
    expect(line.text).toContain('&lt;!channel&gt;');
    await slack.expect('#payments-oncall', /HighErrorRate/);
    slack.expectNothingElse();
  });

  test('a reopened incident edits its message and says so in the channel', async () => {
    const { slack, send } = await start();
    const { ref } = await send({ incident: resolvedIncident() });
    await send({ existing: { ref: ref!, state: 'resolved' }, text: 'It is back.' });
    expect((await slack.expect('#payments-oncall', /It is back/, { thread: true })).broadcast).toBe(true);
    expect((await slack.expect('#payments-oncall', /since 2026-11-20 03:12 UTC/)).history).toHaveLength(1);
    slack.expectNothingElse();
  });

  test('a message that somebody deleted is posted anew', async () => {
    const { slack, send } = await start();
    const { ref } = await send();
    slack.deleteMessage(slack.messages[0]!);
    const again = await send({ kind: 'resolve', existing: { ref: ref!, state: 'open' }, incident: resolvedIncident() });
    expect(again.ref?.ts).not.toBe(ref?.ts);
    await slack.expect('#payments-oncall', /Resolved/);
  });

  test('a person gets a direct message that says why, and it is edited there', async () => {
    const { slack, send } = await start();
    const { ref } = await send({ text: 'Nobody answered for 5 min <!channel>' }, 'U0ANA');
    expect(JSON.stringify(slack.messages[0]?.blocks)).toContain('Nobody answered for 5 min &lt;!channel&gt;');
    expect(ref?.channel).toMatch(/^D/);
    await send({ kind: 'resolve', existing: { ref: ref!, state: 'open' }, incident: resolvedIncident() }, 'U0ANA');
    expect((await slack.expect('U0ANA', /Resolved/)).history).toHaveLength(1);
  });

  test('an unknown channel and a bad token say what to do', async () => {
    const { slack, channel } = await start();
    slack.removeChannel('#gone');
    expect(await channel.send(jobFor(channel, '#gone'))).toMatchObject({
      status: 'refused',
      reason: 'Slack refused it (channel_not_found)',
      fix: expect.stringContaining('routing.yaml'),
    });
    const wrong = { token: 'xoxb-wrong-token', apiUrl: slack.url, outbound };
    const other = slackChannel({ ...wrong, interactive: false });
    expect(await other.send(jobFor(other, '#x'))).toMatchObject({
      status: 'refused',
      fix: expect.stringContaining('token'),
    });
    expect(await checkSlack(wrong)).toContain('invalid_auth');
    expect(await checkSlack({ ...wrong, token: secrets.slack })).toBeNull();
  });

  test('a pressed button comes back with the incident id, signed', async () => {
    const { slack, send } = await start();
    await send();
    const message = slack.messages[0]!;
    const { body, headers } = slack.interaction(message, 'tocsin.silence', { id: 'U0ANA' }, { option: '2 hours' });
    const payload = JSON.parse(new URLSearchParams(body).get('payload') ?? '');
    expect(payload.actions[0].selected_option.value).toBe(`2h ${incident().id}`);
    expect(headers['x-slack-signature']).toMatch(/^v0=[0-9a-f]{64}$/);
  });
});

describe('PagerDuty', () => {
  const start = async () => {
    const pagerduty = await startFakePagerDuty();
    closing.push(pagerduty.close);
    const channel = pagerDutyChannel({
      eventsUrl: `${pagerduty.url}/`,
      keyOf: (who) => (who === 'team/payments' ? 'key-payments' : null),
      outbound,
    });
    const send = (changes: Partial<DeliveryJob> = {}, address = 'team/payments') =>
      channel.send(jobFor(channel, address, changes));
    return { pagerduty, send };
  };

  test('triggers, acknowledges and resolves one alert whose key is the incident', async () => {
    const { pagerduty, send } = await start();
    await send();
    await send({ kind: 'acknowledge' });
    await send({ kind: 'resolve' });
    const { dedup_key } = await pagerduty.expectTrigger('key-payments', /HighErrorRate/);
    expect(dedup_key).toBe(incident().id);
    await pagerduty.expectAcknowledge('key-payments');
    await pagerduty.expectResolve('key-payments');
    pagerduty.expectNothingElse();
    expect(pagerduty.alertsOf('key-payments')).toMatchObject([{ state: 'resolved' }]);
  });

  test('the picture is an address that PagerDuty fetches', async () => {
    const pagerduty = await startFakePagerDuty();
    closing.push(pagerduty.close);
    const picture = { src: 'https://tocsin.example.com/api/v1/pictures/x?expires=1&signature=s', alt: 'Chart' };
    const channel = pagerDutyChannel({
      eventsUrl: pagerduty.url,
      keyOf: () => 'key-payments',
      outbound,
      pictureOf: (doc) => (doc.id === incident().id ? picture : null),
    });
    await channel.send(jobFor(channel, 'team/payments'));
    expect((await pagerduty.expectTrigger('key-payments')).images).toEqual([expect.objectContaining(picture)]);
  });

  test('a repeated trigger pages nobody twice', async () => {
    const { pagerduty, send } = await start();
    await send();
    await send();
    expect(pagerduty.events.map((event) => event.effect)).toEqual(['opened', 'appended']);
  });

  test('a team without a key is refused with what to set', async () => {
    const { send } = await start();
    expect(await send({}, 'team/shop')).toMatchObject({
      status: 'refused',
      fix: expect.stringContaining('teams.shop.pagerduty'),
    });
    expect(await send({}, 'person/ana')).toMatchObject({
      status: 'refused',
      fix: expect.stringContaining('people.ana.pagerduty'),
    });
  });
});

describe('mail', () => {
  test('opening, escalation and end are one thread, and its headers cannot be forged', async () => {
    const smtp = await startFakeSmtp();
    closing.push(smtp.close);
    const channel = emailChannel({ smtpUrl: smtp.url, from: 'tocsin@example.com' });
    const title = 'Boom\r\nBcc: everyone@example.com';
    await channel.send(jobFor(channel, 'sre@example.com', { incident: incident({ title }) }));
    await channel.send(jobFor(channel, 'sre@example.com', { id: 'n2', kind: 'escalate', text: 'Nobody answered' }));
    await channel.send(jobFor(channel, 'sre@example.com', { id: 'n3', kind: 'resolve', incident: resolvedIncident() }));
    const first = await smtp.expect('sre@example.com', /Boom Bcc: everyone/);
    const second = await smtp.expect('sre@example.com', /Nobody answered/);
    const last = await smtp.expect('sre@example.com', /\[RESOLVED\] #42/);
    expect(first.headers.bcc).toBeUndefined();
    expect(first.to).toEqual(['sre@example.com']);
    expect([second.inReplyTo, last.inReplyTo]).toEqual([first.messageId, first.messageId]);
    expect(first.text).toContain('Impact: high customer impact');
    expect(first.html).toContain('Roll payment back to 3e1b');
    expect(first.headers['auto-submitted']).toBe('auto-generated');
    smtp.expectNothingElse();
  });

  test('the picture comes inside the mail, with its words; one that is late or missing keeps no mail back', async () => {
    const smtp = await startFakeSmtp();
    closing.push(smtp.close);
    const png = Buffer.from('89504e470d0a1a0a', 'hex');
    const mailWith = async (pictureOf: Parameters<typeof emailChannel>[0]['pictureOf'], kind: 'open' | 'resolve') => {
      const channel = emailChannel({
        smtpUrl: smtp.url,
        from: 'tocsin@example.com',
        ...(pictureOf ? { pictureOf } : {}),
      });
      await channel.send(jobFor(channel, 'sre@example.com', { kind }));
      return smtp.expect('sre@example.com', /HighErrorRate/);
    };
    const picture = async () => ({ png, alt: 'Chart of "x" & <y>' });
    const shown = await mailWith(picture, 'open');
    expect(shown.html).toContain('src="cid:chart@tocsin" alt="Chart of &quot;x&quot; &amp; &lt;y&gt;"');
    expect(shown.raw).toMatch(/Content-Id: <chart@tocsin>/i);
    expect(shown.raw).toMatch(/Content-Disposition: inline/i);
    expect(shown.raw).toContain(png.toString('base64'));
    const without = [
      await mailWith(async () => null, 'open'),
      await mailWith(() => new Promise(() => {}), 'open'),
      await mailWith(async () => Promise.reject(new Error('no')), 'open'),
      await mailWith(picture, 'resolve'),
    ];
    for (const mail of without) expect(mail.raw).not.toMatch(/cid:|image\/png/);
  });

  test('a wrong password is refused and stays secret', async () => {
    const smtp = await startFakeSmtp({ user: 'tocsin', password: 'right' });
    closing.push(smtp.close);
    const channel = emailChannel({ smtpUrl: smtp.url.replace('right', 'wrong-password'), from: 'tocsin@example.com' });
    const result = await channel.send(jobFor(channel, 'sre@example.com'));
    expect(result).toMatchObject({ status: 'refused', fix: expect.stringContaining('smtp_url') });
    expect(JSON.stringify(result)).not.toContain('wrong-password');
  });

  test('an address that is none says so instead of throwing', async () => {
    const channel = emailChannel({ smtpUrl: 'mail.example.com', from: 'tocsin@example.com' });
    expect(await channel.send(jobFor(channel, 'x@example.com'))).toMatchObject({
      status: 'refused',
      fix: expect.stringContaining('smtp://'),
    });
  });
});

describe('webhook', () => {
  test('is signed, carries the incident, and names itself for deduplication', async () => {
    const receiver = await startFakeWebhook({ secret: secrets.webhook });
    closing.push(receiver.close);
    const channel = webhookChannel({ targetOf: () => ({ url: receiver.url, secret: secrets.webhook }), outbound });
    await channel.send(jobFor(channel, 'siem'));
    await channel.send(jobFor(channel, 'siem'));
    const call = await receiver.expect('open', /01JD4Z8K6Q0000000000000042/);
    expect(call).toMatchObject({ signed: true, idempotencyKey: 'n1', body: { number: 42, severity: 'critical' } });
    expect(receiver.calls[1]).toMatchObject({ repeat: true });
    receiver.expectNothingElse();
  });

  test('no redirect is followed: the signature is for the configured address', async () => {
    const receiver = await startFakeWebhook();
    const elsewhere = await startFakeWebhook();
    closing.push(receiver.close, elsewhere.close);
    receiver.fail({ do: 'redirect', to: elsewhere.url });
    const channel = webhookChannel({ targetOf: () => ({ url: receiver.url, secret: null }), outbound });
    expect(await channel.send(jobFor(channel, 'siem'))).toMatchObject({
      status: 'refused',
      reason: expect.stringContaining('307'),
    });
    expect(elsewhere.calls).toHaveLength(0);
  });
});

test('the log is one line that no label can split', async () => {
  const lines: { fields: object; message: string }[] = [];
  const channel = logChannel({ info: (fields, message) => void lines.push({ fields, message }) });
  await channel.send(jobFor(channel, 'log', { incident: incident({ title: 'Boom\n{"level":"fatal"}' }) }));
  expect(lines).toHaveLength(1);
  expect(lines[0]?.message).toMatch(/^open CRITICAL Boom \{"level":"fatal"\}.*$/);
});
