import type { Config } from '../../config/schema.ts';
import type { ClusterContainment } from '../../domain/containment.ts';
import type { Logger } from '../../telemetry/log.ts';
import { lookEvery } from '../look-every.ts';
import type { VectorSeries } from '../prometheus/answers.ts';
import { instant, metricNames } from '../prometheus/ask.ts';
import type { Client } from '../prometheus/client.ts';
import type { Servers } from '../prometheus/servers.ts';
import { containmentIn, containmentQueries, learnContainment } from './containment.ts';
import { edgesIn, type LearnedEdge, learn, type SeenEdge } from './edges.ts';

export type TopologyWatchDeps = {
  config: () => Config;
  servers: Servers;
  /** Only the shard's owner learns; the others read what it kept. */
  owns: () => boolean;
  load: () => Promise<LearnedEdge[]>;
  save: (edges: LearnedEdge[]) => Promise<void>;
  /** The graph is another one (also once at the start, when something is kept). */
  onChange: (edges: LearnedEdge[]) => void;
  /** The same for what runs where; `onChange` after every look that learned something. */
  containment: {
    load: () => Promise<ClusterContainment[]>;
    save: (clusters: ClusterContainment[]) => Promise<void>;
    onChange: (clusters: ClusterContainment[]) => void;
  };
  log: Pick<Logger, 'info' | 'warn'>;
  /** Epoch ms. */
  now: () => number;
};

export type TopologyWatch = {
  start(): void;
  /** Looks now, at calls and at what runs where; true when an edge came or went. */
  look(): Promise<boolean>;
  stop(): Promise<void>;
};

/** Learns who calls whom and what runs where from every Prometheus, by the mappings of the config, and keeps it in the store. */
export function createTopologyWatch(deps: TopologyWatchDeps): TopologyWatch {
  let edges: LearnedEdge[] | null = null;
  let clusters: ClusterContainment[] | null = null;

  async function known(): Promise<LearnedEdge[]> {
    if (edges) return edges;
    edges = await deps.load();
    if (edges.length > 0) deps.onChange(edges);
    return edges;
  }

  async function look(): Promise<boolean> {
    const [changed] = await Promise.all([lookAtCalls(), lookAtPlaces()]);
    return changed;
  }

  async function lookAtPlaces(): Promise<void> {
    if (clusters === null) {
      clusters = await deps.containment.load();
      if (clusters.length > 0) deps.containment.onChange(clusters);
    }
    const now = deps.now();
    const answers = await Promise.all(deps.servers.all().map((client) => placesOf(client, now)));
    const seen = answers.filter((answer) => answer !== null);
    const learned = learnContainment(clusters, seen, now);
    if (seen.length === 0 && learned.length === clusters.length) return;
    clusters = learned;
    await deps.containment.save(clusters);
    deps.containment.onChange(clusters);
  }

  /** Four aggregated questions, and none where the server has no such metrics. */
  async function placesOf(client: Client, now: number): Promise<ClusterContainment | null> {
    const mapping = deps.config().tocsin.enrich.topology.containment;
    if (mapping.owners.length === 0) return null;
    const names = await metricNames(client, now);
    if (names === null || ![mapping.pods, ...mapping.owners].some(({ metric }) => names.has(metric))) return null;
    const queries = containmentQueries(mapping);
    const ask = async (metric: string | undefined, query: string | null): Promise<VectorSeries[] | null> => {
      if (query === null || metric === undefined || !names.has(metric)) return null;
      const got = await instant(client, query, { now, maxAgeMs: 0, weight: 'extra' });
      return got.ok ? got.value : null;
    };
    // One after the other: the four together would be all that may be asked at once, and this is never urgent.
    const ofPods = await ask(mapping.owners.find(({ child }) => child === 'Pod')?.metric, queries.ofPods);
    const ofOthers = [];
    for (const { owner, query } of queries.ofOthers) ofOthers.push({ owner, series: await ask(owner.metric, query) });
    const onNodes = await ask(mapping.pods.metric, queries.onNodes);
    return containmentIn({ ofPods, ofOthers, onNodes }, mapping, client.server, now);
  }

  async function lookAtCalls(): Promise<boolean> {
    const before = await known();
    const { mappings } = deps.config().tocsin.enrich.topology;
    const now = deps.now();
    const answers = await Promise.all(
      deps.servers.all().flatMap((client) =>
        mappings.map(async (mapping): Promise<(SeenEdge & { source: string })[]> => {
          const got = await instant(client, mapping.query, { now, maxAgeMs: 0, weight: 'extra' });
          // What fails is asked again next time; what was learned stays until it is too old.
          if (!got.ok) return [];
          return edgesIn(got.value, mapping).map((edge) => ({ ...edge, source: `${client.name}: ${mapping.name}` }));
        }),
      ),
    );
    const seen = answers.flat();
    if (seen.length === 0 && before.length === 0) return false;
    const learned = learn(before, seen, now);
    edges = learned.edges;
    await deps.save(edges);
    if (learned.changed) {
      deps.log.info({ edges: edges.length }, 'the service graph learned from metrics changed');
      deps.onChange(edges);
    }
    return learned.changed;
  }

  const background = lookEvery({
    every: () => deps.config().tocsin.enrich.topology.every,
    wanted: () => deps.owns() && deps.servers.all().length > 0,
    look: look,
    onError: (error) => deps.log.warn({ err: error }, 'the service graph could not be learned; tried again later'),
    now: deps.now,
  });

  return { look, ...background };
}
