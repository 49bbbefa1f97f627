import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Action, ActionResult } from '../../src/domain/action.ts';
import { Incident } from '../../src/domain/incident.ts';
import { type ApiFixture, putAlerts, putIncident, startApi, startOwner } from './api-fixture.ts';

let api: ApiFixture;
let owner: ReturnType<typeof startOwner>;
let decide: (action: Action) => Promise<ActionResult> | ActionResult;

beforeAll(async () => {
  api = await startApi({ actionTimeoutMs: 3_000 });
}, 120_000);
afterAll(() => api?.close());
beforeEach(async () => {
  await api.db.pool.query('truncate incidents, alerts, actions, inbox, deliveries');
  decide = () => ({ status: 200, incidentId: 'one', detail: 'done' });
  owner = startOwner(api.db, (action) => decide(action));
  await putIncident(api.db, { id: 'one', number: 42 });
});
afterEach(() => owner.stop());

describe('a deed', () => {
  test('is stored, applied by the owner, and answered with the incident as it is then', async () => {
    decide = async (action) => {
      await api.db.pool.query(
        `update incidents set status = 'acknowledged', acknowledged_at = now(),
                state = jsonb_set(state, '{acknowledgedBy}', to_jsonb($1::text)) where id = 'one'`,
        [action.by],
      );
      return { status: 200, incidentId: 'one', detail: 'acknowledged' };
    };
    const { status, body } = await api.post('/api/v1/incidents/42/acknowledge', { by: 'ana', text: 'on it' });
    expect(status).toBe(200);
    expect(Incident.safeParse(body).error).toBeUndefined();
    expect(body).toMatchObject({ id: 'one', status: 'acknowledged', acknowledgedBy: 'ana' });
    expect(owner.taken).toEqual([
      {
        id: expect.any(String),
        do: 'acknowledge',
        incident: { id: 'one' },
        by: 'ana',
        origin: 'api',
        body: { text: 'on it' },
      },
    ]);
  });

  test.each([
    ['resolve', {}],
    ['reopen', {}],
    ['snooze', { for: '30m' }],
    ['silence', { until: '2030-01-01T00:00:00Z' }],
    ['assign', { team: 'payments' }],
    ['escalate', {}],
    ['split', { alerts: ['a'] }],
    ['note', { text: 'looked at it' }],
    ['feedback', { kind: 'right-cause', service: 'payment' }],
  ])('%s reaches the owner with its body', async (name, body) => {
    const { status } = await api.post(`/api/v1/incidents/one/${name}`, { by: 'ana', ...body });
    expect(status).toBe(200);
    expect(owner.taken).toMatchObject([{ do: name, incident: { id: 'one' }, by: 'ana', body }]);
  });

  test('feedback of an alert that nobody knows, or of an incident that is gone, says so', async () => {
    const say = (id: string, body: object) => api.post(`/api/v1/incidents/${id}/feedback`, { by: 'ana', ...body });
    await putAlerts(api.db, [{ fingerprint: 'aa', source: 'eu', incidentId: 'one' }]);
    expect((await say('one', { kind: 'noise', alert: 'aa' })).status).toBe(200);
    expect((await say('one', { kind: 'noise', alert: 'eu/aa' })).status).toBe(200);
    const unknown = await say('one', { kind: 'related', alert: 'aa', other: 'us/aa' });
    expect(unknown).toMatchObject({ status: 404, body: { detail: expect.stringContaining('us/aa (`other`)') } });
    const gone = await say('7', { kind: 'noise' });
    expect(gone).toMatchObject({ status: 410, body: { title: 'Gone', detail: expect.stringContaining('retention') } });
    expect((await say('43', { kind: 'noise' })).status).toBe(404);
    expect(owner.taken).toHaveLength(2);
  });

  test('merge names the other by id or number and answers with the one that lives on', async () => {
    await putIncident(api.db, { id: 'elder', number: 7 });
    decide = () => ({ status: 200, incidentId: 'elder', detail: 'merged' });
    const { body } = await api.post('/api/v1/incidents/42/merge', { by: 'ana', into: '7' });
    expect(body.number).toBe(7);
    expect(owner.taken[0]!.body).toEqual({ into: 'elder' });
    expect((await api.post('/api/v1/incidents/42/merge', { by: 'ana', into: 7 })).status).toBe(200);
    expect((await api.post('/api/v1/incidents/42/merge', { by: 'ana', into: '8' })).status).toBe(404);
    expect((await api.post('/api/v1/incidents/42/merge', { by: 'ana', into: { id: 7 } })).status).toBe(400);
  });

  test('that the owner refuses is answered with its status and its words', async () => {
    decide = () => ({ status: 409, incidentId: null, detail: 'Incident 42 is resolved; reopen it first.' });
    const { status, body, headers } = await api.post('/api/v1/incidents/one/acknowledge', { by: 'ana' });
    expect(status).toBe(409);
    expect(headers.get('content-type')).toContain('application/problem+json');
    expect(body.detail).toBe('Incident 42 is resolved; reopen it first.');
  });

  test('on an unknown incident is 404 and nothing is stored', async () => {
    expect((await api.post('/api/v1/incidents/nope/resolve', { by: 'ana' })).status).toBe(404);
    const { rows } = await api.db.pool.query('select 1 from deliveries');
    expect(rows).toHaveLength(0);
  });

  test('with the same Idempotency-Key is done once and answered alike', async () => {
    const headers = { 'idempotency-key': 'k1' };
    const first = await api.post('/api/v1/incidents/one/note', { by: 'ana', text: 'once' }, headers);
    const again = await api.post('/api/v1/incidents/one/note', { by: 'ana', text: 'once' }, headers);
    const other = await api.post('/api/v1/incidents/one/resolve', { by: 'ana' }, headers);
    expect([first.status, again.status, other.status]).toEqual([200, 200, 200]);
    expect(owner.taken.map((action) => action.do)).toEqual(['note', 'resolve']);
  });

  test('repeated while the first still waits is not stored twice', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    decide = async () => {
      await held;
      return { status: 201, incidentId: 'one', detail: 'declared' };
    };
    const body = { by: 'ana', title: 'Shop is slow' };
    const headers = { 'idempotency-key': 'k2' };
    const first = api.post('/api/v1/incidents', body, headers);
    await expect.poll(() => owner.taken.length).toBe(1);
    const second = api.post('/api/v1/incidents', body, headers);
    await new Promise((resolve) => setTimeout(resolve, 100));
    release();
    expect((await first).status).toBe(201);
    expect((await second).status).toBe(201);
    expect(owner.taken).toHaveLength(1);
  });
});

