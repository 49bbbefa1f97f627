import { inspect } from 'node:util';
import type { Config, SecretRef } from './schema.ts';

/**
 * The values behind `{ env }` and `{ file }`. They live in properties that no enumeration shows, and the object says
 * `[secrets]` to JSON.stringify, util.inspect and template strings: a config that is logged by mistake leaks nothing.
 */
const keeper = Object.create(null, {
  toJSON: { value: () => '[secrets]' },
  toString: { value: () => '[secrets]' },
  [inspect.custom]: { value: () => '[secrets]' },
}) as object;

/** Makes the keeper of `[reference, value]` pairs; see `secretKey`. */
export function keepSecrets(values: Iterable<readonly [string, string]>): Record<string, string> {
  const kept = Object.create(keeper) as Record<string, string>;
  for (const [key, value] of values) Object.defineProperty(kept, key, { value });
  return Object.freeze(kept);
}

/** The name under which a reference's value is kept, whatever the order of its keys. */
export const secretKey = (ref: SecretRef): string =>
  JSON.stringify('env' in ref ? { env: ref.env } : { file: ref.file });

/** The value behind a reference, or null when it is unset, empty or unreadable. A literal (a URL) is its own value. */
export function secret(config: Pick<Config, 'secrets'>, ref: SecretRef | string | undefined): string | null {
  if (ref === undefined) return null;
  if (typeof ref === 'string') return ref;
  return config.secrets[secretKey(ref)] ?? null;
}

/** A config as plain data for `postMessage`: structuredClone would lose the hidden values. Holds secrets: never log it. */
export type ConfigTransfer = { config: Omit<Config, 'secrets'>; hidden: [string, string][] };

export function toTransfer(config: Config): ConfigTransfer {
  const { secrets, ...rest } = config;
  return { config: rest, hidden: Object.getOwnPropertyNames(secrets).map((key) => [key, secrets[key]!]) };
}

/** The config that `toTransfer` was given, on the other side of the port. */
export function fromTransfer(data: ConfigTransfer): Config {
  return { ...data.config, secrets: keepSecrets(data.hidden) };
}
