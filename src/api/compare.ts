import type { Pool } from 'pg';
import type { Config } from '../config/schema.ts';
import type { ServiceGraph } from '../correlate/types.ts';
import { inWords } from '../notify/text.ts';
import { type LinkRow, linksAmong, peoplesMerges } from '../store/labels.ts';
import { findIncident } from '../store/read.ts';
import { type AlertRow, listIncidentAlerts } from '../store/read-alerts.ts';
import type { Measure } from './correlation.ts';
import type { Distance } from './deps.ts';
import type { Explanation } from './schemas.ts';
import { iso } from './views.ts';

/** Another alert and what there is to say of the two; beyond the distance every fact may be missing. */
export type Compared = {
  alert: AlertRow;
  distance: Distance;
  eps?: number;
  /** Services from one alert's to the other's along calls, caller first; null when no call leads from either to the other. */
  path?: string[] | null;
  /** What people said of the two. */
  links?: LinkRow[];
  /** Merges by people that made the incident they share. */
  merges?: { at: string; by: string }[];
  /** Alerts between the two, each within eps of the next, when the two share an incident and are not near themselves. */
  between?: { name: string; distance: number }[] | null;
  /** What the later one found of the earlier one's incident when it came: how long it had been over or quiet, ms. */
  late?: { number: string; state: 'over' | 'quiet'; forMs: number; limitMs: number } | null;
};

/** Alerts of a shared incident that are looked at for a way from one alert to the other. */
const WAY_LIMIT = 80;

/** Of an alert's episodes the one to compare: in the same incident if there is one, else the one nearest in time. */
export function nearestEpisode(alert: AlertRow, episodes: readonly [AlertRow, ...AlertRow[]]): AlertRow {
  const shared = episodes.find((one) => one.incident_id !== null && one.incident_id === alert.incident_id);
  const apart = (one: AlertRow): number => Math.abs(ms(one.starts_at) - ms(alert.starts_at));
  return shared ?? episodes.reduce((a, b) => (apart(b) < apart(a) ? b : a));
}

/** Everything there is to say of two alerts, of one incident or of two, firing or long over. */
export async function compareAlerts(
  pool: Pool,
  config: Config,
  alert: AlertRow,
  other: AlertRow,
  how: { measure: Measure; graph: ServiceGraph; eps: number },
): Promise<Compared> {
  const { measure, graph } = how;
  const distance = measure(alert, other);
  const eps = alert.why?.eps || other.why?.eps || how.eps;
  const together = alert.incident_id !== null && alert.incident_id === other.incident_id;
  return {
    alert: other,
    distance,
    eps,
    path: pathBetween(graph, alert, other),
    links: await linksAmong(pool, [keyOf(alert), keyOf(other)]),
    merges: together ? await peoplesMerges(pool, alert.incident_id!) : [],
    between: together && distance.distance > eps ? await wayBetween(pool, alert, other, measure, eps) : null,
    late: together ? null : await lateness(pool, config, alert, other),
  };
}

/** The calls that lead from one service to the other, either way, at most four hops. */
function pathBetween(graph: ServiceGraph, a: AlertRow, b: AlertRow): string[] | null {
  if (a.service === null || b.service === null || a.service === b.service) return null;
  const ways = [walk(graph, a.service, b.service, a.namespace), walk(graph, b.service, a.service, b.namespace)];
  return ways.filter((way) => way !== null).sort((x, y) => x.length - y.length)[0] ?? null;
}

function walk(graph: ServiceGraph, from: string, to: string, namespace: string | null): string[] | null {
  const cameFrom = new Map<string, string | null>([[from, null]]);
  let edge = [from];
  for (let hops = 0; hops < 4 && edge.length > 0 && cameFrom.size < 2_000; hops += 1) {
    const next: string[] = [];
    for (const service of edge) {
      for (const callee of graph.callees(service, namespace)) {
        if (cameFrom.has(callee)) continue;
        cameFrom.set(callee, service);
        next.push(callee);
      }
    }
    if (cameFrom.has(to)) break;
    edge = next;
  }
  if (!cameFrom.has(to)) return null;
  const path = [to];
  for (let at = cameFrom.get(to); at !== null && at !== undefined; at = cameFrom.get(at)) path.unshift(at);
  return path;
}

