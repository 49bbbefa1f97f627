import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createServer, type RunningServer } from '../../src/api/server.ts';
import type { Config } from '../../src/config/schema.ts';
import { type DoorInbox, receiveRouter } from '../../src/receive/door.ts';
import { decodeEnvelope } from '../../src/receive/envelope.ts';
import type { SlackInteraction } from '../../src/respond/slack.ts';
import { createInbox, type Inbox } from '../../src/store/inbox.ts';
import { quarantineBody } from '../../src/store/quarantine.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { doorConfig } from '../fakes/receive-config.ts';

let database: TestDatabase;
let inbox: Inbox;
let server: RunningServer;
let metrics: Metrics;
let lines: Record<string, unknown>[];
let clicks: SlackInteraction[];
/** Replaced by tests that want other rules or a store that fails. */
let config: Config;
let broken: Partial<DoorInbox>;

beforeAll(async () => {
  database = await withDatabase();
});
afterAll(() => database.close());

beforeEach(async () => {
  await database.pool.query('truncate deliveries, inbox, quarantine');
  config = doorConfig();
  broken = {};
  lines = [];
  clicks = [];
  metrics = createMetrics();
  inbox = createInbox(database.pool, { limit: 100_000, minFreeDisk: 0, dataDir: tmpdir(), now: Date.now });
  const log = createLog({ destination: { write: (line: string) => void lines.push(JSON.parse(line)) } });
  const door = receiveRouter({
    inbox: {
      append: (item) => (broken.append ?? inbox.append)(item),
      quarantineBody: (body) => (broken.quarantineBody ?? ((kept) => quarantineBody(database.pool, kept)))(body),
    },
    config: () => config,
    log,
    metrics,
    onSlack: (interaction) => void clicks.push(interaction),
    now: Date.now,
  });
  server = await createServer({ routers: [door], listen: { host: '127.0.0.1', port: 0 }, log });
});
afterEach(async () => {
  await server.close();
  await inbox.close();
});

const alerts = (n: number) => ({
  alerts: Array.from({ length: n }, (_, i) => ({ status: 'firing', labels: { alertname: 'A', pod: `p${i}` } })),
});
const post = (path: string, body: string | Uint8Array | object, headers: Record<string, string> = {}) =>
  fetch(server.url + path, {
    method: 'POST',
    redirect: 'manual',
    headers,
    body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
  });
const webhook = '/api/v1/webhooks/alertmanager';
const stored = async () =>
  (
    await database.pool.query(
      'select kind, source, trace, body from deliveries join inbox on delivery_id = id order by id',
    )
  ).rows;
const quarantine = async () =>
  (await database.pool.query('select source, place, reason, raw from quarantine order by id')).rows;

/** fetch may not set Host or Origin; a program or a browser does. */
const raw = (
  path: string,
  headers: Record<string, string | undefined>,
  body = JSON.stringify(alerts(1)),
  method = 'POST',
) =>
  new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    const req = request(server.url + path, { method, headers: headers as Record<string, string> }, (res) => {
      let text = '';
      res.on('data', (chunk) => {
        text += chunk;
      });
      res.on('end', () => resolve({ status: res.statusCode!, headers: res.headers, body: text }));
    });
    req.on('error', reject);
    req.end(body);
  });

