import pg from 'pg';
import type { Effects } from '../domain/effects.ts';
import { type AuditKey, appendAudit } from './audit.ts';
import { type RefusedRow, writeEffects } from './commit.ts';
import { isDataFault, timestamp } from './encode.ts';
import { types } from './pool.ts';
import { readState } from './restore.ts';
import type { InboxItem, Log, Restored } from './types.ts';

/**
 * A commit (or a read) on the shard's connection failed; nothing of it is stored, except that after `lost` only the store
 * knows. The engine is to be rebuilt either way.
 *
 * `lost`: the session is over, open a new one. `retryable`: the same work may succeed later (the database restarts, the
 * disk is full); otherwise something is wrong that only a person or a new release mends.
 */
export class ShardError extends Error {
  override readonly name = 'ShardError';
  readonly lost: boolean;
  readonly retryable: boolean;
  constructor(message: string, { cause, lost, retryable }: { cause?: unknown; lost: boolean; retryable: boolean }) {
    super(message, { cause });
    this.lost = lost;
    this.retryable = retryable;
  }
}

export type ShardOptions = {
  url: string;
  /** The shard; each has one owner at a time. */
  name: string;
  log: Log;
  auditKey: AuditKey;
  /** Epoch ms. */
  now?: () => number;
};

export type ShardSession = {
  /** Everything the engine needs. `lookbackMs`: how far back ended alerts and incidents still matter. */
  restore(options: { now: number; lookbackMs: number }): Promise<Restored>;
  /** The oldest deliveries, at least one when any waits; they stay in the inbox until a commit names them as done. */
  take(options: { limit: number; maxBytes: number }): Promise<InboxItem[]>;
  /** Everything in one transaction, with the deliveries that it finishes. */
  commit(effects: Effects, done: string[]): Promise<void>;
  /** Called once when the session ends without `close`: the lock is gone, somebody else may own the shard. */
  onLost(fn: (error: Error) => void): void;
  close(): Promise<void>;
};

/** An owner asks the database something every second; one silent for this long is stopped or cut off, and is put out. */
const SILENT_OWNER_S = 20;

/**
 * Becomes the owner of a shard, or gives null: another one is. The lock belongs to this connection, and everything the
 * owner writes goes through it, so an owner who lost the lock cannot write. When its host dies the server notices within
 * about 15 s (TCP keepalive); when only the process dies, at once.
 */
export async function openShard(options: ShardOptions): Promise<ShardSession | null> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: `tocsin-shard-${options.name}`,
    connectionTimeoutMillis: 5_000,
    statement_timeout: 30_000,
    query_timeout: 35_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 5_000,
    options: '-c timezone=UTC -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3',
    types,
  });
  let lost: Error | null = null;
  let closing = false;
  let tell: ((error: Error) => void) | null = null;
  const lose = (error: Error) => {
    if (lost || closing) return;
    lost = error;
    clearInterval(pulse);
    client.end().catch(() => undefined);
    tell?.(error);
  };
  client.on('error', lose);
  client.on('end', () => lose(new Error('the database closed the connection')));
  let pulse: NodeJS.Timeout | undefined;

  try {
    await client.connect();
    if (!(await acquire(client, options))) {
      closing = true;
      await client.end();
      return null;
    }
  } catch (error) {
    closing = true;
    client.end().catch(() => undefined);
    throw new ShardError(`cannot ask for the shard ${options.name}: ${(error as Error).message}`, {
      cause: error,
      lost: true,
      retryable: true,
    });
  }
  // one piece of work at a time: a question asked in the middle of a transaction would become part of it
  let turn: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  const attempt = <T>(what: string, work: () => Promise<T>): Promise<T> => {
    waiting += 1;
    const run = async () => {
      if (lost) throw new ShardError(`cannot ${what}: the shard is lost`, { cause: lost, lost: true, retryable: true });
      try {
        return await work();
      } catch (error) {
        const failure = describe(what, error as Error);
        if (failure.lost) lose(failure);
        throw failure;
      } finally {
        waiting -= 1;
      }
    };
    const result = turn.then(run);
    turn = result.catch(() => undefined);
    return result;
  };
  pulse = setInterval(() => {
    // shows a silent line before the next commit does, and tells the server that this owner is alive
    if (waiting === 0) attempt('reach the database', () => client.query('select 1')).catch(() => undefined);
  }, 5_000);
  pulse.unref();
  const report = (refused: RefusedRow[]) => {
    for (const { table, error } of refused) {
      options.log.error(
        { table, error },
        'the store could not hold a row; it is kept in quarantine and the rest went on',
      );
    }
  };

  return {
    restore: ({ now, lookbackMs }) => attempt('restore the state', () => readState(client, now, lookbackMs)),
    take: (amount) => attempt('take deliveries', () => take(client, amount)),
    commit: (effects, done) =>
      attempt('commit', async () => {
        report(await commit(client, effects, done, options.auditKey, (options.now ?? Date.now)()));
      }),
    onLost(fn) {
      tell = fn;
      if (lost) fn(lost);
    },
    async close() {
      if (closing) return;
      closing = true;
      clearInterval(pulse);
      // ending the session frees the lock at once, also when a commit is still on its way and rolls back
      await client.end().catch(() => undefined);
    },
  };
}

