import { expect, test } from 'vitest';
import { firing, type SentAlert, type Service, startService, webhook } from '../fakes/service.ts';
import { until } from '../fakes/until.ts';
import { openShop, payments, type Shop, see } from './shop.ts';

const minute = { timeout: 120_000 };

/** Three outages in three places, and a few lone alerts, in the order they arrive. */
function stream(): SentAlert[] {
  const outage = (place: string, services: string[], count: number) =>
    Array.from({ length: count }, (_, n) =>
      firing({
        alertname: ['HighErrorRate', 'SlowRequests'][n % 2]!,
        service: services[n % services.length]!,
        severity: 'critical',
        namespace: place,
        cluster: place,
        pod: `${place}-${n}`,
      }),
    );
  const lone = Array.from({ length: 4 }, (_, n) =>
    firing({
      alertname: `Odd${n}`,
      service: `odd-${n}`,
      severity: 'warning',
      namespace: `odd-${n}`,
      cluster: `odd-${n}`,
    }),
  );
  const [a, b, c] = [
    outage('north', ['payment-db', 'payment', 'checkout'], 18),
    outage('south', ['cart', 'checkout'], 18),
    outage('west', ['search'], 18),
  ];
  return Array.from({ length: 18 }, (_, n) => [a![n]!, b![n]!, c![n]!, ...(lone[n] ? [lone[n]!] : [])]).flat();
}

/** Which alerts ended up together, whatever the incidents are called. */
async function partition(tocsin: Service): Promise<string[]> {
  const groups = Map.groupBy(await tocsin.alerts(), (alert) => alert.incidentId ?? 'none');
  return [...groups.values()]
    .map((group) =>
      group
        .map(({ fingerprint }) => fingerprint)
        .sort()
        .join(' '),
    )
    .sort();
}

/** Every standing incident has one page and one message, and nobody else has any. */
async function toldOnce(shop: Shop, tocsin: Service): Promise<void> {
  const incidents = await tocsin.incidents();
  const posted = () => shop.slack.messages.filter(({ threadTs }) => threadTs === null).length;
  const paged = () => shop.pagerduty.events.filter(({ effect }) => effect === 'opened').map((event) => event.dedup_key);
  await see(
    () => paged().length >= incidents.length && posted() >= incidents.length,
    () => `${paged().length} pages and ${posted()} messages for ${incidents.length} incidents`,
    30_000,
  );
  await until(
    async () => (await tocsin.notifications('?state=waiting')).length === 0,
    () => 'something still waits',
    30_000,
  );
  expect(paged().sort()).toEqual(incidents.map(({ id }) => id).sort());
  expect(posted()).toBe(incidents.length);
}

const owner = async (services: Service[]): Promise<Service | undefined> => {
  for (const one of services) if ((await one.metric('tocsin_shard_owner').catch(() => 0)) === 1) return one;
  return undefined;
};

test(
  'two replicas, or a receiver and a worker, or a replica killed in the middle come to what one process comes to',
  minute,
  async () => {
    const alerts = stream();
    const alone = await openShop();
    const one = await startService(alone.service());
    for (const alert of alerts) await one.deliver(webhook([alert]));
    expect(await one.settled()).toMatchObject({ received: alerts.length });
    const expected = await partition(one);
    await toldOnce(alone, one);
    await one.stop();
    expect(expected.length).toBeLessThan(10);

    const apart = await openShop();
    const receiver = await startService(apart.service({}, { env: { TOCSIN_ROLE: 'receive' } }));
    const worker = await startService(apart.service({}, { env: { TOCSIN_ROLE: 'work' } }));
    for (const alert of alerts) await receiver.deliver(webhook([alert]));
    expect(await receiver.settled()).toMatchObject({ received: alerts.length });
    expect(await partition(receiver)).toEqual(expected);
    await toldOnce(apart, receiver);
    await Promise.all([receiver.stop(), worker.stop()]);

    const together = await openShop();
    const replicas = await Promise.all([startService(together.service()), startService(together.service())]);
    const first = await until(
      () => owner(replicas),
      () => 'nobody owns the shard',
    );
    const second = replicas.find((replica) => replica !== first)!;
    for (const [n, alert] of alerts.entries()) {
      if (n === Math.floor(alerts.length / 2)) {
        await first.kill();
        // From here on the other one receives alone, and takes the work over within seconds.
      }
      const target = n < Math.floor(alerts.length / 2) ? replicas[n % 2]! : second;
      await target.deliver(webhook([alert]));
    }
    const killed = performance.now();
    await until(
      async () => (await second.metric('tocsin_shard_owner')) === 1,
      () => `nobody took over. ${second.tail()}`,
      20_000,
    );
    expect(performance.now() - killed).toBeLessThan(10_000);
    expect(await second.settled()).toMatchObject({ received: alerts.length });
    expect(await partition(second)).toEqual(expected);
    await see(
      () => together.pagerduty.events.length > 0,
      () => 'nobody was paged',
    );
    const ids = (await second.incidents()).map(({ id }) => id).sort();
    await until(
      async () => (await second.notifications('?state=waiting')).length === 0,
      () => 'something still waits',
      30_000,
    );
    const paged = together.pagerduty.events.filter(({ effect }) => effect === 'opened').map((event) => event.dedup_key);
    expect(paged.sort()).toEqual(ids);
    expect(together.pagerduty.alertsOf(payments.pagerduty)).toHaveLength(ids.length);
    // The process was killed: one message may have been sent whose record was not, and only one.
    const posted = together.slack.messages.filter(({ threadTs }) => threadTs === null).length;
    expect(posted - ids.length).toBeLessThanOrEqual(1);
  },
);

