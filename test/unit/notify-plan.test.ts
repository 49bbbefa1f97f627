import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ChannelKind, NotificationJob, NotificationKind } from '../../src/domain/notification.ts';
import { backoffMs, createPacer } from '../../src/notify/pace.ts';
import { planDelivery, type Standing } from '../../src/notify/plan.ts';
import { job } from '../fakes/notify-example.ts';

const open: Standing = { status: 'open', acknowledgedAt: null };
const resolved: Standing = { status: 'resolved', acknowledgedAt: null };
const ackedAt = Date.parse('2026-11-20T03:15:00Z');
const acknowledged: Standing = { status: 'acknowledged', acknowledgedAt: ackedAt };
const shown = { state: 'open' as const };
const over = { state: 'resolved' as const };
const at = (channel: ChannelKind) => ({ target: { channel, address: channel === 'log' ? 'log' : 'x' } });

/** What a plan comes to, in words: `open`, or `nothing`, with the kinds that are superseded. */
const told = (waiting: NotificationJob[], message: Parameters<typeof planDelivery>[1], standing: Standing) => {
  const plan = planDelivery(waiting, message, standing);
  const gone = new Set([...plan.drop, ...plan.covers].map(({ id }) => id));
  return {
    sends: plan.send ? `${plan.send.as} for ${plan.send.job.kind}` : 'nothing',
    supersedes: waiting.filter(({ id }) => gone.has(id)).map(({ kind }) => kind),
  };
};

describe('newest state wins', () => {
  test('an open page and a later update are one message', () => {
    expect(told([job('open'), job('update')], null, open)).toEqual({ sends: 'open for open', supersedes: ['update'] });
  });

  test('an incident that is over before it could be told is one message, already resolved, on each channel but PagerDuty', () => {
    for (const channel of ['slack', 'email', 'webhook', 'log'] as const) {
      const waiting = [job('open', at(channel)), job('resolve', at(channel))];
      expect(told(waiting, null, resolved)).toEqual({ sends: 'resolve for resolve', supersedes: ['open'] });
    }
    const page = [job('open', at('pagerduty')), job('resolve', at('pagerduty'))];
    expect(told(page, null, resolved)).toEqual({ sends: 'nothing', supersedes: ['open', 'resolve'] });
  });

  test('a page whose resolve has not even been queued does not say firing either', () => {
    expect(told([job('open')], null, resolved).sends).toBe('resolve for open');
    expect(told([job('open', at('pagerduty'))], null, resolved).sends).toBe('nothing');
  });

  test('everything that waits when the incident ends becomes one last edit', () => {
    const waiting = [job('update'), job('escalate'), job('acknowledge'), job('resolve')];
    expect(told(waiting, shown, resolved)).toEqual({
      sends: 'resolve for resolve',
      supersedes: ['update', 'escalate', 'acknowledge'],
    });
  });

  test('a resolve that a reopening overtook is not sent', () => {
    expect(told([job('resolve'), job('open')], shown, open)).toEqual({
      sends: 'update for open',
      supersedes: ['resolve'],
    });
    expect(told([job('resolve')], shown, open)).toEqual({ sends: 'nothing', supersedes: ['resolve'] });
  });

  test('a reopened incident pages again', () => {
    for (const channel of ['slack', 'pagerduty', 'email'] as const) {
      expect(told([job('open', at(channel))], over, open).sends).toBe('open for open');
    }
  });

  test('of several missed escalations the newest is said', () => {
    const waiting = [job('escalate', { text: 'to ana' }), job('escalate', { text: 'to ben' }), job('update')];
    const plan = planDelivery(waiting, shown, open);
    expect(plan.send).toMatchObject({ as: 'escalate', text: 'to ben' });
    expect(plan.covers).toHaveLength(2);
  });

  test('an escalation to somebody new is their first message', () => {
    expect(told([job('escalate', { text: 'to ben' })], null, open)).toEqual({
      sends: 'open for escalate',
      supersedes: [],
    });
  });

  test('pages go before edits, edits before lines', () => {
    const waiting = [job('thread', { text: 'a note' }), job('update'), job('escalate')];
    expect(told(waiting, shown, open)).toEqual({ sends: 'escalate for escalate', supersedes: ['update'] });
  });
});

