/**
 * One thing wrong with the config tree, where it stands and what to write instead. `line` and `column` count from 1 (columns
 * in UTF-16 units, as editors do); 1:1 when the whole file is meant. `instead` is a full sentence.
 */
export type Fault = { file: string; line: number; column: number; message: string; instead: string };

/** `file:line:column: message. Write … instead.`, one line each, the form that editors and terminals can jump to. */
export const formatFault = (fault: Fault): string =>
  `${fault.file}:${fault.line}:${fault.column}: ${fault.message}. ${fault.instead}`;

/** All faults, one a line, in the order given. */
export const formatFaults = (faults: readonly Fault[]): string => faults.map(formatFault).join('\n');

/**
 * The candidate nearest to a mistyped word, or null when none is near: at most a third of the word's letters may differ,
 * and at least one edit is always allowed.
 */
export function closest(word: string, candidates: Iterable<string>): string | null {
  const wanted = word.toLowerCase();
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(wanted, candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Edits (insert, delete, replace, swap of neighbours) from one word to the other; gives `limit` as soon as it is reached. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1);
      row.push(cost);
    }
    if (Math.min(...row) >= limit) return limit;
    before = previous;
    previous = row;
  }
  return Math.min(previous[b.length]!, limit);
}

/** A sentence that proposes the nearest known word, or lists them when none is near (at most twelve). */
export function insteadOf(word: string, known: readonly string[], what: string): string {
  const guess = closest(word, known);
  if (guess !== null) return `Did you mean \`${guess}\`? Write that instead.`;
  if (known.length === 0) return `There is no ${what} yet: add it, or remove this.`;
  const shown = known.slice(0, 12).join(', ');
  return `Write one of these instead: ${shown}${known.length > 12 ? `, … (${known.length} in all)` : ''}.`;
}
