import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RoutingFile } from '../../src/config/schema.ts';
import { next, onCall, type ScheduleConfig, shifts } from '../../src/escalate/schedule.ts';

const schedule = (given: object): ScheduleConfig =>
  RoutingFile.parse({ schedules: { s: { members: ['ana', 'ben', 'cai'], ...given } } }).schedules.s!;

const at = (time: string): number => Date.parse(time);
const iso = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z');
const MINUTE = 60_000;
const DAY = 86_400_000;

describe('a rotation', () => {
  const weekly = schedule({
    time_zone: 'Europe/Berlin',
    rotation: 'weekly',
    handover: 'Mon 09:00',
    start: '2026-11-05',
  });

  test('begins with the first member at the first handover on or after its start', () => {
    expect(onCall(weekly, at('2026-11-09T08:00:00Z'))).toEqual({
      person: 'ana',
      since: at('2026-11-09T08:00:00Z'),
      until: at('2026-11-16T08:00:00Z'),
      override: false,
    });
    expect(onCall(weekly, at('2026-11-16T08:00:00Z'))?.person).toBe('ben');
    expect(onCall(weekly, at('2026-11-30T07:59:59.999Z'))?.person).toBe('cai');
    expect(onCall(weekly, at('2026-11-30T08:00:00Z'))?.person).toBe('ana');
  });

  test('has nobody before that, and says who is first', () => {
    expect(onCall(weekly, at('2026-11-09T07:59:59Z'))).toBeNull();
    expect(next(weekly, at('2026-01-01T00:00:00Z'))).toMatchObject({
      person: 'ana',
      since: at('2026-11-09T08:00:00Z'),
    });
  });

  test('that is daily ignores a weekday in its handover', () => {
    const daily = schedule({ rotation: 'daily', handover: 'Mon 06:30', start: '2026-11-01' });
    expect(onCall(daily, at('2026-11-03T06:30:00Z'))).toMatchObject({
      person: 'cai',
      until: at('2026-11-04T06:30:00Z'),
    });
  });

  test('that is weekly hands over on Monday when no weekday is said', () => {
    const plain = schedule({ rotation: 'weekly', handover: '10:00', start: '2026-11-01' });
    expect(iso(next(plain, 0)!.since)).toBe('2026-11-02T10:00:00Z');
  });

  test('starts on 2024-01-01 by default, a Monday', () => {
    expect(iso(next(schedule({ rotation: 'weekly' }), 0)!.since)).toBe('2024-01-01T09:00:00Z');
  });

  test('with a single member hands over to the same person', () => {
    const alone = schedule({ rotation: 'weekly', members: ['ana'], start: '2026-01-05' });
    expect(onCall(alone, at('2026-11-20T12:00:00Z'))?.person).toBe('ana');
    expect(next(alone, at('2026-11-20T12:00:00Z'))).toMatchObject({ person: 'ana', since: at('2026-11-23T09:00:00Z') });
  });

  test('answers for the year 2500 as for tomorrow', () => {
    const far = at('2500-06-01T12:00:00Z');
    const shift = onCall(weekly, far)!;
    expect(shift.since <= far && far < shift.until).toBe(true);
    expect(shift.until - shift.since).toBe(7 * DAY);
  });
});

