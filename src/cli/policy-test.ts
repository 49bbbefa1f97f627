import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Fault, formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import { modelsOf } from '../config/models.ts';
import { schemaFaults } from '../config/schema-faults.ts';
import { parseYaml, type YamlFile } from '../config/yaml-file.ts';
import { type Case, type Failure, runCase, TestFile } from '../policy-test.ts';
import { compileRules, type Rules } from '../rules.ts';
import { readTopology } from './replay.ts';

type FileResult = { file: string; tests: number; failures: Failure[] };

type Options = {
  files: readonly string[];
  /** For test files that name no config of their own. */
  dir: string;
  env: Readonly<Record<string, string | undefined>>;
  json: boolean;
  out: (text: string) => void;
  err: (text: string) => void;
};

/** `tocsin test FILE…`: exit code 1 when an expectation fails, 2 when a test file or its config cannot be used. */
export async function runPolicyTests({ files, dir, env, json, out, err }: Options): Promise<number> {
  const results: FileResult[] = [];
  let unusable = false;
  for (const file of files) {
    const loaded = load(file, dir, env);
    if ('faults' in loaded) {
      unusable = true;
      for (const fault of loaded.faults) err(`${typeof fault === 'string' ? fault : formatFault(fault)}\n`);
      continue;
    }
    const failures: Failure[] = [];
    for (const one of loaded.tests) failures.push(...(await runCase(one, loaded.rules)));
    results.push({ file, tests: loaded.tests.length, failures });
  }
  const failed = results.some((result) => result.failures.length > 0);
  if (json) out(`${JSON.stringify({ ok: !failed && !unusable, files: results }, null, 2)}\n`);
  else for (const result of results) (result.failures.length > 0 ? err : out)(asText(result));
  return unusable ? 2 : failed ? 1 : 0;
}

function asText({ file, tests, failures }: FileResult): string {
  const head = `Policy tests: ${file}\n`;
  if (failures.length === 0) return `${head}  SUCCESS (${tests} ${tests === 1 ? 'test' : 'tests'})\n`;
  const lines = failures.map(({ name, evalTime, message }) => `    ${name}, ${evalTime}: ${message}\n`);
  return `${head}  FAILED:\n${lines.join('')}`;
}

function load(
  file: string,
  dir: string,
  env: Options['env'],
): { tests: Case[]; rules: Rules } | { faults: (Fault | string)[] } {
  const yaml = readTestFile(file);
  if (typeof yaml === 'string') return { faults: [yaml] };
  if (yaml.faults.length > 0) return { faults: yaml.faults };
  const parsed = TestFile.safeParse(yaml.data ?? {});
  if (!parsed.success) return { faults: schemaFaults(yaml, TestFile, parsed.error.issues) };
  const { config: own, topology, tests } = parsed.data;
  const beside = (name: string) => resolve(dirname(file), name);
  const loaded = loadConfig(own === undefined ? dir : beside(own), env, { assumeSecrets: true });
  if (!loaded.ok) return { faults: loaded.faults };
  const graph = topology === undefined ? null : readTopology(beside(topology));
  if (typeof graph === 'string') return { faults: [graph] };
  return {
    tests,
    rules: compileRules(loaded.config, modelsOf(loaded.config), { topology: graph, assumeSecrets: true }),
  };
}

function readTestFile(file: string): YamlFile | string {
  try {
    return parseYaml(file, readFileSync(file));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return `${file} ${code === 'ENOENT' ? 'is not there' : `cannot be read (${code})`}.`;
  }
}
