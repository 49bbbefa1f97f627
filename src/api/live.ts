import type { Pool, PoolClient } from 'pg';

/** A change of an incident as `notify tocsin_incident` tells it. */
export type IncidentChange = { id: string; revision: number; status: string };

/**
 * One connection that listens for everybody: incident changes (`tocsin_incident`, JSON) and answered actions
 * (`tocsin_action`, the action's id). Comes back by itself when the database does.
 */
export type Live = {
  /** Calls back on each change; `null` means changes may have been missed (the connection was lost): look anew. */
  onIncident(listener: (change: IncidentChange | null) => void): () => void;
  /** Calls back once the action was answered; may never call (poll too). */
  onAction(id: string, listener: () => void): () => void;
  /** Ends the connection; listeners are not called any more. */
  stop(): Promise<void>;
};

type Log = { warn(fields: object, text: string): void };

/** Starts listening at once, in the background; never rejects. */
export function createLive(pool: Pool, log: Log): Live {
  const incidents = new Set<(change: IncidentChange | null) => void>();
  const actions = new Map<string, Set<() => void>>();
  let client: PoolClient | null = null;
  let timer: NodeJS.Timeout | null = null;
  let stopped = false;
  let losses = 0;

  const hear = (channel: string, payload: string): void => {
    if (channel === 'tocsin_action') {
      for (const listener of actions.get(payload) ?? []) listener();
      return;
    }
    const change = parseChange(payload);
    for (const listener of incidents) listener(change);
  };

  const lose = (lost: PoolClient, error: unknown): void => {
    if (client !== lost) return;
    client = null;
    lost.release(true);
    if (stopped) return;
    log.warn({ err: error }, 'the listening connection to the store was lost; live events pause until it is back');
    again();
  };

  const again = (): void => {
    // 250 ms, 500 ms, … at most 5 s: quick after a fail-over, gentle while the database is gone.
    const delay = Math.min(5_000, 250 * 2 ** Math.min(losses, 5));
    losses += 1;
    timer = setTimeout(() => void connect(), delay);
    timer.unref();
  };

  const connect = async (): Promise<void> => {
    let fresh: PoolClient | null = null;
    try {
      fresh = await pool.connect();
      const mine = fresh;
      mine.on('notification', (message) => hear(message.channel, message.payload ?? ''));
      mine.on('error', (error) => lose(mine, error));
      mine.on('end', () => lose(mine, new Error('connection ended')));
      await mine.query('listen tocsin_incident');
      await mine.query('listen tocsin_action');
      if (stopped) {
        mine.release(true);
        return;
      }
      client = mine;
      if (losses > 0) for (const listener of incidents) listener(null);
      losses = 0;
    } catch (error) {
      fresh?.release(true);
      if (stopped) return;
      if (losses === 0)
        log.warn({ err: error }, 'cannot listen on the store; live events pause until it can be reached');
      again();
    }
  };
  void connect();

  return {
    onIncident(listener) {
      incidents.add(listener);
      return () => void incidents.delete(listener);
    },
    onAction(id, listener) {
      const listeners = actions.get(id) ?? new Set();
      listeners.add(listener);
      actions.set(id, listeners);
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) actions.delete(id);
      };
    },
    async stop() {
      stopped = true;
      if (timer) clearTimeout(timer);
      const held = client;
      client = null;
      held?.release(true);
    },
  };
}

/** A payload that is not ours (anybody may notify) means no more than "look anew". */
function parseChange(payload: string): IncidentChange | null {
  try {
    const { id, revision, status } = JSON.parse(payload) as Record<string, unknown>;
    if (typeof id !== 'string' || typeof status !== 'string') return null;
    return { id, revision: Number(revision) || 0, status };
  } catch {
    return null;
  }
}
