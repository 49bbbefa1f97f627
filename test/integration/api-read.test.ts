import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Incident } from '../../src/domain/incident.ts';
import { type ApiFixture, putAlerts, putIncident, START, startApi } from './api-fixture.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await startApi();
}, 120_000);
afterAll(() => api?.close());
beforeEach(async () => {
  await api.db.pool.query(
    `truncate incidents, alerts, timeline, decisions, notifications, suppressed, deploys, quarantine, correlation_memory`,
  );
  await api.db.pool.query('update ledger set count = 0');
});

const minutes = (n: number): number => START + n * 60_000;

describe('incidents', () => {
  test('the newest start comes first, each in the contract’s shape', async () => {
    await putIncident(api.db, { id: 'old', number: 1, startedAt: minutes(0) });
    await putIncident(api.db, { id: 'new', number: 2, startedAt: minutes(5) });
    const { status, body, headers } = await api.get('/api/v1/incidents');
    expect(status).toBe(200);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(body.items.map((one: Incident) => one.number)).toEqual([2, 1]);
    expect(body.nextCursor).toBeNull();
    for (const one of body.items) expect(Incident.safeParse(one).error).toBeUndefined();
    expect(Object.keys(body.items[0])).toEqual(Object.keys(Incident.shape));
  });

  test('what changes by itself is taken from the row, not from the last assessment', async () => {
    await putIncident(api.db, {
      id: 'one',
      number: 1,
      status: 'acknowledged',
      updatedAt: minutes(9),
      acknowledgedAt: minutes(8),
      acknowledgedBy: 'ana',
      assignee: { team: 'payments' },
      doc: { status: 'open', alertCount: 99, acknowledgedBy: null },
    });
    await putAlerts(api.db, [
      { fingerprint: 'a', incidentId: 'one', status: 'resolved', startsAt: minutes(0), isCurrent: false },
      { fingerprint: 'a', incidentId: 'one', startsAt: minutes(2) },
      { fingerprint: 'b', incidentId: 'one', status: 'resolved' },
    ]);
    const { body } = await api.get('/api/v1/incidents/one');
    expect(body).toMatchObject({
      status: 'acknowledged',
      acknowledgedAt: '2026-11-20T07:38:00.000Z',
      acknowledgedBy: 'ana',
      updatedAt: '2026-11-20T07:39:00.000Z',
      assignee: 'payments',
      alertCount: 2,
      firingCount: 1,
    });
  });

  test('who is told next follows the escalation as it stands now', async () => {
    const escalation = {
      policy: 'default',
      startedAt: START,
      step: 1,
      round: 0,
      dueAt: minutes(5),
      paused: null,
      ackTimeoutAt: null,
    };
    await putIncident(api.db, { id: 'runs', number: 1, escalation });
    await putIncident(api.db, {
      id: 'rests',
      number: 2,
      escalation: { ...escalation, paused: 'acknowledged' },
      status: 'acknowledged',
    });
    const runs = await api.get('/api/v1/incidents/runs');
    expect(runs.body.nextEscalation).toEqual({ at: '2026-11-20T07:35:00.000Z', notify: ['schedule:primary'] });
    const rests = await api.get('/api/v1/incidents/rests');
    expect(rests.body.nextEscalation).toBeNull();
  });

  test('one that was never assessed speaks for itself and says so', async () => {
    await putIncident(api.db, { id: 'fresh', number: 1, doc: null });
    await putAlerts(api.db, [
      { fingerprint: 'a', incidentId: 'fresh', severity: 'medium', service: 'cart' },
      { fingerprint: 'b', incidentId: 'fresh', severity: 'critical', service: 'checkout', alertname: 'Down' },
    ]);
    const { body } = await api.get('/api/v1/incidents/1');
    expect(Incident.safeParse(body).error).toBeUndefined();
    expect(body).toMatchObject({
      title: 'Down on checkout',
      severity: 'critical',
      priority: 1,
      alertCount: 2,
      team: 'platform',
    });
    expect(body.services.toSorted()).toEqual(['cart', 'checkout']);
    expect(body.degraded).toEqual([{ stage: 'assess', reason: expect.stringContaining('under way') }]);
    const critical = await api.get('/api/v1/incidents?severity=critical&service=checkout');
    expect(critical.body.items).toHaveLength(1);
    const low = await api.get('/api/v1/incidents?severity=low');
    expect(low.body.items).toHaveLength(0);
  });

  test('filters take comma lists and repeats, and times', async () => {
    await putIncident(api.db, {
      id: 'a',
      number: 1,
      startedAt: minutes(0),
      doc: { severity: 'critical', services: ['cart'] },
    });
    await putIncident(api.db, {
      id: 'b',
      number: 2,
      startedAt: minutes(1),
      status: 'acknowledged',
      doc: { team: 'shop' },
    });
    await putIncident(api.db, {
      id: 'c',
      number: 3,
      startedAt: minutes(2),
      status: 'resolved',
      doc: { severity: 'low' },
    });
    const numbers = async (query: string): Promise<number[]> => {
      const { body } = await api.get(`/api/v1/incidents?${query}`);
      return body.items.map((one: Incident) => one.number);
    };
    expect(await numbers('status=open,acknowledged')).toEqual([2, 1]);
    expect(await numbers('status=open&status=resolved')).toEqual([3, 1]);
    expect(await numbers('severity=critical,low')).toEqual([3, 1]);
    expect(await numbers('service=cart')).toEqual([1]);
    expect(await numbers('team=shop')).toEqual([2]);
    expect(await numbers('since=2026-11-20T07:31:00Z')).toEqual([3, 2]);
    expect(await numbers('since=2026-11-20T08:31:00%2B01:00&until=2026-11-20T07:32:00Z')).toEqual([2]);
  });

  test('pages neither repeat nor skip while incidents keep arriving', async () => {
    for (let n = 1; n <= 7; n += 1)
      await putIncident(api.db, { id: `i${n}`, number: n, startedAt: minutes(Math.floor(n / 2)) });
    const seen: number[] = [];
    let cursor: string | null = null;
    do {
      const { body }: { body: { items: Incident[]; nextCursor: string | null } } = await api.get(
        `/api/v1/incidents?limit=2${cursor ? `&cursor=${cursor}` : ''}`,
      );
      seen.push(...body.items.map((one) => one.number));
      cursor = body.nextCursor;
      await putIncident(api.db, { id: `late${seen.length}`, number: 100 + seen.length, startedAt: minutes(60) });
    } while (cursor);
    expect(seen).toEqual([7, 6, 5, 4, 3, 2, 1]);
  });

  test.each([
    ['limit=0', 'limit'],
    ['limit=501', 'limit'],
    ['limit=ten', 'limit'],
    ['status=closed', 'status'],
    ['since=yesterday', 'since'],
    ['cursor=abc', 'cursor'],
    ['serivce=cart', 'serivce'],
    ['service=%00', 'service'],
  ])('%s is refused by name', async (query, name) => {
    const { status, body, headers } = await api.get(`/api/v1/incidents?${query}`);
    expect(status).toBe(400);
    expect(headers.get('content-type')).toContain('application/problem+json');
    expect(body.detail).toContain(`"${name}`);
  });

  test('a cursor of one list is refused by another', async () => {
    for (let n = 1; n <= 2; n += 1) await putIncident(api.db, { id: `i${n}`, number: n });
    const { body } = await api.get('/api/v1/incidents?limit=1');
    const { status } = await api.get(`/api/v1/deploys?cursor=${body.nextCursor}`);
    expect(status).toBe(400);
  });

  test('an unknown one is 404 everywhere, also with what no id can hold', async () => {
    for (const path of ['nope', 'nope/alerts', 'nope/timeline', 'nope/correlation', '99999999999999999999', "1'--"]) {
      const { status, body } = await api.get(`/api/v1/incidents/${path}`);
      expect(status).toBe(404);
      expect(body.title).toBe('Not found');
    }
    expect((await api.get('/api/v1/incidents/%00')).status).toBe(400);
    expect((await api.get('/api/v1/incidents/%E0%A4%A')).status).toBe(400);
  });

  test('its alerts are shown once each, earliest onset first, and its timeline in order', async () => {
    await putIncident(api.db, { id: 'one', number: 1 });
    await putAlerts(api.db, [
      { fingerprint: 'b', incidentId: 'one', startsAt: minutes(3) },
      { fingerprint: 'a', incidentId: 'one', startsAt: minutes(0), status: 'resolved', isCurrent: false },
      { fingerprint: 'a', incidentId: 'one', startsAt: minutes(2) },
      { fingerprint: 'x', incidentId: 'other' },
    ]);
    const alerts = await api.get('/api/v1/incidents/1/alerts?limit=1');
    expect(alerts.body.items).toMatchObject([
      { fingerprint: 'a', startsAt: '2026-11-20T07:32:00.000Z', status: 'firing' },
    ]);
    const rest = await api.get(`/api/v1/incidents/1/alerts?cursor=${alerts.body.nextCursor}`);
    expect(rest.body).toMatchObject({ items: [{ fingerprint: 'b' }], nextCursor: null });

    await api.db.pool.query(
      `insert into timeline (incident_id, at, kind, text, by, data)
       select 'one', now(), 'note', 'note ' || n, 'ana', '{"n": 1}' from generate_series(1, 3) n`,
    );
    const first = await api.get('/api/v1/incidents/one/timeline?limit=2');
    expect(first.body.items.map((one: { text: string }) => one.text)).toEqual(['note 1', 'note 2']);
    const second = await api.get(`/api/v1/incidents/one/timeline?limit=2&cursor=${first.body.nextCursor}`);
    expect(second.body).toMatchObject({ items: [{ text: 'note 3', by: 'ana', data: { n: 1 } }], nextCursor: null });
  });

  test('the correlation shows distances with parts, clusters, the service graph and suspects', async () => {
    await putIncident(api.db, { id: 'one', number: 1 });
    await putAlerts(api.db, [
      { fingerprint: 'a', incidentId: 'one', service: 'payment', alertname: 'PodOOMKilled', startsAt: minutes(0) },
      { fingerprint: 'b', incidentId: 'one', service: 'checkout', startsAt: minutes(0) + 5_000 },
      {
        fingerprint: 'c',
        incidentId: 'one',
        service: 'checkout',
        alertname: 'HighLatency',
        startsAt: minutes(0) + 9_000,
      },
      { fingerprint: 'd', incidentId: 'one', service: null, alertname: 'Odd', startsAt: minutes(0) + 9_500 },
    ]);
    const { body, status } = await api.get('/api/v1/incidents/one/correlation?limit=3');
    expect(status).toBe(200);
    expect(body.nodes.map((node: { fingerprint: string }) => node.fingerprint)).toEqual(['a', 'b', 'c']);
    expect(body.omitted).toBe(1);
    expect(body.edges).toHaveLength(3);
    for (const edge of body.edges) {
      expect(edge.distance).toBeGreaterThanOrEqual(0);
      expect(edge.distance).toBeLessThanOrEqual(1);
      expect(Object.keys(edge.parts)).toEqual(expect.arrayContaining(['time', 'topology']));
    }
    expect(body.serviceGraph.edges).toEqual([{ namespace: 'shop', caller: 'checkout', callee: 'payment' }]);
    expect(body.serviceGraph.nodes).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ service: 'checkout', alerts: 2, firstAlertAt: '2026-11-20T07:30:05.000Z' }),
      ]),
    );
    expect(body.rootCauses[0].service).toBe('payment');
    const clustered = body.clusters.flatMap((cluster: { alerts: string[] }) => cluster.alerts);
    expect(new Set(clustered).size).toBe(clustered.length);
  });
});

