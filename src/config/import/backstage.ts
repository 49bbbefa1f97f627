import { child, entries, items, type Spot, text } from '../spot.ts';
import { type At, addFact, addTeamFact, type Draft, type Field, note, service, usableName } from './draft.ts';

/**
 * Backstage's catalogue (https://backstage.io/docs/features/software-catalog/descriptor-format). Components and Resources
 * become services; a System gives its owner to members that have none; a consumed API becomes a dependency on whoever
 * provides it; a Group's mail address becomes its team's. Read loosely, as everything that others write.
 */

type Entity = { at: Spot; kind: string; namespace: string; name: string };

/** Component types that nothing can alert about. */
const notRunning = new Set(['library', 'documentation']);
const used = new Set(['component', 'resource', 'system', 'api', 'group']);

const placeOf = (at: Spot, what: 'key' | 'value' = 'value'): At => ({
  file: at.yaml.file,
  ...at.yaml.place(at.path, what),
});

/** True for a document that Backstage would read. */
export const isBackstage = (apiVersion: string): boolean => apiVersion.startsWith('backstage.io/');

/** Reads the entities of all files at once, since one refers to the other. */
export function readBackstage(documents: readonly Spot[], draft: Draft): void {
  const entities = documents.flatMap((at) => entityOf(at, draft));
  const index = new Map(entities.map((entity) => [refOf(entity), entity]));
  const providers = new Map<string, string[]>();
  for (const entity of entities) {
    if (entity.kind !== 'component') continue;
    for (const api of items(child(child(entity.at, 'spec'), 'providesApis'))) {
      const ref = parseRef(text(api), 'api', entity.namespace);
      if (ref) providers.set(ref.full, [...(providers.get(ref.full) ?? []), entity.name]);
    }
  }
  for (const entity of entities) {
    if (entity.kind === 'group') readGroup(entity, draft);
    else if (isService(entity, draft)) readService(entity, index, providers, draft);
  }
}

function entityOf(at: Spot, draft: Draft): Entity[] {
  const kind = text(child(at, 'kind'))?.toLowerCase() ?? '';
  if (!used.has(kind)) return [];
  const metadata = child(at, 'metadata');
  const name = usableName(draft, text(child(metadata, 'name')), placeOf(metadata ?? at), `this ${kind}`);
  if (name === null) return [];
  return [{ at, kind, name, namespace: text(child(metadata, 'namespace')) ?? 'default' }];
}

const refOf = ({ kind, namespace, name }: Omit<Entity, 'at'>): string => `${kind}:${namespace}/${name}`.toLowerCase();

/** `[kind:][namespace/]name`, as in https://backstage.io/docs/features/software-catalog/references. */
function parseRef(
  ref: string | null,
  kind: string,
  namespace: string,
): { kind: string; name: string; full: string } | null {
  const parts = /^(?:([^:/]+):)?(?:([^:/]+)\/)?([^:/]+)$/.exec(ref?.trim() ?? '');
  if (!parts) return null;
  const found = { kind: parts[1]?.toLowerCase() ?? kind, namespace: parts[2] ?? namespace, name: parts[3]! };
  return { ...found, full: refOf(found) };
}

function isService({ at, kind, name }: Entity, draft: Draft): boolean {
  if (kind !== 'component' && kind !== 'resource') return false;
  const type = text(child(child(at, 'spec'), 'type'))?.toLowerCase() ?? '';
  if (!notRunning.has(type)) return true;
  note(
    draft,
    placeOf(child(at, 'metadata') ?? at),
    `component "${name}" is left out: a ${type} does not run`,
    'Nothing is to be done.',
  );
  return false;
}

function readService(
  entity: Entity,
  index: ReadonlyMap<string, Entity>,
  providers: ReadonlyMap<string, string[]>,
  draft: Draft,
): void {
  const { at, name, namespace } = entity;
  const metadata = child(at, 'metadata');
  const spec = child(at, 'spec');
  const add = (field: Field, value: unknown, where: Spot) =>
    addFact(draft, 'backstage', name, field, value, placeOf(where));
  service(draft, 'backstage', name, placeOf(metadata ?? at));

  const description = child(metadata, 'description') ?? child(metadata, 'title');
  if (description) add('description', text(description)?.trim().slice(0, 500), description);
  const system = child(spec, 'system');
  const systemRef = parseRef(text(system), 'system', namespace);
  if (system && systemRef) add('system', systemRef.name, system);
  const lifecycle = child(spec, 'lifecycle');
  if (lifecycle) add('lifecycle', text(lifecycle), lifecycle);

  const owner = child(spec, 'owner') ?? ownerOfSystem(systemRef && index.get(systemRef.full));
  const ownerRef = parseRef(text(owner), 'group', namespace);
  if (owner && ownerRef) add('owner', ownerRef.name, owner);
  else
    note(draft, placeOf(metadata ?? at), `nobody owns "${name}"`, 'Add spec.owner, or owner in business-context.yaml.');

  readTier(metadata, add);
  readAddresses(metadata, name, add, draft);
  readDependencies(entity, index, providers, draft);
}

