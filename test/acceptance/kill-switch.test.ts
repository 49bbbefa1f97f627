import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { firing, resolved, runCommand, type Service, startService, webhook } from '../fakes/service.ts';
import { startProxy } from '../fakes/service-proxy.ts';
import { until } from '../fakes/until.ts';
import { openShop, payments } from './shop.ts';

const minute = { timeout: 120_000 };
/** One rule on many clusters, so that each is an incident of its own. */
const chatty = (cluster: string) =>
  firing({ alertname: 'Chatty', service: 'checkout', severity: 'warning', namespace: cluster, cluster });
const active = {
  'tocsin.yaml': { suppress: { mode: 'active' } },
  'suppression.yaml': { noise: [{ name: 'chatty', match: ['alertname="Chatty"'], reason: 'known', for: '2h' }] },
};
const post = (tocsin: Service, body: unknown) => tocsin.post('/api/v1/webhooks/alertmanager', body);
const state = async (tocsin: Service) => (await tocsin.ask('/api/v1/kill-switch')).body;
const turnedTo = (tocsin: Service, on: boolean) =>
  until(
    async () => {
      const now = await state(tocsin);
      return now.on === on && now.pending === false;
    },
    () => `the switch does not turn ${on ? 'on' : 'off'}. ${tocsin.tail()}`,
    20_000,
  );

/** The rule has fired before, and what it says is held back from now on. */
async function knownAndHeld(tocsin: Service, shop: Awaited<ReturnType<typeof openShop>>): Promise<void> {
  const first = chatty('first');
  await tocsin.deliver(webhook([first]));
  await shop.slack.expect(payments.slack, /Chatty/);
  await tocsin.deliver(webhook([resolved(first)]));
  await tocsin.deliver(webhook([chatty('held')]));
  await tocsin.expectIncident((one) => one.decision.verdict === 'suppress', 'is held back');
}

test(
  'thrown while the database is gone it holds from the next delivery that is accepted, and is on record',
  minute,
  async () => {
    const shop = await openShop();
    const database = new URL(shop.database!.url);
    const wire = await startProxy({ host: database.hostname, port: Number(database.port) });
    database.port = String(wire.port);
    const tocsin = await startService(shop.service(active, { env: { DATABASE_URL: database.toString() } }));
    await knownAndHeld(tocsin, shop);
    const sentBefore = shop.slack.messages.length;

    await wire.refuse();
    const thrown = await tocsin.post('/api/v1/kill-switch', { on: true, by: 'ana', text: 'it hides things' });
    expect(thrown.status).toBe(202);
    expect(thrown.body).toMatchObject({ on: true, by: 'ana', pending: true });
    expect(await state(tocsin)).toMatchObject({ on: true, by: 'ana', origin: 'api', pending: true });
    expect(await tocsin.metric('tocsin_kill_switch')).toBe(1);
    expect(existsSync(join(tocsin.dataDir, 'kill-switch'))).toBe(true);
    expect((await post(tocsin, webhook([chatty('refused')]))).status).toBe(503);

    await wire.restore();
    await until(
      async () => (await post(tocsin, webhook([chatty('let-through')]))).status === 200,
      () => `it does not recover. ${tocsin.tail()}`,
      30_000,
    );
    const through = await shop.slack.expect(payments.slack, /Kill switch on/, { timeoutMs: 20_000 });
    expect(through.shown).toMatch(/Chatty/);
    // the one that was held back goes out too
    await until(
      () => shop.slack.messages.length >= sentBefore + 2,
      () => 'what was held back stays held back',
      20_000,
    );
    expect(await state(tocsin)).toMatchObject({ on: true, by: 'ana', reason: 'it hides things', pending: false });
    expect(existsSync(join(tocsin.dataDir, 'kill-switch'))).toBe(false);
    expect((await tocsin.ask('/readyz')).body).toMatchObject({ status: 'degraded' });

    expect((await tocsin.post('/api/v1/kill-switch', { on: false, by: 'ana' })).status).toBe(200);
    await turnedTo(tocsin, false);
    await tocsin.settled();
    await tocsin.stop();
    const env = { DATABASE_URL: shop.database!.url, TOCSIN_DATA: tocsin.dataDir };
    const trail = (await runCommand(['audit', 'export'], { env })).out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const turns = trail.filter((entry) => entry.what === 'kill-switch');
    expect(turns).toMatchObject([
      { who: 'ana', why: 'api', after: { on: true, text: 'it hides things' } },
      { who: 'ana', after: { on: false } },
    ]);
    // what was held back is on record, once for the incident
    expect(trail.filter((entry) => entry.what === 'suppress').length).toBeGreaterThanOrEqual(1);
    const head = tocsin.log.map((line) => line.head).findLast((one) => typeof one === 'string');
    expect(head).toBeDefined();
    expect((await runCommand(['audit', 'verify', '--head', String(head)], { env })).code).toBe(0);
  },
);

