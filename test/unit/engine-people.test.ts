import { expect, test } from 'vitest';
import { noFacts } from '../../src/domain/facts.ts';
import { tell } from './engine-story.ts';

test('nobody answers: the person on call is told after five minutes, the next team after fifteen', () => {
  const story = tell();
  story.fire('HighErrorRate', { service: 'checkout' });
  story.sent();
  story.at('00:04:59');
  expect(story.sent()).toEqual([]);
  story.at('00:05');
  expect(story.sent()).toEqual(['escalate slack:U0ANA']);
  expect(story.only().nextEscalation).toEqual({ at: '2026-11-20T03:15:00.000Z', notify: ['team:shop'] });
  story.at('00:15');
  expect(story.sent()).toEqual(['escalate slack:#shop']);
  story.at('03:00');
  expect(story.sent()).toEqual([]);
});

test('an acknowledgement stops every clock and is told once on each side', () => {
  const story = tell();
  story.fire('HighErrorRate', { service: 'checkout' });
  story.sent();
  story.at('00:02');
  expect(story.act('acknowledge', story.only().id, 'ana')).toMatchObject({ status: 200 });
  expect(story.sent()).toEqual(['acknowledge slack:#payments', 'acknowledge pagerduty:team/payments']);
  expect(story.only()).toMatchObject({ status: 'acknowledged', acknowledgedBy: 'ana', nextEscalation: null });
  expect(story.act('acknowledge', story.only().id, 'bob').detail).toMatch(/already acknowledged by ana/);
  story.at('00:29');
  expect(story.sent()).toEqual([]);
});

test('PagerDuty is not told of its own acknowledgement', () => {
  const story = tell();
  story.fire('HighErrorRate', { service: 'checkout' });
  story.sent();
  story.act('acknowledge', story.only().id, 'ana', {}, 'pagerduty');
  expect(story.sent()).toEqual(['acknowledge slack:#payments']);
});

test('still firing long after the acknowledgement, it is unacknowledged, says so, and goes on with the next step', () => {
  const story = tell();
  story.fire('HighErrorRate', { service: 'checkout' });
  story.act('acknowledge', story.only().id, 'ana');
  story.sent();
  story.at('00:30');
  expect(story.only().status).toBe('open');
  expect(story.sent()).toEqual(['escalate slack:U0ANA']);
  expect(story.record.timeline.map((t) => t.kind)).toContain('ack-timeout');
});

test('steps missed during an outage are collapsed into one, at once after the restart', () => {
  const story = tell();
  story.fire('HighErrorRate', { service: 'checkout' });
  story.sent();
  story.afterKill(40 * 60_000);
  expect(story.sent()).toEqual(['escalate slack:#shop']);
  story.at('02:00');
  expect(story.sent()).toEqual([]);
});

test('a kill between two alerts of one storm changes nothing', () => {
  const story = tell();
  story.fire('MemoryHigh', { service: 'payment' });
  story.afterKill();
  story.fire('HighLatency', { service: 'checkout' });
  story.at('00:01');
  expect(story.only()).toMatchObject({ alertCount: 2 });
  story.resolve('MemoryHigh', { service: 'payment' });
  story.afterKill();
  story.resolve('HighLatency', { service: 'checkout' });
  expect(story.only().status).toBe('resolved');
  expect(story.record.ledger).toMatchObject({ received: 4, inFlight: 0 });
});

test('resolved by hand it stays resolved while its alerts go on firing', () => {
  const story = tell();
  story.fire('Noise', { service: 'payment' });
  story.sent();
  story.act('resolve', story.only().id, 'ana', { text: 'known' });
  expect(story.only()).toMatchObject({ status: 'resolved', resolvedBy: 'ana' });
  expect(story.sent()).toEqual(['resolve slack:#payments', 'resolve pagerduty:team/payments']);
  story.at('02:00');
  expect(story.sent()).toEqual([]);
});

test('a snooze stops the escalation until it is over; a rise in severity breaks through', () => {
  const story = tell();
  story.fire('Slow', { service: 'checkout', severity: 'warning' });
  story.sent();
  story.act('snooze', story.only().id, 'ana', { for: '1h' });
  story.at('00:59');
  expect(story.sent()).toEqual([]);
  story.at('01:00');
  expect(story.sent()).toEqual(['escalate slack:U0ANA']);

  const other = tell();
  other.fire('Slow', { service: 'checkout', severity: 'warning' });
  other.act('snooze', other.only().id, 'ana', { for: '1h' });
  other.sent();
  other.fire('Dead', { service: 'checkout', severity: 'critical' });
  other.at('00:00:10');
  expect(other.sent()).toEqual(['escalate slack:#payments', 'escalate pagerduty:team/payments']);
});