describe('an Alertmanager webhook', () => {
  test('is answered with its counts once it is stored, byte for byte, at each of its addresses', async () => {
    const body = readFileSync(new URL('../fixtures/captures/03-mixed-one-resolved.json', import.meta.url));
    for (const path of [webhook, '/webhook', '/analyze', `${webhook}/`]) {
      const answer = await post(path, body);
      expect([answer.status, await answer.json()]).toEqual([200, { accepted: 3, quarantined: 0 }]);
    }
    const rows = await stored();
    expect(rows).toHaveLength(4);
    for (const row of rows) {
      expect(row).toMatchObject({ kind: 'alertmanager', source: 'default' });
      expect(row.body.equals(body)).toBe(true);
    }
  });

  test('with one bad alert is accepted, and the bad one is counted', async () => {
    const body = { alerts: [...alerts(2).alerts, { labels: 7 }] };
    expect(await (await post(webhook, body)).json()).toEqual({ accepted: 2, quarantined: 1 });
  });

  test('without alerts in it is fine and leaves nothing to do', async () => {
    expect(await (await post(webhook, { alerts: [] })).json()).toEqual({ accepted: 0, quarantined: 0 });
    expect(await stored()).toEqual([]);
  });

  test('that is broken is refused in words, and what was sent is kept', async () => {
    for (const body of ['{', '{"no":"alerts"}', '']) {
      const answer = await post(webhook, body);
      expect(answer.status).toBe(400);
      expect(answer.headers.get('content-type')).toMatch('application/problem+json');
      expect(((await answer.json()) as { detail: string }).detail).toMatch(/JSON|alerts|empty/);
    }
    const kept = await quarantine();
    expect(kept.map((row) => row.raw.toString())).toEqual(['{', '{"no":"alerts"}', '']);
    expect(await stored()).toEqual([]);
  });

  test('is taken whatever its content type, in chunks, and compressed', async () => {
    const body = Buffer.from(JSON.stringify(alerts(2)));
    const agent = new Agent({ keepAlive: true });
    for (const headers of [
      { 'content-type': 'text/plain' },
      { 'content-type': 'nonsense' },
      { 'transfer-encoding': 'chunked' },
    ]) {
      expect((await raw(webhook, headers, body.toString())).status).toBe(200);
    }
    agent.destroy();
    for (const [encoding, packed] of [
      ['gzip', gzipSync(body)],
      ['deflate', deflateSync(body)],
      ['br', brotliCompressSync(body)],
    ] as const) {
      const answer = await post(webhook, packed, { 'content-encoding': encoding });
      expect([answer.status, await answer.json()]).toEqual([200, { accepted: 2, quarantined: 0 }]);
    }
    for (const row of await stored()) expect(row.body.equals(body)).toBe(true);
    expect((await post(webhook, body, { 'content-encoding': 'zip' })).status).toBe(415);
    expect((await post(webhook, body, { 'content-encoding': 'gzip' })).status).toBe(400);
  });

  test('is refused with 413 when it is too large, announced or not, packed or not; and the connection lives on', async () => {
    config = doorConfig({ server: { max_body: 100_000 } });
    const large = 'x'.repeat(300_000);
    expect((await raw(webhook, {}, large)).status).toBe(413);
    expect((await raw(webhook, { 'transfer-encoding': 'chunked' }, large)).status).toBe(413);
    const bomb = await post(webhook, gzipSync(Buffer.alloc(50_000_000)), { 'content-encoding': 'gzip' });
    expect([bomb.status, ((await bomb.json()) as { detail: string }).detail]).toEqual([
      413,
      expect.stringMatching('max_body'),
    ]);
    expect((await post(webhook, alerts(1))).status).toBe(200);
    expect(await stored()).toHaveLength(1);
  });

  test('of 10 MB is taken', async () => {
    const { alerts: many } = alerts(12_000);
    const body = JSON.stringify({
      alerts: many.map((alert) => ({ ...alert, annotations: { text: 'x'.repeat(800) } })),
    });
    expect(body.length).toBeGreaterThan(10_000_000);
    expect(await (await post(webhook, body)).json()).toEqual({ accepted: 12_000, quarantined: 0 });
  });

  test('gets 503 and when to come back while the store is gone, and is taken as soon as it is back', async () => {
    broken.append = () => Promise.reject(new Error('connection refused'));
    const answer = await post(webhook, alerts(1));
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
    broken.quarantineBody = () => Promise.reject(new Error('connection refused'));
    expect((await post(webhook, '{')).status).toBe(503);
    broken = {};
    expect((await post(webhook, alerts(1))).status).toBe(200);
  });

  test('is never redirected and never told to slow down: only POST is answered', async () => {
    const answer = await fetch(server.url + webhook, { redirect: 'manual' });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
  });

  test('carries one correlation id through answer, log and store', async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const answer = await post(webhook, alerts(1), { traceparent: `00-${trace}-00f067aa0ba902b7-01` });
    expect(answer.headers.get('x-tocsin-trace')).toBe(trace);
    const own = await post(webhook, alerts(1), { traceparent: 'nonsense' });
    expect(own.headers.get('x-tocsin-trace')).toMatch(/^[0-9a-f]{16}$/);
    expect((await stored()).map((row) => row.trace)).toEqual([trace, own.headers.get('x-tocsin-trace')]);
    expect(lines[0]).toMatchObject({ trace, result: 'accepted', accepted: 1, source: 'default' });
  });

  test('whose sender hangs up in the middle stores nothing and harms nobody', async () => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    socket.write(`POST ${webhook} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{"alerts":[`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    await expect.poll(() => lines.map((line) => line.result)).toContain('gone');
    expect(await stored()).toEqual([]);
    expect((await post(webhook, alerts(1))).status).toBe(200);
  });

  test('is counted by kind and result', async () => {
    await post(webhook, alerts(3));
    await post(webhook, '{');
    const text = await metrics.registry.metrics();
    expect(text).toContain('tocsin_received_deliveries_total{kind="alertmanager",result="accepted"} 1');
    expect(text).toContain('tocsin_received_deliveries_total{kind="alertmanager",result="refused"} 1');
    expect(text).toContain('tocsin_received_alerts_total{result="accepted"} 3');
    expect(text).toContain('tocsin_quarantined_total{what="body"} 1');
  });
});

