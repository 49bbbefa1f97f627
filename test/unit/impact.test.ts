import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BusinessFile } from '../../src/config/schema.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import { assessImpact, type ImpactInput } from '../../src/score/impact.ts';

const HOUR = 3_600_000;
const catalogueOf = (services: object) => new Map(Object.entries(BusinessFile.parse({ services }).services));
const calls = (...edges: string[]) =>
  buildGraph({ edges: edges.map((edge) => ({ caller: edge.split('>')[0]!, callee: edge.split('>')[1]! })) });

type More = Partial<Omit<ImpactInput, 'facts'>> & { facts?: Partial<ImpactInput['facts']> };

/** Half an hour into an incident, unless said otherwise. */
const assess = (services: string[], declared: object, { facts, ...more }: More = {}) =>
  assessImpact({
    services,
    suspect: null,
    severity: 'critical',
    catalogue: catalogueOf(declared),
    graph: calls(),
    facts: { duration: null, spread: null, users: {}, burn: {}, ...facts },
    startedAt: 0,
    now: HOUR / 2,
    over: false,
    edges: [],
    ...more,
  });
const lasting = (p50: number, more: object = {}) => ({
  facts: { duration: { p50, p90: p50 * 2, basis: '12 similar incidents' }, ...more },
});

test('what nobody declared stays unknown', () => {
  expect(assess(['a', 'b'], {}).impact).toEqual({
    revenuePerHour: null,
    currency: null,
    totalRevenueImpact: null,
    affectedServices: ['a', 'b'],
    expectedServices: [],
    affectedUsers: null,
    customerImpact: null,
    regulatoryRisk: false,
    slaBreachRisk: 'unknown',
    errorBudget: null,
    cascadeRisk: 'unknown',
    estimatedDurationSeconds: { p50: 3600, p90: 3600, basis: 'assumed, no similar incidents' },
  });
});

