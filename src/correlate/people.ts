import { type Alert, alertKey } from '../domain/alert.ts';
import type { LinkRecord } from '../domain/effects.ts';
import type { LiveIncident, World } from '../domain/world.ts';

/**
 * What people said of pairs of alerts, and what follows for placing and merging. Links are between alerts, not episodes, and
 * are asked of the incidents themselves: they hold whatever points the correlator has forgotten, after a restart too.
 */

/**
 * Pairs that one deed may pin down. Every alert of both sides is in one before any is in two, so that the cap costs the
 * least: a side of 2,000 alerts still has each of them linked.
 */
const MAX_LINKS = 2_000;

/** The links that put two lists of alerts (keys) together or keep them apart, at most `MAX_LINKS`. */
export function linksBetween(
  left: Iterable<string>,
  right: Iterable<string>,
  said: Omit<LinkRecord, 'a' | 'b'>,
): LinkRecord[] {
  const [few, many] = [[...new Set(left)], [...new Set(right)]].sort((a, b) => a.length - b.length) as [
    string[],
    string[],
  ];
  const links: LinkRecord[] = [];
  for (let round = 0; round < few.length; round += 1) {
    for (let i = 0; i < many.length && links.length < MAX_LINKS; i += 1) {
      const [x, y] = [many[i]!, few[(i + round) % few.length]!];
      if (x !== y) links.push({ ...said, a: x < y ? x : y, b: x < y ? y : x });
    }
  }
  return links;
}

/** Takes a link in. The newest word on a pair wins: a must ends a cannot of the same pair and the other way round. */
export function link(world: World, { kind, a, b }: Pick<LinkRecord, 'kind' | 'a' | 'b'>): void {
  const { links } = world;
  const opposite = kind === 'must' ? links.cannot : links.must;
  for (const [x, y] of [
    [a, b],
    [b, a],
  ] as const) {
    opposite.get(x)?.delete(y);
    const known = links[kind].get(x);
    if (known) known.add(y);
    else links[kind].set(x, new Set([y]));
  }
}

/** Whether a person keeps this alert apart from a member of the incident. */
export function separated(world: World, alert: Alert, incident: LiveIncident): boolean {
  const apart = world.links.cannot.get(alertKey(alert));
  if (!apart || apart.size === 0) return false;
  for (const member of incident.members.values()) if (apart.has(alertKey(member))) return true;
  return false;
}

/** Whether a person keeps any two alerts of these incidents apart: such incidents are never merged by themselves. */
export function keptApart(world: World, a: LiveIncident, b: LiveIncident): boolean {
  if (world.links.cannot.size === 0) return false;
  const [few, many] = a.members.size < b.members.size ? [a, b] : [b, a];
  for (const member of few.members.values()) if (separated(world, member, many)) return true;
  return false;
}

/** Incidents that hold an alert which a person put together with this one, the eldest first. */
export function togetherWith(world: World, alert: Alert, living: (id: string) => LiveIncident | null): LiveIncident[] {
  const found = new Set<LiveIncident>();
  for (const other of world.links.must.get(alertKey(alert)) ?? []) {
    const known = world.alerts.get(other);
    const incident = known?.incidentId && known.tenant === alert.tenant ? living(known.incidentId) : null;
    if (incident) found.add(incident);
  }
  return [...found].sort((x, y) => x.state.number - y.state.number);
}