describe('across daylight saving', () => {
  test('a handover in the hour that is skipped happens when the clock jumps', () => {
    const night = schedule({ time_zone: 'Europe/Berlin', rotation: 'daily', handover: '02:30', start: '2026-03-01' });
    expect(iso(onCall(night, at('2026-03-29T12:00:00Z'))!.since)).toBe('2026-03-29T01:00:00Z');
    expect(iso(onCall(night, at('2026-03-29T12:00:00Z'))!.until)).toBe('2026-03-30T00:30:00Z');
  });

  test('a handover in the hour that comes twice happens the first time', () => {
    const night = schedule({ time_zone: 'Europe/Berlin', rotation: 'daily', handover: '02:30', start: '2026-03-01' });
    expect(iso(onCall(night, at('2026-10-25T12:00:00Z'))!.since)).toBe('2026-10-25T00:30:00Z');
    expect(iso(onCall(night, at('2026-10-25T12:00:00Z'))!.until)).toBe('2026-10-26T01:30:00Z');
  });

  test('09:00 stays 09:00 on the wall', () => {
    const morning = schedule({ time_zone: 'America/New_York', rotation: 'weekly', start: '2026-01-05' });
    expect(iso(onCall(morning, at('2026-03-04T12:00:00Z'))!.until)).toBe('2026-03-09T13:00:00Z');
    expect(iso(onCall(morning, at('2026-03-04T12:00:00Z'))!.since)).toBe('2026-03-02T14:00:00Z');
  });

  // The oracle reads the wall clock from Intl and counts the handovers it has shown: every quarter of an hour in the three
  // days around each change of the clocks, every twelve hours in between.
  const zones = [
    { zone: 'Europe/Berlin', from: '2024-01-01', years: 4 },
    { zone: 'America/New_York', from: '2024-01-01', years: 4 },
    { zone: 'Australia/Lord_Howe', from: '2024-01-01', years: 4 },
    { zone: 'Pacific/Apia', from: '2010-01-01', years: 4 },
  ];
  const plans = [
    { rotation: 'daily', handover: '02:15' },
    { rotation: 'daily', handover: '00:00' },
    { rotation: 'weekly', handover: 'Sun 02:30' },
    { rotation: 'weekly', handover: 'Fri 09:00' },
  ] as const;
  const cases = zones.flatMap((zone) => plans.map((plan) => ({ ...zone, ...plan })));

  test.each(cases)(
    '$zone, $rotation at $handover: right for $years years',
    (c) => {
      const rota = schedule({ time_zone: c.zone, rotation: c.rotation, handover: c.handover, start: c.from });
      const walls = wallClock(c.zone);
      const handovers = handoversOf(c.rotation, c.handover, c.from, c.years);
      const begin = at(`${c.from}T00:00:00Z`) - DAY;
      let latest = Number.NEGATIVE_INFINITY;
      let turn = -1;
      let since: number | null = null;
      let before = begin;
      let changes = 0;
      const wrong: string[] = [];
      for (const t of moments(walls, begin, begin + c.years * 365 * DAY)) {
        latest = Math.max(latest, walls(t));
        while (handovers[turn + 1]! <= latest) {
          turn += 1;
          // Only where the steps are small is the very moment known.
          since = t - before <= 15 * MINUTE ? t : null;
          if (since !== null) changes += 1;
        }
        before = t;
        const shift = onCall(rota, t);
        const person = turn < 0 ? undefined : rota.members[turn % 3];
        const right =
          shift?.person === person && (!shift || (t < shift.until && (since ?? shift.since) === shift.since));
        if (!right && wrong.length < 3)
          wrong.push(`${iso(t)}: ${JSON.stringify(shift)}, wanted ${person} since ${since}`);
      }
      expect(wrong).toEqual([]);
      expect(turn).toBeGreaterThan(200);
      expect(changes).toBeGreaterThan(3);
    },
    60_000,
  );

  test('a day that a zone leaves out gives its member no turn of negative length', () => {
    const rota = schedule({ time_zone: 'Pacific/Apia', rotation: 'daily', handover: '00:00', start: '2011-12-01' });
    const around = shifts(rota, at('2011-12-29T00:00:00Z'), at('2012-01-01T00:00:00Z'));
    for (const shift of around) expect(shift.until).toBeGreaterThan(shift.since);
    expect(around.map((s) => iso(s.since))).toContain('2011-12-30T10:00:00Z');
  });
});