test('a signal turns it on, a file does for as long as it is there, and both survive a restart', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service(active));
  process.kill(tocsin.pid, 'SIGUSR2');
  await turnedTo(tocsin, true);
  expect(await state(tocsin)).toMatchObject({ origin: 'signal', pending: false });
  await tocsin.kill();
  await tocsin.start();
  expect(await state(tocsin)).toMatchObject({ on: true, origin: 'signal' });
  expect((await tocsin.post('/api/v1/kill-switch', { on: false, by: 'ana' })).status).toBe(200);
  await turnedTo(tocsin, false);

  const file = join(tocsin.dataDir, 'kill-switch');
  writeFileSync(file, 'ana: too quiet\n');
  await turnedTo(tocsin, true);
  expect(await tocsin.post('/api/v1/kill-switch', { on: false, by: 'ana' })).toMatchObject({
    status: 409,
    body: { detail: expect.stringContaining(file) },
  });
  rmSync(file);
  await turnedTo(tocsin, false);
  expect(await state(tocsin)).toMatchObject({ origin: 'file' });
});

test(
  'a ledger that does not balance trips it: everything goes out, the default team is told, and a person turns it off',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service(active));
    await knownAndHeld(tocsin, shop);
    await tocsin.settled();
    // as if a change had been counted as received and then lost
    await shop.database!.pool.query("update ledger set count = count + 1 where name = 'received'");
    await turnedTo(tocsin, true);
    expect(await state(tocsin)).toMatchObject({
      by: 'tocsin',
      origin: 'trip',
      reason: expect.stringContaining('by 1'),
    });
    await shop.slack.expect(payments.slack, /kill switch tripped \(ledger\)/, { timeoutMs: 20_000 });
    expect(await tocsin.metric('tocsin_ledger_imbalance')).toBe(1);
    expect(await tocsin.metric('tocsin_kill_switch_trips_total')).toBe(1);

    expect((await tocsin.post('/api/v1/kill-switch', { on: false, by: 'ana' })).status).toBe(200);
    await tocsin.expectIncident(
      (one) => one.title.includes('kill switch tripped') && one.status === 'resolved',
      'is over',
    );
    // known by now, the same difference does not trip it again
    await new Promise((resolve) => setTimeout(resolve, 7_000));
    expect(await state(tocsin)).toMatchObject({ on: false, by: 'ana' });
  },
);

test('a file beside a replica that only receives reaches the one that works', minute, async () => {
  const shop = await openShop();
  const works = await startService(shop.service(active, { env: { TOCSIN_ROLE: 'work' } }));
  const receives = await startService(shop.service(active, { env: { TOCSIN_ROLE: 'receive' } }));
  const first = chatty('first');
  await receives.deliver(webhook([first]));
  await shop.slack.expect(payments.slack, /Chatty/);
  writeFileSync(join(receives.dataDir, 'kill-switch'), '');
  for (const replica of [receives, works]) await turnedTo(replica, true);
  await receives.deliver(webhook([chatty('let-through')]));
  await shop.slack.expect(payments.slack, /Kill switch on/, { timeoutMs: 20_000 });
  rmSync(join(receives.dataDir, 'kill-switch'));
  await turnedTo(works, false);
});
