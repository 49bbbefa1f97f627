import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endpoints } from '../../src/api/routes.ts';
import { openPool } from '../../src/store/pool.ts';
import { type ApiFixture, putAlerts, putIncident, startApi } from './api-fixture.ts';

const roles = { hook: 'webhook', eye: 'viewer', hand: 'responder', pen: 'editor', root: 'admin' } as const;
const as = (name: string): Record<string, string> => ({ authorization: `Bearer token-${name}` });

describe('with tokens', () => {
  let api: ApiFixture;
  beforeAll(async () => {
    api = await startApi({ tokens: roles, actionTimeoutMs: 50 });
    await putIncident(api.db, { id: 'one', number: 1 });
    await putAlerts(api.db, [{ fingerprint: 'aa', incidentId: 'one' }]);
  }, 120_000);
  afterAll(() => api?.close());

  const concrete = (path: string): string => path.replace('{id}', 'one').replace('{fingerprint}', 'aa');

  test('every endpoint with a role is 401 without a token or with a wrong one', async () => {
    for (const one of endpoints([])) {
      if (one.role === null) continue;
      const ask =
        one.method === 'get'
          ? api.get
          : (path: string, headers?: Record<string, string>) => api.post(path, {}, headers);
      for (const headers of [{}, as('nobody')]) {
        const { status, headers: got } = await ask(concrete(one.path), headers);
        expect([one.path, status]).toEqual([one.path, 401]);
        expect(got.get('www-authenticate')).toContain('Bearer');
      }
    }
  });

  test('every endpoint is 403 below its role, before its body or its incident is looked at', async () => {
    const below = {
      viewer: ['hook'],
      responder: ['hook', 'eye'],
      editor: ['hand'],
      admin: ['hook', 'eye', 'hand', 'pen'],
      webhook: [],
    };
    for (const one of endpoints([])) {
      if (one.role === null) continue;
      for (const name of below[one.role]) {
        const path = one.path.replace('{id}', 'no-such').replace('{fingerprint}', 'no-such');
        const { status } =
          one.method === 'get' ? await api.get(path, as(name)) : await api.post(path, 'no json', as(name));
        expect([one.path, name, status]).toEqual([one.path, name, 403]);
      }
    }
  });

  test('health needs no token; the role above is enough; basic auth carries the token as password', async () => {
    expect((await api.get('/healthz')).status).toBe(200);
    expect((await api.get('/readyz')).status).toBe(200);
    for (const name of ['eye', 'hand', 'pen', 'root'])
      expect((await api.get('/api/v1/ledger', as(name))).status).toBe(200);
    const basic = `Basic ${Buffer.from('whoever:token-eye').toString('base64')}`;
    expect((await api.get('/metrics', { authorization: basic })).status).toBe(200);
  });

  test('an unknown path tells strangers nothing', async () => {
    expect((await api.get('/api/v1/secrets')).status).toBe(401);
    expect((await api.get('/api/v1/secrets', as('eye'))).status).toBe(404);
  });

  test('a key of one token means nothing to another', async () => {
    const ask = (name: string) =>
      api.post('/api/v1/incidents/one/note', { by: 'ana', text: 'x' }, { ...as(name), 'idempotency-key': 'same' });
    const [a, b] = [await ask('hand'), await ask('pen')];
    expect([a.status, b.status]).toEqual([202, 202]);
    expect(a.body.id).not.toBe(b.body.id);
  });
});

