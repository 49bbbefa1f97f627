import { rfc } from './domain/time.ts';
import type { Outcomes as Replayed } from './replay.ts';

type Outcomes = Omit<Replayed, 'timing'>;

/** One incident that is told differently, or not at all. */
export type Changed = {
  /** Of the incident before, or of the one after where there was none. */
  id: string;
  title: string;
  startedAt: string;
  services: string[];
  alerts: number;
  before: string;
  after: string;
};

/** What another config would have made of the same stream. Counts are what `--fail-if` may ask for. */
export type Difference = {
  counts: {
    /** Calls to somebody: first messages and escalations, on channels other than the log. */
    pages_before: number;
    pages_after: number;
    incidents_before: number;
    incidents_after: number;
    /** Incidents that paged and of whose alerts none is in one that pages now; and the reverse. */
    missed_pages: number;
    added_pages: number;
    /** New incidents that unite several of the old ones, old ones that fall apart into several. */
    merged: number;
    split: number;
    /** Incidents told to other receivers. */
    receivers_changed: number;
    /** Alerts held back that were not, and the reverse. */
    suppressed_more: number;
    suppressed_less: number;
    /** The longest time by which the first page of the same alert comes later, seconds. */
    added_delay_seconds: number;
  };
  missed: Changed[];
  added: Changed[];
  merged: Changed[];
  split: Changed[];
  receivers: Changed[];
  slowest: Changed | null;
};

type Episode = string;
type Group = {
  id: string;
  title: string;
  startedAt: string;
  services: string[];
  episodes: Set<Episode>;
  /** `channel:target` of everyone called, the log left out. */
  receivers: Set<string>;
  firstPageAt: number | null;
};
/** What one config made of a stream, as far as a comparison looks at it. */
export type Side = {
  groups: Map<string, Group>;
  of: Map<Episode, Group>;
  verdicts: Map<Episode, string>;
  pages: number;
};

/** Incidents as sets of alert episodes: ids differ between two runs, alerts do not. A merged incident counts as its elder. */
export function sideOf(outcomes: Outcomes): Side {
  const mergedInto = new Map(outcomes.incidents.map((one) => [one.id, one.mergedInto]));
  const living = (id: string): string => {
    let at = id;
    for (let hops = 0; hops < 50 && mergedInto.get(at); hops += 1) at = mergedInto.get(at)!;
    return at;
  };
  const groups = new Map<string, Group>();
  for (const { id, title, startedAt, services, mergedInto: elder } of outcomes.incidents)
    if (elder === null)
      groups.set(id, { id, title, startedAt, services, episodes: new Set(), receivers: new Set(), firstPageAt: null });
  const of = new Map<Episode, Group>();
  const verdicts = new Map<Episode, string>();
  for (const { fingerprint, startsAt, incidentId, verdict } of outcomes.alerts) {
    const episode = `${fingerprint}@${startsAt}`;
    verdicts.set(episode, verdict);
    const group = incidentId === null ? undefined : groups.get(living(incidentId));
    if (!group) continue;
    group.episodes.add(episode);
    of.set(episode, group);
  }
  let pages = 0;
  for (const { at, channel, target, incidentId, kind } of outcomes.notifications) {
    if (channel === 'log' || (kind !== 'open' && kind !== 'escalate')) continue;
    pages += 1;
    const group = groups.get(living(incidentId));
    if (!group) continue;
    group.receivers.add(target);
    const time = Date.parse(at);
    if (group.firstPageAt === null || time < group.firstPageAt) group.firstPageAt = time;
  }
  return { groups, of, verdicts, pages };
}

