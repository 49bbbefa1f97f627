import { hostname } from 'node:os';
import type { Pool } from 'pg';
import { type ConfigChange, configChanges } from '../config/changes.ts';
import type { Config } from '../config/schema.ts';
import { lookEvery } from '../enrich/look-every.ts';
import { type AuditKey, lastConfigHash, recordAudit } from '../store/audit.ts';
import { readConfig } from '../store/configs.ts';
import type { Log } from '../store/types.ts';

/** Who had the tree read anew: a signal, a change of the files, or a token of the API. */
export type ReloadedBy = 'SIGHUP' | 'file' | { token: string | null };

/** Tried again at this pace while the store is away; the order stays. */
const EVERY_MS = 5_000;

/**
 * Writes every change of the config into the audit trail: by whom, hash and settings before and after. Replicas that read the
 * same files record it once, and what was changed while nothing ran is recorded at the next start.
 */
export function createConfigTrail({
  pool,
  auditKey,
  log,
  now,
}: {
  pool: Pool;
  auditKey: AuditKey;
  log: Log;
  /** Epoch ms. */
  now: () => number;
}) {
  type Change = { before: Config | null; after: Config; who: string; why: string; at: number };
  const waiting: Change[] = [];

  async function flush(): Promise<void> {
    for (let change = waiting[0]; change; change = waiting[0]) {
      await record(change);
      waiting.shift();
    }
  }

  async function record({ before, after, who, why, at }: Change): Promise<void> {
    const last = await lastConfigHash(pool);
    if (last === after.hash) return;
    const known = before ?? (last === null ? null : await readConfig(pool, last));
    const changes = known ? withoutPeople(configChanges(known, after)) : [];
    await recordAudit(pool, auditKey, [
      {
        at,
        who,
        what: 'config',
        target: 'config',
        before: {
          hash: known?.hash ?? last,
          settings: changes.map(({ file, path, before: was }) => ({ file, path, was })),
        },
        after: { hash: after.hash, settings: changes.map(({ file, path, after: is }) => ({ file, path, is })) },
        why,
      },
    ]);
  }

  const looking = lookEvery({
    every: () => EVERY_MS,
    wanted: () => waiting.length > 0,
    look: flush,
    onError: (error) => log.warn({ err: error }, 'a change of the config is not in the audit trail yet; tried again'),
    now,
  });

  return {
    start(config: Config): void {
      waiting.push({ before: null, after: config, who: `start on ${hostname()}`, why: 'start', at: now() });
      looking.start();
    },
    changed(before: Config, after: Config, by: ReloadedBy): void {
      if (before.hash === after.hash) return;
      const who = typeof by === 'string' ? `${by} on ${hostname()}` : (by.token ?? 'api');
      waiting.push({ before, after, who, why: typeof by === 'string' ? by : 'POST /-/reload', at: now() });
    },
    async stop(): Promise<void> {
      await looking.stop();
      await flush().catch((error) =>
        log.warn({ err: error }, 'a change of the config is not in the audit trail; the next start records it'),
      );
    },
  };
}

/** Who the people are and when they are on call is personal: the trail says that it changed, not how. */
function withoutPeople(changes: ConfigChange[]): ConfigChange[] {
  const kept: ConfigChange[] = [];
  const touched = new Set<string>();
  for (const change of changes) {
    const part = change.file === 'routing.yaml' ? /^(people|schedules)\b/.exec(change.path)?.[0] : undefined;
    if (part === undefined) kept.push(change);
    else touched.add(part);
  }
  return [...kept, ...[...touched].map((path) => ({ file: 'routing.yaml', path, before: '…', after: '…' }))];
}
