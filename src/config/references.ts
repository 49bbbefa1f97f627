import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { z } from 'zod';
import type { Fault } from './fault.ts';
import { fileNames, files, SecretRef } from './schema.ts';
import { alternatives, pathText } from './schema-faults.ts';
import { secretKey } from './secrets.ts';
import type { Findings } from './semantics.ts';
import { entries, faultAt, items, type Spot, type Tree } from './spot.ts';

/** The bytes of a secret file: more is a wrong path, not a secret. */
const maxSecretBytes = 64 * 1024;

type Reference = { at: Spot; ref: SecretRef; value: string | null; why: string };
export type Resolved = Findings & { values: [string, string][] };

/**
 * Follows every `{ env }` and `{ file }` of the tree, wherever the schema allows one. A server token without its value is
 * a fault (it would lock its sender out); anything else is switched off and told, one line each, without a value in it.
 */
export function resolveReferences(
  tree: Tree,
  dir: string,
  env: Readonly<Record<string, string | undefined>>,
): Resolved {
  const found: Resolved = { faults: [], warnings: [], values: [] };
  const references = fileNames.flatMap((name) => {
    const yaml = tree[name];
    return yaml ? referencesIn(files[name], { yaml, path: [], value: yaml.data }, dir, env) : [];
  });
  for (const { ref, value } of references) if (value !== null) found.values.push([secretKey(ref), value]);
  const tokens = references.filter((r) => r.at.path[0] === 'server');
  for (const { at, value, why } of tokens) {
    if (value === null)
      found.faults.push(
        faultAt(at, `this token has no value: ${why}`, 'Set it before the start, or remove the token.'),
      );
  }
  found.faults.push(...sharedTokens(tokens));
  found.warnings.push(...switchedOff(references));
  return found;
}

function referencesIn(
  schema: z.ZodType,
  at: Spot,
  dir: string,
  env: Readonly<Record<string, string | undefined>>,
): Reference[] {
  if (typeof at.value !== 'object' || at.value === null) return [];
  return alternatives(schema).flatMap((def) => {
    if (def.type === 'object')
      return entries(at).flatMap(([key, spot]) =>
        Object.hasOwn(def.shape, key) ? follow(def.shape[key] as z.ZodType, spot, dir, env) : [],
      );
    if (def.type === 'record')
      return entries(at).flatMap(([, spot]) => follow(def.valueType as z.ZodType, spot, dir, env));
    if (def.type === 'array') return items(at).flatMap((spot) => follow(def.element as z.ZodType, spot, dir, env));
    return [];
  });
}

function follow(
  schema: z.ZodType,
  at: Spot,
  dir: string,
  env: Readonly<Record<string, string | undefined>>,
): Reference[] {
  if (!isReference(schema)) return referencesIn(schema, at, dir, env);
  const parsed = SecretRef.safeParse(at.value);
  if (!parsed.success) return [];
  return [{ at, ref: parsed.data, ...read(parsed.data, dir, env) }];
}

/** True for SecretRef itself, optional or one of a union's members. */
function isReference(schema: z.ZodType): boolean {
  const def = (schema as unknown as z.core.$ZodTypes)._zod.def;
  if (schema === (SecretRef as z.ZodType)) return true;
  if (def.type === 'union') return def.options.some((option) => isReference(option as z.ZodType));
  return 'innerType' in def && isReference(def.innerType as z.ZodType);
}

/** A variable's value, or a file's without the line end that editors add; `why` says what is missing. */
function read(
  ref: SecretRef,
  dir: string,
  env: Readonly<Record<string, string | undefined>>,
): { value: string | null; why: string } {
  if ('env' in ref) {
    const value = env[ref.env];
    return value ? { value, why: '' } : { value: null, why: `${ref.env} is not set` };
  }
  const path = resolve(dir, ref.file);
  try {
    const file = statSync(path);
    // Reading a pipe would wait for its writer for ever.
    if (!file.isFile()) return { value: null, why: `${ref.file} is not a file` };
    if (file.size > maxSecretBytes) return { value: null, why: `${ref.file} is too large for a secret` };
    const value = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
    return value ? { value, why: '' } : { value: null, why: `${ref.file} is empty` };
  } catch (error) {
    return { value: null, why: `${ref.file} cannot be read (${(error as NodeJS.ErrnoException).code})` };
  }
}

