import { expect, test } from 'vitest';
import { parsePoll } from '../../src/receive/poll.ts';
import { tell } from './engine-story.ts';

const names = { severityMap: {}, labelNames: { service: ['service'], namespace: [], cluster: [], tenant: [] } };
const slack = { 'tocsin.yaml': 'channels: { slack: { token: { env: SLACK } } }\n' };
const cart = { service: 'cart', severity: 'warning' };
type Story = ReturnType<typeof tell>;

const silence = (story: Story, minutes: number, more: Record<string, unknown> = {}) => ({
  id: 's1',
  match: ['service="cart"'],
  until: story.now() + minutes * 60_000,
  by: 'ana',
  comment: 'disk is being replaced',
  ...more,
});

/** The reconciler's next list: everything that fires still does, and these silences are in force. */
function poll(story: Story, silences: unknown[] | null, source = 'default'): void {
  const alerts = [...story.record.alerts.values()]
    .filter(({ status }) => status === 'firing')
    .map(({ fingerprint, startsAt }) => ({
      fingerprint,
      startsAt: new Date(startsAt).toISOString(),
      endsAt: new Date(story.now() + 300_000).toISOString(),
      state: silences?.length ? 'suppressed' : 'active',
      receivers: ['tocsin'],
    }));
  const body = { source, polledAt: story.now(), uptimeSince: story.now() - 3_600_000, alerts, silences };
  const parsed = parsePoll(Buffer.from(JSON.stringify(body)), names);
  if (!parsed.ok) throw new Error(parsed.reason);
  story.engine.apply({ kind: 'poll', poll: parsed, deliveryId: 'p', trace: 't' }, story.now());
  story.later(0);
}
const fired = (files: Record<string, string> = slack) => {
  const story = tell(files);
  story.fire('DiskFull', cart);
  story.at('00:01');
  story.sent();
  return story;
};

test('what Alertmanager silences after it was sent is held, says by whom and until when, and its escalation rests', () => {
  const story = fired();
  poll(story, [silence(story, 60)]);
  const { decision } = story.only();
  expect(decision.reasons[0]).toMatchObject({
    code: 'silenced-at-sender',
    policy: 'silence',
    silenceId: 's1',
    text: 'Silenced in Alertmanager by ana until 2026-11-20 04:01 UTC: disk is being replaced',
  });
  expect(story.record.suppressed.at(-1)).toMatchObject({ policy: 'silence', expiresAt: story.now() + 60 * 60_000 });
  story.at('00:40');
  expect(story.sent()).toEqual([]);
  expect(story.only().nextEscalation).toBeNull();
});

test('it goes on where it was when the silence is over, and when it is ended early', () => {
  const over = fired();
  poll(over, [silence(over, 30)]);
  over.at('00:30:59');
  expect(over.sent()).toEqual([]);
  over.at('00:31');
  expect(over.sent()).toEqual(['escalate slack:U0ANA']);

  const ended = fired();
  poll(ended, [silence(ended, 60)]);
  ended.at('00:10');
  poll(ended, []);
  expect(ended.only().decision.verdict).toBe('notify');
  ended.at('00:11');
  expect(ended.sent()).toEqual(['escalate slack:U0ANA']);
});

test('an alert that begins under it opens no message, until the silence ends', () => {
  const story = fired();
  poll(story, [silence(story, 30, { match: ['alertname=~"Disk.*|Slow"'] })]);
  story.at('00:20');
  story.fire('Slow', { service: 'cart', severity: 'warning', namespace: 'other' });
  expect(story.sent()).toEqual([]);
  story.at('00:31');
  expect(story.sent().length).toBeGreaterThan(0);
});

test('its end is told all the same', () => {
  const story = fired();
  poll(story, [silence(story, 60)]);
  story.resolve('DiskFull', cart);
  expect(story.sent()).toEqual(['resolve slack:#shop']);
});

test('only the alerts of that source that its matchers mean', () => {
  const story = fired();
  poll(story, [silence(story, 60)], 'other');
  expect(story.only().decision.verdict).toBe('notify');
  poll(story, [silence(story, 60, { match: ['service!="cart"'] })]);
  expect(story.only().decision.verdict).toBe('notify');
});

test('a configured floor and a rise in severity are stronger, as they are than any silence', () => {
  const floor = fired({ ...slack, 'suppression.yaml': 'floors: [ { match: [\'service="cart"\'] } ]\n' });
  poll(floor, [silence(floor, 60)]);
  expect(floor.only().decision.verdict).toBe('notify');
  const worse = fired();
  poll(worse, [silence(worse, 60)]);
  worse.fire('DiskBroken', { service: 'cart', severity: 'critical' });
  worse.later(5);
  expect(worse.sent()).toContain('escalate slack:#shop');
});

test('an Alertmanager that does not answer: what it last said holds until its own end, and the reason says so', () => {
  const story = fired();
  poll(story, [silence(story, 60)]);
  story.at('00:20');
  story.fire('DiskSlow', cart);
  const verdicts = () => story.incidents().map(({ decision }) => decision.verdict);
  expect(story.incidents()[1]!.decision.reasons[0]!.text).toMatch(
    /Alertmanager has not answered since 2026-11-20 03:01 UTC/,
  );
  expect(story.sent()).toEqual([]);
  poll(story, null);
  expect(verdicts()).toEqual(['suppress', 'suppress']);
  story.at('01:01');
  expect(verdicts()).toEqual(['notify', 'notify']);
});

test('is known again after a restart', () => {
  const story = fired();
  poll(story, [silence(story, 60)]);
  story.afterKill();
  story.at('00:20');
  expect(story.only().decision.verdict).toBe('suppress');
  expect(story.sent()).toEqual([]);
});

test('a silence that cannot be read holds nothing', () => {
  const story = fired();
  poll(story, [silence(story, 60, { match: ['service=~"("'] }), { id: 7 }, null, silence(story, 60, { match: [] })]);
  expect(story.only().decision.verdict).toBe('notify');
});
