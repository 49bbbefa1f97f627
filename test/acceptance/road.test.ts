import { describe, expect, test } from 'vitest';
import { hasAlertmanager, startAlertmanager } from '../fakes/alertmanager.ts';
import { hasPrometheus, startPrometheus } from '../fakes/prometheus.ts';
import { firing, resolved, startService, stays, webhook } from '../fakes/service.ts';
import { openShop, payments, see } from './shop.ts';

const minute = { timeout: 90_000 };

/** Prometheus rule → Alertmanager → Tocsin, all of them real, all of them processes. */
const rule = {
  alert: 'HighErrorRate',
  expr: 'error_ratio > 0.05',
  labels: { severity: 'critical' },
  annotations: { summary: '{{ $labels.service }} fails {{ $value | humanizePercentage }} of its requests' },
};

describe.skipIf(!hasPrometheus || !hasAlertmanager)('from a Prometheus rule to people and back', () => {
  test(
    'a rule that fires is one Slack message, one page and one mail about one incident, and resolves in place',
    minute,
    async () => {
      const shop = await openShop();
      const tocsin = await startService(shop.service());
      const alertmanager = await startAlertmanager({ webhookUrl: `${tocsin.url}/api/v1/webhooks/alertmanager` });
      const prometheus = await startPrometheus({ alertmanagerUrl: alertmanager.url, rules: [rule] });

      prometheus.set('error_ratio{service="checkout",namespace="shop"}', 0.2);
      const message = await shop.slack.expect(payments.slack, /HighErrorRate.*checkout/s, { timeoutMs: 30_000 });
      const page = await shop.pagerduty.expectTrigger(payments.pagerduty);
      await shop.smtp.expect(payments.email, /HighErrorRate.*checkout/s);
      const incident = await tocsin.expectIncident((one) => one.status === 'open', 'is open');
      expect(page.dedup_key).toBe(incident.id);
      expect(incident).toMatchObject({
        title: 'HighErrorRate on checkout',
        severity: 'critical',
        team: 'payments',
        alertCount: 1,
      });

      prometheus.set('error_ratio{service="checkout",namespace="shop"}', 0);
      await tocsin.expectIncident((one) => one.id === incident.id && one.status === 'resolved', 'is resolved', 30_000);
      expect((await shop.pagerduty.expectResolve(payments.pagerduty)).dedup_key).toBe(incident.id);
      await see(
        () => /resolved/i.test(message.shown),
        () => `the message is not edited: ${message.shown}`,
      );
      await shop.smtp.expect(payments.email, /resolved/i);

      expect(await tocsin.incidents()).toHaveLength(1);
      expect(await tocsin.settled()).toMatchObject({ received: 2, failed: 0, quarantined: 0 });
      expect(shop.slack.calls.filter(({ method }) => method === 'chat.postMessage')).toHaveLength(1);
      shop.quiet();
    },
  );
});

test(
  'an acknowledgement by API is seen in Slack and PagerDuty, stops the escalation, and the resolve comes in place',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service(escalating('3s')));
    const alert = firing({ alertname: 'HighErrorRate', service: 'checkout', severity: 'critical' });
    await tocsin.deliver(webhook([alert]));
    const { id, message } = await opened(shop, tocsin);

    expect((await tocsin.action(id, 'acknowledge', { by: 'ana' })).status).toBe(200);
    expect((await shop.pagerduty.expectAcknowledge(payments.pagerduty)).dedup_key).toBe(id);
    await see(
      () => /acknowledged by ana/i.test(message.shown),
      () => `not shown: ${message.shown}`,
    );
    await shop.slack.expect(payments.slack, /acknowledged/i, { thread: true });
    await neverEscalates(shop, 4_500);

    await tocsin.deliver(webhook([resolved(alert)]));
    await shop.pagerduty.expectResolve(payments.pagerduty);
    await shop.smtp.expect(payments.email, /resolved/i);
    await see(
      () => /resolved/i.test(message.shown),
      () => `not shown: ${message.shown}`,
    );
    await tocsin.settled();
    shop.quiet();
  },
);

test('a signed click in Slack acknowledges everywhere, once, however often it comes', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service(escalating('3s')));
  await tocsin.deliver(webhook([firing({ alertname: 'HighErrorRate', service: 'checkout', severity: 'critical' })]));
  const { id, message } = await opened(shop, tocsin);

  const forged = shop.slack.interaction(message, 'tocsin.acknowledge', undefined, { secret: 'wrong' });
  expect((await tocsin.post('/api/v1/slack/interactions', forged.body, forged.headers)).status).toBe(401);
  const click = shop.slack.interaction(message, 'tocsin.acknowledge');
  const answers = await Promise.all(
    [1, 2, 3].map(() => tocsin.post('/api/v1/slack/interactions', click.body, click.headers)),
  );
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  const acknowledged = await tocsin.expectIncident((one) => one.status === 'acknowledged', 'is acknowledged');
  expect(acknowledged).toMatchObject({ id, acknowledgedBy: 'ana' });
  await shop.pagerduty.expectAcknowledge(payments.pagerduty);
  await see(
    () => /acknowledged by ana/i.test(message.shown),
    () => `not shown: ${message.shown}`,
  );
  await shop.slack.expect(payments.slack, /acknowledged/i, { thread: true });
  await neverEscalates(shop, 4_500);
  expect((await tocsin.timeline(id)).filter(({ kind }) => kind === 'acknowledged')).toHaveLength(1);
  shop.quiet();
});

