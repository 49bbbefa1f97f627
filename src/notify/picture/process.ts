import type { ChartData } from './chart-data.ts';
import { renderChart } from './render.ts';

/** What the process that draws answers: the PNG, or why there is none. */
export type Painted = { png: Uint8Array } | { reason: string };

process.on('message', (data: ChartData) => {
  try {
    process.send!({ png: renderChart(data) } satisfies Painted);
  } catch (error) {
    process.send!({ reason: error instanceof Error ? error.message : String(error) } satisfies Painted);
  }
});
