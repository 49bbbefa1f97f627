import type pg from 'pg';
import type { Config } from '../config/schema.ts';
import type { AuditKey } from '../store/audit.ts';
import { runRetention } from '../store/retention.ts';
import type { Log } from '../store/types.ts';

export type JobsOptions = {
  /** Connection string: the job engine keeps its own two connections, and its own schema `jobs`. */
  url: string;
  pool: pg.Pool;
  /** The config in force when a job runs. */
  config: () => Config;
  auditKey: AuditKey;
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

/**
 * Background work that nobody waits for, one run at a time over all replicas. pg-boss costs 17 MB and 0.4 s at the first
 * start (measured on 2 cores), hence it is loaded here, after the service is up, and not at the top of the file.
 */
export async function startJobs({ url, pool, config, auditKey, log, now }: JobsOptions): Promise<Jobs> {
  const { PgBoss } = await import('pg-boss');
  const boss = new PgBoss({ connectionString: url, schema: 'jobs', max: 2, application_name: 'tocsin-jobs' });
  boss.on('error', (error) => log.warn({ error: error.message }, 'the job engine had an error; it goes on'));
  const stopping = new AbortController();
  await boss.start();
  // exclusive: a run that takes longer than an hour is not joined by a second one; a killed one is retried within a minute
  await boss.createQueue('retention', {
    policy: 'exclusive',
    retryLimit: 2,
    expireInSeconds: 6 * 3600,
    heartbeatSeconds: 30,
  });
  await boss.work('retention', { pollingIntervalSeconds: 10 }, async () => {
    const began = now();
    const removed = await runRetention(pool, config().tocsin.retention, began, { auditKey, signal: stopping.signal });
    if (Object.values(removed).some((count) => count > 0)) {
      log.info({ removed, tookMs: now() - began }, 'removed what is older than its retention');
    }
  });
  await boss.schedule('retention', RETENTION_CRON);
  return {
    async stop() {
      stopping.abort();
      await boss.stop({ graceful: true, timeout: 3_000 });
    },
  };
}
