import type { Labels } from '../domain/alert.ts';
import type { LinkRecord, MemoryRecord, PlacementWhy } from '../domain/effects.ts';
import type { Severity } from '../domain/severity.ts';

/** What the correlator may know of one firing episode. Times are epoch ms. */
export type Point = {
  /** Unique per episode: `source/fingerprint@startsAt`. */
  key: string;
  /** `source/fingerprint`, for must-link and cannot-link constraints. */
  alert: string;
  /** Alerts of different tenants never meet. */
  tenant: string;
  alertname: string;
  service: string | null;
  /** For an alert on a call: the service called, when a label says so. */
  destination: string | null;
  namespace: string | null;
  cluster: string | null;
  severity: Severity;
  labels: Labels;
  summary: string | null;
  groupKey: string | null;
  /** Onset as the sender said it, clamped to the arrival when it lies in the future or before the epoch. */
  startsAt: number;
  /** When it reached us. */
  at: number;
};

/** Which incident a point belongs to now, and why. */
export type Placement = {
  /** An existing cluster (the incident id given to `place` earlier), or null: the point opens its own. */
  incidentId: string | null;
  /** Other incidents that this point showed to be the same; the engine merges them into the eldest. */
  merges: { incidentId: string; reason: string }[];
  why: PlacementWhy;
};

/** Where the same alert's last episode was: its incident, when that episode ended, and whether all of the incident had. */
export type Earlier = { incidentId: string; endedAt: number; resolved: boolean };

/** Which rule, where: relevance is learned per rule and site (tenant, cluster, namespace). */
export type RulePlace = Pick<Point, 'tenant' | 'cluster' | 'namespace' | 'alertname'>;

/**
 * What a rule's alerts have been worth so far. `relevance` is the probability, 0..1, that the rule speaks of faults and not
 * of noise (it starts at the model's prior, and takes a hint from the same rule in other namespaces); `onsets` is how many of its
 * onsets here that rests on, fading with the model's half-life, and `accompanied` how many of those had another alert beside
 * them (same or neighbouring service, within the time scale). 0 onsets: nothing was learned here.
 */
export type RuleRecord = { relevance: number; onsets: number; accompanied: number };

/**
 * The incremental correlator of one shard. Pure in memory: no clock, no randomness, flat cost per point.
 * The engine owns incident ids; the correlator answers with ids it was told by `assigned`.
 */
export type Correlator = {
  /**
   * Finds the point's incident among those open to it. `now` is the clock of the batch; `earlier` is the incident of the
   * same alert's last episode, when that still takes alerts (open, or resolved within its reopen window).
   */
  place(point: Point, now: number, earlier?: Earlier | null): Placement;
  /** Tells where the engine put it (also used to rebuild state after a restart, in order of arrival). */
  assigned(point: Point, incidentId: string): void;
  /** Tells that incidents were merged (`from` lives on as `into`). */
  merged(from: string, into: string): void;
  /** Human split: these points (episode keys) now live in `incidentId`. */
  moved(keys: string[], incidentId: string): void;
  /** The incident takes no more alerts (resolved past its reopen window, or quieter than the window). */
  closed(incidentId: string): void;
  /** Forgets points too old to matter; call often, cheap. */
  expire(now: number): void;
  link(link: LinkRecord): void;
  /** A change happened: alerts that follow one change are closer than alerts that follow different ones. */
  deployed(deploy: { id: string; service: string; startedAt: number }): void;
  /** What was learned of a rule; reading it changes nothing. */
  relevance(rule: RulePlace): RuleRecord;
  /** Learned counters that changed since the last call, for the store. */
  drainMemory(): MemoryRecord[];
  loadMemory(records: MemoryRecord[]): void;
  /** A new service graph or window takes over; points, clusters and what was learned stay. */
  reconfigure(options: CorrelatorOptions): void;
  /** The affinities (1 − distance, 0..1) among these points, by their places in the list. */
  affinities(points: readonly Point[]): (i: number, j: number) => number;
  /** Distance of two points with its parts, for `explain` and the correlation endpoint; works for any two points. */
  distance(a: Point, b: Point): { distance: number; parts: Record<string, number> };
};

export type CorrelatorOptions = {
  /** Service graph: adjacency by service (namespace may be null), callers and callees. Replaced whole on reload. */
  graph: ServiceGraph;
  /** An alert never joins an incident quieter than this, ms. */
  windowMs: number;
};

/** Calls between services. A service is known by its name within a namespace; null is "any namespace". */
export type ServiceGraph = {
  callees(service: string, namespace: string | null): readonly string[];
  callers(service: string, namespace: string | null): readonly string[];
  has(service: string, namespace: string | null): boolean;
  edges(): readonly { namespace: string | null; caller: string; callee: string }[];
  nodes(): readonly { namespace: string | null; service: string }[];
};
