import { parentPort, workerData } from 'node:worker_threads';
import { type ConfigTransfer, fromTransfer } from '../../config/secrets.ts';
import { StreamFault } from '../../replay.ts';
import type { Side } from '../../replay-diff.ts';
import { runSide, type SideInput } from './side.ts';

/** One side of a comparison in a thread of its own. */
export type SideRequest = SideInput & { config: ConfigTransfer };
export type SideAnswer = { side: Side } | { fault: string };

const { config, ...input } = workerData as SideRequest;
const answer = (said: SideAnswer): void => parentPort!.postMessage(said);
try {
  answer({ side: await runSide(fromTransfer(config), input) });
} catch (error) {
  if (!(error instanceof StreamFault)) throw error;
  answer({ fault: error.message });
}
