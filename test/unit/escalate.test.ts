import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RoutingFile } from '../../src/config/schema.ts';
import type { EscalationState } from '../../src/domain/effects.ts';
import {
  acknowledge,
  ackTimedOut,
  atOnce,
  begin,
  due,
  escalateNow,
  firstNotify,
  longestGap,
  nextEscalation,
  type Policy,
  shorten,
  snooze,
  unacknowledge,
  unsnooze,
  wakeAt,
} from '../../src/escalate/plan.ts';

const policyOf = (given: object): Policy =>
  RoutingFile.parse({ escalation_policies: { p: given } }).escalation_policies.p!;

const MINUTE = 60_000;
const T = Date.parse('2026-11-20T03:00:00Z');
const min = (n: number): number => T + n * MINUTE;

const steps = [
  { after: '0s', notify: ['team'] },
  { after: '5m', notify: ['schedule:primary'] },
  { after: '15m', notify: ['team:sre'] },
];
const plain = policyOf({ steps });
const repeating = policyOf({ steps, repeat: 2, ack_timeout: '30m' });

/** Looks every second like the engine's timer and tells what fired, as minute → notify. */
function run(policy: Policy, until: number, from: EscalationState = begin('p', policy, T)): [number, string, string][] {
  const fired: [number, string, string][] = [];
  let state = from;
  for (let now = T; now <= until; now += 1000) {
    const result = due(state, policy, now);
    state = result.state;
    if (result.fire)
      fired.push([(now - T) / MINUTE, `${result.fire.round}.${result.fire.step}`, result.fire.notify.join()]);
  }
  return fired;
}

describe('a policy', () => {
  test('counts from the first notification, which is its step at 0s', () => {
    expect(begin('p', plain, T)).toMatchObject({ step: 1, round: 0, dueAt: min(5), startedAt: T });
    expect(firstNotify(plain)).toEqual(['team']);
    expect(run(plain, min(120))).toEqual([
      [5, '0.1', 'schedule:primary'],
      [15, '0.2', 'team:sre'],
    ]);
  });

  test('that begins later tells the team first', () => {
    const late = policyOf({ steps: [{ after: '5m', notify: ['person:ana'] }] });
    expect(firstNotify(late)).toEqual(['team']);
    expect(run(late, min(60))).toEqual([[5, '0.0', 'person:ana']]);
    expect(firstNotify(null)).toEqual(['team']);
  });

  test('with several steps at 0s tells all of them first', () => {
    const both = policyOf({
      steps: [
        { after: '0s', notify: ['team'] },
        { after: '0s', notify: ['person:ana', 'team'] },
      ],
    });
    expect(firstNotify(both)).toEqual(['team', 'person:ana']);
    expect(begin('p', both, T).dueAt).toBeNull();
  });

  test('repeats whole rounds, each one longest gap after the last step', () => {
    expect(longestGap(repeating)).toBe(10 * MINUTE);
    expect(run(repeating, min(300)).map(([at, step]) => `${at} ${step}`)).toEqual([
      '5 0.1',
      '15 0.2',
      '25 1.0',
      '30 1.1',
      '40 1.2',
      '50 2.0',
      '55 2.1',
      '65 2.2',
    ]);
  });

  test('of a single step repeats after that step, or every five minutes when it is at once', () => {
    const one = policyOf({ steps: [{ after: '7m', notify: ['team'] }], repeat: 1 });
    expect(run(one, min(60)).map(([at]) => at)).toEqual([7, 21]);
    const now = policyOf({ steps: [{ after: '0s', notify: ['team'] }], repeat: 2 });
    expect(run(now, min(60)).map(([at]) => at)).toEqual([5, 10]);
  });

  test('lets no step overtake the one listed before it', () => {
    const odd = policyOf({
      steps: [
        { after: '0s', notify: ['team'] },
        { after: '10m', notify: ['person:a'] },
        { after: '2m', notify: ['person:b'] },
      ],
    });
    expect(run(odd, min(60))).toEqual([[10, '0.2', 'person:a,person:b']]);
  });

  test('says who is next and when', () => {
    const state = begin('p', plain, T);
    expect(nextEscalation(state, plain)).toEqual({ at: min(5), notify: ['schedule:primary'] });
    expect(nextEscalation(due(due(state, plain, min(5)).state, plain, min(15)).state, plain)).toBeNull();
    expect(nextEscalation(acknowledge(state, plain, min(1)), plain)).toBeNull();
    expect(nextEscalation(state, null)).toBeNull();
    expect(nextEscalation(null, plain)).toBeNull();
  });
});

