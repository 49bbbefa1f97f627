import { request } from 'node:http';
import { expect, test } from 'vitest';
import {
  firing,
  runCommand,
  type Service,
  startService,
  temporaryFolder,
  webhook,
  writeTree,
} from '../fakes/service.ts';
import { openShop } from './shop.ts';

const minute = { timeout: 60_000 };
const secrets = {
  OLD: 'old-webhook-token-0123456789',
  NEW: 'new-webhook-token-0123456789',
  VIEWER: 'viewer-token-0123456789',
  RESPONDER: 'responder-token-0123456789',
  ADMIN: 'admin-token-0123456789',
};
const token = (name: string, role: string, variable: string) => ({ name, role, token: { env: variable } });
const tokens = [
  token('alertmanager', 'webhook', 'OLD'),
  token('alertmanager', 'webhook', 'NEW'),
  token('board', 'viewer', 'VIEWER'),
  token('oncall', 'responder', 'RESPONDER'),
  token('root', 'admin', 'ADMIN'),
];

test(
  'tokens open what their role may, by bearer and by basic, and two of one name are one source',
  minute,
  async () => {
    const shop = await openShop();
    const tree = shop.service({ 'tocsin.yaml': { server: { tokens, min_free_disk: 0 } } }, { env: secrets });
    const tocsin = await startService(tree);
    const bearer = (value: string) => ({ authorization: `Bearer ${value}` });
    const basic = (value: string) => ({ authorization: `Basic ${Buffer.from(`anybody:${value}`).toString('base64')}` });
    const post = async (headers: Record<string, string>, name = 'X') =>
      (
        await tocsin.post(
          '/api/v1/webhooks/alertmanager',
          webhook([firing({ alertname: name, severity: 'critical' })]),
          headers,
        )
      ).status;
    const get = async (path: string, headers: Record<string, string> = {}) =>
      (await tocsin.ask(path, { headers })).status;
    const act = async (id: string, headers: Record<string, string>) =>
      (await tocsin.post(`/api/v1/incidents/${id}/acknowledge`, { by: 'ana' }, headers)).status;

    expect([
      await post({}),
      await post(bearer('wrong')),
      await post(basic('wrong')),
      await post({ authorization: secrets.OLD }),
    ]).toEqual([401, 401, 401, 401]);
    expect([
      await post(bearer(secrets.OLD), 'A'),
      await post(basic(secrets.NEW), 'B'),
      await post(bearer(secrets.ADMIN), 'C'),
    ]).toEqual([200, 200, 200]);
    expect([await post(bearer(secrets.VIEWER)), await post(bearer(secrets.RESPONDER))]).toEqual([403, 403]);

    expect([await get('/healthz'), await get('/readyz')]).toEqual([200, 200]);
    for (const path of ['/api/v1/incidents', '/api/v1/ledger', '/api/v1/alerts/none', '/metrics'])
      expect([path, await get(path)]).toEqual([path, 401]);
    expect([
      await get('/api/v1/incidents', bearer(secrets.OLD)),
      await get('/api/v1/incidents', basic(secrets.VIEWER)),
    ]).toEqual([403, 200]);
    // The role is judged before the incident is looked for: nobody learns what exists without being allowed to ask.
    expect([
      await act('none', {}),
      await act('none', bearer(secrets.OLD)),
      await act('none', bearer(secrets.VIEWER)),
      await act('none', bearer(secrets.RESPONDER)),
    ]).toEqual([401, 403, 403, 404]);
    expect([
      await get('/api/v1/incidents/none', bearer(secrets.OLD)),
      await get('/api/v1/incidents/none', bearer(secrets.VIEWER)),
    ]).toEqual([403, 404]);
    const reload = async (value: string) => (await tocsin.post('/-/reload', '', bearer(value))).status;
    expect([await reload(secrets.RESPONDER), await reload(secrets.ADMIN)]).toEqual([403, 200]);

    const asAdmin = bearer(secrets.ADMIN);
    const page = async (): Promise<{ items: { source: string; alertname: string; incidentId: string }[] }> =>
      (await tocsin.ask('/api/v1/alerts', { headers: asAdmin })).body as never;
    await expect
      .poll(async () => (await page()).items.map(({ alertname, source }) => `${alertname} ${source}`).sort(), {
        timeout: 15_000,
      })
      .toEqual(['A alertmanager', 'B alertmanager', 'C root']);
    const { incidentId } = (await page()).items[0]!;
    expect(await act(incidentId, bearer(secrets.RESPONDER))).toBe(200);

    // The old token is taken out: the end of a rotation.
    const server = { tokens: tokens.slice(1), min_free_disk: 0 };
    writeTree(tocsin.configDir, { 'tocsin.yaml': { ...(tree.config['tocsin.yaml'] as object), server } });
    expect(await reload(secrets.ADMIN)).toBe(200);
    expect([await post(bearer(secrets.OLD)), await post(bearer(secrets.NEW))]).toEqual([401, 200]);

    const everything =
      JSON.stringify(tocsin.log) + tocsin.stderr + (await tocsin.ask('/metrics', { headers: asAdmin })).text;
    for (const value of Object.values(secrets)) expect(everything).not.toContain(value);
  },
);

test('the open service answers this machine, and no web page elsewhere can drive it', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service());
  const { host } = new URL(tocsin.url);
  const body = JSON.stringify(webhook([firing({ alertname: 'Forged', severity: 'critical' })]));
  const send = (method: string, path: string, headers: Record<string, string>) =>
    raw(tocsin, method, path, headers, method === 'POST' ? body : undefined);
  const hook = '/api/v1/webhooks/alertmanager';

  expect(await send('POST', hook, { host: 'evil.example.com' })).toBe(403);
  expect(await send('POST', hook, { host, origin: 'https://evil.example.com' })).toBe(403);
  expect(await send('POST', hook, { host, origin: 'null' })).toBe(403);
  expect(await send('POST', hook, { host, 'sec-fetch-site': 'cross-site' })).toBe(403);
  expect(await send('GET', '/api/v1/incidents', { host: 'evil.example.com' })).toBe(403);
  expect(await send('POST', '/-/reload', { host, origin: 'http://127.0.0.1:1' })).toBe(403);
  expect(await send('GET', '/api/v1/incidents', { host: host.replace('127.0.0.1', 'localhost') })).toBe(200);
  expect(await tocsin.settled()).toMatchObject({ received: 0 });
  expect(await send('POST', hook, { host, origin: `http://${host}` })).toBe(200);
  expect(await tocsin.settled()).toMatchObject({ received: 1 });
});

test('an address that others can reach is refused at start while no token is configured', minute, async () => {
  const dir = temporaryFolder('listen');
  writeTree(dir, { 'tocsin.yaml': {} });
  const run = (listen: string, env: Record<string, string> = {}) =>
    runCommand(['serve', '--config', dir], { env: { TOCSIN_LISTEN: listen, TOCSIN_DATA: `${dir}/data`, ...env } });
  for (const listen of ['0.0.0.0:0', '[::]:0', ':0']) {
    const { code, err } = await run(listen);
    expect([listen, code, err]).toEqual([
      listen,
      2,
      expect.stringMatching(/no auth token is configured.*token create/s),
    ]);
  }
  expect(await run('127.0.0.1')).toMatchObject({ code: 2, err: expect.stringMatching(/HOST:PORT/) });
});

/** A request whose every header is ours: fetch sets Host by itself. */
function raw(
  tocsin: Service,
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: string,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(tocsin.url);
    const sent = request(
      { hostname, port, method, path, headers: { 'content-type': 'application/json', ...headers } },
      (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode!));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}
