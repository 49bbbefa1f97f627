import { setImmediate as nextTurn } from 'node:timers/promises';
import { createCorrelator } from '../correlate/correlator.ts';
import type { CorrelationModel } from '../correlate/model.ts';
import { pointOf } from '../correlate/place.ts';
import type { Point, ServiceGraph } from '../correlate/types.ts';
import type { Alert } from '../domain/alert.ts';
import type { IncidentState, MemoryRecord } from '../domain/effects.ts';
import type { RootCause } from '../domain/incident.ts';
import type { Severity } from '../domain/severity.ts';
import type { LinkRow } from '../store/labels.ts';
import type { DbTime } from '../store/read.ts';
import type { AlertRow } from '../store/read-alerts.ts';
import type { Distance } from './deps.ts';
import type { Correlation } from './schemas.ts';
import { iso } from './views.ts';

/** Measures two alerts as the correlator does, with what it has learned so far. */
export type Measure = (a: AlertRow, b: AlertRow) => Distance;
/** Also as if the call graph were another. */
export type MeasureUnder = Measure & {
  under(change: (graph: ServiceGraph) => ServiceGraph, a: AlertRow, b: AlertRow): Distance;
};

/** `memory` is what the correlator learned, as the store keeps it; the window plays no part in a distance. */
export function createMeasure(graph: ServiceGraph, model: CorrelationModel, memory: MemoryRecord[]): MeasureUnder {
  const correlator = createCorrelator({ graph, windowMs: 0 }, model);
  correlator.loadMemory(memory);
  const points = new WeakMap<AlertRow, Point>();
  const pointFor = (row: AlertRow): Point => {
    const known = points.get(row);
    if (known) return known;
    const point = pointOf(alertOfRow(row));
    points.set(row, point);
    return point;
  };
  const measure = (a: AlertRow, b: AlertRow): Distance => correlator.distance(pointFor(a), pointFor(b));
  return Object.assign(measure, {
    under(change: (graph: ServiceGraph) => ServiceGraph, a: AlertRow, b: AlertRow): Distance {
      correlator.reconfigure({ graph: change(graph), windowMs: 0 });
      try {
        return measure(a, b);
      } finally {
        correlator.reconfigure({ graph, windowMs: 0 });
      }
    },
  });
}

const ms = (at: DbTime): number => new Date(at).getTime();
const msOrNull = (at: DbTime | null): number | null => (at === null ? null : ms(at));

/** The alert of a row in the words of the domain. */
export function alertOfRow(row: AlertRow): Alert {
  return {
    source: row.source,
    fingerprint: row.fingerprint,
    labels: row.labels,
    annotations: row.annotations,
    status: row.status,
    startsAt: ms(row.starts_at),
    endsAt: msOrNull(row.ends_at),
    expiresAt: msOrNull(row.expires_at),
    generatorUrl: row.generator_url,
    severity: row.severity as Severity,
    alertname: row.alertname,
    service: row.service,
    namespace: row.namespace,
    cluster: row.cluster,
    tenant: row.tenant,
    destination: row.destination,
    groupKey: row.group_key,
    receiver: row.receiver,
    receivedAt: ms(row.received_at),
    updatedAt: ms(row.updated_at),
    lastSeenAt: ms(row.last_seen_at),
    closedBecause: row.closed_because as Alert['closedBecause'],
    incidentId: row.incident_id,
    fireVerdict: row.fire_verdict as Alert['fireVerdict'],
    resolveVerdict: row.resolve_verdict as Alert['resolveVerdict'],
    reasons: row.reasons,
  };
}

export type CorrelationInput = {
  alerts: AlertRow[];
  /** Alerts of the incident that are not among them. */
  omitted: number;
  rootCauses: RootCause[];
  graph: ServiceGraph;
  measure: Measure;
  /** What people said of pairs among the alerts. */
  links: LinkRow[];
  proposedSplit: IncidentState['proposedSplit'];
  eps: number;
  minPts: number;
  /** Edges kept per alert. */
  neighbours: number;
};

