import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Fault, formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import { modelsOf } from '../config/models.ts';
import { schemaFaults } from '../config/schema-faults.ts';
import { parseYaml, type YamlFile } from '../config/yaml-file.ts';
import { type Case, type Failure, runCase, TestFile } from '../policy-test.ts';
import { compileRules, type Rules } from '../rules.ts';
import { readTopology } from './replay.ts';

/** A failure and where its expectation stands, counted from 1. */
type Placed = Omit<Failure, 'path'> & { line: number; column: number };
type FileResult = { file: string; tests: number; names: string[]; failures: Placed[] };

type Options = {
  files: readonly string[];
  /** For test files that name no config of their own. */
  dir: string;
  env: Readonly<Record<string, string | undefined>>;
  json: boolean;
  /** Written as JUnit XML, for CI systems that show it; null: not. */
  junit: string | null;
  out: (text: string) => void;
  err: (text: string) => void;
};

/** `tocsin test FILE…`: exit code 1 when an expectation fails, 2 when a test file or its config cannot be used. */
export async function runPolicyTests({ files, dir, env, json, junit, out, err }: Options): Promise<number> {
  const results: FileResult[] = [];
  let unusable = false;
  for (const file of files) {
    const loaded = load(file, dir, env);
    if ('faults' in loaded) {
      unusable = true;
      for (const fault of loaded.faults) err(`${typeof fault === 'string' ? fault : formatFault(fault)}\n`);
      continue;
    }
    const failures: Placed[] = [];
    for (const [i, one] of loaded.tests.entries())
      for (const { path, ...failure } of await runCase(one, loaded.rules, i))
        failures.push({ ...failure, ...loaded.place(path) });
    results.push({ file, tests: loaded.tests.length, names: loaded.tests.map((one) => one.name), failures });
  }
  const failed = results.some((result) => result.failures.length > 0);
  if (junit !== null) writeFileSync(junit, asJunit(results));
  if (json) {
    const shown = results.map(({ names: _, ...result }) => result);
    out(`${JSON.stringify({ ok: !failed && !unusable, files: shown }, null, 2)}\n`);
  }
  if (!json) for (const result of results) (result.failures.length > 0 ? err : out)(asText(result));
  return unusable ? 2 : failed ? 1 : 0;
}

function asText({ file, tests, failures }: FileResult): string {
  const head = `Policy tests: ${file}\n`;
  if (failures.length === 0) return `${head}  SUCCESS (${tests} ${tests === 1 ? 'test' : 'tests'})\n`;
  const lines = failures.map(
    ({ name, evalTime, message, line, column }) => `    ${file}:${line}:${column}: ${name}, ${evalTime}: ${message}\n`,
  );
  return `${head}  FAILED:\n${lines.join('')}`;
}

/** The shape that Jenkins, GitLab and GitHub's reporters read: a suite a file, a case a test. */
function asJunit(results: readonly FileResult[]): string {
  const suites = results.map(({ file, names, failures }) => {
    const cases = names.map((name) => {
      const own = failures.filter((one) => one.name === name);
      const head = `    <testcase classname="${xml(file)}" name="${xml(name)}"`;
      if (own.length === 0) return `${head}/>`;
      const text = own.map((one) => `${file}:${one.line}: ${one.evalTime}: ${one.message}`).join('\n');
      return `${head}>\n      <failure message="${xml(own[0]!.message)}">${xml(text)}</failure>\n    </testcase>`;
    });
    const failed = names.filter((name) => failures.some((one) => one.name === name)).length;
    return `  <testsuite name="${xml(file)}" tests="${names.length}" failures="${failed}">\n${cases.join('\n')}\n  </testsuite>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${suites.join('\n')}\n</testsuites>\n`;
}

/** Text in XML 1.0: its five signs escaped, and nothing that it cannot hold. */
const xml = (text: string): string =>
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what XML 1.0 cannot hold
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

function load(
  file: string,
  dir: string,
  env: Options['env'],
): { tests: Case[]; rules: Rules; place: YamlFile['place'] } | { faults: (Fault | string)[] } {
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
    place: yaml.place,
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
