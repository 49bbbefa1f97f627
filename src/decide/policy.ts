import type { Config, RoutingFile, Service } from '../config/schema.ts';
import { type CompiledMatchers, compileMatchers } from '../route/matchers.ts';
import { compileRouting, type RoutingPolicy } from '../route/tree.ts';
import { compilePatterns, type Pattern } from '../score/recommend.ts';
import { compileSuppression, type SuppressionPolicy } from './suppression.ts';

/** An alert that must keep coming; `within` (ms) is null when its absence is not watched. */
export type Heartbeat = { name: string; matchers: CompiledMatchers; within: number | null };

/** The declared services of business-context.yaml, by name. */
export type Catalogue = ReadonlyMap<string, Service>;

/** The whole config tree, compiled once; nothing in it is compiled again for an alert. */
export type Policy = {
  /** Names the tree on every message and decision. */
  hash: string;
  routing: RoutingPolicy;
  /** The points that make the priority. */
  priority: RoutingFile['priority'];
  catalogue: Catalogue;
  patterns: readonly Pattern[];
  suppression: SuppressionPolicy;
  heartbeats: readonly Heartbeat[];
};

/**
 * Compiles a validated config. With `assumeSecrets` every channel and key that is referenced counts as set: `replay`,
 * `diff` and `test` need the same answer on every machine. Throws, naming the place, on what `check` would have refused.
 */
export function compilePolicy(config: Config, { assumeSecrets = false }: { assumeSecrets?: boolean } = {}): Policy {
  return {
    hash: config.hash,
    routing: compileRouting(config, assumeSecrets),
    priority: config.routing.priority,
    catalogue: new Map(Object.entries(config.business.services)),
    patterns: compilePatterns(config.patterns.patterns),
    suppression: compileSuppression(config),
    heartbeats: config.tocsin.heartbeats.map(({ match, within }) => {
      const matchers = compileMatchers(match);
      return { name: matchers.text, matchers, within: within ?? null };
    }),
  };
}
