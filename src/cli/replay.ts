import { readFileSync, writeFileSync } from 'node:fs';
import { loadModels } from '../config/models.ts';
import { Topology } from '../domain/topology.ts';
import { readStream, replay, StreamFault } from '../replay.ts';
import { compileRules } from '../rules.ts';
import { loadOrExplain } from './load.ts';

type Options = {
  stream: string;
  dir: string;
  env: Readonly<Record<string, string | undefined>>;
  topology: string | null;
  file: string | null;
  timing: boolean;
  out: (text: string) => void;
  err: (text: string) => void;
};

/** `tocsin replay`: outcomes as one JSON object (contract section 5). Exit code 2 for an unusable config, stream or topology. */
export async function runReplay({ stream, dir, env, topology, file, timing, out, err }: Options): Promise<number> {
  const config = loadOrExplain(dir, env, err);
  if (!config) return 2;
  const graph = topology === null ? null : readTopology(topology);
  if (typeof graph === 'string') {
    err(`${graph}\n`);
    return 2;
  }
  const rules = compileRules(config, loadModels(), { topology: graph, assumeSecrets: true });
  const progress = process.stderr.isTTY ? (lines: number) => err(`\r${lines} lines`) : undefined;
  try {
    const { timing: measured, ...outcomes } = await replay(readStream(stream), { rules, progress });
    const text = `${JSON.stringify(timing ? { ...outcomes, timing: measured } : outcomes, null, 2)}\n`;
    if (file === null) out(text);
    else writeFileSync(file, text);
    return 0;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (!(error instanceof StreamFault) && !missing) throw error;
    err(`${missing ? `There is no file ${stream}.` : (error as Error).message}\n`);
    return 2;
  }
}

function readTopology(file: string): Topology | string {
  try {
    const parsed = Topology.safeParse(JSON.parse(readFileSync(file, 'utf8')));
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0]!;
    return `${file}: ${issue.path.join('.')}: ${issue.message}. Write {"nodes":[{"namespace","service"}],"edges":[{"namespace","caller","callee"}]}.`;
  } catch (error) {
    return `${file}: ${(error as Error).message}`;
  }
}
