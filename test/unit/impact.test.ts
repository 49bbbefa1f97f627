import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BusinessFile } from '../../src/config/schema.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import { assessImpact, type ImpactInput } from '../../src/score/impact.ts';

const HOUR = 3_600_000;
const catalogueOf = (services: object) => new Map(Object.entries(BusinessFile.parse({ services }).services));
const calls = (...edges: string[]) =>
  buildGraph({ edges: edges.map((edge) => ({ caller: edge.split('>')[0]!, callee: edge.split('>')[1]! })) });

const assess = (services: string[], declared: object, more: Partial<ImpactInput> = {}) =>
  assessImpact({
    services,
    severity: 'critical',
    catalogue: catalogueOf(declared),
    graph: calls(),
    facts: { duration: null },
    startedAt: 0,
    now: HOUR / 2,
    ...more,
  });

test('what nobody declared stays unknown', () => {
  expect(assess(['a', 'b'], {}).impact).toEqual({
    revenuePerHour: null,
    currency: null,
    totalRevenueImpact: null,
    affectedServices: ['a', 'b'],
    affectedUsers: null,
    customerImpact: null,
    regulatoryRisk: false,
    slaBreachRisk: 'unknown',
    cascadeRisk: 'unknown',
    estimatedDurationSeconds: null,
  });
});

describe('money', () => {
  const usd = (revenue_per_hour: number, more: object = {}) => ({ revenue_per_hour, currency: 'USD', ...more });

  test('is what the affected services earn an hour, times the time it has lasted', () => {
    const { impact } = assess(['checkout', 'other', 'checkout'], { checkout: usd(12000), idle: usd(999) });
    expect(impact).toMatchObject({ revenuePerHour: 12000, currency: 'USD', totalRevenueImpact: 6000 });
    expect(impact.affectedServices).toEqual(['checkout', 'other']);
  });

  test('is rounded to cents below 100 and to whole units above', () => {
    expect(assess(['a'], { a: usd(10) }, { now: 1000 * 60 * 7 }).impact.totalRevenueImpact).toBe(1.17);
    expect(assess(['a'], { a: usd(1234.56) }, { now: HOUR }).impact.totalRevenueImpact).toBe(1235);
  });

  test('is none yet when clocks disagree and it seems to begin in the future', () => {
    expect(assess(['a'], { a: usd(10) }, { startedAt: HOUR, now: 0 }).impact.totalRevenueImpact).toBe(0);
  });

  test('of several currencies is refused with a reason, not guessed', () => {
    const { impact, degraded } = assess(['a', 'b'], { a: usd(10), b: { revenue_per_hour: 10, currency: 'EUR' } });
    expect(impact).toMatchObject({ revenuePerHour: null, currency: null, totalRevenueImpact: null });
    expect(degraded).toEqual([{ stage: 'impact', reason: expect.stringMatching(/USD and EUR.*not added up/) }]);
    expect(assess(['a', 'b'], { a: usd(10), b: { revenue_per_hour: 10 } }).impact.revenuePerHour).toBeNull();
    expect(assess(['a', 'b'], { a: usd(10), b: { revenue_per_hour: 0, currency: 'EUR' } }).impact.revenuePerHour).toBe(
      10,
    );
  });

  test('declared as zero is zero, and without a currency it is a bare number', () => {
    expect(assess(['a'], { a: usd(0) }).impact).toMatchObject({
      revenuePerHour: 0,
      currency: 'USD',
      totalRevenueImpact: 0,
    });
    expect(assess(['a'], { a: { revenue_per_hour: 7 } }).impact).toMatchObject({ revenuePerHour: 7, currency: null });
  });

  test('that flows through caller and callee counts once, the larger figure; side by side it adds up', () => {
    const shop = { frontend: usd(20000), checkout: usd(12000), ads: usd(5000), payment: usd(12000) };
    const graph = calls('frontend>gateway', 'gateway>checkout', 'gateway>ads', 'checkout>payment', 'payment>checkout');
    const perHour = (...services: string[]) => assess(services, shop, { graph }).impact.revenuePerHour;
    expect(perHour('checkout', 'ads')).toBe(17000);
    expect(perHour('checkout', 'payment')).toBe(12000);
    expect(perHour('payment', 'ads', 'checkout', 'frontend')).toBe(20000);
    expect(assess(['checkout', 'frontend'], shop, { graph }).notes).toContainEqual(
      'The revenue of checkout is part of that of frontend: one calls the other',
    );
    expect(assess(['ads', 'frontend'], { ...shop, frontend: usd(100) }, { graph }).impact.revenuePerHour).toBe(5000);
  });

  test('never exceeds the plain sum, never falls below the largest, and does not depend on the order', () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 5, maxLength: 5 }),
        fc.array(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...names)), { maxLength: 8 }),
        fc.shuffledSubarray(names, { minLength: 1 }),
        (figures, edges, services) => {
          const declared = Object.fromEntries(names.map((name, i) => [name, usd(figures[i]!)]));
          const graph = calls(...edges.map(([a, b]) => `${a}>${b}`));
          const total = assess(services, declared, { graph }).impact.revenuePerHour!;
          const own = services.map((name) => figures[names.indexOf(name)]!);
          expect(total).toBeLessThanOrEqual(own.reduce((a, b) => a + b, 0));
          expect(total).toBeGreaterThanOrEqual(Math.max(...own));
          expect(assess([...services].sort(), declared, { graph }).impact.revenuePerHour).toBe(total);
        },
      ),
    );
  });
});

