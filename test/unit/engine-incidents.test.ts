import { expect, test } from 'vitest';
import { loadModels, type Models } from '../../src/config/models.ts';
import { tell } from './engine-story.ts';

test('one alert is one incident, told once on every channel of its team', () => {
  const story = tell();
  story.fire('HighErrorRate', { service: 'checkout' });
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
  expect(story.only()).toMatchObject({
    status: 'open',
    severity: 'critical',
    priority: 1,
    team: 'payments',
    services: ['checkout'],
    alertCount: 1,
    firingCount: 1,
  });
  expect(story.only().impact).toMatchObject({
    revenuePerHour: 12000,
    currency: 'USD',
    affectedUsers: 4000,
    customerImpact: 'high',
  });
});

test('a storm over services that call each other is one incident and one message', () => {
  const story = tell();
  story.fire('ContainerMemoryHigh', { service: 'payment' });
  story.at('00:00:10');
  story.fire('HighLatency', { service: 'checkout' });
  story.fire('HighErrorRate', { service: 'checkout' });
  story.at('00:00:20');
  story.fire('QueueFull', { service: 'payment' });
  story.at('00:01');
  expect(story.only()).toMatchObject({ alertCount: 4, firingCount: 4 });
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
  expect(story.record.ledger).toEqual({
    received: 4,
    notified: 1,
    grouped: 3,
    suppressed: 0,
    failed: 0,
    inFlight: 0,
    quarantined: 0,
  });
});

test('repeats and HA twins are no news', () => {
  const story = tell();
  const labels = { alertname: 'Down', severity: 'critical', service: 'payment' };
  const startsAt = story.now();
  for (const source of ['default', 'default', 'default']) story.post([{ status: 'firing', labels, startsAt }], source);
  story.at('04:00');
  story.sent();
  story.post([{ status: 'firing', labels, startsAt: startsAt + 700 }]);
  story.at('04:01');
  expect(story.sent()).toEqual([]);
  expect(story.record.ledger.received).toBe(1);
});

test('the same fingerprint of two sources is two alerts', () => {
  const story = tell();
  const labels = { alertname: 'Down', severity: 'critical', service: 'payment' };
  story.post([{ status: 'firing', labels }], 'eu');
  story.post([{ status: 'firing', labels }], 'us');
  expect(story.record.ledger.received).toBe(2);
  expect([...story.record.alerts.keys()].map((key) => key.split('/')[0])).toEqual(['eu', 'us']);
});

test('it resolves in place when its last alert does', () => {
  const story = tell();
  story.fire('HighErrorRate', { service: 'checkout' });
  story.fire('HighLatency', { service: 'checkout' });
  story.at('00:02');
  story.sent();
  story.resolve('HighErrorRate', { service: 'checkout' });
  story.at('00:03');
  expect(story.only()).toMatchObject({ status: 'open', firingCount: 1 });
  story.resolve('HighLatency', { service: 'checkout' });
  expect(story.only()).toMatchObject({ status: 'resolved', firingCount: 0 });
  expect(story.sent()).toEqual(['resolve slack:#payments', 'resolve pagerduty:team/payments']);
  story.at('01:00');
  expect(story.sent()).toEqual([]);
  const { received, notified, grouped, inFlight } = story.record.ledger;
  expect([received, notified + grouped, inFlight]).toEqual([4, 4, 0]);
});

test('a resolve before its firing is kept and wakes nobody, and the late firing does not either', () => {
  const story = tell();
  const labels = { alertname: 'Blip', severity: 'critical', service: 'payment' };
  const startsAt = story.now() - 60_000;
  story.post([{ status: 'resolved', labels, startsAt }]);
  story.post([{ status: 'firing', labels, startsAt }]);
  expect(story.incidents()).toEqual([]);
  expect(story.sent()).toEqual([]);
  expect(story.record.ledger).toMatchObject({ received: 1, grouped: 1, inFlight: 0 });
  story.at('00:10');
  story.post([{ status: 'firing', labels, startsAt: story.now() }]);
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
});

test('a firing whose resolve was lost begins anew with its new start', () => {
  const story = tell();
  const labels = { alertname: 'Down', severity: 'critical', service: 'payment' };
  story.post([{ status: 'firing', labels }]);
  story.at('02:00');
  story.post([{ status: 'firing', labels, startsAt: story.now() }]);
  const episodes = [...story.record.alerts.values()];
  expect(episodes.map((a) => [a.status, a.closedBecause])).toEqual([
    ['resolved', 'refired'],
    ['firing', null],
  ]);
  expect(story.record.ledger.received).toBe(3);
});

test('a re-fire within the reopen window reopens the incident and pages again; a later one is a new incident', () => {
  const story = tell();
  story.fire('Down', { service: 'payment' });
  story.at('00:10');
  story.resolve('Down', { service: 'payment' });
  story.sent();
  story.at('00:13');
  story.fire('Down', { service: 'payment' });
  expect(story.only()).toMatchObject({ status: 'open' });
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
  story.at('00:20');
  story.resolve('Down', { service: 'payment' });
  story.at('00:40');
  story.fire('Down', { service: 'payment' });
  expect(story.incidents().map((i) => [i.number, i.status])).toEqual([
    [1, 'resolved'],
    [2, 'open'],
  ]);
});

