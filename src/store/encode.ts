/**
 * What stands between JavaScript's values and PostgreSQL's: labels and texts are hostile input, and one byte that jsonb
 * refuses must not fail a commit of a thousand rows.
 */

/** 0001-01-01 and the end of 9999: the years RFC 3339 can write, and the range that reads back the same everywhere. */
const earliest = new Date(0).setUTCFullYear(1, 0, 1);
const latest = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** Epoch ms as RFC 3339, clamped to the years 1 to 9999; null stays null. */
export function timestamp(ms: number): string;
export function timestamp(ms: number | null): string | null;
export function timestamp(ms: number | null): string | null {
  if (ms === null || Number.isNaN(ms)) return null;
  return new Date(Math.min(latest, Math.max(earliest, ms))).toISOString();
}

/** Text that PostgreSQL can hold: NUL and halves of surrogate pairs become U+FFFD. */
export function clean(text: string): string {
  const wellFormed = text.isWellFormed() ? text : text.toWellFormed();
  return wellFormed.includes('\0') ? wellFormed.replaceAll('\0', '\uFFFD') : wellFormed;
}

/** JSON that jsonb takes. The slow walk runs only when the text shows an escape that jsonb refuses. */
export function toJson(value: unknown): string {
  const json = JSON.stringify(value) ?? 'null';
  return json.includes('\\u0000') || json.includes('\\ud') ? JSON.stringify(cleanDeep(value)) : json;
}

function cleanDeep(value: unknown): unknown {
  if (typeof value === 'string') return clean(value);
  if (Array.isArray(value)) return value.map(cleanDeep);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [clean(key), cleanDeep(inner)]));
}

/** A value or a size that PostgreSQL cannot take (SQLSTATE classes 22, 23, 54): the row's fault, not the database's. */
export const isDataFault = (error: unknown): boolean => /^(22|23|54)/.test((error as { code?: string }).code ?? '');
