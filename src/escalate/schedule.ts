import { IANAZone } from 'luxon';
import type { RoutingFile } from '../config/schema.ts';

export type ScheduleConfig = RoutingFile['schedules'][string];

/** One person's uninterrupted turn, `[since, until)` in epoch ms. `override`: it replaces what the rotation says. */
export type Shift = { person: string; since: number; until: number; override: boolean };

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** The rotation starts here unless the schedule says otherwise, so that adding a member later shifts nothing else. */
const DEFAULT_START = '2024-01-01';

type Override = { person: string; from: number; until: number };

/** A schedule with its texts read once: handover `k` is at wall clock `firstWall + k × period` in `zone`. */
type Rotation = {
  zone: IANAZone;
  /** The first handover's wall clock, written as if it were UTC (epoch ms). */
  firstWall: number;
  period: number;
  members: readonly string[];
  /** In the order listed: of several that overlap the last one counts. */
  overrides: readonly Override[];
  /** Every moment at which an override begins or ends, ascending. */
  edges: readonly number[];
};

const rotations = new WeakMap<ScheduleConfig, Rotation>();

function rotationOf(schedule: ScheduleConfig): Rotation {
  const known = rotations.get(schedule);
  if (known) return known;
  const handover = schedule.handover.split(' ');
  const [hour, minute] = handover.at(-1)!.split(':').map(Number);
  const start = Date.parse(`${schedule.start ?? DEFAULT_START}T00:00:00Z`);
  const weekly = schedule.rotation === 'weekly';
  // A daily rotation ignores a weekday; a weekly one without it hands over on Monday.
  const weekday = weekdays.indexOf(handover.length === 2 ? handover[0]! : 'Mon');
  const wait = weekly ? (weekday - new Date(start).getUTCDay() + 7) % 7 : 0;
  const overrides = schedule.overrides
    .map((o) => ({ person: o.person, from: Date.parse(o.from), until: Date.parse(o.until) }))
    .filter((o) => o.from < o.until);
  const rotation: Rotation = {
    zone: IANAZone.create(schedule.time_zone),
    firstWall: start + wait * DAY + hour! * HOUR + minute! * MINUTE,
    period: weekly ? 7 * DAY : DAY,
    members: schedule.members,
    overrides,
    edges: [...new Set(overrides.flatMap((o) => [o.from, o.until]))].sort((a, b) => a - b),
  };
  rotations.set(schedule, rotation);
  return rotation;
}

/** What the clock on the wall shows at `at`, written as if it were UTC (epoch ms). */
const wallClock = (zone: IANAZone, at: number): number => at + zone.offset(at) * MINUTE;

/**
 * The first instant at which the clock on the wall shows `wall` or later. That one sentence settles both oddities of
 * daylight saving: a time that is skipped happens when the clock jumps over it, a time that comes twice the first time.
 * Offsets lie within -12 h..+14 h, so the instant lies within `wall` -14 h..+12 h; one time-zone change at most is assumed
 * in such a stretch.
 */
export function firstInstant(zone: IANAZone, wall: number): number {
  let before = wall - 15 * HOUR;
  let after = wall + 13 * HOUR;
  const oldOffset = zone.offset(before) * MINUTE;
  const newOffset = zone.offset(after) * MINUTE;
  if (oldOffset === newOffset) return wall - oldOffset;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (zone.offset(middle) * MINUTE === oldOffset) before = middle;
    else after = middle;
  }
  const change = after;
  return wall - oldOffset < change ? wall - oldOffset : Math.max(change, wall - newOffset);
}

const handoverAt = (r: Rotation, k: number): number => firstInstant(r.zone, r.firstWall + k * r.period);

/** One turn of the rotation, `[since, until)`; `k` counts from 0 and is negative before the rotation starts. */
type Turn = { k: number; since: number; until: number };

/** The turn that `at` falls into: a guess from the wall clock, put right by a step or two, whatever the year. */
function turnAt(r: Rotation, at: number): Turn {
  let k = Math.floor((wallClock(r.zone, at) - r.firstWall) / r.period);
  let since = handoverAt(r, k);
  while (since > at) {
    k -= 1;
    since = handoverAt(r, k);
  }
  let until = handoverAt(r, k + 1);
  while (until <= at) {
    k += 1;
    since = until;
    until = handoverAt(r, k + 1);
  }
  return { k, since, until };
}

/** The last override listed that covers `at`. */
const overrideAt = (r: Rotation, at: number): Override | null =>
  r.overrides.findLast((o) => o.from <= at && at < o.until) ?? null;

/**
 * Who is on call at `at` (epoch ms), since when and until when; null before the rotation's first handover (unless an
 * override covers it). Overrides win over the rotation, later ones in the file over earlier ones.
 */
export function onCall(schedule: ScheduleConfig, at: number): Shift | null {
  const r = rotationOf(schedule);
  const chosen = overrideAt(r, at);
  const turn = chosen ? null : turnAt(r, at);
  if (turn && turn.k < 0) return null;
  let since = chosen?.from ?? turn!.since;
  let until = chosen?.until ?? turn!.until;
  // An override (or a later one) may begin or end inside: the turn reaches only to the nearest edge where that changes it.
  for (const edge of r.edges) {
    if (edge > since && edge <= at && overrideAt(r, edge - 1) !== chosen) since = edge;
    if (edge > at && edge < until && overrideAt(r, edge) !== chosen) {
      until = edge;
      break;
    }
  }
  const person = chosen?.person ?? r.members[turn!.k % r.members.length]!;
  return { person, since, until, override: chosen !== null };
}

/** The shift that follows the one at `at`; the first one ahead while nobody is on call. Null when none ever comes. */
export function next(schedule: ScheduleConfig, at: number): Shift | null {
  const current = onCall(schedule, at);
  if (current) {
    const following = onCall(schedule, current.until);
    return following ?? next(schedule, current.until);
  }
  const r = rotationOf(schedule);
  const starts = [handoverAt(r, 0), ...r.edges].filter((start) => start > at).sort((a, b) => a - b);
  for (const start of starts) {
    const shift = onCall(schedule, start);
    if (shift) return shift;
  }
  return null;
}

/** Every shift that touches `[from, until)`, in order, each with its whole length (not cut to the window). */
export function shifts(schedule: ScheduleConfig, from: number, until: number): Shift[] {
  const found: Shift[] = [];
  let shift = onCall(schedule, from) ?? next(schedule, from);
  while (shift && shift.since < until) {
    found.push(shift);
    shift = next(schedule, shift.since);
  }
  return found;
}
