import { createHash } from 'node:crypto';
import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { closest, type Fault } from './fault.ts';
import { readLayers } from './import/layer.ts';
import { mergeLayers } from './import/merge.ts';
import { modelFaults } from './models.ts';
import { resolveReferences } from './references.ts';
import { type Config, type FileName, fileNames, files } from './schema.ts';
import { schemaFaults } from './schema-faults.ts';
import { keepSecrets } from './secrets.ts';
import { crossCheck } from './semantics.ts';
import type { Tree } from './spot.ts';
import { parseYaml, unread, type YamlFile } from './yaml-file.ts';

/**
 * The tree, or every fault in it. `warnings` are told and lived with: channels that are off, names not catalogued.
 * `unusable`: there is no such folder, so there is nothing to check (exit code 2, not 1).
 */
export type LoadResult =
  | { ok: true; config: Config; warnings: Fault[] }
  | { ok: false; faults: Fault[]; warnings: Fault[]; unusable: boolean };

/**
 * Reads and checks the whole tree in `dir`, taking secrets from `env` and from files. Never throws on what a user can have
 * written; every fault of every file comes back at once, ordered by file and line. A missing file is its defaults.
 *
 * `assumeSecrets`: no secret is missed, for `replay`, `diff`, `test` and `routes test`, which say the same on every machine
 * (pass it to `compilePolicy` too).
 */
export function loadConfig(
  dir: string,
  env: Readonly<Record<string, string | undefined>>,
  { assumeSecrets = false }: { assumeSecrets?: boolean } = {},
): LoadResult {
  const listing = list(dir);
  if ('fault' in listing) return { ok: false, faults: [listing.fault], warnings: [], unusable: true };

  const tree: Tree = {};
  for (const name of fileNames) if (listing.names.includes(name)) tree[name] = readYaml(join(dir, name));
  const parsed = validate(tree);
  const imported = readLayers(dir);
  const crossed = crossCheck(tree, {
    services: imported.layers.flatMap((layer) => Object.keys(layer.services)),
    teams: imported.layers.flatMap((layer) => Object.keys(layer.teams)),
  });
  const followed = resolveReferences(tree, dir, env);
  const references = assumeSecrets ? { ...followed, faults: [], warnings: [] } : followed;

  const syntax = fileNames.flatMap((name) => tree[name]?.faults ?? []);
  const faults = inOrder([
    ...syntax,
    ...parsed.faults,
    ...crossed.faults,
    ...references.faults,
    ...modelFaults(tree, dir),
    ...misspeltFiles(dir, listing.names),
  ]);
  faults.push(...imported.faults);
  const warnings = inOrder([...references.warnings, ...crossed.warnings]);
  if (Object.keys(tree).length === 0) warnings.push(emptyFolder(dir));
  if (faults.length > 0 || parsed.values === null) return { ok: false, faults, warnings, unusable: false };

  const { services } = parsed.values['business-context.yaml'];
  const routing = parsed.values['routing.yaml'];
  const native = { services, teams: routing.teams, yaml: tree['business-context.yaml'] };
  const merged = mergeLayers(native, imported.layers);
  warnings.push(...merged.warnings);
  const values = {
    ...parsed.values,
    'business-context.yaml': { services: merged.services },
    'routing.yaml': { ...routing, teams: merged.teams },
  };
  const config: Config = {
    dir,
    hash: hashOf(values),
    provenance: merged.provenance,
    tocsin: values['tocsin.yaml'],
    business: values['business-context.yaml'],
    routing: withDefaultTeam(values['routing.yaml']),
    suppression: values['suppression.yaml'],
    patterns: values['patterns.yaml'],
    secrets: keepSecrets(references.values),
    warnings: warnings.map((w) => `${w.message}. ${w.instead}`),
  };
  return { ok: true, config, warnings };
}

