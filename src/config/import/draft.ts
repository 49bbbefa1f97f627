import type { z } from 'zod';
import type { Fault } from '../fault.ts';
import { Service } from '../schema.ts';
import { type Facts, type ImportSource, type Layer, lists, teamShape } from './layer.ts';

/** What one import brings together from all its files. */
export type Draft = {
  layers: Layer[];
  /** What makes a file unusable; with any of them nothing is imported. */
  faults: Fault[];
  /** What was left out or decided, for people. */
  notes: Fault[];
};

/** A place in an imported file. */
export type At = { file: string; line: number; column: number };

export const emptyDraft = (): Draft => ({ layers: [], faults: [], notes: [] });

export const note = (draft: Draft, at: At, message: string, instead: string): void => {
  draft.notes.push({ file: at.file, line: at.line, column: at.column, message, instead });
};

export const refuse = (draft: Draft, at: At, message: string, instead: string): void => {
  draft.faults.push({ file: at.file, line: at.line, column: at.column, message, instead });
};

/** The layer of a file and source, made when it is first asked for. */
export function layerOf(draft: Draft, file: string, source: ImportSource): Layer {
  const known = draft.layers.find((layer) => layer.file === file && layer.source === source);
  if (known) return known;
  const layer: Layer = { source, file, services: {}, teams: {} };
  draft.layers.push(layer);
  return layer;
}

/** Makes the service known, even when nothing else is said of it. */
export function service(draft: Draft, source: ImportSource, name: string, at: At): void {
  layerOf(draft, at.file, source).services[name] ??= {};
}

export type Field = keyof typeof Service.shape;

/**
 * Adds one fact about a service. A value that the business context could not hold is left out and told. Lists grow; of two
 * values for anything else the first one counts.
 */
export function addFact(draft: Draft, source: ImportSource, name: string, field: Field, value: unknown, at: At): void {
  service(draft, source, name, at);
  put(draft, layerOf(draft, at.file, source).services[name]!, { schema: Service.shape[field], field, name, value, at });
}

/** Adds one fact about a team; its routing key is a secret and never comes from a catalogue. */
export function addTeamFact(
  draft: Draft,
  source: ImportSource,
  name: string,
  field: 'slack' | 'email',
  value: unknown,
  at: At,
): void {
  const { teams } = layerOf(draft, at.file, source);
  teams[name] ??= {};
  put(draft, teams[name], { schema: teamShape[field], field, name, value, at });
}

type Given = { schema: z.ZodType; field: string; name: string; value: unknown; at: At };

function put(draft: Draft, facts: Facts, { schema, field, name, value, at }: Given): void {
  const checked = schema.safeParse(value);
  if (!checked.success) {
    const [what, instead] = (checked.error.issues[0]?.message ?? 'this value cannot be used').split('; write ', 2);
    const advice = instead ? `Write ${instead}.` : 'Correct it, or leave it.';
    note(draft, at, `${field} of "${name}" is left out: ${what}`, advice);
    return;
  }
  const before = facts[field];
  if (before === undefined) facts[field] = { value, from: `${at.file}:${at.line}` };
  else if (lists.has(field)) before.value = [...new Set([...(before.value as unknown[]), ...(value as unknown[])])];
  else if (JSON.stringify(before.value) !== JSON.stringify(value))
    note(
      draft,
      at,
      `${field} of "${name}" is ${JSON.stringify(value)} here, after ${JSON.stringify(before.value)} (${before.from})`,
      'The first one counts.',
    );
}

/** A name that can stand as a key of the tree; null (and a fault) when it cannot. */
export function usableName(draft: Draft, name: string | null, at: At, what: string): string | null {
  if (name === null || name.trim() === '') {
    refuse(draft, at, `${what} has no name`, 'Give it one.');
    return null;
  }
  if (name === '__proto__' || name.length > 256) {
    refuse(draft, at, `${what} has a name that cannot be used`, 'Give it another one, of at most 256 characters.');
    return null;
  }
  return name.trim();
}
