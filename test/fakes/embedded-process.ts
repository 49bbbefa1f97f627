import { startEmbedded } from '../../src/store/embedded.ts';
import { createInbox } from '../../src/store/inbox.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openPool } from '../../src/store/pool.ts';
import { quiet } from './postgres.ts';

/**
 * A process that uses the embedded server, to be killed by tests: `embedded-process.ts DATADIR hold|append`. Its first line
 * says what it got; with `append` each further line is the trace of a delivery whose commit was acknowledged.
 */
const [dataDir, mode] = process.argv.slice(2) as [string, 'hold' | 'append'];
const embedded = await startEmbedded({ dataDir, log: quiet });
if (mode === 'append') {
  const pool = openPool(embedded.url, { max: 4, name: 'append' });
  await migrate(pool, { log: quiet });
  const inbox = createInbox(pool, { limit: 1_000_000, minFreeDisk: 0, dataDir, now: Date.now });
  process.stdout.write(`${JSON.stringify({ adopted: embedded.adopted })}\n`);
  const body = Buffer.alloc(2_000, 'x');
  const append = async (trace: string) => {
    try {
      await inbox.append({ kind: 'alertmanager', source: 'test', receivedAt: Date.now(), trace, body });
      process.stdout.write(`${trace}\n`);
    } catch {
      // refused while the database is away: nothing was promised, and the sender would try again
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const sender = async (name: number) => {
    for (let n = 0; ; n += 1) await append(`${process.pid}-${name}-${n}`);
  };
  await Promise.all([1, 2, 3, 4].map(sender));
} else {
  process.stdout.write(`${JSON.stringify({ url: embedded.url, adopted: embedded.adopted })}\n`);
  process.stdin.resume();
  process.stdin.on('end', async () => {
    await embedded.stop();
    process.exit(0);
  });
}
