/**
 * What comes due when: a binary heap of (time, key). A key has at most one time that counts, the one scheduled last; older
 * entries are skipped when they surface, so re-scheduling costs O(log n) and never a search.
 */
export type DueQueue = {
  /** `at` in epoch ms; null takes the key out. */
  schedule(key: string, at: number | null): void;
  /** The earliest time that counts, or null. */
  next(): number | null;
  /** Takes out and gives every key due at `now`, earliest first. */
  take(now: number): string[];
};

export function createDueQueue(): DueQueue {
  const heap: { at: number; key: string }[] = [];
  const current = new Map<string, number>();

  const swap = (i: number, j: number) => {
    const held = heap[i]!;
    heap[i] = heap[j]!;
    heap[j] = held;
  };
  const less = (i: number, j: number) =>
    heap[i]!.at < heap[j]!.at || (heap[i]!.at === heap[j]!.at && heap[i]!.key < heap[j]!.key);
  function push(entry: { at: number; key: string }) {
    heap.push(entry);
    for (let i = heap.length - 1; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!less(i, parent)) break;
      swap(i, parent);
      i = parent;
    }
  }
  function pop() {
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length > 0) {
      heap[0] = last;
      for (let i = 0; ; ) {
        const left = 2 * i + 1;
        const right = left + 1;
        let smallest = i;
        if (left < heap.length && less(left, smallest)) smallest = left;
        if (right < heap.length && less(right, smallest)) smallest = right;
        if (smallest === i) break;
        swap(i, smallest);
        i = smallest;
      }
    }
    return top;
  }
  /** Drops entries that were re-scheduled or taken out since. */
  function settle() {
    while (heap.length > 0 && current.get(heap[0]!.key) !== heap[0]!.at) pop();
  }

  return {
    schedule(key, at) {
      if (at === null) current.delete(key);
      else if (current.get(key) !== at) {
        current.set(key, at);
        push({ at, key });
      }
    },
    next() {
      settle();
      return heap[0]?.at ?? null;
    },
    take(now) {
      const keys: string[] = [];
      for (settle(); heap.length > 0 && heap[0]!.at <= now; settle()) {
        const { key } = pop();
        current.delete(key);
        keys.push(key);
      }
      return keys;
    },
  };
}