test('an alert that flaps every ten seconds for an hour pages a few times, not hundreds', () => {
  const story = tell();
  for (let i = 0; i < 180; i += 1) {
    const [m, s] = [Math.floor((i * 20) / 60), (i * 20) % 60];
    story.at(`00:${m}:${s}`);
    story.fire('Flappy', { service: 'payment' });
    story.at(`00:${m}:${s + 10}`);
    story.resolve('Flappy', { service: 'payment' });
  }
  story.at('03:00');
  const sent = story.sent();
  expect(sent.length).toBeLessThan(30);
  expect(sent.at(-1)).toMatch(/^resolve/);
  expect(story.incidents().every((i) => i.status === 'resolved')).toBe(true);
  expect(story.record.ledger).toMatchObject({ received: 360, inFlight: 0 });
});

test('a rise in severity is broadcast, a fall is not', () => {
  const story = tell();
  story.fire('Slow', { service: 'checkout', severity: 'warning' });
  story.sent();
  story.at('00:01');
  story.fire('Dead', { service: 'checkout', severity: 'critical' });
  story.at('00:02');
  expect(story.sent()).toEqual(['escalate slack:#payments', 'escalate pagerduty:team/payments']);
  story.resolve('Dead', { service: 'checkout', severity: 'critical' });
  story.at('00:03');
  expect(story.sent()).toEqual([]);
});

test('alerts of different tenants never share an incident', () => {
  const story = tell();
  story.fire('HighErrorRate', { service: 'checkout', tenant: 'a' });
  story.fire('HighErrorRate', { service: 'checkout', tenant: 'b' });
  expect(story.incidents()).toHaveLength(2);
});

test('alerts without a service or any common label are not joined with strangers', () => {
  const story = tell();
  story.fire('BackupFailed', {});
  story.fire('CertificateExpires', {});
  expect(story.incidents()).toHaveLength(2);
});

test('an alert that is not confirmed before its end expires, one that nobody confirms for long is stale, and both say so', () => {
  const story = tell({
    'tocsin.yaml': 'alerts: { stale_after: 1h }\nchannels: { slack: { token: { env: SLACK } } }\n',
  });
  story.fire('Old', { service: 'payment' });
  story.at('00:50');
  story.post([
    {
      status: 'firing',
      labels: { alertname: 'Old', severity: 'critical', service: 'payment' },
      startsAt: story.now() - 50 * 60_000,
    },
  ]);
  story.at('01:30');
  expect(story.only().status).toBe('open');
  story.at('02:00');
  expect(story.only().status).toBe('resolved');
  expect([...story.record.alerts.values()][0]!.closedBecause).toBe('stale');
  expect(story.record.timeline.some((t) => /nobody confirmed it/.test(t.text))).toBe(true);
});

test('a heartbeat makes no incident while it comes, and a critical one when it stays away', () => {
  const story = tell();
  const watchdog = { alertname: 'Watchdog', severity: 'none', cluster: 'prod' };
  story.post([{ status: 'firing', labels: watchdog }]);
  story.at('00:09');
  story.post([{ status: 'firing', labels: watchdog, startsAt: story.now() - 9 * 60_000 }]);
  story.at('00:18');
  expect(story.incidents()).toEqual([]);
  expect(story.record.ledger).toMatchObject({ received: 1, grouped: 1 });
  story.at('00:19:01');
  expect(story.only()).toMatchObject({ severity: 'critical', title: 'HeartbeatMissing' });
  expect(story.sent()).toEqual(['open slack:#shop']);
  story.post([{ status: 'firing', labels: watchdog, startsAt: story.now() - 19 * 60_000 }]);
  story.at('00:20');
  expect(story.only().status).toBe('resolved');
});

/** Models whose part of this name fails whenever it is looked at. */
function broken(models: Models, part: 'causes' | 'correlation', name: string): Models {
  const copy = { ...models, [part]: { ...models[part] } };
  Object.defineProperty(copy[part], name, {
    get() {
      throw new Error('planted');
    },
  });
  return copy;
}

test('a bug in the judgement still wakes the team, with a plain message that says so', () => {
  const story = tell({}, undefined, broken(loadModels(), 'causes', 'words'));
  story.fire('HighErrorRate', { service: 'checkout' });
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
  expect(story.only()).toMatchObject({
    severity: 'critical',
    rootCauses: [],
    decision: { verdict: 'notify', reasons: [{ code: 'assessment-failed' }] },
    degraded: [{ stage: 'assess', reason: expect.stringContaining('planted') }],
  });
  expect(story.record.ledger).toMatchObject({ received: 1, notified: 1, inFlight: 0 });
});

test('a bug in what is only proposed keeps nobody asleep', () => {
  const story = tell({}, undefined, broken(loadModels(), 'correlation', 'split'));
  story.fire('HighErrorRate', { service: 'checkout' });
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
  expect(story.only().degraded).toMatchObject([{ stage: 'split', reason: expect.stringContaining('planted') }]);
});
