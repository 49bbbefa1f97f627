import { existsSync, readFileSync } from 'node:fs';
import { type Fault, formatFault } from '../config/fault.ts';
import type { Layer } from '../config/import/layer.ts';
import { readCatalogues } from '../config/import/read.ts';
import { intoBusinessContext, replaceFile, type Written, writeLayers } from '../config/import/write.ts';
import { loadConfig } from '../config/load.ts';
import { factSources, type Provenance } from '../config/schema.ts';
import { parseYaml } from '../config/yaml-file.ts';

type Options = {
  files: readonly string[];
  dir: string;
  env: Readonly<Record<string, string | undefined>>;
  /** Write one business-context.yaml here instead of layers under `dir`/imported. */
  file: string | null;
  dryRun: boolean;
  json: boolean;
  out: (text: string) => void;
  err: (text: string) => void;
};

type Shown = {
  service: string;
  field: string;
  value: unknown;
  source: string;
  from: string;
  /** The fact that counts instead of this one; null when this one does. */
  behind: { source: string; from: string } | null;
};

/**
 * `tocsin import FILE…`: Backstage, OpenSLO and CSV into `imported/` of the config folder, below what is written by hand.
 * Exit codes: 0 imported, 1 a file has faults (then nothing is imported), 2 a file is not there or the config cannot be used.
 */
export function runImport(options: Options): number {
  const { files, dir, env, json, out, err } = options;
  const { draft, missing } = readCatalogues(files);
  const before = loadConfig(dir, env, { assumeSecrets: true });
  if (!before.ok && before.unusable) {
    for (const fault of before.faults) err(`${formatFault(fault)}\n`);
    return 2;
  }
  const facts = shownFacts(draft.layers, before.ok ? before.config.provenance : {});
  const say = (result: { written: Written[]; faults: Fault[]; warnings: Fault[] }): void => {
    if (json)
      out(`${JSON.stringify({ ok: result.faults.length === 0, facts, notes: draft.notes, ...result }, null, 2)}\n`);
    else print({ ...options, draft, facts, ...result });
  };

  for (const { file, reason } of missing) err(`${file} ${reason}.\n`);
  if (missing.length > 0) return 2;
  if (draft.faults.length > 0) {
    say({ written: [], faults: draft.faults, warnings: [] });
    return 1;
  }
  if (options.file !== null) return intoFile(options.file, options, draft.layers, say);

  const imported = draft.layers.map((layer) => layer.file);
  const written = writeLayers(dir, draft.layers, imported, options);
  if ('refused' in written) {
    err(`${written.refused}\n`);
    return 1;
  }
  const after = options.dryRun ? before : loadConfig(dir, env, { assumeSecrets: true });
  const faults = after.ok ? [] : after.faults;
  const warnings = after.warnings.filter((warning) => written.some((one) => one.path === warning.file));
  say({ written, faults, warnings });
  return faults.length > 0 ? 1 : 0;
}

function intoFile(
  file: string,
  { dryRun, err }: Options,
  layers: readonly Layer[],
  say: (result: { written: Written[]; faults: Fault[]; warnings: Fault[] }) => void,
): number {
  const old = existsSync(file) ? readFileSync(file, 'utf8') : null;
  const yaml = parseYaml(file, Buffer.from(old ?? ''));
  if (yaml.faults.length > 0) {
    for (const fault of yaml.faults) err(`${formatFault(fault)}\n`);
    return 1;
  }
  const text = intoBusinessContext(old ?? '', layers);
  if (!dryRun) replaceFile(file, text);
  const change = old === null ? 'new' : old === text ? 'same' : 'changed';
  say({ written: [{ path: file, change }], faults: [], warnings: [] });
  return 0;
}

function shownFacts(layers: readonly Layer[], standing: Provenance): Shown[] {
  const rank = (source: string) => (factSources as readonly string[]).indexOf(source);
  const all = layers.flatMap((layer) =>
    Object.entries(layer.services).flatMap(([service, facts]) =>
      Object.entries(facts).map(([field, fact]) => ({ service, field, ...fact, source: layer.source })),
    ),
  );
  return all.map((fact) => {
    const rivals = all.filter((other) => other.service === fact.service && other.field === fact.field);
    const best = [standing[fact.service]?.[fact.field], ...rivals]
      .filter((other) => other !== undefined && rank(other.source) < rank(fact.source))
      .sort((a, b) => rank(a!.source) - rank(b!.source))[0];
    return { ...fact, behind: best ? { source: best.source, from: best.from } : null };
  });
}

function print(
  all: Options & {
    draft: { layers: readonly Layer[]; notes: readonly Fault[] };
    facts: Shown[];
    written: Written[];
    faults: Fault[];
    warnings: Fault[];
  },
): void {
  const { draft, facts, written, faults, warnings, dryRun, out, err } = all;
  for (const { message, ...at } of draft.notes) err(`${formatFault({ ...at, message: `note: ${message}` })}\n`);
  for (const { message, ...at } of warnings) err(`${formatFault({ ...at, message: `note: ${message}` })}\n`);
  for (const fault of faults) err(`${formatFault(fault)}\n`);
  if (written.length === 0) {
    err(`${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}; nothing was imported.\n`);
    return;
  }
  const names = [...new Set(draft.layers.flatMap((layer) => Object.keys(layer.services)))];
  for (const name of names) {
    const own = facts.filter((fact) => fact.service === name);
    const used = [...new Set(own.filter((fact) => fact.behind === null).map((fact) => fact.field))];
    const behind = own.filter((fact) => fact.behind !== null);
    const not = behind.map((fact) => `${fact.field} (${fact.behind!.from} counts)`);
    out(`${name}: ${used.join(', ') || 'nothing new'}${not.length > 0 ? `; not ${not.join(', ')}` : ''}\n`);
  }
  for (const { path, change } of written) out(`${dryRun ? 'would be ' : ''}${change}: ${path}\n`);
  if (faults.length > 0)
    err('The imported facts are in place, but the config tree has faults: nothing of it is used.\n');
}
