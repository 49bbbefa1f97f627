import { statfs } from 'node:fs/promises';
import type pg from 'pg';
import { clean, isDataFault, timestamp } from './encode.ts';
import type { NewInboxItem } from './types.ts';

/** The database cannot be reached or does not answer; nothing was stored. The caller answers 503 and the sender tries again. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
}

/** There is no room: too many deliveries wait, or the disk is nearly full. Nothing was stored; it recovers by itself. */
export class InboxFull extends Error {
  override readonly name = 'InboxFull';
  readonly what: 'deliveries' | 'disk' | 'memory';
  constructor(what: InboxFull['what'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.what = what;
  }
}

export type InboxStats = {
  /** Deliveries committed and not yet worked on, as counted last (at most about a second ago). */
  depth: number;
  /** Since when the oldest of them waits, seconds; 0 when none does. */
  oldestAgeSeconds: number;
  /** An append now would be refused for want of room. */
  full: boolean;
  /** Deliveries on their way into the next commits. */
  waitingInMemory: number;
};

export type Inbox = {
  /** Resolves with the delivery's id after the commit that holds it. Fails with StoreUnavailable or InboxFull. */
  append(item: NewInboxItem): Promise<string>;
  stats(): InboxStats;
  /** What waited before the start is counted, or could not be: until then `stats` knows of none of it. */
  counted: Promise<void>;
  /** Waits for what is under way and stops counting. Appends after it are refused. */
  close(): Promise<void>;
};

export type InboxOptions = {
  /** Deliveries that may wait in the store. */
  limit: number;
  /** Bytes that must stay free on the disk of `dataDir`. */
  minFreeDisk: number;
  dataDir: string;
  /** Epoch ms. */
  now: () => number;
};

/** 256 deliveries of 20 alerts are 3.3 MB a commit: beyond that the fsync is no longer what costs. */
const BATCH_ITEMS = 256;
const BATCH_BYTES = 8 * 1024 * 1024;
/** One commit is being written while the next one's rows travel; a third only adds waiting. */
const COMMITS_IN_FLIGHT = 2;
/** A burst of 5,000 deliveries of 13 kB is 65 MB; what is more than this waits at the sender. */
const MEMORY_BYTES = 256 * 1024 * 1024;
const LOOK_EVERY_MS = 1_000;
/** How long a commit may take before the database counts as gone, and how much more per byte on a slow disk. */
const COMMIT_TIMEOUT_MS = 2_000;
const BYTES_PER_EXTRA_MS = 4_096;

type Waiting = { item: NewInboxItem; resolve: (id: string) => void; reject: (error: Error) => void };

/**
 * The durable door. Concurrent appends share commits: each flush takes what has gathered meanwhile, so one delivery alone
 * waits for nothing and a burst costs one fsync per 256. Give it a pool of its own (two connections for commits, one for
 * counting), or the API's queries stand in its way.
 */
export function createInbox(pool: pg.Pool, options: InboxOptions): Inbox {
  const queue: Waiting[] = [];
  let queuedBytes = 0;
  let flushing = 0;
  let inFlight = 0;
  let gone: StoreUnavailable | null = null;
  let closed = false;
  let scheduled = false;
  const room = watchRoom(pool, options);
  const notifier = createNotifier(pool);

  function append(item: NewInboxItem): Promise<string> {
    if (closed) return Promise.reject(new StoreUnavailable('Tocsin is stopping; send it again'));
    const refused = room.refusal();
    if (refused) return Promise.reject(refused);
    // while the database is gone one append at a time asks for it; the others need not wait for the same answer
    if (gone && (flushing > 0 || queue.length > 0)) return Promise.reject(gone);
    if (queuedBytes + item.body.length > MEMORY_BYTES && queue.length > 0) {
      return Promise.reject(
        new InboxFull('memory', `${queue.length} deliveries already wait in memory for the database`),
      );
    }
    return new Promise((resolve, reject) => {
      queue.push({ item, resolve, reject });
      queuedBytes += item.body.length;
      if (!scheduled) {
        scheduled = true;
        // one turn of the event loop later: requests that were read together are committed together
        setImmediate(() => {
          scheduled = false;
          pump();
        });
      }
    });
  }

  function pump(): void {
    while (queue.length > 0 && flushing < (gone ? 1 : COMMITS_IN_FLIGHT)) {
      const batch = takeBatch();
      flushing += 1;
      inFlight += batch.length;
      void flush(batch).finally(() => {
        flushing -= 1;
        inFlight -= batch.length;
        pump();
      });
    }
  }

  function takeBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    while (count < queue.length && count < BATCH_ITEMS) {
      bytes += queue[count]!.item.body.length;
      if (count > 0 && bytes > BATCH_BYTES) break;
      count += 1;
    }
    const batch = queue.splice(0, count);
    for (const { item } of batch) queuedBytes -= item.body.length;
    return batch;
  }

