import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { firing, runCommand, startService, temporaryFolder, webhook, writeTree } from '../fakes/service.ts';
import { openShop, payments } from './shop.ts';

const minute = { timeout: 120_000 };
const sample = join(import.meta.dirname, '../../config');
const run = (args: string[], env: Record<string, string> = {}) => runCommand(args, { env });

test(
  'commands that need no service: results on stdout, errors on stderr, 0 fine, 1 at fault, 2 wrong usage',
  minute,
  async () => {
    const dir = temporaryFolder('commands');
    writeTree(join(dir, 'bad'), { 'tocsin.yaml': 'server:\n  inbox_limt: 5\n' });
    const [
      help,
      version,
      unknown,
      wrong,
      good,
      bad,
      badJson,
      route,
      routeBad,
      routeWord,
      token,
      tokenBad,
      oncall,
      oncallBad,
      serveBad,
    ] = await inPairs([
      ['--help'],
      ['--version'],
      ['nonsense'],
      ['check', '--nonsense'],
      ['check', '--config', sample],
      ['check', '--config', join(dir, 'bad')],
      ['check', '--config', join(dir, 'bad'), '--json'],
      ['routes', 'test', 'severity=critical', 'service=pricing', '--config', sample, '--json'],
      ['routes', 'test', 'severity=critical', '--config', join(dir, 'bad')],
      ['routes', 'test', 'nonsense', '--config', sample],
      ['token', 'create', '--json'],
      ['token', 'create', '--role', 'king'],
      ['oncall', '--config', sample, '--json'],
      ['oncall', '--config', sample, '--at', 'yesterday'],
      ['serve', '--config', join(dir, 'bad')],
    ]);
    expect([help!.code, version!.code, unknown!.code, wrong!.code]).toEqual([0, 0, 2, 2]);
    expect(version!.out.trim()).toMatch(/^\d+\.\d+\.\d+/);
    expect(unknown!.err).toMatch(/nonsense/);
    expect([good!.code, bad!.code, badJson!.code]).toEqual([0, 1, 1]);
    expect(bad!.err).toMatch(/tocsin\.yaml:2:3.*inbox_limt.*inbox_limit/s);
    expect(() => JSON.parse(badJson!.out)).not.toThrow();
    expect([route!.code, routeBad!.code, routeWord!.code]).toEqual([0, 2, 2]);
    expect(JSON.parse(route!.out)).toMatchObject({ team: expect.any(String), channels: expect.any(Array) });
    expect([token!.code, tokenBad!.code]).toEqual([0, 2]);
    expect([oncall!.code, oncallBad!.code, serveBad!.code]).toEqual([0, 2, 2]);
    expect(JSON.parse(oncall!.out)).toHaveProperty('schedules');
    for (const fine of [help, version, route, token, oncall]) expect(fine!.err).toBe('');
    for (const failed of [unknown, wrong, routeBad, routeWord, tokenBad, oncallBad, serveBad])
      expect([failed!.out, failed!.err !== '']).toEqual(['', true]);
  },
);

test('replay gives the same bytes each time, whatever the folder, time zone and locale', minute, async () => {
  const dir = temporaryFolder('replay');
  const stream = join(dir, 'stream.jsonl');
  const at = (seconds: number) => new Date(Date.parse('2026-11-20T07:30:00Z') + seconds * 1_000).toISOString();
  const alert = (name: string, service: string, seconds: number) =>
    firing({ alertname: name, service, severity: 'critical', namespace: 'shop' }, { startsAt: at(seconds) });
  const lines = [
    { at: at(0), kind: 'alertmanager', body: webhook([alert('HighErrorRate', 'payment', 0)]) },
    {
      at: at(4),
      kind: 'alertmanager',
      body: webhook([alert('HighErrorRate', 'checkout', 3), alert('SlowRequests', 'checkout', 4)]),
    },
    {
      at: at(60),
      kind: 'action',
      body: {
        incident: { fingerprint: alert('HighErrorRate', 'payment', 0).fingerprint },
        do: 'acknowledge',
        by: 'ana',
      },
    },
  ];
  writeFileSync(stream, lines.map((line) => JSON.stringify(line)).join('\n'));
  const runs = await Promise.all([
    runCommand(['replay', stream, '--config', sample], { env: { TZ: 'UTC' }, cwd: dir }),
    runCommand(['replay', stream, '--config', sample, '--out', join(dir, 'out.json')], {
      env: { TZ: 'Asia/Tokyo', LC_ALL: 'de_DE.UTF-8' },
    }),
  ]);
  expect(runs.map(({ code }) => code)).toEqual([0, 0]);
  expect(readFileSync(join(dir, 'out.json'), 'utf8')).toBe(runs[0]!.out);
  const outcomes = JSON.parse(runs[0]!.out);
  expect(outcomes.alerts).toHaveLength(3);
  expect(outcomes.incidents).toHaveLength(1);
  expect(outcomes.incidents[0]).toMatchObject({ status: 'acknowledged', acknowledgedBy: 'ana' });
  expect(outcomes).not.toHaveProperty('timing');
  expect((await run(['replay', join(dir, 'none.jsonl'), '--config', sample])).code).toBe(2);
});

