import { afterAll, beforeAll, expect, test } from 'vitest';
import { ruleHistory, similarIncidents } from '../../src/store/history.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';

let database: TestDatabase;
const start = Date.parse('2026-11-01T00:00:00Z');
const day = 86_400_000;
const at = (days: number) => new Date(start + days * day);

/** An incident on day `days` with one alert, resolved after `seconds` (null: still open). */
async function past(
  id: string,
  days: number,
  seconds: number | null,
  more: { rule?: string; service?: string; by?: string; labels?: object } = {},
) {
  const { rule = 'HighLatency', service = 'checkout', by = null, labels = {} } = more;
  await database.pool.query(
    `insert into incidents (id, number, status, services, title, started_at, updated_at, resolved_at, acknowledged_at, revision,
       assessed_revision, state, doc)
     values ($1, $2, $3, array[$4], 'title ' || $1, $5, $5, $6, null, 1, 1, $7, $8)`,
    [
      id,
      days,
      seconds === null ? 'open' : 'resolved',
      service,
      at(days),
      seconds === null ? null : new Date(at(days).getTime() + seconds * 1000),
      { resolvedBy: by },
      { lead: { labels } },
    ],
  );
  await database.pool.query(
    `insert into alerts (source, fingerprint, starts_at, status, received_at, updated_at, last_seen_at, alertname, severity, service,
       labels, annotations, incident_id)
     values ('s', $1, $2, 'resolved', $2, $2, $2, $3, 'high', $4, '{}', '{}', $1)`,
    [id, at(days), rule, service],
  );
}

beforeAll(async () => {
  database = await withDatabase();
  await past('a', 1, 100);
  await past('b', 2, 300, { by: 'ana', labels: { namespace: 'shop', pod: 'x1' } });
  await past('c', 3, 200, { service: 'cart' });
  await past('d', 4, 400, { rule: 'Errors' });
  await past('e', 5, null);
  await past('f', 6, 100, { rule: 'Unrelated', service: 'mail' });
}, 60_000);
afterAll(() => database.close());

const query = {
  rule: 'HighLatency',
  service: 'checkout',
  labels: { namespace: 'shop', pod: 'x2' },
  before: start + 30 * day,
  limit: 10,
};

test('the same rule on the same service is most alike, then the rule elsewhere, then the service; strangers are not listed', async () => {
  const found = await similarIncidents(database.pool, query);
  expect(found.map(({ id }) => id)).toEqual(['b', 'e', 'a', 'c', 'd']);
  expect(found[0]).toEqual({
    id: 'b',
    number: 2,
    title: 'title b',
    startedAt: at(2).toISOString(),
    durationSeconds: 300,
    similarity: 1,
    endedBy: 'ana',
  });
  expect(found.map(({ similarity }) => similarity)).toEqual([1, 0.8, 0.8, 0.5, 0.3]);
});

test('only the past counts, and not the incident that asks', async () => {
  const ids = async (over: object) =>
    (await similarIncidents(database.pool, { ...query, ...over })).map(({ id }) => id);
  expect(await ids({ before: start + 2.5 * day })).toEqual(['b', 'a']);
  expect(await ids({ incidentId: 'b', limit: 2 })).toEqual(['e', 'a']);
});

test('how long a rule’s incidents took, and how many ended by themselves', async () => {
  expect(await ruleHistory(database.pool, query)).toEqual({
    firstEver: false,
    n: 2,
    selfResolvedShare: 0.5,
    durationSeconds: { p50: 100, p90: 300 },
  });
});

test('a rule never seen is a first, and claims nothing', async () => {
  const never = { firstEver: true, n: 0, selfResolvedShare: null, durationSeconds: null };
  expect(await ruleHistory(database.pool, { ...query, rule: 'New' })).toEqual(never);
  expect(await ruleHistory(database.pool, { ...query, before: start })).toEqual(never);
  expect(await ruleHistory(database.pool, { ...query, before: start + 1.5 * day, incidentId: 'a' })).toEqual(never);
});
