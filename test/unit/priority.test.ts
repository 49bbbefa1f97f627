import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BusinessFile, RoutingFile } from '../../src/config/schema.ts';
import { severities } from '../../src/domain/severity.ts';
import { type PriorityInput, priorityOf, tierOf } from '../../src/score/priority.ts';

const table = (priority: object = {}) => RoutingFile.parse({ priority }).priority;
const unknown = { totalRevenueImpact: null, currency: null, affectedUsers: null, slaBreachRisk: 'unknown' } as const;

const of = (
  { severity = 'info', tier = null, ...impact }: Partial<PriorityInput> & Partial<PriorityInput['impact']>,
  priority: object = {},
) => priorityOf({ severity, tier, impact: { ...unknown, ...impact } }, table(priority));
const points = (...args: Parameters<typeof of>) => of(...args).points;

describe('points', () => {
  test('of the severity alone', () => {
    expect(severities.map((severity) => points({ severity }))).toEqual([40, 30, 20, 10, 0]);
  });

  test.each([
    [100, 0],
    [100.01, 10],
    [1_000, 10],
    [1_000.01, 20],
    [10_000, 20],
    [10_000.01, 30],
    [1e9, 30],
    [0, 0],
    [null, 0],
  ])('of a revenue impact of %s are %s', (totalRevenueImpact, expected) => {
    expect(points({ totalRevenueImpact, currency: 'EUR' })).toBe(expected);
    expect(points({ totalRevenueImpact })).toBe(expected);
  });

  test.each([
    [100, 0],
    [101, 10],
    [1_000, 10],
    [1_001, 20],
    [0, 0],
    [null, 0],
  ])('of %s users are %s', (affectedUsers, expected) => {
    expect(points({ affectedUsers })).toBe(expected);
  });

  test('of a high risk to an objective are 10, of any other none', () => {
    const risks = ['high', 'medium', 'low', 'unknown'] as const;
    expect(risks.map((slaBreachRisk) => points({ slaBreachRisk }))).toEqual([10, 0, 0, 0]);
  });

  test('of a tier are none unless somebody gives it some', () => {
    expect(points({ tier: 1 })).toBe(0);
    expect([1, 2, 3].map((tier) => points({ tier }, { tier: { 1: 25, 2: 5 } }))).toEqual([25, 5, 0]);
    expect(points({ tier: null }, { tier: { 1: 25 } })).toBe(0);
  });

  test('of rows in any order: the one with the largest `over` that the figure is over', () => {
    const users = [
      { over: 5, points: 1 },
      { over: 50, points: 7 },
      { over: 20, points: 3 },
    ];
    expect([5, 6, 20, 21, 51].map((affectedUsers) => points({ affectedUsers }, { users }))).toEqual([0, 1, 1, 3, 7]);
    expect(points({ affectedUsers: 9 }, { users: [] })).toBe(0);
  });
});

describe('the priority', () => {
  // Points that are exactly wanted, through the one figure whose rows may say anything.
  const with_ = (n: number) => of({ affectedUsers: 1 }, { users: [{ over: 0, points: n }] }).priority;

  test.each([
    [71, 1],
    [70, 1],
    [69, 2],
    [50, 2],
    [49, 3],
    [30, 3],
    [29, 4],
    [20, 4],
    [19, 5],
    [0, 5],
  ])('of %s points is P%s', (sum, priority) => {
    expect(with_(sum)).toBe(priority);
  });

  test('of a severity with no business figure', () => {
    expect(severities.map((severity) => of({ severity }).priority)).toEqual([3, 3, 4, 5, 5]);
  });

  test('adds up, and says every part', () => {
    const { priority, reasons } = of({
      severity: 'critical',
      totalRevenueImpact: 12_000,
      currency: 'USD',
      affectedUsers: 40_000,
      slaBreachRisk: 'high',
    });
    expect(priority).toBe(1);
    expect(reasons.map((reason) => reason.text)).toEqual([
      'Severity critical: 40 points',
      'Revenue impact 12000 USD, over 10000 USD: 30 points',
      '40000 users, over 1000: 20 points',
      'SLO breach risk high: 10 points',
      '100 points in all make P1: P1 takes 70',
    ]);
    expect(of({}).reasons.map((reason) => reason.text)).toEqual(['0 points in all make P5: fewer than the 20 of P4']);
  });

  test('follows a table of one`s own', () => {
    const own = { severity: { critical: 5 }, at_least: { 1: 5, 2: 4, 3: 3, 4: 2 } };
    expect(of({ severity: 'critical' }, own).priority).toBe(1);
  });

  test('is never less urgent for a worse severity, more money, more users or a higher risk', () => {
    const amount = fc.double({ min: 0, max: 50_000, noNaN: true });
    const risk = fc.constantFrom('low', 'medium', 'high' as const);
    fc.assert(
      fc.property(fc.nat(4), fc.nat(4), amount, amount, fc.nat(5_000), fc.nat(5_000), risk, (a, b, x, y, n, m, r) => {
        const less = of({
          severity: severities[Math.max(a, b)]!,
          totalRevenueImpact: Math.min(x, y),
          affectedUsers: Math.min(n, m),
          slaBreachRisk: r as 'low',
        });
        const more = of({
          severity: severities[Math.min(a, b)]!,
          totalRevenueImpact: Math.max(x, y),
          affectedUsers: Math.max(n, m),
          slaBreachRisk: 'high',
        });
        expect(more.priority).toBeLessThanOrEqual(less.priority);
      }),
    );
  });
});

test('the tier of an incident is the most important one declared', () => {
  const catalogue = new Map(
    Object.entries(BusinessFile.parse({ services: { a: { tier: 3 }, b: { tier: 2 }, c: {} } }).services),
  );
  expect(tierOf(['a', 'b', 'c', 'x'], catalogue)).toBe(2);
  expect(tierOf(['c', 'x'], catalogue)).toBeNull();
});