describe('alerts', () => {
  test('only the current episode of each is listed, newest arrival first, by any filter', async () => {
    await putIncident(api.db, { id: 'one', number: 7 });
    await putAlerts(api.db, [
      { fingerprint: 'a', startsAt: minutes(0), isCurrent: false, status: 'resolved' },
      { fingerprint: 'a', startsAt: minutes(1), severity: 'critical', incidentId: 'one' },
      { fingerprint: 'b', startsAt: minutes(2), status: 'resolved', service: 'cart', alertname: 'Slow' },
      { fingerprint: 'c', startsAt: minutes(3), source: 'eu' },
    ]);
    const fingerprints = async (query: string): Promise<string[]> => {
      const { body } = await api.get(`/api/v1/alerts?${query}`);
      return body.items.map((one: { fingerprint: string }) => one.fingerprint);
    };
    expect(await fingerprints('')).toEqual(['c', 'b', 'a']);
    expect(await fingerprints('status=firing')).toEqual(['c', 'a']);
    expect(await fingerprints('severity=critical')).toEqual(['a']);
    expect(await fingerprints('service=cart&alertname=Slow')).toEqual(['b']);
    expect(await fingerprints('source=eu')).toEqual(['c']);
    expect(await fingerprints('incident=7')).toEqual(['a']);
    expect(await fingerprints('incidentId=one')).toEqual(['a']);
    expect(await fingerprints('incident=unknown')).toEqual([]);
    const page = await api.get('/api/v1/alerts?limit=2');
    const rest = await api.get(`/api/v1/alerts?limit=2&cursor=${page.body.nextCursor}`);
    expect([...page.body.items, ...rest.body.items].map((one) => one.fingerprint)).toEqual(['c', 'b', 'a']);
  });

  test('a burst that arrived at one instant is paged without loss', async () => {
    await api.db.pool.query(
      `insert into alerts (source, fingerprint, starts_at, status, received_at, updated_at, last_seen_at, alertname, severity,
                           labels, annotations)
       select 'default', 'f' || n, now(), 'firing', $1, $1, $1, 'Burst', 'low', '{}', '{}' from generate_series(1, 1203) n`,
      [new Date(START)],
    );
    const seen = new Set<string>();
    let cursor: string | null = null;
    let pages = 0;
    do {
      const { body }: { body: { items: { fingerprint: string }[]; nextCursor: string | null } } = await api.get(
        `/api/v1/alerts?limit=500${cursor ? `&cursor=${cursor}` : ''}`,
      );
      for (const one of body.items) seen.add(one.fingerprint);
      cursor = body.nextCursor;
      pages += 1;
    } while (cursor);
    expect([seen.size, pages]).toEqual([1203, 3]);
  });

  test('a fingerprint alone names an alert while it is unique; ?source= settles it otherwise', async () => {
    await putAlerts(api.db, [
      { fingerprint: 'a', startsAt: minutes(0), isCurrent: false, status: 'resolved' },
      { fingerprint: 'a', startsAt: minutes(1) },
      { fingerprint: 'b', source: 'eu' },
      { fingerprint: 'b', source: 'us', severity: 'low' },
    ]);
    const unique = await api.get('/api/v1/alerts/a');
    expect(unique.body).toMatchObject({ status: 'firing', source: 'default' });
    expect(unique.body.episodes.map((one: { status: string }) => one.status)).toEqual(['firing', 'resolved']);
    const ambiguous = await api.get('/api/v1/alerts/b');
    expect(ambiguous).toMatchObject({ status: 409, body: { sources: ['eu', 'us'] } });
    expect((await api.get('/api/v1/alerts/b?source=us')).body.severity).toBe('low');
    expect((await api.get('/api/v1/alerts/b?source=asia')).status).toBe(404);
    expect((await api.get('/api/v1/alerts/zzz')).status).toBe(404);
  });

  test('an explanation says in words and numbers why it was grouped, ranked, decided and routed', async () => {
    await putIncident(api.db, { id: 'one', number: 42 });
    const why = {
      rule: 'density',
      neighbours: [{ key: `default/b@${START}`, distance: 0.21, parts: { time: 0.95, topology: 0.5 } }],
      eps: 0.55,
      minPts: 2,
      note: null,
    };
    await putAlerts(api.db, [
      {
        fingerprint: 'a',
        incidentId: 'one',
        why,
        verdict: 'group',
        reasons: [{ code: 'joined', text: 'joined incident 42' }],
      },
      { fingerprint: 'b', incidentId: 'one', service: 'payment', alertname: 'PodOOMKilled' },
    ]);
    await api.db.pool.query(
      `insert into decisions (incident_id, revision, at, config_hash, doc) values ('one', 1, now(), 'c0ffee', '{"weights": {"time": 1}}')`,
    );
    await api.db.pool.query(
      `insert into notifications (id, incident_id, channel, address, kind, urgency, state, created_at, due_at, attempts, job)
       values ('one-1', 'one', 'slack', '#payments', 'open', 0, 'sent', $1, $1, $2, '{}')`,
      [new Date(START), JSON.stringify([{ at: START, result: 'sent' }])],
    );
    const { body, status } = await api.get('/api/v1/alerts/a/explain');
    expect(status).toBe(200);
    const text = body.text.join('\n');
    expect(text).toContain(
      'HighErrorRate (checkout) is in incident 42: its nearest neighbour was PodOOMKilled (payment) at distance 0.21',
    );
    expect(text).toContain('what speaks against it most is topology');
    expect(text).toContain('The top suspect is payment (PodOOMKilled), probability 0.71');
    expect(text).toContain('Because (joined): joined incident 42');
    expect(text).toContain('the policy says notify (mode shadow, actionability 0.83)');
    expect(text).toContain('It goes to team payments by slack:#payments');
    expect(body).toMatchObject({
      configHash: 'c0ffee',
      grouped: { eps: 0.55, minPts: 2, neighbours: [{ fingerprint: 'b', alertname: 'PodOOMKilled', distance: 0.21 }] },
      record: { doc: { weights: { time: 1 } } },
      routed: {
        notifications: [{ target: '#payments', attempts: [{ at: '2026-11-20T07:30:00.000Z', result: 'sent' }] }],
      },
      compared: null,
    });
  });

  test('it also says why two alerts are or are not together', async () => {
    await putIncident(api.db, { id: 'one', number: 1 });
    await putAlerts(api.db, [
      { fingerprint: 'a', incidentId: 'one' },
      { fingerprint: 'b', incidentId: 'one', service: 'payment' },
      { fingerprint: 'far', incidentId: null, service: 'other', startsAt: minutes(600) },
    ]);
    const near = await api.get('/api/v1/alerts/a/explain?other=b');
    expect(near.body.compared).toMatchObject({ fingerprint: 'b', together: true });
    const far = await api.get('/api/v1/alerts/a/explain?other=far');
    expect(far.body.compared.together).toBe(false);
    expect(far.body.compared.distance).toBeGreaterThan(near.body.compared.distance);
    expect(far.body.text.join('\n')).toContain('not in one incident');
    expect((await api.get('/api/v1/alerts/a/explain?other=none')).status).toBe(404);
  });
});

