import type { LinkRecord } from '../domain/effects.ts';
import { affinity, type Parts, type Sight } from './affinity.ts';
import { createConnectivity } from './connectivity.ts';
import { looksOf, type Place, placeOf, ruleKey } from './features.ts';
import type { CorrelationModel } from './model.ts';
import { createRelevance, lagBinMs, lagBins, onsetsPerMinute, type Rule, type Site } from './relevance.ts';
import { type Cell, type Cluster, createSpotIndex, type Entry, firstAfter, type Spot } from './spots.ts';
import type { Correlator, CorrelatorOptions, Earlier, Placement, Point } from './types.ts';

/** Switches for the test against the oracle and for ablations; the product runs with the defaults. */
export type Tuning = {
  /** Learn relevance and rates from the points placed. */
  learn: boolean;
  /** Cohesion guard against chaining. */
  guard: boolean;
  /** Points and lists looked at for one point at most; what is closest comes first. */
  looks: number;
  /** Neighbours taken from one list (one rule at one spot). */
  perCell: number;
  /** Neighbouring spots kept for one spot. */
  spots: number;
};

const defaults: Tuning = { learn: true, guard: true, looks: 256, perCell: 3, spots: 128 };
/** Looks spent on learning who had company: in a crowd everyone has. */
const companyLooks = 64;
/** So many of one list with company already, and the rest of it has, too. */
const enoughAccompanied = 3;
/** Looks spent on learning how far apart connected onsets are; with the few onsets of a minute that count it stays cheap. */
const lagLooks = 256;
/** Neighbours that settle a placement: more would only say the same again. */
const enoughNeighbours = 32;

/** Neighbours that a placement is explained with. */
const shownNeighbours = 5;

/** A change may be behind alerts for this long. */
const deployReachMs = 30 * 60_000;
const deploysKept = 64;

/** Spots, sites and rules whose recent past is kept by name. */
const kept = 20_000;

type Budget = { left: number };

type Neighbour = { entry: Entry; affinity: number };
/** What one cluster offers a point: its closest neighbour there, and how well it fits the whole. */
type Offer = { cluster: Cluster; best: number; cohesion: number };

const rule = 'density';

/**
 * The incremental correlator: DBSCAN (Ester et al. 1996; insertions as in Ester et al. 1998) over the product's distance,
 * kept up point by point, with a cohesion guard on top. See docs/adr for the distance and what was measured.
 */