test('users are the largest declared number, customer impact the worst, regulation any', () => {
  const declared = {
    a: { users: 40000, customer_impact: 'low' },
    b: { users: 3000, customer_impact: 'medium', regulatory: true },
  };
  expect(assess(['a', 'b', 'c'], declared).impact).toMatchObject({
    affectedUsers: 40000,
    customerImpact: 'medium',
    regulatoryRisk: true,
  });
  expect(assess(['a'], declared).impact).toMatchObject({ customerImpact: 'low', regulatoryRisk: false });
});

describe('the risk to the objective', () => {
  // 99.9 % over 30 days leaves 43.2 minutes.
  const slo = { checkout: { slo: { objective: 99.9, window: '30d' } }, lax: { slo: { objective: 90, window: '30d' } } };
  const risk = (minutes: number, more: Partial<ImpactInput> = {}) =>
    assess(['checkout', 'lax'], slo, { now: minutes * 60_000, ...more }).impact.slaBreachRisk;

  test('grows with the share of the error budget gone: a tenth is medium, half is high', () => {
    expect([risk(0), risk(4), risk(5), risk(21), risk(22), risk(500)]).toEqual([
      'low',
      'low',
      'medium',
      'medium',
      'high',
      'high',
    ]);
  });

  test('looks ahead by how long incidents like it took', () => {
    const lasting = (p50: number) => ({ facts: { duration: { p50, p90: p50 * 2, basis: '12 similar incidents' } } });
    expect([risk(1, lasting(600)), risk(1, lasting(1300)), risk(1, lasting(2600))]).toEqual(['low', 'medium', 'high']);
    expect(assess(['checkout'], slo, lasting(600)).impact.estimatedDurationSeconds).toMatchObject({ p50: 600 });
  });

  test('is held down by a severity that does not mean an outage, and unknown without an objective', () => {
    expect([risk(500, { severity: 'medium' }), risk(500, { severity: 'info' })]).toEqual(['medium', 'low']);
    expect(assess(['search'], { search: { tier: 1 } }).impact.slaBreachRisk).toBe('unknown');
  });
});

describe('the risk of spreading', () => {
  const tiers = { shop: { tier: 1 }, far: { tier: 1 } };
  const graph = calls(
    'shop>cart',
    'cart>redis',
    'far>shop',
    'x1>lib',
    'x2>lib',
    'x3>lib',
    'x4>lib',
    'x5>x1',
    'redis>redis',
  );
  const risk = (...services: string[]) => assess(services, tiers, { graph }).impact.cascadeRisk;

  test('is high near a tier 1 caller or with five callers spared so far, medium with any, low with none', () => {
    expect(risk('redis')).toBe('high');
    expect(risk('far')).toBe('low');
    expect(risk('x1')).toBe('medium');
    expect(risk('lib')).toBe('high');
    expect(risk('lib', 'x5')).toBe('medium');
    expect(risk('redis', 'cart', 'shop', 'far')).toBe('low');
    expect(risk('stranger')).toBe('unknown');
    expect(assess(['lib'], {}, { graph }).notes.at(-1)).toBe('5 callers have no alert yet: x1, x2, x3, x4, x5');
  });

  test('is bounded in a huge graph with cycles', () => {
    const edges = Array.from({ length: 20_000 }, (_, i) => `s${(i + 1) % 20_000}>s${i}`);
    expect(assess(['s0'], {}, { graph: calls(...edges) }).impact.cascadeRisk).toBe('high');
  });
});