describe('the other lists', () => {
  test('notifications by incident, channel and state, with their attempts', async () => {
    await putIncident(api.db, { id: 'one', number: 1 });
    await api.db.pool.query(
      `insert into notifications (id, incident_id, channel, address, kind, urgency, state, created_at, due_at, attempts, text, job)
       values ('n1', 'one', 'slack', '#a', 'open', 0, 'sent', $1, $1, $2, null, '{}'),
              ('n2', 'one', 'email', 'a@example.com', 'open', 0, 'failed', $1, $1, '[]', null, '{}'),
              ('n3', 'two', 'log', 'log', 'thread', 2, 'waiting', $1, $1, '[]', 'a line', '{}')`,
      [new Date(START), JSON.stringify([{ at: START + 5, result: '503' }])],
    );
    const ids = async (query: string): Promise<string[]> =>
      (await api.get(`/api/v1/notifications?${query}`)).body.items.map((one: { id: string }) => one.id);
    expect(await ids('')).toEqual(['n3', 'n2', 'n1']);
    expect(await ids('incident=1')).toEqual(['n2', 'n1']);
    expect(await ids('channel=log,email')).toEqual(['n3', 'n2']);
    expect(await ids('state=sent')).toEqual(['n1']);
    const { body } = await api.get('/api/v1/notifications?state=sent');
    expect(body.items[0]).toEqual({
      id: 'n1',
      at: '2026-11-20T07:30:00.000Z',
      sentAt: null,
      incidentId: 'one',
      channel: 'slack',
      target: '#a',
      kind: 'open',
      state: 'sent',
      attempts: [{ at: '2026-11-20T07:30:00.005Z', result: '503' }],
      text: null,
    });
  });

  test('suppressed alerts with reasons and expiry; active ones alone', async () => {
    await api.db.pool.query(
      `insert into suppressed (source, fingerprint, starts_at, incident_id, reasons, policy, at, expires_at, released_at)
       values ('default', 'a', $1, 'one', $2, 'noise/dev-noise', now(), now() + interval '1 day', null),
              ('default', 'b', $1, 'one', $2, 'noise/dev-noise', now() - interval '2 days', now() - interval '1 day', null),
              ('default', 'c', $1, 'one', $2, 'noise/dev-noise', now() - interval '1 hour', now() + interval '1 day', now())`,
      [new Date(START), JSON.stringify([{ code: 'noise', text: 'nobody is on call for dev' }])],
    );
    const all = await api.get('/api/v1/suppressed');
    expect(all.body.items.map((one: { fingerprint: string }) => one.fingerprint)).toEqual(['a', 'c', 'b']);
    expect(all.body.items[0]).toMatchObject({
      source: 'default',
      incidentId: 'one',
      policy: 'noise/dev-noise',
      reasons: [{ code: 'noise', text: 'nobody is on call for dev' }],
      expiresAt: expect.stringMatching(/Z$/),
    });
    const active = await api.get('/api/v1/suppressed?active=true');
    expect(active.body.items.map((one: { fingerprint: string }) => one.fingerprint)).toEqual(['a']);
  });

  test('deploys by service and time', async () => {
    await api.db.pool.query(
      `insert into deploys (id, service, version, started_at, sources, received_at)
       values ('d1', 'cart', 'v1', $1, '{api}', $1), ('d2', 'payment', 'v2', $2, '{github,api}', $2)`,
      [new Date(minutes(0)), new Date(minutes(5))],
    );
    const { body } = await api.get('/api/v1/deploys');
    expect(body.items).toMatchObject([
      { id: 'd2', service: 'payment', version: 'v2', sources: ['github', 'api'], rollback: false },
      { id: 'd1' },
    ]);
    expect((await api.get('/api/v1/deploys?service=cart')).body.items).toHaveLength(1);
    expect((await api.get('/api/v1/deploys?until=2026-11-20T07:31:00Z')).body.items).toMatchObject([{ id: 'd1' }]);
  });

  test('the ledger has the contract’s columns and balances', async () => {
    await api.db.pool.query(`update ledger set count = 5 where name = 'received'`);
    await api.db.pool.query(`update ledger set count = 3 where name = 'notified'`);
    await api.db.pool.query(`update ledger set count = 2 where name = 'inFlight'`);
    const { body } = await api.get('/api/v1/ledger');
    expect(body).toEqual({
      received: 5,
      notified: 3,
      grouped: 0,
      suppressed: 0,
      failed: 0,
      inFlight: 2,
      quarantined: 0,
    });
  });

  test('quarantine shows why and the beginning of what was sent, whatever its bytes', async () => {
    await api.db.pool.query(
      `insert into quarantine (at, source, place, reason, raw)
       values (now(), 'default', 'body', 'not JSON', $1), (now(), 'default', 'body', 'not JSON', $2)`,
      [Buffer.from(`{"oops": ${'ä'.repeat(3000)}`), Buffer.from([0xff, 0xfe, 0x00])],
    );
    const { body } = await api.get('/api/v1/quarantine');
    expect(body.items[0]).toMatchObject({
      encoding: 'base64',
      raw: '//4A',
      rawBytes: 3,
      reason: 'not JSON',
      place: 'body',
    });
    expect(body.items[1]).toMatchObject({ encoding: 'utf-8', rawBytes: 6009 });
    expect(body.items[1].raw).toMatch(/^\{"oops": ä+$/);
  });

  test('the topology joins graph, catalogue and what fires, and lists what is not catalogued', async () => {
    await putAlerts(api.db, [
      { fingerprint: 'a', service: 'payment', severity: 'high' },
      { fingerprint: 'b', service: 'payment', severity: 'critical' },
      { fingerprint: 'c', service: 'nobody-knows-me' },
    ]);
    const { body } = await api.get('/api/v1/topology');
    expect(body.edges).toContainEqual(
      expect.objectContaining({ namespace: null, caller: 'checkout', callee: 'payment', source: 'learned' }),
    );
    expect(body.nodes).toContainEqual(
      expect.objectContaining({ service: 'payment', firing: 2, worstSeverity: 'critical' }),
    );
    expect(body.drift.alertingNotCatalogued).toContain('nobody-knows-me');
    const catalogued = Object.keys(api.config.business.services);
    const shown = body.nodes.filter((node: { catalogued: boolean }) => node.catalogued);
    expect(shown).toHaveLength(catalogued.length);
  });

  test('who is on call now and next', async () => {
    const { body } = await api.get('/api/v1/oncall?at=2026-11-20T12:00:00Z');
    expect(body.schedules[0]).toMatchObject({
      name: expect.any(String),
      now: { person: expect.any(String) },
      next: { person: expect.any(String) },
    });
    expect((await api.get('/api/v1/oncall?at=noon')).status).toBe(400);
  });
});
