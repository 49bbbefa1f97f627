import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Config } from '../config/schema.ts';
import type { AuditKey } from '../store/audit.ts';
import { recountInFlight } from '../store/ledger.ts';
import { runRetention } from '../store/retention.ts';
import type { Log } from '../store/types.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { runDailyDigest } from './daily-digest.ts';

export type JobsOptions = {
  /** Connection string: the job engine keeps its own two connections, and its own schema `jobs`. */
  url: string;
  pool: pg.Pool;
  /** The config in force when a job runs. */
  config: () => Config;
  auditKey: AuditKey;
  /** Called when what the ledger says is in flight is not what the alerts say. */
  onImbalance: (reason: string) => void;
  metrics: Pick<Metrics, 'jobs' | 'ledgerImbalance'>;
  log: Log;
  /** Epoch ms. */
  now: () => number;
};

export type Jobs = {
  /** Lets a running job stop between two batches, and ends. */
  stop(): Promise<void>;
};

/** Every hour at 17 past: away from the full hour, when everybody else's jobs run. */
const RETENTION_CRON = '17 * * * *';
const RECOUNT_CRON = '41 * * * *';
/** The time of day is the config's, which a reload changes: it is looked at each minute, in memory until it is due. */
const DIGEST_CRON = '* * * * *';
/** A difference that is gone after this was no fault: an alert that ended fired again before its end was judged. */
const RECOUNT_AGAIN_MS = 10_000;

/**
 * Background work that nobody waits for, one run at a time over all replicas. pg-boss costs 17 MB and 0.4 s at the first
 * start (measured on 2 cores), hence it is loaded here, after the service is up, and not at the top of the file.
 */
export async function startJobs(options: JobsOptions): Promise<Jobs> {
  const { url, pool, config, auditKey, log, now, metrics } = options;
  const { PgBoss } = await import('pg-boss');
  const boss = new PgBoss({ connectionString: url, schema: 'jobs', max: 2, application_name: 'tocsin-jobs' });
  boss.on('error', (error) => log.warn({ error: error.message }, 'the job engine had an error; it goes on'));
  const stopping = new AbortController();
  await boss.start();
  /** One run at a time over all replicas; a killed one is retried within a minute. */
  async function every(name: string, cron: string, expireInSeconds: number, run: () => Promise<void>): Promise<void> {
    // exclusive: a run that takes longer than its pace is not joined by a second one
    await boss.createQueue(name, { policy: 'exclusive', retryLimit: 2, expireInSeconds, heartbeatSeconds: 30 });
    await boss.work(name, { pollingIntervalSeconds: 10 }, async () => {
      try {
        await run();
        metrics.jobs.inc({ job: name, result: 'done' });
      } catch (error) {
        metrics.jobs.inc({ job: name, result: 'failed' });
        log.error({ err: error, job: name }, 'a background job failed; it is tried again');
        throw error;
      }
    });
    await boss.schedule(name, cron);
  }

  await every('retention', RETENTION_CRON, 6 * 3600, async () => {
    const began = now();
    const removed = await runRetention(pool, config().tocsin.retention, began, { auditKey, signal: stopping.signal });
    if (Object.values(removed).some((count) => count > 0)) {
      log.info({ removed, tookMs: now() - began }, 'removed what is older than its retention');
    }
  });
  await every('recount', RECOUNT_CRON, 600, () => recount(options, stopping.signal));
  await every('digest', DIGEST_CRON, 300, async () => {
    const teams = await runDailyDigest(pool, config(), now());
    if (teams > 0) log.info({ teams }, 'the daily digest of what was held back is on its way');
  });
  return {
    async stop() {
      stopping.abort();
      await boss.stop({ graceful: true, timeout: 3_000 });
    },
  };
}

/** Counts the changes in flight from the alerts themselves; a difference that stays means that something was lost. */
async function recount({ pool, metrics, log, onImbalance }: JobsOptions, signal: AbortSignal): Promise<void> {
  const look = async () => {
    const { ledger, counted } = await recountInFlight(pool);
    return ledger - counted;
  };
  let off = await look();
  if (off !== 0) {
    await sleep(RECOUNT_AGAIN_MS, undefined, { signal }).catch(() => {});
    const again = await look();
    off = again === off ? off : 0;
  }
  metrics.ledgerImbalance.set({ check: 'recount' }, off);
  if (off === 0) return;
  const reason = `the ledger says ${Math.abs(off)} ${off > 0 ? 'more' : 'fewer'} changes are in flight than the alerts do`;
  log.error({ off }, `${reason}; please report this`);
  onImbalance(reason);
}