describe('a body that is wrong is refused by name and nothing is stored', () => {
  test.each([
    ['acknowledge', {}, '"by"'],
    ['acknowledge', { by: '' }, '"by"'],
    ['acknowledge', { by: 'ana', txt: 'x' }, '"txt"'],
    ['acknowledge', { by: 'ana\u0000' }, '"by"'],
    ['acknowledge', { by: 'ana', text: '\ud800' }, '"text"'],
    ['acknowledge', [], 'object'],
    ['acknowledge', 'no json', 'JSON'],
    ['snooze', { by: 'ana' }, '"until"'],
    ['snooze', { by: 'ana', for: '1h', until: '2030-01-01T00:00:00Z' }, '"until"'],
    ['snooze', { by: 'ana', for: '0s' }, '"for"'],
    ['snooze', { by: 'ana', for: '99y' }, '"for"'],
    ['silence', { by: 'ana', until: '2020-01-01T00:00:00Z' }, '"until"'],
    ['silence', { by: 'ana', until: 'tomorrow' }, '"until"'],
    ['assign', { by: 'ana' }, '"team"'],
    ['assign', { by: 'ana', team: 'a', person: 'b' }, '"team"'],
    ['merge', { by: 'ana' }, '"into"'],
    ['split', { by: 'ana', alerts: [] }, '"alerts"'],
    ['note', { by: 'ana' }, '"text"'],
    ['feedback', { by: 'ana', kind: 'nonsense' }, '"kind"'],
  ])('%s %j', async (name, body, said) => {
    const answer = await api.post(`/api/v1/incidents/one/${name}`, body);
    expect(answer.status).toBe(400);
    expect(answer.body.detail).toContain(said);
    expect((await api.db.pool.query('select 1 from deliveries')).rows).toHaveLength(0);
  });

  test('a declared incident without a title', async () => {
    const answer = await api.post('/api/v1/incidents', { by: 'ana', severity: 'huge' });
    expect(answer.status).toBe(400);
    expect(answer.body.faults.map((fault: { name: string }) => fault.name).toSorted()).toEqual(['severity', 'title']);
  });

  test('a body of a megabyte', async () => {
    const answer = await api.post('/api/v1/incidents/one/note', { by: 'ana', text: 'x'.repeat(1024 * 1024) });
    expect(answer.status).toBe(413);
  });
});

