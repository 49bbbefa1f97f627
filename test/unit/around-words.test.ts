import { expect, test } from 'vitest';
import { aroundOf } from '../../src/notify/around-words.ts';
import { incident, leadMetrics } from '../fakes/notify-example.ts';

const around = (metrics: Record<string, unknown>) => aroundOf(incident({ metrics }));
const errors = (score: number) => ({
  service: 'checkout',
  name: 'errors',
  value: 0.124,
  before: 0.004,
  unit: 'ratio' as const,
  anomaly: { score, type: 'level-shift', expected: null, text: '' },
});

test('how unusual the series is, in its own unit', () => {
  const expected = { low: 0.006, high: 0.02 };
  const anomaly = { score: 0.97, type: 'level-shift', expected, text: '' };
  expect(around({ prometheus: leadMetrics({ anomaly }) })).toEqual(['Unusual: level shift, 0.6 % to 2 % is usual']);
  expect(around({ prometheus: leadMetrics({ anomaly: { ...anomaly, score: 0.2, type: null } }) })).toEqual([
    'Nothing unusual for this series: 0.6 % to 2 % is usual',
  ]);
  expect(around({ prometheus: leadMetrics({ anomaly: null }) })).toEqual([]);
});

test('golden signals are told when the detector says that they left their usual range', () => {
  const quiet = leadMetrics({ anomaly: null, goldenSignals: [errors(0.3)] });
  expect(around({ prometheus: quiet })).toEqual([]);
  const loud = leadMetrics({ anomaly: null, goldenSignals: [errors(0.9)] });
  const said = ['Also out of range: errors of checkout 12.4 % (was 0.4 %), level shift'];
  expect(around({ prometheus: loud })).toEqual(said);
  // The rule is not known to the server: its golden signals are still worth telling.
  expect(around({ goldenSignals: [errors(0.9)] })).toEqual(said);
});

test('a target that cannot be scraped with its error, and where the pods are', () => {
  const targetsDown = [{ job: 'shop', instance: '10.0.0.1:80', lastError: 'connection refused' }];
  const places = { pods: [], nodes: [], unwell: [], text: 'all 3 alerting pods are on node n1' };
  expect(around({ prometheus: leadMetrics({ anomaly: null, targetsDown }), places })).toEqual([
    'Target 10.0.0.1:80 is down: connection refused',
    'all 3 alerting pods are on node n1',
  ]);
});

test('hostile words stay one clean line of bounded length', () => {
  const lastError = `x\n\u202e${'y'.repeat(5_000)}`;
  const targetsDown = [{ job: 'a', instance: 'b', lastError }];
  const [line] = around({ prometheus: leadMetrics({ anomaly: null, targetsDown }) });
  expect(line!.length).toBeLessThanOrEqual(240);
  expect(line).not.toMatch(/[\n\u202e]/);
});
