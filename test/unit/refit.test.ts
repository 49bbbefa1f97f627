import { expect, test } from 'vitest';
import { loadModels } from '../../src/config/models.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import { saidOfPairs } from '../../src/correlate/train/from-store.ts';
import { storeVersion } from '../../src/correlate/train/refit.ts';
import { refitCalibration } from '../../src/correlate/train/refit-calibration.ts';
import { type Past, refitCorrelation } from '../../src/correlate/train/refit-correlation.ts';
import { type NamedCause, refitWeights } from '../../src/correlate/train/refit-weights.ts';
import { rankCauses } from '../../src/score/causes.ts';
import type { JudgedRanking } from '../../src/score/scorecard.ts';
import type { StoredLabel } from '../../src/store/labels.ts';
import type { PastEpisode } from '../../src/store/training.ts';

const models = loadModels();

/** A first suspect shown with this probability in an incident, and whether people called it right. */
const judged = (incident: string, probability: number, right: boolean, version = models.causes.version) =>
  ({
    incidentId: incident,
    ranking: { withMetrics: false, causes: [{ service: 'payment', namespace: null, probability }] },
    first: { models: { causes: version, correlation: '1' } },
    top1: right,
    top3: right,
  }) as unknown as JudgedRanking<StoredLabel>;
const many = <T>(n: number, of: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => of(i));

test('of a few judgements nothing is learned', () => {
  const few = refitCalibration(
    many(19, (i) => judged(`i${i}`, 0.9, false)),
    models.causes,
  );
  expect(few).toMatchObject({ status: 'too-few', judged: 19, model: models.causes });
});

test('judgements of another version of the model do not count', () => {
  const other = refitCalibration(
    many(50, (i) => judged(`i${i}`, 0.9, false, '0.1.0')),
    models.causes,
  );
  expect(other).toMatchObject({ status: 'too-few', judged: 0 });
});

test('probabilities that were too sure become less so, the more judgements the more', () => {
  const at90 = (n: number) => {
    const refit = refitCalibration(
      many(n, (i) => judged(`i${i}`, 0.9, i % 2 === 0)),
      models.causes,
    );
    expect(refit.status).toBe('refitted');
    const [loss] = refit.scores;
    expect(loss!.after).toBeLessThan(loss!.before);
    const { a, b } = refit.model.alerts.platt;
    const old = models.causes.alerts.platt;
    // what was shown as 0.9 is shown as this now
    const x = (Math.log(0.9 / 0.1) - old.b) / old.a;
    return 1 / (1 + Math.exp(-(a * x + b)));
  };
  expect(at90(24)).toBeGreaterThan(at90(200));
  expect(at90(24)).toBeLessThan(0.9);
  expect(at90(200)).toBeCloseTo(0.52, 1);
});

test('probabilities that are right as they are stay', () => {
  const right = many(200, (i) => judged(`i${i}`, 0.7, i % 10 < 7));
  const refit = refitCalibration(right, models.causes);
  expect(refit.status).toBe('no-better');
  expect(refit.model).toBe(models.causes);
});

test('the version says what it was refitted from and what it became', () => {
  expect(storeVersion('1.0.0', { a: 1 })).toMatch(/^1\.0\.0\+store\.[0-9a-f]{8}$/);
  expect(storeVersion('1.0.0+store.12345678', { a: 2 })).toMatch(/^1\.0\.0\+store\.[0-9a-f]{8}$/);
  expect(storeVersion('1.0.0', { a: 1 })).not.toBe(storeVersion('1.0.0', { a: 2 }));
});

const begin = Date.parse('2026-11-01T00:00:00Z');
const episode = (service: string, alertname: string, at: number): PastEpisode => ({
  alert: `default/${service}-${alertname}`,
  startsAt: begin + at,
  endsAt: begin + at + 600_000,
  receivedAt: begin + at + 5_000,
  updatedAt: begin + at + 610_000,
  tenant: '',
  alertname,
  severity: 'high',
  service,
  destination: null,
  namespace: 'shop',
  cluster: null,
  labels: {},
  summary: null,
  groupKey: null,
});

