import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { createInbox, type Inbox, InboxFull, StoreUnavailable } from '../../src/store/inbox.ts';
import { openPool } from '../../src/store/pool.ts';
import { quarantineBody } from '../../src/store/quarantine.ts';
import type { NewInboxItem } from '../../src/store/types.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await withDatabase();
}, 60_000);
afterAll(() => database.close());
beforeEach(() => database.pool.query('truncate inbox, deliveries, quarantine'));

const item = (over: Partial<NewInboxItem> = {}): NewInboxItem => ({
  kind: 'alertmanager',
  source: 'default',
  receivedAt: Date.parse('2026-11-20T07:30:00Z'),
  trace: 't',
  body: Buffer.from('{"alerts":[]}'),
  ...over,
});

const options = { limit: 1_000_000, minFreeDisk: 0, dataDir: tmpdir(), now: Date.now };

/** An inbox with a pool of its own, closed with it. */
async function using<T>(
  over: Partial<typeof options>,
  work: (inbox: Inbox) => Promise<T>,
  url = database.url,
): Promise<T> {
  const pool = openPool(url, { max: 4, name: 'inbox' });
  const inbox = createInbox(pool, { ...options, ...over });
  try {
    return await work(inbox);
  } finally {
    await inbox.close();
    await pool.end();
  }
}

test('each of many concurrent deliveries gets its own id, its own bytes, and its place in the inbox', async () => {
  const bodies = Array.from({ length: 700 }, (_, n) => Buffer.from(`body ${n} ${'x'.repeat(n)}`));
  const ids = await using({}, (inbox) =>
    Promise.all(bodies.map((body, n) => inbox.append(item({ body, trace: `t${n}` })))),
  );
  const { rows } = await database.pool.query(
    'select d.id::text, d.trace, d.body from deliveries d join inbox i on i.delivery_id = d.id order by d.id',
  );
  expect(rows).toHaveLength(700);
  const byId = new Map(rows.map((row) => [row.id, row]));
  ids.forEach((id, n) => {
    expect(byId.get(id)).toMatchObject({ trace: `t${n}`, body: bodies[n] });
  });
});

test('concurrent deliveries share commits', async () => {
  const commits = () =>
    database.pool
      .query('select count(distinct xmin::text)::int as n from deliveries')
      .then(({ rows }) => rows[0].n as number);
  await using({}, (inbox) => Promise.all(Array.from({ length: 512 }, () => inbox.append(item()))));
  expect(await commits()).toBeLessThan(20);
});

test('the body is kept byte for byte, whatever the bytes, and a 20 MB body passes', async () => {
  const every = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
  const big = Buffer.alloc(20 * 1024 * 1024, every);
  await using({}, (inbox) => Promise.all([inbox.append(item({ body: every })), inbox.append(item({ body: big }))]));
  const { rows } = await database.pool.query('select body from deliveries order by length(body)');
  expect(rows[0].body.equals(every)).toBe(true);
  expect(rows[1].body.equals(big)).toBe(true);
});

test('NUL bytes and broken Unicode in source and trace are replaced, not refused', async () => {
  await using({}, (inbox) => inbox.append(item({ source: 'a\0b', trace: 'x\ud800y' })));
  const { rows } = await database.pool.query('select source, trace from deliveries');
  expect(rows).toEqual([{ source: 'a\uFFFDb', trace: 'x\uFFFDy' }]);
});

