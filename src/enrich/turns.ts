import { setImmediate as nextTurn } from 'node:timers/promises';

/** Work of this thread's event loop is cut after so long, ms of wall clock; commits and the delivery of pages share it. */
const BUDGET_MS = 5;

/** Of a long list so many are done between two looks at the clock. */
const AT_ONCE = 200;

let begunAt = 0;
let line: Promise<void> = Promise.resolve();

/**
 * To be awaited before a piece of work that many may want to do at once (an answer that a hundred incidents waited for is
 * read by all of them in one turn of the event loop otherwise: 40 ms and more). Those who wait go on one after the other;
 * when the turn has been used up the next one waits for a new turn.
 */
export function fairTurn(): Promise<void> {
  line = line.then(async () => {
    if (performance.now() - begunAt < BUDGET_MS) return;
    await nextTurn();
    begunAt = performance.now();
  });
  return line;
}

/** Does something with each of many, in as many turns as it takes. */
export async function eachInTurn<T>(list: readonly T[], work: (one: T) => void): Promise<void> {
  for (let i = 0; i < list.length; i += AT_ONCE) {
    await fairTurn();
    for (const one of list.slice(i, i + AT_ONCE)) work(one);
  }
}
