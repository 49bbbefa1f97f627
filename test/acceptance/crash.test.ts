import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import {
  firing,
  killQuietly,
  resolved,
  runCommand,
  type SentAlert,
  type Service,
  startService,
  webhook,
} from '../fakes/service.ts';
import { openShop, payments, type Shop, see } from './shop.ts';

/** More for a long night: CRASH_ROUNDS=200. The seed of a failure repeats its kills, as far as timing allows. */
const rounds = Number(process.env.CRASH_ROUNDS ?? 8);
const seed = Number(process.env.CRASH_SEED ?? Date.now() % 1_000_000);

test(`nothing acknowledged is lost and nobody is paged twice, whenever it is killed (seed ${seed}, ${rounds} rounds)`, {
  timeout: 120_000 + rounds * 10_000,
}, async () => {
  const shop = await openShop({ database: false });
  const tocsin = await startService(shop.service());
  const random = mulberry32(seed);
  const sender = startSender(() => tocsin.url);

  for (let round = 0; round < rounds; round += 1) {
    await sleep(200 + random() * 1_200);
    const postmaster = tocsin.postmaster();
    // Every third time the database goes as well: before it, or after it.
    const database = round % 3 === 1 ? 'before' : round % 3 === 2 ? 'after' : 'stays';
    if (database === 'before' && postmaster) {
      killQuietly(postmaster, 'SIGKILL');
      await sleep(random() * 300);
    }
    await tocsin.kill();
    if (database === 'after' && postmaster) killQuietly(postmaster, 'SIGKILL');
    await tocsin.start();
  }
  const acknowledged = await sender.stop();
  expect(acknowledged.length).toBeGreaterThan(rounds);

  await tocsin.settled(60_000);
  const stored = new Map((await tocsin.alerts()).map((alert) => [alert.fingerprint, alert]));
  const lost = acknowledged.filter((alert) => !stored.has(alert.fingerprint));
  expect(lost.map(({ labels }) => labels.number)).toEqual([]);
  for (const alert of stored.values())
    expect([alert.labels.number, alert.incidentId !== null, alert.verdict !== null]).toEqual([
      alert.labels.number,
      true,
      true,
    ]);
  const ledger = await tocsin.ledger();
  expect(ledger).toMatchObject({ received: stored.size, failed: 0, quarantined: 0, inFlight: 0 });
  const standing = (await tocsin.incidents()).filter(({ mergedInto }) => mergedInto === null);
  expect(standing.reduce((sum, one) => sum + one.alertCount, 0)).toBe(stored.size);

  await delivered(tocsin);
  onePageEach(
    shop,
    standing.map(({ id }) => id),
  );
  // Slack has no idempotency key: each kill may fall between one send and its record, and repeats that one message.
  const messages = shop.slack.messages.filter(({ threadTs }) => threadTs === null);
  for (const { id, number } of standing)
    expect([id, messages.some(({ shown }) => shown.includes(`#${number} `))]).toEqual([id, true]);
  expect(messages.length - (await tocsin.incidents()).length).toBeLessThanOrEqual(rounds);

  await tocsin.deliver(webhook([...stored.values()].map(({ labels }) => resolved(firing(labels)))));
  await tocsin.settled(60_000);
  expect((await tocsin.incidents('?status=open')).map(({ number }) => number)).toEqual([]);
  await see(
    () => shop.pagerduty.alertsOf(payments.pagerduty).every(({ state }) => state === 'resolved'),
    () => 'PagerDuty still has open alerts',
    90_000,
  );
  expect(await tocsin.stop()).toBe(0);
  const verdict = await runCommand(['audit', 'verify'], { env: { TOCSIN_DATA: tocsin.dataDir } });
  expect(verdict).toMatchObject({ code: 0, err: '' });
});

