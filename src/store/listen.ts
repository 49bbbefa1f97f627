import pg from 'pg';
import type { Log } from './types.ts';

/** Retry after a lost connection: quick at first, since a restart of the database takes a second or two. */
const RETRY_MS = [100, 250, 500, 1_000, 2_000];
/** A connection that only listens says nothing by itself; asking shows one that died in silence. */
const PROBE_MS = 15_000;

/**
 * Listens on its own connection and comes back by itself when it breaks. After each (re)connection every channel is called
 * once with an empty payload: what was sent in between is lost, so look. `onNotify` must not throw.
 */
export function listen(
  url: string,
  channels: string[],
  onNotify: (channel: string, payload: string) => void,
  log: Log,
): { close(): Promise<void> } {
  let client: pg.Client | null = null;
  let timer: NodeJS.Timeout | undefined;
  let probe: NodeJS.Timeout | undefined;
  let failures = 0;
  let closed = false;

  const connect = async () => {
    const next = new pg.Client({
      connectionString: url,
      application_name: 'tocsin-listen',
      connectionTimeoutMillis: 5_000,
      query_timeout: 10_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    });
    client = next;
    let over = false;
    const again = (error?: Error) => {
      if (over || closed) return;
      over = true;
      clearInterval(probe);
      next.end().catch(() => undefined);
      if (failures === 0)
        log.warn({ channels, error: error?.message }, 'lost the connection that listens; connecting anew');
      timer = setTimeout(connect, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
      failures += 1;
    };
    next.on('error', again);
    next.on('end', () => again());
    next.on('notification', ({ channel, payload }) => onNotify(channel, payload ?? ''));
    try {
      await next.connect();
      await next.query(channels.map((channel) => `listen ${pg.escapeIdentifier(channel)}`).join('; '));
      if (closed) return;
      failures = 0;
      probe = setInterval(() => next.query('select 1').catch(again), PROBE_MS);
      probe.unref();
      for (const channel of channels) onNotify(channel, '');
    } catch (error) {
      again(error as Error);
    }
  };
  void connect();

  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      clearInterval(probe);
      await client?.end().catch(() => undefined);
    },
  };
}
