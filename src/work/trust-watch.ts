import type { Pool } from 'pg';
import type { Config } from '../config/schema.ts';
import { imbalanceOf } from '../domain/ledger.ts';
import { lookEvery } from '../enrich/look-every.ts';
import { readAuditHead } from '../store/audit.ts';
import type { Inbox } from '../store/inbox.ts';
import { readLedger } from '../store/ledger.ts';
import type { Log } from '../store/types.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Owner } from './owner.ts';

export type TrustWatchDeps = {
  pool: Pool;
  owner: Pick<Owner, 'owns' | 'trip' | 'oldestInFlight'>;
  inbox: Pick<Inbox, 'stats'>;
  config: () => Config;
  metrics: Pick<Metrics, 'ledgerImbalance'>;
  log: Log;
  /** Epoch ms. */
  now: () => number;
};

/** One row of seven numbers and a walk over the incidents in memory: cheap enough to be near. */
const EVERY_MS = 5_000;
/** What a new owner finds waiting is no fault of its own: it gets this long to work it off. */
const CATCH_UP_MS = 30_000;
const HEAD_EVERY_MS = 10 * 60_000;

/**
 * Whether the service may go on holding things back: the ledger must balance and no change may wait for its verdict for too
 * long, else the kill switch trips, once for each time it begins. The end of the audit trail goes to the log now and
 * then, because a trail that was put back to an older copy is whole in itself and only differs from what was logged.
 */
export function createTrustWatch({ pool, owner, inbox, config, metrics, log, now }: TrustWatchDeps) {
  let ownsSince: number | null = null;
  let knownOff = 0;
  let wasLate = false;
  let head = '';
  let headAt = 0;

  async function look(): Promise<void> {
    if (!owner.owns()) {
      ownsSince = null;
      return;
    }
    ownsSince ??= now();
    const off = imbalanceOf(await readLedger(pool));
    metrics.ledgerImbalance.set({ check: 'sum' }, off);
    if (off !== 0 && off !== knownOff) {
      const reason = `the ledger does not balance: received differs from the sum of the others by ${off}`;
      log.error({ off }, `${reason}; please report this`);
      owner.trip('ledger', reason);
    }
    knownOff = off;
    latency();
    if (now() - headAt >= HEAD_EVERY_MS) await logHead();
  }

  function latency(): void {
    const limit = config().tocsin.kill_switch.latency;
    const inMemory = owner.oldestInFlight();
    const waiting = Math.max(inbox.stats().oldestAgeSeconds * 1_000, inMemory === null ? 0 : now() - inMemory);
    const late = limit > 0 && waiting > limit && ownsSince !== null && now() - ownsSince >= CATCH_UP_MS;
    if (late && !wasLate) {
      const reason = `a change has been waiting for its verdict for ${Math.round(waiting / 1_000)} s`;
      log.error({ waitingMs: waiting, limit }, reason);
      owner.trip('latency', reason);
    }
    wasLate = late;
  }

  async function logHead(): Promise<void> {
    headAt = now();
    const last = await readAuditHead(pool);
    if (last === null || last === head) return;
    head = last;
    log.info({ head }, 'audit trail head: keep it, `tocsin audit verify --head` compares');
  }

  const looking = lookEvery({
    every: () => EVERY_MS,
    wanted: () => true,
    look,
    onError: (error) => log.debug({ error: String(error) }, 'the trust watch could not look; it tries again'),
    now,
  });
  return {
    start: looking.start,
    async stop(): Promise<void> {
      await looking.stop();
      await logHead().catch(() => undefined);
    },
  };
}
