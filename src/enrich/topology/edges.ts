import type { Config } from '../../config/schema.ts';
import type { Topology } from '../../domain/topology.ts';
import type { VectorSeries } from '../prometheus/answers.ts';

export type Mapping = Config['tocsin']['enrich']['topology']['mappings'][number];

/** A call seen in metrics. `weight` in requests per second at the last look; times in epoch ms. */
export type LearnedEdge = {
  namespace: string | null;
  caller: string;
  callee: string;
  weight: number;
  /** Server and mapping that saw it last: `main: istio`. */
  source: string;
  firstSeenAt: number;
  lastSeenAt: number;
};

/** An edge not seen for so long is forgotten: longer than a weekly job's pause would keep dead services for ever. */
export const FORGET_MS = 8 * 24 * 3_600_000;
/** More edges than a graph of this size holds are cut, the lightest first. */
const MOST = 20_000;
/** How tracing and meshes name what is no service. */
const nobody = new Set(['', 'unknown', 'user', 'virtual_node', 'PassthroughCluster', 'BlackHoleCluster']);

export type SeenEdge = Pick<LearnedEdge, 'namespace' | 'caller' | 'callee' | 'weight'>;

/** The edges in the answer to a mapping's query. A pair within one namespace keeps it; a call between two has none. */
export function edgesIn(series: readonly VectorSeries[], mapping: Mapping): SeenEdge[] {
  const seen = new Map<string, SeenEdge>();
  for (const { metric, sample } of series) {
    const caller = metric[mapping.caller] ?? '';
    const callee = metric[mapping.callee] ?? '';
    const weight = sample[1];
    if (nobody.has(caller) || nobody.has(callee) || caller === callee) continue;
    // No request in the rate's window is no call; NaN and infinities are no rate.
    if (!Number.isFinite(weight) || weight <= 0) continue;
    const [from, to] = [mapping.caller_namespace, mapping.callee_namespace].map((name) =>
      name ? metric[name] : undefined,
    );
    const namespace = from !== undefined && (to === undefined || from === to) && !nobody.has(from) ? from : null;
    const key = edgeKey({ namespace, caller, callee });
    const known = seen.get(key);
    seen.set(key, { namespace, caller, callee, weight: (known?.weight ?? 0) + weight });
  }
  return [...seen.values()];
}

export const edgeKey = ({ namespace, caller, callee }: Pick<LearnedEdge, 'namespace' | 'caller' | 'callee'>): string =>
  `${namespace ?? ''}\n${caller}\n${callee}`;

/**
 * What is known after a look: seen edges are refreshed or added, those not seen for 8 days forgotten. `changed` says whether
 * the graph itself is another one; weights and ages alone do not make the engine judge anew.
 */
export function learn(
  known: readonly LearnedEdge[],
  seen: readonly (SeenEdge & { source: string })[],
  now: number,
): { edges: LearnedEdge[]; changed: boolean } {
  const edges = new Map(
    known.filter((edge) => now - edge.lastSeenAt <= FORGET_MS).map((edge) => [edgeKey(edge), edge]),
  );
  let changed = edges.size !== known.length;
  for (const { source, ...edge } of seen) {
    const key = edgeKey(edge);
    const before = edges.get(key);
    if (!before) changed = true;
    edges.set(key, { ...edge, source, firstSeenAt: before?.firstSeenAt ?? now, lastSeenAt: now });
  }
  const sorted = [...edges.values()].sort((a, b) => (edgeKey(a) < edgeKey(b) ? -1 : 1));
  if (sorted.length <= MOST) return { edges: sorted, changed };
  const heaviest = new Set([...sorted].sort((a, b) => b.weight - a.weight).slice(0, MOST));
  return { edges: sorted.filter((edge) => heaviest.has(edge)), changed };
}

/** What `compileRules` adds to the declared graph. */
export const topologyOf = (edges: readonly LearnedEdge[]): Topology => ({
  nodes: [],
  edges: edges.map(({ namespace, caller, callee }) => ({ namespace, caller, callee })),
});