export function createCorrelator(
  options: CorrelatorOptions,
  model: CorrelationModel,
  tuning: Partial<Tuning> = {},
): Correlator {
  const { learn, guard, looks, perCell, spots } = { ...defaults, ...tuning };
  const relevance = createRelevance(model);
  const cut = 1 - model.eps;
  const enough = looks === Infinity ? Infinity : enoughNeighbours;
  /** Company must be at the same spot or a direct neighbour. */
  const close = model.connectivity.hops[1] ?? 1;
  let graph = options.graph;
  let connectivity = createConnectivity(graph, model.connectivity);
  let index = createSpotIndex(connectivity, spots);

  const deploys: { id: string; service: string; startedAt: number }[] = [];
  const entries = new Map<string, Entry>();
  const queue: Entry[] = [];
  let queueHead = 0;
  const clusters = new Map<string, Cluster>();
  const links = { must: new Map<string, Set<string>>(), cannot: new Map<string, Set<string>>() };
  /** The newest live episode of each alert; the earlier ones hang on it. */
  const byAlert = new Map<string, Entry>();
  /** The latest onsets of each rule, to see a burst: the same rule on several services within a minute. */
  const recent = new Map<Rule, Entry[]>();
  /** How often something begins at a spot, in groups: what makes company by chance likely. */
  const groups = new Map<string, { count: number; last: number }>();

  // ---- the distance --------------------------------------------------------------------------------------------------

  const relevanceOf = (e: Entry): number => {
    const learned = relevance.of(e.rule);
    return e.burst && learned < model.relevance.burst ? model.relevance.burst : learned;
  };

  const tauOf = (a: Site, b: Site): number => Math.max(a.tauMs, b.tauMs);

  /** Connectivity of two points: what the index knows; worked out when one is gone or its neighbourhood was cut short. */
  function between(a: Entry, b: Entry): number {
    const known = a.spot.links.get(b.spot);
    if (known !== undefined) return known;
    const whole = !a.gone && !b.gone && a.spot.near.length < spots && b.spot.near.length < spots;
    return whole ? 0 : connectivity.of(a.spot.where, b.spot.where);
  }

  function affinityOf(a: Entry, b: Entry, c: number, parts: Parts | null): number {
    if (c === 0 && !parts) return 0;
    return affinity(
      a,
      b,
      c,
      relevanceOf(a) * relevanceOf(b),
      tauOf(a.site, b.site),
      shared(a.deploy, b.deploy),
      model,
      parts,
    );
  }

  // ---- finding neighbours --------------------------------------------------------------------------------------------

  /**
   * Calls `visit` for live entries of a cell, nearest in time first, within `reachMs`, until it returns false. Each look
   * is paid from the budget.
   */
  function visitCell(
    cell: Cell,
    onset: number,
    reachMs: number,
    budget: Budget,
    visit: (entry: Entry) => boolean,
  ): void {
    const { list } = cell;
    const start = firstAfter(list, onset);
    let later = start;
    let earlier = start - 1;
    while (budget.left > 0) {
      const after = later < list.length ? list[later]!.onset - onset : Infinity;
      const before = earlier >= 0 ? onset - list[earlier]!.onset : Infinity;
      if (after > reachMs && before > reachMs) return;
      const entry = after < before ? list[later++]! : list[earlier--]!;
      budget.left -= 1;
      if (!entry.gone && !visit(entry)) return;
    }
  }

  /**
   * The live points within eps of `x`, closest spots first. A list is skipped when even a simultaneous onset could not
   * reach the cut, and left once `perCell` neighbours were found in it: more of the same rule at the same spot add nothing.
   * A way of several hops stands for the silent services on it: where a service beside `x` alerts with it (affinity `near`),
   * nothing further off in the graph is looked at, or two subtrees that meet at one door would be one fault.
   */
  function neighboursOf(x: Entry): Neighbour[] {
    const found: Neighbour[] = [];
    const relevanceX = relevanceOf(x);
    const budget = { left: looks };
    let strongest = 0;
    for (const { spot, connectivity: c } of x.spot.near) {
      if (guard && c < close && strongest >= model.guard.near && spot.onGraph && x.spot.onGraph) continue;
      for (const cell of spot.cells.values()) {
        if (budget.left <= 0) return found;
        budget.left -= 1;
        const best = c * relevanceX * Math.max(relevance.of(cell.rule), model.relevance.burst);
        if (best < cut) continue;
        const tau = tauOf(x.site, cell.list[0]!.site);
        let inCell = 0;
        visitCell(cell, x.onset, tau * Math.log(best / cut) + 1, budget, (entry) => {
          if (entry === x || clusterOf(entry)?.closed) return true;
          const a = affinityOf(x, entry, c, null);
          if (a < cut) return true;
          found.push({ entry, affinity: a });
          strongest = Math.max(strongest, a);
          inCell += 1;
          return inCell < perCell;
        });
        if (found.length >= enough) return found;
      }
    }
    return found;
  }

  /** The change, if any, that may be behind an alert: the latest of its own service or one it calls, shortly before. */
  function deployBehind(f: Place, onset: number): string | null {
    if (deploys.length === 0 || f.service === null) return null;
    const suspects = new Set([
      f.service,
      ...(f.destination === null ? [] : [f.destination]),
      ...graph.callees(f.service, f.namespace),
    ]);
    for (let i = deploys.length - 1; i >= 0; i -= 1) {
      const d = deploys[i]!;
      if (d.startedAt <= onset + 60_000 && onset - d.startedAt <= deployReachMs && suspects.has(d.service)) return d.id;
    }
    return null;
  }

  /** Whether one change is behind both; null when either has none behind it: no evidence. */
  const shared = (a: string | null, b: string | null): boolean | null => (a === null || b === null ? null : a === b);

  // ---- learning ------------------------------------------------------------------------------------------------------

  /**
   * Chance that something begins within the companion time at a spot connected with this one, all being independent. It
   * errs on the high side on purpose (all hops, not only neighbours): trouble comes in clumps, and so does noise beside it.
   */
  function chanceOfCompany(x: Entry): number {
    let rate = 0;
    const perSpot = 1 / observedMs(x.spot.where.site);
    for (const { spot } of x.spot.near) rate += (spot.begun?.count ?? 0) * perSpot;
    return 1 - Math.exp(-rate * 2 * companionMs(x));
  }

  const pending: Entry[] = [];
  let pendingHead = 0;
  const started = new Map<string, number>();
  let clock = 0;
  const observedMs = (site: string): number => Math.max(1_800_000, clock - (started.get(site) ?? clock));

  /** Company is looked for within this time: longer where the time scale is long. */
  const companionMs = (x: Entry): number =>
    Math.max(model.relevance.companionMs, model.relevance.companionShare * x.site.tauMs);

  function learnFrom(x: Entry, now: number): void {
    clock = Math.max(clock, now);
    const { site } = x.spot.where;
    judgePending(now);
    if (!started.has(site)) started.set(site, now);
    relevance.tick(x.site, now);
    markBurst(x);
    x.chance = chanceOfCompany(x);
    pending.push(x);
    if (x.site.inMinute <= onsetsPerMinute) learnLags(x);
    meetCompany(x, (entry, weight) => keepCompany(entry, now, weight));
    countGroup(x);
  }

  /**
   * A point put back after a restart. What it taught is in the counters that the store gave back; only what was kept with
   * the point itself is worked out again: its company, whether it is part of a burst, whether it still waits for company.
   */
  function recall(x: Entry): void {
    clock = Math.max(clock, x.at);
    if (!started.has(x.site.key)) started.set(x.site.key, x.at);
    markBurst(x);
    x.chance = chanceOfCompany(x);
    pending.push(x);
    const isOver = (entry: Entry): boolean => entry.at + companionMs(entry) <= clock;
    while (pendingHead < pending.length && isOver(pending[pendingHead]!)) pendingHead += 1;
    meetCompany(x, (entry, weight) => {
      entry.company = Math.max(entry.company, weight);
    });
    countGroup(x);
  }

  /** Tells both sides of the points that began with this one, at its spot or beside it, and what such company weighs. */
  function meetCompany(x: Entry, met: (entry: Entry, weight: number) => void): void {
    const budget = { left: Math.min(looks, companyLooks) };
    for (const near of x.spot.near) {
      if (near.connectivity < close) break;
      for (const cell of near.spot.cells.values()) {
        let accompanied = 0;
        visitCell(cell, x.onset, companionMs(x), budget, (entry) => {
          if (entry.alert === x.alert) return true;
          // Two alerts of one rule are weaker evidence than two rules: a flapping rule keeps itself company.
          const sameRule = entry.rule === x.rule && !(x.burst || entry.burst);
          const weight = sameRule ? model.relevance.sameRule : 1;
          met(x, weight);
          met(entry, weight);
          // In a crowd everyone has company already; the rest of this list has nothing to be told.
          if (x.company >= 1 && entry.company >= 1) accompanied += 1;
          return accompanied < enoughAccompanied;
        });
      }
    }
  }

  function countGroup(x: Entry): void {
    const begun = begunAt(x.spot);
    if (Math.abs(x.onset - begun.last) > model.relevance.companionMs) begun.count += 1;
    begun.last = Math.max(begun.last, x.onset);
  }

  function begunAt(spot: Spot): { count: number; last: number } {
    if (spot.begun) return spot.begun;
    const key = spot.where.spot;
    spot.begun = groups.get(key) ?? { count: 0, last: -Infinity };
    groups.set(key, spot.begun);
    return spot.begun;
  }

  /** How far back connected onsets of other alerts lie: what one trouble's onsets span is read from that. */
  function learnLags(x: Entry): void {
    const budget = { left: Math.min(looks, lagLooks) };
    const weights = new Float64Array(lagBins);
    const own = relevanceOf(x);
    for (const { spot, connectivity: c } of x.spot.near) {
      for (const cell of spot.cells.values()) {
        const weight = own * c * relevance.of(cell.rule);
        visitCell(cell, x.onset, lagBins * lagBinMs, budget, (entry) => {
          const bin = Math.floor(Math.abs(entry.onset - x.onset) / lagBinMs);
          if (entry.alert !== x.alert && bin < lagBins) weights[bin] = Math.max(weights[bin]!, weight);
          return true;
        });
      }
    }
    relevance.lagged(x.site, weights);
  }

  function keepCompany(entry: Entry, now: number, weight: number): void {
    if (weight <= entry.company) return;
    relevance.company(entry.rule, entry.chance, weight - entry.company, entry.company === 0, now);
    entry.company = weight;
  }

  /** Points whose time for company is over and who had none speak against their rule. */
  function judgePending(now: number): void {
    for (; pendingHead < pending.length; pendingHead += 1) {
      const entry = pending[pendingHead]!;
      if (entry.at + companionMs(entry) > now) break;
      if (!entry.company) relevance.alone(entry.rule, now);
    }
    if (pendingHead > 1024) {
      pending.splice(0, pendingHead);
      pendingHead = 0;
    }
  }

  function markBurst(x: Entry): void {
    const { burstMs, burstServices } = model.relevance;
    const list = (recent.get(x.rule) ?? []).filter((e) => !e.gone && Math.abs(e.onset - x.onset) <= burstMs);
    list.push(x);
    if (list.length > 32) list.shift();
    recent.set(x.rule, list);
    const places = new Set(list.map((e) => e.spot.where.service ?? e.spot.where.spot));
    if (places.size >= burstServices) for (const e of list) e.burst = true;
  }

  // ---- clusters ------------------------------------------------------------------------------------------------------

  function resolve(cluster: Cluster): Cluster {
    let c = cluster;
    while (c.mergedInto) c = c.mergedInto;
    return c;
  }

  function clusterOf(entry: Entry): Cluster | null {
    if (!entry.cluster) return null;
    if (entry.cluster.mergedInto) entry.cluster = resolve(entry.cluster);
    return entry.cluster;
  }

  function clusterNamed(id: string): Cluster {
    let cluster = clusters.get(id);
    if (!cluster) {
      cluster = {
        id,
        mergedInto: null,
        closed: false,
        size: 0,
        firstOnset: Infinity,
        lastOnset: -Infinity,
        sample: [],
        linked: null,
      };
      clusters.set(id, cluster);
    }
    return resolve(cluster);
  }

  /** Mean affinity of a point to the members the cluster keeps as its sample. */
  function cohesionOf(x: Entry, cluster: Cluster): number {
    let sum = 0;
    let n = 0;
    for (const member of cluster.sample) {
      if (member === x) continue;
      sum += affinityOf(x, member, between(x, member), null);
      n += 1;
    }
    return n === 0 ? 1 : sum / n;
  }

  function cohesionBetween(a: Cluster, b: Cluster): number {
    let sum = 0;
    let n = 0;
    for (const x of a.sample.slice(-12)) {
      for (const y of b.sample.slice(-12)) {
        sum += affinityOf(x, y, between(x, y), null);
        n += 1;
      }
    }
    return n === 0 ? 0 : sum / n;
  }

  /** A cluster of one joins as an alert does; two of several alerts each must be close as wholes. */
  const belongTogether = (a: Cluster, b: Cluster): boolean =>
    a.size + b.size <= model.guard.maxSize &&
    cohesionBetween(a, b) >= (Math.min(a.size, b.size) <= 1 ? model.guard.cohesion : model.guard.merge);

  const fits = (cluster: Cluster, onset: number): boolean =>
    cluster.size < model.guard.maxSize &&
    Math.max(cluster.lastOnset, onset) - Math.min(cluster.firstOnset, onset) <= model.guard.maxSpanMs;

  const linkedTo = (kind: 'must' | 'cannot', alert: string): ReadonlySet<string> | undefined => links[kind].get(alert);

  function separated(x: string, cluster: Cluster): boolean {
    if (!cluster.linked) return false;
    const apart = linkedTo('cannot', x);
    if (!apart) return false;
    for (const other of apart) if (cluster.linked.has(other)) return true;
    return false;
  }

  function clustersSeparated(a: Cluster, b: Cluster): boolean {
    for (const alert of a.linked ?? []) if (separated(alert, b)) return true;
    return false;
  }

  function insert(point: Point): Entry {
    const where = placeOf(point);
    const spot = index.spot(where);
    if (learn) begunAt(spot);
    const older = byAlert.get(point.alert) ?? null;
    const entry: Entry = {
      key: flat(point.key),
      alert: older?.alert ?? flat(point.alert),
      at: point.at,
      onset: point.startsAt,
      looks: looksOf(point),
      rule: relevance.rule(ruleKey(point)),
      site: relevance.site(where.site, point.at),
      spot,
      deploy: deployBehind(where, point.startsAt),
      neighbours: 1,
      core: model.minPts <= 1,
      burst: false,
      company: 0,
      chance: 0,
      cluster: null,
      gone: false,
      older,
      newer: null,
    };
    if (older) older.newer = entry;
    index.insert(entry);
    entries.set(entry.key, entry);
    queue.push(entry);
    byAlert.set(entry.alert, entry);
    return entry;
  }

  function* episodesOf(alert: string): Generator<Entry> {
    for (let entry = byAlert.get(alert) ?? null; entry; entry = entry.older) yield entry;
  }

  function remove(entry: Entry): void {
    if (entry.gone) return;
    index.remove(entry);
    entries.delete(entry.key);
    const { older, newer } = entry;
    if (older) older.newer = newer;
    if (newer) newer.older = older;
    else if (older) byAlert.set(entry.alert, older);
    else byAlert.delete(entry.alert);
  }

  /**
   * DBSCAN's step for one new point: its clusters are those of the core points around it (once it is core itself, or they
   * are), and a neighbour that becomes core thereby brings the clusters of its own core neighbours.
   */
  function connected(x: Entry, around: Neighbour[]): Map<Cluster, number> {
    const found = new Map<Cluster, number>();
    const note = (entry: Entry, a: number): void => {
      const cluster = clusterOf(entry);
      if (cluster && !cluster.closed) found.set(cluster, Math.max(found.get(cluster) ?? 0, a));
    };
    x.neighbours = 1 + around.length;
    x.core = x.neighbours >= model.minPts;
    const risen: Neighbour[] = [];
    for (const n of around) {
      n.entry.neighbours += 1;
      if (!n.entry.core && n.entry.neighbours >= model.minPts) {
        n.entry.core = true;
        risen.push(n);
      }
    }
    for (const n of around) {
      // Noise around a core point becomes its border; a border point of another cluster stays where it is.
      if (n.entry.core || (x.core && lonely(n.entry))) note(n.entry, n.affinity);
    }
    if (model.minPts > 2) {
      for (const { entry, affinity: a } of risen) {
        for (const other of neighboursOf(entry)) {
          if (other.entry !== x && (other.entry.core || lonely(other.entry)))
            note(other.entry, Math.min(a, other.affinity));
        }
      }
    }
    return found;
  }

  const lonely = (entry: Entry): boolean => !entry.core && (clusterOf(entry)?.size ?? 0) <= 1;

  function why(x: Entry, around: Neighbour[], note: string | null): Placement['why'] {
    return {
      rule,
      eps: model.eps,
      minPts: model.minPts,
      note,
      neighbours: nearest(around, shownNeighbours).map(({ entry }) => {
        const parts: Parts = {};
        const a = affinityOf(x, entry, between(x, entry), parts);
        for (const name in parts) parts[name] = round(parts[name]!);
        return { key: entry.key, distance: round(1 - a), parts };
      }),
    };
  }

  function place(point: Point, now: number, earlier: Earlier | null = null): Placement {
    if (options.graph !== graph) adoptGraph();
    const x = insert(point);
    if (learn) learnFrom(x, now);
    const around = neighboursOf(x);
    const found = connected(x, around);

    const bound = mustCluster(point.alert);
    const offers: Offer[] = [];
    for (const [cluster, best] of found) {
      if (cluster === bound || separated(point.alert, cluster)) continue;
      const cohesion = guard ? cohesionOf(x, cluster) : best;
      if (guard && (cohesion < model.guard.cohesion || !fits(cluster, x.onset))) continue;
      offers.push({ cluster, best, cohesion });
    }
    offers.sort((a, b) => b.cohesion - a.cohesion || b.best - a.best || (a.cluster.id < b.cluster.id ? -1 : 1));

    const own = earlier ? returning(x, earlier, offers) : null;
    const home = bound ?? own ?? offers[0]?.cluster ?? null;
    if (!home) {
      const note = found.size > 0 ? 'Close to an alert of an open incident, but not to its alerts as a whole.' : null;
      return { incidentId: null, merges: [], why: why(x, around, note) };
    }
    const merges: Placement['merges'] = [];
    for (const { cluster, best } of offers) {
      if (cluster === home || clustersSeparated(cluster, home) || (guard && !belongTogether(cluster, home))) continue;
      const reason = `${point.alertname} is close to both (affinity ${round(best)})`;
      merges.push({ incidentId: cluster.id, reason });
    }
    const note = bound
      ? 'A person put these alerts together.'
      : home === own
        ? 'The same alert fired in this incident before.'
        : null;
    return { incidentId: home.id, merges, why: why(x, around, note) };
  }

  /**
   * An alert that fires again goes back to its incident when it is close to it, or when it comes alone: resolved and back
   * within the reopen window, or back within the time scale of its site. In the company of others it goes with them, and
   * where its rule is rather known as noise, its flapping is not hung on to the open incident of others.
   */
  function returning(x: Entry, earlier: Earlier, offers: Offer[]): Cluster | null {
    const cluster = clusters.get(earlier.incidentId);
    if (!cluster || resolve(cluster).closed) return null;
    const home = resolve(cluster);
    // The same episode after all, or one whose resolve was never sent.
    if (x.onset <= earlier.endedAt || offers.some((o) => o.cluster === home)) return home;
    if (offers.length > 0) return null;
    const alone = home.sample.every((e) => e.alert === x.alert);
    if (!alone && !earlier.resolved && relevanceOf(x) < model.guard.returning) return null;
    const gap = x.onset - earlier.endedAt;
    return earlier.resolved || gap <= x.site.tauMs ? home : null;
  }

  function mustCluster(alert: string): Cluster | null {
    for (const other of linkedTo('must', alert) ?? []) {
      for (const entry of episodesOf(other)) {
        const cluster = clusterOf(entry);
        if (cluster && !cluster.closed && !separated(alert, cluster)) return cluster;
      }
    }
    return null;
  }

  function attach(entry: Entry, incidentId: string): void {
    const cluster = clusterNamed(incidentId);
    if (entry.cluster && resolve(entry.cluster) !== cluster) detach(entry);
    entry.cluster = cluster;
    cluster.size += 1;
    cluster.firstOnset = Math.min(cluster.firstOnset, entry.onset);
    cluster.lastOnset = Math.max(cluster.lastOnset, entry.onset);
    cluster.sample.push(entry);
    if (cluster.sample.length > model.guard.sample) cluster.sample.shift();
    if (links.must.has(entry.alert) || links.cannot.has(entry.alert)) remember(cluster, entry.alert);
  }

  function detach(entry: Entry): void {
    const cluster = clusterOf(entry);
    if (!cluster) return;
    cluster.size -= 1;
    cluster.sample = cluster.sample.filter((e) => e !== entry);
    cluster.linked?.delete(entry.alert);
    entry.cluster = null;
  }

  /** A new graph: the spots' neighbourhoods are rebuilt from the live points; what was learned stays. */
  function adoptGraph(): void {
    graph = options.graph;
    connectivity = createConnectivity(graph, model.connectivity);
    index = createSpotIndex(connectivity, spots);
    for (const entry of entries.values()) {
      entry.spot = index.spot(entry.spot.where);
      if (learn) begunAt(entry.spot);
      index.insert(entry);
    }
  }

  type Seen = Sight & { where: Place; relevance: number; site: Site; deploy: string | null };

  /** What enters a distance of any point, live or not. */
  function seen(point: Point): Seen {
    const live = entries.get(point.key);
    const where = placeOf(point);
    return {
      onset: point.startsAt,
      looks: looksOf(point),
      where,
      relevance: live ? relevanceOf(live) : relevance.of(relevance.rule(ruleKey(point))),
      site: relevance.site(where.site, point.at),
      deploy: deployBehind(where, point.startsAt),
    };
  }

  function measured(a: Seen, b: Seen, parts: Parts | null): number {
    const c = connectivity.of(a.where, b.where);
    const r = a.relevance * b.relevance;
    return affinity(a, b, c, r, tauOf(a.site, b.site), shared(a.deploy, b.deploy), model, parts);
  }

  return {
    place,
    assigned(point, incidentId) {
      const known = entries.get(point.key);
      const entry = known ?? insert(point);
      if (!known && learn) recall(entry);
      attach(entry, incidentId);
    },
    merged(from, into) {
      const a = clusterNamed(from);
      const b = clusterNamed(into);
      if (a === b) return;
      a.mergedInto = b;
      b.size += a.size;
      b.firstOnset = Math.min(a.firstOnset, b.firstOnset);
      b.lastOnset = Math.max(a.lastOnset, b.lastOnset);
      b.sample = [...a.sample, ...b.sample].sort((x, y) => x.at - y.at).slice(-model.guard.sample);
      if (a.linked) b.linked = new Set([...a.linked, ...(b.linked ?? [])]);
      a.sample = [];
      a.linked = null;
    },
    moved(keys, incidentId) {
      for (const key of keys) {
        const entry = entries.get(key);
        if (entry) attach(entry, incidentId);
      }
    },
    closed(incidentId) {
      const cluster = clusters.get(incidentId);
      if (!cluster) return;
      clusters.delete(incidentId);
      if (cluster.mergedInto) return;
      cluster.closed = true;
      cluster.sample = [];
    },
    expire(now) {
      // A point too old to be within eps of anything new, and past the window, is forgotten.
      const horizonMs = Math.max(options.windowMs, model.time.maxMs * Math.log(1 / Math.max(cut, 0.01)));
      while (queueHead < queue.length && queue[queueHead]!.at < now - horizonMs) {
        remove(queue[queueHead]!);
        queueHead += 1;
      }
      // Names are the senders': what is kept by name is bounded, the longest untouched goes first.
      for (const [key, list] of recent.size > kept ? recent : []) if (list.every((e) => e.gone)) recent.delete(key);
      for (const table of [groups, started]) {
        let surplus = table.size - kept;
        for (const key of table.keys()) {
          if (surplus <= 0) break;
          table.delete(key);
          surplus -= 1;
        }
      }
      if (queueHead > 1024 && queueHead * 2 > queue.length) {
        queue.splice(0, queueHead);
        queueHead = 0;
      }
    },
    link(link: LinkRecord) {
      addLink(links[link.kind], link.a, link.b);
      for (const alert of [link.a, link.b]) {
        for (const entry of episodesOf(alert)) {
          const cluster = clusterOf(entry);
          if (cluster) remember(cluster, alert);
        }
      }
    },
    reconfigure(next) {
      options = next;
    },
    deployed({ id, service, startedAt }) {
      // Several senders may tell of one change.
      if (deploys.some((d) => d.id === id)) return;
      deploys.push({ id, service, startedAt });
      deploys.sort((a, b) => a.startedAt - b.startedAt);
      if (deploys.length > deploysKept) deploys.shift();
    },
    relevance: (place) => relevance.known(ruleKey(place)),
    drainMemory: () => relevance.drain(),
    loadMemory: (records) => relevance.load(records),
    affinities(points) {
      const all = points.map(seen);
      return (i, j) => measured(all[i]!, all[j]!, null);
    },
    distance(a, b) {
      const parts: Parts = {};
      const value = measured(seen(a), seen(b), parts);
      return { distance: 1 - value, parts };
    },
  };
}

