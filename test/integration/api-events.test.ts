import { connect } from 'node:net';
import express from 'express';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createEventStreams } from '../../src/api/events.ts';
import type { IncidentChange } from '../../src/api/live.ts';
import { createServer } from '../../src/api/server.ts';
import { quiet } from '../fakes/postgres.ts';
import { type ApiFixture, startApi } from './api-fixture.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await startApi();
  const listening = `select 1 from pg_stat_activity where datname = current_database() and query like 'listen %'`;
  await vi.waitUntil(async () => (await api.db.pool.query(listening)).rows.length === 1, { timeout: 10_000 });
}, 120_000);
afterAll(() => api?.close());

/** Reads a stream until it has shown what is waited for; fails when it ends or 10 s pass before. */
async function readUntil(
  url: string,
  wanted: RegExp,
  options: { headers?: Record<string, string>; onOpen?: () => unknown } = {},
): Promise<string> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(new Error('nothing came within 10 s')), 10_000);
  const response = await fetch(url, { headers: options.headers ?? {}, signal: abort.signal });
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  let text = '';
  let told = false;
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (!told) {
      told = true;
      await options.onOpen?.();
    }
    if (wanted.test(text)) {
      clearTimeout(timer);
      abort.abort();
      return text;
    }
  }
  throw new Error(`the stream ended after: ${text}`);
}

const notify = (payload: string) => api.db.pool.query('select pg_notify($1, $2)', ['tocsin_incident', payload]);

test('a change of an incident arrives as an event with its id', async () => {
  const text = await readUntil(`${api.url}/api/v1/events`, /event: incident\n.*\n.*\n\n/, {
    onOpen: () => notify(JSON.stringify({ id: 'one', revision: 3, status: 'open' })),
  });
  expect(text).toMatch(/event: incident\nid: \d+\ndata: \{"id":"one","revision":3,"status":"open"\}\n\n/);
});

test('a payload that is no change, and a reconnection, mean: look anew', async () => {
  const odd = await readUntil(`${api.url}/api/v1/events`, /event: resync/, { onOpen: () => notify('not json') });
  expect(odd).toContain('data: {}');
  await readUntil(`${api.url}/api/v1/events`, /event: resync/, { headers: { 'last-event-id': '17' } });
});

test('after the listening connection was lost, events go on and clients are told to look anew', async () => {
  const text = await readUntil(`${api.url}/api/v1/events`, /event: resync[\s\S]*event: incident/, {
    onOpen: async () => {
      await api.db.pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid() and application_name = 'tocsin-listen'`,
      );
      const again = setInterval(
        () => void notify(JSON.stringify({ id: 'two', revision: 1, status: 'open' })).catch(() => undefined),
        100,
      );
      setTimeout(() => clearInterval(again), 8_000).unref();
    },
  });
  expect(text).toContain('"id":"two"');
}, 30_000);

test('a HEAD request asks whether there is a stream and opens none', async () => {
  const response = await fetch(`${api.url}/api/v1/events`, { method: 'HEAD' });
  expect(response.headers.get('content-type')).toContain('text/event-stream');
});

/** Streams on a server of their own, with small bounds. */
async function startStreams(bounds: { maxClients?: number; heartbeatMs?: number; maxBufferedBytes?: number }) {
  const listeners = new Set<(change: IncidentChange | null) => void>();
  const streams = createEventStreams({
    live: {
      onIncident(listener) {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    },
    now: Date.now,
    ...bounds,
  });
  const router = express.Router();
  router.get('/events', (req, res) => {
    const refused = streams.open(req, res);
    if (refused) res.status(refused.status).end();
  });
  const server = await createServer({
    routers: [router],
    listen: { host: '127.0.0.1', port: 0 },
    log: quiet,
    onClosing: () => streams.close(),
  });
  return {
    streams,
    server,
    listeners,
    tell: (change: IncidentChange) => {
      for (const listener of listeners) listener(change);
    },
  };
}

test('a comment comes now and then, so that proxies keep the line open', async () => {
  const { server } = await startStreams({ heartbeatMs: 20 });
  await readUntil(`${server.url}/events`, /: still here\n\n: still here/);
  await server.close();
});

test('more streams than the bound get 503, and a closed one makes room', async () => {
  const { server, streams, listeners } = await startStreams({ maxClients: 1 });
  const abort = new AbortController();
  const first = await fetch(`${server.url}/events`, { signal: abort.signal });
  expect(first.status).toBe(200);
  expect((await fetch(`${server.url}/events`)).status).toBe(503);
  abort.abort();
  await expect.poll(() => streams.size).toBe(0);
  expect(listeners.size).toBe(0);
  const second = await fetch(`${server.url}/events`);
  expect(second.status).toBe(200);
  await server.close();
});

test('a client that reads nothing is dropped; the others go on', async () => {
  const { server, streams, tell } = await startStreams({ maxBufferedBytes: 64 * 1024 });
  const { hostname, port } = new URL(server.url);
  const slow = connect(Number(port), hostname);
  slow.on('error', () => undefined);
  slow.write(`GET /events HTTP/1.1\r\nhost: ${hostname}\r\n\r\n`);
  slow.pause();
  const quick = await fetch(`${server.url}/events`);
  void quick.body!.pipeTo(new WritableStream()).catch(() => undefined);
  await expect.poll(() => streams.size).toBe(2);
  const filler = 'x'.repeat(10_000);
  for (let n = 0; n < 10_000 && streams.size > 1; n += 1) {
    tell({ id: filler, revision: n, status: 'open' });
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(streams.size).toBe(1);
  slow.destroy();
  await server.close();
}, 30_000);

test('closing the server ends the streams at once', async () => {
  const { server } = await startStreams({});
  const response = await fetch(`${server.url}/events`);
  const reading = response.text();
  const begun = Date.now();
  await server.close();
  expect(await reading).toContain('retry: 3000');
  expect(Date.now() - begun).toBeLessThan(4_000);
});