describe('overrides', () => {
  const overrides = [
    { from: '2026-11-18T12:00:00+01:00', until: '2026-11-19T12:00:00+01:00', person: 'dee' },
    { from: '2026-11-19T08:00:00+01:00', until: '2026-11-19T10:00:00+01:00', person: 'eva' },
  ];
  const rota = schedule({ time_zone: 'Europe/Berlin', rotation: 'weekly', start: '2026-11-02', overrides });

  test('win over the rotation, and the later one in the file over the earlier one', () => {
    const week = shifts(rota, at('2026-11-16T08:00:00Z'), at('2026-11-23T08:00:00Z'));
    expect(week.map((s) => [s.person, iso(s.since), s.override])).toEqual([
      ['cai', '2026-11-16T08:00:00Z', false],
      ['dee', '2026-11-18T11:00:00Z', true],
      ['eva', '2026-11-19T07:00:00Z', true],
      ['dee', '2026-11-19T09:00:00Z', true],
      ['cai', '2026-11-19T11:00:00Z', false],
    ]);
  });

  test('cover a time before the rotation starts', () => {
    const early = schedule({
      rotation: 'daily',
      handover: '09:00',
      start: '2027-01-01',
      overrides: [{ from: '2026-11-20T00:00:00Z', until: '2026-11-21T00:00:00Z', person: 'dee' }],
    });
    expect(onCall(early, at('2026-11-20T12:00:00Z'))?.person).toBe('dee');
    expect(onCall(early, at('2026-11-21T00:00:00Z'))).toBeNull();
    expect(next(early, at('2026-11-20T12:00:00Z'))).toMatchObject({ person: 'ana', since: at('2027-01-01T09:00:00Z') });
  });

  test('that end before they begin are nothing', () => {
    const odd = schedule({
      rotation: 'daily',
      overrides: [{ from: '2026-11-21T00:00:00Z', until: '2026-11-20T00:00:00Z', person: 'dee' }],
    });
    expect(onCall(odd, at('2026-11-20T12:00:00Z'))?.override).toBe(false);
  });

  test('any set of them: the shifts tile the time and agree with the rule at every hour', () => {
    const from = at('2026-10-20T00:00:00Z');
    const hours = 24 * 14;
    const override = fc.record({
      start: fc.integer({ min: -20, max: hours }),
      length: fc.integer({ min: 1, max: 60 }),
      person: fc.constantFrom('dee', 'eva', 'ana'),
    });
    fc.assert(
      fc.property(fc.array(override, { maxLength: 6 }), (list) => {
        const given = list.map((o) => ({
          from: iso(from + o.start * 60 * MINUTE),
          until: iso(from + (o.start + o.length) * 60 * MINUTE),
          person: o.person,
        }));
        const plain = schedule({ time_zone: 'Europe/Berlin', rotation: 'daily', handover: '09:00' });
        const rota = schedule({ time_zone: 'Europe/Berlin', rotation: 'daily', handover: '09:00', overrides: given });
        const all = shifts(rota, from, from + hours * 60 * MINUTE);
        for (const [i, shift] of all.entries()) {
          expect(shift.until).toBeGreaterThan(shift.since);
          if (i > 0) expect(shift.since).toBe(all[i - 1]!.until);
        }
        for (let hour = 0; hour < hours; hour += 3) {
          const t = from + hour * 60 * MINUTE;
          const wanted = given.findLast((o) => at(o.from) <= t && t < at(o.until))?.person ?? onCall(plain, t)!.person;
          const shift = all.find((s) => s.since <= t && t < s.until);
          expect(shift?.person).toBe(wanted);
          expect(onCall(rota, t)).toEqual(shift);
        }
      }),
      { numRuns: 40, seed: 7 },
    );
  });
});

/** Steps of 12 h; of 15 min within three days of a change of the offset. */
function* moments(walls: (t: number) => number, from: number, until: number): Generator<number> {
  const offset = (t: number): number => walls(t) - t;
  for (let t = from; t < until; t += 12 * 60 * MINUTE) {
    const changing = offset(t - 3 * DAY) !== offset(t + 3 * DAY);
    for (let step = 0; step < (changing ? 48 : 1); step += 1) yield t + step * 15 * MINUTE;
  }
}

function wallClock(zone: string): (t: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  return (t) => {
    const p = Object.fromEntries(format.formatToParts(t).map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(p.year!, p.month! - 1, p.day!, p.hour!, p.minute!);
  };
}

/** Every handover's wall clock, written as if it were UTC. */
function handoversOf(rotation: string, handover: string, from: string, years: number): number[] {
  const [time, day] = handover.split(' ').reverse() as [string, string | undefined];
  const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
  const found: number[] = [];
  for (let d = at(`${from}T00:00:00Z`); d < at(`${from}T00:00:00Z`) + (years + 1) * 366 * DAY; d += DAY) {
    if (rotation === 'daily' || days[new Date(d).getUTCDay()] === day)
      found.push(at(`${iso(d).slice(0, 10)}T${time}:00Z`));
  }
  return found;
}