/** A member that a person linked or separated is remembered by its incident, also after its point has been forgotten. */
function remember(cluster: Cluster, alert: string): void {
  cluster.linked ??= new Set();
  cluster.linked.add(alert);
}

function addLink(table: Map<string, Set<string>>, a: string, b: string): void {
  for (const [x, y] of [
    [a, b],
    [b, a],
  ] as const) {
    const set = table.get(x);
    if (set) set.add(y);
    else table.set(x, new Set([y]));
  }
}

/** A copy in one piece: a key put together from parts stays a tree of them in V8, which took 250 bytes a point. */
const flat = (text: string): string => JSON.parse(JSON.stringify(text));

const round = (x: number): number => Math.round(x * 1e4) / 1e4;

/** The `count` nearest, nearest first; one pass, since a crowd has many and few are shown. */
function nearest(around: readonly Neighbour[], count: number): Neighbour[] {
  const best: Neighbour[] = [];
  const before = (a: Neighbour, b: Neighbour): boolean =>
    a.affinity > b.affinity || (a.affinity === b.affinity && a.entry.key < b.entry.key);
  for (const n of around) {
    let i = best.length;
    while (i > 0 && before(n, best[i - 1]!)) i -= 1;
    if (i >= count) continue;
    best.splice(i, 0, n);
    if (best.length > count) best.pop();
  }
  return best;
}
