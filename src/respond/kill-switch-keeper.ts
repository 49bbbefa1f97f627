import { randomUUID } from 'node:crypto';
import { type FSWatcher, readFileSync, renameSync, rmSync, watch, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Action } from '../domain/action.ts';
import type { Log, NewInboxItem } from '../store/types.ts';

/** A turn that the store has not got yet. */
export type HeldTurn = { by: string; origin: Action['origin']; reason: string | null; at: number };

export type KillSwitchKeeper = {
  /**
   * Turns it on from here: held in this process and in the file at once, whatever the database does, and put into the inbox
   * as soon as that takes it. Resolves when the inbox has it; rejects when it did not take it now (it stays held).
   */
  hold(action: Action): Promise<void>;
  /** What is held here and not stored yet; null when nothing is. */
  held(): HeldTurn | null;
  /** Takes back what is held here and not stored yet; false when nothing was. */
  withdraw(): boolean;
  /** A file that somebody else made and that is still there; its path, or null. While it is there the switch stays on. */
  foreignFile(): string | null;
  /**
   * To be awaited before a delivery is appended: a held turn goes first, so that it holds from the very next delivery that is
   * accepted. Rejects while it cannot; the delivery is then refused with 503.
   */
  settled(): Promise<void>;
  stop(): void;
};

/** Its presence in TOCSIN_DATA turns the kill switch on. */
export const KILL_SWITCH_FILE = 'kill-switch';
/** For what no notification reports (network mounts), and how often an unstored turn is tried again. */
const LOOK_EVERY_MS = 250;

/**
 * Looks after the file `kill-switch` in `dataDir` and after turns that the store cannot take yet. The file is the durable
 * half: written by us (a line of JSON that says so) while a turn is held, removed once the inbox has it; made by somebody
 * else it means "on" for as long as it is there.
 */
export function createKillSwitchKeeper({
  dataDir,
  append,
  log,
  now,
}: {
  dataDir: string;
  append: (item: NewInboxItem) => Promise<unknown>;
  log: Log;
  /** Epoch ms. */
  now: () => number;
}): KillSwitchKeeper {
  const file = join(dataDir, KILL_SWITCH_FILE);
  /** Turns that are not in the inbox yet, in their order. */
  let waiting: { action: Action; at: number }[] = [];
  let flushing: Promise<void> | null = null;
  let foreign = false;
  let stopped = false;
  let watcher: FSWatcher | null = null;

  function flush(): Promise<void> {
    flushing ??= (async () => {
      while (waiting.length > 0) {
        const { action } = waiting[0]!;
        const body = Buffer.from(JSON.stringify(action));
        await append({ kind: 'action', source: 'tocsin', receivedAt: now(), trace: action.id, body });
        waiting = waiting.filter((one) => one.action !== action);
      }
      if (content() === 'ours') rmSync(file, { force: true });
    })().finally(() => {
      flushing = null;
    });
    return flushing;
  }

  function content(): 'none' | 'ours' | 'foreign' {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      // Something is there that cannot be read (a folder, no permission): when in doubt, on.
      return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'none' : 'foreign';
    }
    return heldIn(text) === null ? 'foreign' : 'ours';
  }

  function enqueue(action: Action): void {
    // the same request sent twice while the store is away
    if (!waiting.some((one) => one.action.id === action.id)) waiting.push({ action, at: now() });
  }

  const fromFile = (on: boolean): Action => {
    const by = `file on ${hostname()}`;
    return {
      id: `kill-switch-file-${randomUUID()}`,
      do: 'kill-switch',
      incident: null,
      by,
      origin: 'file',
      body: { on, text: `${file} ${on ? 'is there' : 'was removed'}` },
    };
  };

  function look(): void {
    if (stopped) return;
    const found = content();
    if (found === 'foreign' && !foreign) {
      foreign = true;
      log.warn({ file }, 'kill switch: the file is there, everything is passed through');
      enqueue(fromFile(true));
    } else if (found !== 'foreign' && foreign) {
      foreign = false;
      log.warn({ file }, 'kill switch: the file is gone');
      const unstored = waiting.find(({ action }) => action.origin === 'file' && action.body.on === true);
      if (unstored) waiting = waiting.filter((one) => one !== unstored);
      else enqueue(fromFile(false));
    }
    if (waiting.length > 0 || found === 'ours') flush().catch(() => undefined);
  }

  const before = readHeld(file);
  if (before) enqueue(before);
  look();
  try {
    watcher = watch(dataDir, { persistent: false }, (_event, name) => {
      if (name === KILL_SWITCH_FILE) look();
    });
    watcher.on('error', () => watcher?.close());
  } catch {
    watcher = null; // the look by time goes on alone
  }
  const timer = setInterval(look, LOOK_EVERY_MS);
  timer.unref();

  return {
    async hold(action) {
      enqueue(action);
      if (content() !== 'foreign') writeHeld(file, action);
      log.warn({ by: action.by, origin: action.origin }, 'kill switch: turned on, held here until the store has it');
      await flush();
    },
    held() {
      const turn = waiting.find(({ action }) => action.body.on === true);
      if (!turn) return null;
      const { by, origin, body } = turn.action;
      return { by, origin, reason: typeof body.text === 'string' ? body.text : null, at: turn.at };
    },
    withdraw() {
      const kept = waiting.filter(({ action }) => action.origin === 'file' || action.body.on !== true);
      const withdrawn = kept.length < waiting.length;
      waiting = kept;
      if (content() === 'ours') rmSync(file, { force: true });
      return withdrawn;
    },
    foreignFile: () => (content() === 'foreign' ? file : null),
    settled: () => (waiting.length === 0 ? Promise.resolve() : flush()),
    stop() {
      stopped = true;
      clearInterval(timer);
      watcher?.close();
    },
  };
}

/** Our own file is one line of JSON: the turn that waits. */
function heldIn(text: string): Action | null {
  try {
    const { pending } = JSON.parse(text) as { pending?: Action };
    return pending?.do === 'kill-switch' && typeof pending.id === 'string' ? pending : null;
  } catch {
    return null;
  }
}

function readHeld(file: string): Action | null {
  try {
    return heldIn(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

/** Whole or not at all: a half-written file would be taken for somebody else's. */
function writeHeld(file: string, action: Action): void {
  const draft = `${file}.${process.pid}.draft`;
  writeFileSync(draft, `${JSON.stringify({ pending: action })}\n`, { mode: 0o600 });
  renameSync(draft, file);
}
