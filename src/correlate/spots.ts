import type { Connectivity } from './connectivity.ts';
import type { Looks, Place } from './features.ts';
import type { Rule, Site } from './relevance.ts';

/** One live point in the index. `cluster` is the incident it lives in. */
export type Entry = {
  key: string;
  alert: string;
  at: number;
  onset: number;
  looks: Looks;
  rule: Rule;
  site: Site;
  spot: Spot;
  /** The change that may be behind it. */
  deploy: string | null;
  /** Neighbours within eps so far, itself included; exact up to minPts, which is all that DBSCAN asks. */
  neighbours: number;
  core: boolean;
  /** Part of a burst: the same rule began on several services within a minute. */
  burst: boolean;
  /** Company within the companion time (another alert, same or neighbouring spot): its weight, 0 for none. */
  company: number;
  /** Chance that it would have had company anyway. */
  chance: number;
  cluster: Cluster | null;
  gone: boolean;
  /** The live episodes of the same alert before and after it. */
  older: Entry | null;
  newer: Entry | null;
};

/** One incident as the correlator sees it. `mergedInto` chains to the incident that took it over. */
export type Cluster = {
  id: string;
  mergedInto: Cluster | null;
  closed: boolean;
  size: number;
  firstOnset: number;
  lastOnset: number;
  /** Members the cohesion guard measures against: the newest, at most `guard.sample`. */
  sample: Entry[];
  /** Member alerts that a person linked or separated. */
  linked: Set<string> | null;
};

/** The live points of one rule at one spot, by onset. Removed ones stay until half the list is dead: removal is O(1). */
export type Cell = { rule: Rule; list: Entry[]; dead: number };

/** Where alerts are: one service (or call, or host) in one namespace, with the live points of each rule in order of onset. */
export type Spot = {
  where: Place;
  cells: Map<string, Cell>;
  /** Live spots that are connected with this one at all, itself first. */
  near: { spot: Spot; connectivity: number }[];
  /** The same by spot. */
  links: Map<Spot, number>;
  live: number;
  /** Whether the service graph knows its service. */
  onGraph: boolean;
  /** How often something began here, in groups, and when last; kept by the correlator for longer than the spot lives. */
  begun: { count: number; last: number } | null;
  /** How many spots had been dropped when dead ones were last cleared from `near`. */
  clearedAt: number;
};

/** Spots that share a name, host or site, in order of coming; those without live points stay until half the list is like that. */
type Crowd = { list: Spot[]; dead: number };

/** At most this many neighbouring spots are kept for one spot; names made up by a hostile sender must not cost n². */
const nearLimit = 128;

/**
 * The index: spots by service name, by site (for services the graph does not know) and by host; inside a spot one list per
 * rule, sorted by onset. Finding the neighbours of a point touches the spots connected with its own, and in each list only
 * the stretch of time in reach.
 */
export type SpotIndex = {
  /** The spot of this place, made when it is the first there. */
  spot(where: Place): Spot;
  /** Puts a point in at its spot. */
  insert(entry: Entry): void;
  remove(entry: Entry): void;
  size(): number;
};

