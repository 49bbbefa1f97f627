import { seeded } from './random.ts';

/**
 * Isolation forest after Liu, Ting and Zhou, "Isolation Forest" (ICDM 2008): trees that split a small random sample at
 * random until every row stands alone. A row that is alone after few splits is unlike the rest.
 */

/** How to grow a forest. `sample` rows per tree (256 in the paper), drawn without replacement. */
export type ForestOptions = { seed: number; trees?: number; sample?: number };

/** One tree, flat: node i splits on `feature[i]` at `split[i]`, or is a leaf (`feature[i]` is -1) of `size[i]` rows. */
type Tree = { feature: number[]; split: number[]; right: number[]; size: number[] };

/** The forest as plain JSON: what `toJSON` gives and `forestFromJSON` takes. */
export type ForestJson = { kind: 'isolation-forest'; features: number; sample: number; trees: Tree[] };

export type IsolationForest = {
  /** Anomaly score of one row, 0..1: near 1 is alone, 0.5 is average. A row of the wrong width is a RangeError. */
  score(row: ArrayLike<number>): number;
  toJSON(): ForestJson;
};

const eulerGamma = 0.5772156649015329;

/**
 * Mean path length of an unsuccessful search in a binary search tree of `n` rows: 2·H(n − 1) − 2(n − 1)/n (equation 1 of
 * the paper). H is summed up to 50 rows, where the logarithm is off by up to 1 %, and ln(i) + γ + 1/(2i) above.
 */
export function averagePathLength(n: number): number {
  if (n <= 1) return 0;
  return 2 * harmonic(n - 1) - (2 * (n - 1)) / n;
}

function harmonic(i: number): number {
  if (i > 50) return Math.log(i) + eulerGamma + 1 / (2 * i);
  let sum = 0;
  for (let k = 1; k <= i; k += 1) sum += 1 / k;
  return sum;
}

/**
 * Grows a forest on `rows` (each of the same width, finite numbers; throws a RangeError otherwise). The result depends
 * on the rows, their order and the options only.
 */
export function fitForest(rows: readonly ArrayLike<number>[], options: ForestOptions): IsolationForest {
  const { seed, trees = 100 } = options;
  const first = rows[0];
  if (!first || first.length === 0) throw new RangeError('an isolation forest needs at least one row with one feature');
  const features = first.length;
  for (const row of rows) checkRow(row, features);
  const sample = Math.max(1, Math.min(options.sample ?? 256, rows.length));
  const random = seeded(seed);
  const depthLimit = Math.ceil(Math.log2(Math.max(2, sample)));
  const order = Uint32Array.from(rows, (_, i) => i);
  const grown: Tree[] = [];
  for (let t = 0; t < trees; t += 1) {
    for (let i = 0; i < sample; i += 1) swap(order, i, i + Math.floor(random() * (order.length - i)));
    grown.push(growTree(rows, order.slice(0, sample), depthLimit, features, random));
  }
  return forestFromJSON({ kind: 'isolation-forest', features, sample, trees: grown });
}

/** The forest that `toJSON` wrote; it scores to the last bit as the one that was written. */
export function forestFromJSON(json: ForestJson): IsolationForest {
  const { features, sample, trees } = json;
  const norm = averagePathLength(sample) || 1;
  const leafDepth = Array.from({ length: sample + 1 }, (_, n) => averagePathLength(n));
  return {
    score(row) {
      checkRow(row, features);
      let sum = 0;
      for (const tree of trees) sum += pathLength(tree, row, leafDepth);
      return 2 ** (-sum / trees.length / norm);
    },
    toJSON: () => json,
  };
}

function checkRow(row: ArrayLike<number>, features: number): void {
  if (row.length !== features) throw new RangeError(`a row of ${row.length} values, expected ${features}`);
  for (let f = 0; f < features; f += 1) {
    if (!Number.isFinite(row[f])) throw new RangeError(`feature ${f} is ${row[f]}: a forest takes finite numbers only`);
  }
}

function swap(list: Uint32Array, a: number, b: number): void {
  const kept = list[a]!;
  list[a] = list[b]!;
  list[b] = kept;
}

/** Left children stand right behind their parent, so only the right one needs an index. */
function growTree(
  rows: readonly ArrayLike<number>[],
  members: Uint32Array,
  depthLimit: number,
  features: number,
  random: () => number,
): Tree {
  const tree: Tree = { feature: [], split: [], right: [], size: [] };
  const grow = (from: number, to: number, depth: number): void => {
    const node = tree.feature.length;
    tree.feature.push(-1);
    tree.split.push(0);
    tree.right.push(0);
    tree.size.push(to - from);
    if (depth >= depthLimit || to - from <= 1) return;
    const cut = chooseCut(rows, members, from, to, features, random);
    if (!cut) return;
    let middle = from;
    for (let i = from; i < to; i += 1) {
      if (rows[members[i]!]![cut.feature]! < cut.at) {
        swap(members, i, middle);
        middle += 1;
      }
    }
    tree.feature[node] = cut.feature;
    tree.split[node] = cut.at;
    grow(from, middle, depth + 1);
    tree.right[node] = tree.feature.length;
    grow(middle, to, depth + 1);
  };
  grow(0, members.length, 0);
  return tree;
}

/** A random feature that still varies among the members, and a random place between its extremes; null if none varies. */
function chooseCut(
  rows: readonly ArrayLike<number>[],
  members: Uint32Array,
  from: number,
  to: number,
  features: number,
  random: () => number,
): { feature: number; at: number } | null {
  const start = Math.floor(random() * features);
  for (let k = 0; k < features; k += 1) {
    const feature = (start + k) % features;
    let min = Number.POSITIVE_INFINITY;
    let max = Number.NEGATIVE_INFINITY;
    for (let i = from; i < to; i += 1) {
      const value = rows[members[i]!]![feature]!;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    if (max <= min) continue;
    const share = random();
    // Written so that extremes of ±1e308 do not overflow; clamped so that both sides keep a row.
    const at = min * (1 - share) + max * share;
    return { feature, at: at <= min || !Number.isFinite(at) ? max : at };
  }
  return null;
}

function pathLength(tree: Tree, row: ArrayLike<number>, leafDepth: readonly number[]): number {
  let node = 0;
  let depth = 0;
  for (;;) {
    const feature = tree.feature[node]!;
    if (feature < 0) return depth + leafDepth[tree.size[node]!]!;
    node = row[feature]! < tree.split[node]! ? node + 1 : tree.right[node]!;
    depth += 1;
  }
}
