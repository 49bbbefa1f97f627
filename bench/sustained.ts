import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startService, webhook } from './running-service.ts';

/**
 * Sustained processing: how many alert changes a second go the whole road (webhook, durable inbox, correlation, assessment,
 * committed decision) on this machine, with the embedded PostgreSQL, the log channel and the load generator on the same
 * cores. Deliveries of 20 new alerts are posted over 8 connections as fast as they are taken; the clock stops when the ledger
 * has counted every alert and none is in flight. Then all of them resolve.
 */
const { values } = parseArgs({ options: { alerts: { type: 'string', default: '20000' } } });
const total = Number(values.alerts);
const shapes = [
  { name: '1 service, 20 rules', services: 1, rules: 20 },
  { name: '50 services, 50 rules', services: 50, rules: 50 },
  { name: '200 services, 200 rules', services: 200, rules: 200 },
];
const PER_DELIVERY = 20;

type Sizes = { received: number; inFlight: number };

async function phase(service: Awaited<ReturnType<typeof startService>>, bodies: Buffer[], expected: number) {
  const cpu = service.cpuSeconds();
  const begun = performance.now();
  let next = 0;
  const senders = Array.from({ length: 8 }, async () => {
    while (next < bodies.length) {
      const code = await service.post('/api/v1/webhooks/alertmanager', bodies[next++]!);
      if (code !== 200) throw new Error(`a delivery was answered ${code}`);
    }
  });
  await Promise.all(senders);
  const accepted = performance.now() - begun;
  for (;;) {
    const { received, inFlight } = (await service.ledger()) as Sizes;
    if (received >= expected && inFlight === 0) break;
    if (performance.now() - begun > 900_000)
      throw new Error(`not done within 15 min: ${received} of ${expected}, ${inFlight} in flight`);
    await sleep(50);
  }
  const seconds = (performance.now() - begun) / 1000;
  const after = service.cpuSeconds();
  return {
    seconds,
    accepted: accepted / 1000,
    service: after.service - cpu.service,
    database: after.database - cpu.database,
  };
}

console.log(`Sustained processing: ${total} alerts in deliveries of ${PER_DELIVERY}, log channel, embedded store.\n`);
console.log(
  '| shape | changes | changes/s | accepted in s | service CPU µs/change | database CPU µs/change | incidents |',
);
console.log('|---|---|---|---|---|---|---|');
for (const shape of shapes) {
  const service = await startService({
    'tocsin.yaml': {},
    'routing.yaml': { teams: { sre: {} }, routes: { default_team: 'sre', channels: ['log'] } },
  });
  const startsAt = new Date().toISOString();
  let done = 0;
  for (const status of ['firing', 'resolved'] as const) {
    const bodies = Array.from({ length: Math.ceil(total / PER_DELIVERY) }, (_, i) =>
      webhook(i * PER_DELIVERY, PER_DELIVERY, { ...shape, status, startsAt }),
    );
    done += total;
    const m = await phase(service, bodies, done);
    const { items } = await service.get<{ items: unknown[] }>('/api/v1/incidents?limit=500');
    console.log(
      `| ${shape.name}, ${status} | ${total} | ${Math.round(total / m.seconds)} | ${m.accepted.toFixed(1)} | ${Math.round((m.service * 1e6) / total)} | ${Math.round((m.database * 1e6) / total)} | ${items.length}${items.length === 500 ? '+' : ''} |`,
    );
  }
  await service.stop();
}
