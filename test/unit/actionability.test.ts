import { describe, expect, test } from 'vitest';
import { loadModels } from '../../src/config/models.ts';
import { createHabits } from '../../src/decide/habits.ts';
import {
  type ActionabilityInput,
  actionability,
  parseActionabilityModel,
  type RuleWorth,
} from '../../src/score/actionability.ts';

const model = loadModels().actionability;
const unknown: RuleWorth = {
  alertname: 'Probe',
  seen: 3,
  relevance: 0.5,
  onsets: 0,
  selfResolve: { share: 0.5, n: 0 },
  actedOn: { share: 0.5, n: 0 },
  feedback: { real: 0, noise: 0 },
};
const input = (rule: Partial<RuleWorth> = {}, more: Partial<ActionabilityInput> = {}): ActionabilityInput => ({
  rules: [{ ...unknown, ...rule }],
  services: 1,
  known: null,
  suspect: null,
  changes: 1,
  severity: 'medium',
  tier: null,
  customerImpact: null,
  model,
  ...more,
});
const worth = (rule: Partial<RuleWorth> = {}, more: Partial<ActionabilityInput> = {}) =>
  actionability(input(rule, more)).value;
const lonely = { relevance: 0.02, onsets: 20 };

describe('what waking somebody is worth', () => {
  test('what nothing is known of is worth it, also on a service that nobody knows, and what a person declared wholly', () => {
    expect(worth()).toBeGreaterThanOrEqual(0.7);
    expect(worth({}, { known: false })).toBeGreaterThanOrEqual(0.7);
    expect(actionability(input({}, { rules: [] })).value).toBe(1);
  });

  test('a rule that always fires alone is not, unless it has company, matters much, or people act on it or say so', () => {
    expect(worth(lonely)).toBeLessThan(0.7);
    expect(worth(lonely, { tier: 1 })).toBeGreaterThan(worth(lonely));
    expect(worth(lonely, { customerImpact: 'high' })).toBeGreaterThan(worth(lonely));
    expect(worth({ ...lonely, actedOn: { share: 0.9, n: 20 } })).toBeGreaterThan(worth(lonely));
    expect(worth({ ...lonely, feedback: { real: 3, noise: 0 } })).toBeGreaterThan(0.7);
    expect(worth({ feedback: { real: 0, noise: 3 } })).toBeLessThan(worth());
    const rules = [
      { ...unknown, ...lonely },
      { ...unknown, ...lonely, alertname: 'Other' },
    ];
    expect(worth({}, { rules, services: 3 })).toBeGreaterThan(worth(lonely));
  });

  test('what the sender says of itself counts, but can never decide alone', () => {
    expect(worth({}, { severity: 'critical' })).toBeGreaterThan(worth({}, { severity: 'info' }));
    expect(model.weights.severity).toBeLessThanOrEqual(0.5);
    expect(worth(lonely, { severity: 'critical' })).toBeLessThan(0.7);
  });

  test('the sum of the parts that are shown is the score, and the reason names what speaks against it', () => {
    const { value, parts, why } = actionability(
      input({ ...lonely, selfResolve: { share: 0.9, n: 9 } }, { changes: 7 }),
    );
    const sum = parts.reduce((total, part) => total + part.value * part.weight, 0);
    expect(value).toBeCloseTo(1 / (1 + Math.exp(-sum)), 3);
    expect(parts[0]).toEqual({ name: 'start', value: 1, weight: model.intercept });
    expect(why).toMatch(/^Probe has so far mostly fired alone \(2 % that it speaks of a fault\); /);
  });

  test('of several rules the one that speaks most of faults counts, and the one seen least', () => {
    const rules = [
      { ...unknown, ...lonely, seen: 50 },
      { ...unknown, relevance: 0.9, seen: 1 },
    ];
    const both = actionability(input({}, { rules }));
    expect(both.value).toBeGreaterThan(0.7);
    expect(both.seen).toBe(1);
  });

  test('a model that lacks a weight is refused', () => {
    expect(() => parseActionabilityModel({ ...model, weights: { relevance: 1 } })).toThrow();
    expect(() => parseActionabilityModel({ ...model, weights: { ...model.weights, luck: 1 } })).toThrow();
  });
});