test('a delivery the store refuses costs only itself', async () => {
  await using({}, async (inbox) => {
    const results = await Promise.allSettled([
      inbox.append(item({ trace: 'before' })),
      inbox.append(item({ kind: 'nonsense' as never })),
      inbox.append(item({ trace: 'after' })),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });
  const { rows } = await database.pool.query('select trace from deliveries order by trace');
  expect(rows).toEqual([{ trace: 'after' }, { trace: 'before' }]);
});

test('a full inbox refuses and recovers by itself when it drains', async () => {
  await using({ limit: 3 }, async (inbox) => {
    // A count that overlaps an append may see it twice for a second: refused then, it is asked again.
    for (let n = 0; n < 3; n += 1) await vi.waitFor(() => inbox.append(item()), { timeout: 10_000, interval: 50 });
    await expect(inbox.append(item())).rejects.toThrow(InboxFull);
    await vi.waitFor(() => expect(inbox.stats()).toMatchObject({ full: true, depth: 3 }), { timeout: 10_000 });
    await database.pool.query('truncate inbox');
    await vi.waitFor(() => inbox.append(item()), { timeout: 10_000, interval: 50 });
    expect(inbox.stats().full).toBe(false);
  });
});

test('too little free disk refuses, and says how to go on', async () => {
  await using({ minFreeDisk: Number.MAX_SAFE_INTEGER }, async (inbox) => {
    await vi.waitFor(() => expect(inbox.stats().full).toBe(true), { timeout: 10_000 });
    await expect(inbox.append(item())).rejects.toThrow(/are free under .*server\.min_free_disk.*Free some space/);
  });
});

test('the age of the oldest delivery and the depth are told', async () => {
  await using({ now: () => Date.parse('2026-11-20T07:30:42Z') }, async (inbox) => {
    await inbox.append(item());
    await inbox.append(item({ receivedAt: Date.parse('2026-11-20T07:30:30Z') }));
    await vi.waitFor(() => expect(inbox.stats()).toMatchObject({ depth: 2, oldestAgeSeconds: 42 }), {
      timeout: 10_000,
    });
  });
});

test('each append wakes whoever listens', async () => {
  const client = await database.pool.connect();
  let woken = 0;
  client.on('notification', () => (woken += 1));
  await client.query('listen tocsin_inbox');
  await using({}, (inbox) => inbox.append(item()));
  await vi.waitFor(() => expect(woken).toBeGreaterThan(0), { timeout: 10_000 });
  client.release(true);
});

test('with the database gone appends fail at once, all of them, and work again when it is back', async () => {
  const gate = await openGate(database.url);
  try {
    await using(
      {},
      async (inbox) => {
        await inbox.append(item());
        gate.shut();
        const began = performance.now();
        const results = await Promise.allSettled(Array.from({ length: 300 }, () => inbox.append(item())));
        expect(performance.now() - began).toBeLessThan(5_000);
        for (const result of results) expect((result as PromiseRejectedResult).reason).toBeInstanceOf(StoreUnavailable);
        await vi.waitFor(() => expect(inbox.stats().waitingInMemory).toBe(0));
        gate.open();
        await vi.waitFor(() => inbox.append(item({ trace: 'again' })), { timeout: 10_000, interval: 50 });
      },
      gate.url,
    );
  } finally {
    await gate.close();
  }
  const { rows } = await database.pool.query("select count(*)::int as n from deliveries where trace = 'again'");
  expect(rows[0].n).toBe(1);
}, 30_000);

test('with the database hanging appends fail within seconds instead of piling up', async () => {
  const gate = await openGate(database.url);
  try {
    await using(
      {},
      async (inbox) => {
        await inbox.append(item());
        gate.stall();
        await expect(inbox.append(item())).rejects.toThrow(StoreUnavailable);
        // while one asks whether it is back, the others need not wait
        const probe = inbox.append(item());
        await expect(inbox.append(item())).rejects.toThrow(StoreUnavailable);
        await expect(probe).rejects.toThrow(StoreUnavailable);
        gate.open();
        await vi.waitFor(() => inbox.append(item()), { timeout: 10_000, interval: 50 });
      },
      gate.url,
    );
  } finally {
    await gate.close();
  }
}, 30_000);

test('after close appends are refused and what was under way is stored', async () => {
  const pool = openPool(database.url, { max: 4, name: 'inbox' });
  const inbox = createInbox(pool, options);
  const under = inbox.append(item());
  await inbox.close();
  await expect(under).resolves.toMatch(/^\d+$/);
  await expect(inbox.append(item())).rejects.toThrow(StoreUnavailable);
  await pool.end();
});

test('a refused body is kept and counted once as received and as quarantined', async () => {
  const count = async () => {
    const { rows } = await database.pool.query(
      "select name, count from ledger where name in ('received', 'quarantined') order by name",
    );
    return rows.map((row) => row.count as number);
  };
  const before = await count();
  const raw = Buffer.from([0, 255, 123]);
  await quarantineBody(database.pool, { at: Date.now(), source: 'x', place: 'body', reason: 'not JSON', raw });
  expect(await count()).toEqual(before.map((n) => n + 1));
  const { rows } = await database.pool.query('select raw from quarantine');
  expect(rows[0].raw.equals(raw)).toBe(true);
});

/** A gate on a socket in front of the database: open, shut (connections are cut) or stalled (nothing passes). */
async function openGate(url: string) {
  const target = new URL(url);
  const { connect } = await import('node:net');
  const sockets = new Set<Socket>();
  let state: 'open' | 'shut' | 'stalled' = 'open';
  const server: Server = createServer((socket) => {
    if (state === 'shut') return void socket.destroy();
    sockets.add(socket);
    const upstream = connect(Number(target.port || 5432), target.hostname);
    sockets.add(upstream);
    const forward = (from: Socket, to: Socket) => {
      from.on('data', (chunk) => {
        if (state === 'open') to.write(chunk);
      });
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    };
    forward(socket, upstream);
    forward(upstream, socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const through = new URL(url);
  through.hostname = '127.0.0.1';
  through.port = String((server.address() as { port: number }).port);
  const cut = () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  return {
    url: through.toString(),
    shut: () => {
      state = 'shut';
      cut();
    },
    stall: () => {
      state = 'stalled';
    },
    open: () => {
      state = 'open';
      cut();
    },
    close: async () => {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
