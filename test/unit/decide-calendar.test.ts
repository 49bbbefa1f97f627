import { DateTime } from 'luxon';
import { describe, expect, test } from 'vitest';
import { SuppressionFile } from '../../src/config/schema.ts';
import { closedCalendar, maintenanceCalendar, parseEvery, wallText, windowFault } from '../../src/decide/calendar.ts';

const ms = (text: string) => Date.parse(text);
const windowOf = (window: object) =>
  SuppressionFile.parse({ maintenance_windows: [{ name: 'w', match: [], ...window }] }).maintenance_windows[0]!;
const hoursOf = (hours: object) =>
  SuppressionFile.parse({ business_hours: [{ name: 'h', match: [], ...hours }] }).business_hours[0]!;
const iso = (stretch: { from: number; until: number } | null) =>
  stretch && [new Date(stretch.from).toISOString(), new Date(stretch.until).toISOString()];

describe('a repeated maintenance window begins by the wall clock and lasts its elapsed time', () => {
  test.each([
    // zone, every, for, a moment inside, begins, ends
    [
      'ordinary Sunday',
      'Europe/Berlin',
      'Sun 02:00',
      '2h',
      '2026-11-22T01:30Z',
      '2026-11-22T01:00Z',
      '2026-11-22T03:00Z',
    ],
    [
      'Berlin skips 02:00-03:00: it begins at the jump',
      'Europe/Berlin',
      'Sun 02:00',
      '2h',
      '2026-03-29T01:30Z',
      '2026-03-29T01:00Z',
      '2026-03-29T03:00Z',
    ],
    [
      'Berlin skips 02:30 too',
      'Europe/Berlin',
      'Sun 02:30',
      '1h',
      '2026-03-29T01:00Z',
      '2026-03-29T01:00Z',
      '2026-03-29T02:00Z',
    ],
    [
      'Berlin shows 02:00 twice: the first one counts',
      'Europe/Berlin',
      'Sun 02:00',
      '2h',
      '2026-10-25T00:00Z',
      '2026-10-25T00:00Z',
      '2026-10-25T02:00Z',
    ],
    [
      'Berlin, across the change',
      'Europe/Berlin',
      'Sat 23:00',
      '6h',
      '2026-03-29T03:59Z',
      '2026-03-28T22:00Z',
      '2026-03-29T04:00Z',
    ],
    [
      'New York skips 02:30',
      'America/New_York',
      'Sun 02:30',
      '2h',
      '2026-03-08T08:00Z',
      '2026-03-08T07:00Z',
      '2026-03-08T09:00Z',
    ],
    [
      'New York shows 01:30 twice',
      'America/New_York',
      'Sun 01:30',
      '30m',
      '2026-11-01T05:45Z',
      '2026-11-01T05:30Z',
      '2026-11-01T06:00Z',
    ],
    [
      'New York after the change',
      'America/New_York',
      'Sun 04:00',
      '1h',
      '2026-11-01T09:30Z',
      '2026-11-01T09:00Z',
      '2026-11-01T10:00Z',
    ],
    [
      'Lord Howe skips half an hour',
      'Australia/Lord_Howe',
      'Sun 02:15',
      '1h',
      '2026-10-03T15:30Z',
      '2026-10-03T15:30Z',
      '2026-10-03T16:30Z',
    ],
    [
      'Lord Howe shows 01:45 twice',
      'Australia/Lord_Howe',
      'Sun 01:45',
      '1h',
      '2026-04-04T15:15Z',
      '2026-04-04T14:45Z',
      '2026-04-04T15:45Z',
    ],
    ['every day', 'UTC', '22:00', '4h', '2026-11-21T01:59Z', '2026-11-20T22:00Z', '2026-11-21T02:00Z'],
    [
      'on some days, over midnight',
      'Asia/Kolkata',
      'Mon-Wed,Fri 23:30',
      '1h',
      '2026-11-20T18:59Z',
      '2026-11-20T18:00Z',
      '2026-11-20T19:00Z',
    ],
    ['nearly a week long', 'UTC', 'Mon 00:00', '6d', '2026-11-21T23:59Z', '2026-11-16T00:00Z', '2026-11-22T00:00Z'],
  ])('%s', (_story, time_zone, every, lasts, inside, from, until) => {
    const calendar = maintenanceCalendar(windowOf({ every, for: lasts, time_zone }));
    const stretch = [new Date(ms(from)).toISOString(), new Date(ms(until)).toISOString()];
    expect(iso(calendar(ms(inside)))).toEqual(stretch);
    expect(iso(calendar(ms(from)))).toEqual(stretch);
    expect(iso(calendar(ms(until) - 1))).toEqual(stretch);
    expect(calendar(ms(from) - 1)).toBeNull();
    expect(calendar(ms(until))).toBeNull();
  });

  test.each(['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'])(
    'in %s every Sunday of the year has exactly one, also when clocks change',
    (time_zone) => {
      const calendar = maintenanceCalendar(windowOf({ every: 'Sun 02:15', for: '90m', time_zone }));
      const begun = new Map<number, number>();
      for (let at = ms('2026-01-01T00:00Z'); at < ms('2027-01-01T00:00Z'); at += 15 * 60_000) {
        const stretch = calendar(at);
        if (stretch) begun.set(stretch.from, (begun.get(stretch.from) ?? 0) + 1);
      }
      expect(begun.size).toBe(52);
      for (const [from, looks] of begun) {
        expect(looks).toBe(6);
        const wall = DateTime.fromMillis(from, { zone: time_zone });
        // 03:00 and 02:30 are the first minute after the jump in the one night that skips 02:15.
        expect(['Sunday 02:15', 'Sunday 03:00', 'Sunday 02:30']).toContain(wall.toFormat('cccc HH:mm'));
      }
    },
  );

  test('from and until bound a repeated window', () => {
    const calendar = maintenanceCalendar(
      windowOf({ every: '02:00', for: '2h', from: '2026-11-20T03:00:00Z', until: '2026-11-21T03:00:00Z' }),
    );
    expect(calendar(ms('2026-11-20T02:30Z'))).toBeNull();
    expect(iso(calendar(ms('2026-11-20T03:30Z')))).toEqual(['2026-11-20T03:00:00.000Z', '2026-11-20T04:00:00.000Z']);
    expect(iso(calendar(ms('2026-11-21T02:30Z')))).toEqual(['2026-11-21T02:00:00.000Z', '2026-11-21T03:00:00.000Z']);
    expect(calendar(ms('2026-11-21T03:30Z'))).toBeNull();
  });
});

