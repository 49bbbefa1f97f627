import { expect, test } from 'vitest';
import { firing, killQuietly, resolved, type Service, startService, webhook } from '../fakes/service.ts';
import { startProxy } from '../fakes/service-proxy.ts';
import { until } from '../fakes/until.ts';
import { openShop, payments, see } from './shop.ts';

const minute = { timeout: 90_000 };
const alertOf = (name: string, service = 'checkout') =>
  firing({ alertname: name, service, severity: 'critical', namespace: service, cluster: service });
const post = (tocsin: Service, body: unknown) => tocsin.post('/api/v1/webhooks/alertmanager', body);

/** As Alertmanager does with 5xx: again and again until it is taken. */
async function postUntilTaken(tocsin: Service, body: unknown): Promise<void> {
  await until(
    async () => (await post(tocsin, body)).status === 200,
    () => `it does not recover. ${tocsin.tail()}`,
    30_000,
  );
}

test(
  'with the database gone webhooks get 503 at once, and everything goes on by itself when it is back',
  minute,
  async () => {
    const shop = await openShop();
    const database = new URL(shop.database!.url);
    const wire = await startProxy({ host: database.hostname, port: Number(database.port) });
    database.port = String(wire.port);
    const tocsin = await startService(shop.service({}, { env: { DATABASE_URL: database.toString() } }));
    const before = alertOf('Before');
    await tocsin.deliver(webhook([before]));
    await shop.slack.expect(payments.slack, /Before/);

    // Taken and perhaps not worked on yet when the wire is cut.
    const during = alertOf('JustBefore', 'cart');
    await tocsin.deliver(webhook([during]));
    await wire.refuse();
    const refused = alertOf('Refused', 'payment');
    for (let n = 0; n < 5; n += 1) {
      const begun = performance.now();
      const answer = await post(tocsin, webhook([refused]));
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
      expect(performance.now() - begun).toBeLessThan(5_000);
    }
    expect((await tocsin.ask('/healthz')).status).toBe(200);
    expect((await tocsin.ask('/readyz')).status).toBe(503);
    expect((await tocsin.ask('/api/v1/incidents')).status).toBe(503);
    expect((await tocsin.ask('/metrics')).status).toBe(200);

    await wire.restore();
    await postUntilTaken(tocsin, webhook([refused]));
    for (const name of ['JustBefore', 'Refused'])
      await shop.slack.expect(payments.slack, new RegExp(name), { timeoutMs: 20_000 });
    await until(
      async () => (await tocsin.ask('/readyz')).status === 200,
      () => 'it is not ready again',
    );

    wire.hang();
    const hung = alertOf('Hung', 'payment-db');
    const begun = performance.now();
    expect((await post(tocsin, webhook([hung]))).status).toBe(503);
    expect(performance.now() - begun).toBeLessThan(12_000);
    await wire.restore();
    await postUntilTaken(tocsin, webhook([hung]));
    await shop.slack.expect(payments.slack, /Hung/, { timeoutMs: 20_000 });
    // What is over before PagerDuty has heard of it is no page at all.
    for (const name of ['Before', 'JustBefore', 'Refused', 'Hung'])
      await shop.pagerduty.expectTrigger(payments.pagerduty, new RegExp(` ${name} on `), 20_000);

    await tocsin.deliver(webhook([before, during, refused, hung].map(resolved)));
    expect(await tocsin.settled()).toMatchObject({ received: 8, failed: 0 });
    expect(await tocsin.incidents('?status=open')).toEqual([]);
    expect(shop.pagerduty.events.filter(({ effect }) => effect === 'opened')).toHaveLength(
      (await tocsin.incidents()).length,
    );
    expect(await tocsin.metric('tocsin_work_restarts_total')).toBe(0);
  },
);

test('the embedded database is started again when it dies, under the running service', minute, async () => {
  const shop = await openShop({ database: false });
  const tocsin = await startService(shop.service());
  await tocsin.deliver(webhook([alertOf('Before')]));
  const first = tocsin.postmaster()!;
  killQuietly(first, 'SIGKILL');
  const during = alertOf('During', 'cart');
  await postUntilTaken(tocsin, webhook([during]));
  // a backend may outlive its postmaster by the time it takes to commit once more
  await until(
    () => tocsin.postmaster() !== first,
    () => `no other server runs. ${tocsin.tail()}`,
    20_000,
  );
  for (const name of ['Before', 'During'])
    await shop.slack.expect(payments.slack, new RegExp(name), { timeoutMs: 20_000 });
  expect(await tocsin.settled()).toMatchObject({ received: 2 });
});

