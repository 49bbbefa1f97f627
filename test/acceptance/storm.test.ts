import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { assertBalanced, firing, resolved, type SentAlert, startService, webhook } from '../fakes/service.ts';
import { openShop, payments, see } from './shop.ts';

const minute = { timeout: 90_000 };
const captures = join(import.meta.dirname, '../fixtures/captures');

test(
  'a storm over services that call each other is one incident with one message; a stranger keeps its own',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service());
    const labels = { namespace: 'shop', cluster: 'prod-1' };
    const pods = (alertname: string, service: string, severity: string, count: number): SentAlert[] =>
      Array.from({ length: count }, (_, i) =>
        firing({ alertname, service, severity, ...labels, pod: `${service}-5d9c7b-${i}${service.length}x` }),
      );
    const groups = [
      pods('PostgresDown', 'payment-db', 'critical', 1),
      pods('HighErrorRate', 'payment', 'critical', 4),
      pods('UpstreamTimeouts', 'payment', 'warning', 4),
      pods('HighErrorRate', 'checkout', 'critical', 6),
      pods('SlowRequests', 'checkout', 'warning', 6),
    ];
    const stranger = firing({
      alertname: 'BackupTooOld',
      service: 'archive',
      severity: 'warning',
      namespace: 'backup',
      cluster: 'office',
    });

    // As Alertmanager does: each group when it begins, and the whole group again with each news in it.
    for (const group of groups) {
      for (let n = 1; n <= group.length; n += 2) await tocsin.deliver(webhook(group.slice(0, n)));
      await tocsin.deliver(webhook(group));
      await sleep(300);
    }
    await tocsin.deliver(webhook([stranger]));

    const alerts = groups.flat();
    const storm = await tocsin.expectIncident(
      (one) => one.alertCount === alerts.length && one.services.length === 3,
      `holds all ${alerts.length} alerts`,
    );
    expect([...storm.services].sort()).toEqual(['checkout', 'payment', 'payment-db']);
    const own = await tocsin.expectIncident((one) => one.services.includes('archive'), 'of the stranger');
    expect(own.alertCount).toBe(1);

    const incidents = await tocsin.incidents();
    const standing = incidents.filter(({ mergedInto }) => mergedInto === null);
    expect(standing.map(({ id }) => id).sort()).toEqual([storm.id, own.id].sort());
    const posted = () => shop.slack.messages.filter(({ threadTs }) => threadTs === null);
    await see(
      () => posted().length === incidents.length,
      () => `${posted().length} messages for ${incidents.length} incidents`,
    );
    const edits = shop.slack.calls.filter(({ method }) => method === 'chat.update');
    expect(edits.length).toBeLessThan(10);
    const message = await shop.slack.expect(
      payments.slack,
      new RegExp(`${alerts.length} alerts|${alerts.length} firing`),
    );
    const paged = () => shop.pagerduty.alertsOf(payments.pagerduty).filter(({ state }) => state === 'triggered');
    await see(
      () =>
        paged()
          .map(({ dedupKey }) => dedupKey)
          .sort()
          .join() === [storm.id, own.id].sort().join(),
      () => `paged: ${JSON.stringify(paged())}`,
    );

    for (const group of [...groups, [stranger]]) await tocsin.deliver(webhook(group.map(resolved)));
    await tocsin.expectIncident((one) => one.id === storm.id && one.status === 'resolved', 'is over');
    await see(
      () => /resolved/i.test(message.shown),
      () => `not edited: ${message.shown}`,
    );
    await see(
      () => shop.pagerduty.alertsOf(payments.pagerduty).every(({ state }) => state === 'resolved'),
      () => JSON.stringify(shop.pagerduty.alertsOf(payments.pagerduty)),
    );
    const ledger = await tocsin.settled();
    expect(ledger).toMatchObject({ received: 2 * (alerts.length + 1), quarantined: 0, failed: 0 });
    expect(posted()).toHaveLength(incidents.length);
  },
);

