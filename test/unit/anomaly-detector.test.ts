import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeSeries, type Planted, type Shape } from '../../bench/anomaly/synthetic.ts';
import { type AnomalyPoint, createDetector, scoreSeries } from '../../src/enrich/anomaly/detector.ts';
import { loadAnomalyModel } from '../../src/enrich/anomaly/model.ts';

const model = loadAnomalyModel();
/** The same detector with a forest that is cheaper to grow, where only the mechanics are looked at. */
const quick = { ...model, forest: { ...model.forest, trees: 8, sample: 64 } };

const announced = (points: AnomalyPoint[]): AnomalyPoint[] => points.filter((point) => point.score >= 0.5);

function within(shape: Shape, planted: Planted, seed: number): { inside: AnomalyPoint[]; before: AnomalyPoint[] } {
  const series = makeSeries(shape, planted, seed, 900);
  const judged = scoreSeries(series.points, quick);
  const [first, last] = series.window!;
  return { inside: judged.slice(first, last + 1), before: judged.slice(first - 200, first) };
}

describe('one detector', () => {
  const { points } = makeSeries('daily', 'spike', 11, 700, 300_000);

  it('says the same of the same series, and with another seed only the forest differs a little', () => {
    expect(scoreSeries(points, quick)).toEqual(scoreSeries(points, quick));
    const other = scoreSeries(points, { ...quick, forest: { ...quick.forest, seed: 1 } });
    expect(other).not.toEqual(scoreSeries(points, quick));
    expect(other.map((point) => point.low)).toEqual(scoreSeries(points, quick).map((point) => point.low));
  });

  it('streams what it says of the whole', () => {
    const detector = createDetector(quick);
    expect(points.map(([t, value]) => detector.push(t, value))).toEqual(scoreSeries(points, quick));
  });

  it('never takes back a judgement when later points come', () => {
    const whole = scoreSeries(points, quick);
    for (const length of [1, 29, 31, 150, 300, 555]) {
      expect(scoreSeries(points.slice(0, length), quick)).toEqual(whole.slice(0, length));
    }
    const other = points.map(([t, value], i) => [t, i < 400 ? value : -1e9 * i] as const);
    expect(scoreSeries(other, quick).slice(0, 400)).toEqual(whole.slice(0, 400));
  });

  it('goes on after a trip through JSON as if nothing had happened', () => {
    const small = { ...quick, history: 300 };
    for (const cut of [0, 1, 40, 299, 300, 301, 500]) {
      const before = createDetector(small);
      for (const [t, value] of points.slice(0, cut)) before.push(t, value);
      const after = createDetector(small);
      after.restore(JSON.parse(JSON.stringify(before.snapshot())));
      const rest = points.slice(cut);
      expect(rest.map(([t, value]) => after.push(t, value))).toEqual(rest.map(([t, value]) => before.push(t, value)));
    }
  });

  it('leaves a snapshot alone that it has been restored from', () => {
    const detector = createDetector(quick);
    for (const [t, value] of points.slice(0, 200)) detector.push(t, value);
    const snapshot = detector.snapshot();
    const text = JSON.stringify(snapshot);
    const other = createDetector(quick);
    other.restore(snapshot);
    for (const [t, value] of points.slice(200, 300)) other.push(t, value);
    expect(JSON.stringify(snapshot)).toBe(text);
  });
});

describe('what it recognises', () => {
  const cases: [Planted, AnomalyPoint['type'][]][] = [
    ['spike', ['spike']],
    ['drop', ['drop']],
    ['rapid-change', ['rapid-change']],
    ['level-shift', ['level-shift']],
    ['flat-line', ['flat-line']],
  ];
  for (const [planted, types] of cases) {
    it(`announces a ${planted} in noise and calls it one`, () => {
      const { inside } = within('noise', planted, 42);
      expect(announced(inside).length).toBeGreaterThan(0);
      expect(inside.map((point) => point.type)).toEqual(expect.arrayContaining(types));
    });
  }

  it('announces a level shift once, not with every point that stays there', () => {
    const { inside } = within('noise', 'level-shift', 5);
    expect(announced(inside)).toHaveLength(1);
    expect(inside.filter((point) => point.strength >= 0.5).length).toBeGreaterThan(5);
  });

  it('learns a daily rhythm: the usual peak is expected, the same value at night is not', () => {
    const stepMs = 600_000;
    const level = (i: number): number => 100 + 50 * Math.sin((2 * Math.PI * i) / 144) + ((i * 7919) % 13) / 6;
    const points = Array.from({ length: 144 * 6 }, (_, i) => [i * stepMs, level(i)] as [number, number]);
    const night = 144 * 5 + 108;
    points[night] = [night * stepMs, 150];
    const judged = scoreSeries(points, quick);
    const peak = judged[144 * 5 + 36]!;
    expect(peak.score).toBeLessThan(0.5);
    expect(peak.low).toBeLessThan(peak.value);
    expect(peak.high).toBeGreaterThan(peak.value);
    expect(judged[night]!.score).toBeGreaterThan(0.5);
    expect(judged[night]!.deviation).toBeGreaterThan(5);
    expect(judged[night]!.high).toBeLessThan(100);
  });

  it('gives a range that holds nearly all of an undisturbed series', () => {
    const judged = scoreSeries(makeSeries('noise', 'none', 3, 900).points, quick).slice(300);
    const held = judged.filter((point) => point.value >= point.low! && point.value <= point.high!).length;
    expect(held / judged.length).toBeGreaterThan(0.98);
    expect(announced(judged).length).toBeLessThan(3);
  });
});

