import type { Fault } from './fault.ts';
import type { FileName } from './schema.ts';
import type { Path, YamlFile } from './yaml-file.ts';

/** The parsed files of one tree; a file that is missing is absent, one with broken YAML has `data: null`. */
export type Tree = Partial<Record<FileName, YamlFile>>;

/**
 * A value of the tree together with where it stands. The checks across files read the tree as written, not as validated:
 * so they run, and report, even when some other key is broken, and every fault is told at once.
 */
export type Spot = { yaml: YamlFile; path: Path; value: unknown };

/** The spot at a path of a file; null when nothing stands there. */
export function spot(tree: Tree, file: FileName, ...path: (string | number)[]): Spot | null {
  const yaml = tree[file];
  let here: Spot | null = yaml ? { yaml, path: [], value: yaml.data } : null;
  for (const part of path) here = here && child(here, part);
  return here;
}

/** What stands under a key of a mapping; null when there is nothing. */
export function child(of: Spot | null, key: string | number): Spot | null {
  if (of === null || typeof of.value !== 'object' || of.value === null || !Object.hasOwn(of.value, key)) return null;
  const value = (of.value as Record<string | number, unknown>)[key];
  return value === null || value === undefined ? null : { yaml: of.yaml, path: [...of.path, key], value };
}

/** The entries of a list; none when it is no list. */
export function items(of: Spot | null): Spot[] {
  if (of === null || !Array.isArray(of.value)) return [];
  return of.value.map((value: unknown, i) => ({ yaml: of.yaml, path: [...of.path, i], value }));
}

/** The entries of a mapping by name, also those without a value; none when it is no mapping. */
export function entries(of: Spot | null): [string, Spot][] {
  if (of === null || typeof of.value !== 'object' || of.value === null || Array.isArray(of.value)) return [];
  return Object.entries(of.value).map(([key, value]) => [key, { yaml: of.yaml, path: [...of.path, key], value }]);
}

/** The text that stands here; null when it is none. */
export const text = (of: Spot | null): string | null => (typeof of?.value === 'string' ? of.value : null);

/** A fault about the value at a spot, or about its key. */
export const faultAt = (of: Spot, message: string, instead: string, what: 'key' | 'value' = 'value'): Fault => ({
  file: of.yaml.file,
  ...of.yaml.place(of.path, what),
  message,
  instead,
});
