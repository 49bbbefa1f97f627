import type { Config, SecretRef } from '../config/schema.ts';
import type { ChannelKind, Target } from '../domain/notification.ts';
import { channelOff, isResolved, kindOf } from './channels.ts';

/** The channel that always works: stdout and the API. */
export const logTarget: Target = { channel: 'log', address: 'log' };

/** What people see: `slack:#payments-oncall`, `pagerduty:team/payments`, `email:sre@example.com`, `webhook:siem`, `log`. */
export const targetLabel = (target: Target): string =>
  target.channel === 'log' ? 'log' : `${target.channel}:${target.address}`;

/** An address that could not be used, and why. */
export type Unusable = { target: string; reason: string };

/** One possible address of a team or person; `off` says why it cannot be used, null when it can. */
type Entry = { target: Target; off: string | null };

export type AddressBook = {
  teams: ReadonlyMap<string, readonly Entry[]>;
  people: ReadonlyMap<string, readonly Entry[]>;
  /** `webhook:TARGET` named by a route itself. */
  webhooks: ReadonlyMap<string, Entry>;
};

/** Reads every team's and person's addresses once. `assumeSecrets` as in `channelOff`. */
export function addressBook(config: Config, assumeSecrets: boolean): AddressBook {
  const off = (channel: string): string | null => channelOff(config, channel, assumeSecrets);
  const entry = (channel: ChannelKind, address: string, problem: string | null): Entry => ({
    target: { channel, address },
    off: problem,
  });
  const pager = (address: string, key: SecretRef): Entry => {
    const missing = assumeSecrets || isResolved(config, key) ? null : `The PagerDuty key of ${address} is not set`;
    return entry('pagerduty', address, off('pagerduty') ?? missing);
  };
  const teams = Object.entries(config.routing.teams).map(([name, team]): [string, Entry[]] => [
    name,
    [
      ...(team.slack ? [entry('slack', team.slack, off('slack'))] : []),
      ...(team.pagerduty ? [pager(`team/${name}`, team.pagerduty)] : []),
      ...(team.email ?? []).map((address) => entry('email', address, off('email'))),
      ...(team.webhook ?? []).map((target) => entry('webhook', target, off(`webhook:${target}`))),
    ],
  ]);
  const people = Object.entries(config.routing.people).map(([name, person]): [string, Entry[]] => [
    name,
    [
      ...(person.slack ? [entry('slack', person.slack, off('slack'))] : []),
      ...(person.pagerduty ? [pager(`person/${name}`, person.pagerduty)] : []),
      ...(person.email ? [entry('email', person.email, off('email'))] : []),
    ],
  ]);
  const webhooks = Object.keys(config.tocsin.channels.webhook?.targets ?? {}).map((name): [string, Entry] => [
    name,
    entry('webhook', name, off(`webhook:${name}`)),
  ]);
  return { teams: new Map(teams), people: new Map(people), webhooks: new Map(webhooks) };
}

export type Reached = { targets: Target[]; unusable: Unusable[] };

/**
 * A team's addresses on these channels, in the order of the channels; `log` only where it is listed. Empty means nobody
 * can be reached that way: the caller falls back (a route to `log`, an escalation to its next step). A person is also
 * tried on every other channel when none of these reaches them, since a page must get through.
 */
export function targetsOf(
  who: { team: string } | { person: string },
  channels: readonly string[],
  book: AddressBook,
): Reached {
  const entries = ('team' in who ? book.teams.get(who.team) : book.people.get(who.person)) ?? [];
  const listed = pick(channels.flatMap((channel) => entriesOn(channel, entries, book)));
  if ('team' in who || listed.targets.some((target) => target.channel !== 'log')) return listed;
  const anywhere = pick(entries);
  return { targets: [...anywhere.targets, ...listed.targets], unusable: listed.unusable };
}

function entriesOn(channel: string, entries: readonly Entry[], book: AddressBook): readonly Entry[] {
  if (channel === 'log') return [{ target: logTarget, off: null }];
  if (!channel.includes(':')) return entries.filter((entry) => entry.target.channel === kindOf(channel));
  const address = channel.slice('webhook:'.length);
  const target: Target = { channel: 'webhook', address };
  return [book.webhooks.get(address) ?? { target, off: `Webhook ${address} is not configured` }];
}

function pick(entries: readonly Entry[]): Reached {
  return {
    targets: union(entries.filter((entry) => entry.off === null).map((entry) => entry.target)),
    unusable: entries.flatMap(({ target, off }) =>
      off === null ? [] : [{ target: targetLabel(target), reason: off }],
    ),
  };
}

/** Each target once, in order of first mention. */
export function union(targets: readonly Target[]): Target[] {
  return [...new Map(targets.map((target) => [targetLabel(target), target])).values()];
}
