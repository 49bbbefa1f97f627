import { expect, test } from 'vitest';
import { firing, resolved, type Service, startService, webhook } from '../fakes/service.ts';
import { until } from '../fakes/until.ts';
import { openShop, payments, see } from './shop.ts';

const minute = { timeout: 120_000 };
const alertOf = (alertname: string, service: string, more: Record<string, string> = {}) =>
  firing({ alertname, service, severity: 'critical', ...more });

type Card = { labels: { n: number; byKind: Record<string, number> } };
const labels = async (tocsin: Service) => (await tocsin.get<Card>('/api/v1/scorecard')).labels;

test(
  'what people say in Slack and by the API becomes labels, once each, and its author is told what it did',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service());
    await tocsin.deliver(webhook([alertOf('ContainerMemoryHigh', 'payment-db'), alertOf('HighLatency', 'payment')]));
    const { id, rootCauses } = await tocsin.expectIncident(
      (one) => one.alertCount === 2 && one.rootCauses.length > 0,
      'of two alerts',
    );
    const suspect = rootCauses[0]!.service;
    await shop.slack.expect(payments.slack, /.+/);
    const message = shop.slack.messages[0]!;
    await see(
      () => JSON.stringify(shop.slack.buttonOf(message, 'tocsin.feedback') ?? {}).includes(`Wrong cause: ${suspect}`),
      () => `the message does not ask about ${suspect}: ${message.shown}`,
    );

    const say = async (option: string, user: { id: string; username: string }) => {
      const click = shop.slack.interaction(message, 'tocsin.feedback', user, { option });
      const before = shop.slack.responses.length;
      expect((await tocsin.post('/api/v1/slack/interactions', click.body, click.headers)).status).toBe(200);
      await see(
        () => shop.slack.responses.length > before,
        () => 'the click was not answered',
      );
      return JSON.stringify(shop.slack.responses.at(-1)!.body);
    };
    const ana = { id: 'U0ANA', username: 'ana' };
    expect(await say(`Wrong cause: ${suspect}`, ana)).toContain(`Noted: wrong-cause (${suspect})`);
    expect(await say('It was real', ana)).toContain('Noted: real');
    // The same person changes their mind by the API, where they are called the same.
    expect((await tocsin.action(id, 'feedback', { kind: 'noise' })).status).toBe(200);
    expect((await tocsin.action(id, 'feedback', { kind: 'noise' })).status).toBe(200);
    expect(await labels(tocsin)).toMatchObject({ n: 2, byKind: { 'wrong-cause': 1, noise: 1 } });
    expect(await say('It was real', { id: 'U0BEN', username: 'ben' })).toContain('Noted: real');
    expect(await labels(tocsin)).toMatchObject({ n: 3, byKind: { real: 1, noise: 1 } });
    const now = (await tocsin.incident(id)).rootCauses;
    expect(now.findIndex((cause) => cause.service === suspect)).not.toBe(0);

    expect((await tocsin.action(id, 'feedback', { kind: 'noise', alert: 'nobody' })).status).toBe(404);
    await tocsin.kill();
    await tocsin.start();
    expect(await labels(tocsin)).toMatchObject({ n: 3 });
  },
);

test('incidents merged by hand are one again after a kill, when their alerts fire anew', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service());
  const place = (name: string) => ({ namespace: name, cluster: name });
  const [disk, cert] = [
    alertOf('DiskFull', 'cart', place('a')),
    alertOf('CertificateExpires', 'mail-relay', place('b')),
  ];
  await tocsin.deliver(webhook([disk, cert]));
  await tocsin.settled();
  const [one, two] = (await tocsin.incidents()).sort((x, y) => x.number - y.number);
  expect((await tocsin.action(two!.id, 'merge', { into: one!.id })).status).toBe(200);
  await tocsin.deliver(webhook([resolved(cert)]));
  await tocsin.settled();
  await tocsin.kill();
  await tocsin.start();
  const again = { ...cert, startsAt: new Date().toISOString() };
  await tocsin.deliver(webhook([again]));
  await tocsin.settled();
  await until(
    async () => (await tocsin.alert(cert.fingerprint)).incidentId === one!.id,
    () => 'the alert did not come back to the incident it was merged into',
  );
  const explained = await tocsin.get<{ compared: { together: boolean; links: object[] } }>(
    `/api/v1/alerts/${disk.fingerprint}/explain?other=${cert.fingerprint}`,
  );
  expect(explained.compared).toMatchObject({ together: true, links: [{ kind: 'must', by: 'ana' }] });
});
