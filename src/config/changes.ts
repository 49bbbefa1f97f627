import type { Config, files } from './schema.ts';

/** One setting that differs; null where one of the two trees does not have it. Secrets are references in both. */
export type ConfigChange = { file: string; path: string; before: unknown; after: unknown };

/** Beyond this a change of the tree is better read as a diff of the files. */
const MOST = 200;
const LONGEST = 500;

const parts = [
  ['tocsin.yaml', 'tocsin'],
  ['business-context.yaml', 'business'],
  ['routing.yaml', 'routing'],
  ['suppression.yaml', 'suppression'],
  ['patterns.yaml', 'patterns'],
] as const satisfies readonly (readonly [keyof typeof files, keyof Config])[];

/**
 * What changed between two trees, by file and path (`noise[dev-noise].for`; lists of named things go by name, others by
 * index), defaults filled in. At most 200 changes; long values are cut.
 */
export function configChanges(before: Config, after: Config): ConfigChange[] {
  const changes: ConfigChange[] = [];
  for (const [file, part] of parts) compare(file, '', before[part], after[part], changes);
  return changes.slice(0, MOST);
}

function compare(file: string, path: string, before: unknown, after: unknown, into: ConfigChange[]): void {
  if (JSON.stringify(before) === JSON.stringify(after)) return;
  const left = membersOf(before);
  const right = membersOf(after);
  if (!left || !right) {
    into.push({ file, path, before: short(before), after: short(after) });
    return;
  }
  const isList = Array.isArray(before) || Array.isArray(after);
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    const inner = isList ? `${path}[${name}]` : path === '' ? name : `${path}.${name}`;
    if (left.has(name) && right.has(name)) compare(file, inner, left.get(name), right.get(name), into);
    else if (left.has(name)) into.push({ file, path: inner, before: short(left.get(name)), after: null });
    else into.push({ file, path: inner, before: null, after: short(right.get(name)) });
  }
}

/** The members of an object or list by name, or null for a plain value. */
function membersOf(value: unknown): Map<string, unknown> | null {
  if (Array.isArray(value)) {
    const names = value.map((one) => (one as { name?: unknown } | null)?.name);
    const named = names.every((name) => typeof name === 'string') && new Set(names).size === names.length;
    return new Map(value.map((one, i) => [named ? String(names[i]) : String(i), one]));
  }
  return typeof value === 'object' && value !== null ? new Map(Object.entries(value)) : null;
}

function short(value: unknown): unknown {
  const json = JSON.stringify(value) ?? 'null';
  return json.length <= LONGEST ? JSON.parse(json) : `${json.slice(0, LONGEST)}…`;
}
