/** Seeded random numbers (mulberry32): every figure in bench/README.md comes back with its seed. */
export type Random = {
  next(): number;
  between(low: number, high: number): number;
  int(n: number): number;
  pick<T>(list: readonly T[]): T;
};

export function randomOf(seed: number): Random {
  let state = (seed * 0x9e3779b1) >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const int = (n: number): number => Math.floor(next() * n);
  return { next, int, between: (low, high) => low + next() * (high - low), pick: (list) => list[int(list.length)]! };
}
