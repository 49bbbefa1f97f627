import { expect, test } from 'vitest';
import { isStoreGone } from '../../src/api/server.ts';
import { checkHealth } from '../../src/telemetry/health.ts';

test('the whole is as well as its worst part, and each part says how it is', async () => {
  const health = await checkHealth([
    { name: 'store', check: () => ({ state: 'ok', detail: 'answers' }) },
    { name: 'work', check: async () => ({ state: 'degraded', detail: 'standby' }) },
  ]);
  expect(health).toMatchObject({ status: 'degraded', parts: { store: { state: 'ok' }, work: { detail: 'standby' } } });
});

test('a part that throws or never answers has failed, and the others are still heard', async () => {
  const health = await checkHealth(
    [
      { name: 'broken', check: () => Promise.reject(new Error('no owner')) },
      { name: 'hung', check: () => new Promise(() => undefined) },
      { name: 'fine', check: () => ({ state: 'ok', detail: '' }) },
    ],
    50,
  );
  expect(health.status).toBe('failed');
  expect(health.parts).toMatchObject({
    broken: { state: 'failed', detail: 'no owner' },
    hung: { state: 'failed', detail: 'no answer within 50 ms' },
    fine: { state: 'ok' },
  });
});

test('nothing asked is nothing wrong', async () => {
  expect(await checkHealth([])).toEqual({ status: 'ok', parts: {} });
});

test('a store that is gone is told from a fault of ours', () => {
  for (const code of ['ECONNREFUSED', '57P01', '08006', '53300', '57014'])
    expect(isStoreGone(Object.assign(new Error('x'), { code }))).toBe(true);
  for (const text of ['timeout exceeded when trying to connect', 'Query read timeout'])
    expect(isStoreGone(new Error(text))).toBe(true);
  for (const error of [
    Object.assign(new Error('x'), { code: '42601' }),
    new Error('undefined is not a function'),
    null,
    'text',
  ]) {
    expect(isStoreGone(error)).toBe(false);
  }
});
