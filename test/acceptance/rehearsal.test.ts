import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import type { Incident } from '../../src/domain/incident.ts';
import { alertsBlocks, canBackfill, type FiredThen } from '../fakes/alerts-past.ts';
import { startPrometheus } from '../fakes/prom-binary.ts';
import {
  assertBalanced,
  firing,
  resolved,
  runCommand,
  startService,
  temporaryFolder,
  webhook,
  writeTree,
} from '../fakes/service.ts';
import { openShop, payments } from './shop.ts';

const DAY = 86_400_000;
const suppression = (...noise: object[]) => ({
  noise,
  actionability: { enabled: false },
  transient: { enabled: false },
  budget: { enabled: false },
});

/** Thirty days in which a test system's disk filled up each night, and payment failed twice. */
const nightly = { alertname: 'DiskFillsUp', service: 'cart', namespace: 'shop', severity: 'error', env: 'dev' };
const outage = { alertname: 'HighErrorRate', service: 'payment', namespace: 'shop', severity: 'critical', env: 'prod' };
const fired: FiredThen[] = [
  ...Array.from({ length: 28 }, (_, day) => ({
    labels: nightly,
    from: (day + 1) * 1_440 + 120,
    to: (day + 1) * 1_440 + 150,
  })),
  ...[7, 19].map((day) => ({ labels: outage, from: day * 1_440 + 600, to: day * 1_440 + 640 })),
];

