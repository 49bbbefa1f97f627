import { connect, type Socket } from 'node:net';
import express from 'express';
import { expect, test } from 'vitest';
import { createServer } from '../../src/api/server.ts';
import { quiet } from '../fakes/postgres.ts';

const listen = { host: '127.0.0.1', port: 0 };

test('closing refuses newcomers, finishes what is in flight and cuts idle connections', async () => {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let arrived = false;
  const router = express.Router();
  router.get('/quick', (_req, res) => void res.end('quick'));
  router.get('/slow', async (_req, res) => {
    arrived = true;
    await held;
    res.end('finished');
  });
  const server = await createServer({ routers: [router], listen, log: quiet });
  const idle = await keepAlive(server.url);
  const slow = fetch(`${server.url}/slow`);
  await expect.poll(() => arrived).toBe(true);
  const closed = server.close();
  await expect.poll(() => idle.destroyed || idle.readableEnded).toBe(true);
  await expect(fetch(`${server.url}/quick`)).rejects.toThrow();
  release();
  expect(await (await slow).text()).toBe('finished');
  await closed;
  await server.close();
});

test('what does not finish within the grace is cut', async () => {
  const router = express.Router();
  router.get('/never', () => undefined);
  const server = await createServer({ routers: [router], listen, log: quiet, graceMs: 100 });
  const never = fetch(`${server.url}/never`).then(
    () => 'answered',
    () => 'cut',
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  await server.close();
  expect(await never).toBe('cut');
});

test('an address that cannot be had is said with what to do', async () => {
  const server = await createServer({ routers: [], listen, log: quiet });
  const { port } = new URL(server.url);
  await expect(
    createServer({ routers: [], listen: { host: '127.0.0.1', port: Number(port) }, log: quiet }),
  ).rejects.toThrow(/another program listens there; stop it, or set TOCSIN_LISTEN/);
  await server.close();
});

test('an unexpected error shows neither stack nor message; a lost store is 503', async () => {
  const logged: unknown[] = [];
  const router = express.Router();
  router.get('/bug', () => {
    throw new Error('select secret from tokens');
  });
  router.get('/gone', () => {
    throw Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), { code: 'ECONNREFUSED' });
  });
  const server = await createServer({
    routers: [router],
    listen,
    log: { error: (fields) => void logged.push(fields) },
  });
  const bug = await fetch(`${server.url}/bug`);
  expect(bug.status).toBe(500);
  expect(await bug.text()).not.toMatch(/secret|select|at /);
  const gone = await fetch(`${server.url}/gone`);
  expect([gone.status, gone.headers.get('retry-after')]).toEqual([503, '5']);
  expect(await gone.text()).not.toContain('5432');
  expect(logged).toHaveLength(2);
  await server.close();
});

test('two thousand connections at once are all answered', async () => {
  const router = express.Router();
  router.get('/', (_req, res) => void res.end('here'));
  const server = await createServer({ routers: [router], listen, log: quiet });
  const sockets = Array.from({ length: 2_000 }, () => ask(server.url));
  const answers = await Promise.all(sockets);
  expect(answers.filter((answer) => answer.startsWith('HTTP/1.1 200'))).toHaveLength(2_000);
  await server.close();
}, 60_000);

function ask(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () =>
      socket.write(`GET / HTTP/1.1\r\nhost: ${hostname}\r\nconnection: close\r\n\r\n`),
    );
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
  });
}

/** A connection that has been answered once and stays open. */
function keepAlive(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () =>
      socket.write(`GET /quick HTTP/1.1\r\nhost: ${hostname}\r\n\r\n`),
    );
    socket.once('data', () => resolve(socket));
    socket.on('error', reject);
  });
}
