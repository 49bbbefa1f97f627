import { describe, expect, test } from 'vitest';
import { type Impact, unknownImpact } from '../../src/domain/incident.ts';
import { byImpact, compileByImpact, type Weighed } from '../../src/route/by-impact.ts';
import { route, routingOf } from '../../src/route/route.ts';
import { configOf, policyOf, shop } from './policy-fixture.ts';

const nothing = unknownImpact();
const weighed = ({ severity = 'low', priority = 5, ...impact }: Partial<Weighed> & Partial<Impact> = {}): Weighed => ({
  severity,
  priority,
  impact: { ...nothing, ...impact },
});

/** Everybody whom the defaults name. */
const everybody = {
  teams: { sre: {}, 'engineering-leads': {}, compliance: {}, 'customer-success': {} },
  schedules: {
    secondary: { rotation: 'weekly', members: ['ana'] },
    'on-call-manager': { rotation: 'weekly', members: ['ana'] },
  },
  people: { ana: { slack: 'U0ANA' } },
};
const compiled = (routing: object = {}) => compileByImpact(configOf({ routing: { ...everybody, ...routing } }).routing);
const defaults = compiled();
const minute = 60_000;
const leads = ['team:sre', 'team:engineering-leads', 'schedule:on-call-manager'];

describe('by default', () => {
  test('a critical one adds sre, the leads and the on-call manager, and waits 5 minutes', () => {
    expect(byImpact(weighed({ severity: 'critical' }), defaults)).toEqual({ add: leads, wait: 5 * minute });
  });

  test.each([
    [10_000, [], 15],
    [10_000.01, leads, 5],
    [1e9, leads, 5],
    [null, [], 15],
  ])('an impact of %s adds %j and waits %s minutes', (totalRevenueImpact, add, minutes) => {
    expect(byImpact(weighed({ totalRevenueImpact }), defaults)).toEqual({ add, wait: minutes * minute });
  });

  test('a high one adds sre and the secondary and waits 10 minutes; dear as well, it is urgent like a critical one', () => {
    const high = { severity: 'high' } as const;
    expect(byImpact(weighed(high), defaults)).toEqual({ add: ['team:sre', 'schedule:secondary'], wait: 10 * minute });
    expect(byImpact(weighed({ ...high, totalRevenueImpact: 10_000.01 }), defaults)).toEqual({
      add: leads,
      wait: 5 * minute,
    });
  });

  test.each(['medium', 'low', 'info'] as const)('a %s one adds nobody and waits 15 minutes', (severity) => {
    expect(byImpact(weighed({ severity }), defaults)).toEqual({ add: [], wait: 15 * minute });
  });

  test('a regulated service adds compliance, any customer impact customer-success, beside the others', () => {
    expect(byImpact(weighed({ regulatoryRisk: true }), defaults).add).toEqual(['team:compliance']);
    const added = (customerImpact: Impact['customerImpact']) => byImpact(weighed({ customerImpact }), defaults).add;
    expect([added(null), added('none'), added('low'), added('medium'), added('high')]).toEqual([
      [],
      [],
      ['team:customer-success'],
      ['team:customer-success'],
      ['team:customer-success'],
    ]);
    const all = weighed({ severity: 'critical', regulatoryRisk: true, customerImpact: 'high' });
    expect(byImpact(all, defaults).add).toEqual([...leads, 'team:compliance', 'team:customer-success']);
  });
});