test('an acknowledgement and a resolution in PagerDuty count here and are not sent back there', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service(escalating('3s')));
  await tocsin.deliver(webhook([firing({ alertname: 'HighErrorRate', service: 'checkout', severity: 'critical' })]));
  const { id, message } = await opened(shop, tocsin);
  const tell = async (what: 'incident.acknowledged' | 'incident.resolved', secret?: string) => {
    const hook = shop.pagerduty.webhook(what, id, secret ? { secret } : {});
    return (await tocsin.post('/api/v1/webhooks/pagerduty', hook.body, hook.headers)).status;
  };

  expect(await tell('incident.acknowledged', 'wrong')).toBe(401);
  expect(await tell('incident.acknowledged')).toBeLessThan(300);
  await see(
    () => /acknowledged by ana/i.test(message.shown),
    () => `not shown: ${message.shown}`,
  );
  await shop.slack.expect(payments.slack, /acknowledged/i, { thread: true });
  await neverEscalates(shop, 4_500);
  expect(await tell('incident.resolved')).toBeLessThan(300);
  await see(
    () => /resolved/i.test(message.shown),
    () => `not shown: ${message.shown}`,
  );
  await shop.smtp.expect(payments.email, /resolved/i);
  await tocsin.settled();
  expect(shop.pagerduty.events.map(({ event_action: action }) => action)).toEqual(['trigger']);
  shop.quiet();
});

test('what nobody answers goes to the person on call, and no further once somebody has it', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service(escalating('2s', '60s')));
  await tocsin.deliver(webhook([firing({ alertname: 'HighErrorRate', service: 'checkout', severity: 'critical' })]));
  const { id, message } = await opened(shop, tocsin);

  const direct = await shop.slack.expect('U0ANA', /HighErrorRate/, { timeoutMs: 15_000 });
  await shop.smtp.expect('ana@example.com', /HighErrorRate/, 15_000);
  const timeline = await tocsin.timeline(id);
  const [told] = timeline.filter(({ kind }) => kind === 'escalated');
  const after = Date.parse(told!.at) - Date.parse(timeline.find(({ kind }) => kind === 'opened')!.at);
  expect(after).toBeGreaterThanOrEqual(2_000);
  expect(after).toBeLessThan(6_000);

  expect((await tocsin.action(id, 'acknowledge', { by: 'ana' })).status).toBe(200);
  await shop.pagerduty.expectAcknowledge(payments.pagerduty);
  await see(
    () => [message, direct].every((one) => /acknowledged by ana/i.test(one.shown)),
    () => `not both show it: ${message.shown}\n---\n${direct.shown}`,
  );
  expect((await tocsin.incident(id)).nextEscalation).toBeNull();
  expect((await tocsin.timeline(id)).filter(({ kind }) => kind === 'escalated')).toHaveLength(1);
});

/** The first notification, then ana after `second`, then the team again after `third`. */
function escalating(second: string, third?: string) {
  const steps = [
    { after: '0s', notify: ['team'] },
    { after: second, notify: ['schedule:primary'] },
    ...(third ? [{ after: third, notify: ['team'] }] : []),
  ];
  return {
    'routing.yaml': {
      routes: { default_team: 'payments', channels: ['slack', 'pagerduty', 'email'], escalation: 'default' },
      escalation_policies: { default: { steps } },
      schedules: { primary: { rotation: 'weekly', members: ['ana'] } },
    },
  };
}

type Started = Awaited<ReturnType<typeof startService>>;
type Opened = Awaited<ReturnType<typeof openShop>>;

/** Takes the three first notifications of the only incident. */
async function opened(shop: Opened, tocsin: Started) {
  const message = await shop.slack.expect(payments.slack, /HighErrorRate/);
  const page = await shop.pagerduty.expectTrigger(payments.pagerduty);
  await shop.smtp.expect(payments.email, /HighErrorRate/);
  const incident = await tocsin.expectIncident((one) => one.status === 'open', 'is open');
  expect(page.dedup_key).toBe(incident.id);
  return { id: incident.id, message };
}

const neverEscalates = (shop: Opened, forMs: number) =>
  stays(() => !shop.slack.messages.some(({ to }) => to === 'U0ANA'), 'it escalated although somebody had it', forMs);
