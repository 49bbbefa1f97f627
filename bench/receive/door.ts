import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from '../../src/api/server.ts';
import { loadConfig } from '../../src/config/load.ts';
import { receiveRouter } from '../../src/receive/door.ts';
import { startEmbedded } from '../../src/store/embedded.ts';
import { createInbox } from '../../src/store/inbox.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openPool } from '../../src/store/pool.ts';
import { quarantineBody } from '../../src/store/quarantine.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

/**
 * The door alone, in a process of its own: express, authentication, parsing, the durable inbox, PostgreSQL (DATABASE_URL,
 * else an embedded one in a temporary folder). Nothing drains the inbox. Started by accept.ts, which it tells its URL.
 */
const dataDir = mkdtempSync(join(tmpdir(), 'tocsin-bench-'));
const empty = mkdtempSync(join(tmpdir(), 'tocsin-bench-config-'));
const log = createLog({ level: process.argv[2] ?? 'info' });
const quiet = createLog({ level: 'silent' });
const given = process.env.DATABASE_URL;
const embedded = given ? null : await startEmbedded({ dataDir, log: quiet });
const pool = openPool(given ?? embedded!.url, { max: 4, name: 'tocsin-bench' });
await migrate(pool, { log: quiet });
const inbox = createInbox(pool, { limit: 10_000_000, minFreeDisk: 0, dataDir, now: Date.now });
const loaded = loadConfig(empty, {});
if (!loaded.ok) throw new Error('the empty config tree is refused', { cause: loaded.faults });
const router = receiveRouter({
  inbox: { append: inbox.append, quarantineBody: (body) => quarantineBody(pool, body) },
  config: () => loaded.config,
  log,
  metrics: createMetrics(),
  onSlack: () => undefined,
  now: Date.now,
});
const server = await createServer({ routers: [router], listen: { host: '127.0.0.1', port: 0 }, log });
process.send?.({ url: server.url });

process.on('message', async (message) => {
  if (message === 'usage') {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpuSeconds: (user + system) / 1e6, rss: process.memoryUsage.rss() });
    return;
  }
  await server.close();
  await inbox.close();
  await pool.end();
  await embedded?.stop();
  for (const dir of [dataDir, empty]) rmSync(dir, { recursive: true, force: true });
  process.exit(0);
});
