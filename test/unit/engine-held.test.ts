import { expect, test } from 'vitest';
import { tell } from './engine-story.ts';

const held = {
  'suppression.yaml': 'noise: [ { name: dev, match: [\'env="dev"\'], reason: nobody is on call for dev } ]\n',
};
const active = (extra = '') => ({
  ...held,
  'tocsin.yaml': `channels: { slack: { token: { env: SLACK } } }\nsuppress: { mode: active }\n${extra}`,
});
const dev = { env: 'dev', service: 'cart', severity: 'low' };

/** The first firing of a rule ever is always told; after that the policy counts. */
function known(files: Record<string, string> = active()) {
  const story = tell(files);
  story.fire('Disk', dev);
  story.at('00:01');
  story.resolve('Disk', dev);
  story.at('01:00');
  story.sent();
  return story;
}

test('what was held back and then ends is told to nobody, neither its beginning nor its end', () => {
  const story = known();
  story.fire('Disk', dev);
  story.at('01:05');
  story.resolve('Disk', dev);
  story.at('03:00');
  expect(story.sent({ updates: true })).toEqual([]);
  const last = story.incidents().at(-1)!;
  expect(last).toMatchObject({ status: 'resolved', decision: { verdict: 'suppress', mode: 'active' } });
  expect(last.decision.reasons.map(({ code }) => code)).toEqual(['ended-while-held', 'noise']);
});

test('every change of it is accounted for', () => {
  const story = known();
  const before = { ...story.record.ledger };
  story.fire('Disk', dev);
  story.resolve('Disk', dev);
  story.at('03:00');
  const { received, suppressed, grouped, inFlight, notified } = story.record.ledger;
  expect([received - before.received, suppressed - before.suppressed, grouped - before.grouped]).toEqual([2, 1, 1]);
  expect([inFlight, notified]).toEqual([0, before.notified]);
});

test('back within its reopen window it is still held back', () => {
  const story = known();
  story.fire('Disk', dev);
  story.at('01:05');
  story.resolve('Disk', dev);
  story.at('01:07');
  story.fire('Disk', dev);
  story.at('01:30');
  expect(story.sent({ updates: true })).toEqual([]);
});

test('what was told before it was held back gets its end told too', () => {
  const story = known(active('correlate: { window: 15m }\n'));
  story.fire('Slow', { service: 'cart', severity: 'high' });
  expect(story.sent().map((line) => line.split(' ')[0])).toEqual(['open']);
  const { id } = story.incidents().at(-1)!;
  story.act('snooze', id, 'ana', { for: '1h' });
  story.at('01:10');
  story.resolve('Slow', { service: 'cart', severity: 'high' });
  story.at('01:30');
  expect(story.sent().map((line) => line.split(' ')[0])).toContain('resolve');
});

test('in mode shadow all of it is sent, as if there were no policy', () => {
  const story = known({ ...held, 'tocsin.yaml': 'channels: { slack: { token: { env: SLACK } } }\n' });
  story.fire('Disk', dev);
  story.at('01:04');
  story.resolve('Disk', dev);
  story.at('03:00');
  expect(story.sent().map((line) => line.split(' ')[0])).toEqual(['open', 'resolve']);
});
