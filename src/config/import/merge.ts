import { basename } from 'node:path';
import type { Fault } from '../fault.ts';
import type { BusinessFile, Provenance, RoutingFile, Service } from '../schema.ts';
import type { YamlFile } from '../yaml-file.ts';
import { type Fact, type FoundLayer, importedFolder, lists } from './layer.ts';

export type Merged = {
  services: BusinessFile['services'];
  teams: RoutingFile['teams'];
  provenance: Provenance;
  /** Two files of one source that disagree: the first one counts, and somebody should know. */
  warnings: Fault[];
};

/**
 * Lays the imported facts under the hand-written ones, field by field: native > openslo > backstage > csv, and of two files
 * of one source the first by name. A list is one fact: the most trusted source that gives one gives the whole of it, put
 * together from all its files. Nothing is invented: a field that nobody gives stays unset.
 */
export function mergeLayers(
  native: { services: BusinessFile['services']; teams: RoutingFile['teams']; yaml: YamlFile | undefined },
  layers: readonly FoundLayer[],
): Merged {
  const warnings: Fault[] = [];
  const provenance: Provenance = {};
  const services: BusinessFile['services'] = {};
  const names = new Set([...Object.keys(native.services), ...layers.flatMap((layer) => Object.keys(layer.services))]);
  for (const name of names) {
    const own = Object.hasOwn(native.services, name) ? native.services[name]! : null;
    const written = own === null ? {} : writtenFields(native.yaml, name);
    const { values, from } = imported(layers, name, warnings);
    for (const field of Object.keys(written)) {
      delete values[field];
      from[field] = { source: 'native', from: written[field]! };
    }
    services[name] = { depends_on: [], dashboards: [], ...own, ...values } as Service;
    provenance[name] = from;
  }
  const teams = mergeTeams(native.teams, layers);
  for (const layer of layers) warnings.push(...unknownNames(layer, services, teams, provenance));
  return { services, teams, provenance, warnings };
}

/** The fields that business-context.yaml gives a service a value for, each with its place. */
function writtenFields(yaml: YamlFile | undefined, service: string): Record<string, string> {
  const data = yaml?.data as { services?: Record<string, Record<string, unknown> | null> } | null | undefined;
  const fields = data?.services?.[service] ?? {};
  return Object.fromEntries(
    Object.keys(fields)
      .filter((field) => fields[field] !== null)
      .map((field) => {
        const { line } = yaml!.place(['services', service, field], 'key');
        return [field, `${basename(yaml!.file)}:${line}`];
      }),
  );
}

function imported(layers: readonly FoundLayer[], name: string, warnings: Fault[]) {
  const values: Record<string, unknown> = {};
  const from: Provenance[string] = {};
  const givenBy: Record<string, FoundLayer> = {};
  for (const layer of layers) {
    if (!Object.hasOwn(layer.services, name)) continue;
    for (const [field, fact] of Object.entries(layer.services[name]!)) {
      if (fact === undefined) continue;
      const before = from[field];
      if (before === undefined) {
        values[field] = fact.value;
        from[field] = { source: layer.source, from: fact.from };
        givenBy[field] = layer;
      } else if (before.source === layer.source) {
        if (lists.has(field)) {
          values[field] = [...new Set([...(values[field] as unknown[]), ...(fact.value as unknown[])])];
          from[field] = { source: layer.source, from: `${before.from}, ${fact.from}` };
        } else if (JSON.stringify(values[field]) !== JSON.stringify(fact.value)) {
          warnings.push(disagreement(layer, name, field, fact, { value: values[field], from: before.from }));
        }
      }
    }
  }
  return { values, from };
}

function disagreement(layer: FoundLayer, service: string, field: string, fact: Fact, first: Fact): Fault {
  const said = (one: Fact) => `${JSON.stringify(one.value)} (${one.from})`;
  return {
    file: layer.yaml.file,
    ...layer.yaml.place(['services', service, field], 'key'),
    message: `${field} of "${service}" is ${said(fact)} here and ${said(first)} in another import; the latter counts`,
    instead: `Correct one of the two and import it again, remove its file from ${importedFolder}/, or write the right value in business-context.yaml.`,
  };
}

/** What a hand-written tree is warned of, for the imported facts that count. */
function unknownNames(
  layer: FoundLayer,
  services: BusinessFile['services'],
  teams: RoutingFile['teams'],
  provenance: Provenance,
): Fault[] {
  const warnings: Fault[] = [];
  for (const name of Object.keys(layer.services)) {
    const counts = (field: string) => provenance[name]![field]?.source === layer.source;
    const { owner, depends_on: callees } = services[name]!;
    const say = (field: string, message: string, instead: string) => {
      if (!Object.hasOwn(layer.services[name]!, field) || !counts(field)) return;
      const at = layer.yaml.place(['services', name, field], 'key');
      warnings.push({ file: layer.yaml.file, ...at, message, instead });
    };
    if (owner !== undefined && !Object.hasOwn(teams, owner) && Object.keys(teams).length > 0)
      say(
        'owner',
        `the owner "${owner}" of "${name}" is no team of routing.yaml: its alerts go to default_team`,
        `Add ${owner} to \`teams\` in routing.yaml.`,
      );
    const strangers = callees.filter((callee) => !Object.hasOwn(services, callee));
    if (strangers.length > 0)
      say(
        'depends_on',
        `"${name}" depends on ${strangers.join(', ')}, which ${strangers.length === 1 ? 'is' : 'are'} not catalogued`,
        'Import them too, or add them to `services` in business-context.yaml.',
      );
  }
  return warnings;
}

function mergeTeams(native: RoutingFile['teams'], layers: readonly FoundLayer[]): RoutingFile['teams'] {
  const teams = { ...native };
  for (const layer of layers) {
    for (const [name, facts] of Object.entries(layer.teams)) {
      const said = Object.fromEntries(Object.entries(facts).map(([field, fact]) => [field, fact.value]));
      teams[name] = { ...said, ...(Object.hasOwn(teams, name) ? teams[name] : {}) };
    }
  }
  return teams;
}
