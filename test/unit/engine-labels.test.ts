import { expect, test } from 'vitest';
import { tell } from './engine-story.ts';

/** Two alerts of two services that have nothing to do with each other: two incidents. */
function twoIncidents() {
  const story = tell();
  story.fire('BackupFailed', { service: 'cart' });
  story.fire('QueueStuck', { service: 'mailer' });
  const [first, second] = story.incidents();
  const backup = story.fingerprintOf('BackupFailed', { service: 'cart' });
  const queue = story.fingerprintOf('QueueStuck', { service: 'mailer' });
  return { story, first: first!, second: second!, backup, queue };
}

/** A fault of two services: one incident. */
function oneIncident() {
  const story = tell();
  story.fire('ContainerMemoryHigh', { service: 'payment' });
  story.fire('HighLatency', { service: 'checkout' });
  story.later(5);
  const memory = story.fingerprintOf('ContainerMemoryHigh', { service: 'payment' });
  const latency = story.fingerprintOf('HighLatency', { service: 'checkout' });
  return { story, id: story.only().id, memory, latency };
}

test('feedback is a label with who, when, of what, and what was shown when it was said', () => {
  const { story, id } = oneIncident();
  const [suspect] = story.only().rootCauses;
  story.act('feedback', id, 'ana', { kind: 'wrong-cause' });
  expect(story.record.feedback).toMatchObject([
    {
      incidentId: id,
      by: 'ana',
      at: story.now(),
      origin: 'api',
      kind: 'wrong-cause',
      service: suspect!.service,
      configHash: story.only().configHash,
      models: { correlation: expect.any(String), causes: expect.any(String) },
      ranking: { withMetrics: false },
    },
  ]);
  expect(story.record.feedback[0]!.ranking!.causes[0]).toEqual({
    service: suspect!.service,
    namespace: null,
    probability: suspect!.probability,
  });
  expect(story.only().rootCauses[0]!.service).not.toBe(suspect!.service);
});

test('the same said twice, or its contrary, is one label; another person or another question is another', () => {
  const { story, id } = oneIncident();
  const keys = (kind: string, by: string, more = {}) => {
    story.act('feedback', id, by, { kind, ...more });
    return story.record.feedback.at(-1)!.key;
  };
  const first = keys('real', 'ana');
  expect(keys('real', 'ana')).toBe(first);
  expect(keys('noise', 'ana')).toBe(first);
  expect(keys('should-have-paged', 'ana')).toBe(first);
  expect(keys('noise', 'bob')).not.toBe(first);
  expect(keys('right-cause', 'ana', { service: 'payment' })).not.toBe(first);
});

test('a person who changes their mind on a cause has one vote, the last one', () => {
  const { story, id } = oneIncident();
  const place = (service: string) => story.only().rootCauses.findIndex((cause) => cause.service === service);
  story.act('feedback', id, 'ana', { kind: 'wrong-cause', service: 'payment' });
  expect(place('payment')).not.toBe(0);
  story.act('feedback', id, 'ana', { kind: 'right-cause', service: 'payment' });
  expect(place('payment')).toBe(0);
  expect(story.record.incidents.get(id)!.state.causeFeedback).toEqual([
    { kind: 'right-cause', service: 'payment', by: 'ana' },
  ]);
});

test('two alerts said to be related are put together from their next firing on, and not before', () => {
  const { story, first, backup, queue } = twoIncidents();
  const answer = story.act('feedback', first.id, 'ana', { kind: 'related', alert: backup, other: queue });
  expect(answer).toMatchObject({
    status: 200,
    detail: expect.stringContaining('to make them one incident now, merge'),
  });
  expect(story.record.links).toMatchObject([
    { kind: 'must', a: `default/${backup}` < `default/${queue}` ? `default/${backup}` : `default/${queue}` },
  ]);
  expect(story.record.feedback).toMatchObject([{ together: false, alertSource: 'default', otherSource: 'default' }]);
  expect(story.incidents().filter((one) => one.status !== 'resolved')).toHaveLength(2);

  story.resolve('BackupFailed', { service: 'cart' });
  story.resolve('QueueStuck', { service: 'mailer' });
  story.at('02:00');
  story.fire('BackupFailed', { service: 'cart' });
  story.fire('QueueStuck', { service: 'mailer' });
  story.later(5);
  expect(story.incidents().filter((one) => one.status !== 'resolved')).toMatchObject([{ alertCount: 2 }]);
});