test('declaring answers 201 with the incident and where it is', async () => {
  decide = () => ({ status: 201, incidentId: 'one', detail: 'declared' });
  const { status, body, headers } = await api.post('/api/v1/incidents', {
    by: 'ana',
    title: 'Shop is slow',
    severity: 'critical',
    service: 'checkout',
  });
  expect(status).toBe(201);
  expect(headers.get('location')).toBe('/api/v1/incidents/one');
  expect(body.number).toBe(42);
  expect(owner.taken[0]).toMatchObject({
    do: 'declare',
    incident: null,
    body: { title: 'Shop is slow', severity: 'critical', service: 'checkout' },
  });
});

test('the kill switch is thrown through the same inbox', async () => {
  decide = () => ({ status: 200, incidentId: null, detail: 'passing everything through' });
  const { status, body } = await api.post('/api/v1/kill-switch', { on: true, by: 'ana' });
  expect(status).toBe(200);
  expect(body).toEqual({ on: true, by: 'ana', detail: 'passing everything through' });
  expect(owner.taken).toMatchObject([{ do: 'kill-switch', incident: null, body: { on: true } }]);
  expect((await api.post('/api/v1/kill-switch', { on: 'yes', by: 'ana' })).status).toBe(400);
});

test('nobody there to apply it in time: 202, stored, and a repeat gets the answer later', async () => {
  await owner.stop();
  const slow = await startApi({ actionTimeoutMs: 300 });
  try {
    await putIncident(slow.db, { id: 'one', number: 1 });
    const headers = { 'idempotency-key': 'k3' };
    const first = await slow.post('/api/v1/incidents/one/acknowledge', { by: 'ana' }, headers);
    expect(first.status).toBe(202);
    expect(first.body).toMatchObject({ status: 'stored', detail: expect.stringContaining('applied as soon as') });
    expect((await slow.db.pool.query('select 1 from inbox')).rows).toHaveLength(1);
    const late = startOwner(slow.db, () => ({ status: 200, incidentId: 'one', detail: 'acknowledged' }));
    await expect.poll(() => late.taken.length).toBe(1);
    const again = await slow.post('/api/v1/incidents/one/acknowledge', { by: 'ana' }, headers);
    expect(again.status).toBe(200);
    await late.stop();
    expect(late.taken).toHaveLength(1);
  } finally {
    await slow.close();
  }
}, 60_000);

test('a store that cannot take it: 503, said plainly, with when to try again', async () => {
  const full = await startApi({ append: () => Promise.reject(new Error('insert into deliveries: no space')) });
  try {
    await putIncident(full.db, { id: 'one', number: 1 });
    const { status, body, headers, text } = await full.post('/api/v1/incidents/one/acknowledge', { by: 'ana' });
    expect(status).toBe(503);
    expect(headers.get('retry-after')).toBe('5');
    expect(body.detail).toContain('send it again');
    expect(text).not.toContain('insert into');
  } finally {
    await full.close();
  }
}, 60_000);
