import type { Service } from '../../config/schema.ts';
import type { ServiceGraph } from '../../correlate/types.ts';
import type { Facts } from '../../domain/facts.ts';
import { type Severity, severityRank } from '../../domain/severity.ts';
import { capped, type Judged } from './objective.ts';
import { walk } from './walk.ts';

/** Fewer similar incidents than this say nothing about whom the next one reaches. */
const ENOUGH = 3;
const MOST_EXPECTED = 20;

export type SpreadInput = {
  /** Services with an alert in the incident. */
  alerting: readonly string[];
  /** Where it comes from, when that is clear. */
  suspect: string | null;
  severity: Severity;
  graph: ServiceGraph;
  past: Facts['spread'];
};

/**
 * Which services that call the suspect will alert too. With at least three similar incidents: the callers, direct or not, that
 * had an alert in half of them. Without: the direct callers when the severity means an outage (critical or high).
 */
export function expectedToFollow({ alerting, suspect, severity, graph, past }: SpreadInput): {
  services: string[];
  notes: string[];
} {
  if (suspect === null) return { services: [], notes: [] };
  const hit = new Set([suspect, ...alerting]);
  const spared = (names: Iterable<string>): string[] =>
    [...names].filter((name) => !hit.has(name)).slice(0, MOST_EXPECTED);
  if (past && past.incidents >= ENOUGH) {
    const often = ([name]: [string, number]): boolean =>
      Object.hasOwn(past.services, name) && past.services[name]! * 2 >= past.incidents;
    const callers = walk([suspect], (name) => graph.callers(name, null));
    const services = spared([...callers].filter(often).map(([name]) => name));
    const shares = services.map((name) => `${name} (${past.services[name]} of ${past.incidents} similar incidents)`);
    const notes = services.length === 0 ? [] : [`Expected to follow ${suspect}: ${shares.join(', ')}`];
    return { services, notes };
  }
  if (severityRank(severity) > severityRank('high')) return { services: [], notes: [] };
  const services = spared(graph.callers(suspect, null));
  const notes = services.length === 0 ? [] : [`May follow, since they call ${suspect}: ${services.join(', ')}`];
  return { services, notes };
}

/**
 * How far it may spread: services that call an affected one, directly or through others, and have no alert yet.
 * high: five of them, or one of tier 1 within two calls, or further services had an alert in half of at least three similar
 * incidents; medium: any caller, or any such incident; low: none. One step less high when none of three or more similar
 * incidents went further than this one. Unknown when neither graph nor past knows anything.
 */
export function cascadeRisk(
  { alerting, severity, graph, past }: Omit<SpreadInput, 'suspect'>,
  catalogue: ReadonlyMap<string, Service>,
): Judged {
  const notes: string[] = [];
  const known = alerting.filter((service) => graph.has(service, null));
  const history = past && past.incidents >= ENOUGH ? past : null;
  if (known.length === 0 && history === null) return { risk: 'unknown', notes };
  const hit = new Set(alerting);
  const spared = [...walk(known, (name) => graph.callers(name, null))].filter(([name]) => !hit.has(name));
  const near = spared.filter(([name, calls]) => calls <= 2 && catalogue.get(name)?.tier === 1);
  let rank = spared.length >= 5 || near.length > 0 ? 2 : spared.length > 0 ? 1 : 0;
  if (spared.length > 0) {
    const list = spared.slice(0, 5).map(([name]) => name);
    notes.push(`${spared.length} callers have no alert yet: ${list.join(', ')}`);
  }
  if (history !== null) {
    const further = Object.entries(history.services)
      .filter(([name, count]) => !hit.has(name) && count > 0)
      .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
    const [top] = further;
    if (top) {
      rank = Math.max(rank, top[1] * 2 >= history.incidents ? 2 : 1);
      notes.push(`Of ${history.incidents} similar incidents ${top[1]} reached ${top[0]} too`);
    } else if (rank > 0) {
      rank -= 1;
      notes.push(`None of ${history.incidents} similar incidents went further: one step less`);
    }
  }
  return { risk: capped((['low', 'medium', 'high'] as const)[rank]!, severity), notes };
}
