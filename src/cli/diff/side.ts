import { modelsOf } from '../../config/models.ts';
import type { Config } from '../../config/schema.ts';
import type { Topology } from '../../domain/topology.ts';
import { readStream, replay } from '../../replay.ts';
import { type Side, sideOf } from '../../replay-diff.ts';
import { compileRules } from '../../rules.ts';

/** A stream file, and what is known beside it. */
export type SideInput = { file: string; topology: Topology | null; knownRules: readonly string[] };

/** One side of a comparison: what a config makes of a stream. Throws `StreamFault` for a line that cannot be used. */
export async function runSide(
  config: Config,
  { file, topology, knownRules }: SideInput,
  progress?: (lines: number) => void,
): Promise<Side> {
  const rules = compileRules(config, modelsOf(config), { topology, assumeSecrets: true });
  return sideOf(await replay(readStream(file), { rules, knownRules, ...(progress ? { progress } : {}) }));
}
