import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { doorEndpoints } from '../../src/api/door.ts';
import { endpoints } from '../../src/api/routes.ts';
import { type ApiFixture, putAlerts, putIncident, START, startApi } from './api-fixture.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await startApi();
  await putIncident(api.db, { id: 'one', number: 1 });
  await putIncident(api.db, { id: 'two', number: 2, doc: null });
  await putAlerts(api.db, [
    { fingerprint: 'aa', incidentId: 'one' },
    { fingerprint: 'bb', incidentId: 'two', service: null },
  ]);
  const now = new Date(START);
  const { pool } = api.db;
  await pool.query(`insert into timeline (incident_id, at, kind, text) values ('one', $1, 'opened', 'it began')`, [
    now,
  ]);
  await pool.query(`insert into deploys (id, service, started_at, received_at) values ('d', 'cart', $1, $1)`, [now]);
  await pool.query(
    `insert into suppressed (source, fingerprint, starts_at, incident_id, reasons, policy, at, expires_at)
     values ('default', 'aa', $1, 'one', '[{"code": "c", "text": "t"}]', 'p', $1, $1)`,
    [now],
  );
  await pool.query(
    `insert into notifications (id, incident_id, channel, address, kind, urgency, created_at, due_at, job)
     values ('n', 'one', 'log', 'log', 'open', 0, $1, $1, '{}')`,
    [now],
  );
  await pool.query(`insert into quarantine (at, source, place, reason, raw) values ($1, 'default', 'body', 'r', 'x')`, [
    now,
  ]);
}, 120_000);
afterAll(() => api?.close());

test('the description names every endpoint of the API and of the door, each with its role and answers', async () => {
  const { body, status } = await api.get('/openapi.json');
  expect(status).toBe(200);
  expect(body.openapi).toBe('3.1.0');
  const described = Object.entries(body.paths as Record<string, object>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  const known = [...endpoints([]), ...doorEndpoints].map((one) => `${one.method} ${one.path}`);
  expect(described.toSorted()).toEqual([...new Set(known)].toSorted());
  expect(new Set(known).size).toBe(known.length);
  const list = body.paths['/api/v1/incidents'].get;
  expect(list.parameters.map((one: { name: string }) => one.name)).toEqual([
    'status',
    'service',
    'team',
    'severity',
    'since',
    'until',
    'limit',
    'cursor',
  ]);
  expect(list.parameters[0].schema.items.enum).toEqual(['open', 'acknowledged', 'resolved']);
  expect(
    list.responses['200'].content['application/json'].schema.properties.items.items.properties.rootCauses,
  ).toBeDefined();
  const ids = Object.values(body.paths as Record<string, Record<string, { operationId: string }>>).flatMap((methods) =>
    Object.values(methods).map((one) => one.operationId),
  );
  expect(new Set(ids).size).toBe(ids.length);
});

test('what the contract names is there', async () => {
  const { body } = await api.get('/openapi.json');
  const promised = [
    'get /api/v1/incidents',
    'post /api/v1/incidents',
    'get /api/v1/incidents/{id}',
    'get /api/v1/incidents/{id}/alerts',
    'get /api/v1/incidents/{id}/timeline',
    'get /api/v1/incidents/{id}/correlation',
    'get /api/v1/alerts',
    'get /api/v1/alerts/{fingerprint}',
    'get /api/v1/alerts/{fingerprint}/explain',
    'get /api/v1/notifications',
    'get /api/v1/suppressed',
    'get /api/v1/deploys',
    'get /api/v1/topology',
    'get /api/v1/ledger',
    'get /api/v1/oncall',
    'get /api/v1/events',
    'post /api/v1/kill-switch',
    'get /healthz',
    'get /readyz',
    'get /metrics',
    'post /-/reload',
    'post /api/v1/analyze',
    'post /api/v1/webhooks/alertmanager',
    'post /webhook',
    'post /analyze',
    'post /api/v2/alerts',
    'post /v2/change/enqueue',
    'post /api/v1/deploys',
    'post /api/v1/webhooks/github',
    'post /api/v1/webhooks/gitlab',
    'post /api/v1/webhooks/argocd',
    'post /api/v1/webhooks/cdevents',
    'post /api/v1/webhooks/pagerduty',
    'post /api/v1/slack/interactions',
    ...[
      'acknowledge',
      'resolve',
      'reopen',
      'snooze',
      'silence',
      'assign',
      'escalate',
      'merge',
      'split',
      'note',
      'feedback',
    ].map((deed) => `post /api/v1/incidents/{id}/${deed}`),
  ];
  for (const one of promised) {
    const [method, path] = one.split(' ') as [string, string];
    expect(body.paths[path]?.[method], one).toBeDefined();
  }
});

describe('every GET answers as it is described', () => {
  // A stream, and what is only given out under a signed address (api-pictures.test.ts), are no lists to look at.
  const apart = ['/api/v1/events', '/api/v1/pictures/{id}', '/api/v1/should-have-paged/{id}'];
  const gets = endpoints([]).filter((one) => one.method === 'get' && !apart.includes(one.path));
  test.each(gets.map((one) => [one.path, one] as const))('%s', async (path, one) => {
    for (const [id, fingerprint] of [
      ['one', 'aa'],
      ['2', 'bb'],
    ] as const) {
      const { status, body, headers } = await api.get(path.replace('{id}', id).replace('{fingerprint}', fingerprint));
      expect(status).toBe(200);
      const { schema, type } = one.answers[200]!;
      expect(headers.get('content-type')).toContain(type?.split(';')[0] ?? 'application/json');
      if (!schema) continue;
      expect(schema.safeParse(body).error).toBeUndefined();
      // Too little was said in this store for a proposal: test/integration/proposals.test.ts has one of each kind.
      const mayBeEmpty = path.includes('{') || path === '/api/v1/proposals';
      if (path.endsWith('s') && body.items && !mayBeEmpty) expect(body.items.length).toBeGreaterThan(0);
    }
  });
});