async function acquire(client: pg.Client, { name, log }: ShardOptions): Promise<boolean> {
  const ask = () => client.query("select pg_try_advisory_lock(hashtext('tocsin_shard'), hashtext($1)) as mine", [name]);
  if ((await ask()).rows[0].mine) return true;
  const { rows } = await client.query(
    `select a.pid, pg_terminate_backend(a.pid) as ended
     from pg_locks l join pg_stat_activity a on a.pid = l.pid
     where l.locktype = 'advisory' and l.granted and l.objsubid = 2
       and l.database = (select oid from pg_database where datname = current_database())
       and l.classid = hashtext('tocsin_shard')::oid and l.objid = hashtext($1)::oid
       and a.state <> 'active' and a.state_change < clock_timestamp() - make_interval(secs => $2)`,
    [name, SILENT_OWNER_S],
  );
  if (rows.length === 0) return false;
  log.warn({ shard: name, backend: rows[0].pid }, 'the owner of the shard has been silent for too long; taking over');
  await client.query('select pg_sleep(0.2)');
  return (await ask()).rows[0].mine;
}

async function take(client: pg.Client, { limit, maxBytes }: { limit: number; maxBytes: number }): Promise<InboxItem[]> {
  // octet_length reads the size from the row's header, it does not fetch the body
  const { rows } = await client.query({
    name: 'shard-take',
    text: `select d.id::text, d.kind, d.source, d.received_at, d.trace, d.body
           from (select w.delivery_id, sum(octet_length(b.body)) over (order by w.delivery_id) - octet_length(b.body) as before
                 from (select delivery_id from inbox order by delivery_id limit $1) w
                 join deliveries b on b.id = w.delivery_id) as sized
           join deliveries d on d.id = sized.delivery_id
           where sized.before < $2
           order by d.id`,
    values: [limit, Math.max(1, maxBytes)],
  });
  return rows.map((row) => ({
    id: row.id,
    kind: row.kind,
    source: row.source,
    receivedAt: row.received_at.getTime(),
    trace: row.trace,
    body: row.body,
  }));
}

async function commit(
  client: pg.Client,
  effects: Effects,
  done: string[],
  auditKey: AuditKey,
  now: number,
): Promise<RefusedRow[]> {
  const run = async (careful: boolean) => {
    await client.query('begin');
    const refused = await writeEffects(client, effects, { careful, now: timestamp(now) });
    await appendAudit(client, auditKey, effects.audit);
    if (done.length > 0) await finish(client, done);
    await client.query('commit');
    return refused;
  };
  try {
    return await run(false);
  } catch (error) {
    await client.query('rollback');
    if (!isDataFault(error)) throw error;
    // once more, row by row where it hurts: one row that PostgreSQL refuses must not stop the shard for ever
    return run(true).catch(async (second) => {
      await client.query('rollback');
      throw second;
    });
  }
}

async function finish(client: pg.Client, done: string[]): Promise<void> {
  const { rowCount } = await client.query('delete from inbox where delivery_id = any ($1::bigint[])', [done]);
  if (rowCount !== done.length) {
    throw new Error(
      `${done.length - (rowCount ?? 0)} of ${done.length} deliveries were already worked on by another owner`,
    );
  }
}

function describe(what: string, error: Error): ShardError {
  const code = error instanceof pg.DatabaseError ? (error.code ?? '') : null;
  // not an answer of the server's, or one that ends the session: the connection is gone, or not to be trusted
  const lost = code === null || /^(08|57P0)/.test(code);
  const retryable = lost || /^(40|53|55|57|58)/.test(code);
  const next =
    code === '53100'
      ? '; the disk of the database is full, free some space and it goes on'
      : retryable
        ? '; it is tried again'
        : '';
  return new ShardError(`cannot ${what}: ${error.message}${next}`, { cause: error, lost, retryable });
}
