import type { LinkRecord } from '../domain/effects.ts';
import { affinity, type Parts, relevancePart } from './affinity.ts';
import { createConnectivity } from './connectivity.ts';
import { type Features, featuresOf } from './features.ts';
import type { CorrelationModel } from './model.ts';
import { createRelevance } from './relevance.ts';
import { type Cell, type Cluster, createSpotIndex, type Entry, firstAfter } from './spots.ts';
import type { Correlator, CorrelatorOptions, Earlier, Placement, Point } from './types.ts';

/** Switches for the test against the oracle and for ablations; the product runs with the defaults. */
export type Tuning = {
  /** Learn relevance and rates from the points placed. */
  learn: boolean;
  /** Cohesion guard against chaining. */
  guard: boolean;
  /** Points looked at in each direction of time in one list before going on to the next list. */
  scan: number;
  /** Neighbouring spots kept for one spot. */
  spots: number;
};

const defaults: Tuning = { learn: true, guard: true, scan: 48, spots: 512 };

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
  const { learn, guard, scan, spots } = { ...defaults, ...tuning };
  const relevance = createRelevance(model);
  const cut = 1 - model.eps;
  let graph = options.graph;
  let connectivity = createConnectivity(graph, model.connectivity);
  let index = createSpotIndex(connectivity, spots);

  const entries = new Map<string, Entry>();
  const queue: Entry[] = [];
  let queueHead = 0;
  const clusters = new Map<string, Cluster>();
  const links = { must: new Map<string, Set<string>>(), cannot: new Map<string, Set<string>>() };
  const byAlert = new Map<string, Set<Entry>>();
  /** The latest onsets of each rule, to see a burst: the same rule on several services within a minute. */
  const recent = new Map<string, Entry[]>();
  /** How often something begins at a spot, in groups: what makes company by chance likely. */
  const groups = new Map<string, { count: number; last: number }>();

  const horizonMs = Math.max(options.windowMs, model.time.maxMs * Math.log(1 / Math.max(cut, 0.01)));

  // ---- the distance --------------------------------------------------------------------------------------------------

  const relevanceOf = (e: Entry): number =>
    e.burst ? Math.max(model.relevance.burst, relevance.of(e.features.rule)) : relevance.of(e.features.rule);

  const tauOf = (a: Features, b: Features): number =>
    a.site === b.site
      ? relevance.timeScale(a.site)
      : Math.max(relevance.timeScale(a.site), relevance.timeScale(b.site));

  function affinityOf(a: Entry, b: Entry, c: number, parts: Parts | null): number {
    const facts = {
      relevanceA: relevanceOf(a),
      relevanceB: relevanceOf(b),
      tauMs: tauOf(a.features, b.features),
      deploy: null,
    };
    return affinity(a.features, b.features, c, facts, model, parts);
  }

  // ---- finding neighbours --------------------------------------------------------------------------------------------

  /** Calls `visit` for live entries of a cell, nearest in time first, within `reachMs`, at most `scan` each way. */
  function visitCell(cell: Cell, onset: number, reachMs: number, visit: (entry: Entry) => void): void {
    const { list } = cell;
    const start = firstAfter(list, onset);
    for (let i = start, seen = 0; i < list.length && seen < scan; i += 1) {
      const entry = list[i]!;
      if (entry.features.onset - onset > reachMs) break;
      if (entry.gone) continue;
      seen += 1;
      visit(entry);
    }
    for (let i = start - 1, seen = 0; i >= 0 && seen < scan; i -= 1) {
      const entry = list[i]!;
      if (onset - entry.features.onset > reachMs) break;
      if (entry.gone) continue;
      seen += 1;
      visit(entry);
    }
  }

  /** Every live point within eps of `x`. A list is skipped when even a simultaneous onset could not reach the cut. */
  function neighboursOf(x: Entry): Neighbour[] {
    const found: Neighbour[] = [];
    const relevanceX = relevanceOf(x);
    for (const { spot, connectivity: c } of x.spot.near) {
      for (const cell of spot.cells.values()) {
        const first = cell.list[0]!;
        const tau = tauOf(x.features, first.features);
        const best = c * relevancePart(relevanceX, Math.max(relevance.of(cell.rule), model.relevance.burst));
        if (best < cut) continue;
        visitCell(cell, x.features.onset, tau * Math.log(best / cut) + 1, (entry) => {
          if (entry === x || entry.cluster?.closed) return;
          const a = affinityOf(x, entry, c, null);
          if (a >= cut) found.push({ entry, affinity: a });
        });
      }
    }
    return found;
  }

  // ---- learning ------------------------------------------------------------------------------------------------------

  /** Chance that something begins at one of these spots within the companion time, all being independent. */
  function chanceOfCompany(x: Entry): number {
    let rate = 0;
    const perSpot = 1 / observedMs(x.features.site);
    for (const { spot } of x.spot.near) rate += (groups.get(spot.features.spot)?.count ?? 0) * perSpot;
    return 1 - Math.exp(-rate * 2 * companionMs(x));
  }

  const pending: Entry[] = [];
  const started = new Map<string, number>();
  let clock = 0;
  const observedMs = (site: string): number => Math.max(1_800_000, clock - (started.get(site) ?? clock));

  /** Company is looked for within this time: longer where the time scale is long. */
  const companionMs = (x: Entry): number =>
    Math.max(model.relevance.companionMs, model.relevance.companionShare * relevance.timeScale(x.features.site));

  function learnFrom(x: Entry, now: number): void {
    clock = Math.max(clock, now);
    const { site, onset, spot } = x.features;
    judgePending(now);
    if (!started.has(site)) started.set(site, now);
    relevance.tick(site, now);
    markBurst(x);
    x.chance = chanceOfCompany(x);
    pending.push(x);
    for (const near of x.spot.near) {
      if (near.connectivity < (model.connectivity.hops[1] ?? 1)) continue;
      for (const cell of near.spot.cells.values()) {
        visitCell(cell, onset, companionMs(x), (entry) => {
          if (entry.alert === x.alert) return;
          // Two alerts of one rule are weaker evidence than two rules: a flapping rule keeps itself company.
          const sameRule = entry.features.rule === x.features.rule && !(x.burst || entry.burst);
          const weight = sameRule ? model.relevance.sameRule : 1;
          keepCompany(x, now, weight);
          keepCompany(entry, now, weight);
        });
      }
    }
    const group = groups.get(spot) ?? { count: 0, last: -Infinity };
    if (Math.abs(onset - group.last) > model.relevance.companionMs) group.count += 1;
    group.last = Math.max(group.last, onset);
    groups.set(spot, group);
  }

  function keepCompany(entry: Entry, now: number, weight: number): void {
    if (weight <= entry.company) return;
    relevance.company(entry.features.rule, entry.chance, weight - entry.company, now);
    entry.company = weight;
  }

  /** Points whose time for company is over and who had none speak against their rule. */
  function judgePending(now: number): void {
    while (pending.length > 0 && pending[0]!.at + companionMs(pending[0]!) <= now) {
      const entry = pending.shift()!;
      if (!entry.company) relevance.alone(entry.features.rule, now);
    }
  }

  function markBurst(x: Entry): void {
    const { burstMs, burstServices } = model.relevance;
    const key = x.features.rule;
    const list = (recent.get(key) ?? []).filter(
      (e) => !e.gone && Math.abs(e.features.onset - x.features.onset) <= burstMs,
    );
    list.push(x);
    if (list.length > 32) list.shift();
    recent.set(key, list);
    const places = new Set(list.map((e) => e.features.service ?? e.features.spot));
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
      sum += affinityOf(x, member, connectivity.of(x.features, member.features), null);
      n += 1;
    }
    return n === 0 ? 1 : sum / n;
  }

  function cohesionBetween(a: Cluster, b: Cluster): number {
    let sum = 0;
    let n = 0;
    for (const x of a.sample.slice(-12)) {
      for (const y of b.sample.slice(-12)) {
        sum += affinityOf(x, y, connectivity.of(x.features, y.features), null);
        n += 1;
      }
    }
    return n === 0 ? 0 : sum / n;
  }

  const fits = (cluster: Cluster, onset: number): boolean =>
    cluster.size < model.guard.maxSize &&
    Math.max(cluster.lastOnset, onset) - Math.min(cluster.firstOnset, onset) <= model.guard.maxSpanMs;

  const linkedTo = (kind: 'must' | 'cannot', alert: string): ReadonlySet<string> | undefined => links[kind].get(alert);

  function separated(x: string, cluster: Cluster): boolean {
    const apart = linkedTo('cannot', x);
    if (!apart || !cluster.linked) return false;
    for (const other of apart) if (cluster.linked.has(other)) return true;
    return false;
  }

  function clustersSeparated(a: Cluster, b: Cluster): boolean {
    for (const alert of a.linked ?? []) if (separated(alert, b)) return true;
    return false;
  }

  function insert(point: Point): Entry {
    const features = featuresOf(point);
    const entry = index.insert({
      key: point.key,
      alert: point.alert,
      at: point.at,
      features,
      neighbours: 1,
      core: model.minPts <= 1,
      burst: false,
      company: 0,
      chance: 0,
      cluster: null,
      gone: false,
    });
    entries.set(point.key, entry);
    queue.push(entry);
    const same = byAlert.get(point.alert);
    if (same) same.add(entry);
    else byAlert.set(point.alert, new Set([entry]));
    return entry;
  }

  function remove(entry: Entry): void {
    if (entry.gone) return;
    index.remove(entry);
    entries.delete(entry.key);
    const same = byAlert.get(entry.alert);
    same?.delete(entry);
    if (same?.size === 0) byAlert.delete(entry.alert);
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
    const nearest = [...around]
      .sort((a, b) => b.affinity - a.affinity || (a.entry.key < b.entry.key ? -1 : 1))
      .slice(0, 5);
    return {
      rule,
      eps: model.eps,
      minPts: model.minPts,
      note,
      neighbours: nearest.map(({ entry }) => {
        const parts: Parts = {};
        const a = affinityOf(x, entry, connectivity.of(x.features, entry.features), parts);
        return { key: entry.key, distance: round(1 - a), parts: rounded(parts) };
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
      if (guard && (cohesion < model.guard.cohesion || !fits(cluster, x.features.onset))) continue;
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
    if (x.core || model.minPts > 2) {
      for (const { cluster, best } of offers) {
        if (cluster === home || clustersSeparated(cluster, home)) continue;
        if (
          guard &&
          (cohesionBetween(cluster, home) < model.guard.merge || cluster.size + home.size > model.guard.maxSize)
        )
          continue;
        merges.push({
          incidentId: cluster.id,
          reason: `${point.alertname} is close to both (affinity ${round(best)})`,
        });
      }
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
   * within the reopen window, or back within the time scale of its site. In the company of others it goes with them.
   */
  function returning(x: Entry, earlier: Earlier, offers: Offer[]): Cluster | null {
    const cluster = clusters.get(earlier.incidentId);
    if (!cluster || resolve(cluster).closed) return null;
    const home = resolve(cluster);
    // The same episode after all, or one whose resolve was never sent.
    if (x.features.onset <= earlier.endedAt || offers.some((o) => o.cluster === home)) return home;
    if (offers.length > 0) return null;
    const gap = x.features.onset - earlier.endedAt;
    return earlier.resolved || gap <= relevance.timeScale(x.features.site) ? home : null;
  }

  function mustCluster(alert: string): Cluster | null {
    for (const other of linkedTo('must', alert) ?? []) {
      for (const entry of byAlert.get(other) ?? []) {
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
    cluster.firstOnset = Math.min(cluster.firstOnset, entry.features.onset);
    cluster.lastOnset = Math.max(cluster.lastOnset, entry.features.onset);
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
    for (const entry of entries.values()) entry.spot = index.insert(entry).spot;
  }

  return {
    place,
    assigned(point, incidentId) {
      attach(entries.get(point.key) ?? insert(point), incidentId);
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
      while (queueHead < queue.length && queue[queueHead]!.at < now - horizonMs) {
        remove(queue[queueHead]!);
        queueHead += 1;
      }
      if (queueHead > 1024 && queueHead * 2 > queue.length) {
        queue.splice(0, queueHead);
        queueHead = 0;
      }
    },
    link(link: LinkRecord) {
      addLink(links[link.kind], link.a, link.b);
      for (const alert of [link.a, link.b]) {
        for (const entry of byAlert.get(alert) ?? []) {
          const cluster = clusterOf(entry);
          if (cluster) remember(cluster, alert);
        }
      }
    },
    reconfigure(next) {
      options = next;
    },
    drainMemory: () => relevance.drain(),
    loadMemory: (records) => relevance.load(records),
    distance(a, b) {
      const fa = featuresOf(a);
      const fb = featuresOf(b);
      const parts: Parts = {};
      const facts = {
        relevanceA: entries.get(a.key)?.burst
          ? Math.max(model.relevance.burst, relevance.of(fa.rule))
          : relevance.of(fa.rule),
        relevanceB: entries.get(b.key)?.burst
          ? Math.max(model.relevance.burst, relevance.of(fb.rule))
          : relevance.of(fb.rule),
        tauMs: tauOf(fa, fb),
        deploy: null,
      };
      const value = affinity(fa, fb, connectivity.of(fa, fb), facts, model, parts);
      return { distance: round(1 - value), parts: rounded(parts) };
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

const round = (x: number): number => Math.round(x * 1e4) / 1e4;

const rounded = (parts: Parts): Parts => Object.fromEntries(Object.entries(parts).map(([name, x]) => [name, round(x)]));
