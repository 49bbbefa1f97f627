import type { Pool } from 'pg';
import { listen } from '../store/listen.ts';
import type { Log } from '../store/types.ts';

/** A change of an incident as `notify tocsin_incident` tells it. */
export type IncidentChange = { id: string; revision: number; status: string };

/**
 * One connection that listens for everybody: incident changes (`tocsin_incident`, JSON) and answered actions
 * (`tocsin_action`, the action's id). Comes back by itself when the database does.
 */
export type Live = {
  /** Calls back on each change; `null` means changes may have been missed (the connection was lost): look anew. */
  onIncident(listener: (change: IncidentChange | null) => void): () => void;
  /** Calls back once the action was answered, or when that may have been missed; may never call (poll too). */
  onAction(id: string, listener: () => void): () => void;
  /** Ends the connection; listeners are not called any more. */
  stop(): Promise<void>;
};

/** Starts listening at once, in the background, on a connection of its own to the pool's database; never rejects. */
export function createLive(pool: Pool, log: Log): Live {
  const incidents = new Set<(change: IncidentChange | null) => void>();
  const actions = new Map<string, Set<() => void>>();
  const url = pool.options.connectionString;
  if (!url) throw new Error('createLive() needs a pool that was opened with a connection string (openPool)');

  const listening = listen(
    url,
    ['tocsin_incident', 'tocsin_action'],
    (channel, payload) => {
      if (channel === 'tocsin_incident') {
        const change = parseChange(payload);
        for (const listener of incidents) listener(change);
        return;
      }
      // An empty payload: the connection is back, and any of the answers may have come meanwhile.
      const meant = payload === '' ? [...actions.values()] : [actions.get(payload) ?? []];
      for (const listeners of meant) for (const listener of listeners) listener();
    },
    log,
  );

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
    stop: () => listening.close(),
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