function list(dir: string): { names: string[] } | { fault: Fault } {
  try {
    const entries: Dirent[] = readdirSync(dir, { withFileTypes: true });
    return { names: entries.map((entry) => entry.name) };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const message =
      code === 'ENOENT'
        ? 'there is no such folder'
        : code === 'ENOTDIR'
          ? 'this is a file, not a folder'
          : `this folder cannot be read (${code})`;
    const instead = 'Name the folder that holds tocsin.yaml with --config or TOCSIN_CONFIG.';
    return { fault: { file: dir, line: 1, column: 1, message, instead } };
  }
}

function readYaml(file: string): YamlFile {
  const start = { line: 1, column: 1 };
  try {
    // Reading a pipe would wait for its writer for ever.
    if (!statSync(file).isFile())
      return unread(file, start, 'this is not a file', 'Put the YAML in a file of this name.');
    return parseYaml(file, readFileSync(file));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === undefined) throw error;
    const message = `this file cannot be read (${code})`;
    return unread(
      file,
      { line: 1, column: 1 },
      message,
      'Let the user that runs Tocsin read it, or remove it to take its defaults.',
    );
  }
}

type Values = { [Name in FileName]: ReturnType<(typeof files)[Name]['parse']> };

function validate(tree: Tree): { values: Values | null; faults: Fault[] } {
  const faults: Fault[] = [];
  const values: Partial<Record<FileName, unknown>> = {};
  for (const name of fileNames) {
    const yaml = tree[name];
    if (yaml && yaml.faults.length > 0 && yaml.data === null) continue;
    const result = files[name].safeParse(withoutEmptyKeys(yaml?.data ?? {}));
    if (result.success) values[name] = result.data;
    else if (yaml) faults.push(...schemaFaults(yaml, files[name], result.error.issues));
  }
  return { values: fileNames.every((name) => name in values) ? (values as Values) : null, faults };
}

/** `prometheus:` with every line under it commented out means the same as no `prometheus` at all. */
function withoutEmptyKeys(data: unknown): unknown {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return data;
  return Object.fromEntries(Object.entries(data).filter(([, value]) => value !== null));
}

/** Without `default_team` there is still a team to name, which reaches the log alone. */
function withDefaultTeam(routing: Values['routing.yaml']): Values['routing.yaml'] {
  const name = routing.routes.default_team;
  if (Object.hasOwn(routing.teams, name)) return routing;
  return { ...routing, teams: { ...routing.teams, [name]: {} } };
}

/** A misspelt file name would silently mean "all defaults". Files with names of their own are none of our business. */
function misspeltFiles(dir: string, names: string[]): Fault[] {
  return names.flatMap((name) => {
    const stem = /^(.+)\.ya?ml$/.exec(name)?.[1];
    if (stem === undefined || (fileNames as string[]).includes(name)) return [];
    const meant = closest(
      stem,
      fileNames.map((known) => known.replace('.yaml', '')),
    );
    if (meant === null || names.includes(`${meant}.yaml`)) return [];
    const instead = `Did you mean ${meant}.yaml? Rename it.`;
    return [{ file: join(dir, name), line: 1, column: 1, message: 'this file is not read', instead }];
  });
}

const emptyFolder = (dir: string): Fault => ({
  file: dir,
  line: 1,
  column: 1,
  message: `this folder holds none of ${fileNames.join(', ')}: everything is at its default`,
  instead: 'Name another folder with --config or TOCSIN_CONFIG, or start from the shipped sample.',
});

function inOrder(faults: Fault[]): Fault[] {
  const rank = (fault: Fault) => fileNames.findIndex((name) => fault.file.endsWith(name));
  return faults.sort((a, b) => rank(a) - rank(b) || a.line - b.line || a.column - b.column);
}

/**
 * Twelve hexadecimal digits that name the tree: SHA-256 over the validated values with their keys sorted. The same for the
 * same settings wherever they lie, however they are laid out, and whatever the secrets are.
 */
function hashOf(values: Values): string {
  const sorted = (_key: string, value: unknown): unknown =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : value;
  return createHash('sha256').update(JSON.stringify(values, sorted)).digest('hex').slice(0, 12);
}
