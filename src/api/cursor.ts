/**
 * Cursors: where a page ended, opaque to the caller. They hold the list they belong to and the last row's key, so that a
 * cursor of one list is refused by another instead of giving nonsense.
 */

const isTime = (text: string): boolean => /^-?\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(text);
const isNumber = (text: string): boolean => /^\d{1,18}$/.test(text);
const isText = (text: string): boolean => text.length <= 512 && !text.includes('\0') && text.isWellFormed();

/** The lists and what their keys are made of, in order. */
const lists = {
  incidents: [isTime, isText],
  alerts: [isTime, isText, isText],
  incidentAlerts: [isTime, isText, isText],
  timeline: [isNumber],
  notifications: [isTime, isText],
  suppressed: [isTime, isText, isText, isTime],
  deploys: [isTime, isText],
  quarantine: [isNumber],
} as const;

export type ListName = keyof typeof lists;

/** A cursor for the page after `position`; null stays null (the last page). */
export function encodeCursor(list: ListName, position: string[] | null): string | null {
  return position && Buffer.from(JSON.stringify([list, ...position])).toString('base64url');
}

/** The key that a cursor stands for; null when it is none of this list. */
export function decodeCursor(list: ListName, cursor: string): string[] | null {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return null;
  }
  if (!Array.isArray(parts) || parts[0] !== list || parts.length !== lists[list].length + 1) return null;
  const position = parts.slice(1);
  return lists[list].every((fits, i) => typeof position[i] === 'string' && fits(position[i])) ? position : null;
}
