import type { Topology } from '../../domain/topology.ts';
import type { Logger } from '../../telemetry/log.ts';
import { lookEvery } from '../look-every.ts';
import { edgeKey, type LearnedEdge, topologyOf } from './edges.ts';

const EVERY_MS = 60_000;

/**
 * The learned graph for a process that does not learn it itself: one with `role: receive`, or a stand-by that does not own
 * the shard. It is read from the store once a minute; `onChange` when an edge came or went.
 */
export function followTopology(deps: {
  load: () => Promise<LearnedEdge[]>;
  onChange: (topology: Topology) => void;
  log: Pick<Logger, 'warn'>;
  now: () => number;
}): { start(): void; stop(): Promise<void> } {
  let known = '';
  return lookEvery({
    every: () => EVERY_MS,
    wanted: () => true,
    async look() {
      const edges = await deps.load();
      const keys = edges.map(edgeKey).join('\n\n');
      if (keys === known) return;
      known = keys;
      deps.onChange(topologyOf(edges));
    },
    onError: (error) => deps.log.warn({ err: error }, 'the learned service graph could not be read; tried again later'),
    now: deps.now,
  });
}
