import { describe, expect, test } from 'vitest';
import { runOncall } from '../../src/cli/oncall.ts';
import { RoutingFile } from '../../src/config/schema.ts';
import { whoIsOnCall } from '../../src/escalate/on-call.ts';

const AT = Date.parse('2026-11-20T12:00:00Z');
const config = {
  routing: RoutingFile.parse({
    teams: { sre: {}, payments: {}, data: {} },
    people: { ana: {}, ben: {} },
    routes: {
      default_team: 'sre',
      escalation: 'default',
      routes: [
        { match: ['service=~"pay.*"'], team: 'payments', escalation: 'money' },
        { match: ['service="etl"'], team: 'data', escalation: 'none-such' },
      ],
    },
    escalation_policies: {
      default: {
        steps: [
          { after: '0s', notify: ['team'] },
          { after: '5m', notify: ['schedule:primary'] },
        ],
      },
      money: { steps: [{ after: '1m', notify: ['schedule:cash', 'schedule:gone'] }] },
    },
    schedules: {
      primary: {
        time_zone: 'Europe/Berlin',
        rotation: 'weekly',
        members: ['ana', 'ben'],
        start: '2026-11-02',
        overrides: [{ from: '2026-11-20T08:00:00+01:00', until: '2026-11-20T20:00:00+01:00', person: 'cai' }],
      },
      cash: { rotation: 'daily', handover: '06:00', members: ['ben'], start: '2030-01-01' },
    },
  }),
};

describe('who is on call', () => {
  test('is told per schedule, now and next, in RFC 3339', () => {
    expect(whoIsOnCall(config, AT).schedules).toEqual([
      {
        name: 'primary',
        timeZone: 'Europe/Berlin',
        now: { person: 'cai', since: '2026-11-20T07:00:00.000Z', until: '2026-11-20T19:00:00.000Z', override: true },
        next: { person: 'ana', since: '2026-11-20T19:00:00.000Z', until: '2026-11-23T08:00:00.000Z', override: false },
      },
      {
        name: 'cash',
        timeZone: 'UTC',
        now: null,
        next: { person: 'ben', since: '2030-01-01T06:00:00.000Z', until: '2030-01-02T06:00:00.000Z', override: false },
      },
    ]);
  });

  test('is told per team: the schedules of the policies its alerts may follow', () => {
    const until = '2026-11-20T19:00:00.000Z';
    const primary = {
      now: { schedule: 'primary', person: 'cai', until },
      next: { schedule: 'primary', person: 'ana', since: until },
    };
    const begins = '2030-01-01T06:00:00.000Z';
    expect(whoIsOnCall(config, AT).teams).toEqual([
      { name: 'sre', now: [primary.now], next: [primary.next] },
      {
        name: 'payments',
        now: [primary.now, { schedule: 'cash', person: null, until: begins }],
        next: [primary.next, { schedule: 'cash', person: 'ben', since: begins }],
      },
      { name: 'data', now: [primary.now], next: [primary.next] },
    ]);
  });
});

describe('tocsin oncall', () => {
  const run = (json: boolean, given = config): string => {
    let text = '';
    expect(runOncall({ config: given, at: AT, json, out: (more) => (text += more) })).toBe(0);
    return text;
  };

  test('prints the times of each schedule’s own zone', () => {
    expect(run(false)).toBe(
      [
        'primary (Europe/Berlin)',
        '  now   cai, Fri 2026-11-20 08:00 to Fri 2026-11-20 20:00 (override)',
        '  next  ana, Fri 2026-11-20 20:00 to Mon 2026-11-23 09:00',
        'cash (UTC)',
        '  now   nobody',
        '  next  ben, Tue 2030-01-01 06:00 to Wed 2030-01-02 06:00',
        'teams',
        '  sre: cai, then ana (primary)',
        '  payments: cai, then ana (primary), nobody, then ben (cash)',
        '  data: cai, then ana (primary)',
        '',
      ].join('\n'),
    );
  });

  test('with --json prints what the API answers', () => {
    expect(JSON.parse(run(true))).toEqual(whoIsOnCall(config, AT));
  });

  test('says where to add schedules when there are none', () => {
    expect(run(false, { routing: RoutingFile.parse({}) })).toBe(
      'No schedules; add some to schedules in routing.yaml.\n',
    );
  });
});