export function createSpotIndex(connectivity: Connectivity, limit = nearLimit): SpotIndex {
  const spots = new Map<string, Spot>();
  const byName = new Map<string, Crowd>();
  const byHost = new Map<string, Crowd>();
  const bySite = new Map<string, Crowd>();
  const offGraph = new Map<string, Crowd>();
  let size = 0;
  let drops = 0;

  const names = (f: Place): string[] => {
    const list = f.service === null ? [`\u0001${f.nameless?.alertname}`] : [f.service];
    if (f.destination !== null) list.push(f.destination);
    return list.map((name) => `${f.tenant}\n${name}`);
  };
  const hostKey = (f: Place): string | null => (f.host === null ? null : `${f.tenant}\n${f.host}`);

  function candidates(f: Place): Set<Spot> {
    const found = new Set<Spot>();
    // Of a crowd the newest: they are the ones still within reach in time. Never all of it: that would make n spots cost n².
    const take = (crowd: Crowd | undefined): void => {
      if (!crowd) return;
      for (let i = Math.max(0, crowd.list.length - limit); i < crowd.list.length && found.size < limit; i += 1) {
        const spot = crowd.list[i]!;
        if (spot.live > 0) found.add(spot);
      }
    };
    for (const name of names(f)) take(byName.get(name));
    const host = hostKey(f);
    if (host !== null) take(byHost.get(host));
    for (const service of [f.service, f.destination]) {
      if (service === null) continue;
      const reach = connectivity.reach(service, f.namespace);
      if (reach.size <= byName.size) for (const name of reach.keys()) take(byName.get(`${f.tenant}\n${name}`));
      else {
        const prefix = `${f.tenant}\n`;
        for (const [name, set] of byName) {
          if (name.startsWith(prefix) && reach.has(name.slice(prefix.length))) take(set);
        }
      }
    }
    take(connectivity.onGraph(f) ? offGraph.get(f.site) : bySite.get(f.site));
    return found;
  }

  function spotOf(f: Place): Spot {
    const key = f.spot;
    const known = spots.get(key);
    if (known) return known;
    const spot: Spot = {
      where: f,
      cells: new Map(),
      near: [],
      links: new Map(),
      live: 0,
      onGraph: connectivity.onGraph(f),
      begun: null,
      clearedAt: drops,
    };
    addNear(spot, spot, 1);
    for (const other of candidates(f)) {
      const c = connectivity.of(f, other.where);
      if (c <= 0) continue;
      addNear(spot, other, c);
      if (other.near.length >= limit && other.clearedAt !== drops) clearDead(other);
      if (other.near.length < limit) addNear(other, spot, c);
    }
    spots.set(key, spot);
    for (const name of names(f)) addTo(byName, name, spot);
    const host = hostKey(f);
    if (host !== null) addTo(byHost, host, spot);
    addTo(bySite, f.site, spot);
    if (!spot.onGraph) addTo(offGraph, f.site, spot);
    return spot;
  }

  /** A full list may name spots that were dropped without knowing of it: they had no room to name this one. */
  function clearDead(spot: Spot): void {
    spot.clearedAt = drops;
    spot.near = spot.near.filter((n) => n.spot === spot || n.spot.live > 0 || !spot.links.delete(n.spot));
  }

  function dropSpot(spot: Spot): void {
    drops += 1;
    spots.delete(spot.where.spot);
    for (const name of names(spot.where)) removeFrom(byName, name);
    const host = hostKey(spot.where);
    if (host !== null) removeFrom(byHost, host);
    removeFrom(bySite, spot.where.site);
    if (!spot.onGraph) removeFrom(offGraph, spot.where.site);
    for (const { spot: other } of spot.near) {
      if (other === spot) continue;
      if (!other.links.delete(spot)) continue;
      other.near.splice(
        other.near.findIndex((n) => n.spot === spot),
        1,
      );
    }
  }

  return {
    spot: spotOf,
    insert(entry) {
      const { rule, spot } = entry;
      const cell = spot.cells.get(rule.key);
      if (!cell) spot.cells.set(rule.key, { rule, list: [entry], dead: 0 });
      else if (cell.list.at(-1)!.onset <= entry.onset) cell.list.push(entry);
      else cell.list.splice(firstAfter(cell.list, entry.onset), 0, entry);
      spot.live += 1;
      size += 1;
    },
    remove(entry) {
      if (entry.gone) return;
      entry.gone = true;
      const { spot } = entry;
      const cell = spot.cells.get(entry.rule.key);
      if (cell) {
        cell.dead += 1;
        if (cell.dead === cell.list.length) spot.cells.delete(cell.rule.key);
        else if (cell.dead * 2 > cell.list.length) {
          cell.list = cell.list.filter((e) => !e.gone);
          cell.dead = 0;
        }
      }
      spot.live -= 1;
      size -= 1;
      if (spot.live === 0) dropSpot(spot);
    },
    size: () => size,
  };
}

/** Best connected first: whoever looks at the neighbourhood on a budget sees what matters. */
function addNear(spot: Spot, other: Spot, connectivity: number): void {
  let i = spot.near.length;
  while (i > 1 && spot.near[i - 1]!.connectivity < connectivity) i -= 1;
  spot.near.splice(i, 0, { spot: other, connectivity });
  spot.links.set(other, connectivity);
}

/** Index of the first entry of the list whose onset is later than `onset`. */
export function firstAfter(list: readonly Entry[], onset: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]!.onset <= onset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function addTo(table: Map<string, Crowd>, key: string, spot: Spot): void {
  const crowd = table.get(key);
  if (crowd) crowd.list.push(spot);
  else table.set(key, { list: [spot], dead: 0 });
}

/** Takes a spot without live points out: at once when it was the last, else once half the list is like it. */
function removeFrom(table: Map<string, Crowd>, key: string): void {
  const crowd = table.get(key);
  if (!crowd) return;
  crowd.dead += 1;
  if (crowd.dead === crowd.list.length) table.delete(key);
  else if (crowd.dead * 2 > crowd.list.length) {
    crowd.list = crowd.list.filter((spot) => spot.live > 0);
    crowd.dead = 0;
  }
}
