import { expect, test } from 'vitest';
import { type Story, tell } from './engine-story.ts';

/** What a person merged or split stays so: after a kill, a re-fire with a new start, a reopening, a merge of what was merged. */

/** The incidents that are not over, as they stand once everything so far has been judged. */
function open(story: Story) {
  story.later(5);
  return story.incidents().filter((one) => one.status !== 'resolved');
}

/** Two faults that have nothing to do with each other, made one by a person. */
function merged() {
  const story = tell();
  story.fire('BackupFailed', { service: 'cart' });
  story.fire('QueueStuck', { service: 'mailer' });
  const [elder, younger] = story.incidents();
  story.act('merge', younger!.id, 'ana', { into: elder!.id });
  return { story, elder: elder!, younger: younger! };
}

/** One fault of two services, taken apart by a person. */
function split() {
  const story = tell();
  story.fire('MemoryHigh', { service: 'payment' });
  story.fire('HighLatency', { service: 'checkout' });
  const whole = story.only().id;
  story.act('split', whole, 'ana', { alerts: [story.fingerprintOf('HighLatency', { service: 'checkout' })] });
  return { story, whole };
}

test.each([
  ['at once', 0],
  ['after a kill', 1],
])('merged by hand, an alert that fires anew comes back to the elder, %s', (_, kills) => {
  const { story, elder } = merged();
  story.at('00:05');
  story.resolve('QueueStuck', { service: 'mailer' });
  if (kills) story.afterKill();
  story.at('00:08');
  story.fire('QueueStuck', { service: 'mailer' });
  expect(open(story)).toMatchObject([{ id: elder.id, firingCount: 2 }]);
});

test.each([
  ['at once', 0],
  ['after a kill', 1],
])('merged by hand, the same alerts are one incident the next time as well, %s', (_, kills) => {
  const { story } = merged();
  story.resolve('BackupFailed', { service: 'cart' });
  story.resolve('QueueStuck', { service: 'mailer' });
  if (kills) story.afterKill();
  story.at('06:00');
  story.fire('QueueStuck', { service: 'mailer' });
  story.at('06:04');
  story.fire('BackupFailed', { service: 'cart' });
  expect(open(story)).toMatchObject([{ alertCount: 2 }]);
});

test('merged by hand, it holds for an incident whose points the correlator has long forgotten', () => {
  const { story, elder } = merged();
  // Another of its alerts, which comes and goes, keeps the incident alive for hours.
  for (let minutes = 4; minutes <= 150; minutes += 8) {
    story.later(4 * 60);
    story.resolve('BackupFailed', { service: 'cart' });
    story.later(4 * 60);
    story.fire('BackupFailed', { service: 'cart' });
  }
  story.resolve('QueueStuck', { service: 'mailer' });
  story.afterKill();
  story.later(60);
  story.fire('QueueStuck', { service: 'mailer' });
  expect(open(story)).toMatchObject([{ id: elder.id, firingCount: 2 }]);
});

test.each([
  ['at once', 0],
  ['after a kill', 1],
])('split by hand, alerts that fire anew stay apart, and nothing between them makes them one again, %s', (_, kills) => {
  const { story, whole } = split();
  story.at('00:02');
  story.resolve('HighLatency', { service: 'checkout' });
  if (kills) story.afterKill();
  story.at('00:04');
  story.fire('HighLatency', { service: 'checkout' });
  story.fire('HighErrorRate', { service: 'checkout' });
  story.fire('QueueFull', { service: 'payment' });
  const latency = story.fingerprintOf('HighLatency', { service: 'checkout' });
  const memory = story.fingerprintOf('MemoryHigh', { service: 'payment' });
  const homeOf = (print: string) =>
    [...story.record.alerts.values()].findLast((alert) => alert.fingerprint === print)!.incidentId;
  expect(homeOf(memory)).toBe(whole);
  expect(homeOf(latency)).not.toBe(whole);
  expect(story.record.timeline.filter(({ kind }) => kind === 'merged')).toEqual([]);
});

test('split by hand, the same alerts are two incidents the next time as well', () => {
  const { story } = split();
  story.resolve('MemoryHigh', { service: 'payment' });
  story.resolve('HighLatency', { service: 'checkout' });
  story.at('06:00');
  story.fire('MemoryHigh', { service: 'payment' });
  story.fire('HighLatency', { service: 'checkout' });
  story.at('06:01');
  expect(open(story)).toHaveLength(2);
});