  async function flush(batch: Waiting[]): Promise<void> {
    try {
      const ids = await commit(
        pool,
        batch.map(({ item }) => item),
      );
      gone = null;
      room.added(batch.length);
      batch.forEach(({ resolve }, index) => {
        resolve(ids[index]!);
      });
      notifier.notify();
    } catch (error) {
      await fail(batch, error as pg.DatabaseError);
    }
  }

  async function fail(batch: Waiting[], error: pg.DatabaseError): Promise<void> {
    if (error.code === '53100') {
      const full = new InboxFull('disk', 'the disk of the database is full', { cause: error });
      for (const { reject } of batch) reject(full);
    } else if (isDataFault(error) && batch.length > 1) {
      // one delivery that PostgreSQL will not take must not cost its neighbours their place
      for (const waiting of batch) await flush([waiting]);
    } else if (isDataFault(error)) {
      batch[0]!.reject(new Error('the store refused this delivery', { cause: error }));
    } else {
      gone = new StoreUnavailable(`the database does not take deliveries: ${error.message}`, { cause: error });
      for (const { reject } of [...batch, ...queue.splice(0)]) reject(gone);
      queuedBytes = 0;
    }
  }

  return {
    append,
    stats: () => ({ ...room.stats(), waitingInMemory: queue.length + inFlight }),
    counted: room.counted,
    async close() {
      closed = true;
      while (flushing > 0 || queue.length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
      await Promise.all([room.close(), notifier.close()]);
    },
  };
}

/**
 * One statement, prepared once, for any number of rows: the bodies travel as one binary parameter and are cut apart by the
 * server, so nothing is escaped, and the statement's text does not depend on their number. Insertion follows `ordinality`,
 * hence the ids come back in the order given.
 */
const insert = `
with delivered as (
  insert into deliveries (kind, source, received_at, trace, body)
  select kind, source, received_at, trace, substring($1::bytea from start for size)
  from unnest($2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::int[], $7::int[]) with ordinality
    as item (kind, source, received_at, trace, start, size, position)
  order by position
  returning id
), waiting as (
  insert into inbox (delivery_id) select id from delivered
)
select array_agg(id::text order by id) as ids from delivered`;

async function commit(pool: pg.Pool, items: NewInboxItem[]): Promise<string[]> {
  const bodies = items.length === 1 ? items[0]!.body : Buffer.concat(items.map((item) => item.body));
  let start = 1;
  const starts = items.map((item) => {
    const at = start;
    start += item.body.length;
    return at;
  });
  const limit = COMMIT_TIMEOUT_MS + Math.ceil(bodies.length / BYTES_PER_EXTRA_MS);
  const rows = await within<{ ids: string[] }>(limit, pool, {
    name: 'inbox-append',
    text: insert,
    values: [
      bodies,
      items.map((item) => item.kind),
      items.map((item) => clean(item.source)),
      items.map((item) => timestamp(item.receivedAt)),
      items.map((item) => clean(item.trace)),
      starts,
      items.map((item) => item.body.length),
    ],
  });
  return rows[0]!.ids;
}

/**
 * Runs one statement and gives it up after `ms`, connecting included. A connection that was given up on is closed: its
 * answer, if it ever comes, belongs to nobody.
 */
async function within<Row extends pg.QueryResultRow>(ms: number, pool: pg.Pool, query: pg.QueryConfig): Promise<Row[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  const connecting = pool.connect();
  let client: pg.PoolClient | undefined;
  try {
    client = await Promise.race([connecting, late]);
    const { rows } = await Promise.race([client.query<Row>(query), late]);
    client.release();
    return rows;
  } catch (error) {
    if (client) client.release(!isDataFault(error));
    else connecting.then((arrived) => arrived.release(true)).catch(() => undefined);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Counts what waits and what the disk has left, about once a second, beside the road of the deliveries. */
function watchRoom(pool: pg.Pool, { limit, minFreeDisk, dataDir, now }: InboxOptions) {
  let depth = 0;
  let oldestAt: number | null = null;
  let free = Number.POSITIVE_INFINITY;
  let addedSince = 0;
  let looking: Promise<void> | null = null;

  const look = async () => {
    const disk = await statfs(dataDir).catch(() => null);
    if (disk) free = disk.bavail * disk.bsize;
    const before = addedSince;
    const rows = await within<{ depth: number; oldest: Date | null }>(COMMIT_TIMEOUT_MS, pool, {
      name: 'inbox-depth',
      // counting stops where it no longer matters
      text: `select (select count(*) from (select from inbox limit $1) as counted) as depth,
                    (select received_at from deliveries where id = (select min(delivery_id) from inbox)) as oldest`,
      values: [limit + 1],
    });
    depth = rows[0]!.depth;
    addedSince -= before;
    oldestAt = rows[0]!.oldest?.getTime() ?? null;
  };
  const timer = setInterval(() => {
    looking ??= look()
      .catch(() => undefined) // the database is gone: the appends say so, and the last count stands
      .finally(() => {
        looking = null;
      });
  }, LOOK_EVERY_MS);
  timer.unref();
  const counted = look()
    .catch(() => undefined)
    .finally(() => {
      looking = null;
    });
  looking = counted;

  const refusal = (): InboxFull | null => {
    if (free < minFreeDisk) {
      return new InboxFull(
        'disk',
        `only ${Math.floor(free / 1_048_576)} MiB are free under ${dataDir}; Tocsin keeps ${Math.ceil(minFreeDisk / 1_048_576)} MiB (server.min_free_disk). Free some space; it goes on by itself.`,
      );
    }
    if (depth + addedSince < limit) return null;
    return new InboxFull(
      'deliveries',
      `${limit} deliveries wait to be worked on (server.inbox_limit); it goes on when they are fewer`,
    );
  };
  return {
    refusal,
    counted,
    added: (count: number) => {
      addedSince += count;
    },
    stats: () => ({
      depth: depth + addedSince,
      oldestAgeSeconds: oldestAt === null ? 0 : Math.max(0, (now() - oldestAt) / 1_000),
      full: refusal() !== null,
    }),
    async close() {
      clearInterval(timer);
      await looking;
    },
  };
}

/**
 * Wakes the workers, one notification for all commits since the last. Not inside the commit: a transaction that notifies
 * holds a lock over the whole server until its fsync is done, which made two commits in flight into one.
 */
function createNotifier(pool: pg.Pool) {
  let running: Promise<void> | null = null;
  let again = false;
  const send = async () => {
    do {
      again = false;
      // a lost notification costs the worker's next look, a second at most
      await within(COMMIT_TIMEOUT_MS, pool, {
        name: 'inbox-notify',
        text: "select pg_notify('tocsin_inbox', '')",
      }).catch(() => undefined);
    } while (again);
  };
  return {
    notify() {
      if (running) again = true;
      else
        running = send().finally(() => {
          running = null;
        });
    },
    close: async () => {
      await running;
    },
  };
}
