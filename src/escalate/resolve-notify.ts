import type { RoutingFile } from '../config/schema.ts';
import type { Target } from '../domain/notification.ts';
import { kindOf } from '../route/channels.ts';
import { type AddressBook, logTarget, targetsOf, union } from '../route/targets.ts';
import { onCall } from './schedule.ts';

export type NotifyContext = {
  /** The incident's team, for the word `team`. */
  team: string;
  /** The route's channels, in its order. */
  routeChannels: readonly string[];
  addresses: AddressBook;
  schedules: RoutingFile['schedules'];
  /** Epoch ms: who is on call is asked for this moment. */
  now: number;
  /** Whom impact adds, as words of a step. */
  extra?: readonly string[];
};

export type Notified = {
  targets: Target[];
  /** The people meant by name or by schedule, each once. */
  people: string[];
  /** Why somebody named could not be reached, one sentence each, for the timeline. */
  said: string[];
  /** False when none of those the step names can be reached: then its next step fires at once (`atOnce`). */
  reached: boolean;
};

type Who = { team: string } | { person: string };

/**
 * Turns the words of a step (`team`, `team:NAME`, `schedule:NAME`, `person:NAME`) into addresses on the route's channels.
 * On a route that only logs, everything stays in the log. Where nobody at all has a working address (nothing is configured
 * yet) the log stands in for everybody; otherwise the log alone does not count as having reached a person.
 */
export function resolveNotify(notify: readonly string[], context: NotifyContext): Notified {
  const result: Notified = { targets: [], people: [], said: [], reached: false };
  const named = notify.map((word) => whoIs(word, context));
  for (const found of named) {
    if ('said' in found) {
      result.said.push(found.said);
      continue;
    }
    if ('person' in found) result.people.push(found.person);
    if (add(found, context, result)) result.reached = true;
  }
  for (const word of context.extra ?? []) {
    const found = whoIs(word, context);
    if ('said' in found) result.said.push(found.said);
    else add(found, context, result);
  }
  return {
    ...result,
    targets: union(result.targets),
    people: [...new Set(result.people)],
    said: [...new Set(result.said)],
  };
}

function whoIs(word: string, { team, schedules, now }: NotifyContext): Who | { said: string } {
  if (word === 'team') return { team };
  const [kind, name] = [word.slice(0, word.indexOf(':')), word.slice(word.indexOf(':') + 1)];
  if (kind === 'team') return { team: name };
  if (kind === 'person') return { person: name };
  const schedule = Object.hasOwn(schedules, name) ? schedules[name]! : null;
  if (!schedule) return { said: `There is no schedule ${name}: add it to schedules in routing.yaml.` };
  const shift = onCall(schedule, now);
  return shift ? { person: shift.person } : { said: `Nobody is on call in schedule ${name}.` };
}

/** Adds the addresses of one team or person; false, with the reasons said, when there is none that works. */
function add(who: Who, { routeChannels, addresses }: NotifyContext, result: Notified): boolean {
  const onlyLogs = routeChannels.every((channel) => kindOf(channel) === 'log');
  if (onlyLogs || !anyWorks(addresses)) {
    result.targets.push(logTarget);
    return true;
  }
  const { targets, unusable } = targetsOf(who, routeChannels, addresses);
  result.targets.push(...targets);
  if (targets.some((target) => target.channel !== 'log')) return true;
  const name = 'team' in who ? `team ${who.team}` : who.person;
  const why = [...new Set(unusable.map((u) => u.reason))].join('; ');
  const missing =
    'team' in who
      ? `it has no address on ${routeChannels.join(', ')}`
      : 'people in routing.yaml has no address for them';
  result.said.push(`Nothing reaches ${name}: ${why || missing}.`);
  return false;
}

const anyWorks = ({ teams, people, webhooks }: AddressBook): boolean =>
  [...teams.values(), ...people.values()].some((entries) => entries.some((entry) => entry.off === null)) ||
  [...webhooks.values()].some((entry) => entry.off === null);