describe('who may come in', () => {
  const tokens = (...list: [string, string, string][]) =>
    doorConfig(
      { server: { tokens: list.map(([name, role, env]) => ({ name, role, token: { env } })) } },
      Object.fromEntries(list.map(([, , env]) => [env, `${env}-value`])),
    );
  const basic = (password: string, user = 'anybody') => ({
    authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
  });

  test('a token of role webhook, as bearer or as password; its name is the source', async () => {
    config = tokens(['am-prod', 'webhook', 'ONE']);
    expect((await post(`${webhook}?source=other`, alerts(1), { authorization: 'Bearer ONE-value' })).status).toBe(200);
    expect((await post('/api/v2/alerts', alerts(1).alerts, basic('ONE-value'))).status).toBe(200);
    expect((await stored()).map((row) => row.source)).toEqual(['am-prod', 'am-prod']);
  });

  test('a bad or missing token gets 401 and how to send one; a good one with another role gets 403; nothing is kept', async () => {
    config = tokens(
      ['am', 'webhook', 'ONE'],
      ['eva', 'viewer', 'TWO'],
      ['ed', 'editor', 'THREE'],
      ['root', 'admin', 'FOUR'],
    );
    for (const headers of [
      {},
      { authorization: 'Bearer wrong' },
      { authorization: 'ONE-value' },
      basic('wrong'),
      { authorization: 'Basic !' },
    ]) {
      const answer = await post(webhook, '{', headers as Record<string, string>);
      expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([
        401,
        expect.stringMatching(/Bearer.*Basic/),
      ]);
    }
    for (const token of ['TWO-value', 'THREE-value'])
      expect((await post(webhook, alerts(1), basic(token))).status).toBe(403);
    expect((await post(webhook, alerts(1), basic('FOUR-value'))).status).toBe(200);
    expect(await quarantine()).toEqual([]);
  });

  test('two live tokens share a name while one is rotated, and a reload counts at once', async () => {
    config = tokens(['am', 'webhook', 'OLD'], ['am', 'webhook', 'NEW']);
    for (const token of ['OLD-value', 'NEW-value'])
      expect((await post(webhook, alerts(1), basic(token))).status).toBe(200);
    config = tokens(['am', 'webhook', 'NEW']);
    expect((await post(webhook, alerts(1), basic('OLD-value'))).status).toBe(401);
    expect(new Set((await stored()).map((row) => row.source))).toEqual(new Set(['am']));
  });

  test('without tokens everybody on this machine, but no web page: Host, Origin and Sec-Fetch-Site are looked at', async () => {
    const port = new URL(server.url).port;
    const good = [
      {},
      { host: `localhost:${port}` },
      { host: `[::1]:${port}` },
      { origin: server.url },
      { 'sec-fetch-site': 'same-origin' },
      { 'sec-fetch-site': 'none' },
    ];
    for (const headers of good) expect((await raw(webhook, headers)).status, JSON.stringify(headers)).toBe(200);
    const bad = [
      { host: 'evil.example.com' },
      { host: `127.0.0.1.evil.example.com:${port}` },
      { origin: 'https://evil.example.com' },
      { origin: 'http://127.0.0.1:1' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ];
    for (const headers of bad) expect((await raw(webhook, headers)).status, JSON.stringify(headers)).toBe(403);
    expect(await stored()).toHaveLength(good.length);
  });

  test('?source= names the source when no token does, and only in plain characters', async () => {
    await post(`${webhook}?source=eu-1.prod`, alerts(1));
    expect((await stored())[0].source).toBe('eu-1.prod');
    for (const bad of ['', 'a/b', 'a b', 'x'.repeat(65), '%00', 'a&source=b']) {
      expect((await post(`${webhook}?source=${bad}`, alerts(1))).status, bad).toBe(400);
    }
  });
});

describe('POST /api/v2/alerts', () => {
  test('takes what Prometheus posts; a batch with a bad member keeps the others, one without any good member is 400', async () => {
    const good = {
      labels: { alertname: 'A' },
      startsAt: '2026-11-20T07:00:00Z',
      endsAt: '2026-11-20T07:04:00Z',
      generatorURL: 'http://p/graph',
    };
    expect(await (await post('/api/v2/alerts', [good, { labels: 1 }])).json()).toEqual({ accepted: 1, quarantined: 1 });
    expect((await post('/api/v2/alerts', [])).status).toBe(200);
    expect((await post('/api/v2/alerts', [{ labels: 1 }])).status).toBe(400);
    expect((await post('/api/v2/alerts', { alerts: [] })).status).toBe(400);
    expect((await stored()).map((row) => row.kind)).toEqual(['alerts']);
    expect(await quarantine()).toHaveLength(2);
  });
});

describe('deploys', () => {
  const deploy = { service: 'checkout', version: '4f2c', startedAt: '2026-11-20T07:30:00Z' };
  const change = {
    routing_key: 'KEY-value',
    payload: {
      summary: 'checkout 4f2c',
      timestamp: '2026-11-20T07:30:00Z',
      source: 'ci',
      custom_details: { service: 'checkout' },
    },
  };
  const withKey = () =>
    doorConfig({ server: { tokens: [{ name: 'ci', role: 'webhook', token: { env: 'KEY' } }] } }, { KEY: 'KEY-value' });

  test('one or a list is stored with its sender; what is wrong is said', async () => {
    expect(await (await post('/api/v1/deploys', deploy)).json()).toMatchObject({ accepted: 1, refused: [] });
    expect(await (await post('/api/v1/deploys', [deploy, { version: 'x' }])).json()).toMatchObject({
      accepted: 1,
      refused: [expect.anything(), expect.anything()],
    });
    const answer = await post('/api/v1/deploys', { version: 'x' });
    expect([answer.status, ((await answer.json()) as { detail: string }).detail]).toEqual([
      400,
      expect.stringMatching(/service is missing/),
    ]);
    const rows = await stored();
    expect(rows.map((row) => row.kind)).toEqual(['deploy', 'deploy']);
    expect(decodeEnvelope(rows[0].body)).toMatchObject({ sender: 'api', body: JSON.stringify(deploy) });
  });

  test('PagerDuty change events are answered as PagerDuty does; the routing key is a token of ours and is not kept', async () => {
    config = withKey();
    const answer = await post('/v2/change/enqueue', change);
    expect([answer.status, await answer.json()]).toEqual([
      202,
      { status: 'success', message: 'Change event processed' },
    ]);
    const [row] = await stored();
    expect(row).toMatchObject({ kind: 'deploy', source: 'ci' });
    expect(row.body.toString()).not.toContain('KEY-value');
    expect(JSON.parse(decodeEnvelope(row.body).body)).toEqual({ payload: change.payload });
    expect((await post('/v2/change/enqueue', { ...change, routing_key: 'wrong' })).status).toBe(401);
    expect((await post('/v2/change/enqueue', { ...change, routing_key: undefined })).status).toBe(401);
    expect((await post('/v2/change/enqueue', { routing_key: 'KEY-value' })).status).toBe(400);
  });

  test('without tokens a change event is open like all else, but not to web pages', async () => {
    expect((await post('/v2/change/enqueue', change)).status).toBe(202);
    expect(
      (await raw('/v2/change/enqueue', { origin: 'https://evil.example.com' }, JSON.stringify(change))).status,
    ).toBe(403);
  });

  test('GitHub and GitLab prove themselves, whatever tokens there are; without a configured secret nothing is believed', async () => {
    const body = JSON.stringify({
      action: 'created',
      deployment: { id: 1, ref: 'v1.2.3', sha: 'abc', environment: 'production', created_at: '2026-11-20T07:30:00Z' },
      deployment_status: { state: 'success', created_at: '2026-11-20T07:31:00Z' },
      repository: { name: 'checkout', full_name: 'shop/checkout' },
    });
    const github = {
      'x-github-event': 'deployment_status',
      'x-hub-signature-256': `sha256=${createHmac('sha256', 'hush').update(body).digest('hex')}`,
    };
    expect((await post('/api/v1/webhooks/github', body, github)).status).toBe(401);
    config = doorConfig(
      { deploys: { github: { secret: { env: 'GH' } }, gitlab: { secret: { env: 'GL' } } } },
      { GH: 'hush', GL: 'hush' },
    );
    expect(await (await post('/api/v1/webhooks/github', body, github)).json()).toMatchObject({ accepted: 1 });
    expect((await post('/api/v1/webhooks/github', `${body} `, github)).status).toBe(401);
    expect((await post('/api/v1/webhooks/gitlab', '{}', { 'x-gitlab-token': 'wrong' })).status).toBe(401);
    const [row] = await stored();
    expect(decodeEnvelope(row.body)).toMatchObject({
      sender: 'github',
      headers: { 'x-github-event': 'deployment_status' },
    });
    expect(row.body.toString()).not.toContain('x-hub-signature');
  });
});

describe('what people do elsewhere', () => {
  const signSlack = (secret: string, body: string) => {
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const signature = `v0=${createHmac('sha256', secret).update(`v0:${timestamp}:${body}`).digest('hex')}`;
    return {
      'content-type': 'application/x-www-form-urlencoded',
      'x-slack-request-timestamp': timestamp,
      'x-slack-signature': signature,
    };
  };
  const click = (actionId: string) =>
    `payload=${encodeURIComponent(JSON.stringify({ type: 'block_actions', user: { id: 'U1', username: 'ana' }, actions: [{ action_id: actionId, value: 'inc1', action_ts: '1.2' }] }))}`;

  test('a signed click in Slack is stored as an action and answered empty, then told on', async () => {
    config = doorConfig(
      { channels: { slack: { token: { env: 'BOT' }, signing_secret: { env: 'SIGN' } } } },
      { SIGN: 'sss', BOT: 'b' },
    );
    const body = click('tocsin.acknowledge');
    const answer = await post('/api/v1/slack/interactions', body, signSlack('sss', body));
    expect([answer.status, await answer.text()]).toEqual([200, '']);
    const [row] = await stored();
    expect(row.kind).toBe('action');
    expect(JSON.parse(row.body)).toMatchObject({ do: 'acknowledge', incident: { id: 'inc1' }, origin: 'slack' });
    expect(clicks).toMatchObject([{ kind: 'action' }]);

    const why = click('tocsin.why');
    expect((await post('/api/v1/slack/interactions', why, signSlack('sss', why))).status).toBe(200);
    expect(clicks[1]).toMatchObject({ kind: 'why', incidentId: 'inc1' });
    expect((await post('/api/v1/slack/interactions', body, signSlack('wrong', body))).status).toBe(401);
    expect(await stored()).toHaveLength(1);
  });

  test("a click is answered within Slack's three seconds even when the store hangs", async () => {
    config = doorConfig(
      { channels: { slack: { token: { env: 'BOT' }, signing_secret: { env: 'SIGN' } } } },
      { SIGN: 'sss', BOT: 'b' },
    );
    broken.append = () => new Promise(() => undefined);
    const begun = performance.now();
    const body = click('tocsin.acknowledge');
    expect((await post('/api/v1/slack/interactions', body, signSlack('sss', body))).status).toBe(503);
    expect(performance.now() - begun).toBeLessThan(3_000);
    expect(clicks).toEqual([]);
  });

  test('a signed PagerDuty webhook is stored as an action; one that changes nothing is fine and leaves nothing to do', async () => {
    config = doorConfig({ channels: { pagerduty: { webhook_secret: { env: 'PD' } } } }, { PD: 'ppp' });
    const event = (type: string) =>
      JSON.stringify({
        event: {
          id: 'E1',
          event_type: type,
          occurred_at: '2026-11-20T07:30:00Z',
          agent: { type: 'user_reference', summary: 'Ana' },
          data: { incident_key: 'inc1' },
        },
      });
    const send = (body: string, secret = 'ppp') =>
      post('/api/v1/webhooks/pagerduty', body, {
        'x-pagerduty-signature': `v1=${createHmac('sha256', secret).update(body).digest('hex')}`,
      });
    expect((await send(event('incident.acknowledged'))).status).toBe(200);
    expect(await (await send(event('incident.annotated'))).json()).toMatchObject({ accepted: 0 });
    expect((await send('{}')).status).toBe(400);
    expect((await send(event('incident.resolved'), 'wrong')).status).toBe(401);
    const rows = await stored();
    expect(rows).toHaveLength(1);
    expect(JSON.parse(rows[0].body)).toMatchObject({ do: 'acknowledge', by: 'Ana', origin: 'pagerduty' });
  });
});

test('a thousand deliveries at once are all stored, none refused', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
  const body = JSON.stringify(alerts(2));
  const statuses = await Promise.all(
    Array.from(
      { length: 1_000 },
      () =>
        new Promise<number>((resolve, reject) => {
          const req = request(server.url + webhook, { method: 'POST', agent }, (res) => {
            res.resume();
            res.on('end', () => resolve(res.statusCode!));
          });
          req.on('error', reject);
          req.end(body);
        }),
    ),
  );
  agent.destroy();
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
  expect(await stored()).toHaveLength(1_000);
});