test('escalation steps that fell into an outage are told once, as the newest one, within seconds of the restart', {
  timeout: 90_000,
}, async () => {
  const shop = await openShop();
  const steps = [
    { after: '0s', notify: ['team'] },
    { after: '3s', notify: ['person:ana'] },
    { after: '5s', notify: ['person:ben'] },
    { after: '5m', notify: ['person:ana'] },
  ];
  const tocsin = await startService(
    shop.service({
      'routing.yaml': {
        people: { ana: { slack: 'U0ANA' }, ben: { slack: 'U0BEN' } },
        routes: { default_team: 'payments', channels: ['slack'], escalation: 'default' },
        escalation_policies: { default: { steps } },
      },
    }),
  );
  await tocsin.deliver(webhook([firing({ alertname: 'HighErrorRate', service: 'checkout', severity: 'critical' })]));
  await shop.slack.expect(payments.slack, /HighErrorRate/);
  const [incident] = await tocsin.incidents();
  await tocsin.kill();
  await sleep(6_500);
  expect(shop.slack.messages).toHaveLength(1);

  await tocsin.start();
  await shop.slack.expect('U0BEN', /HighErrorRate/, { timeoutMs: 5_000 });
  const timeline = await tocsin.timeline(incident!.id);
  expect(timeline.filter(({ kind }) => kind === 'escalated')).toHaveLength(1);
  expect(timeline.find(({ kind }) => kind === 'escalation-skipped')?.text).toMatch(/step 2 .*unattended/);
  expect(shop.slack.messages.filter(({ to }) => to === 'U0ANA')).toEqual([]);
  expect((await tocsin.incident(incident!.id)).nextEscalation?.notify).toEqual(['person:ana']);
});

/** Posts numbered alerts one after another, each until it is accepted, as Alertmanager does. */
function startSender(url: () => string) {
  const acknowledged: SentAlert[] = [];
  let stopping = false;
  const running = (async () => {
    for (let number = 0; !stopping; number += 1) {
      const alert = firing(labelsOf(number));
      while (!stopping) {
        const status = await fetch(`${url()}/api/v1/webhooks/alertmanager`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(webhook([alert])),
          signal: AbortSignal.timeout(12_000),
        }).then(
          (response) => response.status,
          () => 0,
        );
        if (status === 200) {
          acknowledged.push(alert);
          break;
        }
        await sleep(50);
      }
      await sleep(20);
    }
  })();
  return {
    async stop(): Promise<SentAlert[]> {
      stopping = true;
      await running;
      return acknowledged;
    },
  };
}

/** Most belong to one of three services that fail; every twelfth is a story of its own. */
const labelsOf = (n: number): Record<string, string> =>
  n % 12 === 0
    ? {
        alertname: `Lone${n}`,
        service: `lone-${n}`,
        namespace: `ns-${n}`,
        cluster: `c-${n}`,
        severity: 'critical',
        number: String(n),
      }
    : {
        alertname: 'PodDown',
        service: ['checkout', 'payment', 'cart'][n % 3]!,
        severity: 'critical',
        namespace: 'shop',
        pod: `pod-${n}`,
        number: String(n),
      };

/** Waits until nothing waits in the outbox. */
async function delivered(tocsin: Service): Promise<void> {
  let waiting: unknown[] = [];
  const end = performance.now() + 90_000;
  do {
    waiting = (await tocsin.notifications('?state=waiting')).filter(({ kind }) => kind !== 'update');
    if (waiting.length > 0) await sleep(250);
  } while (waiting.length > 0 && performance.now() < end);
  expect(waiting).toEqual([]);
}

/** Each incident has exactly one page, whatever was repeated under its dedup key. */
function onePageEach(shop: Shop, ids: string[]): void {
  const pages = shop.pagerduty.events.filter(({ effect }) => effect === 'opened').map((event) => event.dedup_key);
  expect(pages.filter((id, n) => pages.indexOf(id) !== n)).toEqual([]);
  expect(ids.filter((id) => !pages.includes(id))).toEqual([]);
}

/** A small seeded generator (mulberry32): the same kills for the same seed. */
function mulberry32(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