/** The longest one turn of the event loop may take here, ms: webhooks are answered on the same thread. */
const TURN_MS = 8;

/**
 * An incident's alerts as the correlator sees them: every alert with its nearest ones and the parts of each distance, the
 * clusters that density clustering finds among them now, and the services around them. n alerts take n²/2 distances of
 * some 10 µs, done in turns of 8 ms.
 */
export async function correlationView(input: CorrelationInput): Promise<Correlation> {
  const { alerts, eps, minPts } = input;
  const distances = await allDistances(alerts, input.measure);
  const { clusters, roles } = densityClusters(distances, alerts.length, eps, minPts);
  return {
    nodes: alerts.map((row, i) => ({
      fingerprint: row.fingerprint,
      source: row.source,
      alertname: row.alertname,
      service: row.service,
      namespace: row.namespace,
      severity: row.severity as Severity,
      status: row.status,
      startsAt: iso(row.starts_at),
      endsAt: iso(row.ends_at),
      summary: row.annotations.summary ?? null,
      role: roles[i]!,
    })),
    edges: nearestPairs(distances, alerts.length, input.neighbours).map(([i, j]) => {
      const [a, b] = [alerts[i]!, alerts[j]!];
      return { a: a.fingerprint, b: b.fingerprint, aSource: a.source, bSource: b.source, ...input.measure(a, b) };
    }),
    links: input.links.map(({ kind, a, b, by, at }) => {
      const [first, second] = [partsOf(a), partsOf(b)];
      return {
        kind,
        a: first.fingerprint,
        b: second.fingerprint,
        aSource: first.source,
        bSource: second.source,
        by,
        at: iso(at),
      };
    }),
    proposedSplit: proposalView(input.proposedSplit ?? null, alerts),
    serviceGraph: serviceGraphAround(alerts, input.rootCauses, input.graph),
    rootCauses: input.rootCauses,
    clusters: clusters.map((members) => ({
      alerts: members.map((i) => alerts[i]!.fingerprint),
      services: [...new Set(members.flatMap((i) => alerts[i]!.service ?? []))].sort(),
    })),
    eps,
    minPts,
    omitted: input.omitted,
  };
}

/** The largest group stays; each of the others is a split of its own to accept. */
function proposalView(
  proposed: NonNullable<IncidentState['proposedSplit']> | null,
  alerts: AlertRow[],
): Correlation['proposedSplit'] {
  if (!proposed) return null;
  const services = new Map(alerts.map((row) => [`${row.source}/${row.fingerprint}`, row.service]));
  const groups = proposed.groups.map((keys) => ({
    alerts: keys.map((key) => partsOf(key).fingerprint),
    services: [...new Set(keys.flatMap((key) => services.get(key) ?? []))].sort(),
  }));
  const accept = groups.slice(1).map((group) => ({ alerts: group.alerts }));
  return { reason: proposed.reason, at: iso(proposed.at), groups, accept };
}

/** Source and fingerprint of an alert key. */
function partsOf(key: string): { source: string; fingerprint: string } {
  const cut = key.lastIndexOf('/');
  return { source: key.slice(0, cut), fingerprint: key.slice(cut + 1) };
}

/** The full matrix, row by row; the diagonal is 0. */
async function allDistances(alerts: AlertRow[], measure: Measure): Promise<Float64Array> {
  const n = alerts.length;
  const matrix = new Float64Array(n * n);
  let turnEnds = performance.now() + TURN_MS;
  for (let i = 0; i < n; i += 1) {
    for (let j = i + 1; j < n; j += 1) {
      const { distance } = measure(alerts[i]!, alerts[j]!);
      matrix[i * n + j] = distance;
      matrix[j * n + i] = distance;
      if (performance.now() > turnEnds) {
        await nextTurn();
        turnEnds = performance.now() + TURN_MS;
      }
    }
  }
  return matrix;
}

