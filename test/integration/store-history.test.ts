import { afterAll, beforeAll, expect, test } from 'vitest';
import { endings, pastIncidents, ruleHistory } from '../../src/store/history.ts';
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
  more: { rule?: string; service?: string; by?: string; labels?: object; suspect?: string } = {},
) {
  const { rule = 'HighLatency', service = 'checkout', by = null, labels = {}, suspect = null } = more;
  const rootCauses = suspect === null ? [] : [{ service: suspect, confidence: 'high' }];
  await database.pool.query(
    `insert into incidents (id, number, status, services, title, started_at, updated_at, resolved_at, acknowledged_at, revision,
       assessed_revision, state, doc)
     values ($1, $2, $3, array[$4], 'title ' || $1, $5, $5, $6, null, 1, 1, $7, $8)`,
    [
      id,
      Math.round(days),
      seconds === null ? 'open' : 'resolved',
      service,
      at(days),
      seconds === null ? null : new Date(at(days).getTime() + seconds * 1000),
      { resolvedBy: by },
      { lead: { labels, summary: `summary ${id}` }, rootCauses },
    ],
  );
  await database.pool.query(
    `insert into alerts (source, fingerprint, starts_at, status, received_at, updated_at, last_seen_at, alertname, severity, service,
       labels, annotations, incident_id)
     values ('s', $1, $2, $3, $2, $2, $2, $4, 'high', $5, '{}', '{}', $1)`,
    [id, at(days), seconds === null ? 'firing' : 'resolved', rule, service],
  );
}

beforeAll(async () => {
  database = await withDatabase();
  await past('a', 1, 100);
  await past('b', 2, 300, { by: 'ana', labels: { namespace: 'shop', pod: 'x1' }, suspect: 'payment' });
  await past('c', 3, 200, { service: 'cart' });
  await past('d', 4, 400, { rule: 'Errors' });
  await past('e', 5, null);
  await past('f', 6, 100, { rule: 'Unrelated', service: 'mail' });
}, 60_000);
afterAll(() => database.close());

const query = { rule: 'HighLatency', service: 'checkout', before: start + 30 * day };

test('the same rule, here or elsewhere, and the same service are found; strangers are not', async () => {
  const found = await pastIncidents(database.pool, query);
  const told = found.map(({ id, sameRule, sameService }) => [id, sameRule, sameService]);
  expect(told).toEqual([
    ['e', true, true],
    ['d', false, true],
    ['c', true, false],
    ['b', true, true],
    ['a', true, true],
  ]);
  expect(found[3]).toEqual({
    id: 'b',
    number: 2,
    title: 'title b',
    summary: 'summary b',
    labels: { namespace: 'shop', pod: 'x1' },
    services: ['checkout'],
    suspect: 'payment',
    startedAt: start + 2 * day,
    resolvedAt: start + 2 * day + 300_000,
    resolvedBy: 'ana',
    sameRule: true,
    sameService: true,
  });
});

test('only the past counts, and not the incident that asks; without a service only the rule does', async () => {
  const ids = async (over: object) => (await pastIncidents(database.pool, { ...query, ...over })).map(({ id }) => id);
  expect(await ids({ before: start + 2.5 * day })).toEqual(['b', 'a']);
  expect(await ids({ incidentId: 'b' })).toEqual(['e', 'd', 'c', 'a']);
  expect(await ids({ service: null })).toEqual(['e', 'c', 'b', 'a']);
});

test('how long a rule’s incidents took, how many ended by themselves, how often it changed', async () => {
  expect(await ruleHistory(database.pool, { ...query, before: start + 8.5 * day })).toEqual({
    firstEver: false,
    seconds: [100, 300],
    alone: 1,
    // Within 7 days: b began and ended, e began.
    changes: { hour: 0, day: 0, week: 3 },
  });
  const { changes } = await ruleHistory(database.pool, { ...query, before: start + 2 * day + 600_000 });
  expect(changes).toEqual({ hour: 2, day: 2, week: 4 });
});

test('a rule never seen is a first, and claims nothing', async () => {
  const never = { firstEver: true, seconds: [], alone: 0, changes: { hour: 0, day: 0, week: 0 } };
  expect(await ruleHistory(database.pool, { ...query, rule: 'New' })).toEqual(never);
  expect(await ruleHistory(database.pool, { ...query, before: start })).toEqual(never);
  const alone = await ruleHistory(database.pool, { ...query, before: start + 1.5 * day, incidentId: 'a' });
  expect(alone).toMatchObject({ firstEver: true, seconds: [] });
});

test('what ended an incident: its last note, and the last deploy of its services while it ran', async () => {
  const { pool } = database;
  const note = (text: string, by: string | null) =>
    pool.query("insert into timeline (incident_id, at, kind, text, by) values ('b', now(), 'note', $1, $2)", [
      text,
      by,
    ]);
  await note('ana: rolled the pool back', 'ana');
  await note('by ourselves', null);
  const deploy = (id: string, service: string, seconds: number) =>
    pool.query(
      "insert into deploys (id, service, version, rollback, started_at, received_at) values ($1, $2, '1.2', true, $3, $3)",
      [id, service, new Date(start + 2 * day + seconds * 1_000)],
    );
  await deploy('before', 'checkout', -10);
  await deploy('during', 'checkout', 240);
  await deploy('after', 'checkout', 310);
  await deploy('elsewhere', 'mail', 290);
  const ended = await endings(pool, ['a', 'b']);
  expect(ended.get('a')).toEqual({ note: null, deploy: null });
  expect(ended.get('b')).toEqual({
    note: 'ana: rolled the pool back',
    deploy: { service: 'checkout', version: '1.2', rollback: true, at: start + 2 * day + 240_000 },
  });
  expect(await endings(pool, [])).toEqual(new Map());
});
