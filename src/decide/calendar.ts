import { DateTime, IANAZone } from 'luxon';
import type { SuppressionFile } from '../config/schema.ts';
import { firstInstant } from '../escalate/schedule.ts';

export type MaintenanceWindow = SuppressionFile['maintenance_windows'][number];
export type BusinessHours = SuppressionFile['business_hours'][number];

/** `[from, until)` in epoch ms. */
export type Stretch = { from: number; until: number };

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** Days of the week (0 is Sunday) and the minute of the day, on the wall clock. */
export type Every = { days: readonly number[]; minute: number };

export type ParsedEvery = { ok: true; every: Every } | { ok: false; message: string };

/** Reads `every`: "Sun 02:00", "02:00" (each day), "Mon-Fri 22:30", "Sat,Sun 01:00". */
export function parseEvery(text: string): ParsedEvery {
  const wrong: ParsedEvery = {
    ok: false,
    message: `"${text}" is no time to repeat at; write "Sun 02:00", "Mon-Fri 22:30", "Sat,Sun 01:00" or "02:00" for each day`,
  };
  const parts = /^(?:([A-Za-z,-]+) )?([01]\d|2[0-3]):([0-5]\d)$/.exec(text.trim());
  if (!parts) return wrong;
  const days = parts[1] === undefined ? weekdays.map((_, i) => i) : daysOf(parts[1]);
  return days === null ? wrong : { ok: true, every: { days, minute: Number(parts[2]) * 60 + Number(parts[3]) } };
}

function daysOf(text: string): number[] | null {
  const days = new Set<number>();
  for (const part of text.split(',')) {
    const ends = part.split('-').map((day) => weekdays.indexOf(day));
    const [first, last = first] = ends;
    if (ends.length > 2 || first === undefined || last === undefined || first < 0 || last < 0) return null;
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return [...days].sort((a, b) => a - b);
}

/**
 * What is wrong with a maintenance window, as a sentence, or null. Every window must end: a suppression without an end is
 * refused.
 */
export function windowFault(window: MaintenanceWindow): string | null {
  const until = window.until === undefined ? Number.POSITIVE_INFINITY : Date.parse(window.until);
  if (window.from !== undefined && Date.parse(window.from) >= until) return '`until` must come after `from`';
  if (window.every !== undefined) {
    const parsed = parseEvery(window.every);
    if (!parsed.ok) return parsed.message;
    if (window.for === undefined || window.for <= 0) return '`every` needs `for`: how long each one lasts, such as 2h';
    if (window.for > 31 * DAY) return '`for` of a repeated window is at most 31d';
    return null;
  }
  if (window.from === undefined) return 'say when it is: `every` with `for`, or `from` with `until` or `for`';
  if (window.until === undefined && !window.for) return '`from` needs an end: `until`, or `for` such as 2h';
  return null;
}

/** Gives the stretch that covers a moment, or null. The last answer is kept: one look serves all alerts of an incident. */
export type Calendar = (at: number) => Stretch | null;

function remembering(look: Calendar): Calendar {
  let last: { at: number; stretch: Stretch | null } | null = null;
  return (at) => {
    if (last?.at !== at) last = { at, stretch: look(at) };
    return last.stretch;
  };
}

/** The wall clock's midnight before `at`, written as if it were UTC (epoch ms). */
function wallDay(zone: IANAZone, at: number): number {
  const wall = at + zone.offset(at) * MINUTE;
  return wall - (((wall % DAY) + DAY) % DAY);
}

/**
 * When a maintenance window runs. It begins when the clock on the wall first shows the time (in a night that skips it, at
 * the jump; in one that shows it twice, the first time) and lasts `for` of elapsed time, whatever the clock does meanwhile.
 * Throws on a window that `windowFault` refuses.
 */
export function maintenanceCalendar(window: MaintenanceWindow): Calendar {
  const fault = windowFault(window);
  if (fault !== null) throw new Error(`maintenance window ${window.name}: ${fault}`);
  const from = window.from === undefined ? Number.NEGATIVE_INFINITY : Date.parse(window.from);
  const end = window.until === undefined ? Number.POSITIVE_INFINITY : Date.parse(window.until);
  if (window.every === undefined) {
    const until = Math.min(end, from + (window.for ?? Number.POSITIVE_INFINITY));
    return (at) => (from <= at && at < until ? { from, until } : null);
  }
  const parsed = parseEvery(window.every);
  const every = parsed.ok ? parsed.every : null;
  const zone = IANAZone.create(window.time_zone);
  const lasts = window.for ?? 0;
  return remembering((at) => {
    if (every === null || at < from || at >= end) return null;
    const today = wallDay(zone, at);
    // One day more than it lasts: a wall day can be 25 hours long. The latest beginning ends last.
    for (let back = 0; back <= Math.ceil(lasts / DAY) + 1; back += 1) {
      const day = today - back * DAY;
      if (!every.days.includes(new Date(day).getUTCDay())) continue;
      const start = firstInstant(zone, day + every.minute * MINUTE);
      if (start <= at && at < start + lasts)
        return { from: Math.max(start, from), until: Math.min(start + lasts, end) };
    }
    return null;
  });
}

/**
 * When business hours are NOT: gives the closed stretch that covers a moment, or null while they run. `until` at or before
 * `from` means the next day, and the day is the one they open on. Times are the wall clock's.
 */
export function closedCalendar(hours: BusinessHours): Calendar {
  const zone = IANAZone.create(hours.time_zone);
  const [from, until] = [minuteOf(hours.from), minuteOf(hours.until)];
  const days = hours.days.map((day) => weekdays.indexOf(day));
  const openings = (day: number): Stretch[] =>
    days.includes(new Date(day).getUTCDay())
      ? [
          {
            from: firstInstant(zone, day + from * MINUTE),
            until: firstInstant(zone, day + (until <= from ? DAY : 0) + until * MINUTE),
          },
        ]
      : [];
  return remembering((at) => {
    const today = wallDay(zone, at);
    // Hours open on one day a week at least, so eight days either way hold an opening.
    const near = Array.from({ length: 17 }, (_, i) => today + (i - 8) * DAY).flatMap(openings);
    if (near.some((open) => open.from <= at && at < open.until)) return null;
    const closedSince = Math.max(...near.filter((open) => open.until <= at).map((open) => open.until));
    const opensAt = Math.min(...near.filter((open) => open.from > at).map((open) => open.from));
    return { from: closedSince, until: opensAt };
  });
}

const minuteOf = (clock: string): number => Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3, 5));

/** `2026-11-22 04:00 Europe/Berlin`: the same bytes whatever the machine's own zone and locale. */
export const wallText = (at: number, zone: string): string =>
  `${DateTime.fromMillis(at, { zone, locale: 'en-US', numberingSystem: 'latn', outputCalendar: 'gregory' }).toFormat('yyyy-MM-dd HH:mm')} ${zone}`;
