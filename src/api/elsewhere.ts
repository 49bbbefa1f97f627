import type { WhatIf } from '../assess/what-if.ts';
import type { ServiceGraph } from '../correlate/types.ts';
import type { Db } from '../store/read.ts';
import { type AlertRow, listAround, listEpisodes } from '../store/read-alerts.ts';
import type { MeasureUnder } from './correlation.ts';

/** How far around an alert's arrival others are looked at: nothing farther away in time is ever near. */
const AROUND_MS = 30 * 60_000;
/** 100 distances take some 2 ms. */
const LOOKED_AT = 100;
const INCIDENTS_SHOWN = 2;
const MINUTE = 60_000;
const SHIFTS = [1, 2, 5, 10, 15, 30, 60];

/**
 * What would have put an alert elsewhere: near enough to another incident had it come nearer in time or were there a call between
 * the two services, or too far from its nearest neighbour. Distances are measured anew, with the call graph of now and what
 * the correlator has learned; `eps` is the one it was placed by.
 */
export async function elsewhere(db: Db, alert: AlertRow, measure: MeasureUnder): Promise<WhatIf[]> {
  const eps = alert.why?.eps ?? 0;
  if (eps === 0) return [];
  const around = await listAround(db, alert, AROUND_MS, LOOKED_AT);
  const found: WhatIf[] = [];
  const seen = new Set<string>();
  const byDistance = around
    .map((other) => ({ other, distance: measure(alert, other).distance }))
    .sort((a, b) => a.distance - b.distance);
  for (const { other, distance } of byDistance) {
    if (seen.has(other.incident_id!) || distance <= eps) continue;
    seen.add(other.incident_id!);
    const change = closer(alert, other, measure, eps);
    if (change) {
      const text = `It would have been near enough to ${called(other)} of incident ${other.number} if ${change}.`;
      found.push({ fact: 'neighbour', flips: 'incident', from: here(alert), to: `incident ${other.number}`, text });
    }
    if (found.length === INCIDENTS_SHOWN) break;
  }
  const neighbour = await nearestNeighbour(db, alert);
  const apart = neighbour && farther(alert, neighbour, measure, eps);
  if (neighbour && apart) {
    const text = `It would have been too far from ${called(neighbour)}, its nearest neighbour, if ${apart}.`;
    found.push({ fact: 'neighbour', flips: 'incident', from: here(alert), to: 'another incident', text });
  }
  return found;
}

const here = (alert: AlertRow): string => (alert.incident_id === null ? 'no incident' : 'its incident');
const called = (alert: AlertRow): string => `${alert.alertname}${alert.service ? ` (${alert.service})` : ''}`;

async function nearestNeighbour(db: Db, alert: AlertRow): Promise<AlertRow | null> {
  const key = alert.why?.neighbours[0]?.key;
  const parts = key === undefined ? null : /^([^/]*)\/(.*)@-?\d+$/.exec(key);
  return parts ? ((await listEpisodes(db, parts[1]!, parts[2]!, 1))[0] ?? null) : null;
}

/** The smallest single change that puts it within `eps` of the other; null when none does. */
function closer(alert: AlertRow, other: AlertRow, measure: MeasureUnder, eps: number): string | null {
  const gap = at(other) - at(alert);
  const [own, its] = [alert.service, other.service];
  for (const minutes of SHIFTS) {
    const by = Math.sign(gap) * Math.min(minutes * MINUTE, Math.abs(gap));
    if (by !== 0 && measure(shifted(alert, by), other).distance <= eps)
      return `it had come ${spanText(Math.abs(by))} ${by < 0 ? 'earlier' : 'later'}`;
    if (Math.abs(by) === Math.abs(gap)) break;
  }
  if (own !== null && its !== null && own !== its) {
    const { distance } = measure.under((graph) => withCall(graph, own, its), alert, other);
    if (distance <= eps) return `${own} called ${its}, or the other way round`;
  }
  return null;
}

function farther(alert: AlertRow, other: AlertRow, measure: MeasureUnder, eps: number): string | null {
  if (measure(alert, other).distance > eps) return null;
  const away = at(alert) >= at(other) ? 1 : -1;
  for (const minutes of SHIFTS)
    if (measure(shifted(alert, away * minutes * MINUTE), other).distance > eps)
      return `it had come ${minutes} min ${away > 0 ? 'later' : 'earlier'}`;
  const [own, its] = [alert.service, other.service];
  if (own === null || its === null || own === its) return null;
  const { distance } = measure.under((graph) => withoutCall(graph, own, its), alert, other);
  return distance > eps ? `there were no call between ${own} and ${its}` : null;
}

const at = (alert: AlertRow): number => new Date(alert.starts_at).getTime();
const shifted = (alert: AlertRow, ms: number): AlertRow => ({
  ...alert,
  starts_at: new Date(at(alert) + ms),
  received_at: new Date(new Date(alert.received_at).getTime() + ms),
});
const spanText = (ms: number): string =>
  ms < 2 * MINUTE ? `${Math.round(ms / 1_000)} s` : `${Math.round(ms / MINUTE)} min`;

const withCall = (graph: ServiceGraph, caller: string, callee: string): ServiceGraph => ({
  ...graph,
  has: (service, namespace) => service === caller || service === callee || graph.has(service, namespace),
  callees: (service, namespace) =>
    service === caller ? [...graph.callees(service, namespace), callee] : graph.callees(service, namespace),
  callers: (service, namespace) =>
    service === callee ? [...graph.callers(service, namespace), caller] : graph.callers(service, namespace),
});

function withoutCall(graph: ServiceGraph, a: string, b: string): ServiceGraph {
  const other = (service: string): string | null => (service === a ? b : service === b ? a : null);
  const less = (list: readonly string[], service: string): readonly string[] => {
    const gone = other(service);
    return gone === null ? list : list.filter((name) => name !== gone);
  };
  return {
    ...graph,
    callees: (service, namespace) => less(graph.callees(service, namespace), service),
    callers: (service, namespace) => less(graph.callers(service, namespace), service),
  };
}