test('a silence holds the same alerts of later incidents back too', () => {
  const story = tell();
  story.fire('Noise', { service: 'payment', severity: 'warning' });
  story.act('silence', story.only().id, 'ana', { for: '3h' });
  story.resolve('Noise', { service: 'payment', severity: 'warning' });
  story.sent();
  story.at('01:00');
  story.fire('Noise', { service: 'payment', severity: 'warning' });
  expect(story.sent()).toEqual([]);
  expect(story.incidents().at(-1)!.decision).toMatchObject({ verdict: 'suppress' });
  story.at('03:00:01');
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
});

test('merged by hand the elder lives on, the younger is resolved and points to it, and it sticks', () => {
  const story = tell();
  story.fire('BackupFailed', { service: 'cart' });
  story.fire('QueueStuck', { service: 'mailer' });
  const [elder, younger] = story.incidents();
  expect(story.incidents()).toHaveLength(2);
  story.sent();
  story.act('merge', younger!.id, 'ana', { into: elder!.id });
  story.at('00:00:10');
  const [a, b] = story.incidents();
  expect(a).toMatchObject({ id: elder!.id, alertCount: 2, status: 'open' });
  expect(b).toMatchObject({ status: 'resolved', mergedInto: elder!.id });
  expect(story.sent()).toEqual(['resolve slack:#shop']);
  expect(story.record.links).toHaveLength(1);
  // A deed on the younger now counts for the elder.
  story.act('acknowledge', younger!.id, 'ana');
  expect(story.incidents()[0]!.status).toBe('acknowledged');
});

test('split by hand the alerts get an incident of their own, which is told', () => {
  const story = tell();
  story.fire('MemoryHigh', { service: 'payment' });
  story.fire('HighLatency', { service: 'checkout' });
  story.sent();
  const result = story.act('split', story.only().id, 'ana', {
    alerts: [story.fingerprintOf('HighLatency', { service: 'checkout' })],
  });
  expect(result.status).toBe(200);
  expect(story.incidents().map((i) => i.alertCount)).toEqual([1, 1]);
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
});

test('assigned to another team, that team is told once', () => {
  const story = tell();
  story.fire('HighErrorRate', { service: 'checkout' });
  story.sent();
  story.act('assign', story.only().id, 'ana', { team: 'shop' });
  expect(story.sent()).toEqual(['escalate slack:#shop']);
  expect(story.only()).toMatchObject({ team: 'shop', assignee: 'shop' });
  expect(story.act('assign', story.only().id, 'ana', { team: 'nobody' })).toMatchObject({ status: 400 });
});

test('declared by hand it is an incident like any other and resolves only by hand', () => {
  const story = tell();
  const { status, incidentId } = story.act('declare', null, 'ana', {
    title: 'Checkout looks odd',
    severity: 'high',
    service: 'checkout',
  });
  expect(status).toBe(201);
  expect(story.only()).toMatchObject({
    id: incidentId,
    title: 'Checkout looks odd',
    severity: 'high',
    team: 'payments',
  });
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
  story.at('00:05');
  expect(story.sent()).toEqual(['escalate slack:U0ANA']);
  story.act('resolve', incidentId, 'ana');
  expect(story.only().status).toBe('resolved');
});

test('the next step fires at once when a person asks for it', () => {
  const story = tell();
  story.fire('HighErrorRate', { service: 'checkout' });
  story.sent();
  story.at('00:01');
  story.act('escalate', story.only().id, 'bob');
  expect(story.sent()).toEqual(['escalate slack:U0ANA']);
});

test('what nobody can do is refused with what to do instead', () => {
  const story = tell();
  expect(story.act('acknowledge', 'no-such', 'ana')).toMatchObject({ status: 409 });
  story.fire('Down', { service: 'payment' });
  story.act('resolve', story.only().id, 'ana');
  expect(story.act('acknowledge', story.only().id, 'ana')).toMatchObject({
    status: 409,
    detail: expect.stringContaining('reopen it first'),
  });
  expect(story.act('snooze', story.only().id, 'ana', { for: 'soon' })).toMatchObject({ status: 400 });
});

