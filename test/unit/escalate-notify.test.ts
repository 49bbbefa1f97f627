import { describe, expect, test } from 'vitest';
import {
  BusinessFile,
  type Config,
  PatternsFile,
  RoutingFile,
  SuppressionFile,
  TocsinFile,
} from '../../src/config/schema.ts';
import { resolveNotify } from '../../src/escalate/resolve-notify.ts';
import { addressBook } from '../../src/route/targets.ts';

const NOON = Date.parse('2026-11-20T12:00:00Z');

const routing = {
  teams: {
    sre: { slack: '#sre', email: ['sre@example.com'] },
    payments: { slack: '#payments', pagerduty: { env: 'PD_PAYMENTS' } },
    legal: { email: ['legal@example.com'] },
  },
  people: {
    ana: { slack: 'U0ANA', email: 'ana@example.com', pagerduty: { env: 'PD_ANA' } },
    ben: {},
  },
  schedules: {
    primary: { rotation: 'weekly', members: ['ana'] },
    future: { rotation: 'weekly', members: ['ana'], start: '2030-01-01' },
    bens: { rotation: 'daily', members: ['ben'] },
  },
};
const everything = {
  slack: { token: { env: 'SLACK' } },
  pagerduty: {},
  email: { smtp_url: 'smtp://127.0.0.1:25', from: 'tocsin@example.com' },
};

function resolve(
  notify: string[],
  given: { channels?: object; on?: string[]; extra?: string[]; unset?: string[] } = {},
) {
  const names = ['SLACK', 'PD_PAYMENTS', 'PD_ANA'].filter((name) => !given.unset?.includes(name));
  const config: Config = {
    dir: '',
    hash: '',
    provenance: {},
    tocsin: TocsinFile.parse({ channels: given.channels ?? everything }),
    business: BusinessFile.parse({}),
    routing: RoutingFile.parse(routing),
    suppression: SuppressionFile.parse({}),
    patterns: PatternsFile.parse({}),
    secrets: Object.fromEntries(names.map((env) => [JSON.stringify({ env }), 'secret'])),
    warnings: [],
  };
  const { targets, ...rest } = resolveNotify(notify, {
    team: 'payments',
    routeChannels: given.on ?? ['slack', 'pagerduty', 'email'],
    addresses: addressBook(config, false),
    schedules: config.routing.schedules,
    now: NOON,
    extra: given.extra ?? [],
  });
  return { ...rest, targets: targets.map((t) => `${t.channel}:${t.address}`) };
}

describe('the words of a step', () => {
  test('team is the incident’s own team on the route’s channels', () => {
    expect(resolve(['team'])).toEqual({
      targets: ['slack:#payments', 'pagerduty:team/payments'],
      people: [],
      said: [],
      reached: true,
    });
    expect(resolve(['team'], { on: ['pagerduty'] }).targets).toEqual(['pagerduty:team/payments']);
  });

  test('a schedule is whoever is on call now', () => {
    expect(resolve(['schedule:primary'])).toEqual({
      targets: ['slack:U0ANA', 'pagerduty:person/ana', 'email:ana@example.com'],
      people: ['ana'],
      said: [],
      reached: true,
    });
  });

  test('several of them add up, each address once', () => {
    const both = resolve(['team:sre', 'person:ana', 'schedule:primary'], { on: ['slack'] });
    expect(both.targets).toEqual(['slack:#sre', 'slack:U0ANA']);
    expect(both.people).toEqual(['ana']);
  });

  test('teams that impact adds are told as well', () => {
    expect(resolve(['person:ana'], { on: ['email'], extra: ['team:legal'] }).targets).toEqual([
      'email:ana@example.com',
      'email:legal@example.com',
    ]);
  });
});

describe('who cannot be reached', () => {
  test('nobody on call: no address, and it is said', () => {
    expect(resolve(['schedule:future'])).toEqual({
      targets: [],
      people: [],
      said: ['Nobody is on call in schedule future.'],
      reached: false,
    });
  });

  test('a schedule that an edit removed: said, with what to do', () => {
    expect(resolve(['schedule:gone']).said).toEqual([
      'There is no schedule gone: add it to schedules in routing.yaml.',
    ]);
  });

  test('a person without an address: said', () => {
    const nobody = resolve(['schedule:bens']);
    expect(nobody).toMatchObject({ targets: [], people: ['ben'], reached: false });
    expect(nobody.said).toEqual(['Nothing reaches ben: people in routing.yaml has no address for them.']);
  });

  test('a channel that is off: said, with the variable to set', () => {
    const off = resolve(['team'], { on: ['slack'], unset: ['SLACK'] });
    expect(off.reached).toBe(false);
    expect(off.said).toEqual(['Nothing reaches team payments: Slack is off: its token, variable SLACK, is not set.']);
  });

  test('a person is tried on other channels before giving up', () => {
    expect(resolve(['person:ana'], { on: ['slack'], unset: ['SLACK'] }).targets).toEqual([
      'pagerduty:person/ana',
      'email:ana@example.com',
    ]);
  });

  test('one of two reached is reached, and the other one said', () => {
    const half = resolve(['schedule:future', 'team']);
    expect(half.reached).toBe(true);
    expect(half.said).toHaveLength(1);
  });

  test('teams added by impact do not hide that the step itself reached nobody', () => {
    const added = resolve(['schedule:future'], { extra: ['team:legal'] });
    expect(added.reached).toBe(false);
    expect(added.targets).toEqual(['email:legal@example.com']);
  });
});

describe('the log', () => {
  test('stands in for everybody while nothing is configured', () => {
    expect(resolve(['schedule:primary'], { channels: {} })).toEqual({
      targets: ['log:log'],
      people: ['ana'],
      said: [],
      reached: true,
    });
  });

  test('is all that a route which only logs uses, also for people', () => {
    expect(resolve(['schedule:primary', 'team'], { on: ['log'] }).targets).toEqual(['log:log']);
  });

  test('beside other channels does not count as having reached a person', () => {
    const logged = resolve(['person:ben'], { on: ['slack', 'log'] });
    expect(logged.targets).toEqual(['log:log']);
    expect(logged.reached).toBe(false);
  });
});