test('split and then merged again by hand, the last word counts', () => {
  const { story, whole } = split();
  const other = story.incidents().find((one) => one.id !== whole)!;
  story.act('merge', other.id, 'bob', { into: whole });
  story.resolve('HighLatency', { service: 'checkout' });
  story.afterKill();
  story.at('00:05');
  story.fire('HighLatency', { service: 'checkout' });
  expect(open(story)).toMatchObject([{ id: whole, firingCount: 2 }]);
});

test('an incident that holds a merged one is merged on, and everything follows', () => {
  const { story, elder, younger } = merged();
  story.fire('DiskFull', { service: 'archive' });
  const third = story.incidents().at(-1)!;
  story.act('merge', elder.id, 'ana', { into: third.id });
  // The lowest number lives on, and both others lead to it.
  expect(open(story)).toMatchObject([{ id: elder.id, alertCount: 3 }]);
  expect(story.act('acknowledge', third.id, 'ana').incidentId).toBe(elder.id);
  expect(story.act('note', younger.id, 'ana', { text: 'hm' }).incidentId).toBe(elder.id);
  for (const [name, service] of [
    ['BackupFailed', 'cart'],
    ['QueueStuck', 'mailer'],
    ['DiskFull', 'archive'],
  ] as const)
    story.resolve(name, { service });
  story.afterKill();
  story.at('04:00');
  story.fire('DiskFull', { service: 'archive' });
  story.fire('QueueStuck', { service: 'mailer' });
  expect(open(story)).toMatchObject([{ alertCount: 2 }]);
});

test('reopened by hand after a merge, the merged one stays part of it', () => {
  const { story, elder, younger } = merged();
  story.act('resolve', elder.id, 'ana');
  expect(story.act('reopen', younger.id, 'ana').incidentId).toBe(elder.id);
  story.resolve('QueueStuck', { service: 'mailer' });
  story.at('00:03');
  story.fire('QueueStuck', { service: 'mailer' });
  expect(open(story)).toMatchObject([{ id: elder.id }]);
});

test.each([
  ['at once', 0],
  ['after a kill', 1],
])('a re-fire within the reopen window reopens, one past it is a new incident, %s', (_, kills) => {
  const story = tell();
  story.fire('Down', { service: 'payment' });
  const { id } = story.only();
  story.at('00:10');
  story.resolve('Down', { service: 'payment' });
  if (kills) story.afterKill();
  story.at('00:13');
  story.fire('Down', { service: 'payment' });
  expect(open(story)).toMatchObject([{ id }]);
  story.at('00:20');
  story.resolve('Down', { service: 'payment' });
  story.at('00:40');
  if (kills) story.afterKill();
  story.fire('Down', { service: 'payment' });
  expect(open(story)).toHaveLength(1);
  expect(open(story)[0]!.id).not.toBe(id);
});

test('an alert that comes late, with a start inside a resolved incident, opens its own past the reopen window', () => {
  const story = tell();
  story.fire('Down', { service: 'payment' });
  story.fire('HighLatency', { service: 'checkout' });
  const { id } = story.only();
  const during = story.now() + 30_000;
  story.at('00:02');
  story.resolve('Down', { service: 'payment' });
  story.resolve('HighLatency', { service: 'checkout' });
  story.at('00:20');
  const labels = { alertname: 'QueueFull', severity: 'critical', service: 'payment' };
  story.post([{ status: 'firing', labels, startsAt: during }]);
  story.post([{ status: 'firing', labels: { ...labels, alertname: 'Down' }, startsAt: during }]);
  expect(story.incidents().find((one) => one.id === id)!.status).toBe('resolved');
  expect(open(story).every((one) => one.id !== id)).toBe(true);
});

test('two tenants with the very same trouble are two incidents, and nobody can make them one', () => {
  const story = tell({
    'tocsin.yaml': 'channels: { slack: { token: { env: SLACK } }, pagerduty: {} }\nlabels: { tenant: [customer] }\n',
  });
  for (const customer of ['red', 'blue']) {
    story.fire('MemoryHigh', { service: 'payment', customer });
    story.fire('HighLatency', { service: 'checkout', customer });
  }
  expect(open(story)).toHaveLength(2);
  const [red, blue] = open(story);
  expect(red!.alertCount).toBe(2);
  expect(story.act('merge', blue!.id, 'ana', { into: red!.id })).toMatchObject({ status: 409 });
  const related = {
    kind: 'related',
    alert: story.fingerprintOf('MemoryHigh', { service: 'payment', customer: 'red' }),
    other: story.fingerprintOf('MemoryHigh', { service: 'payment', customer: 'blue' }),
  };
  expect(story.act('feedback', red!.id, 'ana', related)).toMatchObject({ status: 409 });
  expect(story.record.links).toEqual([]);
});