/** The `name` of the list entry that a reference stands in, such as server.tokens[0]. */
function nameOf({ at }: Reference): unknown {
  const index = at.path.findIndex((part) => typeof part === 'number');
  let entry = at.yaml.data;
  for (const part of at.path.slice(0, index + 1)) entry = (entry as Record<string | number, unknown>)[part];
  return (entry as { name?: unknown }).name;
}

/** Two names for one token: who posted could not be told. */
function sharedTokens(tokens: Reference[]): Fault[] {
  const owner = new Map<string, unknown>();
  return tokens.flatMap((token) => {
    if (token.value === null) return [];
    const first = owner.get(token.value) ?? nameOf(token);
    owner.set(token.value, first);
    if (first === nameOf(token)) return [];
    return [
      faultAt(
        token.at,
        `this token is the same as that of "${first}"`,
        'Give every name its own token, or use one name twice.',
      ),
    ];
  });
}

/** One line for each thing that is off because its reference has no value. */
function switchedOff(references: Reference[]): Fault[] {
  const unset = references.filter((r) => r.value === null && r.at.path[0] !== 'server');
  const isSet = (test: (path: string) => boolean) =>
    references.some((r) => r.value !== null && test(r.at.path.join('.')));
  const keyed = (path: string) => /^(teams|people)\..+\.pagerduty$/.test(path);
  const warnings: Fault[] = [];
  const say = ({ at, why }: Pick<Reference, 'at' | 'why'>, what: string, instead: string) =>
    warnings.push(faultAt(at, `${what}: ${why}`, instead));

  const keys = unset.filter((r) => keyed(r.at.path.join('.')));
  if (keys.length > 0 && !isSet(keyed))
    say(
      { at: keys[0]!.at, why: keys.map((r) => r.why).join(', ') },
      'pagerduty is off',
      'Set the routing key of a team to turn it on.',
    );
  else for (const key of keys) say(key, `pagerduty is off for ${key.at.path[1]}`, 'Set the routing key to turn it on.');

  for (const reference of unset) {
    const path = reference.at.path.join('.');
    const set = 'env' in reference.ref ? `Set ${reference.ref.env}` : `Write ${reference.ref.file}`;
    if (keyed(path)) continue;
    if (path === 'channels.slack.token') say(reference, 'slack is off', `${set} to turn it on.`);
    else if (path === 'channels.slack.signing_secret') {
      if (isSet((p) => p === 'channels.slack.token'))
        say(reference, 'the buttons in Slack are off', `${set} to turn them on.`);
    } else if (path === 'channels.pagerduty.webhook_secret') {
      if (isSet(keyed)) say(reference, 'acknowledging in PagerDuty is not seen', `${set} to turn it on.`);
    } else if (path === 'channels.email.smtp_url') say(reference, 'email is off', `${set} to turn it on.`);
    else if (path.startsWith('channels.webhook.targets.'))
      say(
        reference,
        `webhook:${reference.at.path[3]} is off`,
        `${set} to turn it on, or remove \`secret\` to send unsigned.`,
      );
    else if (path.startsWith('deploys.'))
      say(reference, `deploys from ${reference.at.path[1]} are refused`, `${set} to take them.`);
    else if (path.includes('.auth.'))
      say(reference, `${path.split('.', 1)[0]} ${nameOf(reference)} is not asked`, `${set}, or remove \`auth\`.`);
    else say(reference, `\`${pathText(reference.at.path)}\` is off`, `${set} to turn it on.`);
  }
  return warnings;
}
