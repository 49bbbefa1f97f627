import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { firing, resolved, startService, webhook } from '../fakes/service.ts';
import { openShop, payments, see } from './shop.ts';

const minute = { timeout: 60_000 };

test(
  'a heartbeat makes no incident while it comes, a critical one when it stays away, and ends it when it is back',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(
      shop.service({ 'tocsin.yaml': { heartbeats: [{ match: ['alertname="Watchdog"'], within: '4s' }] } }),
    );
    const beat = webhook([firing({ alertname: 'Watchdog', severity: 'none' })]);
    for (let n = 0; n < 6; n += 1) {
      await tocsin.deliver(beat);
      await sleep(1_000);
    }
    expect(await tocsin.incidents()).toEqual([]);
    expect(await tocsin.ledger()).toMatchObject({ received: 1, grouped: 1 });
    shop.quiet();

    const missing = await tocsin.expectIncident(
      (one) => /HeartbeatMissing/.test(one.title),
      'of the missing heartbeat',
    );
    expect(missing).toMatchObject({ severity: 'critical', status: 'open', team: 'payments' });
    expect(missing.lead.summary).toMatch(/Watchdog.* has not come/);
    const message = await shop.slack.expect(payments.slack, /HeartbeatMissing/);
    await shop.pagerduty.expectTrigger(payments.pagerduty);
    await shop.smtp.expect(payments.email, /HeartbeatMissing/);
    expect(await tocsin.metric('tocsin_heartbeats_missing')).toBe(1);

    await tocsin.deliver(beat);
    await tocsin.expectIncident((one) => one.id === missing.id && one.status === 'resolved', 'is over');
    await shop.pagerduty.expectResolve(payments.pagerduty);
    await shop.smtp.expect(payments.email, /resolved/i);
    await see(
      () => /resolved/i.test(message.shown),
      () => `not edited: ${message.shown}`,
    );
    shop.quiet();
  },
);

test(
  'an alert with an end of its own expires then unless it is confirmed, and the timeline says so',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service());
    const labels = { alertname: 'BatchLate', service: 'cart', severity: 'critical' };
    const post = async (seconds: number) => {
      const endsAt = new Date(Date.now() + seconds * 1_000).toISOString();
      expect((await tocsin.post('/api/v2/alerts', [{ labels, endsAt }])).status).toBe(200);
      return Date.parse(endsAt);
    };
    await post(4);
    await tocsin.expectIncident((one) => one.status === 'open', 'is open');
    const until = await post(8);
    const closed = await tocsin.expectIncident((one) => one.status === 'resolved', 'is over', 20_000);
    expect(Date.parse(closed.resolvedAt!)).toBeGreaterThanOrEqual(until);
    const [alert] = await tocsin.alerts();
    expect(alert).toMatchObject({
      status: 'resolved',
      closedBecause: 'expired',
      endsAt: new Date(until).toISOString(),
    });
    expect((await tocsin.timeline(closed.id)).map(({ text }) => text).join('\n')).toMatch(
      /expired: its sender gave it an end/,
    );
    expect(await tocsin.settled()).toMatchObject({ received: 2 });
  },
);

test('an alert nobody confirms is closed as stale and says why; one that is confirmed goes on', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service({ 'tocsin.yaml': { alerts: { stale_after: '5s' } } }));
  const [forgotten, confirmed] = ['archive', 'search'].map((service) =>
    firing({ alertname: 'DiskFull', service, severity: 'critical', namespace: service, cluster: service }),
  );
  await tocsin.deliver(webhook([forgotten!]));
  await tocsin.deliver(webhook([confirmed!]));
  for (let n = 0; n < 7; n += 1) {
    await sleep(1_000);
    await tocsin.deliver(webhook([confirmed!]));
  }
  const closed = await tocsin.expectIncident(
    (one) => one.services.includes('archive') && one.status === 'resolved',
    'of archive is over',
  );
  expect((await tocsin.alerts('?service=archive'))[0]).toMatchObject({ closedBecause: 'stale' });
  expect((await tocsin.timeline(closed.id)).map(({ text }) => text).join('\n')).toMatch(
    /is stale: nobody confirmed it/,
  );
  expect((await tocsin.alerts('?service=search'))[0]).toMatchObject({ status: 'firing' });

  // It fires after all: the same episode, the same incident.
  await tocsin.deliver(webhook([forgotten!]));
  await tocsin.expectIncident((one) => one.id === closed.id && one.status === 'open', 'is open again');
  await tocsin.deliver(webhook([resolved(confirmed!)]));
  await tocsin.settled();
});
