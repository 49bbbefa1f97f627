import { parentPort, workerData } from 'node:worker_threads';
import { type AnomalyPoint, scoreSeries } from './detector.ts';
import type { AnomalyModel } from './model.ts';

/** A series to score, as two arrays that cross the thread boundary without copying. */
export type ScoreRequest = { id: number; times: Float64Array; values: Float64Array };
export type ScoreReply = { id: number; points: AnomalyPoint[] } | { id: number; error: string };

/** The other end of `createAnomalyService`: one series after the other, until the thread is terminated. */
const { model } = workerData as { model: AnomalyModel };

function answer({ id, times, values }: ScoreRequest): ScoreReply {
  try {
    return {
      id,
      points: scoreSeries(
        Array.from(times, (t, i) => [t, values[i]!] as const),
        model,
      ),
    };
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

parentPort!.on('message', (request: ScoreRequest) => parentPort!.postMessage(answer(request)));