describe('a window that happens once', () => {
  test('runs from `from` until `until`, or for `for`, whichever ends first', () => {
    const from = '2026-11-20T22:00:00+01:00';
    const at = ms('2026-11-20T21:30Z');
    expect(iso(maintenanceCalendar(windowOf({ from, until: '2026-11-20T23:00:00Z' }))(at))).toEqual([
      '2026-11-20T21:00:00.000Z',
      '2026-11-20T23:00:00.000Z',
    ]);
    expect(iso(maintenanceCalendar(windowOf({ from, for: '1h' }))(at))?.[1]).toBe('2026-11-20T22:00:00.000Z');
    expect(maintenanceCalendar(windowOf({ from, for: '1h' }))(ms('2026-11-20T22:00Z'))).toBeNull();
  });
});

describe('what is wrong with a window is said', () => {
  test.each([
    [{ every: 'Sunday 2am', for: '1h' }, /write "Sun 02:00"/],
    [{ every: 'Sun 02:00' }, /`every` needs `for`/],
    [{ every: 'Sun 02:00', for: '32d' }, /at most 31d/],
    [{}, /say when it is/],
    [{ until: '2026-11-20T00:00:00Z' }, /say when it is/],
    [{ from: '2026-11-20T00:00:00Z' }, /needs an end/],
    [{ from: '2026-11-20T00:00:00Z', until: '2026-11-19T00:00:00Z' }, /`until` must come after/],
  ])('%j', (window, hint) => {
    expect(windowFault(windowOf(window))).toMatch(hint);
    expect(() => maintenanceCalendar(windowOf(window))).toThrow(/maintenance window w:/);
  });

  test('and a right one has no fault', () => {
    expect(windowFault(windowOf({ every: 'Sun 02:00', for: '2h', time_zone: 'Europe/Berlin' }))).toBeNull();
  });

  test('days are single, lists or ranges, also over the end of the week', () => {
    const days = (text: string) => {
      const parsed = parseEvery(text);
      return parsed.ok ? parsed.every.days.join('') : 'wrong';
    };
    expect(
      ['Sun 02:00', '02:00', 'Mon-Fri 02:00', 'Fri-Mon 02:00', 'Sat,Sun 02:00', 'Mon-Tue,Fri 02:00'].map(days),
    ).toEqual(['0', '0123456', '12345', '0156', '06', '125']);
    expect(
      ['Xyz 02:00', 'Mon- 02:00', 'Mon-Tue-Wed 02:00', 'Mon 24:00', 'Mon 02:60', ', 02:00', 'Mon'].map(days),
    ).toEqual(Array(7).fill('wrong'));
  });
});

