import { expect, test } from 'vitest';
import { firing, resolved, type Service, startService, stays, webhook } from '../fakes/service.ts';
import { openShop, payments, type Shop, see } from './shop.ts';

const minute = { timeout: 90_000 };
const alertOf = (alertname: string, service: string, pod = '0') =>
  firing({ alertname, service, severity: 'critical', namespace: service, cluster: service, pod });

/** Fires one and gives its incident and message. */
async function open(shop: Shop, tocsin: Service, alert: ReturnType<typeof alertOf>) {
  await tocsin.deliver(webhook([alert]));
  const message = await shop.slack.expect(payments.slack, new RegExp(alert.labels.alertname!));
  const known = await tocsin.alert(alert.fingerprint);
  return { id: known.incidentId!, message };
}

const policy = {
  'routing.yaml': {
    teams: { payments: { slack: payments.slack }, sre: { slack: '#sre' } },
    routes: { default_team: 'payments', channels: ['slack'], escalation: 'slow' },
    escalation_policies: {
      slow: {
        steps: [
          { after: '0s', notify: ['team'] },
          { after: '30m', notify: ['person:ana'] },
        ],
        ack_timeout: '4s',
      },
    },
  },
};

test(
  'what people do by API: note, assign, escalate, resolve, reopen; each is answered, shown and on record',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service(policy));
    const { id, message } = await open(shop, tocsin, alertOf('DiskFull', 'cart'));
    const act = async (name: string, body: object = {}) => {
      const answer = await tocsin.action(id, name, body as Record<string, unknown>);
      expect([name, answer.status, answer.text.slice(0, 200)]).toEqual([name, 200, expect.anything()]);
      return answer.body;
    };
    await act('note', { text: 'looking at the disk' });
    await shop.slack.expect(payments.slack, /looking at the disk/, { thread: true });
    expect(await act('assign', { person: 'ana' })).toMatchObject({ assignee: 'ana' });
    await shop.slack.expect(payments.slack, /Assigned to ana/, { thread: true });
    await act('escalate');
    await shop.slack.expect('U0ANA', /DiskFull/);
    await act('feedback', { kind: 'real' });
    expect(await act('resolve', { text: 'cleaned up' })).toMatchObject({ status: 'resolved', resolvedBy: 'ana' });
    await see(
      () => /resolved/i.test(message.shown),
      () => `not edited: ${message.shown}`,
    );
    expect((await tocsin.action(id, 'acknowledge')).status).toBe(409);
    expect(await act('reopen', { text: 'full again' })).toMatchObject({ status: 'open', resolvedAt: null });
    await see(
      () => !/resolved/i.test(message.text),
      () => `not edited: ${message.shown}`,
    );

    expect((await tocsin.action(id, 'assign', { team: 'nobody' })).status).toBe(400);
    expect((await tocsin.action(id, 'snooze', {})).status).toBe(400);
    expect((await tocsin.action(id, 'acknowledge', { by: '' })).status).toBe(400);
    expect((await tocsin.action(id, 'acknowledge', { bye: 'ana' })).status).toBe(400);
    expect((await tocsin.action('none', 'acknowledge')).status).toBe(404);
    const said = (await tocsin.timeline(id)).map(({ kind }) => kind);
    for (const kind of ['note', 'assigned', 'escalated', 'feedback', 'resolved', 'reopened'])
      expect(said).toContain(kind);

    const once = () =>
      tocsin.post(`/api/v1/incidents/${id}/note`, { by: 'ana', text: 'only once' }, { 'idempotency-key': 'k1' });
    expect((await Promise.all([once(), once(), once()])).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect((await tocsin.timeline(id)).filter(({ text }) => /only once/.test(text))).toHaveLength(1);
  },
);

test(
  'an acknowledgement that nothing follows runs out: unacknowledged, said, and the next step is told',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service(policy));
    const { id, message } = await open(shop, tocsin, alertOf('DiskFull', 'cart'));
    expect((await tocsin.action(id, 'acknowledge')).status).toBe(200);
    await see(
      () => /acknowledged by ana/i.test(message.shown),
      () => `not shown: ${message.shown}`,
    );
    await shop.slack.expect('U0ANA', /DiskFull/, { timeoutMs: 15_000 });
    await tocsin.expectIncident(
      (one) => one.id === id && one.status === 'open' && one.acknowledgedBy === null,
      'is unacknowledged',
    );
    await shop.slack.expect(payments.slack, /unacknowledged/i, { thread: true });
    expect((await tocsin.timeline(id)).map(({ kind }) => kind)).toContain('ack-timeout');
  },
);

test('three acknowledgements from three sides at one moment are one', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service());
  const { id, message } = await open(shop, tocsin, alertOf('DiskFull', 'cart'));
  await shop.pagerduty.expectTrigger(payments.pagerduty);
  const click = shop.slack.interaction(message, 'tocsin.acknowledge');
  const hook = shop.pagerduty.webhook('incident.acknowledged', id, { agent: 'Ben' });
  const answers = await Promise.all([
    tocsin.action(id, 'acknowledge', { by: 'cai' }),
    tocsin.post('/api/v1/slack/interactions', click.body, click.headers),
    tocsin.post('/api/v1/webhooks/pagerduty', hook.body, hook.headers),
  ]);
  expect(answers.every(({ status }) => status < 300)).toBe(true);
  await tocsin.expectIncident((one) => one.status === 'acknowledged', 'is acknowledged');
  await see(
    () => /acknowledged by/i.test(message.shown),
    () => `not shown: ${message.shown}`,
  );
  await tocsin.settled();
  expect((await tocsin.timeline(id)).filter(({ kind }) => kind === 'acknowledged')).toHaveLength(1);
  expect(shop.pagerduty.events.filter((event) => event.event_action === 'acknowledge').length).toBeLessThanOrEqual(1);
});

