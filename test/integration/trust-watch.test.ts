import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Config } from '../../src/config/schema.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createTrustWatch } from '../../src/work/trust-watch.ts';
import { quiet, type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { until } from '../fakes/until.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await withDatabase();
}, 60_000);
afterAll(() => database.close());

test('it trips once for each time that changes wait too long, and gives a new owner time to catch up', async () => {
  let now = Date.parse('2026-11-20T03:00:00Z');
  let oldest: number | null = now - 600_000;
  let looks = 0;
  const trips: string[] = [];
  const watch = createTrustWatch({
    pool: database.pool,
    owner: {
      owns: () => {
        looks += 1;
        return true;
      },
      trip: (cause, reason) => void trips.push(`${cause}: ${reason}`),
      oldestInFlight: () => oldest,
    },
    inbox: { stats: () => ({ depth: 0, oldestAgeSeconds: 0, full: false, waitingInMemory: 0 }) },
    config: () => ({ tocsin: { kill_switch: { latency: 300_000 } } }) as Config,
    metrics: createMetrics(),
    log: quiet,
    now: () => now,
  });
  const looked = async (times = 1) => {
    const before = looks;
    await until(
      () => {
        // the clock of the story runs ahead of the timer that looks
        now += 6_000;
        return looks >= before + times;
      },
      () => 'it does not look',
      20_000,
    );
  };
  watch.start();
  expect(trips).toEqual([]);
  now += 40_000;
  await looked(2);
  expect(trips).toEqual([expect.stringMatching(/^latency: a change has been waiting for its verdict for \d+ s$/)]);
  await looked(2);
  expect(trips).toHaveLength(1);
  oldest = null;
  await looked(2);
  oldest = now - 301_000;
  await looked(2);
  expect(trips).toHaveLength(2);
  await watch.stop();
}, 60_000);
