import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BusinessFile } from '../../src/config/schema.ts';
import { severities } from '../../src/domain/severity.ts';
import { actionability, type PriorityInput, priorityOf, tierOf } from '../../src/score/priority.ts';

const calm = { customerImpact: null, regulatoryRisk: false, slaBreachRisk: 'unknown', cascadeRisk: 'unknown' } as const;
const one = { services: 1, alerts: 1 };
const of = (more: Partial<PriorityInput>) =>
  priorityOf({ severity: 'high', tier: 3, size: one, impact: calm, ...more });

test.each([
  ['critical', [1, 1, 2, 2, 3, 1]],
  ['high', [2, 2, 3, 3, 4, 2]],
  ['medium', [3, 3, 4, 4, 4, 3]],
  ['low', [4, 4, 4, 5, 5, 4]],
  ['info', [5, 5, 5, 5, 5, 5]],
] as const)('%s on tiers 1 to 5 and on an undeclared one', (severity, priorities) => {
  expect([1, 2, 3, 4, 5, null].map((tier) => of({ severity, tier }).priority)).toEqual(priorities);
});

test('a wide incident rises one step, a high impact another, and each is said', () => {
  expect(of({ size: { services: 5, alerts: 5 } }).priority).toBe(2);
  expect(of({ size: { services: 1, alerts: 50 } }).priority).toBe(2);
  expect(of({ size: { services: 4, alerts: 49 } }).priority).toBe(3);
  const both = of({
    size: { services: 5, alerts: 9 },
    impact: { ...calm, regulatoryRisk: true, customerImpact: 'high' },
  });
  expect(both.priority).toBe(1);
  expect(both.reasons.map((reason) => reason.text)).toEqual([
    'Severity high on a tier 3 service is P3',
    '9 alerts on 5 services: up to P2',
    'High impact (customers, regulation): up to P1',
  ]);
});

test('each kind of high impact counts, and together no more than one', () => {
  expect(of({ impact: { ...calm, slaBreachRisk: 'high' } }).priority).toBe(2);
  expect(of({ impact: { ...calm, cascadeRisk: 'high' } }).priority).toBe(2);
  expect(
    of({ impact: { customerImpact: 'high', regulatoryRisk: true, slaBreachRisk: 'high', cascadeRisk: 'high' } })
      .priority,
  ).toBe(2);
  expect(
    of({ impact: { customerImpact: 'medium', regulatoryRisk: false, slaBreachRisk: 'medium', cascadeRisk: 'low' } })
      .priority,
  ).toBe(3);
});

test('info stays P5 whatever happens, and nothing is more urgent than P1', () => {
  const worst = { size: { services: 99, alerts: 9999 }, impact: { ...calm, regulatoryRisk: true } };
  expect(of({ severity: 'info', tier: 1, ...worst }).priority).toBe(5);
  expect(of({ severity: 'critical', tier: 1, ...worst }).priority).toBe(1);
});

test('a worse severity or a more important tier never lowers the priority', () => {
  const tier = fc.integer({ min: 1, max: 4 });
  const rank = fc.integer({ min: 0, max: 3 });
  fc.assert(
    fc.property(tier, rank, fc.nat(9), fc.boolean(), (t, r, services, regulatoryRisk) => {
      const more = { size: { services, alerts: services }, impact: { ...calm, regulatoryRisk } };
      const here = of({ severity: severities[r]!, tier: t, ...more }).priority;
      expect(of({ severity: severities[r + 1]!, tier: t, ...more }).priority).toBeGreaterThanOrEqual(here);
      expect(of({ severity: severities[r]!, tier: t + 1, ...more }).priority).toBeGreaterThanOrEqual(here);
    }),
  );
});

test('the tier of an incident is the most important one declared', () => {
  const catalogue = new Map(
    Object.entries(BusinessFile.parse({ services: { a: { tier: 3 }, b: { tier: 2 }, c: {} } }).services),
  );
  expect(tierOf(['a', 'b', 'c', 'x'], catalogue)).toBe(2);
  expect(tierOf(['c', 'x'], catalogue)).toBeNull();
});

test('actionability is a weighted mean whose parts are shown, and what nobody declared counts neither way', () => {
  const full = {
    severity: 'critical',
    customerImpact: 'high',
    suspect: 1,
    hasAction: true,
    unknownOwner: false,
  } as const;
  expect(actionability(full).value).toBe(1);
  expect(actionability({ ...full, customerImpact: null }).value).toBe(1);
  expect(actionability({ ...full, customerImpact: null }).parts.map((part) => part.name)).toEqual([
    'severity',
    'cause',
    'action',
    'owner',
  ]);
  expect(
    actionability({ severity: 'info', customerImpact: 'none', suspect: null, hasAction: false, unknownOwner: true })
      .value,
  ).toBe(0.02);
  expect(actionability({ ...full, suspect: 0.5 }).value).toBe(0.9);
});