describe('rules of one`s own', () => {
  const holds = (when: object, given: Parameters<typeof weighed>[0]) =>
    byImpact(weighed(given), compiled({ by_impact: { urgency: [{ when: [when], add: ['sre'] }], also: [] } })).add
      .length > 0;

  test('ask for everything that one entry of `when` names', () => {
    const both = { severity: 'high', regulatory: true };
    expect(holds(both, { severity: 'high', regulatoryRisk: true })).toBe(true);
    expect(holds(both, { severity: 'high' })).toBe(false);
    expect(holds(both, { severity: 'critical', regulatoryRisk: true })).toBe(false);
  });

  test('ask for this much or more of a level, for more than a figure, and nothing unknown fulfils them', () => {
    expect([1, 2, 3].map((priority) => holds({ priority: 2 }, { priority }))).toEqual([true, true, false]);
    expect([null, 5, 6].map((affectedUsers) => holds({ users_over: 5 }, { affectedUsers }))).toEqual([
      false,
      false,
      true,
    ]);
    const risks = ['unknown', 'low', 'medium', 'high'] as const;
    expect(risks.map((slaBreachRisk) => holds({ sla_breach_risk: 'medium' }, { slaBreachRisk }))).toEqual([
      false,
      false,
      true,
      true,
    ]);
    const levels = [null, 'none', 'low', 'medium', 'high'] as const;
    expect(levels.map((customerImpact) => holds({ customer_impact: 'high' }, { customerImpact }))).toEqual([
      false,
      false,
      false,
      false,
      true,
    ]);
    expect(holds({ regulatory: false }, {})).toBe(true);
  });

  test('of `urgency` the first that holds counts, of `also` each; of several waits the shortest', () => {
    const own = compiled({
      by_impact: {
        urgency: [
          { when: [{ severity: 'high' }], add: ['sre'], escalate_after: '20m' },
          { add: ['compliance'], escalate_after: '2m' },
        ],
        also: [
          { when: [{ regulatory: true }], add: ['sre', 'ana'], escalate_after: '7m' },
          { add: ['customer-success'] },
        ],
      },
    });
    expect(byImpact(weighed({ severity: 'high', regulatoryRisk: true }), own)).toEqual({
      add: ['team:sre', 'person:ana', 'team:customer-success'],
      wait: 7 * minute,
    });
    const none = compiled({ by_impact: { urgency: [], also: [] } });
    expect(byImpact(weighed({ severity: 'critical' }), none)).toEqual({ add: [], wait: null });
  });

  test('a name is a team, else a schedule, else a person, unless it says which; one that is nobody`s is passed over', () => {
    const own = compiled({
      schedules: { ...everybody.schedules, sre: everybody.schedules.secondary },
      by_impact: {
        urgency: [{ add: ['sre', 'schedule:sre', 'secondary', 'ana', 'team:ana', 'nobody', 'constructor'] }],
        also: [],
      },
    });
    expect(byImpact(weighed(), own).add).toEqual(['team:sre', 'schedule:sre', 'schedule:secondary', 'person:ana']);
  });
});

describe('on a route', () => {
  const of = (given: Parameters<typeof weighed>[0], routing: object = {}, labels = { service: 'payment' }) =>
    routingOf(
      route(
        { labels, service: null, weighed: weighed(given) },
        policyOf({ ...shop, routing: { ...shop.routing, ...routing } }),
      ),
    );
  const slow = {
    escalation_policies: {
      default: {
        steps: [
          { after: '0s', notify: ['team'] },
          { after: '1h', notify: ['team:shop'] },
        ],
      },
    },
  };

  test('the second step comes sooner, never later, and only those who exist are added', () => {
    const seen = ({ escalationTeams, autoEscalateMinutes }: ReturnType<typeof of>) => [
      escalationTeams,
      autoEscalateMinutes,
    ];
    expect(seen(of({ severity: 'critical' }))).toEqual([['sre'], 5]);
    expect(seen(of({ severity: 'critical' }, slow))).toEqual([['shop', 'sre'], 5]);
    expect(seen(of({ severity: 'high' }, slow))).toEqual([['shop', 'sre'], 10]);
    expect(seen(of({ severity: 'low' }, slow))).toEqual([['shop'], 15]);
    expect(seen(of({ severity: 'low' }))).toEqual([['sre'], 5]);
    expect(seen(of({ severity: 'low' }, { ...slow, by_impact: { urgency: [] } }))).toEqual([['shop'], 60]);
  });

  test('the incident`s own team is not added to itself, and a schedule is shown as one', () => {
    const own = { schedules: { ...shop.routing.schedules, secondary: shop.routing.schedules.primary } };
    expect(of({ severity: 'high' }, { ...slow, ...own }, { service: 'stranger' }).escalationTeams).toEqual([
      'shop',
      'schedule:secondary',
    ]);
  });

  test('without a step after the first message nobody is promised', () => {
    const once = { escalation_policies: { default: { steps: [{ after: '0s', notify: ['team'] }] } } };
    expect(of({ severity: 'critical' }, once)).toMatchObject({ escalationTeams: [], autoEscalateMinutes: null });
    const rounds = { escalation_policies: { default: { ...once.escalation_policies.default, repeat: 1 } } };
    expect(of({ severity: 'critical' }, rounds)).toMatchObject({ escalationTeams: ['sre'], autoEscalateMinutes: null });
    const routes = { ...shop.routing.routes, escalation: undefined };
    expect(of({ severity: 'critical' }, { routes })).toMatchObject({ escalationTeams: [], autoEscalateMinutes: null });
  });

  test('whom it concerns is told on the first message as before', () => {
    expect(of({ severity: 'critical', regulatoryRisk: true }).channels).toEqual(of({}).channels);
  });
});