test(
  'a burst into both replicas at once makes no incident twice, and an acknowledgement at one is known at the other',
  minute,
  async () => {
    const shop = await openShop();
    const replicas = await Promise.all([startService(shop.service()), startService(shop.service())]);
    const alerts = stream();
    // HA twins: each alert is posted to both replicas, at the same time.
    await Promise.all(alerts.flatMap((alert) => replicas.map((replica) => replica.deliver(webhook([alert])))));
    expect(await replicas[0]!.settled()).toMatchObject({ received: alerts.length });
    expect(await replicas[1]!.ledger()).toMatchObject({ received: alerts.length, inFlight: 0 });
    await toldOnce(shop, replicas[1]!);

    const [incident] = await replicas[0]!.incidents();
    const answers = await Promise.all(
      replicas.map((replica) => replica.action(incident!.id, 'acknowledge', { by: 'ana' })),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    for (const replica of replicas) expect((await replica.incident(incident!.id)).status).toBe('acknowledged');
    await shop.pagerduty.expectAcknowledge(payments.pagerduty);
    expect(shop.pagerduty.events.filter(({ event_action: action }) => action === 'acknowledge')).toHaveLength(1);
    expect((await replicas[0]!.timeline(incident!.id)).filter(({ kind }) => kind === 'acknowledged')).toHaveLength(1);
  },
);

test('an owner that is frozen is put out, and does no harm when it wakes up', minute, async () => {
  const shop = await openShop();
  const replicas = await Promise.all([startService(shop.service()), startService(shop.service())]);
  const frozen = await until(
    () => owner(replicas),
    () => 'nobody owns the shard',
  );
  const other = replicas.find((replica) => replica !== frozen)!;
  const lone = (name: string) =>
    firing({ alertname: name, service: name, severity: 'critical', namespace: name, cluster: name });
  await frozen.deliver(webhook([lone('Before')]));
  await shop.slack.expect(payments.slack, /Before/);
  // Recorded as well: a message sent but not yet recorded is sent again by the next one.
  await until(
    async () => (await other.notifications('?state=waiting')).length === 0,
    () => 'not recorded',
  );

  process.kill(frozen.pid, 'SIGSTOP');
  try {
    await other.deliver(webhook([lone('During')]));
    await shop.slack.expect(payments.slack, /During/, { timeoutMs: 40_000 });
    expect(await other.metric('tocsin_shard_owner')).toBe(1);
  } finally {
    process.kill(frozen.pid, 'SIGCONT');
  }
  await frozen.deliver(webhook([lone('After')]));
  await shop.slack.expect(payments.slack, /After/, { timeoutMs: 20_000 });
  expect(await frozen.settled()).toMatchObject({ received: 3, failed: 0 });
  await toldOnce(shop, other);
  expect(await ownersAmong(replicas)).toBe(1);
});

const ownersAmong = async (services: Service[]): Promise<number> => {
  const each = await Promise.all(services.map((one) => one.metric('tocsin_shard_owner')));
  return each.filter((value) => value === 1).length;
};