/** The way from one alert to the other over alerts of their incident whose widest step is the narrowest (Prim's tree). */
async function wayBetween(pool: Pool, alert: AlertRow, other: AlertRow, measure: Measure, eps: number) {
  const { rows } = await listIncidentAlerts(pool, alert.incident_id!, { limit: WAY_LIMIT, after: null });
  const inside = rows.filter((row) => keyOf(row) !== keyOf(alert) && keyOf(row) !== keyOf(other));
  const reached = new Map<AlertRow, { from: AlertRow | null; step: number }>([[alert, { from: null, step: 0 }]]);
  const best = new Map<AlertRow, { from: AlertRow; step: number }>();
  let last = alert;
  while (last !== other) {
    for (const row of [...inside, other]) {
      if (reached.has(row)) continue;
      const { distance } = measure(last, row);
      if (distance < (best.get(row)?.step ?? Number.POSITIVE_INFINITY)) best.set(row, { from: last, step: distance });
    }
    const [nearest] = [...best].sort((x, y) => x[1].step - y[1].step);
    if (!nearest || nearest[1].step > eps) return null;
    best.delete(nearest[0]);
    reached.set(...nearest);
    last = nearest[0];
  }
  const way: { name: string; distance: number }[] = [];
  for (let at: AlertRow = other; ; ) {
    const { from, step } = reached.get(at)!;
    if (from === null) break;
    way.unshift({ name: nameOf(at), distance: step });
    at = from;
  }
  return way;
}

/** Whether the later alert came when the earlier one's incident took no more alerts. */
async function lateness(pool: Pool, config: Config, a: AlertRow, b: AlertRow): Promise<Compared['late']> {
  const [first, later] = ms(a.received_at) <= ms(b.received_at) ? [a, b] : [b, a];
  const row = first.incident_id === null ? null : await findIncident(pool, first.incident_id);
  if (!row) return null;
  const { window, reopen } = config.tocsin.correlate;
  const { state } = row;
  const came = ms(later.received_at);
  const over = state.resolvedAt === null ? null : came - state.resolvedAt;
  if (over !== null && over > reopen)
    return { number: String(row.number), state: 'over', forMs: over, limitMs: reopen };
  const quiet = came - state.lastChangeAt;
  return quiet > window ? { number: String(row.number), state: 'quiet', forMs: quiet, limitMs: window } : null;
}

/** Why two alerts are, or are not, in one incident, in words and numbers. */
export function explainPair(alert: AlertRow, compared: Compared): NonNullable<Explanation['compared']> {
  const {
    alert: other,
    distance: measured,
    path = null,
    links = [],
    merges = [],
    between = null,
    late = null,
  } = compared;
  const { distance, parts } = measured;
  const together = alert.incident_id !== null && alert.incident_id === other.incident_id;
  const eps = compared.eps ?? alert.why?.eps ?? other.why?.eps ?? null;
  const near = eps === null ? null : distance <= eps;
  const seconds = Math.round(Math.abs(ms(alert.starts_at) - ms(other.starts_at)) / 1000);
  const limit = eps === null ? '' : near ? `, near enough (${shown(eps)})` : `, farther than ${shown(eps)}`;
  const text = [
    `${nameOf(alert)} and ${nameOf(other)} are ${together ? 'in one incident' : 'not in one incident'}; their distance is ${shown(distance)}${limit}.`,
    ...sayParts(parts, seconds, path, alert, other),
  ];
  for (const { kind, by, at } of links)
    text.push(
      `${by} ${kind === 'must' ? 'put them together' : 'keeps them apart'} (${iso(at)}); that counts for more than any distance.`,
    );
  const bound = links.some(({ kind }) => kind === (together ? 'must' : 'cannot'));
  if (alert.tenant !== other.tenant)
    text.push(
      `They are of different tenants (${alert.tenant || 'none'} and ${other.tenant || 'none'}), which never meet.`,
    );
  else if (together && near === false && !bound) text.push(...whyTogether(between, merges));
  else if (!together && late)
    text.push(
      `When the later one came, incident ${late.number} had been ${late.state} for ${inWords(late.forMs)}, longer than the ${inWords(late.limitMs)} of ${late.state === 'over' ? 'correlate.reopen' : 'correlate.window'}: it took no more alerts.`,
    );
  else if (!together && near && !bound)
    text.push(
      'They are apart although near: the later one did not fit the other alerts of that incident (the cohesion guard), or a person split them.',
    );
  for (const one of together ? [] : [alert, other])
    if (one.why?.note) text.push(`Of ${nameOf(one)} it was noted: ${one.why.note}`);
  return {
    text,
    source: other.source,
    fingerprint: other.fingerprint,
    incidentId: other.incident_id,
    together,
    distance,
    parts,
    secondsApart: seconds,
    path,
    links: links.map(({ kind, by, at }) => ({ kind, by, at: iso(at) })),
    between,
  };
}