describe('after an outage', () => {
  test('only the newest step that came due fires, and the others are named', () => {
    const result = due(begin('p', plain, T), plain, min(40));
    expect(result.fire).toEqual({ step: 2, round: 0, notify: ['team:sre'] });
    expect(result.skipped).toEqual([{ step: 1, round: 0, dueAt: min(5) }]);
    expect(result.said).toBe('step 2 came due unattended (Tocsin was down or behind); step 3 covers it.');
    expect(due(result.state, plain, min(41)).fire).toBeNull();
  });

  test('later steps keep their planned times', () => {
    const late = due(begin('p', repeating, T), repeating, min(12));
    expect(late.fire).toMatchObject({ step: 1, round: 0 });
    expect(late.state.dueAt).toBe(min(15));
    expect(due(begin('p', repeating, T), repeating, min(27)).state.dueAt).toBe(min(30));
  });
});

describe('an acknowledgement', () => {
  const acked = acknowledge(begin('p', repeating, T), repeating, min(2));

  test('stops everything until its timeout', () => {
    expect(run(repeating, min(600), acked)).toEqual([]);
    expect(wakeAt(acked)).toBe(min(32));
    expect(ackTimedOut(acked, repeating, min(32) - 1)).toBeNull();
  });

  test('that times out goes on with the next step at once, the rest keeping their distances', () => {
    const awake = ackTimedOut(acked, repeating, min(32))!;
    expect(awake).toMatchObject({ paused: null, ackTimeoutAt: null, step: 1, dueAt: min(32) });
    const first = due(awake, repeating, min(32));
    expect(first.fire?.notify).toEqual(['schedule:primary']);
    expect(first.state.dueAt).toBe(min(42));
  });

  test('that times out with the policy done tells the last step once more', () => {
    const policy = policyOf({ steps, ack_timeout: '30m' });
    const over = due(begin('p', policy, T), policy, min(15)).state;
    const awake = ackTimedOut(acknowledge(over, policy, min(20)), policy, min(50))!;
    const again = due(awake, policy, min(50));
    expect(again.fire).toEqual({ step: 2, round: 1, notify: ['team:sre'] });
    expect(again.state.dueAt).toBeNull();
  });

  test('given a second time changes nothing; without a timeout it holds for ever', () => {
    expect(acknowledge(acked, repeating, min(20))).toEqual(acked);
    const held = acknowledge(begin('p', plain, T), plain, min(1));
    expect(wakeAt(held)).toBeNull();
    expect(ackTimedOut(held, plain, min(1e6))).toBeNull();
  });

  test('taken back lets the next step come at its planned time, or at once when that is past', () => {
    expect(unacknowledge(acked, repeating, min(3))).toMatchObject({ paused: null, dueAt: min(5), startedAt: T });
    const late = unacknowledge(acked, repeating, min(20));
    expect(late.dueAt).toBe(min(20));
    expect(due(late, repeating, min(20)).state.dueAt).toBe(min(30));
    expect(unacknowledge(begin('p', repeating, T), repeating, min(3))).toEqual(begin('p', repeating, T));
  });
});

