import { describe, expect, test } from 'vitest';
import type { Role } from '../../src/config/schema.ts';
import { accessByToken, authenticate, authorize, covers, sourceOf } from '../../src/receive/auth.ts';
import { doorConfig } from '../fakes/receive-config.ts';

const config = doorConfig(
  {
    server: {
      public_url: 'https://tocsin.example.com',
      tokens: [
        { name: 'am', role: 'webhook', token: { env: 'AM' } },
        { name: 'ana', role: 'responder', token: { env: 'ANA' } },
        { name: 'unset', role: 'admin', token: { env: 'NOT_SET' } },
      ],
    },
  },
  { AM: 'am-token', ANA: 'pass:with:colons and spaces ü', EMPTY: '' },
);
const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`;
const ask = (authorization: string | undefined, extra: Record<string, string> = {}, method = 'GET') =>
  authenticate({ method, headers: { authorization, ...extra } }, config);

test('admin may do all, editor, responder and viewer less and less, and webhook may only post', () => {
  const roles: Role[] = ['admin', 'editor', 'responder', 'viewer', 'webhook'];
  const allowed = Object.fromEntries(roles.map((has) => [has, roles.filter((needs) => covers(has, needs))]));
  expect(allowed).toEqual({
    admin: ['admin', 'editor', 'responder', 'viewer', 'webhook'],
    editor: ['editor', 'responder', 'viewer'],
    responder: ['responder', 'viewer'],
    viewer: ['viewer'],
    webhook: ['webhook'],
  });
});

describe('credentials', () => {
  test('are a bearer, or a basic password with any user name, colons and all', () => {
    expect(ask('Bearer am-token')).toEqual({ ok: true, name: 'am', role: 'webhook' });
    expect(ask('bearer am-token')).toMatchObject({ ok: true });
    expect(ask(basic(':am-token'))).toMatchObject({ name: 'am' });
    expect(ask(basic('x:pass:with:colons and spaces ü'))).toMatchObject({ name: 'ana' });
  });

  test('that are missing, malformed or unknown are 401, and a token without a value never matches', () => {
    for (const bad of [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      'Bearer nope',
      'Digest am-token',
      basic('am-token'),
      basic('x:'),
      basic('undefined:null'),
    ]) {
      expect(ask(bad), bad).toMatchObject({ ok: false, status: 401 });
    }
    expect(accessByToken('', config)).toBeNull();
    expect(accessByToken('am-token', config)).toMatchObject({ name: 'am' });
  });

  test('with the wrong role are 403 and say which role is needed', () => {
    const denied = authorize({ headers: { authorization: 'Bearer am-token' } }, config, 'viewer');
    expect(denied).toMatchObject({ ok: false, status: 403 });
    expect(JSON.stringify(denied)).toMatch(/"am\\" has the role webhook; this needs viewer/);
  });

  test('never stand in the answer', () => {
    expect(JSON.stringify([ask('Bearer wrong-secret'), ask(basic('x:wrong-secret'))])).not.toContain('wrong-secret');
  });

  test('that a browser repeats by itself may not act for another site', () => {
    const from = { 'sec-fetch-site': 'cross-site' };
    expect(ask(basic('x:am-token'), from, 'POST')).toMatchObject({ ok: false, status: 403 });
    expect(ask(basic('x:am-token'), { 'sec-fetch-site': 'same-origin' }, 'POST')).toMatchObject({ ok: true });
    expect(ask('Bearer am-token', from, 'POST')).toMatchObject({ ok: true });
  });
});

describe('the open service', () => {
  const open = doorConfig({ server: { public_url: 'https://tocsin.example.com' } });
  const status = (headers: Record<string, string>, method = 'POST') => {
    const access = authenticate({ method, headers }, open);
    return access.ok ? 200 : access.status;
  };

  test('lets a link from elsewhere show a page, but no page elsewhere read or act', () => {
    const link = { host: 'localhost:8080', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' };
    expect(status(link, 'GET')).toBe(200);
    expect(status(link, 'POST')).toBe(403);
    expect(status({ ...link, 'sec-fetch-mode': 'cors' }, 'GET')).toBe(403);
    expect(status({ host: 'localhost:8080', origin: 'http://localhost:3000' }, 'GET')).toBe(403);
    expect(status({ host: 'localhost:8080', origin: 'http://localhost:8080' })).toBe(200);
  });

  test('answers to loopback names and to its public one only', () => {
    expect(status({ host: 'tocsin.example.com', origin: 'https://tocsin.example.com' })).toBe(200);
    for (const host of ['127.0.0.1', '127.9.9.9:1', 'LOCALHOST:80', 'tocsin.localhost', '[::1]:8080'])
      expect(status({ host }), host).toBe(200);
    for (const host of [
      'localhost.evil.com',
      '127.0.0.1.evil.com',
      '10.0.0.1',
      '0.0.0.0:8080',
      '[::2]',
      '',
      'x@127.0.0.1',
    ])
      expect(status({ host }), host).toBe(403);
  });
});

test('the source is the token\'s name, else what the URL says, else "default"', () => {
  expect(sourceOf({ ok: true, name: 'am', role: 'webhook' }, 'other')).toBe('am');
  const anyone = { ok: true, name: null, role: 'admin' } as const;
  expect(sourceOf(anyone, undefined)).toBe('default');
  expect(sourceOf(anyone, 'eu-1')).toBe('eu-1');
  for (const bad of ['', 'a/b', ['a', 'b'], { a: 'b' }, 'x'.repeat(65), 'a\n'])
    expect(sourceOf(anyone, bad)).toBeNull();
});
