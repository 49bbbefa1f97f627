import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';

/**
 * Preloaded into the service by bench/event-loop.ts: how much CPU a thread used at most between two turns of a timer of 5 ms,
 * from `PROBE_AFTER_MS` on, left in `PROBE_DIR` when the thread ends. What others do on the machine does not count.
 */
const { PROBE_DIR, PROBE_AFTER_MS } = process.env;
const EVERY_MS = 5;

const begun = performance.now();
let before = process.threadCpuUsage();
let longest = { cpuMs: 0, atSecond: 0 };
setInterval(() => {
  const { user, system } = process.threadCpuUsage(before);
  before = process.threadCpuUsage();
  const [cpuMs, since] = [(user + system) / 1000, performance.now() - begun];
  if (since > Number(PROBE_AFTER_MS) && cpuMs > longest.cpuMs) longest = { cpuMs, atSecond: Math.round(since / 1000) };
}, EVERY_MS).unref();
process.on('exit', () => writeFileSync(join(PROBE_DIR!, `${threadId}.json`), JSON.stringify(longest)));
