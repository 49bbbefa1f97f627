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
  const { alerts: acknowledged, notes } = await sender.stop();
  expect(acknowledged.length).toBeGreaterThan(rounds);

  await tocsin.settled(60_000);
  const stored = new Map((await tocsin.alerts()).map((alert) => [alert.fingerprint, alert]));
  const lost = acknowledged.filter((alert) => !stored.has(alert.fingerprint));
  expect(lost.map(({ labels }) => labels.number)).toEqual([]);
  const wrong = acknowledged.filter(
    (alert) => alert.status === 'resolved' && stored.get(alert.fingerprint)?.status !== 'resolved',
  );
  expect(wrong.map(({ labels }) => labels.number)).toEqual([]);
  for (const alert of stored.values())
    expect([alert.labels.number, alert.incidentId !== null, alert.verdict !== null]).toEqual([
      alert.labels.number,
      true,
      true,
    ]);
  const ledger = await tocsin.ledger();
  const ended = [...stored.values()].filter(({ status }) => status === 'resolved').length;
  expect(ledger).toMatchObject({ received: stored.size + ended, failed: 0, quarantined: 0, inFlight: 0 });
  const said = (await tocsin.timeline('1'))
    .filter(({ kind }) => kind === 'note')
    .map(({ text }) => text.replace('ana: ', ''));
  expect(said.filter((text, n) => said.indexOf(text) !== n)).toEqual([]);
  expect(notes.filter((text) => !said.includes(text))).toEqual([]);
  const standing = (await tocsin.incidents()).filter(({ mergedInto }) => mergedInto === null);
  expect(standing.reduce((sum, one) => sum + one.alertCount, 0)).toBe(stored.size);

  await delivered(tocsin);
  // What was over before PagerDuty had heard of it wakes nobody.
  onePageEach(
    shop,
    standing.filter(({ status }) => status !== 'resolved').map(({ id }) => id),
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

test('an escalation step that falls on the very moment of a kill is told, and decided once', {
  timeout: 120_000,
}, async () => {
  const shop = await openShop();
  const steps = [
    { after: '0s', notify: ['team'] },
    { after: '3s', notify: ['person:ana'] },
  ];
  const tocsin = await startService(
    shop.service({
      'routing.yaml': {
        routes: { default_team: 'payments', channels: ['log', 'email'], escalation: 'default' },
        escalation_policies: { default: { steps } },
      },
    }),
  );
  const random = mulberry32(seed);
  const kills = 3;
  for (let n = 0; n < kills; n += 1) {
    const name = `Lone${n}`;
    await tocsin.deliver(webhook([firing({ alertname: name, service: name, severity: 'critical', cluster: name })]));
    const incident = await tocsin.expectIncident((one) => one.services.includes(name), name);
    const due = Date.parse((await tocsin.incident(incident.id)).startedAt) + 3_000;
    await sleep(Math.max(0, due - Date.now() - 100 + random() * 400));
    await tocsin.kill();
    await tocsin.start();
    await shop.smtp.expect('ana@example.com', new RegExp(name), 15_000);
    expect((await tocsin.timeline(incident.id)).filter(({ kind }) => kind === 'escalated')).toHaveLength(1);
  }
  const mails = shop.smtp.mails.filter(({ to }) => to.includes('ana@example.com'));
  expect(mails.length).toBeLessThanOrEqual(2 * kills);
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

/**
 * Posts numbered alerts one after another, each until it is accepted, as Alertmanager does; every fifth resolves at once. Now
 * and then it writes a note on the first incident, with a key, until it is told that the note is stored.
 */
function startSender(url: () => string) {
  const acknowledged = new Map<string, SentAlert>();
  const notes: string[] = [];
  let stopping = false;

  async function insist(path: string, body: unknown, headers: Record<string, string> = {}): Promise<boolean> {
    while (!stopping) {
      const status = await fetch(url() + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(12_000),
      }).then(
        (response) => response.status,
        () => 0,
      );
      if (status >= 200 && status < 300) return true;
      await sleep(50);
    }
    return false;
  }
  async function tell(alert: SentAlert): Promise<void> {
    if (await insist('/api/v1/webhooks/alertmanager', webhook([alert]))) acknowledged.set(alert.fingerprint, alert);
  }
  const running = (async () => {
    for (let number = 0; !stopping; number += 1) {
      const alert = firing(labelsOf(number));
      await tell(alert);
      if (number % 5 === 4) await tell(resolved(alert));
      const text = `note ${number}`;
      if (
        number % 25 === 24 &&
        (await insist('/api/v1/incidents/1/note', { by: 'ana', text }, { 'idempotency-key': text }))
      )
        notes.push(text);
      await sleep(20);
    }
  })();
  return {
    /** What was acknowledged, in the last state of each alert that was. */
    async stop(): Promise<{ alerts: SentAlert[]; notes: string[] }> {
      stopping = true;
      await running;
      return { alerts: [...acknowledged.values()], notes };
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
