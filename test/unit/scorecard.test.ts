import { expect, test } from 'vitest';
import type { LabelKind, Ranking } from '../../src/domain/label.ts';
import { type Label, scorecard, wilson } from '../../src/score/scorecard.ts';

const nothing = { grouped: 0, split: 0, merged: 0, heldBack: 0 };
const ranking = (...causes: [string, number][]): Ranking => ({
  withMetrics: false,
  causes: causes.map(([service, probability]) => ({ service, namespace: null, probability })),
});
let clock = 0;
const said = (incidentId: string, kind: LabelKind, more: Partial<Label> = {}): Label => {
  clock += 1;
  const word = { incidentId, kind, by: 'ana', alert: null, other: null, together: null, service: null, ranking: null };
  return { ...word, at: clock, firstAt: clock, ...more };
};
const many = (n: number, of: (i: number) => Label | Label[]): Label[] =>
  Array.from({ length: n }, (_, i) => of(i)).flat();

test('nothing is claimed of a handful of judgements, only how many there are', () => {
  const card = scorecard(
    many(9, (i) => said(`i${i}`, 'noise')),
    nothing,
  );
  expect(card.pages.noise).toEqual({ n: 9, count: 9, share: null, low: null, high: null });
  expect(card.causes.calibrationError).toBeNull();
});

test('the share of noise counts each incident once, by the latest word, and comes with its interval', () => {
  const labels = [
    ...many(12, (i) => said(`n${i}`, 'noise')),
    ...many(8, (i) => said(`r${i}`, 'real')),
    // bob knows better, later
    said('n0', 'should-have-paged', { by: 'bob' }),
  ];
  const { noise, missed } = scorecard(labels, nothing).pages;
  expect(noise).toMatchObject({ n: 20, count: 11, share: 0.55 });
  expect(noise.low).toBeCloseTo(0.342, 2);
  expect(noise.high).toBeCloseTo(0.742, 2);
  expect(missed).toBe(1);
});

test('a pair said to be related counts for grouping when it was together and against it when it was apart', () => {
  const pair = (i: number, together: boolean) => ({ alert: `s/${i}`, other: `s/x${i}`, together });
  const card = scorecard(
    [
      ...many(9, (i) => said('i', 'related', pair(i, true))),
      said('i', 'not-related', pair(9, true)),
      ...many(10, (i) => said('i', 'not-related', pair(20 + i, false))),
      said('j', 'related', pair(40, false)),
      // the order of the two does not matter: the same pair again, taken back
      said('i', 'related', { alert: 's/x9', other: 's/9', together: true }),
    ],
    { ...nothing, grouped: 20, split: 1, merged: 2 },
  );
  expect(card.grouping.precision).toMatchObject({ n: 10, count: 10, share: 1 });
  expect(card.grouping.separation).toMatchObject({ n: 11, count: 10 });
  expect(card.grouping.untouched).toMatchObject({ n: 20, count: 17, share: 0.85 });
});

test('causes are held against the ranking that stood before anybody had spoken', () => {
  const before = ranking(['payment', 0.7], ['cart', 0.2], ['db', 0.05], ['dns', 0.01]);
  const after = ranking(['cart', 0.9], ['payment', 0.05]);
  const card = scorecard(
    [
      // first ruled out, then named: by then the ranking had moved
      ...many(5, (i) => [
        said(`a${i}`, 'wrong-cause', { service: 'payment', ranking: before }),
        said(`a${i}`, 'right-cause', { service: 'cart', ranking: after }),
      ]),
      ...many(15, (i) => said(`b${i}`, 'right-cause', { service: 'payment', ranking: before })),
      // ruled out and nothing named: the first was wrong, of the first three nobody knows
      said('c', 'wrong-cause', { service: 'payment', ranking: before }),
      // something not among the first three
      said('d', 'right-cause', { service: 'dns', ranking: before }),
      // the second was ruled out: nothing is known of the first
      said('e', 'wrong-cause', { service: 'cart', ranking: before }),
    ],
    nothing,
  );
  expect(card.causes.top1).toMatchObject({ n: 22, count: 15 });
  expect(card.causes.top3).toMatchObject({ n: 21, count: 20 });
  expect(card.causes.calibration.find((one) => one.from === 0.6)).toMatchObject({
    n: 22,
    count: 15,
    meanProbability: 0.7,
  });
  expect(card.causes.calibrationError).toBeCloseTo(Math.abs(15 / 22 - 0.7), 3);
});

test('a probability of exactly 1 has a bucket too', () => {
  const sure = many(10, (i) => said(`i${i}`, 'right-cause', { service: 'a', ranking: ranking(['a', 1]) }));
  const { calibration, calibrationError } = scorecard(sure, nothing).causes;
  expect(calibration.at(-1)).toMatchObject({ from: 0.8, to: 1, n: 10, share: 1 });
  expect(calibrationError).toBe(0);
});

test('the interval agrees with a published table', () => {
  // Newcombe 1998, Statistics in Medicine 17, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29
  for (const [count, n, low, high] of [
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ] as const) {
    expect(wilson(count, n).low).toBeCloseTo(low, 4);
    expect(wilson(count, n).high).toBeCloseTo(high, 4);
  }
});
