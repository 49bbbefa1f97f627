import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { firing, type SentAlert, type Service, startService, webhook, writeTree } from '../fakes/service.ts';
import { until } from '../fakes/until.ts';
import { openShop, payments, type Shop } from './shop.ts';

const minute = { timeout: 90_000 };
const numbered = (n: number) =>
  firing({ alertname: 'PodDown', service: 'checkout', severity: 'critical', namespace: 'shop', pod: `pod-${n}` });

test(
  'SIGTERM under load: it answers what it has taken, exits 0 within 10 s, and nothing taken is lost',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service());
    // A channel that hangs must not hold the exit.
    shop.pagerduty.fail({ do: 'hang' });
    const taken: SentAlert[] = [];
    const statuses = new Set<number>();
    let [next, stopping] = [0, false];
    const senders = Array.from({ length: 16 }, async () => {
      while (!stopping) {
        const alert = numbered(next++);
        const answer = await tocsin.post('/api/v1/webhooks/alertmanager', webhook([alert])).catch(() => null);
        if (answer) statuses.add(answer.status);
        if (answer?.status === 200) taken.push(alert);
        if (answer === null) await sleep(50);
      }
    });
    await until(
      () => taken.length > 200,
      () => `only ${taken.length} taken`,
      30_000,
    );
    const begun = performance.now();
    expect(await tocsin.signal('SIGTERM')).toBe(0);
    expect(performance.now() - begun).toBeLessThan(10_000);
    stopping = true;
    await Promise.all(senders);
    expect([...statuses].filter((status) => status !== 200 && status !== 503)).toEqual([]);

    shop.pagerduty.recover();
    await tocsin.start();
    await tocsin.settled();
    const stored = new Set((await tocsin.alerts()).map(({ fingerprint }) => fingerprint));
    expect(taken.filter(({ fingerprint }) => !stored.has(fingerprint))).toEqual([]);
    expect(await tocsin.ledger()).toMatchObject({ received: stored.size });
    const [incident] = await tocsin.incidents();
    expect((await shop.pagerduty.expectTrigger(payments.pagerduty, null, 20_000)).dedup_key).toBe(incident!.id);
    expect(shop.slack.messages.filter(({ threadTs }) => threadTs === null)).toHaveLength(1);
  },
);

const hashOf = async (tocsin: Service): Promise<string> =>
  /tocsin_config_info\{hash="(\w+)"\} 1/.exec((await tocsin.ask('/metrics')).text)![1]!;

/** The routing tree with the team in another Slack channel. */
const movedTo = (shop: Shop, channel: string) => ({
  'routing.yaml': {
    ...(shop.service().config['routing.yaml'] as object),
    teams: { payments: { slack: channel } },
  },
});

test(
  'a bad tree is refused whole and said so, the last good one stays; a good one counts at once, however it is announced',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service());
    const good = await hashOf(tocsin);
    expect(await tocsin.metric('tocsin_config_last_reload_successful')).toBe(1);

    writeTree(tocsin.configDir, { 'routing.yaml': { ...movedTo(shop, '#elsewhere')['routing.yaml'], routs: {} } });
    const refused = await tocsin.post('/-/reload', '');
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect(refused.text).toMatch(/routing\.yaml.*routs.*routes/s);
    expect(await tocsin.metric('tocsin_config_last_reload_successful')).toBe(0);
    expect(await hashOf(tocsin)).toBe(good);
    await tocsin.deliver(webhook([firing({ alertname: 'StillThere', service: 'checkout', severity: 'critical' })]));
    await shop.slack.expect(payments.slack, /StillThere/);

    writeTree(tocsin.configDir, movedTo(shop, '#moved'));
    await until(
      async () => (await hashOf(tocsin)) !== good,
      () => 'the changed file was not noticed',
      20_000,
    );
    expect(await tocsin.metric('tocsin_config_last_reload_successful')).toBe(1);
    await tocsin.deliver(
      webhook([firing({ alertname: 'Moved', service: 'archive', severity: 'critical', namespace: 'x', cluster: 'x' })]),
    );
    await shop.slack.expect('#moved', /Moved/);

    const moved = await hashOf(tocsin);
    writeTree(tocsin.configDir, movedTo(shop, '#again'));
    process.kill(tocsin.pid, 'SIGHUP');
    await until(
      async () => (await hashOf(tocsin)) !== moved,
      () => 'SIGHUP was not heard',
      20_000,
    );
    const again = await hashOf(tocsin);
    writeFileSync(join(tocsin.configDir, 'routing.yaml'), JSON.stringify(movedTo(shop, '#third')['routing.yaml']));
    expect((await tocsin.post('/-/reload', '')).status).toBe(200);
    expect(await hashOf(tocsin)).not.toBe(again);
  },
);