describe('money', () => {
  const usd = (revenue_per_hour: number, more: object = {}) => ({ revenue_per_hour, currency: 'USD', ...more });

  test('is what the affected services earn an hour, times how long incidents like it take', () => {
    const { impact, notes } = assess(
      ['checkout', 'other', 'checkout'],
      { checkout: usd(12000), idle: usd(999) },
      lasting(1800),
    );
    expect(impact).toMatchObject({ revenuePerHour: 12000, currency: 'USD', totalRevenueImpact: 6000 });
    expect(impact.estimatedDurationSeconds).toEqual({ p50: 1800, p90: 3600, basis: '12 similar incidents' });
    expect(impact.affectedServices).toEqual(['checkout', 'other']);
    expect(notes).toEqual([
      'Revenue per hour counts checkout 12000',
      'It is expected to last 30 min, 9 times in 10 at most 60 min (12 similar incidents)',
      '12000 USD an hour × 0.5 h expected = 6000 USD',
    ]);
  });

  test('is taken for an hour when nothing like it is on record, which is said', () => {
    const { impact, notes } = assess(['checkout'], { checkout: usd(12000) });
    expect(impact.totalRevenueImpact).toBe(12000);
    expect(notes).toContain(
      'It is expected to last 60 min, 9 times in 10 at most 60 min (assumed, no similar incidents)',
    );
  });

  test('grows with the time once it has lasted longer than expected, and is what was lost when it is over', () => {
    const at = (minutes: number, more: More = {}) =>
      assess(['a'], { a: usd(600) }, { ...lasting(1800), now: minutes * 60_000, ...more });
    expect([0, 29, 30, 31, 90].map((minutes) => at(minutes).impact.totalRevenueImpact)).toEqual([
      300, 300, 300, 310, 900,
    ]);
    expect(at(90).notes).toContain('600 USD an hour × 1.5 h so far, longer than expected = 900 USD');
    expect(at(10, { over: true }).impact.totalRevenueImpact).toBe(100);
    expect(at(10, { over: true }).notes).toContain('600 USD an hour × 0.17 h that it lasted = 100 USD');
    expect(at(90, { over: true }).impact.totalRevenueImpact).toBe(900);
  });

  test('is looked at again when it outlasts its like and whenever it then passes an amount that somebody asks for', () => {
    const again = (minutes: number, perHour = 600, edges = [100, 1000], more: More = {}) => {
      const { lookAgainAt } = assess(
        ['a'],
        { a: usd(perHour) },
        { ...lasting(1800), now: minutes * 60_000, edges, ...more },
      );
      return lookAgainAt === null ? null : lookAgainAt / 60_000;
    };
    // 600 an hour is a cent in 60 ms.
    expect(again(0)).toBeCloseTo(30.001, 4);
    expect(again(29)).toBeCloseTo(30.001, 4);
    expect(again(31)).toBeCloseTo(100.001, 4);
    expect(again(101)).toBeNull();
    expect(again(0, 0)).toBeNull();
    expect(again(0, 600, [], { over: true })).toBeNull();
    const then = again(31)! * 60_000;
    const total = (now: number) => assess(['a'], { a: usd(600) }, { ...lasting(1800), now }).impact.totalRevenueImpact!;
    expect(total(then)).toBeGreaterThan(1000);
    expect(total(then - 60)).toBeLessThanOrEqual(1000);
  });

  test('is counted to the cent, so that no edge is crossed by rounding', () => {
    expect(assess(['a'], { a: usd(10) }, { ...lasting(60 * 7), now: 0 }).impact.totalRevenueImpact).toBe(1.17);
    expect(assess(['a'], { a: usd(10000.01) }).impact.totalRevenueImpact).toBe(10000.01);
    expect(assess(['a'], { a: usd(10000.004) }).impact.totalRevenueImpact).toBe(10000);
  });

  test('is the expected one when clocks disagree and it seems to begin in the future', () => {
    expect(assess(['a'], { a: usd(10) }, { startedAt: HOUR, now: 0 }).impact.totalRevenueImpact).toBe(10);
    expect(assess(['a'], { a: usd(10) }, { startedAt: HOUR, now: 0, over: true }).impact.totalRevenueImpact).toBe(0);
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
          const total = assess(services, declared, { graph, severity: 'low' }).impact.revenuePerHour!;
          const own = services.map((name) => figures[names.indexOf(name)]!);
          expect(total).toBeLessThanOrEqual(own.reduce((a, b) => a + b, 0));
          expect(total).toBeGreaterThanOrEqual(Math.max(...own));
          expect(assess([...services].sort(), declared, { graph, severity: 'low' }).impact.revenuePerHour).toBe(total);
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

test('users that a query counts are what it says now; without an answer they are not known, and never made up', () => {
  const declared = { shop: { users: { query: 'sum(sessions)' } }, api: { users: 50 } };
  const users = (services: string[], counted: Record<string, number | null>) =>
    assess(services, declared, { facts: { users: counted } });
  expect(users(['shop'], { shop: 1234 }).impact.affectedUsers).toBe(1234);
  expect(users(['shop'], { shop: 0 }).impact.affectedUsers).toBe(0);
  expect(users(['shop'], { shop: 1234 }).notes).toContain('1234 people use shop (counted now)');
  expect(users(['shop'], {}).impact.affectedUsers).toBeNull();
  expect(users(['shop'], {}).notes).toContain('How many people use shop is not known: its query was not answered');
  expect(users(['shop'], { shop: null }).notes).toContain(
    'How many people use shop is not known: its query gives no figure',
  );
  expect(users(['shop', 'api'], {}).impact.affectedUsers).toBe(50);
});

test('what is measured is asked for again after 5, 10, 20, 40 minutes and so on; what is declared is not', () => {
  const again = (minutes: number, users: Record<string, number>) => {
    const services = { shop: { users: { query: 'sum(sessions)' } } };
    const { lookAgainAt } = assess(['shop'], services, { now: minutes * 60_000, facts: { users } });
    return lookAgainAt === null ? null : lookAgainAt / 60_000;
  };
  expect([0, 4.9, 5, 10, 39, 60].map((minutes) => again(minutes, { shop: 1 }))).toEqual([5, 5, 10, 20, 40, 80]);
  expect(again(0, {})).toBeNull();
  expect(assess(['shop'], { shop: { users: 5 } }).lookAgainAt).toBeNull();
});

describe('the risk to the objective', () => {
  // 99.9 % over 30 days leaves 43.2 minutes.
  const slo = { checkout: { slo: { objective: 99.9, window: '30d' } }, lax: { slo: { objective: 90, window: '30d' } } };
  const soon = lasting(60);
  const risk = (minutes: number, more: More = {}) =>
    assess(['checkout', 'lax'], slo, { ...soon, now: minutes * 60_000, ...more }).impact.slaBreachRisk;

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
    expect([risk(1, lasting(600)), risk(1, lasting(1300)), risk(1, lasting(2600))]).toEqual(['low', 'medium', 'high']);
    expect(risk(1, { facts: {} })).toBe('low');
  });

  test('is looked at again when time alone raises it', () => {
    const again = (minutes: number) => assess(['checkout'], slo, { now: minutes * 60_000 }).lookAgainAt;
    expect([again(0)! / 60_000, again(5)! / 60_000, again(22)]).toEqual([
      expect.closeTo(4.32, 3),
      expect.closeTo(21.6, 3),
      null,
    ]);
    expect(risk(again(0)! / 60_000)).toBe('medium');
    expect(risk(again(5)! / 60_000)).toBe('high');
  });

  test('is held down by a severity that does not mean an outage, and unknown without an objective', () => {
    expect([risk(500, { severity: 'medium' }), risk(500, { severity: 'info' })]).toEqual(['medium', 'low']);
    expect(assess(['search'], { search: { tier: 1 } }).impact.slaBreachRisk).toBe('unknown');
  });

  describe('where errors are measured', () => {
    const errors = 'sum(rate(errors[{{window}}])) / sum(rate(requests[{{window}}]))';
    const declared = { checkout: { slo: { objective: 99.9, window: '30d', errors } } };
    const calm = { '5m': 0, '30m': 0, '1h': 0, '6h': 0, '3d': 0 };
    const burning = (rates: object, { budgetLeft = null, ...more }: More & { budgetLeft?: number | null } = {}) =>
      assess(['checkout'], declared, {
        facts: { burn: { checkout: { rates: { ...calm, ...rates }, budgetLeft } } },
        ...more,
      });
    const of = (...args: Parameters<typeof burning>) => burning(...args).impact.slaBreachRisk;

    test('both windows of a pair must burn too fast: 14.4 in 1 h and 5 min, 6 in 6 h and 30 min, 1 in 3 d and 6 h', () => {
      expect(of({})).toBe('low');
      expect(of({ '1h': 14.5, '5m': 14.5 })).toBe('high');
      expect(of({ '1h': 14.4, '5m': 14.5 })).toBe('low');
      expect(of({ '1h': 14.5, '5m': 14.4 })).toBe('low');
      expect(of({ '6h': 6.1, '30m': 6.1 })).toBe('high');
      expect(of({ '6h': 6, '30m': 6.1 })).toBe('low');
      expect(of({ '6h': 6.1, '30m': 6 })).toBe('low');
      expect(of({ '3d': 1.1, '6h': 1.1 })).toBe('medium');
      expect(of({ '3d': 1, '6h': 1.1 })).toBe('low');
      expect(of({ '3d': 1.1, '6h': 1 })).toBe('low');
      expect(burning({ '1h': 20, '5m': 30 }).notes).toContain(
        'The error budget of checkout burns 30 in 5m, 0 in 30m, 20 in 1h, 0 in 6h, 0 in 3d times as fast as it may; over 14.4 in 1h and 5m',
      );
    });

    test('a budget that will be gone before the expected end is a high risk at any speed', () => {
      // At twice the speed 1 % of 30 days lasts 3.6 h.
      const left = (budgetLeft: number, p50: number) =>
        assess(['checkout'], declared, {
          ...lasting(p50, { burn: { checkout: { rates: { ...calm, '1h': 2, '5m': 2 }, budgetLeft } } }),
          now: 0,
        }).impact.slaBreachRisk;
      expect([left(0.01, 12_959), left(0.01, 12_960), left(0, 60), left(-0.3, 60), left(0.5, 3600)]).toEqual([
        'low',
        'high',
        'high',
        'high',
        'low',
      ]);
      expect(of({ '1h': 1 }, { budgetLeft: -1 })).toBe('low');
    });

    test('a measured figure is taken at its word, whatever the severity; the worst service counts', () => {
      expect(of({ '1h': 20, '5m': 20 }, { severity: 'info' })).toBe('high');
      const two = { ...declared, calm: declared.checkout };
      const burn = {
        checkout: { rates: { ...calm, '3d': 2, '6h': 2 }, budgetLeft: null },
        calm: { rates: calm, budgetLeft: 1 },
      };
      expect(assess(['calm', 'checkout'], two, { facts: { burn } }).impact).toMatchObject({
        slaBreachRisk: 'medium',
        errorBudget: { service: 'checkout', burnRate: 0, left: null },
      });
      expect(assess(['calm'], two, { facts: { burn } }).impact.errorBudget).toEqual({
        service: 'calm',
        burnRate: 0,
        left: 1,
      });
    });

    test('without an answer, or with no traffic in any pair, the worst case is taken, and said', () => {
      const none = { '5m': null, '30m': null, '1h': null, '6h': null, '3d': 0 };
      for (const { impact, notes } of [
        assess(['checkout'], declared, { now: 25 * 60_000 }),
        burning(none, { now: 25 * 60_000 }),
      ]) {
        expect(impact.slaBreachRisk).toBe('high');
        expect(notes).toContain('The errors of checkout are not known, so the worst case is taken');
        expect(notes).toContain(
          '58 % of the error budget of checkout (43 min) is gone if every request has failed since',
        );
      }
    });
  });
});

describe('services that will follow', () => {
  const graph = calls('shop>checkout', 'checkout>payment', 'ledger>payment', 'payment>db');
  const follow = (services: string[], more: More = {}) => assess(services, {}, { graph, ...more }).impact;

  test('are the direct callers of the suspect that have no alert yet', () => {
    expect(follow(['payment'])).toMatchObject({
      affectedServices: ['payment', 'checkout', 'ledger'],
      expectedServices: ['checkout', 'ledger'],
    });
    expect(assess(['payment'], {}, { graph }).notes[0]).toBe('May follow, since they call payment: checkout, ledger');
    expect(follow(['shop', 'payment', 'checkout'], { suspect: 'payment' }).expectedServices).toEqual(['ledger']);
  });

  test('are none while nothing is suspected, for a severity that means no outage, and when it is over', () => {
    expect(follow(['payment', 'checkout']).expectedServices).toEqual([]);
    expect(follow(['payment'], { severity: 'high' }).expectedServices).toEqual(['checkout', 'ledger']);
    expect(follow(['payment'], { severity: 'medium' }).expectedServices).toEqual([]);
    expect(follow(['payment'], { over: true })).toMatchObject({ affectedServices: ['payment'], expectedServices: [] });
  });

  test('are by the past those callers, near or far, that alerted in half of three similar incidents or more', () => {
    const past = (incidents: number, services: Record<string, number>) =>
      follow(['payment'], { severity: 'low', facts: { spread: { incidents, services } } }).expectedServices;
    expect(past(4, { shop: 2, checkout: 4, ledger: 1, stranger: 4 })).toEqual(['checkout', 'shop']);
    expect(past(4, {})).toEqual([]);
    const spread = { incidents: 4, services: { shop: 2, checkout: 4 } };
    expect(assess(['payment'], {}, { graph, facts: { spread } }).notes[0]).toBe(
      'Expected to follow payment: checkout (4 of 4 similar incidents), shop (2 of 4 similar incidents)',
    );
    expect(past(2, { shop: 2 })).toEqual([]);
  });

  test('count in money, users and duties: the suspect alone earns nothing', () => {
    const declared = {
      checkout: { revenue_per_hour: 12000, currency: 'USD', users: 40, customer_impact: 'high', regulatory: true },
    };
    expect(assess(['payment'], declared, { graph }).impact).toMatchObject({
      totalRevenueImpact: 12000,
      affectedUsers: 40,
      customerImpact: 'high',
      regulatoryRisk: true,
    });
    // Its objective is not charged for an outage that it does not have yet.
    const objective = { checkout: { slo: { objective: 99.9, window: '30d' } } };
    expect(assess(['payment'], objective, { graph }).impact.slaBreachRisk).toBe('unknown');
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
  const risk = (...services: string[]) => assess(services, tiers, { graph, severity: 'critical' }).impact.cascadeRisk;

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

  test('also goes by how far similar incidents went', () => {
    const with_ = (service: string, incidents: number, services: Record<string, number>) =>
      assess([service], tiers, { graph, facts: { spread: { incidents, services } } }).impact.cascadeRisk;
    expect(with_('far', 4, { batch: 2 })).toBe('high');
    expect(with_('far', 4, { batch: 1 })).toBe('medium');
    expect(with_('far', 2, { batch: 2 })).toBe('low');
    expect(with_('redis', 3, {})).toBe('medium');
    expect(with_('x1', 3, {})).toBe('low');
    expect(with_('stranger', 3, { batch: 3 })).toBe('high');
    expect(with_('stranger', 3, {})).toBe('low');
    expect(with_('stranger', 2, { batch: 2 })).toBe('unknown');
  });

  test('is bounded in a huge graph with cycles', () => {
    const edges = Array.from({ length: 20_000 }, (_, i) => `s${(i + 1) % 20_000}>s${i}`);
    expect(assess(['s0'], {}, { graph: calls(...edges) }).impact.cascadeRisk).toBe('high');
  });
});