describe('habits', () => {
  const place = (namespace: string, alertname = 'Probe') => ({ tenant: '', cluster: 'c1', namespace, alertname });
  const day = 24 * 60 * 60_000;
  const t0 = Date.parse('2026-11-20T03:00:00Z');

  test('a share is shrunk to what is known of the rule elsewhere, and that to a half', () => {
    const habits = createHabits();
    expect(habits.of(place('a')).selfResolve).toEqual({ share: 0.5, n: 0 });
    for (let i = 0; i < 8; i += 1) habits.ended(place('a'), true, t0);
    // 8 of 8 here, (0 + 2·½) of (0 + 2) elsewhere; one place that nobody measured leans on the other
    expect(habits.of(place('a')).selfResolve.share).toBeCloseTo((8 + 2 * 0.5) / 10, 6);
    expect(habits.of(place('b')).selfResolve).toEqual({ share: expect.closeTo((8 + 1) / 10, 6), n: 0 });
    expect(habits.of(place('a', 'Other')).selfResolve.share).toBe(0.5);
  });

  test('what was counted fades by half in two weeks', () => {
    const habits = createHabits();
    for (let i = 0; i < 8; i += 1) habits.ended(place('a'), true, t0);
    habits.ended(place('a'), false, t0 + 14 * day);
    expect(habits.of(place('a')).selfResolve.n).toBeCloseTo(5, 6);
  });

  test('that nobody acted says nothing until somebody does act on something', () => {
    const habits = createHabits();
    for (let i = 0; i < 6; i += 1) habits.told(place('a'), false, t0);
    expect(habits.of(place('a')).actedOn.n).toBe(0);
    habits.told(place('b', 'Other'), true, t0);
    expect(habits.of(place('a')).actedOn.n).toBe(6);
  });

  test('a person counts once a question, takes it back by the contrary, and may speak of what is long over', () => {
    const habits = createHabits();
    const over = { incidentId: 'i1', places: [] };
    expect(habits.said('ana i1', 'noise', over, t0)).toBe(false);
    habits.heldBack('i1', [place('a')]);
    expect(habits.said('ana i1', 'noise', over, t0)).toBe(true);
    habits.said('ana i1', 'noise', over, t0);
    habits.said('bilal i1', 'noise', over, t0);
    expect(habits.of(place('a')).feedback).toEqual({ real: 0, noise: 2 });
    habits.said('ana i1', 'real', over, t0);
    expect(habits.of(place('a')).feedback).toEqual({ real: 1, noise: 1 });
  });

  test('an alert flaps from the fifth change on, until two are left in the window', () => {
    const habits = createHabits();
    const rule = { window: 60_000, enter: 5, leave: 2 };
    const alert = { source: 's', fingerprint: 'f' } as Parameters<typeof habits.changed>[0];
    for (let i = 0; i < 4; i += 1) habits.changed(alert, rule, t0 + i * 1_000);
    expect(habits.flapping(alert, rule, t0 + 4_000)).toBeNull();
    habits.changed(alert, rule, t0 + 4_000);
    expect(habits.flapping(alert, rule, t0 + 5_000)).toMatchObject({ changes: 5, calmAt: t0 + 62_000, toldAt: null });
    habits.flapTold(alert, t0 + 5_000);
    expect(habits.flapping(alert, rule, t0 + 61_999)).toMatchObject({ changes: 3, toldAt: t0 + 5_000 });
    expect(habits.flapping(alert, rule, t0 + 62_000)).toBeNull();
    habits.changed(alert, rule, t0 + 62_500);
    expect(habits.flapping(alert, rule, t0 + 62_600)).toBeNull();
  });

  test('everything is the same after a restart', () => {
    const habits = createHabits();
    const rule = { window: 60_000, enter: 3, leave: 1 };
    const alert = { source: 's', fingerprint: 'f' } as Parameters<typeof habits.changed>[0];
    for (let i = 0; i < 4; i += 1) habits.changed(alert, rule, t0 + i * 1_000);
    habits.flapTold(alert, t0 + 4_000);
    habits.began(place('a'), t0);
    habits.ended(place('a'), true, t0);
    habits.told(place('a'), true, t0);
    habits.heldBack('i1', [place('a')]);
    habits.said('ana i1', 'real', { incidentId: 'i1', places: [] }, t0);
    const again = createHabits();
    again.load(JSON.parse(JSON.stringify(habits.drain())));
    expect(again.of(place('a'))).toEqual(habits.of(place('a')));
    expect(again.of(place('b'))).toEqual(habits.of(place('b')));
    expect(again.flapping(alert, rule, t0 + 5_000)).toEqual(habits.flapping(alert, rule, t0 + 5_000));
    expect(again.said('bilal i1', 'noise', { incidentId: 'i1', places: [] }, t0)).toBe(true);
    expect(habits.drain()).toEqual([]);
  });

  test('what the store gives back broken is left out', () => {
    const habits = createHabits();
    habits.load([
      { scope: 'flap', key: '0', doc: { key: 's/f', changes: 'many' } },
      { scope: 'held', key: 'x', doc: null },
      { scope: 'habit', key: '\n\na\nProbe', doc: { lone: 'two', selfResolved: Number.NaN } },
      { scope: 'rule', key: 'of the correlator', doc: {} },
    ]);
    expect(habits.of(place('a')).selfResolve.n).toBe(0);
  });
});
