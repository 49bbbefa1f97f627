import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { recorded, type Told } from '../fakes/recorded.ts';

const alert = (fingerprint: string, alertname: string, service: string): Told => ({
  fingerprint,
  labels: { alertname, service, severity: 'high' },
});
const memory = alert('m1', 'ContainerMemoryHigh', 'payment');
const latency = alert('l1', 'HighLatency', 'checkout');
const backup = alert('b1', 'BackupFailed', 'archive');
const disk = alert('d1', 'DiskSlow', 'wiki');
const files = {
  'business-context.yaml': 'services: { checkout: { depends_on: [payment] }, payment: {}, archive: {}, wiki: {} }\n',
};
const begin = Date.parse('2026-11-20T00:00:00Z');
const minute = 60_000;

let db: TestDatabase;
beforeAll(async () => {
  db = await withDatabase();
}, 60_000);
afterAll(() => db.close());

const homeOf = async (fingerprint: string): Promise<string> =>
  (
    await db.pool.query('select incident_id from alerts where fingerprint = $1 order by starts_at desc limit 1', [
      fingerprint,
    ])
  ).rows[0].incident_id;

test('what people merged and split holds over a restart, for the next firing and for the next time', async () => {
  const before = await recorded(db, files, begin);
  await before.at(1);
  await before.fire(memory, latency);
  await before.fire(backup);
  await before.fire(disk);
  await before.act('split', 'm1', 'ana', { alerts: ['l1'] });
  await before.act('merge', 'd1', 'ana', { into: await homeOf('b1') });
  expect(await homeOf('m1')).not.toBe(await homeOf('l1'));
  expect(await homeOf('d1')).toBe(await homeOf('b1'));
  await before.at(5);
  await before.end(latency, disk);
  await before.close();

  // A restart a minute later: both fire anew while their incidents are still to be joined or reopened.
  const after = await recorded(db, files, begin + 6 * minute);
  const [split, merged] = [await homeOf('m1'), await homeOf('b1')];
  await after.fire(latency, disk);
  expect(await homeOf('l1')).not.toBe(split);
  expect(await homeOf('d1')).toBe(merged);
  await after.at(10);
  await after.end(latency, disk);
  await after.close();

  // Everything is over for hours, and once more everything is read from the store.
  const end = await recorded(db, files, begin + 20 * minute);
  await end.fire(memory, backup);
  await end.end(memory, backup);
  await end.close();
  const next = await recorded(db, files, begin + 12 * 60 * minute);
  await next.at(1);
  await next.fire(memory, latency, disk, backup);
  expect(await homeOf('m1')).not.toBe(await homeOf('l1'));
  expect(await homeOf('d1')).toBe(await homeOf('b1'));
  expect(await homeOf('d1')).not.toBe(merged);
  await next.close();
});