function whyTogether(between: Compared['between'], merges: NonNullable<Compared['merges']>): string[] {
  if (between && between.length > 0)
    return [
      `They are together through alerts that lie between them: ${between.map((one) => `${one.name} (${shown(one.distance)})`).join(', then ')}.`,
    ];
  if (merges.length > 0)
    return [
      `They are together because ${merges.map(({ by, at }) => `${by} merged incidents into this one (${at})`).join(' and ')}.`,
    ];
  return ['They are together through alerts that lie between them, or because a person merged their incidents.'];
}

/** Each part is 0..1, and 1 speaks for being together; a fact that is missing speaks neither way and is left out. */
function sayParts(
  parts: Distance['parts'],
  seconds: number,
  path: string[] | null,
  a: AlertRow,
  b: AlertRow,
): string[] {
  const names: Record<string, string> = {
    time: `they began ${seconds === 0 ? 'at the same second' : `${inWords(seconds * 1000)} apart`}`,
    topology: [whereabouts(a, b), callsBetween(a, b, path)].filter((one) => one !== null).join(', '),
    relevance: 'how much more often than by chance their rules have had company so far',
    labels: 'how many of their other labels agree',
    text: 'how many words of name and summary they share',
    deploy: 'whether one change lies shortly before both',
    group: 'whether Alertmanager sent them in one group',
  };
  const sorted = Object.entries(parts).sort(([, x], [, y]) => y - x);
  if (sorted.length === 0) return ['No parts of that distance are on record.'];
  const all = sorted.map(([name, value]) => `${name} ${shown(value)} (${names[name] ?? name})`).join('; ');
  // Labels, words and group hardly count (2 % each); these can rule a pair out.
  const weakest = sorted.filter(([name]) => ['time', 'topology', 'relevance', 'deploy'].includes(name)).at(-1);
  const against = weakest && weakest[1] < 1 ? ` What speaks against it most is ${weakest[0]}.` : '';
  return [`How near each fact puts them (1 together, 0 apart): ${all}.${against}`];
}

/** Where the two are, if that keeps them apart. */
function whereabouts(a: AlertRow, b: AlertRow): string | null {
  for (const [what, x, y] of [
    ['clusters', a.cluster, b.cluster],
    ['namespaces', a.namespace, b.namespace],
  ] as const)
    if (x !== null && y !== null && x !== y) return `they are in different ${what} (${x} and ${y})`;
  return null;
}

function callsBetween(a: AlertRow, b: AlertRow, path: string[] | null): string {
  if (a.service !== null && a.service === b.service) return 'they are on services of the same name';
  if (path) return `the calls between services of these names are ${path.join(' → ')}`;
  return 'no known call leads from one service to the other';
}

const ms = (at: AlertRow['starts_at']): number => new Date(at).getTime();
const keyOf = (row: AlertRow): string => `${row.source}/${row.fingerprint}`;
const shown = (n: number): string => String(Math.round(n * 100) / 100);
const nameOf = (row: AlertRow): string =>
  `${row.alertname || row.fingerprint}${row.service ? ` (${row.service})` : ''}`;
