import type { z } from 'zod';
import { type Fault, insteadOf } from './fault.ts';
import { fileOfKey } from './schema.ts';
import type { Path, YamlFile } from './yaml-file.ts';

type Issue = z.core.$ZodIssue;

/** Every way in which one file's data breaks its schema, each at the line and column of the key or value meant. */
export function schemaFaults(yaml: YamlFile, schema: z.ZodType, issues: readonly Issue[]): Fault[] {
  return issues.flatMap((issue) => {
    const path = issue.path.filter((part): part is string | number => typeof part !== 'symbol');
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(yaml, schema, path, key));
    return [brokenValue(yaml, path, issue)];
  });
}

function unknownKey(yaml: YamlFile, schema: z.ZodType, path: Path, key: string): Fault {
  const elsewhere = path.length === 0 ? fileOfKey(key) : null;
  return {
    file: yaml.file,
    ...yaml.place([...path, key], 'key'),
    message: `unknown key \`${key}\`${inside(path)}`,
    instead: elsewhere ? `Write it in ${elsewhere} instead.` : insteadOf(key, keysAt(schema, path), 'key'),
  };
}

function brokenValue(yaml: YamlFile, path: Path, issue: Issue): Fault {
  const name = path.length === 0 ? 'the file' : nameOf(path);
  const at = (what: 'key' | 'value', message: string, instead: string): Fault => ({
    file: yaml.file,
    ...yaml.place(path, what),
    message,
    instead,
  });
  const { found, value } = lookUp(yaml.data, path);
  if (!found) return at('key', `${name} is missing${inside(path.slice(0, -1))}`, `Add ${name}: ${wanted(issue)}.`);
  if (value === null) {
    const comment = /^\s*:\s*#\S/.test(yaml.restOfLine(path));
    const instead = comment
      ? 'A # after a space begins a comment: put the text in quotes, for example "#sre".'
      : `Write ${wanted(issue)}, or remove the key.`;
    return at('key', `${name} has no value`, instead);
  }
  if (issue.code === 'invalid_key') {
    const { what, instead } = split(issue.issues[0]?.message ?? issue.message);
    return at('key', `${name}: ${what}`, instead ?? 'Write another name instead.');
  }
  if (issue.code === 'invalid_value' && typeof value === 'string') {
    return at('value', `${name} cannot be ${quoted(value)}`, insteadOf(value, issue.values.map(String), 'value'));
  }
  const { what, instead } = split(issue.message);
  if (instead !== null) return at('value', `${name}: ${what}`, instead);
  if (issue.code === 'invalid_type' || issue.code === 'invalid_value') {
    const hint = typeHint(issue, value);
    return at('value', `${name} must be ${wanted(issue)}, and is ${kindOf(value)}`, hint);
  }
  return at('value', `${name} must be ${wanted(issue)}`, `Write ${wanted(issue)} instead.`);
}

/** The schema's own messages are `what is wrong; write what instead`. */
function split(message: string): { what: string; instead: string | null } {
  const cut = message.indexOf('; write ');
  if (cut < 0) return { what: message, instead: null };
  return { what: message.slice(0, cut), instead: `Write ${message.slice(cut + '; write '.length)} instead.` };
}

/** A path as people write it: `prometheus[0].url`. */
export const pathText = (path: Path): string =>
  path.map((part, i) => (typeof part === 'number' ? `[${part}]` : i === 0 ? part : `.${part}`)).join('');

const inside = (path: Path): string => (path.length === 0 ? '' : ` in ${pathText(path)}`);
/** A key by its own name, an entry of a list by the list's: `notify[0]`. */
const nameOf = (path: Path): string => {
  const key = path.findLastIndex((part) => typeof part === 'string');
  return `\`${pathText(path.slice(Math.max(key, 0)))}\``;
};
/** What a file says is shown shortened: it may be a secret pasted into the wrong place. */
const quoted = (text: string): string => `"${text.length > 24 ? `${text.slice(0, 8)}…` : text}"`;

const kinds: Record<string, string> = {
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

function kindOf(value: unknown): string {
  if (value === null) return 'empty';
  return kinds[Array.isArray(value) ? 'array' : typeof value] ?? typeof value;
}

/** What the schema wants here, in words. */
function wanted(issue: Issue): string {
  const own = split(issue.message).instead;
  if (own !== null) return own.slice('Write '.length, -' instead.'.length);
  if (issue.code === 'invalid_type') return kinds[issue.expected] ?? issue.expected;
  if (issue.code === 'invalid_value') return `one of ${issue.values.join(', ')}`;
  if (issue.code === 'too_small') {
    const than = issue.inclusive ? 'at least' : 'more than';
    return issue.origin === 'array' || issue.origin === 'string'
      ? `${than} ${issue.minimum} ${issue.origin === 'array' ? 'entries' : 'characters'}`.replace(
          '1 entries',
          'one entry',
        )
      : `${than} ${issue.minimum}`;
  }
  if (issue.code === 'too_big') return `${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
  return 'a value of the right kind';
}

function typeHint(issue: Issue, value: unknown): string {
  const expected = issue.code === 'invalid_type' ? issue.expected : 'string';
  if (expected === 'string' && (typeof value === 'number' || typeof value === 'boolean'))
    return `Write "${value}" in quotes instead.`;
  if (
    (expected === 'number' || expected === 'int') &&
    typeof value === 'string' &&
    value.trim() !== '' &&
    Number.isFinite(Number(value))
  )
    return `Write ${value} without quotes instead.`;
  if (expected === 'array' && typeof value === 'string')
    return `Write a list instead: [ ${JSON.stringify(value).slice(0, 60)} ].`;
  if (expected === 'boolean') return 'Write true or false instead.';
  return `Write ${wanted(issue)} instead.`;
}

function lookUp(data: unknown, path: Path): { found: boolean; value: unknown } {
  let value = data;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part))
      return { found: false, value: undefined };
    value = (value as Record<string | number, unknown>)[part];
  }
  return { found: true, value };
}

/** The keys that a schema knows at a path, for "did you mean"; those of every alternative where there are several. */
function keysAt(schema: z.ZodType, path: Path): string[] {
  let here = alternatives(schema);
  for (const part of path) {
    here = here.flatMap((def) => {
      if (def.type === 'object')
        return Object.hasOwn(def.shape, part) ? alternatives(def.shape[part] as z.ZodType) : [];
      if (def.type === 'record') return alternatives(def.valueType as z.ZodType);
      if (def.type === 'array') return alternatives(def.element as z.ZodType);
      return [];
    });
  }
  return here.flatMap((def) => (def.type === 'object' ? Object.keys(def.shape) : []));
}

/** Defaults, transforms and references taken off; a union gives each of its members. */
export function alternatives(schema: z.ZodType): z.core.$ZodTypes['_zod']['def'][] {
  const def = (schema as unknown as z.core.$ZodTypes)._zod.def;
  if (def.type === 'lazy') return alternatives(def.getter() as z.ZodType);
  if (def.type === 'union') return def.options.flatMap((option) => alternatives(option as z.ZodType));
  if (def.type === 'pipe') return alternatives(def.in as z.ZodType);
  if ('innerType' in def) return alternatives(def.innerType as z.ZodType);
  return [def];
}
