import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import type { Ledger } from '../src/domain/ledger.ts';
import { fingerprint } from '../src/receive/fingerprint.ts';
import { startEmbedded } from '../src/store/embedded.ts';
import { agreement, inventedStorm, partitionOf, stormServices } from '../test/fakes/storm.ts';
import { startService } from './running-service.ts';

/**
 * Take-over in the middle of a storm: an invented storm (test/fakes/storm.ts: six regions, six faults at once, platform noise)
 * is posted to two replicas that share one PostgreSQL, alert by alert in turn, at the same pace each time. Once both live;
 * once the one that owns the shard gets kill -9 in the middle, and what it had been sent but not answered is sent again to the
 * other, as Alertmanager would. Compared: which alerts ended up together (F1 over pairs; 1 is the same incidents), the
 * ledger, and the time from the kill to the other's ownership and to the last alert decided. Process, socket and database are
 * real; only the storm is not.
 */
const { values } = parseArgs({
  options: {
    alerts: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '20' },
    seeds: { type: 'string', default: '1,2,3' },
  },
});
const count = Number(values.alerts);
const duration = Number(values.seconds) * 1_000;

type Service = Awaited<ReturnType<typeof startService>>;
type Alert = { fingerprint: string; incidentId: string | null };

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const dataDir = mkdtempSync(join(tmpdir(), 'tocsin-bench-'));
chmodSync(dataDir, 0o755);
const server = await startEmbedded({ dataDir, log: silent });

async function freshDatabase(name: string): Promise<string> {
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  return url.toString();
}

const metric = async (service: Service, name: string): Promise<number> => {
  const text = await (await fetch(`${service.url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
};

async function allAlerts(service: Service): Promise<Alert[]> {
  const alerts: Alert[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: { items: Alert[]; nextCursor: string | null } = await service.get(
      `/api/v1/alerts?limit=500${cursor ? `&cursor=${cursor}` : ''}`,
    );
    alerts.push(...page.items);
    cursor = page.nextCursor;
  }
  return alerts;
}

/** Posts the storm; `kill`: the owner dies when half of it is out. */
async function run(seed: number, kill: boolean) {
  const storm = inventedStorm(seed, count);
  const files = {
    'tocsin.yaml': {},
    'business-context.yaml': { services: stormServices(storm.topology) },
    'routing.yaml': { teams: { sre: {} }, routes: { default_team: 'sre', channels: ['log'] } },
  };
  const env = { DATABASE_URL: await freshDatabase(`storm_${seed}_${kill ? 'killed' : 'calm'}`) };
  const owner = await startService(files, env);
  const other = await startService(files, env, { standby: true });
  const last = storm.alerts.at(-1)!.after;
  const begun = performance.now();
  const startedAt = Date.now() - last;
  let living: Service[] = [owner, other];
  let killedAt = 0;
  let ownedAfter = Number.NaN;

  const send = async (n: number): Promise<void> => {
    const { labels, startsAfter } = storm.alerts[n]!;
    const alert = {
      status: 'firing',
      labels,
      annotations: { summary: `${labels.alertname} on ${labels.service}` },
      startsAt: new Date(startedAt + startsAfter).toISOString(),
      endsAt: '0001-01-01T00:00:00Z',
      generatorURL: '',
      fingerprint: fingerprint(labels),
    };
    const body = Buffer.from(JSON.stringify({ version: '4', groupKey: `{}:{n="${n}"}`, alerts: [alert] }));
    for (;;) {
      const target = living[n % living.length]!;
      const code = await target.post('/api/v1/webhooks/alertmanager', body).catch(() => 0);
      if (code === 200) return;
      await sleep(50);
    }
  };

  for (let n = 0; n < count; n += 1) {
    const due = (storm.alerts[n]!.after / last) * duration;
    const wait = due - (performance.now() - begun);
    if (wait > 1) await sleep(wait);
    if (kill && n === Math.floor(count / 2)) {
      living = [other];
      await owner.kill();
      killedAt = performance.now();
      void (async () => {
        while ((await metric(other, 'tocsin_shard_owner')) !== 1) await sleep(20);
        ownedAfter = performance.now() - killedAt;
      })();
    }
    // One at a time: the order of arrival is the order of the storm, whoever lives.
    await send(n);
  }
  let ledger: Ledger;
  for (;;) {
    ledger = await other.get<Ledger>('/api/v1/ledger');
    if (ledger.received >= count && ledger.inFlight === 0) break;
    await sleep(50);
  }
  const rebuild = await metric(other, 'tocsin_rebuild_seconds_sum');
  const partition = partitionOf(await allAlerts(other));
  if (!kill) await owner.stop();
  await other.stop();
  return { partition, ledger, ownedAfter, rebuild };
}

console.log(
  `Take-over: ${count} alerts in ${duration / 1000} s over two replicas, the owner killed (-9) after half of them.\n`,
);
console.log('| seed | incidents undisturbed | killed | agreement (pair F1) | owned after s | rebuild s | ledger |');
console.log('|---|---|---|---|---|---|---|');
let worst = 1;
for (const seed of values.seeds.split(',').map(Number)) {
  const calm = await run(seed, false);
  const killed = await run(seed, true);
  const same = agreement(calm.partition, killed.partition);
  worst = Math.min(worst, same);
  const { received, ...parts } = killed.ledger;
  const balanced = received === Object.values(parts).reduce((a, b) => a + b, 0) && received === count;
  console.log(
    `| ${seed} | ${calm.partition.length} | ${killed.partition.length} | ${same.toFixed(3)} | ${(killed.ownedAfter / 1000).toFixed(2)} | ${killed.rebuild.toFixed(3)} | ${balanced ? `balances at ${received}` : `OFF: ${JSON.stringify(killed.ledger)}`} |`,
  );
  if (!balanced) process.exitCode = 1;
}
await server.stop();
rmSync(dataDir, { recursive: true, force: true });
if (worst < 0.95) process.exitCode = 1;