const active = (noise: string) => ({
  'tocsin.yaml': 'channels: { slack: { token: { env: SLACK } }, pagerduty: {} }\nsuppress: { mode: active }\n',
  'suppression.yaml': noise,
});

test('in mode active noise is held back and recorded, a floor and a worse alert break through', () => {
  const story = tell(active('noise: [ { name: chatty, match: ["alertname=Chatty"], reason: "known", for: 2h } ]\n'));
  story.fire('Chatty', { service: 'payment', severity: 'warning' });
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
  story.resolve('Chatty', { service: 'payment', severity: 'warning' });
  story.at('01:00');
  story.sent();
  story.fire('Chatty', { service: 'payment', severity: 'warning' });
  story.at('01:30');
  expect(story.sent()).toEqual([]);
  expect(story.record.suppressed).toMatchObject([{ policy: 'chatty', reasons: [{ code: expect.any(String) }] }]);
  expect(story.record.ledger.suppressed).toBe(1);
  story.at('03:00:01');
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
});

test('in mode shadow the same is sent, and the decision says what would have been', () => {
  const story = tell({
    'suppression.yaml': 'noise: [ { name: chatty, match: ["alertname=Chatty"], reason: "known" } ]\n',
  });
  story.fire('Chatty', { service: 'payment', severity: 'warning' });
  story.resolve('Chatty', { service: 'payment', severity: 'warning' });
  story.at('01:00');
  story.sent();
  story.fire('Chatty', { service: 'payment', severity: 'warning' });
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
  expect(story.incidents().at(-1)!.decision).toMatchObject({ verdict: 'suppress', mode: 'shadow' });
});

test('the kill switch lets everything out that was held back', () => {
  const story = tell(active('noise: [ { name: chatty, match: ["alertname=Chatty"], reason: "known", for: 2h } ]\n'));
  story.fire('Chatty', { service: 'payment', severity: 'warning' });
  story.resolve('Chatty', { service: 'payment', severity: 'warning' });
  story.at('01:00');
  story.fire('Chatty', { service: 'payment', severity: 'warning' });
  story.sent();
  story.act('kill-switch', null, 'ana', { on: true });
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
});

test('a bug in the assessment still pages, plainly, and says what is missing', () => {
  const story = tell();
  story.withFacts(() => ({ ...noFacts(), serviceMetrics: null as never }));
  story.fire('HighErrorRate', { service: 'checkout' });
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
  expect(story.only().degraded).toMatchObject([{ stage: 'assess', reason: expect.stringContaining('plain message') }]);
});

test('what a source could not tell is named in the incident', () => {
  const story = tell();
  story.withFacts(() => ({
    ...noFacts(),
    degraded: [{ stage: 'prometheus:main', reason: 'no answer within 2000 ms' }],
  }));
  story.fire('HighErrorRate', { service: 'checkout' });
  expect(story.only().degraded).toEqual([{ stage: 'prometheus:main', reason: 'no answer within 2000 ms' }]);
});

test('a deploy shortly before the onset is shown with its lead time, also when it is reported afterwards', () => {
  const story = tell();
  story.fire('HighErrorRate', { service: 'checkout' });
  const deploy = {
    id: 'd1',
    service: 'payment',
    version: '4f2c',
    previousVersion: '4f2b',
    environment: null,
    cluster: null,
    startedAt: story.now() - 5 * 60_000,
    finishedAt: null,
    status: null,
    author: 'ana',
    commit: null,
    url: null,
    sources: ['api'],
    summary: null,
    rollback: false,
  };
  story.at('00:01');
  story.engine.apply({ kind: 'deploys', deploys: [deploy], quarantined: [] }, story.now());
  story.at('00:02');
  expect(story.only().deploys).toMatchObject([{ service: 'payment', version: '4f2c', leadSeconds: 300 }]);
});

test('a cause that a person rules out falls in the ranking, and the ranking says who knows', () => {
  const story = tell();
  story.fire('ContainerMemoryHigh', { service: 'payment' });
  story.fire('HighLatency', { service: 'checkout' });
  const suspect = story.only().rootCauses[0]!.service;
  story.act('feedback', story.only().id, 'ana', { kind: 'wrong-cause', service: suspect });
  const [first] = story.only().rootCauses;
  expect(first!.service).not.toBe(suspect);
  const ruledOut = story.only().rootCauses.find((cause) => cause.service === suspect);
  expect(ruledOut?.evidence.some((e) => e.kind === 'feedback') ?? true).toBe(true);
});
