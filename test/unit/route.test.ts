import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Policy } from '../../src/decide/policy.ts';
import { type RouteInput, route, routingOf } from '../../src/route/route.ts';
import { targetLabel, targetsOf } from '../../src/route/targets.ts';
import { policyOf, shop } from './policy-fixture.ts';

const policy = policyOf(shop);
const to = (labels: Record<string, string>, more: Partial<RouteInput> = {}, by: Policy = policy) =>
  route({ labels, service: null, ...more }, by);
const labelled = (result: ReturnType<typeof route>) => result.targets.map(targetLabel);
const withRoutes = (routes: unknown, more: object = {}) =>
  policyOf({ ...shop, routing: { ...shop.routing, routes: { ...shop.routing.routes, ...more, routes } } });

describe('the tree', () => {
  test('the first matching child wins and what no child matches stays with its parent', () => {
    expect(labelled(to({ service: 'payment', severity: 'info' }))).toEqual(['log']);
    expect(to({ service: 'payment', severity: 'info' }).path).toEqual([['routes', 'routes[0] severity="info"']]);
    expect(to({ service: 'payment' }).primaryTeam).toBe('payments');
    expect(to({ service: 'payment' }).path).toEqual([['routes', 'routes[1] service=~"pay.*", env!="dev"']]);
    expect(to({ service: 'payment', env: 'dev' }).path).toEqual([['routes']]);
  });

  test('a child inherits team, channels and escalation, and overrides each by itself', () => {
    const nested = withRoutes([
      {
        match: ['a="1"'],
        team: 'payments',
        routes: [
          { match: ['b="1"'], channels: ['email'], routes: [{ match: ['c="1"'], team: 'shop', channels: ['slack'] }] },
        ],
      },
    ]);
    expect(labelled(to({ a: '1' }, {}, nested))).toEqual([
      'slack:#payments-oncall',
      'pagerduty:team/payments',
      'email:payments@example.com',
    ]);
    expect(labelled(to({ a: '1', b: '1' }, {}, nested))).toEqual(['email:payments@example.com']);
    const deep = to({ a: '1', b: '1', c: '1' }, {}, nested);
    expect([deep.primaryTeam, labelled(deep), deep.escalationPolicy]).toEqual(['shop', ['slack:#shop'], 'default']);
    expect(deep.path).toEqual([
      ['routes', 'routes[0] a="1"', 'routes[0].routes[0] b="1"', 'routes[0].routes[0].routes[0] c="1"'],
    ]);
  });

  test('with continue several routes match: targets are united, the first gives team, channels and escalation', () => {
    const several = withRoutes([
      { match: ['severity="critical"'], team: 'shop', channels: ['slack'], continue: true },
      { match: ['service="payment"'], team: 'payments', channels: ['pagerduty', 'slack'], continue: true },
      { match: ['severity="critical"'], team: 'shop', channels: ['slack', 'webhook:siem'] },
      { match: [], channels: ['log'] },
    ]);
    const result = to({ service: 'payment', severity: 'critical' }, {}, several);
    expect(labelled(result)).toEqual([
      'slack:#shop',
      'pagerduty:team/payments',
      'slack:#payments-oncall',
      'webhook:siem',
    ]);
    expect([result.primaryTeam, result.channels]).toEqual(['shop', ['slack']]);
    expect(result.path).toHaveLength(3);
  });

  test('for any tree the nodes found are those that Alertmanager would find', () => {
    type Spec = { on: string; goesOn: boolean; children: Spec[] };
    const { tree } = fc.letrec<{ tree: Spec }>((tie) => ({
      tree: fc.record({
        on: fc.constantFrom('a', 'b', 'c'),
        goesOn: fc.boolean(),
        children: fc.array(tie('tree'), { maxLength: 3, depthIdentifier: 'tree', size: '-1' }),
      }),
    }));
    const yaml = (spec: Spec): object => ({
      match: [`${spec.on}="1"`],
      continue: spec.goesOn,
      routes: spec.children.map(yaml),
    });
    // dispatch/route.go: collect from the children until one that matched does not continue; none matched: the node itself.
    const expected = (children: Spec[], labels: Record<string, string>, prefix: string): string[] => {
      const found: string[] = [];
      for (const [i, child] of children.entries()) {
        if (labels[child.on] !== '1') continue;
        const place = `${prefix}routes[${i}]`;
        const below = expected(child.children, labels, `${place}.`);
        found.push(...(below.length > 0 ? below : [place]));
        if (!child.goesOn) return found;
      }
      return found;
    };
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 4 }), fc.subarray(['a', 'b', 'c']), (children, present) => {
        const labels = Object.fromEntries(present.map((name) => [name, '1']));
        const found = to(labels, {}, withRoutes(children.map(yaml))).path.map((path) => path.at(-1)!.split(' ')[0]);
        const wanted = expected(children, labels, '');
        expect(found).toEqual(wanted.length > 0 ? wanted : ['routes']);
      }),
    );
  });
});

