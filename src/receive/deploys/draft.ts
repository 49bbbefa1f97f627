/** What the adapters work with: one change as its sender told it, nothing believed yet. */
export type Draft = {
  /** Where in the body it stands, for faults: `[3]`, `payload`. */
  place: string;
  /**
   * Names the change may belong to, most explicit first; the first one the catalogue knows is the service, else the first
   * one given.
   */
  services: unknown[];
  /** Names that count only if the catalogue knows them (an environment, an image), after `services`. */
  hunches?: unknown[];
  version?: unknown;
  previousVersion?: unknown;
  environment?: unknown;
  cluster?: unknown;
  /** RFC 3339, GitLab's `2026-01-31 10:00:00 +0100`, or epoch seconds or ms; left out: when it reached us. */
  startedAt?: unknown;
  finishedAt?: unknown;
  status?: unknown;
  author?: unknown;
  commit?: unknown;
  /** The first one that is an http(s) address is taken. */
  urls?: unknown[];
  summary?: unknown;
  /** The sender says in so many words that it is a rollback. */
  rollback?: boolean;
};

/** Why a part of a body was refused, or taken otherwise than it was sent. */
export type Fault = { place: string; reason: string };

/** What an adapter finds: changes, or why the body is none (`ignored`), or what is wrong with it. */
export type Found = { drafts: Draft[]; ignored?: string; faults?: Fault[] };

export type Loose = Record<string, unknown>;

/** The value as an object; empty for anything else. Reading a key of it is always safe. */
export const object = (value: unknown): Loose =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Loose) : {};

export const isObject = (value: unknown): value is Loose =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** The value when it is a text that says something, else null. Short on purpose: only for comparing with known words. */
export const word = (value: unknown): string | null =>
  typeof value === 'string' && value.trim() !== '' ? value.trim().slice(0, 256) : null;

/** The first value that says something. */
export const firstOf = (...values: unknown[]): unknown =>
  values.find((value) => value !== undefined && value !== null && value !== '');

/** `registry.example.com:5000/shop/checkout:1.4.2@sha256:…` → name `checkout`, version `1.4.2` (or the digest). */
export function imageParts(image: unknown): { name: string | null; version: string | null } {
  const text = word(image);
  if (!text) return { name: null, version: null };
  const [reference, digest] = text.split('@', 2) as [string, string | undefined];
  const last = reference.slice(reference.lastIndexOf('/') + 1);
  const colon = last.indexOf(':');
  const tag = colon === -1 ? null : last.slice(colon + 1);
  return { name: (colon === -1 ? last : last.slice(0, colon)) || null, version: tag || digest || null };
}

/** The last segment of a path such as a repository's full name. */
export const lastSegment = (path: unknown): string | null =>
  word(path)
    ?.split('/')
    .findLast((part) => part !== '') ?? null;

/** A name that reads as a version: `v1.2`, `2026.11.20`, `release-7`; a branch name such as `main` does not. */
export const looksLikeVersion = (ref: unknown): boolean =>
  /\d/.test(word(ref) ?? '') && /^v?\d|\d+\.\d+|-\d+$/.test(word(ref) ?? '');

/** The words by which people call a rollback. */
export const saysRollback = (...texts: unknown[]): boolean =>
  texts.some((text) => /\broll(ed|ing)?[ _-]?back|\brevert/i.test(word(text) ?? ''));
