import { expect, test } from 'vitest';
import { noFacts } from '../../src/domain/facts.ts';
import { shop, tell } from './engine-story.ts';

/** The shop with the teams that the defaults of `by_impact` name, and a policy that is in no hurry. */
const dear = {
  'routing.yaml': shop['routing.yaml']
    .replace(
      'people:',
      `  sre: { slack: "#sre" }
  engineering-leads: { slack: "#leads" }
  compliance: { email: [compliance@example.com] }
  customer-success: { slack: "#success" }
people:`,
    )
    .replace('after: 5m', 'after: 20m')
    .replace('after: 15m', 'after: 40m'),
};

test('what is dear is told to more people and sooner, but never with the first message', () => {
  const story = tell(dear);
  story.fire('PaymentDown', { service: 'payment' });
  expect(story.sent()).toEqual(['open slack:#payments', 'open pagerduty:team/payments']);
  expect(story.only()).toMatchObject({
    priority: 1,
    impact: {
      affectedServices: ['payment', 'checkout'],
      expectedServices: ['checkout'],
      totalRevenueImpact: 12000,
      currency: 'USD',
      affectedUsers: 4000,
      customerImpact: 'high',
    },
    routing: { escalationTeams: ['shop', 'sre', 'engineering-leads', 'customer-success'], autoEscalateMinutes: 5 },
    nextEscalation: {
      at: '2026-11-20T03:05:00.000Z',
      notify: ['schedule:primary', 'team:sre', 'team:engineering-leads', 'team:customer-success'],
    },
  });
  story.at('00:04:59');
  expect(story.sent()).toEqual([]);
  story.at('00:05');
  expect(story.sent()).toEqual([
    'escalate slack:U0ANA',
    'escalate slack:#sre',
    'escalate slack:#leads',
    'escalate slack:#success',
  ]);
  story.at('00:40');
  expect(story.sent()).toContain('escalate slack:#shop');
});

test('a critical one without any business figure is P3, and told, escalated and headed like any critical one', () => {
  const story = tell({ ...dear, 'tocsin.yaml': `${shop['tocsin.yaml']}suppress: { mode: active }\n` });
  story.fire('DiskFull', { service: 'printer', team: 'shop' });
  expect(story.sent()).toEqual(['open slack:#shop']);
  expect(story.only()).toMatchObject({
    priority: 3,
    severity: 'critical',
    decision: { verdict: 'notify' },
    routing: { autoEscalateMinutes: 5 },
    impact: { revenuePerHour: null, totalRevenueImpact: null, affectedUsers: null, currency: null },
  });
  story.at('00:05');
  expect(story.sent()).toEqual(['escalate slack:U0ANA', 'escalate slack:#sre', 'escalate slack:#leads']);
});

test('a loss that grows past an amount raises the priority, and whom impact adds, by time alone', () => {
  const story = tell({
    ...dear,
    'business-context.yaml': 'services: { cart: { owner: shop, revenue_per_hour: 8000, currency: USD } }\n',
  });
  story.fire('Slow', { service: 'cart', severity: 'warning' });
  expect(story.only()).toMatchObject({ priority: 3, impact: { totalRevenueImpact: 8000 } });
  expect(story.only().routing).toMatchObject({ escalationTeams: [], autoEscalateMinutes: 15 });
  // 10,000 of 8,000 an hour are lost after an hour and a quarter.
  story.at('01:15');
  expect(story.only()).toMatchObject({ priority: 3, impact: { totalRevenueImpact: 8000.01 } });
  story.at('01:15:01');
  expect(story.only()).toMatchObject({ priority: 2, impact: { totalRevenueImpact: 10000.01 } });
  expect(story.only().routing.escalationTeams).toEqual(['sre', 'engineering-leads']);
});

test('the clock of a growing loss survives a kill', () => {
  const story = tell({
    ...dear,
    'business-context.yaml': 'services: { cart: { owner: shop, revenue_per_hour: 8000, currency: USD } }\n',
  });
  story.fire('Slow', { service: 'cart', severity: 'warning' });
  story.at('00:30');
  story.afterKill();
  story.at('01:16');
  expect(story.only().priority).toBe(2);
});

test('when it is over the loss is what it was, and it keeps the priority that it had', () => {
  const story = tell(dear);
  story.fire('PaymentDown', { service: 'payment' });
  story.fire('HighErrorRate', { service: 'checkout' });
  const before = story.only();
  story.at('00:06');
  story.resolve('PaymentDown', { service: 'payment' });
  story.resolve('HighErrorRate', { service: 'checkout' });
  story.at('01:00');
  const after = story.only();
  expect([before.priority, after.priority, after.status]).toEqual([1, 1, 'resolved']);
  expect(before.impact.totalRevenueImpact).toBe(12000);
  expect(after.impact.totalRevenueImpact).toBe(1200);
});

test('figures that Prometheus gives count, and a budget that burns too fast is ten points more', () => {
  const rates = { '5m': 20, '30m': 20, '1h': 20, '6h': 4, '3d': 1 };
  const business = (more: string) => ({
    ...dear,
    'tocsin.yaml': `${shop['tocsin.yaml']}prometheus: [ { name: main, url: "http://127.0.0.1:9090" } ]\n`,
    'business-context.yaml': `services: { cart: { owner: shop, users: { query: "sum(sessions)" }${more} } }\n`,
  });
  const slo = ', slo: { objective: 99.9, errors: "sum(rate(e[{{window}}]))" }';
  const story = tell(business(slo));
  story.withFacts(() => ({ ...noFacts(), users: { cart: 1001 }, burn: { cart: { rates, budgetLeft: 0.4 } } }));
  story.fire('Slow', { service: 'cart', severity: 'warning' });
  // 20 of the severity, 20 of the users, 10 of the budget.
  expect(story.only()).toMatchObject({ priority: 2, impact: { affectedUsers: 1001, slaBreachRisk: 'high' } });
  const silent = tell(business(''));
  silent.fire('Slow', { service: 'cart', severity: 'warning' });
  expect(silent.only()).toMatchObject({ priority: 4, impact: { affectedUsers: null, slaBreachRisk: 'unknown' } });
});