describe('the team', () => {
  test('may be given by the route to what nobody owns there, and then its owner is known', () => {
    const platform = withRoutes([
      { match: ['alertname=~"Kube.*"'], unowned_team: 'shop', routes: [{ match: ['env="dev"'] }] },
    ]);
    const from = (labels: Record<string, string>, service: string) => {
      const { primaryTeam, teamFrom, unknownOwner } = to(
        { alertname: 'KubePodCrashLooping', ...labels },
        { service },
        platform,
      );
      return [primaryTeam, teamFrom, unknownOwner];
    };
    expect(from({}, 'checkout')).toEqual(['payments', 'owner', false]);
    expect(from({}, 'nobodys')).toEqual(['shop', 'unowned', false]);
    expect(from({ env: 'dev' }, 'nobodys')).toEqual(['shop', 'unowned', false]);
    expect(from({ alertname: 'Slow' }, 'nobodys')[2]).toBe(true);
  });

  test('is the route`s own, else the lead`s label, else the owner of the suspected service, else the default', () => {
    const from = (labels: Record<string, string>, service: string | null) => {
      const result = to(labels, { service });
      return [result.primaryTeam, result.teamFrom, result.unknownOwner];
    };
    expect(from({ service: 'payment', team: 'shop' }, 'cart')).toEqual(['payments', 'route', false]);
    expect(from({ service: 'cart', team: 'payments' }, 'cart')).toEqual(['payments', 'label', false]);
    expect(from({ service: 'cart', team: 'strangers' }, 'cart')).toEqual(['shop', 'owner', false]);
    expect(from({ service: 'frontend' }, 'checkout')).toEqual(['payments', 'owner', false]);
    expect(from({ service: 'search' }, 'search')).toEqual(['sre', 'default', true]);
    expect(from({ service: 'frontend' }, 'frontend')).toEqual(['sre', 'default', true]);
    expect(from({}, null)).toEqual(['sre', 'default', true]);
    expect(from({}, 'constructor')).toEqual(['sre', 'default', true]);
  });

  test('that a person assigned wins over the tree, unless nobody knows it', () => {
    expect(to({ service: 'payment' }, { assignedTeam: 'shop' })).toMatchObject({
      primaryTeam: 'shop',
      teamFrom: 'assigned',
    });
    expect(to({ service: 'payment' }, { assignedTeam: 'strangers' }).primaryTeam).toBe('payments');
  });
});

