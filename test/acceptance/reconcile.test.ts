import { describe, expect, test } from 'vitest';
import { hasAlertmanager, startAlertmanager } from '../fakes/alertmanager.ts';
import { startService, stays } from '../fakes/service.ts';
import { freePort } from '../fakes/service-port.ts';
import { until } from '../fakes/until.ts';
import { openShop, payments, see } from './shop.ts';

describe.skipIf(!hasAlertmanager)('the list of a real Alertmanager', () => {
  test('closes what ended while silenced, and an Alertmanager that lost its memory closes nothing', {
    timeout: 120_000,
  }, async () => {
    const shop = await openShop();
    const port = await freePort();
    const alertmanager = await startAlertmanager({
      webhookUrl: `http://127.0.0.1:${port}/api/v1/webhooks/alertmanager`,
    });
    const tocsin = await startService(
      shop.service(
        { 'tocsin.yaml': { alertmanager: [{ name: 'default', url: alertmanager.url, poll: '1s' }] } },
        { port },
      ),
    );
    const later = new Date(Date.now() + 3_600_000).toISOString();
    const quiet = { alertname: 'DiskFull', service: 'cart', severity: 'critical', namespace: 'shop' };
    const steady = { alertname: 'CertificateExpires', service: 'mail-relay', severity: 'warning', namespace: 'office' };
    await alertmanager.post([
      { labels: quiet, endsAt: later },
      { labels: steady, endsAt: later },
    ]);
    const open = async (service: string) =>
      tocsin.expectIncident((one) => one.services.includes(service) && one.status === 'open', `of ${service} is open`);
    const [disk, certificate] = [await open('cart'), await open('mail-relay')];
    expect(disk.id).not.toBe(certificate.id);
    await shop.slack.expect(payments.slack, /DiskFull/);
    await polls(tocsin, 3);

    await alertmanager.silence('alertname', 'DiskFull');
    await until(
      async () => (await alertmanager.listed()).some(({ status }) => status.state === 'suppressed'),
      () => 'it is not silenced',
    );
    await polls(tocsin, 2);
    expect((await tocsin.incident(disk.id)).status).toBe('open');
    await alertmanager.resolve(quiet);
    const closed = await tocsin.expectIncident((one) => one.id === disk.id && one.status === 'resolved', 'is closed');
    expect(closed.firingCount).toBe(0);
    const [alert] = await tocsin.alerts(`?incident=${disk.id}`);
    expect(alert).toMatchObject({ status: 'resolved', closedBecause: 'reconciled' });
    const said = (await tocsin.timeline(disk.id)).map(({ text }) => text).join('\n');
    expect(said).toMatch(/no longer lists it/);
    await see(
      () => shop.pagerduty.events.some((event) => event.event_action === 'resolve' && event.dedup_key === disk.id),
      () => 'no resolve for PagerDuty',
    );

    await alertmanager.kill();
    await alertmanager.start();
    expect(await alertmanager.listed()).toEqual([]);
    await polls(tocsin, 5);
    await stays(
      async () => (await tocsin.incident(certificate.id)).status === 'open',
      'an empty list was believed',
      1_500,
    );

    // Its sender posts it again, as Prometheus does each minute, and then ends it: the ordinary resolve.
    await alertmanager.post([{ labels: steady, endsAt: later }]);
    await until(
      async () => (await alertmanager.listed()).length === 1,
      () => 'not listed again',
    );
    await polls(tocsin, 2);
    await alertmanager.resolve(steady);
    await tocsin.expectIncident((one) => one.id === certificate.id && one.status === 'resolved', 'is over', 20_000);
    await tocsin.settled();
    expect(await tocsin.incidents()).toHaveLength(2);
    expect(shop.slack.messages.filter(({ threadTs }) => threadTs === null)).toHaveLength(2);
  });
});

/** Waits for so many polls more. */
async function polls(tocsin: Awaited<ReturnType<typeof startService>>, more: number): Promise<void> {
  const count = async () => {
    const stored = (await tocsin.metric('tocsin_reconcile_polls_total', { result: 'stored' })) ?? 0;
    return stored + ((await tocsin.metric('tocsin_reconcile_polls_total', { result: 'unchanged' })) ?? 0);
  };
  const before = await count();
  await until(
    async () => (await count()) >= before + more,
    () => 'the Alertmanager is not polled',
    20_000,
  );
}