describe('a snooze', () => {
  test('stops everything and its end goes on with the next step at once', () => {
    const asleep = snooze(begin('p', repeating, T));
    expect(run(repeating, min(60), asleep)).toEqual([]);
    expect(unsnooze(asleep, repeating, min(60))).toMatchObject({ step: 1, dueAt: min(60), paused: null });
  });

  test('ends when somebody acknowledges instead', () => {
    const acked = acknowledge(snooze(begin('p', repeating, T)), repeating, min(10));
    expect(acked).toMatchObject({ paused: 'acknowledged', ackTimeoutAt: min(40) });
    expect(unsnooze(acked, repeating, min(12))).toEqual(acked);
  });
});

describe('impact', () => {
  test('brings the second step forward, and no other', () => {
    const early = shorten(begin('p', plain, T), plain, 2);
    expect(early.dueAt).toBe(min(2));
    expect(run(plain, min(60), early).map(([at, step]) => `${at} ${step}`)).toEqual(['2 0.1', '15 0.2']);
    const later = due(early, plain, min(2)).state;
    expect(shorten(later, plain, 1)).toEqual(later);
  });

  test('never makes a wait longer, moves a paused escalation or touches a later round', () => {
    const state = begin('p', repeating, T);
    expect(shorten(state, repeating, 9)).toEqual(state);
    expect(shorten(state, repeating, null)).toEqual(state);
    const acked = acknowledge(state, repeating, min(1));
    expect(shorten(acked, repeating, 1)).toEqual(acked);
    const second = due(state, repeating, min(25)).state;
    expect(second.round).toBe(1);
    expect(shorten(second, repeating, 1)).toEqual(second);
  });
});

describe('a policy edited while an incident runs', () => {
  test('counts at once by step index; the running wait ends as it was going to', () => {
    const edited = policyOf({
      steps: [...steps.slice(0, 1), { after: '8m', notify: ['person:ben'] }, { after: '9m', notify: ['team'] }],
    });
    const result = due(begin('p', plain, T), edited, min(5));
    expect(result.fire?.notify).toEqual(['person:ben']);
    expect(result.state.dueAt).toBe(min(9));
  });

  test('is over when the step is gone, and says so', () => {
    const shorter = policyOf({ steps: steps.slice(0, 1) });
    const result = due(begin('p', plain, T), shorter, min(5));
    expect(result.fire).toBeNull();
    expect(result.state.dueAt).toBeNull();
    expect(result.said).toContain('step 2 is gone');
    expect(nextEscalation(begin('p', plain, T), shorter)).toBeNull();
  });

  test('is over when the whole policy is gone, and says so', () => {
    const result = due(begin('p', plain, T), undefined, min(5));
    expect(result.state.dueAt).toBeNull();
    expect(result.said).toContain('no longer exists');
    expect(unacknowledge(acknowledge(begin('p', plain, T), null, T), null, min(9)).dueAt).toBeNull();
  });
});

describe('a step that reaches nobody', () => {
  test('hands over to the next one at once', () => {
    const { state } = due(begin('p', plain, T), plain, min(5));
    const next = due(atOnce(state, plain, min(5)), plain, min(5));
    expect(next.fire).toMatchObject({ step: 2, notify: ['team:sre'] });
    expect(next.state.dueAt).toBeNull();
  });

  test('does not start the next round early', () => {
    const { state } = due(begin('p', repeating, T), repeating, min(15));
    expect(atOnce(state, repeating, min(15)).dueAt).toBe(min(25));
  });
});

describe('escalating by hand', () => {
  test('fires the next step now and keeps the distances of the rest', () => {
    const now = escalateNow(begin('p', plain, T), plain, min(1))!;
    expect(now.fire).toEqual({ step: 1, round: 0, notify: ['schedule:primary'] });
    expect(now.state.dueAt).toBe(min(11));
  });

  test('works while acknowledged without ending the acknowledgement', () => {
    const acked = acknowledge(begin('p', repeating, T), repeating, min(1));
    const now = escalateNow(acked, repeating, min(2))!;
    expect(now.fire.step).toBe(1);
    expect(now.state).toMatchObject({ paused: 'acknowledged', ackTimeoutAt: min(31), dueAt: null, step: 2 });
  });

  test('tells the last step again when the policy is done, and nobody when there is none', () => {
    const over = due(begin('p', plain, T), plain, min(15)).state;
    expect(escalateNow(over, plain, min(60))?.fire.notify).toEqual(['team:sre']);
    expect(escalateNow(over, null, min(60))).toBeNull();
  });
});