test.skipIf(!canBackfill())(
  'thirty days of history are read before anything is connected; one line is changed, compared, tested, applied; and any alert can be asked afterwards',
  { timeout: 180_000 },
  async () => {
    // What she has: a Prometheus that remembers, and a Tocsin that nobody has connected yet.
    const begin = Math.floor(Date.now() / DAY) * DAY - 31 * DAY;
    const scratch = temporaryFolder('rehearsal');
    const prometheus = await startPrometheus({
      config: {},
      rules: { groups: [] },
      data: alertsBlocks(scratch, begin, fired),
    });
    onTestFinished(() => prometheus.stop());
    const shop = await openShop();
    const tree = {
      'tocsin.yaml': { suppress: { mode: 'active' }, correlate: { window: '2s', reopen: '1s' } },
      // What is learned of the rules would hold the nights back by itself after a few: here one written line is the subject.
      'suppression.yaml': suppression(),
    };
    const tocsin = await startService(shop.service(tree));
    const [old, next] = [tocsin.configDir, join(scratch, 'next')];
    const tocsinOf = async (...args: string[]) => runCommand(args, { env: shop.env });

    // She points it at the past and reads the report.
    const kept = join(scratch, 'past.jsonl.gz');
    const from = new Date(begin).toISOString();
    const past = ['--from', from, '--alerts-from', prometheus.url];
    const report = await tocsinOf('replay', ...past, '--config', old, '--save', kept, '--report');
    expect(report).toMatchObject({ code: 0, err: '' });
    expect(report.out).toContain('brought 30 firings of 2 alerts; they became 30 incidents.');
    expect(report.out).toMatch(/\| DiskFillsUp \| 28 \| 28 \| /);
    expect(report.out).toContain('The ledger balances in all three');

    // She changes one line and sees the difference as a table.
    cpSync(old, next, { recursive: true });
    const line = { name: 'dev-noise', match: ['env="dev"'], reason: 'nobody is on call for dev' };
    writeTree(next, { 'suppression.yaml': suppression(line) });
    const gate = (expression: string) =>
      tocsinOf('diff', kept, '--config', old, '--config', next, '--fail-if', expression);
    const difference = await gate('missed_pages>27');
    expect(difference).toMatchObject({ code: 0, err: '' });
    expect(difference.out).toMatch(/\| incidents \| 30 \| 30 \|/);
    // The first firing ever of a rule is a floor: 27 of the 28 nights would be quiet, both outages are told.
    expect(difference.out).toContain('Missed pages: 27. Added pages: 0.');
    expect(difference.out).toContain('| DiskFillsUp on cart | 1 |');
    expect(difference.out).not.toContain('HighErrorRate');
    const strict = await gate('missed_pages>0');
    expect(strict.code).toBe(1);
    expect(strict.out).toContain('**Fails: missed_pages>0** (it is 27).');

    // She writes down what she expects, and it holds under the new line only.
    const expectations = join(scratch, 'policy.yaml');
    writeFileSync(
      expectations,
      JSON.stringify({
        tests: [
          {
            name: 'a full disk of the test system wakes nobody',
            input_alerts: [
              { labels: nightly, until: '30m' },
              { labels: outage, from: '5m' },
            ],
            incident_test: [
              {
                eval_time: '10m',
                exp_incidents: [
                  { exp_alerts: [nightly], exp_verdict: 'suppress', exp_reasons: ['noise'], exp_receivers: [] },
                  { exp_alerts: [outage], exp_verdict: 'notify' },
                ],
              },
            ],
          },
        ],
      }),
    );
    expect(await tocsinOf('test', expectations, '--config', next)).toMatchObject({ code: 0 });
    expect(await tocsinOf('test', expectations, '--config', old)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/policy\.yaml:\d+.*exp_verdict/s),
    });
    expect(await tocsinOf('check', '--config', next)).toMatchObject({ code: 0 });

    // What would the service make of such an alert now? Asked without any of it being kept.
    const dry = await tocsin.post('/api/v1/analyze', webhook([firing(outage)]));
    expect(dry.status).toBe(200);
    const enrichment = {
      analysis: { joins: null },
      businessImpact: {},
      routing: { primaryTeam: 'payments' },
      suppress: {},
    };
    expect(dry.body).toMatchObject({
      quarantined: 0,
      alerts: [{ enrichment: { ...enrichment, priority: expect.any(Number) } }],
    });
    expect((await tocsin.settled()).received).toBe(0);
    expect(await tocsin.incidents()).toEqual([]);

    // She connects it. The first night it is told: a rule that never fired is a floor, and the old tree holds nothing.
    const night = () => firing(nightly, { startsAt: new Date().toISOString() });
    const first = night();
    await tocsin.deliver(webhook([first]));
    await shop.slack.expect(payments.slack, /DiskFillsUp on cart/);
    await tocsin.deliver(webhook([resolved(first)]));
    await tocsin.expectIncident((one) => one.number === 1 && one.status === 'resolved', 'is resolved');

    // She applies the line in the middle of a storm; not a change is lost.
    const storm = Array.from({ length: 20 }, (_, i) =>
      webhook([firing({ ...outage, alertname: `Storm${i % 4}`, instance: `10.0.0.${i}` })]),
    );
    const posting = Promise.all(storm.map((body) => tocsin.deliver(body)));
    writeFileSync(join(old, 'suppression.yaml'), readFileSync(join(next, 'suppression.yaml')));
    const applied = await tocsin.post('/-/reload', {});
    expect(applied.status).toBe(200);
    const hash = String(applied.body.configHash);
    await posting;
    await tocsin.settled();
    // Longer than the window: what comes now joins nothing of before.
    const quietly = () => sleep(2_500);
    await quietly();
    const second = night();
    await tocsin.deliver(webhook([second]));
    await tocsin.settled();
    await quietly();
    await tocsin.deliver(webhook([firing(outage)]));
    await tocsin.settled();

    // Afterwards she asks: why did this wake nobody, and that somebody?
    const quiet = await tocsinOf('explain', second.fingerprint, '--config', old);
    expect(quiet.code).toBe(0);
    expect(quiet.out).toContain(`config ${hash}`);
    expect(quiet.out).toContain('Its firing was held back.');
    expect(quiet.out).toContain('Policy dev-noise matches it (env="dev")');
    expect(quiet.out).toContain('if there were no policy dev-noise.');
    expect(quiet.out).toContain('if DiskFillsUp fired for the first time ever.');
    const loud = await tocsin.get<{
      incidentId: string;
      otherwise: { judgedBy: string; text: string[] };
      text: string[];
    }>(`/api/v1/alerts/${firing(outage).fingerprint}/explain`);
    expect(loud.text.join('\n')).toMatch(/Critical alerts always notify|fires for the first time ever/);
    expect(loud.otherwise.judgedBy).toBe(hash);
    // Long after the policy is gone an explanation still judges by the one of the time.
    writeTree(old, { 'suppression.yaml': suppression() });
    expect((await tocsin.post('/-/reload', {})).status).toBe(200);
    const later = await tocsinOf('explain', second.fingerprint, '--config', old);
    expect(later.out).toContain('if there were no policy dev-noise.');

    // What it went through itself is a past like any other.
    const own = await tocsinOf('replay', '--from', '1d', '--config', next);
    const outcomes = JSON.parse(own.out) as { ledger: Parameters<typeof assertBalanced>[0]; incidents: Incident[] };
    assertBalanced(outcomes.ledger);
    expect(outcomes.ledger.received).toBe((await tocsin.settled()).received);
    const again = await tocsinOf('diff', '--from', '1d', '--config', old, '--config', next, '--json');
    expect(JSON.parse(again.out).counts).toMatchObject({ missed_pages: 1, added_pages: 0 });
  },
);
