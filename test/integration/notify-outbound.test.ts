import { gzipSync } from 'node:zlib';
import { Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import { createOutbound, type OutboundRequest } from '../../src/telemetry/outbound.ts';
import { startHttpServer } from '../fakes/http-server.ts';

const closing: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const serve = async (answer: Parameters<typeof startHttpServer>[0]): Promise<string> => {
  const server = await startHttpServer(answer);
  closing.push(server.close);
  return server.url;
};

const client = (more: { timeoutMs?: number; maxBytes?: number; registry?: Registry } = {}) => {
  const lines: string[] = [];
  const outbound = createOutbound({
    timeoutMs: more.timeoutMs ?? 2_000,
    maxBytes: more.maxBytes,
    registry: more.registry ?? new Registry(),
    log: { debug: (fields, message) => void lines.push(JSON.stringify({ ...fields, message })) },
  });
  closing.push(outbound.close);
  return {
    get: (url: string, rest: Partial<OutboundRequest> = {}) =>
      outbound.request({ method: 'GET', url, peer: 'test', ...rest }),
    lines,
  };
};

test('any status is an answer', async () => {
  const url = await serve((_, response) => void response.writeHead(422, { 'X-Why': 'because' }).end('no'));
  expect(await client().get(url)).toMatchObject({
    status: 'answered',
    code: 422,
    body: 'no',
    headers: { 'x-why': 'because' },
  });
});

test('a server that drips is given up when the whole exchange takes too long', async () => {
  const url = await serve((_, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write('.'), 50);
    response.on('close', () => clearInterval(timer));
  });
  expect(await client({ timeoutMs: 500 }).get(url)).toMatchObject({ status: 'timed-out' });
});

test('a small body that unpacks into a large one is refused', async () => {
  const bomb = gzipSync(Buffer.alloc(20 * 1024 * 1024));
  const url = await serve((_, response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb));
  expect(await client({ maxBytes: 1024 * 1024 }).get(url)).toMatchObject({ status: 'too-large' });
});

test('a redirect is an answer, not a detour', async () => {
  let visited = 0;
  const target = await serve((_, response) => {
    visited += 1;
    response.end();
  });
  const url = await serve((_, response) => void response.writeHead(302, { location: target }).end());
  expect(await client().get(url, { headers: { authorization: 'Bearer abc' } })).toMatchObject({
    status: 'answered',
    code: 302,
  });
  expect(visited).toBe(0);
});

test('a closed port is a value that names the host and neither query nor credentials', async () => {
  const gone = await startHttpServer(() => {});
  await gone.close();
  const { get, lines } = client();
  const result = await get(`${gone.url}/x?token=secret-in-query`, {
    auth: { username: 'u', password: 'secret-password' },
  });
  expect(result).toMatchObject({ status: 'unreachable', reason: expect.stringContaining('refused the connection') });
  expect(JSON.stringify(result) + lines.join()).not.toMatch(/secret/);
});

test('the usual proxy variables are heeded', async () => {
  const proxied: string[] = [];
  const proxy = await serve((call, response) => {
    proxied.push(call.path);
    response.end('from the proxy');
  });
  const before = { ...process.env };
  try {
    process.env.http_proxy = proxy;
    process.env.HTTP_PROXY = proxy;
    process.env.no_proxy = '';
    process.env.NO_PROXY = '';
    expect(await client().get('http://slack.example.com/api/')).toMatchObject({
      status: 'answered',
      body: 'from the proxy',
    });
  } finally {
    for (const name of ['http_proxy', 'HTTP_PROXY', 'no_proxy', 'NO_PROXY']) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
  expect(proxied).toEqual(['http://slack.example.com/api/']);
});

test('calls are counted by peer and class of answer', async () => {
  const url = await serve((_, response) => void response.writeHead(204).end());
  const registry = new Registry();
  await client({ registry }).get(url);
  await client({ registry }).get(url);
  expect(await registry.metrics()).toContain('tocsin_outbound_requests_total{peer="test",result="2xx"} 2');
});