describe('without tokens, on loopback', () => {
  let api: ApiFixture;
  beforeAll(async () => {
    api = await startApi();
  }, 120_000);
  afterAll(() => api?.close());

  test('a web page elsewhere can neither read nor act', async () => {
    const page = { origin: 'https://evil.example' };
    expect((await api.get('/api/v1/incidents', page)).status).toBe(403);
    expect((await api.post('/api/v1/kill-switch', { on: true, by: 'x' }, page)).status).toBe(403);
  });

  test('a known path with the wrong method is 405 with what is allowed, also where only the door answers', async () => {
    const wrong = await api.post('/api/v1/ledger', {});
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    const both = await fetch(`${api.url}/api/v1/deploys`, { method: 'DELETE' });
    expect([both.status, both.headers.get('allow')]).toEqual([405, 'GET, POST, HEAD']);
    const hook = await api.get('/api/v1/webhooks/alertmanager');
    expect([hook.status, hook.headers.get('allow')]).toEqual([405, 'POST']);
    expect((await api.get('/api/v1/incidents/one/acknowledge')).status).toBe(405);
  });

  test('HEAD answers as GET does, without a body', async () => {
    const response = await fetch(`${api.url}/api/v1/ledger`, { method: 'HEAD' });
    expect([response.status, await response.text()]).toEqual([200, '']);
  });

  test('answers are never sniffed, cached or framed', async () => {
    for (const path of ['/api/v1/incidents', '/nothing-here', '/healthz']) {
      const { headers } = await api.get(path);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(headers.get('x-powered-by')).toBeNull();
    }
  });

  test('ready while degraded, not ready when a part failed, and it says which', async () => {
    api.checks.push({ name: 'work', check: () => ({ state: 'degraded', detail: 'no owner for 3 s' }) });
    const degraded = await api.get('/readyz');
    expect([degraded.status, degraded.body.status]).toEqual([200, 'degraded']);
    expect(degraded.body.parts).toMatchObject({ store: { state: 'ok' }, work: { detail: 'no owner for 3 s' } });
    api.checks.push({
      name: 'config',
      check: () => {
        throw new Error('no tree');
      },
    });
    const failed = await api.get('/readyz');
    expect([failed.status, failed.body.parts.config.state]).toEqual([503, 'failed']);
    api.checks.length = 0;
  });

  test('a reload says the new hash, or every fault while the old tree stays', async () => {
    const fine = await api.post('/-/reload');
    expect(fine.body).toEqual({ status: 'reloaded', configHash: 'new' });
    api.replies.reload = {
      ok: false,
      faults: [{ file: 'routing.yaml', line: 3, column: 1, message: 'no team', instead: 'Add it.' }],
    };
    const refused = await api.post('/-/reload');
    expect(refused.status).toBe(422);
    expect(refused.body.faults).toMatchObject([{ file: 'routing.yaml', line: 3 }]);
  });

  test('a dry run hands the body over and answers each alert with its enrichment', async () => {
    api.replies.analyze = {
      ok: true,
      alerts: [{ fingerprint: 'a', enrichment: { priority: 1 } }],
      quarantined: 0,
      faults: [],
    };
    const fine = await api.post('/api/v1/analyze', { alerts: [{}] });
    expect(fine.body).toEqual({
      alerts: [{ fingerprint: 'a', enrichment: { priority: 1 } }],
      quarantined: 0,
      faults: [],
    });
    expect(api.analyzed).toEqual([{ body: { alerts: [{}] }, source: 'default' }]);
    api.replies.analyze = { ok: false, detail: 'The body has no array of alerts.' };
    expect((await api.post('/api/v1/analyze', {})).body.detail).toBe('The body has no array of alerts.');
    expect((await api.post('/api/v1/analyze', '{')).status).toBe(400);
    expect((await api.post('/api/v1/analyze', JSON.stringify({ x: 'y'.repeat(17 * 1024 * 1024) }))).status).toBe(413);
    expect((await api.post('/api/v1/analyze', { alerts: [], pad: 'y'.repeat(10 * 1024 * 1024) })).status).toBe(400);
  });

  test('requests are counted by template, never by path', async () => {
    await api.get('/api/v1/incidents/some-id');
    await api.get('/some/wild/path');
    const { text, headers } = await api.get('/metrics');
    expect(headers.get('content-type')).toContain('text/plain');
    expect(text).toMatch(
      /tocsin_http_requests_total\{method="GET",route="\/api\/v1\/incidents\/\{id\}",status="404"\} 1/,
    );
    expect(text).toContain('route="unknown"');
    expect(text).not.toContain('wild');
  });

  test('a store that cannot be reached: 503 that says when to try again, and not ready', async () => {
    const pool = openPool('postgres://nobody:secret@127.0.0.1:1/none', { max: 1, name: 'gone' });
    const gone = await startApi({ pool });
    for (const path of ['/api/v1/incidents', '/api/v1/ledger', '/api/v1/alerts/a/explain']) {
      const { status, headers, text } = await gone.get(path);
      expect([status, headers.get('retry-after')]).toEqual([503, '5']);
      expect(text).not.toMatch(/secret|127\.0\.0\.1|select/);
    }
    expect((await gone.post('/api/v1/incidents/1/resolve', { by: 'ana' })).status).toBe(503);
    const ready = await gone.get('/readyz');
    expect([ready.status, ready.body.parts.store.state]).toEqual([503, 'failed']);
    expect((await gone.get('/healthz')).status).toBe(200);
    await pool.end();
    await gone.close();
  }, 60_000);

  test('a store without its schema is not ready, and says what to do', async () => {
    const gone = await startApi();
    await gone.db.pool.query('drop table actions cascade');
    const unmigrated = await gone.get('/readyz');
    expect([unmigrated.status, unmigrated.body.parts.store.detail]).toEqual([
      503,
      expect.stringContaining('tocsin migrate'),
    ]);
    await gone.close();
  }, 60_000);
});
