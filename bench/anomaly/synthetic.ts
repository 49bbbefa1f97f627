import { seeded } from '../../src/enrich/anomaly/random.ts';

/** The kinds of anomaly that are planted; one per series, `none` to count false announcements. */
export const plantedTypes = ['none', 'spike', 'drop', 'rapid-change', 'level-shift', 'flat-line'] as const;
export type Planted = (typeof plantedTypes)[number];

/** The shapes of the series they are planted in. */
export const shapes = ['noise', 'daily', 'walk', 'skewed', 'bursty'] as const;
export type Shape = (typeof shapes)[number];

/** One series of [epoch ms, value] and the points of its anomaly, [first, last] or null. */
export type SyntheticSeries = {
  shape: Shape;
  planted: Planted;
  points: [number, number][];
  window: [number, number] | null;
};

/**
 * A series of `length` points with one planted anomaly in its last third, made from `seed` alone. The sizes are in units
 * of the noise: spikes and drops of 8 to 15 sigmas over 1 to 3 points, shifts of 6 to 10 that last, 24 points of swings
 * three times as wide as usual's step (12 sigmas up and down), 60 equal points.
 */
export function makeSeries(
  shape: Shape,
  planted: Planted,
  seed: number,
  length = 1440,
  stepMs = 120_000,
): SyntheticSeries {
  const random = seeded(seed);
  const gauss = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const values = Array.from({ length }, () => 0);
  let walk = 0;
  const perDay = 86_400_000 / stepMs;
  for (let i = 0; i < length; i += 1) {
    const noise = gauss();
    walk = 0.98 * walk + 0.3 * noise;
    if (shape === 'noise') values[i] = 100 + noise;
    if (shape === 'daily') values[i] = 100 + 12 * Math.sin((2 * Math.PI * i) / perDay) + noise;
    if (shape === 'walk') values[i] = 100 + walk + 0.3 * gauss();
    if (shape === 'skewed') values[i] = 20 + Math.exp(0.5 * noise);
    if (shape === 'bursty') values[i] = 100 + noise + (random() < 0.01 ? 6 + 4 * random() : 0);
  }
  const start = Math.floor(length * (0.68 + 0.25 * random()));
  const sigma = shape === 'skewed' ? 0.6 : shape === 'walk' ? 0.7 : 1;
  const size = (from: number, to: number): number => sigma * (from + (to - from) * random());
  const window = plant(values, planted, start, size, random, sigma);
  const from = Date.UTC(2026, 0, 5);
  return { shape, planted, window, points: values.map((value, i) => [from + i * stepMs, value]) };
}

function plant(
  values: number[],
  planted: Planted,
  start: number,
  size: (from: number, to: number) => number,
  random: () => number,
  sigma: number,
): [number, number] | null {
  const span = (points: number): [number, number] => [start, Math.min(values.length - 1, start + points - 1)];
  const change = (points: number, how: (value: number, k: number) => number): [number, number] => {
    const [first, last] = span(points);
    for (let i = first; i <= last; i += 1) values[i] = how(values[i]!, i - first);
    return [first, last];
  };
  if (planted === 'none') return null;
  if (planted === 'spike' || planted === 'drop') {
    const height = size(8, 15) * (planted === 'spike' ? 1 : -1);
    return change(1 + Math.floor(random() * 3), (value) => value + height);
  }
  if (planted === 'level-shift') {
    const height = size(6, 10) * (random() < 0.5 ? 1 : -1);
    change(values.length, (value) => value + height);
    return span(30);
  }
  if (planted === 'rapid-change') return change(24, (value, k) => value + (k % 2 ? 6 : -6) * sigma);
  const held = values[start]!;
  return change(60, () => held);
}
