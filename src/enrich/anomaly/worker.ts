import { parentPort, workerData } from 'node:worker_threads';
import { type AnomalyPoint, scoreSeries } from './detector.ts';
import type { AnomalyModel } from './model.ts';

/**
 * A series to score, as two arrays that cross the thread boundary without copying. Only points from `since` (epoch ms) on are
 * answered: copying 1,440 of them into the asking thread would cost it some milliseconds a series.
 */
export type ScoreRequest = { id: number; times: Float64Array; values: Float64Array; since: number };
export type ScoreReply = { id: number; points: AnomalyPoint[] } | { id: number; error: string };

/** The other end of `createAnomalyService`: one series after the other, until the thread is terminated. */
const { model } = workerData as { model: AnomalyModel };

function answer({ id, times, values, since }: ScoreRequest): ScoreReply {
  try {
    return {
      id,
      points: scoreSeries(
        Array.from(times, (t, i) => [t, values[i]!] as const),
        model,
      ).filter(({ t }) => t >= since),
    };
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

parentPort!.on('message', (request: ScoreRequest) => parentPort!.postMessage(answer(request)));
