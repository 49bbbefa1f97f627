/** A graph of 100,000 edges must not cost an assessment its time; past this many services the answer is "many" anyway. */
const MOST_VISITED = 2_000;

/** Every service within reach of `starts` with its distance in calls, nearest first; the starts are at 0. */
export function walk(starts: readonly string[], next: (service: string) => readonly string[]): Map<string, number> {
  const distance = new Map(starts.map((name): [string, number] => [name, 0]));
  // A Map gives what is added while it is read, so this is a breadth-first search.
  for (const [name, calls] of distance) {
    if (distance.size >= MOST_VISITED) break;
    for (const other of next(name)) if (!distance.has(other)) distance.set(other, calls + 1);
  }
  return distance;
}