const ownerOfSystem = (system: Entity | null | undefined): Spot | null =>
  system ? child(child(system.at, 'spec'), 'owner') : null;

/** Backstage has no tier of its own: a label or annotation called `tier`, or a tag such as `tier-1`. */
function readTier(metadata: Spot | null, add: (field: Field, value: unknown, where: Spot) => void): void {
  for (const [key, value] of [...entries(child(metadata, 'labels')), ...entries(child(metadata, 'annotations'))]) {
    if (lastPart(key) !== 'tier') continue;
    const digit = /^(?:tier[-_ ]?)?(\d)$/i.exec(String(value.value))?.[1];
    add('tier', digit === undefined ? value.value : Number(digit), value);
    return;
  }
  for (const tag of items(child(metadata, 'tags'))) {
    const digit = /^tier[-_]?([1-5])$/i.exec(text(tag) ?? '')?.[1];
    if (digit === undefined) continue;
    add('tier', Number(digit), tag);
    return;
  }
}

const lastPart = (key: string): string => key.slice(key.lastIndexOf('/') + 1).toLowerCase();

function readAddresses(
  metadata: Spot | null,
  name: string,
  add: (field: Field, value: unknown, where: Spot) => void,
  draft: Draft,
): void {
  for (const [key, value] of entries(child(metadata, 'annotations'))) {
    const last = lastPart(key);
    if (/^runbook([-_]?url)?$/.test(last)) add('runbook', text(value), value);
    else if (/^(overview-)?dashboard([-_]?url)?$/.test(last)) add('dashboards', [text(value)], value);
    else if (key === 'pagerduty.com/integration-key')
      note(
        draft,
        placeOf(value),
        `the PagerDuty key of "${name}" is left out, because it is a secret`,
        'Put it into the environment and refer to it in routing.yaml: teams: TEAM: pagerduty: { env: NAME }.',
      );
    else if (key === 'pagerduty.com/service-id')
      note(
        draft,
        placeOf(value),
        `the PagerDuty service id of "${name}" is left out: events need the routing key of an integration`,
        'Make an Events API v2 integration and refer to its key in routing.yaml: teams: TEAM: pagerduty: { env: NAME }.',
      );
  }
  for (const link of items(child(metadata, 'links'))) {
    const url = child(link, 'url');
    if (!url) continue;
    const said = ['type', 'title', 'icon'].map((part) => text(child(link, part)) ?? '').join(' ');
    if (/runbook|playbook/i.test(said)) add('runbook', text(url), url);
    else if (/dashboard|grafana/i.test(said)) add('dashboards', [text(url)], url);
  }
}

function readDependencies(
  { at, name, namespace }: Entity,
  index: ReadonlyMap<string, Entity>,
  providers: ReadonlyMap<string, string[]>,
  draft: Draft,
): void {
  const spec = child(at, 'spec');
  const depends = (caller: string, callee: string, where: Spot) => {
    if (caller !== callee) addFact(draft, 'backstage', caller, 'depends_on', [callee], placeOf(where));
  };
  for (const one of items(child(spec, 'dependsOn'))) {
    const ref = parseRef(text(one), 'component', namespace);
    if (ref && runs(ref, index)) depends(name, ref.name, one);
  }
  for (const one of items(child(spec, 'dependencyOf'))) {
    const ref = parseRef(text(one), 'component', namespace);
    if (ref && runs(ref, index)) depends(ref.name, name, one);
  }
  for (const one of items(child(spec, 'consumesApis'))) {
    const ref = parseRef(text(one), 'api', namespace);
    const known = ref ? (providers.get(ref.full) ?? []) : [];
    if (known.length === 0)
      note(
        draft,
        placeOf(one),
        `"${name}" consumes the API "${text(one)}", which nobody in these files provides`,
        'Import the file of its provider in the same command.',
      );
    for (const provider of known) depends(name, provider, one);
  }
}

/** A dependency on a library is no call. */
function runs(ref: { kind: string; full: string }, index: ReadonlyMap<string, Entity>): boolean {
  if (ref.kind !== 'component' && ref.kind !== 'resource') return false;
  const entity = index.get(ref.full);
  return !entity || !notRunning.has(text(child(child(entity.at, 'spec'), 'type'))?.toLowerCase() ?? '');
}

function readGroup({ at, name }: Entity, draft: Draft): void {
  const email = child(child(child(at, 'spec'), 'profile'), 'email');
  if (email) addTeamFact(draft, 'backstage', name, 'email', [text(email)], placeOf(email));
}
