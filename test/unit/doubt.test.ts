import { expect, test } from 'vitest';
import { doubtOf, type HeldFacts } from '../../src/score/doubt.ts';

const hour = 3_600_000;
const now = Date.parse('2026-11-20T12:00:00Z');
const quiet: HeldFacts = {
  severity: 'low',
  priority: 5,
  startedAt: now - 5 * hour,
  endedAt: now - 5 * hour + 240_000,
  actedOn: false,
  released: false,
  said: { shouldHavePaged: 0, real: 0, noise: 0 },
  actionability: 0.2,
  ruleSince: now - 90 * 24 * hour,
};

test('short, mild, known and untouched: nothing speaks against having held it back', () => {
  expect(doubtOf(quiet, now)).toEqual({ points: 0, why: [] });
});

test('what people said and did outweighs everything the machine sees', () => {
  const bad: HeldFacts = { ...quiet, severity: 'critical', priority: 1, endedAt: null, ruleSince: now - hour };
  const said: HeldFacts = { ...quiet, said: { shouldHavePaged: 2, real: 0, noise: 0 } };
  const acted: HeldFacts = { ...quiet, actedOn: true };
  expect(doubtOf(said, now)).toEqual({ points: 100, why: ['2 people said it should have paged'] });
  expect(doubtOf(acted, now).points).toBeGreaterThan(doubtOf({ ...quiet, severity: 'critical' }, now).points);
  expect(doubtOf(bad, now).why).toEqual([
    'critical',
    'priority 1',
    'still firing after 5 h',
    'its rule was new that week',
  ]);
});

test('that people called it noise speaks for it', () => {
  expect(doubtOf({ ...quiet, severity: 'high', said: { shouldHavePaged: 0, real: 0, noise: 1 } }, now).points).toBe(
    -30,
  );
});
