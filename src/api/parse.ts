import { z } from 'zod';
import { closest } from '../config/fault.ts';
import { problem, type Reply } from './problem.ts';

/** One thing wrong with a request: which parameter or member, and what to write instead. */
export type RequestFault = { name: string; detail: string };

export type Parsed<T> = { ok: true; value: T } | { ok: false; reply: Reply };

/** A text that PostgreSQL and JSON can both hold: no NUL, no half of a surrogate pair. */
export const plain = (max: number): z.ZodString =>
  z
    .string()
    .max(max)
    .refine((text) => isPlain(text), 'contains a NUL character or half of a surrogate pair');

const isPlain = (text: string): boolean => !text.includes('\0') && text.isWellFormed();

/**
 * Reads query parameters by their schema: where it wants an array, commas and repeats both separate
 * (`status=open,acknowledged` is `status=open&status=acknowledged`); where it wants a number or boolean, the text is read
 * as one. An unknown parameter is a fault, because a mistyped filter would silently show everything.
 */
export function parseQuery<S extends z.ZodObject>(schema: S, raw: Record<string, unknown>): Parsed<z.infer<S>> {
  const faults: RequestFault[] = [];
  const read: Record<string, unknown> = {};
  for (const [name, given] of Object.entries(raw)) {
    const wanted = Object.hasOwn(schema.shape, name) ? (schema.shape[name] as z.ZodType) : null;
    if (wanted === null) {
      faults.push({ name, detail: unknownParameter(name, Object.keys(schema.shape)) });
      continue;
    }
    const texts = (Array.isArray(given) ? given : [given]).filter((text) => typeof text === 'string');
    const value = readParameter(kindOf(wanted), texts);
    if (value === REPEATED) faults.push({ name, detail: 'is given more than once; give it once' });
    else read[name] = value;
  }
  const result = schema.safeParse(read);
  if (!result.success) faults.push(...faultsOf(result.error));
  if (faults.length > 0 || !result.success) return { ok: false, reply: badRequest('Parameter', faults) };
  return { ok: true, value: result.data };
}

/** Reads a body by its schema; names every member that is wrong. */
export function parseBody<S extends z.ZodType>(schema: S, body: unknown): Parsed<z.infer<S>> {
  const result = schema.safeParse(body);
  if (!result.success) return { ok: false, reply: badRequest('Member', faultsOf(result.error)) };
  const place = findUnstorable(result.data, '');
  if (place !== null) {
    const detail = 'contains a NUL character or half of a surrogate pair, which no store can hold';
    return { ok: false, reply: badRequest('Member', [{ name: place, detail }]) };
  }
  return { ok: true, value: result.data };
}

/** Reads the variable parts of the path. */
export function parseParams<S extends z.ZodObject>(schema: S, raw: Record<string, unknown>): Parsed<z.infer<S>> {
  const result = schema.safeParse(raw);
  if (result.success) return { ok: true, value: result.data };
  return { ok: false, reply: badRequest('Path part', faultsOf(result.error)) };
}

/** A 400 that says everything wrong at once: in one sentence, and as a list for programs. */
export function badRequest(what: string, faults: readonly RequestFault[]): Reply {
  const detail = faults
    .map((fault) => (fault.name ? `${what} "${fault.name}" ${fault.detail}` : fault.detail))
    .join('; ');
  return problem(400, `${detail}.`, { faults });
}

const REPEATED = Symbol('given more than once');
type Kind = 'list' | 'number' | 'boolean' | 'text';

function kindOf(schema: z.ZodType): Kind {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) {
    inner = inner.unwrap() as z.ZodType;
  }
  if (inner instanceof z.ZodArray) return 'list';
  if (inner instanceof z.ZodNumber) return 'number';
  return inner instanceof z.ZodBoolean ? 'boolean' : 'text';
}

function readParameter(kind: Kind, texts: string[]): unknown {
  if (kind === 'list') return texts.flatMap((text) => text.split(',')).map((text) => text.trim());
  if (texts.length !== 1) return REPEATED;
  const text = texts[0]!;
  if (kind === 'number') return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
  if (kind === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

function unknownParameter(name: string, known: string[]): string {
  const near = closest(name, known);
  if (near) return `is not known here; did you mean "${near}"?`;
  return known.length > 0 ? `is not known here; known are ${known.join(', ')}` : 'is not known here; there are none';
}

function faultsOf(error: z.ZodError): RequestFault[] {
  return error.issues.map((issue) => {
    const place = issue.path.map(String);
    if (issue.code === 'unrecognized_keys') {
      return { name: [...place, issue.keys[0]].join('.'), detail: 'is not known here' };
    }
    return { name: place.join('.'), detail: sayIssue(issue) };
  });
}

function sayIssue(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') return `must be one of ${issue.values.map(String).join(', ')}`;
  if (issue.code === 'invalid_type') return `must be ${article(issue.expected)}`;
  if (issue.code === 'invalid_format' && issue.format === 'datetime') {
    return 'must be an RFC 3339 time such as 2026-11-20T07:30:00Z';
  }
  if (issue.code === 'too_big') return `must be at most ${issue.maximum}${lengthOf(issue.origin)}`;
  if (issue.code === 'too_small') return `must be at least ${issue.minimum}${lengthOf(issue.origin)}`;
  if (issue.code === 'invalid_format' || issue.code === 'custom') return issue.message;
  return issue.message;
}

const article = (expected: string): string => {
  const name = { int: 'whole number', record: 'object' }[expected] ?? expected;
  return `${/^[aeio]/.test(name) ? 'an' : 'a'} ${name}`;
};
const lengthOf = (origin: string): string => ({ string: ' characters', array: ' items' })[origin] ?? '';

/** The place of the first text that cannot be stored, or null. Bodies here are small, and depth is bounded by JSON's. */
function findUnstorable(value: unknown, place: string): string | null {
  if (typeof value === 'string') return isPlain(value) ? null : place;
  if (value === null || typeof value !== 'object') return null;
  for (const [key, inner] of Object.entries(value)) {
    const found = findUnstorable(inner, place ? `${place}.${key}` : key);
    if (found !== null) return found;
  }
  return null;
}
