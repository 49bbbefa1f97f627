import { expect, test } from 'vitest';
import { percentile, similarity } from '../../src/score/similar.ts';

const one = { labels: { namespace: 'shop', pod: 'x1' }, text: 'HighLatency p99 above 800 ms', suspect: 'payment' };
const both = { rule: true, service: true };

test('the same in everything is 1; numbers and names of single runs make no difference', () => {
  const again = { labels: { namespace: 'shop', pod: 'x7' }, text: 'HighLatency p99 above 950 ms', suspect: 'payment' };
  expect(similarity(one, again, both)).toBe(1);
});

test('each fact shared adds its weight', () => {
  const other = { labels: { namespace: 'crm' }, text: 'Queue grows', suspect: 'broker' };
  expect(similarity(one, other, both)).toBe(0.7);
  expect(similarity(one, other, { rule: true, service: false })).toBe(0.5);
  expect(similarity(one, other, { rule: false, service: true })).toBe(0.2);
  expect(similarity(one, { ...other, suspect: 'payment' }, both)).toBe(0.8);
  expect(similarity(one, { ...other, labels: one.labels }, both)).toBe(0.8);
});

test('a fact that one of them lacks speaks neither for nor against', () => {
  const bare = { labels: {}, text: '', suspect: null };
  expect(similarity(one, bare, both)).toBe(1);
  expect(similarity(one, bare, { rule: true, service: null })).toBe(1);
  expect(similarity(one, bare, { rule: false, service: true })).toBe(0.286);
});

test('words are compared whatever their case, also inside names', () => {
  const said = (text: string) => ({ labels: {}, text, suspect: null });
  const near = similarity(said('HighErrorRate'), said('high error rate'), { rule: false, service: null });
  expect(near).toBe(0.167);
});

test('a percentile is one of the values', () => {
  expect([0.1, 0.5, 0.9, 1].map((p) => percentile([10, 20, 30, 40], p))).toEqual([10, 20, 40, 40]);
  expect(percentile([7], 0.5)).toBe(7);
});