test(
  'merge and split by hand: the elder lives on, its messages say so, and what was split off stands alone',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service());
    const [a, b, c] = [
      alertOf('DiskFull', 'cart'),
      alertOf('DiskFull', 'cart', '1'),
      alertOf('CertificateExpires', 'mail-relay'),
    ];
    const elder = await open(shop, tocsin, a);
    await tocsin.deliver(webhook([a, b]));
    const younger = await open(shop, tocsin, c);
    await tocsin.expectIncident((one) => one.id === elder.id && one.alertCount === 2, 'holds both disks');
    expect(younger.id).not.toBe(elder.id);

    const merged = await tocsin.action(younger.id, 'merge', { into: elder.id });
    expect([merged.status, merged.body.id]).toEqual([200, elder.id]);
    await tocsin.expectIncident((one) => one.id === elder.id && one.alertCount === 3, 'holds all three');
    expect(await tocsin.incident(younger.id)).toMatchObject({ status: 'resolved', mergedInto: elder.id });
    await see(
      () => /merged|part of/i.test(younger.message.shown),
      () => `not said: ${younger.message.shown}`,
    );
    await see(
      () =>
        shop.pagerduty
          .alertsOf(payments.pagerduty)
          .some(({ dedupKey, state }) => dedupKey === younger.id && state === 'resolved'),
      () => 'the page of the younger is not resolved',
    );

    const split = await tocsin.action(elder.id, 'split', { alerts: [c.fingerprint] });
    expect(split.status).toBe(200);
    const own = String(split.body.id);
    expect([own !== elder.id, own !== younger.id]).toEqual([true, true]);
    await tocsin.expectIncident(
      (one) => one.id === own && one.alertCount === 1 && one.status === 'open',
      'stands alone',
    );
    await tocsin.expectIncident((one) => one.id === elder.id && one.alertCount === 2, 'holds both disks again');
    await see(
      () => shop.pagerduty.events.some((event) => event.dedup_key === own && event.effect === 'opened'),
      () => 'nobody was paged for what was split off',
    );
    await tocsin.deliver(webhook([a, b, c].map(resolved)));
    await tocsin.settled();
    expect(await tocsin.incidents('?status=open')).toEqual([]);
    await see(
      () => shop.pagerduty.alertsOf(payments.pagerduty).every(({ state }) => state === 'resolved'),
      () => 'a page stays open',
    );
  },
);

test('silence and snooze keep quiet for their time, and say when it is over', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service(policy));
  const silenced = alertOf('DiskFull', 'cart');
  const { id } = await open(shop, tocsin, silenced);
  expect((await tocsin.action(id, 'silence', { for: '1h', text: 'known' })).status).toBe(200);
  await tocsin.deliver(webhook([resolved(silenced)]));
  await tocsin.expectIncident((one) => one.id === id && one.status === 'resolved', 'is over');
  await tocsin.deliver(webhook([{ ...silenced, startsAt: new Date().toISOString() }]));
  await tocsin.settled();
  const again = (await tocsin.alerts()).find(({ status }) => status === 'firing')!;
  expect(again.verdict).toBe('suppress');

  const snoozed = alertOf('CertificateExpires', 'mail-relay');
  const other = await open(shop, tocsin, snoozed);
  expect((await tocsin.action(other.id, 'snooze', { for: '4s' })).status).toBe(200);
  await stays(() => !shop.slack.messages.some(({ to }) => to === 'U0ANA'), 'it escalated while snoozed', 2_500);
  await shop.slack.expect('U0ANA', /CertificateExpires/, { timeoutMs: 15_000 });
  expect((await tocsin.timeline(other.id)).map(({ kind }) => kind)).toEqual(
    expect.arrayContaining(['snoozed', 'unsnoozed', 'escalated']),
  );
});

test('an incident that a person declares is told like any other and stays until a person ends it', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service());
  const declared = await tocsin.post('/api/v1/incidents', {
    by: 'ana',
    title: 'Customers call in',
    severity: 'critical',
    service: 'checkout',
  });
  expect(declared.status).toBe(201);
  const id = String(declared.body.id);
  expect(declared.headers.get('location')).toBe(`/api/v1/incidents/${id}`);
  const message = await shop.slack.expect(payments.slack, /Customers call in/);
  expect((await shop.pagerduty.expectTrigger(payments.pagerduty)).dedup_key).toBe(id);
  await shop.smtp.expect(payments.email, /Customers call in/);
  expect(await tocsin.incident(id)).toMatchObject({
    team: 'payments',
    severity: 'critical',
    services: ['checkout'],
    alertCount: 0,
  });
  expect((await tocsin.action(id, 'resolve', { text: 'a cable' })).status).toBe(200);
  await shop.pagerduty.expectResolve(payments.pagerduty);
  await shop.smtp.expect(payments.email, /resolved/i);
  await see(
    () => /resolved/i.test(message.shown),
    () => `not edited: ${message.shown}`,
  );
  shop.quiet();
});