test('storm and drill against a running service', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service());
  const drill = await run(['drill', '--url', tocsin.url, '--route', 'service=checkout', '--json']);
  expect(drill).toMatchObject({ code: 0, err: '' });
  expect(
    JSON.parse(drill.out)
      .notifications.map(({ channel, state }: { channel: string; state: string }) => `${channel} ${state}`)
      .sort(),
  ).toEqual(['email sent', 'pagerduty sent', 'slack sent']);
  await shop.slack.expect(payments.slack, /drill/i);
  await tocsin.expectIncident((one) => /Drill/.test(one.title) && one.status === 'resolved', 'of the drill is over');

  // A drill while something real is going on is a story of its own, and says which channel failed.
  await tocsin.deliver(webhook([firing({ alertname: 'HighErrorRate', service: 'cart', severity: 'critical' })]));
  const real = await tocsin.expectIncident((one) => one.services.includes('cart'), 'of cart');
  shop.smtp.fail({ do: 'answer', code: 550 });
  const failing = await run(['drill', '--url', tocsin.url, '--route', 'service=cart']);
  expect([failing.code, failing.out]).toEqual([1, expect.stringMatching(/waiting +payments@example.com .*550/)]);
  expect(await tocsin.incident(real.id)).toMatchObject({ alertCount: 1, status: 'open' });
  shop.smtp.recover();

  const storm = await run(['storm', '--url', tocsin.url, '--fast']);
  expect([storm.code, storm.err]).toEqual([0, '']);
  const ledger = await tocsin.settled();
  expect(ledger).toMatchObject({ quarantined: 0, failed: 0 });
  const standing = (await tocsin.incidents()).filter(
    ({ mergedInto, title }) => mergedInto === null && !/Drill/.test(title),
  );
  const biggest = Math.max(...standing.map(({ alertCount }) => alertCount));
  expect(biggest).toBeGreaterThan(10);
  expect(standing.length).toBeLessThanOrEqual(5);

  const [scenario, gone, drillGone] = await Promise.all([
    run(['storm', '--scenario', 'nonsense']),
    run(['storm', '--url', 'http://127.0.0.1:1', '--fast']),
    run(['drill', '--url', 'http://127.0.0.1:1']),
  ]);
  expect([scenario.code, gone.code, drillGone.code]).toEqual([2, 1, 1]);
});

test('migrate, and an audit trail that shows when it was touched', minute, async () => {
  const shop = await openShop();
  const dataDir = temporaryFolder('audit');
  const env = { DATABASE_URL: shop.database!.url, TOCSIN_DATA: dataDir };
  const first = await run(['migrate', '--json'], env);
  expect([first.code, JSON.parse(first.out).applied.length > 0]).toEqual([0, true]);
  expect(JSON.parse((await run(['migrate', '--json'], env)).out).applied).toEqual([]);

  const tocsin = await startService(shop.service({}, { dataDir }));
  await tocsin.deliver(webhook([firing({ alertname: 'HighErrorRate', service: 'checkout', severity: 'critical' })]));
  const incident = await tocsin.expectIncident((one) => one.status === 'open', 'is open');
  for (const name of ['acknowledge', 'note', 'resolve'])
    expect((await tocsin.action(incident.id, name, { text: 'as planned' })).status).toBe(200);
  await tocsin.stop();

  const verify = () => run(['audit', 'verify'], env);
  expect(await verify()).toMatchObject({ code: 0, out: expect.stringMatching(/whole: [3-9]\d* entries/) });
  const lines = (await run(['audit', 'export'], env)).out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines.map(({ who }) => who)).toContain('ana');

  const { pool } = shop.database!;
  const [{ id, who }] = (await pool.query('select id, who from audit_log order by id desc limit 1')).rows as [
    { id: number; who: string },
  ];
  await pool.query("update audit_log set who = 'somebody else' where id = $1", [id]);
  expect(await verify()).toMatchObject({ code: 1, err: expect.stringMatching(/was changed/) });
  await pool.query('update audit_log set who = $1 where id = $2', [who, id]);
  expect((await verify()).code).toBe(0);
  await pool.query('delete from audit_log where id = $1', [id]);
  expect(await verify()).toMatchObject({ code: 1, err: expect.stringMatching(/removed/) });
});

/** A few at a time: each is a process that compiles the whole program. */
async function inPairs(commands: string[][]) {
  const results: Awaited<ReturnType<typeof run>>[] = [];
  for (let n = 0; n < commands.length; n += 3)
    results.push(...(await Promise.all(commands.slice(n, n + 3).map((args) => run(args)))));
  return results;
}