describe('an acknowledgement stops pages', () => {
  const before = { createdAt: ackedAt - 1000 };
  const after = { createdAt: ackedAt + 1000 };

  test('a page made before it does not go out after it', () => {
    expect(told([job('escalate', before)], shown, acknowledged)).toEqual({
      sends: 'nothing',
      supersedes: ['escalate'],
    });
    expect(
      told(
        [job('open', { ...at('pagerduty'), ...before }), job('acknowledge', { ...at('pagerduty'), ...after })],
        null,
        acknowledged,
      ),
    ).toEqual({
      sends: 'nothing',
      supersedes: ['open', 'acknowledge'],
    });
  });

  test('a person may still escalate what is acknowledged', () => {
    expect(told([job('escalate', after)], shown, acknowledged).sends).toBe('escalate for escalate');
  });

  test('the first message of what is acknowledged already is still posted, as acknowledged', () => {
    expect(told([job('open', before), job('acknowledge', after)], null, acknowledged)).toEqual({
      sends: 'open for open',
      supersedes: ['acknowledge'],
    });
  });

  test('PagerDuty hears of an escalation and of the acknowledgement', () => {
    const waiting = [
      job('acknowledge', { ...at('pagerduty'), ...after }),
      job('escalate', { ...at('pagerduty'), ...after }),
    ];
    expect(told(waiting, shown, acknowledged)).toEqual({ sends: 'escalate for escalate', supersedes: [] });
    expect(told(waiting.slice(0, 1), shown, acknowledged).sends).toBe('acknowledge for acknowledge');
  });

  test('an acknowledgement that timed out meanwhile is not told to PagerDuty', () => {
    expect(told([job('acknowledge', at('pagerduty'))], shown, open)).toEqual({
      sends: 'nothing',
      supersedes: ['acknowledge'],
    });
  });
});

describe('thread lines', () => {
  test('lines that piled up are one reply', () => {
    const waiting = [
      job('thread', { text: 'first' }),
      job('thread', { text: 'second', broadcast: true }),
      job('thread', { text: 'third' }),
    ];
    expect(planDelivery(waiting, shown, open).send).toMatchObject({
      as: 'thread',
      text: 'first\nsecond\nthird',
      broadcast: true,
    });
  });

  test('after the resolve none is shown in the channel', () => {
    const plan = planDelivery([job('thread', { text: 'severity rose', broadcast: true })], over, resolved);
    expect(plan.send).toMatchObject({ as: 'thread', broadcast: false });
  });

  test('an hour of lines is cut to the newest', () => {
    const waiting = Array.from({ length: 500 }, (_, n) => job('thread', { text: `line number ${n}` }));
    const text = planDelivery(waiting, shown, open).send?.text ?? '';
    expect(text.length).toBeLessThan(2600);
    expect(text).toMatch(/^\(\d+ earlier lines left out\)\n/);
    expect(text.endsWith('line number 499')).toBe(true);
  });

  test('lines wait for the message they belong under', () => {
    expect(told([job('thread', { text: 'x' }), job('open')], null, open)).toEqual({
      sends: 'open for open',
      supersedes: [],
    });
  });

  test('without a message there is nothing to reply to', () => {
    expect(told([job('thread', { text: 'x' })], null, open)).toEqual({ sends: 'nothing', supersedes: ['thread'] });
  });
});

test('what each channel makes of each kind, with a message there', () => {
  const kinds = ['open', 'update', 'escalate', 'acknowledge', 'resolve', 'thread'] as const;
  const standing: Record<Exclude<NotificationKind, 'digest'>, Standing> = {
    open,
    update: open,
    escalate: open,
    thread: open,
    acknowledge: acknowledged,
    resolve: resolved,
  };
  const late = { createdAt: ackedAt + 1000, text: 'a line' };
  const table = Object.fromEntries(
    (['slack', 'pagerduty', 'email', 'webhook', 'log'] as const).map((channel) => [
      channel,
      kinds
        .map((kind) => {
          const plan = planDelivery(
            [job(kind, { ...at(channel), ...late })],
            kind === 'open' ? null : shown,
            standing[kind],
          );
          return plan.send?.as ?? '–';
        })
        .join(' '),
    ]),
  );
  expect(table).toEqual({
    slack: 'open update escalate acknowledge resolve thread',
    pagerduty: 'open – escalate acknowledge resolve –',
    email: 'open – escalate – resolve –',
    webhook: 'open update escalate acknowledge resolve –',
    log: 'open – escalate acknowledge resolve thread',
  });
});

