import { IsolationForest as ReferenceForest } from 'ml-isolation-forest';
import { describe, expect, it } from 'vitest';
import { averagePathLength, fitForest, forestFromJSON } from '../../src/enrich/anomaly/isolationForest.ts';
import { seeded } from '../../src/enrich/anomaly/random.ts';

function cloud(rows: number, seed: number): number[][] {
  const random = seeded(seed);
  return Array.from({ length: rows }, () => [random() + random() + random(), random() + random() + random()]);
}

describe('the isolation forest', () => {
  it('knows the mean path length of the paper', () => {
    expect(averagePathLength(1)).toBe(0);
    expect(averagePathLength(2)).toBe(1);
    // 2·(1 + 1/2) − 2·2/3
    expect(averagePathLength(3)).toBeCloseTo(5 / 3, 12);
    // 2·H(255) − 2·255/256, H summed by hand
    let harmonic = 0;
    for (let k = 1; k <= 255; k += 1) harmonic += 1 / k;
    expect(averagePathLength(256)).toBeCloseTo(2 * harmonic - (2 * 255) / 256, 5);
  });

  it('ranks rows as the reference package does', () => {
    const rows = cloud(256, 7);
    const probes = [0, 0.4, 0.7, 0.95, 1.2].map((away) => [1.5 + away, 1.5 - away]);
    const ours = fitForest(rows, { seed: 1, trees: 200, sample: 256 });
    const reference = new ReferenceForest({ nEstimators: 200 });
    reference.train(rows);
    const expected = reference.predict(probes);
    const got = probes.map((probe) => ours.score(probe));
    const order = (scores: number[]): number[] => scores.map((_, i) => i).sort((a, b) => scores[a]! - scores[b]!);
    expect(order(got)).toEqual(order(expected));
    expect(got[4]).toBeGreaterThan(0.65);
    expect(got[0]).toBeLessThan(0.5);
    // Beyond everything it has seen a forest cannot tell far from farther.
    expect(ours.score([50, -50])).toBe(ours.score([5, -5]));
  });

  it('grows the same trees from the same seed and others from another', () => {
    const rows = cloud(600, 3);
    const grow = (seed: number): string => JSON.stringify(fitForest(rows, { seed, trees: 20, sample: 64 }));
    expect(grow(5)).toBe(grow(5));
    expect(grow(5)).not.toBe(grow(6));
  });

  it('scores to the last bit the same after a trip through JSON', () => {
    const rows = cloud(400, 9);
    const forest = fitForest(rows, { seed: 2 });
    const back = forestFromJSON(JSON.parse(JSON.stringify(forest)));
    for (const row of rows) expect(back.score(row)).toBe(forest.score(row));
  });

  it('draws at most 256 rows per tree and never more than there are', () => {
    expect(fitForest(cloud(1000, 1), { seed: 1, trees: 3 }).toJSON().sample).toBe(256);
    const few = fitForest(cloud(10, 1), { seed: 1, trees: 3 }).toJSON();
    expect(few.sample).toBe(10);
    for (const tree of few.trees) expect(tree.size[0]).toBe(10);
  });

  it('calls nothing odd where all rows are equal', () => {
    const forest = fitForest(
      Array.from({ length: 50 }, () => [4, 4]),
      { seed: 1, trees: 10 },
    );
    expect(forest.score([4, 4])).toBeCloseTo(0.5, 10);
    expect(forest.score([9, 9])).toBeCloseTo(0.5, 10);
  });

  it('splits values at the far ends of what a number can hold', () => {
    const forest = fitForest([[-1.7e308], [1.7e308], [0], [1]], { seed: 1, trees: 50 });
    for (const x of [-1.7e308, 0, 1.7e308]) expect(forest.score([x])).toBeGreaterThan(0);
  });

  it('refuses rows of another width and values that are no numbers', () => {
    const forest = fitForest(
      [
        [1, 2],
        [3, 4],
      ],
      { seed: 1, trees: 1 },
    );
    expect(() => forest.score([1])).toThrow(RangeError);
    expect(() => forest.score([1, Number.NaN])).toThrow(RangeError);
    expect(() => fitForest([], { seed: 1 })).toThrow(RangeError);
    expect(() => fitForest([[1], [Number.POSITIVE_INFINITY]], { seed: 1 })).toThrow(RangeError);
  });
});