/** Days of the same trouble: two services that nothing known connects, minutes apart; people say each time what they are. */
function past(days: number, together: boolean): Past {
  const stretches = many(days, (n) => {
    const at = n * 86_400_000;
    return [episode('payment', 'PoolExhausted', at), episode('invoice', 'HighLatency', at + 20_000)];
  });
  const pairs = many(days, (n) => {
    const [a, b] = stretches[n]!.map((one) => `${one.alert}@${one.startsAt}`);
    return { a: a!, b: b!, together, weight: 1, incident: `i${n}` };
  });
  return {
    stretches,
    deploys: [],
    topology: { nodes: [], edges: [] },
    pairs,
    judgements: days,
    windowMs: 900_000,
    reopenMs: 300_000,
  };
}

test('of a few judged pairs, or of pairs of one incident, nothing is learned', () => {
  expect(refitCorrelation(past(19, true), models).status).toBe('too-few');
  const one = past(30, true);
  expect(
    refitCorrelation({ ...one, pairs: one.pairs.map((pair) => ({ ...pair, incident: 'same' })) }, models).status,
  ).toBe('too-few');
});

test('pairs that people keep putting together move the parameters when they outweigh how all else would change', () => {
  const refit = refitCorrelation(past(50, true), models);
  expect(refit.status).toBe('refitted');
  expect(refit.scores[0]!.before).toBe(0);
  expect(refit.scores[0]!.after).toBeGreaterThan(0.7);
  expect(refit.changes.join()).toMatch(/eps from/);
  expect(refit.model.version).toMatch(/\+store\./);
  // 25 such pairs weigh less than the incidents as they are.
  expect(refitCorrelation(past(25, true), models)).toMatchObject({ status: 'no-better', model: models.correlation });
  // What is as people say needs no change.
  expect(refitCorrelation(past(25, false), models).status).toBe('no-better');
});

test('a merge of many alerts weighs as three judgements, a judged pair as one, and the same word is counted once', () => {
  const link = (a: string, b: string, at: number) => ({ kind: 'must' as const, a, b, by: 'ana', at, incidentId: 'i' });
  const deed = many(30, (n) => link('s/x', `s/y${n}`, 5));
  const word = { kind: 'related', alert: 's/a', other: 's/b', at: 9, incidentId: 'i', by: 'ana' } as StoredLabel;
  const { said, judgements } = saidOfPairs([word], [...deed, link('s/a', 's/b', 9)]);
  expect(judgements).toBe(2);
  expect(said).toHaveLength(31);
  expect(said.reduce((sum, one) => sum + one.weight, 0)).toBeCloseTo(4);
});

/** An incident of two alerting services, `symptom` calling `store`; people name one of them. */
function namedCause(n: number, right: string): NamedCause {
  const alerts = [
    episode('store', 'HighLatency', n * 86_400_000),
    episode('symptom', 'HighLatency', n * 86_400_000 + 30_000),
  ];
  const graph = buildGraph({ edges: [{ namespace: 'shop', caller: 'symptom', callee: 'store' }] });
  const input = {
    alerts: alerts.map((one) => ({ ...one, key: one.alert, at: one.receivedAt, status: 'firing' as const })),
    graph,
    deploys: [],
    serviceMetrics: [],
    startedAt: begin + n * 86_400_000,
    now: begin + n * 86_400_000,
  };
  return { incident: `i${n}`, input, right: new Set([right]) };
}
const first = (named: NamedCause, model: typeof models.causes) => rankCauses(named.input, model)[0]!.service;

test('of fewer than sixty named causes no weight moves', () => {
  const few = refitWeights(
    many(59, (n) => namedCause(n, 'symptom')),
    models.causes,
  );
  expect(few).toMatchObject({ status: 'too-few', model: models.causes });
});

test('weights move to the causes that people keep naming, and bring their calibration along', () => {
  const named = many(120, (n) => namedCause(n, 'symptom'));
  expect(first(named[0]!, models.causes)).toBe('store');
  const refit = refitWeights(named, models.causes);
  expect(refit.status).toBe('refitted');
  expect(refit.scores[1]).toMatchObject({ before: 0, after: 1 });
  expect(first(named[0]!, refit.model)).toBe('symptom');
  expect(refit.model.metrics).toEqual(models.causes.metrics);
  expect(refit.model.version).toMatch(/\+store\./);
  // What is ranked as people say stays.
  const same = refitWeights(
    many(60, (n) => namedCause(n, 'store')),
    models.causes,
  );
  expect(first(named[0]!, same.model)).toBe('store');
});