type Body = { status: string; alerts: SentAlert[] };
const bodies = readdirSync(captures)
  .filter((name) => name.endsWith('.json'))
  .sort()
  .map((name) => {
    const text = readFileSync(join(captures, name), 'utf8');
    return { name, text, source: `capture-${name.slice(0, 2)}`, body: JSON.parse(text) as Body };
  });

test(
  'every captured body is taken byte for byte, each alert is accounted for and explained, and a repeat is no news',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service());
    expect(bodies).toHaveLength(16);
    const accepted: Record<string, unknown> = {};
    for (const { name, text, source } of bodies) accepted[name] = (await tocsin.deliver(text, source)).body;
    expect(accepted).toEqual(
      Object.fromEntries(bodies.map(({ name, body }) => [name, { accepted: body.alerts.length, quarantined: 0 }])),
    );

    const sent = bodies.flatMap(({ source, body }) => body.alerts.map((alert) => ({ source, alert })));
    const ledger = await tocsin.settled();
    expect(ledger).toMatchObject({ received: sent.length, quarantined: 0, failed: 0, suppressed: 0 });

    const stored = new Map((await tocsin.alerts()).map((alert) => [`${alert.source}/${alert.fingerprint}`, alert]));
    expect(stored.size).toBe(sent.length);
    for (const { source, alert } of sent) {
      const known = stored.get(`${source}/${alert.fingerprint}`);
      expect(known).toMatchObject({ status: alert.status, labels: alert.labels });
      expect(known!.annotations).toEqual(alert.annotations);
      expect(Date.parse(known!.startsAt)).toBe(Math.floor(Date.parse(alert.startsAt)));
      expect(known!.incidentId === null).toBe(alert.status === 'resolved');
    }

    const incidents = await tocsin.incidents();
    const fired = sent.filter(({ alert }) => alert.status === 'firing');
    expect(incidents.reduce((sum, one) => sum + one.alertCount, 0)).toBe(fired.length);
    for (const { source, alert } of fired.filter((_, n) => n % 25 === 0)) {
      const known = stored.get(`${source}/${alert.fingerprint}`)!;
      const answer = await tocsin.explain(alert.fingerprint, source);
      expect(answer).toMatchObject({ fingerprint: alert.fingerprint, source, incidentId: known.incidentId });
      expect(answer.grouped.text.length).toBeGreaterThan(0);
      expect(answer.decided.verdict).toBe(known.verdict);
    }

    const messages = () => shop.slack.messages.filter(({ threadTs }) => threadTs === null).length;
    await see(
      () => messages() === incidents.length,
      () => `${messages()} messages for ${incidents.length} incidents`,
      30_000,
    );
    for (const { text, source } of bodies) await tocsin.deliver(text, source);
    expect(await tocsin.settled()).toEqual(ledger);
    expect(messages()).toBe(incidents.length);
    expect(shop.pagerduty.events.filter(({ effect }) => effect === 'opened')).toHaveLength(incidents.length);
  },
);

test(
  'the captured life of one group, in order: fires, loses one, loses the rest, and comes again',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service());
    const deliver = async (number: string) => {
      await tocsin.deliver(bodies.find(({ name }) => name.startsWith(number))!.text);
      assertBalanced(await tocsin.settled());
    };
    await deliver('02');
    const incident = await tocsin.expectIncident((one) => one.firingCount === 3, 'with three firing');
    await deliver('03');
    await tocsin.expectIncident((one) => one.id === incident.id && one.firingCount === 2, 'with two firing');
    await deliver('04');
    await tocsin.expectIncident((one) => one.id === incident.id && one.status === 'resolved', 'is resolved');
    expect(await tocsin.incidents()).toHaveLength(1);
    expect(await tocsin.ledger()).toMatchObject({ received: 6, inFlight: 0 });

    await deliver('01');
    const again = bodies.find(({ name }) => name.startsWith('12'))!.body.alerts[0]!;
    await deliver('12');
    const known = await tocsin.alert(again.fingerprint);
    expect(known.episodes.map(({ status, closedBecause }) => [status, closedBecause])).toEqual([
      ['firing', null],
      ['resolved', 'refired'],
    ]);
  },
);