/** Compares what two configs made of one stream, by behaviour, not by text. */
export function differenceOf(old: Side, now: Side): Difference {
  const unmatched = (from: Side, to: Side): Group[] =>
    [...from.groups.values()].filter(
      (group) =>
        group.firstPageAt !== null &&
        group.episodes.size > 0 &&
        ![...group.episodes].some((episode) => (to.of.get(episode)?.firstPageAt ?? null) !== null),
    );
  const across = (group: Group, to: Side): Group[] => [
    ...new Set([...group.episodes].flatMap((episode) => to.of.get(episode) ?? [])),
  ];
  const missed = unmatched(old, now);
  const added = unmatched(now, old);
  const merged = [...now.groups.values()].filter((group) => across(group, old).length > 1);
  const split = [...old.groups.values()].filter((group) => across(group, now).length > 1);

  const receivers: Changed[] = [];
  for (const group of old.groups.values()) {
    const twin = nearest(group, across(group, now));
    if (!twin || group.firstPageAt === null || twin.firstPageAt === null) continue;
    const [was, is] = [[...group.receivers].sort().join(', '), [...twin.receivers].sort().join(', ')];
    if (was !== is) receivers.push(shown(group, was, is));
  }

  let slowest: Changed | null = null;
  let delay = 0;
  for (const [episode, group] of old.of) {
    const later = now.of.get(episode)?.firstPageAt ?? null;
    if (group.firstPageAt === null || later === null || later - group.firstPageAt <= delay) continue;
    delay = later - group.firstPageAt;
    slowest = shown(group, rfc(group.firstPageAt), rfc(later));
  }

  const verdictChanges = (to: string): number =>
    [...now.verdicts].filter(([episode, verdict]) => {
      const earlier = old.verdicts.get(episode);
      if (earlier === undefined || earlier === verdict) return false;
      return to === 'suppress' ? verdict === 'suppress' : earlier === 'suppress';
    }).length;

  return {
    counts: {
      pages_before: old.pages,
      pages_after: now.pages,
      incidents_before: old.groups.size,
      incidents_after: now.groups.size,
      missed_pages: missed.length,
      added_pages: added.length,
      merged: merged.length,
      split: split.length,
      receivers_changed: receivers.length,
      suppressed_more: verdictChanges('suppress'),
      suppressed_less: verdictChanges('notify'),
      added_delay_seconds: Math.round(delay / 100) / 10,
    },
    missed: missed.map((group) => shown(group, called(group), 'nobody')),
    added: added.map((group) => shown(group, 'nobody', called(group))),
    merged: merged.map((group) => shown(group, titles(across(group, old)), group.title)),
    split: split.map((group) => shown(group, group.title, titles(across(group, now)))),
    receivers,
    slowest,
  };
}

/** The one that shares most alerts. */
const nearest = (group: Group, among: readonly Group[]): Group | null =>
  among.reduce<Group | null>(
    (best, one) => (best === null || common(group, one) > common(group, best) ? one : best),
    null,
  );
const common = (a: Group, b: Group): number => [...a.episodes].filter((episode) => b.episodes.has(episode)).length;

const called = (group: Group): string => [...group.receivers].sort().join(', ');
const titles = (groups: readonly Group[]): string => groups.map((group) => group.title).join(' + ');
const shown = ({ id, title, startedAt, services, episodes }: Group, before: string, after: string): Changed => ({
  id,
  title,
  startedAt,
  services,
  alerts: episodes.size,
  before,
  after,
});

/** One comparison of `--fail-if`: `missed_pages>0`. */
export type Condition = {
  name: keyof Difference['counts'];
  holds(counts: Difference['counts']): boolean;
  text: string;
};

const comparisons: Record<string, (a: number, b: number) => boolean> = {
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
};

/** Reads `NAME OP NUMBER`, several joined by `||`; gives a sentence for what cannot be read. */
export function parseConditions(text: string, names: readonly string[]): Condition[] | string {
  const conditions: Condition[] = [];
  for (const part of text.split(/\|\||\bor\b/)) {
    const parts = /^\s*([a-z_]+)\s*(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)?)\s*$/.exec(part);
    if (!parts)
      return `--fail-if "${part.trim()}" cannot be read; write for example missed_pages>0 || added_delay_seconds>60.`;
    const [, name, operator, number] = parts;
    if (!names.includes(name!)) return `--fail-if: there is no figure ${name}; write one of ${names.join(', ')}.`;
    const compare = comparisons[operator!]!;
    const key = name as Condition['name'];
    conditions.push({ name: key, text: part.trim(), holds: (counts) => compare(counts[key], Number(number)) });
  }
  return conditions;
}