test('whatever waits, a plan makes progress, names each job once, and says nothing stale', () => {
  const kind = fc.constantFrom<NotificationKind>('open', 'update', 'escalate', 'acknowledge', 'resolve', 'thread');
  const channel = fc.constantFrom<ChannelKind>('slack', 'pagerduty', 'email', 'webhook', 'log');
  const message = fc.constantFrom(null, shown, over);
  const standing = fc.constantFrom(open, acknowledged, resolved);
  const kinds = fc.array(fc.record({ kind, offset: fc.integer({ min: -2000, max: 2000 }) }), {
    minLength: 1,
    maxLength: 8,
  });
  fc.assert(
    fc.property(kinds, channel, message, standing, (list, where, holds, state) => {
      const waiting = list.map((one) => job(one.kind, { ...at(where), createdAt: ackedAt + one.offset, text: 'line' }));
      const plan = planDelivery(waiting, holds, state);
      const named = [...plan.drop, ...plan.covers, ...(plan.send ? [plan.send.job] : [])].map(({ id }) => id);
      expect(named.length).toBeGreaterThan(0);
      expect(new Set(named).size).toBe(named.length);
      if (!plan.send) expect(named.length).toBe(waiting.length);
      if (state.status === 'resolved') expect(['resolve', 'thread', 'update', undefined]).toContain(plan.send?.as);
      if (state.status === 'resolved' && plan.send?.as === 'update') expect(holds).toBe(over);
      if (where === 'pagerduty' && state.status === 'resolved' && !holds) expect(plan.send).toBeNull();
    }),
    { numRuns: 2000, seed: 7 },
  );
});

describe('pace', () => {
  test('Slack takes a short burst and then one a second in a channel, whatever happens in others', () => {
    const pacer = createPacer();
    const waits = Array.from({ length: 6 }, () => pacer.turn('slack', '#a', 'page', 0));
    expect(waits).toEqual([0, 0, 0, 0, 1000, 1000]);
    expect(pacer.turn('slack', '#b', 'page', 0)).toBe(0);
    expect(pacer.turn('slack', '#a', 'page', 1000)).toBe(0);
    expect(pacer.turn('slack', '#a', 'page', 1000)).toBe(1000);
  });

  test('edits leave a turn for a page', () => {
    const pacer = createPacer();
    const edits = Array.from({ length: 5 }, () => pacer.turn('slack', '#a', 'edit', 0));
    expect(edits.filter((ms) => ms === 0)).toHaveLength(3);
    expect(pacer.turn('slack', '#a', 'page', 0)).toBe(0);
  });

  test('edits share 50 a minute over the whole workspace', () => {
    const pacer = createPacer();
    let sent = 0;
    for (let second = 0; second < 120; second += 1) {
      for (let channel = 0; channel < 30; channel += 1) {
        if (pacer.turn('slack', `#c${channel}`, 'edit', second * 1000) === 0) sent += 1;
      }
    }
    expect(sent).toBeGreaterThan(100);
    expect(sent).toBeLessThanOrEqual(2 * 50 + 10);
  });

  test('the log is never held', () => {
    const pacer = createPacer();
    expect(Array.from({ length: 1000 }, () => pacer.turn('log', 'log', 'page', 0)).every((ms) => ms === 0)).toBe(true);
  });

  test('retries wait longer and longer, at most a minute', () => {
    expect([1, 2, 3, 6, 7, 50].map((n) => backoffMs(n, 1))).toEqual([1000, 2000, 4000, 32_000, 60_000, 60_000]);
    expect(backoffMs(7, 0)).toBe(30_000);
  });
});
