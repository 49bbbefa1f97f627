import type { Config } from '../../config/schema.ts';
import type { Logger } from '../../telemetry/log.ts';
import { lookEvery } from '../look-every.ts';
import { instant } from '../prometheus/ask.ts';
import type { Servers } from '../prometheus/servers.ts';
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
  log: Pick<Logger, 'info' | 'warn'>;
  /** Epoch ms. */
  now: () => number;
};

export type TopologyWatch = {
  start(): void;
  /** Looks now; true when an edge came or went. */
  look(): Promise<boolean>;
  stop(): Promise<void>;
};

/** Learns who calls whom from every Prometheus, by the mappings of the config, and keeps it in the store. */
export function createTopologyWatch(deps: TopologyWatchDeps): TopologyWatch {
  let edges: LearnedEdge[] | null = null;

  async function known(): Promise<LearnedEdge[]> {
    if (edges) return edges;
    edges = await deps.load();
    if (edges.length > 0) deps.onChange(edges);
    return edges;
  }

  async function look(): Promise<boolean> {
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