describe('bad input', () => {
  const sane = (point: AnomalyPoint): void => {
    for (const x of [point.score, point.strength, point.confidence]) {
      expect(x).toBeGreaterThanOrEqual(0);
      expect(x).toBeLessThanOrEqual(1);
    }
    expect(Number.isFinite(point.deviation)).toBe(true);
    for (const edge of [point.low, point.high]) expect(edge === null || Number.isFinite(edge)).toBe(true);
  };

  it('never throws and never says nonsense, whatever the numbers', () => {
    const nasty = fc.oneof(
      fc.double(),
      fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0, 1.7e308, -1.7e308, 5e-324),
      fc.integer({ min: -3, max: 3 }),
    );
    const series = fc.array(fc.tuple(fc.oneof(fc.integer({ min: 0, max: 1e6 }), fc.double()), nasty), {
      maxLength: 250,
    });
    const tiny = { ...quick, minPoints: 5, forest: { ...quick.forest, minRows: 20, refitEvery: 20, trees: 3 } };
    fc.assert(
      fc.property(series, fc.boolean(), (points, inOrder) => {
        if (inOrder) points.sort(([a], [b]) => a - b);
        for (const point of scoreSeries(points, tiny)) sane(point);
      }),
      { seed: 20261120, numRuns: 60 },
    );
  });

  it('does not judge what is no number, repeats a time or comes late', () => {
    const detector = createDetector(quick);
    for (let i = 0; i < 100; i += 1) detector.push(i * 1000, Math.sin(i));
    for (const [t, value] of [
      [200_000, Number.NaN],
      [200_000, Number.POSITIVE_INFINITY],
      [99_000, 5],
      [3_000, 5],
      [Number.NaN, 5],
    ] as const) {
      expect(detector.push(t, value)).toMatchObject({ score: 0, type: null, confidence: 0 });
    }
    expect(detector.push(100_000, Math.sin(100)).confidence).toBeGreaterThan(0.3);
  });

  it('says little of one to five points', () => {
    for (let length = 1; length <= 5; length += 1) {
      for (const point of scoreSeries(makeSeries('noise', 'none', 1, 900).points.slice(0, length), quick)) {
        expect(point.score).toBeLessThan(0.5);
        expect(point.confidence).toBeLessThan(0.05);
      }
    }
  });

  it('trusts itself little on a series that never moved, and still sees it move', () => {
    const points = Array.from({ length: 300 }, (_, i) => [i * 60_000, 1] as [number, number]);
    points.push([300 * 60_000, 0]);
    const judged = scoreSeries(points, quick);
    expect(judged.slice(0, 300).every((point) => point.score < 0.5 && point.confidence < 0.3)).toBe(true);
    expect(judged[300]).toMatchObject({ type: 'drop' });
    expect(judged[300]!.score).toBeGreaterThan(0.5);
    expect(judged[300]!.confidence).toBeLessThan(0.3);
  });

  it('is less sure of an irregular series than of a regular one', () => {
    const regular = Array.from({ length: 400 }, (_, i) => [i * 60_000, Math.sin(i * i)] as const);
    const irregular = regular.map(
      ([t, value], i) => [t + (i % 3 === 0 ? 0 : 59_000 * (i % 3) - 30_000), value] as const,
    );
    const last = (points: readonly (readonly [number, number])[]): number =>
      scoreSeries(points, quick).at(-1)!.confidence;
    expect(last(irregular)).toBeLessThan(last(regular) - 0.1);
  });

  it('takes a gap of a day for a gap', () => {
    const points = makeSeries('noise', 'none', 8, 900).points.map(
      ([t, value], i) => [i < 600 ? t : t + 86_400_000, value] as const,
    );
    expect(announced(scoreSeries(points, quick).slice(600, 620))).toEqual([]);
  });
});
