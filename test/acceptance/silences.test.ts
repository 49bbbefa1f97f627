import { describe, expect, test } from 'vitest';
import { hasAlertmanager, startAlertmanager } from '../fakes/alertmanager.ts';
import { startService } from '../fakes/service.ts';
import { freePort } from '../fakes/service-port.ts';
import { openShop, payments } from './shop.ts';

describe.skipIf(!hasAlertmanager)('a silence in a real Alertmanager', () => {
  test('holds what was sent before it, says whose it is, and lets it go when it is ended', {
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
    const labels = { alertname: 'DiskFull', service: 'cart', severity: 'critical', namespace: 'shop' };
    await alertmanager.post([{ labels, endsAt: new Date(Date.now() + 3_600_000).toISOString() }]);
    const { id } = await tocsin.expectIncident((one) => one.services.includes('cart'), 'of cart is open');
    await shop.slack.expect(payments.slack, /DiskFull/);

    const { silenceID } = (await alertmanager.silence('alertname', 'DiskFull')) as { silenceID: string };
    const held = await tocsin.expectIncident(
      (one) => one.id === id && one.decision.verdict === 'suppress',
      'is held',
      20_000,
    );
    expect(held.decision.reasons[0]).toMatchObject({
      code: 'silenced-at-sender',
      policy: 'silence',
      silenceId: silenceID,
      text: expect.stringMatching(/^Silenced in Alertmanager by test until .+: quiet$/),
    });
    expect(held.nextEscalation).toBeNull();

    const ended = await fetch(`${alertmanager.url}/api/v2/silence/${silenceID}`, { method: 'DELETE' });
    expect(ended.status).toBe(200);
    const again = await tocsin.expectIncident(
      (one) => one.id === id && one.decision.verdict === 'notify',
      'is let go',
      20_000,
    );
    expect(again.status).toBe('open');
  });
});
