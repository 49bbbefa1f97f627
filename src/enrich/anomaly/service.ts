import { Worker } from 'node:worker_threads';
import type { AnomalyPoint } from './detector.ts';
import type { AnomalyModel } from './model.ts';
import type { ScoreReply, ScoreRequest } from './worker.ts';

/** `busy`: the queue is full; `gave-up`: the caller's signal fired first; `failed`: the thread broke, see `because`. */
export type ScoreOutcome =
  | { status: 'scored'; points: AnomalyPoint[] }
  | { status: 'busy' }
  | { status: 'gave-up' }
  | { status: 'stopped' }
  | { status: 'failed'; because: string };

export type AnomalyService = {
  /**
   * Scores a series of [epoch ms, value], oldest first, off this thread, and gives its points from `since` (epoch ms) on.
   * What is `extra` waits behind the rest and has half of the places. Resolves always, never rejects.
   */
  score(
    series: readonly (readonly [t: number, value: number])[],
    options?: { signal?: AbortSignal; since?: number; extra?: boolean },
  ): Promise<ScoreOutcome>;
  /** Ends the thread; what waits resolves as `stopped`. */
  stop(): Promise<void>;
};

type Job = { request: ScoreRequest; extra: boolean; settle(outcome: ScoreOutcome): void };

/**
 * The detector in a thread of its own, started with the first series. At most `size` series are held (the one being
 * scored included); more are refused at once, because a storm must not pile up work that nobody waits for any more. A
 * thread that dies fails the series it had and is started anew for the next.
 */
export function createAnomalyService({ size, model }: { size: number; model: AnomalyModel }): AnomalyService {
  const waiting: Job[] = [];
  let current: Job | null = null;
  let worker: Worker | null = null;
  let stopped = false;
  let lastId = 0;

  const finish = (outcome: ScoreOutcome): void => {
    const job = current;
    current = null;
    job?.settle(outcome);
    next();
  };
  const start = (): Worker => {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const started = new Worker(new URL(`./worker.${extension}`, import.meta.url), { workerData: { model } });
    started.on('message', (reply: ScoreReply) => {
      if (reply.id !== current?.request.id) return;
      finish(
        'points' in reply ? { status: 'scored', points: reply.points } : { status: 'failed', because: reply.error },
      );
    });
    const lost = (because: string): void => {
      if (worker !== started) return;
      worker = null;
      finish({ status: 'failed', because });
    };
    started.on('error', (error) => lost(`The anomaly thread failed: ${error}`));
    started.on('exit', (code) => lost(`The anomaly thread ended with code ${code}.`));
    return started;
  };
  const next = (): void => {
    if (current || stopped) return;
    const job = waiting.shift();
    if (!job) {
      // Idle, it must not keep the process alive.
      worker?.unref();
      return;
    }
    current = job;
    worker ??= start();
    worker.ref();
    const { times, values } = job.request;
    worker.postMessage(job.request, [times.buffer as ArrayBuffer, values.buffer as ArrayBuffer]);
  };

  return {
    score(series, { signal, since = Number.NEGATIVE_INFINITY, extra = false } = {}) {
      if (stopped) return Promise.resolve({ status: 'stopped' });
      if (signal?.aborted) return Promise.resolve({ status: 'gave-up' });
      if (waiting.length + (current ? 1 : 0) >= (extra ? size / 2 : size)) return Promise.resolve({ status: 'busy' });
      return new Promise((resolve) => {
        lastId += 1;
        const times = Float64Array.from(series, ([t]) => t);
        const values = Float64Array.from(series, ([, value]) => value);
        const giveUp = (): void => {
          const at = waiting.indexOf(job);
          if (at >= 0) waiting.splice(at, 1);
          resolve({ status: 'gave-up' });
        };
        const job: Job = {
          request: { id: lastId, times, values, since },
          extra,
          settle(outcome) {
            signal?.removeEventListener('abort', giveUp);
            resolve(outcome);
          },
        };
        signal?.addEventListener('abort', giveUp, { once: true });
        const behind = extra ? -1 : waiting.findIndex((other) => other.extra);
        waiting.splice(behind < 0 ? waiting.length : behind, 0, job);
        next();
      });
    },
    async stop() {
      stopped = true;
      const ending = worker;
      worker = null;
      for (const job of [...(current ? [current] : []), ...waiting.splice(0)]) job.settle({ status: 'stopped' });
      current = null;
      await ending?.terminate();
    },
  };
}
