import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startService, webhook } from './running-service.ts';

/**
 * Resident memory of the service's process (both threads; the database is a process of its own): idle 15 s after the start,
 * and 20 s after so many active alerts on 200 services were taken in and decided.
 */
const { values } = parseArgs({ options: { alerts: { type: 'string', default: '100000' } } });
const total = Number(values.alerts);
const service = await startService({
  'tocsin.yaml': {},
  'routing.yaml': { teams: { sre: {} }, routes: { default_team: 'sre', channels: ['log'] } },
});
await sleep(15_000);
console.log('| state | resident MB |\n|---|---|');
console.log(`| idle | ${service.rssMb().toFixed(0)} |`);
let next = 0;
let peak = 0;
await Promise.all(
  Array.from({ length: 4 }, async () => {
    while (next < total) {
      const first = next;
      next += 100;
      const code = await service.post('/webhook', webhook(first, 100, { services: 200, rules: 200 }));
      if (code !== 200) throw new Error(`a delivery was answered ${code}`);
    }
  }),
);
for (;;) {
  peak = Math.max(peak, service.rssMb());
  const { received, inFlight } = (await service.ledger()) as { received: number; inFlight: number };
  if (received >= total && inFlight === 0) break;
  await sleep(500);
}
await sleep(20_000);
console.log(`| peak while taking in ${total} alerts | ${peak.toFixed(0)} |`);
console.log(`| ${total} active alerts | ${service.rssMb().toFixed(0)} |`);
await service.stop();