describe('outside business hours', () => {
  test.each([
    // story, zone, hours, moment, closed since, opens (null: open)
    ['in the evening', 'Europe/Berlin', {}, '2026-11-19T20:00Z', '2026-11-19T16:00Z', '2026-11-20T08:00Z'],
    ['at the last minute they still run', 'Europe/Berlin', {}, '2026-11-19T15:59Z', null, null],
    [
      'at closing time they are over',
      'Europe/Berlin',
      {},
      '2026-11-19T16:00Z',
      '2026-11-19T16:00Z',
      '2026-11-20T08:00Z',
    ],
    ['over a weekend', 'Europe/Berlin', {}, '2026-11-21T12:00Z', '2026-11-20T16:00Z', '2026-11-23T08:00Z'],
    [
      'over the weekend on which summer begins',
      'Europe/Berlin',
      {},
      '2026-03-28T12:00Z',
      '2026-03-27T16:00Z',
      '2026-03-30T07:00Z',
    ],
    [
      'over the weekend on which summer ends',
      'America/New_York',
      {},
      '2026-10-31T12:00Z',
      '2026-10-30T21:00Z',
      '2026-11-02T14:00Z',
    ],
    ['with one day a week', 'UTC', { days: ['Mon'] }, '2026-11-17T12:00Z', '2026-11-16T17:00Z', '2026-11-23T09:00Z'],
    [
      'a night shift belongs to the day it begins on',
      'UTC',
      { days: ['Fri'], from: '22:00', until: '06:00' },
      '2026-11-21T05:00Z',
      null,
      null,
    ],
    [
      'and is over in the morning',
      'UTC',
      { days: ['Fri'], from: '22:00', until: '06:00' },
      '2026-11-21T06:00Z',
      '2026-11-21T06:00Z',
      '2026-11-27T22:00Z',
    ],
    [
      'equal times mean the whole day',
      'UTC',
      { days: ['Fri'], from: '00:00', until: '00:00' },
      '2026-11-20T23:59Z',
      null,
      null,
    ],
    [
      'Lord Howe opens half an hour earlier after its change',
      'Australia/Lord_Howe',
      {},
      '2026-10-03T12:00Z',
      '2026-10-02T06:30Z',
      '2026-10-04T22:00Z',
    ],
  ])('%s', (_story, time_zone, hours, at, since, opens) => {
    const closed = iso(closedCalendar(hoursOf({ ...hours, time_zone }))(ms(at)));
    expect(closed).toEqual(
      since === null ? null : [new Date(ms(since)).toISOString(), new Date(ms(opens!)).toISOString()],
    );
  });
});

test('times are written in the window`s own zone', () => {
  expect(wallText(ms('2026-11-22T03:00Z'), 'Europe/Berlin')).toBe('2026-11-22 04:00 Europe/Berlin');
});