describe('addresses', () => {
  test('a fresh install sends everything to the log', () => {
    const fresh = policyOf({});
    expect(route({ labels: { severity: 'critical' }, service: 'x' }, fresh)).toMatchObject({
      primaryTeam: 'default',
      targets: [{ channel: 'log', address: 'log' }],
      escalationPolicy: null,
      autoEscalateMinutes: null,
      unusable: [],
    });
  });

  test('each mail address is a target of its own', () => {
    expect(labelled(to({}, { assignedTeam: 'board' }))).toEqual(['email:ceo@example.com', 'email:cfo@example.com']);
  });

  test('what is off falls to the route`s next channel, at last to the log, and says why', () => {
    const set = (...names: string[]) => policyOf({ ...shop, set: names });
    const noSlack = to({ service: 'payment' }, {}, set('SMTP_URL', 'PD_PAYMENTS_KEY'));
    expect(labelled(noSlack)).toEqual(['pagerduty:team/payments', 'email:payments@example.com']);
    expect(noSlack.unusable).toEqual([
      { target: 'slack:#payments-oncall', reason: 'Slack is off: its token, variable SLACK_BOT_TOKEN, is not set' },
    ]);
    const nothing = to({ service: 'payment' }, {}, set());
    expect(labelled(nothing)).toEqual(['log']);
    expect(nothing.unusable.map((u) => u.target)).toEqual([
      'slack:#payments-oncall',
      'pagerduty:team/payments',
      'email:payments@example.com',
    ]);
    expect(JSON.stringify(to({ service: 'payment' }))).not.toContain('value of');
  });

  test('without its signing secret Slack still delivers', () => {
    expect(
      labelled(to({ service: 'cart' }, { service: 'cart' }, policyOf({ ...shop, set: ['SLACK_BOT_TOKEN'] }))),
    ).toEqual(['slack:#shop']);
  });

  test('a rehearsal takes every secret as set, so that it says the same on every machine', () => {
    const rehearsal = policyOf({ ...shop, set: [] }, { assumeSecrets: true });
    expect(labelled(to({ service: 'payment' }, {}, rehearsal))).toEqual(labelled(to({ service: 'payment' })));
  });

  test('a team that has no address on any of the route`s channels is told through the log', () => {
    const pagerOnly = withRoutes([], { channels: ['pagerduty'] });
    expect(labelled(to({}, { assignedTeam: 'shop' }, pagerOnly))).toEqual(['log']);
  });

  test('a webhook is named by the route or by the team', () => {
    const hooks = policyOf({
      ...shop,
      routing: {
        ...shop.routing,
        teams: { sre: { webhook: ['siem', 'lost'] } },
        routes: { default_team: 'sre', channels: ['webhook', 'log'] },
      },
    });
    const result = to({}, {}, hooks);
    expect(labelled(result)).toEqual(['webhook:siem', 'log']);
    expect(result.unusable[0]!.reason).toMatch(/Webhook lost is not configured/);
    expect(labelled(to({}, {}, withRoutes([], { channels: ['webhook:lost'] })))).toEqual(['log']);
  });

  test('a failing target is followed by the route`s targets in order, at last the log', () => {
    expect(to({ service: 'payment' }).fallback.map(targetLabel)).toEqual([
      'slack:#payments-oncall',
      'pagerduty:team/payments',
      'email:payments@example.com',
      'log',
    ]);
    expect(to({ severity: 'info' }).fallback.map(targetLabel)).toEqual(['log']);
  });

  test('a person is reached on the route`s channels, else on any channel that works', () => {
    const reach = (person: string, channels: string[]) =>
      targetsOf({ person }, channels, policy.routing.addresses).targets.map(targetLabel);
    expect(reach('ana', ['slack', 'pagerduty'])).toEqual(['slack:U0ANA']);
    expect(reach('bo', ['slack'])).toEqual(['email:bo@example.com']);
    expect(reach('ana', ['log'])).toEqual(['slack:U0ANA', 'email:ana@example.com', 'log']);
    expect(reach('stranger', ['slack'])).toEqual([]);
  });
});

describe('escalation', () => {
  test('shows the later teams and the wait for the second step', () => {
    expect(routingOf(to({ service: 'payment' }))).toEqual({
      primaryTeam: 'payments',
      escalationTeams: ['sre'],
      channels: ['slack:#payments-oncall', 'pagerduty:team/payments', 'email:payments@example.com'],
      autoEscalateMinutes: 5,
    });
    expect(routingOf(to({})).escalationTeams).toEqual([]);
  });

  test('a policy that no longer exists is none', () => {
    const gone = withRoutes([], { escalation: 'constructor' });
    expect(to({}, {}, gone)).toMatchObject({ escalationPolicy: null, autoEscalateMinutes: null });
  });
});