/** For each alert its `k` nearest, each pair once, nearest pairs first. */
function nearestPairs(matrix: Float64Array, n: number, k: number): [number, number][] {
  const pairs = new Set<number>();
  for (let i = 0; i < n; i += 1) {
    const others = Array.from({ length: n }, (_, j) => j).filter((j) => j !== i);
    others.sort((a, b) => matrix[i * n + a]! - matrix[i * n + b]! || a - b);
    for (const j of others.slice(0, k)) pairs.add(Math.min(i, j) * n + Math.max(i, j));
  }
  return [...pairs]
    .sort((a, b) => matrix[a]! - matrix[b]! || a - b)
    .map((pair): [number, number] => [Math.floor(pair / n), pair % n]);
}

/**
 * DBSCAN over the matrix (Ester et al. 1996): core points have `minPts` points within `eps`, themselves included; core
 * points within `eps` of each other share a cluster; a border point goes to its nearest core point; what is left is alone.
 */
export function densityClusters(
  matrix: Float64Array,
  n: number,
  eps: number,
  minPts: number,
): { clusters: number[][]; roles: ('core' | 'border' | 'lone')[] } {
  const near = (i: number, j: number): boolean => matrix[i * n + j]! <= eps;
  const all = Array.from({ length: n }, (_, i) => i);
  const isCore = all.map((i) => all.filter((j) => near(i, j)).length >= minPts);
  const cluster = new Array<number>(n).fill(-1);
  const clusters: number[][] = [];
  for (const seed of all) {
    if (!isCore[seed] || cluster[seed] !== -1) continue;
    const number = clusters.push([]) - 1;
    const queue = [seed];
    cluster[seed] = number;
    for (let i = queue.pop(); i !== undefined; i = queue.pop()) {
      clusters[number]!.push(i);
      for (const j of all) {
        if (!isCore[j] || cluster[j] !== -1 || !near(i, j)) continue;
        cluster[j] = number;
        queue.push(j);
      }
    }
  }
  const roles = all.map((i): 'core' | 'border' | 'lone' => {
    if (isCore[i]) return 'core';
    const cores = all.filter((j) => isCore[j] && near(i, j)).sort((a, b) => matrix[i * n + a]! - matrix[i * n + b]!);
    if (cores.length === 0) return 'lone';
    clusters[cluster[cores[0]!]!]!.push(i);
    return 'border';
  });
  for (const members of clusters) members.sort((a, b) => a - b);
  return { clusters, roles };
}

/** Services shown around the ones that alert; a hub's hundreds of callers would bury them. */
const MAX_NEIGHBOURS = 20;

/** The services that alert or are suspected, with the services they call and are called by. */
function serviceGraphAround(alerts: AlertRow[], causes: RootCause[], graph: ServiceGraph): Correlation['serviceGraph'] {
  const nodes = new Map<string, Correlation['serviceGraph']['nodes'][number]>();
  const nodeOf = (service: string, namespace: string | null) => {
    const key = `${namespace ?? ''}/${service}`;
    const node = nodes.get(key) ?? { service, namespace, alerts: 0, firstAlertAt: null };
    nodes.set(key, node);
    return node;
  };
  for (const row of alerts) {
    if (row.service === null) continue;
    const node = nodeOf(row.service, row.namespace);
    const at = iso(row.starts_at);
    node.alerts += 1;
    if (node.firstAlertAt === null || at < node.firstAlertAt) node.firstAlertAt = at;
  }
  for (const cause of causes) nodeOf(cause.service, cause.namespace);
  for (const { service, namespace } of [...nodes.values()]) {
    const around = [...graph.callees(service, namespace), ...graph.callers(service, namespace)];
    for (const neighbour of around.slice(0, MAX_NEIGHBOURS)) nodeOf(neighbour, namespace);
  }
  const edges = new Map<string, Correlation['serviceGraph']['edges'][number]>();
  for (const { service, namespace } of nodes.values()) {
    for (const callee of graph.callees(service, namespace)) {
      if (!nodes.has(`${namespace ?? ''}/${callee}`)) continue;
      edges.set(`${namespace ?? ''}/${service}/${callee}`, { namespace, caller: service, callee });
    }
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}
