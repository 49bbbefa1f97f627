import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Document } from 'yaml';
import { z } from 'zod';
import type { Fault } from '../fault.ts';
import { factSources, Service, TeamEntry } from '../schema.ts';
import { schemaFaults } from '../schema-faults.ts';
import { parseYaml, unread, type YamlFile } from '../yaml-file.ts';

/** What can be imported, the most trusted first. */
export type ImportSource = Exclude<(typeof factSources)[number], 'native'>;
const importSources = factSources.filter((source) => source !== 'native');

/** The folder of imported facts inside the config folder: one file per imported file and source. */
export const importedFolder = 'imported';

const fact = (schema: z.ZodType) =>
  z.strictObject({ value: schema, from: z.string().describe('file and line where the value was written') });
const facts = (shape: z.ZodRawShape) =>
  z.strictObject(
    Object.fromEntries(Object.entries(shape).map(([name, schema]) => [name, fact(schema as z.ZodType).optional()])),
  );
/** What a catalogue may say of a team. */
const { slack, email } = TeamEntry.shape;
export const teamShape = { slack, email };
/** Lists are facts that several places add to (`dependencyOf` is written at the other end). */
export const lists: ReadonlySet<string> = new Set(['depends_on', 'dashboards', 'email']);

/** One imported file: what it says, fact by fact, and where in it each stands. */
export const LayerFile = z.strictObject({
  source: z.enum(['openslo', 'backstage', 'csv']),
  file: z.string().describe('the file this was imported from'),
  services: z.record(z.string().min(1), facts(Service.shape)).default({}),
  teams: z.record(z.string().min(1), facts(teamShape)).default({}),
});

export type Fact = { value: unknown; from: string };
export type Facts = Record<string, Fact>;
/** As written: durations are text in here. */
export type Layer = {
  source: ImportSource;
  file: string;
  services: Record<string, Facts>;
  teams: Record<string, Facts>;
};
/** A layer as `loadConfig` found it; its values are validated, durations are milliseconds. */
export type FoundLayer = Layer & { name: string; yaml: YamlFile };

/** Most trusted first. */
export const bySource = (a: { source: ImportSource }, b: { source: ImportSource }): number =>
  factSources.indexOf(a.source) - factSources.indexOf(b.source);

/** The name of a layer: the imported file's path with its folders, so that a second import of it replaces the first. */
export const layerName = (file: string, source: ImportSource): string => {
  const plain = file
    .replace(/\\/g, '/')
    .replace(/^(\.{0,2}\/)+/, '')
    .replace(/\.(ya?ml|csv)$/i, '')
    .replaceAll('/', '--')
    .replace(/[^A-Za-z0-9._-]+/g, '-');
  return `${plain || 'stdin'}.${source}.yaml`;
};

const header = (layer: Layer): string =>
  ` Written by \`tocsin import\` from ${layer.file}. Do not edit it: import the file again, or remove this one.\n` +
  ' What business-context.yaml and routing.yaml say wins over it.';

/** The text of a layer's file. */
export function layerText(layer: Layer): string {
  const doc = new Document(layer);
  doc.commentBefore = header(layer);
  return doc.toString({ lineWidth: 0 });
}

const start = { line: 1, column: 1 };

/** Every layer in `dir`/imported, the most trusted source first, then by name; files of other names are none of ours. */
export function readLayers(dir: string): { layers: FoundLayer[]; faults: Fault[] } {
  const folder = join(dir, importedFolder);
  const layers: FoundLayer[] = [];
  const faults: Fault[] = [];
  const listed = list(folder);
  if (listed.problem !== null)
    faults.push({
      file: folder,
      ...start,
      message: `this folder cannot be read (${listed.problem})`,
      instead: 'Let the user that runs Tocsin read it, or remove it.',
    });
  for (const name of listed.names) {
    const yaml = readLayer(join(folder, name));
    faults.push(...yaml.faults);
    if (yaml.data === null) continue;
    const parsed = LayerFile.safeParse(yaml.data);
    if (parsed.success) layers.push({ ...(parsed.data as Layer), name, yaml });
    else faults.push(...schemaFaults(yaml, LayerFile, parsed.error.issues));
  }
  // The names come sorted, and a sort keeps the order of equals.
  return { layers: layers.sort(bySource), faults };
}

/** The layer files of a folder by name; none when there is no such folder, or none that can be read. */
export const layerFiles = (folder: string): string[] => list(folder).names;

function list(folder: string): { names: string[]; problem: string | null } {
  try {
    const names = readdirSync(folder).filter((name) => importSources.some((from) => name.endsWith(`.${from}.yaml`)));
    return { names: names.sort(), problem: null };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { names: [], problem: code === 'ENOENT' ? null : (code ?? String(error)) };
  }
}

function readLayer(file: string): YamlFile {
  try {
    if (!statSync(file).isFile())
      return unread(file, start, 'this is not a file', 'Remove it and import the catalogue again.');
    return parseYaml(file, readFileSync(file));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return unread(file, start, `this file cannot be read (${code})`, 'Let the user that runs Tocsin read it.');
  }
}