test('an alert said not to belong is kept apart from the rest when it fires again', () => {
  const { story, id, latency } = oneIncident();
  const answer = story.act('feedback', id, 'ana', { kind: 'not-related', alert: latency });
  expect(answer.detail).toMatch(/to take them apart now, split/);
  expect(story.only().alertCount).toBe(2);
  story.at('00:01');
  story.resolve('HighLatency', { service: 'checkout' });
  story.at('00:02');
  story.fire('HighLatency', { service: 'checkout' });
  expect(story.incidents()).toHaveLength(2);
});

test('the newest word on a pair wins, whoever says it', () => {
  const { story, first, backup, queue } = twoIncidents();
  story.act('feedback', first.id, 'ana', { kind: 'related', alert: backup, other: queue });
  story.act('feedback', first.id, 'bob', { kind: 'not-related', alert: backup, other: queue });
  story.resolve('BackupFailed', { service: 'cart' });
  story.resolve('QueueStuck', { service: 'mailer' });
  story.at('02:00');
  story.fire('BackupFailed', { service: 'cart' });
  story.fire('QueueStuck', { service: 'mailer' });
  expect(story.incidents().filter((one) => one.status !== 'resolved')).toHaveLength(2);
});

test('feedback on what ended long ago is a label and links nothing', () => {
  const { story, first, backup, queue } = twoIncidents();
  story.resolve('BackupFailed', { service: 'cart' });
  story.resolve('QueueStuck', { service: 'mailer' });
  story.at('03:00');
  const pair = story.act('feedback', first.id, 'ana', { kind: 'related', alert: backup, other: queue });
  expect(pair.status).toBe(200);
  expect(story.act('feedback', first.id, 'ana', { kind: 'noise' }).status).toBe(200);
  expect(story.act('feedback', first.id, 'ana', { kind: 'right-cause' })).toMatchObject({
    status: 400,
    detail: expect.stringContaining('Name the service'),
  });
  expect(story.record.links).toEqual([]);
  expect(story.record.feedback.map(({ kind, ranking, models }) => [kind, ranking, models])).toEqual([
    ['related', null, null],
    ['noise', null, null],
  ]);
});

test('feedback that says nothing usable is refused with what to write instead', () => {
  const { story, first, backup } = twoIncidents();
  const say = (body: object) => story.act('feedback', first.id, 'ana', body as Record<string, unknown>);
  expect(say({ kind: 'related', other: backup })).toMatchObject({
    status: 400,
    detail: expect.stringContaining('both'),
  });
  expect(say({ kind: 'related', alert: backup, other: backup })).toMatchObject({ status: 400 });
  expect(say({ kind: 'right-cause', alert: backup })).toMatchObject({ status: 400 });
  expect(say({ kind: 'lovely' })).toMatchObject({ status: 400 });
  expect(story.record.feedback).toEqual([]);
});

test('an alert that two sources know is named with its source', () => {
  const story = tell();
  const labels = { alertname: 'Down', severity: 'critical', service: 'payment' };
  story.post([{ status: 'firing', labels }], 'eu');
  story.post([{ status: 'firing', labels }], 'us');
  const print = story.fingerprintOf('Down', { service: 'payment' });
  const { id } = story.incidents()[0]!;
  expect(story.act('feedback', id, 'ana', { kind: 'noise', alert: print })).toMatchObject({ status: 409 });
  expect(story.act('feedback', id, 'ana', { kind: 'noise', alert: `eu/${print}` }).status).toBe(200);
  expect(story.record.feedback).toMatchObject([{ alert: print, alertSource: 'eu' }]);
});

test('said of the whole incident, related refuses a split that is proposed, and not-related names it', () => {
  const { story, id, memory, latency } = oneIncident();
  const groups = [[`default/${memory}`], [`default/${latency}`]];
  story.engine.world.incidents.get(id)!.state.proposedSplit = { groups, reason: 'Two stories.', at: story.now() };
  expect(story.act('feedback', id, 'ana', { kind: 'not-related' }).detail).toContain(
    'A split is proposed: Two stories.',
  );
  expect(story.record.links).toEqual([]);
  expect(story.act('feedback', id, 'bob', { kind: 'related' }).detail).toContain('refused');
  expect(story.record.links).toMatchObject([{ kind: 'must', by: 'bob' }]);
});