describe('whatever happens', () => {
  const policies = fc.record({
    waits: fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 5 }),
    repeat: fc.integer({ min: 0, max: 3 }),
    ack: fc.option(fc.integer({ min: 1, max: 20 }), { nil: null }),
  });
  const events = fc.array(
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ do: fc.constant('wait' as const), minutes: fc.integer({ min: 0, max: 9 }) }),
      },
      {
        weight: 4,
        arbitrary: fc.record({
          do: fc.constantFrom('ack', 'unack', 'snooze', 'unsnooze', 'restart', 'shorten', 'unreached'),
          minutes: fc.integer({ min: 0, max: 3 }),
        }),
      },
    ),
    { maxLength: 40 },
  );

  test('no step fires twice in a round, none is lost, and nothing fires while it is paused', () => {
    let pausedLooks = 0;
    let fires = 0;
    fc.assert(
      fc.property(policies, events, ({ waits, repeat, ack }, list) => {
        const policy = policyOf({
          steps: [...waits].sort((a, b) => a - b).map((w, i) => ({ after: `${w}m`, notify: [`person:p${i}`] })),
          repeat,
          ...(ack === null ? {} : { ack_timeout: `${ack}m` }),
        });
        let state = begin('p', policy, T);
        let now = T;
        const told: string[] = [];
        const dealt: string[] = [];
        for (let i = 0; i < policy.steps.length && policy.steps[i]!.after === 0; i += 1) dealt.push(`0.${i}`);
        const look = (): void => {
          state = ackTimedOut(state, policy, now) ?? state;
          const result = due(state, policy, now);
          if (state.paused !== null) {
            pausedLooks += 1;
            expect(result.fire).toBeNull();
          }
          const before = state;
          state = result.state;
          if (!result.fire) return;
          fires += 1;
          const { round, step, notify } = result.fire;
          told.push(`${round}.${step}`);
          // Steps planned for the same instant fire together: all of them are in `notify`.
          for (const skip of result.skipped) dealt.push(`${skip.round}.${skip.step}`);
          for (const name of notify) dealt.push(`${round}.${name.slice('person:p'.length)}`);
          expect(before.dueAt! <= now).toBe(true);
        };
        for (const event of list) {
          for (let m = 0; m < event.minutes && event.do === 'wait'; m += 1) {
            now += MINUTE;
            look();
          }
          if (event.do === 'ack') state = acknowledge(state, policy, now);
          if (event.do === 'unack') state = unacknowledge(state, policy, now);
          if (event.do === 'snooze') state = snooze(state);
          if (event.do === 'unsnooze') state = unsnooze(state, policy, now);
          if (event.do === 'shorten') state = shorten(state, policy, event.minutes);
          if (event.do === 'unreached') state = atOnce(state, policy, now);
          if (event.do === 'restart') {
            state = JSON.parse(JSON.stringify(state));
            now += event.minutes * 4 * MINUTE;
          }
          look();
        }
        state = unsnooze(unacknowledge(state, policy, now), policy, now);
        for (let guard = 0; state.dueAt !== null && guard < 1000; guard += 1) {
          now = Math.max(now, state.dueAt);
          look();
        }
        expect(new Set(told).size).toBe(told.length);
        expect(new Set(dealt).size).toBe(dealt.length);
        const rounds = Array.from({ length: repeat + 1 }, (_, round) => round);
        const all = rounds.flatMap((round) => policy.steps.map((_, step) => `${round}.${step}`));
        expect(dealt.filter((name) => Number(name.split('.')[0]) <= repeat)).toEqual(all);
      }),
      { numRuns: 500, seed: 11 },
    );
    expect(pausedLooks).toBeGreaterThan(500);
    expect(fires).toBeGreaterThan(500);
  });
});
