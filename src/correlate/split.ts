import { type Alert, alertKey } from '../domain/alert.ts';
import type { LiveIncident, World } from '../domain/world.ts';
import * as life from './life.ts';
import type { CorrelationModel } from './model.ts';
import { pointOf } from './place.ts';
import type { Correlator } from './types.ts';

/**
 * Alerts that are compared, one of each rule at each place, earliest first: 60 take 1,770 affinities, some 3 ms. The others
 * of a rule and place go with the one that was.
 */
const compared = 60;
/** Looked at again when a tenth more alerts are in, or after this long: relevance may have been learned meanwhile. */
const againAfterMs = 30_000;
/** The fewest alerts that can be two stories of two; and the most that a proposal, which names each of them, is made of. */
const fewest = 4;
const most = 5_000;

type SplitModel = CorrelationModel['split'];
type Groups = { groups: number[][]; within: number; between: number };

/**
 * Whether n points are several stories: density clusters (DBSCAN with core points of two) at the affinity `tight`, united
 * until all that are left are clearly apart as wholes: mean affinity between two at most `apart` and at least `margin` below
 * the mean within either. Pairs that a person put together are never parted; points of no cluster go to the closest. Null
 * when one story is left. `within` is the loosest group's mean affinity, `between` the closest pair's. O(n²) affinities.
 */
export function splitGroups(
  n: number,
  affinity: (i: number, j: number) => number,
  together: (i: number, j: number) => boolean,
  { tight, apart, margin }: SplitModel,
): Groups | null {
  const table = new Float64Array(n * n);
  const held: [number, number][] = [];
  const root = Array.from({ length: n }, (_, i) => i);
  const find = (i: number): number => {
    let at = i;
    while (root[at] !== at) at = root[at]!;
    root[i] = at;
    return at;
  };
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < i; j += 1) {
      const value = affinity(i, j);
      table[i * n + j] = value;
      table[j * n + i] = value;
      const bound = together(i, j);
      if (bound) held.push([i, j]);
      if (bound || value >= tight) root[find(i)] = find(j);
    }
  }
  const mean = (x: readonly number[], y: readonly number[]): number => {
    let sum = 0;
    let pairs = 0;
    for (const i of x) {
      for (const j of y) {
        if (i === j) continue;
        sum += table[i * n + j]!;
        pairs += 1;
      }
    }
    return pairs === 0 ? 0 : sum / pairs;
  };
  const byRoot = Map.groupBy(
    Array.from({ length: n }, (_, i) => i),
    find,
  );
  const clusters = [...byRoot.values()].filter((members) => members.length > 1);
  const alone = [...byRoot.values()].filter((members) => members.length === 1).flat();

  for (;;) {
    let closest: { x: number; y: number; excess: number } | null = null;
    const within = clusters.map((c) => mean(c, c));
    for (let x = 0; x < clusters.length; x += 1) {
      for (let y = 0; y < x; y += 1) {
        const limit = Math.min(apart, within[x]! - margin, within[y]! - margin);
        const excess = mean(clusters[x]!, clusters[y]!) - limit;
        if (excess > 0 && excess > (closest?.excess ?? 0)) closest = { x, y, excess };
      }
    }
    if (!closest) break;
    clusters[closest.y]!.push(...clusters[closest.x]!);
    clusters.splice(closest.x, 1);
  }
  if (clusters.length < 2) return null;

  const within = Math.min(...clusters.map((c) => mean(c, c)));
  let between = 0;
  clusters.forEach((c, x) => {
    for (const other of clusters.slice(0, x)) between = Math.max(between, mean(c, other));
  });
  const groups = clusters.map((c) => [...c]);
  for (const i of alone) {
    const fit = clusters.map((c) => mean([i], c));
    groups[fit.indexOf(Math.max(...fit))]!.push(i);
  }
  return { groups, within, between };
}

/**
 * Looks whether an open incident turned out to be several, with what has been learned since its alerts were placed, and
 * records the proposal on it: its state and one line of its history. Nothing moves by itself; a person accepts it with `split`.
 * Who merges the groups or says that alerts of them are related has refused it: such pairs are never parted again.
 */
export function considerSplit(
  world: World,
  incident: LiveIncident,
  correlator: Pick<Correlator, 'affinities'>,
  model: SplitModel,
  now: number,
): void {
  const { state } = incident;
  const size = incident.members.size;
  const seen = incident.splitLook;
  if (state.status === 'resolved' || size < fewest || size > most) {
    state.proposedSplit = null;
    return;
  }
  if (seen && now - seen.at < againAfterMs && Math.abs(size - seen.size) * 10 < seen.size) return;
  incident.splitLook = { at: now, size };

  const byPlace = Map.groupBy(newestEpisodes(incident), (a) => `${a.alertname}\n${a.service}\n${a.destination}`);
  const groups = [...byPlace.values()]
    .map((alerts) => ({ alerts, first: alerts.reduce((a, b) => (b.startsAt < a.startsAt ? b : a)) }))
    .sort((a, b) => a.first.startsAt - b.first.startsAt || (a.first.fingerprint < b.first.fingerprint ? -1 : 1))
    .slice(0, compared);
  const { must } = world.links;
  const together = (i: number, j: number): boolean =>
    groups[i]!.alerts.some((a) => {
      const linked = must.get(alertKey(a));
      return linked !== undefined && groups[j]!.alerts.some((b) => linked.has(alertKey(b)));
    });
  const affinity = correlator.affinities(groups.map((g) => pointOf(g.first)));
  const found = splitGroups(groups.length, affinity, must.size > 0 ? together : () => false, model);
  if (!found) {
    state.proposedSplit = null;
    return;
  }
  const parts = found.groups
    .map((members) => members.flatMap((i) => groups[i]!.alerts))
    .sort((a, b) => b.length - a.length || a[0]!.startsAt - b[0]!.startsAt);
  const reason =
    `${parts.map(describe).join(' and ')} hardly belong together: mean affinity ${found.between.toFixed(2)} across, ` +
    `${found.within.toFixed(2)} or more within.`;
  const before = state.proposedSplit?.groups.length ?? 0;
  state.proposedSplit = {
    groups: parts.map((alerts) => alerts.map(alertKey).sort()),
    reason,
    at: before > 0 ? state.proposedSplit!.at : now,
  };
  if (before === parts.length) return;
  const data = { groups: state.proposedSplit.groups, within: found.within, between: found.between };
  life.say(world, state.id, now, 'split-proposed', `This looks like ${parts.length} incidents: ${reason}`, null, data);
}

/** Every alert of the incident once, as its latest episode there. */
function newestEpisodes(incident: LiveIncident): Alert[] {
  const newest = new Map<string, Alert>();
  for (const alert of incident.members.values()) newest.set(alertKey(alert), alert);
  return [...newest.values()];
}

/** "5 alerts on payment, checkout (from 12:00:10)": what a person needs to recognise a group. */
function describe(alerts: readonly Alert[]): string {
  const services = [...new Set(alerts.map((a) => a.service ?? a.alertname))];
  const from = Math.min(...alerts.map((a) => a.startsAt));
  const where = `${services.slice(0, 3).join(', ')}${services.length > 3 ? ` and ${services.length - 3} more` : ''}`;
  return `${alerts.length} ${alerts.length === 1 ? 'alert' : 'alerts'} on ${where} (from ${new Date(from).toISOString().slice(11, 19)} UTC)`;
}