test(
  'Slack, PagerDuty and mail gone for a while: everything arrives afterwards, in its newest state only',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service());
    const { slack, pagerduty, smtp } = shop;
    slack.fail({ do: 'status', code: 503 });
    pagerduty.fail({ do: 'hang' });
    smtp.fail({ do: 'answer', code: 421 });

    const [lasting, passing] = [alertOf('Lasting'), alertOf('Passing', 'cart')];
    await tocsin.deliver(webhook([lasting]));
    await tocsin.deliver(webhook([passing]));
    const stays = await tocsin.expectIncident((one) => one.services.includes('checkout'), 'of checkout');
    const passes = await tocsin.expectIncident((one) => one.services.includes('cart'), 'of cart');
    const more = firing({ ...lasting.labels, alertname: 'Lasting', pod: 'second' });
    await tocsin.deliver(webhook([lasting, more]));
    await tocsin.deliver(webhook([resolved(passing)]));
    await tocsin.expectIncident((one) => one.id === passes.id && one.status === 'resolved', 'of cart is over');
    await tocsin.expectIncident((one) => one.id === stays.id && one.alertCount === 2, 'of checkout has two');
    await until(
      async () => {
        const tried = (await tocsin.notifications('?kind=open')).filter(({ incidentId }) => incidentId === stays.id);
        return ['slack', 'email'].every((kind) =>
          tried.some(({ channel, attempts }) => channel === kind && attempts.length >= 3),
        );
      },
      () => 'not tried three times',
      30_000,
    );
    expect([slack.messages, pagerduty.events, smtp.mails]).toEqual([[], [], []]);

    slack.recover();
    pagerduty.recover();
    smtp.recover();
    const message = await slack.expect(payments.slack, /Lasting/, { timeoutMs: 40_000 });
    expect(message.history).toEqual([]);
    expect(message.shown).toMatch(/2 (of 2 )?(alerts|firing)/);
    const over = await slack.expect(payments.slack, /Passing/, { timeoutMs: 20_000 });
    expect(over.shown).toMatch(/resolved/i);
    expect((await pagerduty.expectTrigger(payments.pagerduty, null, 40_000)).dedup_key).toBe(stays.id);
    await smtp.expect(payments.email, /Lasting/, 40_000);
    await until(
      async () => (await tocsin.notifications('?state=waiting')).length === 0,
      () => 'something still waits',
      40_000,
    );
    // Of what was over before anybody could be told, mail says that it is over, if anything, and PagerDuty wakes nobody.
    const late = smtp.mails.filter(({ subject }) => /Passing/.test(subject));
    expect(late.every(({ subject, text }) => /resolved/i.test(`${subject} ${text}`))).toBe(true);
    expect(late.length).toBeLessThanOrEqual(1);
    expect(pagerduty.events.filter(({ dedup_key: key }) => key === passes.id)).toEqual([]);
    slack.expectNothingElse();
    pagerduty.expectNothingElse();
  },
);

test(
  'a page that its channel refuses goes to the log as the last resort, and an alarm metric says so',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(
      shop.service({ 'routing.yaml': { routes: { default_team: 'payments', channels: ['slack'] } } }),
    );
    shop.slack.removeChannel(payments.slack);
    expect(await tocsin.metric('tocsin_notification_last_resort_total')).toBe(0);
    await tocsin.deliver(webhook([alertOf('Nobody')]));
    await until(
      async () => (await tocsin.metric('tocsin_notification_last_resort_total')) === 1,
      () => `no alarm. ${tocsin.tail()}`,
    );
    const [incident] = await tocsin.incidents();
    const told = await until(
      async () => {
        const list = await tocsin.notifications(`?incident=${incident!.id}`);
        return list.some(({ channel, state }) => channel === 'log' && state === 'sent') ? list : null;
      },
      () => 'the log did not take it',
    );
    const refused = told.find(({ channel }) => channel === 'slack');
    expect(refused).toMatchObject({
      state: 'waiting',
      attempts: [{ result: expect.stringMatching(/channel_not_found/) }],
    });
  },
);

test('a full inbox answers 503 and says so, and recovers by itself when somebody works it off', minute, async () => {
  const shop = await openShop();
  const limited = { 'tocsin.yaml': { server: { inbox_limit: 15, min_free_disk: 0 } } };
  const tree = shop.service(limited);
  const receiver = await startService({ ...tree, env: { ...tree.env, TOCSIN_ROLE: 'receive' } });
  const alerts = Array.from({ length: 20 }, (_, n) => alertOf(`Numbered${n}`));
  // A count of what waits that overlaps an append may see it twice for a second: the limit is reached by asking again.
  let taken = 0;
  await until(
    async () => {
      const { status } = await post(receiver, webhook([alerts[taken]!]));
      if (status === 200) taken += 1;
      else expect(status).toBe(503);
      return taken === 15;
    },
    () => `only ${taken} were taken`,
  );
  expect((await post(receiver, webhook([alerts[15]!]))).status).toBe(503);
  expect(await receiver.metric('tocsin_inbox_full')).toBe(1);
  expect((await receiver.ask('/readyz')).status).toBe(200);
  expect(await receiver.get('/readyz')).toMatchObject({ status: 'degraded' });

  const worker = await startService({ ...tree, env: { ...tree.env, TOCSIN_ROLE: 'work' } });
  expect((await post(worker, webhook([alerts[0]!]))).status).toBeGreaterThanOrEqual(400);
  for (const alert of alerts.slice(taken)) await postUntilTaken(receiver, webhook([alert]));
  expect(await receiver.settled()).toMatchObject({ received: 20 });
  expect(await receiver.metric('tocsin_inbox_full')).toBe(0);
  expect(await receiver.alerts()).toHaveLength(20);
  await see(
    () => shop.slack.messages.length > 0,
    () => 'nobody was told',
  );
});
