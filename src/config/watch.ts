import { createHash } from 'node:crypto';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import type { Fault } from './fault.ts';
import { importedFolder, layerFiles } from './import/layer.ts';
import type { LoadResult } from './load.ts';
import { type Config, fileNames } from './schema.ts';

/** An editor writes a file in several steps, and several files one after the other. */
const settleMs = 200;
/** For what no notification reports: network and container mounts, and a folder that is replaced whole. */
const pollMs = 2_000;

/**
 * Calls `onChange` when what the files of the tree say has changed: written in place, renamed into place, or by the swap of
 * the `..data` link under a Kubernetes ConfigMap. Touching a file without changing it does not count. Never throws: a
 * folder that is gone is looked for until it is back. Secret files are not watched; SIGHUP reads them anew.
 */
export function watchConfig(dir: string, { onChange }: { onChange: () => void }): { close(): void } {
  let known = contents(dir);
  let timer: NodeJS.Timeout | null = null;
  let watcher: FSWatcher | null = null;

  const look = () => {
    timer = null;
    const now = contents(dir);
    if (now === known) return;
    known = now;
    onChange();
  };
  const soon = () => {
    timer ??= setTimeout(look, settleMs).unref();
  };
  try {
    watcher = watch(dir, { persistent: false }, soon);
    // The folder was removed or the watch limit is reached: the poll goes on alone.
    watcher.on('error', () => watcher?.close());
  } catch {
    watcher = null;
  }
  const poll = setInterval(() => {
    if (contents(dir) !== known) soon();
  }, pollMs).unref();
  return {
    close() {
      watcher?.close();
      clearInterval(poll);
      if (timer) clearTimeout(timer);
    },
  };
}

/** A digest of what all files of the tree say; a file that cannot be read counts by its error. */
function contents(dir: string): string {
  const hash = createHash('sha256');
  for (const name of fileNames) {
    hash.update(`\0${name}\0`).update(readOrError(join(dir, name)));
  }
  const folder = join(dir, importedFolder);
  for (const name of layerFiles(folder)) hash.update(`\0${name}\0`).update(readOrError(join(folder, name)));
  return hash.digest('hex');
}

function readOrError(file: string): Buffer | string {
  try {
    return readFileSync(file);
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

/** `changed` is false when the new tree says the same as the old one (its secrets are read anew all the same). */
type ReloadResult = { ok: true; config: Config; changed: boolean; warnings: Fault[] } | { ok: false; faults: Fault[] };

/** The config in force. `current` is always a whole, good tree. */
export type ConfigHolder = {
  readonly current: Config;
  /** What the last reload said; null before the first one. For the log, `/metrics` and `POST /-/reload`. */
  readonly lastReload: ReloadResult | null;
  /** Reads the tree anew. A tree with any fault is refused whole, and the one in force stays. */
  reload(): ReloadResult;
  /** Calls back with every tree that comes into force, from then on; gives the function that ends it. */
  subscribe(listener: (config: Config) => void): () => void;
};

/**
 * Holds the config in force. All see the new tree before any listener hears of it. A listener that throws does not keep the
 * others from hearing; what was thrown is thrown again at the end.
 */
export function createConfigHolder(initial: Config, load: () => LoadResult): ConfigHolder {
  let current = initial;
  let lastReload: ReloadResult | null = null;
  const listeners = new Set<(config: Config) => void>();

  const announce = (config: Config) => {
    const errors: unknown[] = [];
    for (const listener of [...listeners]) {
      // A listener that reloads has told everybody of a newer tree: nobody may hear of this one after it.
      if (current !== config) break;
      try {
        listener(config);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'the new config is in force, but a listener failed');
  };

  return {
    get current() {
      return current;
    },
    get lastReload() {
      return lastReload;
    },
    reload() {
      const loaded = load();
      if (!loaded.ok) {
        lastReload = { ok: false, faults: loaded.faults };
        return lastReload;
      }
      const result: ReloadResult = {
        ok: true,
        config: loaded.config,
        changed: loaded.config.hash !== current.hash,
        warnings: loaded.warnings,
      };
      lastReload = result;
      current = loaded.config;
      announce(loaded.config);
      return result;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
