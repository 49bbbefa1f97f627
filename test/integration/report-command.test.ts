import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { periodOf, type Report, report } from '../../src/cli/report.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { recorded, type Told } from '../fakes/recorded.ts';

const alert = (fingerprint: string, alertname: string, service: string, more = {}): Told => ({
  fingerprint,
  labels: { alertname, service, severity: 'high', ...more },
  summary: `${alertname} on ${service}`,
});
const latency = alert('a1', 'HighLatency', 'checkout');
const errors = alert('a2', 'HighErrorRate', 'payment');
const dev = alert('a3', 'CertSoon', 'wiki', { env: 'dev' });
const flappy = alert('a4', 'QueueLong|`odd`', 'mailer');
const begin = Date.parse('2026-11-20T00:00:00Z');

let db: TestDatabase;
beforeAll(async () => {
  db = await withDatabase();
  const story = await recorded(
    db,
    {
      'tocsin.yaml': 'channels: { slack: { token: { env: S } } }\n',
      'business-context.yaml':
        'services: { checkout: { owner: shop, depends_on: [payment] }, payment: { owner: shop }, wiki: { owner: docs }, mailer: { owner: docs } }\n',
      'routing.yaml':
        'teams: { shop: { slack: "#shop" }, docs: { slack: "#docs" } }\nroutes: { default_team: shop, channels: [slack] }\n',
      'suppression.yaml':
        'noise: [ { name: dev-noise, match: [\'env="dev"\'], reason: "nobody is on call for dev" } ]\n',
    },
    begin,
  );
  // One incident of two alerts that somebody takes.
  await story.at(1);
  await story.fire(errors);
  await story.fire(errors, latency);
  await story.at(5);
  await story.act('acknowledge', 'a1', 'ana');
  await story.act('feedback', 'a1', 'ana', { kind: 'real' });
  await story.at(20);
  await story.end(errors, latency);
  // A rule that policy would hold back, were it not shadow mode: the first time it is a first, the second time not.
  for (const hour of [2, 4]) {
    await story.at(hour * 60);
    await story.fire(dev);
    await story.at(hour * 60 + 10);
    await story.end(dev);
  }
  // One that fires 5 minutes out of 10 for an hour, and nobody ever looks.
  for (let minute = 360; minute < 420; minute += 10) {
    await story.at(minute);
    await story.fire(flappy);
    await story.at(minute + 5);
    await story.end(flappy);
  }
  await story.at(600);
  await story.close();
  await db.pool.query(
    "insert into quarantine (at, source, place, reason, raw) values ($1, 's', 'body', 'not JSON', 'x')",
    [new Date(begin + 60_000)],
  );
}, 60_000);
afterAll(() => db.close());

async function run(from: number, to: number, format: 'text' | 'md' | 'json' = 'json'): Promise<string> {
  let said = '';
  const code = await report(
    db.pool,
    { from, to },
    {
      format,
      out: (text) => {
        said += text;
      },
    },
  );
  expect(code).toBe(0);
  return said;
}
const whole = async (): Promise<Report> => JSON.parse(await run(begin, begin + 86_400_000));

describe('tocsin report', () => {
  test('four ratios, kept apart, each with its loss', async () => {
    const { counts, ratios } = await whole();
    expect(counts).toMatchObject({ deliveries: 19, alerts: 4, firings: 10, changes: 20 });
    expect(ratios.map(({ step, from, to }) => [step, from, to])).toEqual([
      ['deliveries to unique alerts', 19, 4],
      ['unique alerts to incidents', 4, counts.incidents],
      ['incidents to paged incidents', counts.incidents, counts.incidents],
      ['paged incidents to acted on', counts.incidents, 1],
    ]);
    expect(ratios[0]).toMatchObject({ reduction: 0.789, loss: { quarantined: 1 } });
    expect(ratios[3]!.loss).toMatchObject({ neverActedOn: counts.incidents - 1, saidNoise: 0 });
  });

  test('every state change is notified, grouped or suppressed', async () => {
    const { counts } = await whole();
    expect(counts.notified + counts.grouped + counts.suppressed).toBe(counts.changes);
  });

  test('the noisiest rules, with what became of them', async () => {
    const { noisiest, flapping } = await whole();
    expect(noisiest.map(({ rule, firings }) => [rule, firings])).toEqual([
      ['QueueLong|`odd`', 6],
      ['CertSoon', 2],
      ['HighErrorRate', 1],
      ['HighLatency', 1],
    ]);
    expect(noisiest.find(({ rule }) => rule === 'HighLatency')).toMatchObject({
      incidents: 1,
      paged: 1,
      actedOnShare: 1,
      selfResolvedShare: 0,
    });
    expect(flapping).toEqual([
      expect.objectContaining({
        rule: 'QueueLong|`odd`',
        flappingHours: 1,
        worstHour: 12,
        selfResolvedShare: 1,
        medianSeconds: 300,
      }),
    ]);
  });

  test('what shadow mode sent though the policy would have held it back', async () => {
    const { shadow, ratios, counts } = await whole();
    expect(shadow).toMatchObject({
      incidents: 1,
      actedOn: 0,
      wouldHavePaged: ratios[2]!.to - 1,
      policies: [{ policy: 'dev-noise', incidents: 1, actedOn: 0 }],
      pagesInstead: { would: counts.pages - 1, were: counts.pages },
      examples: [
        {
          policy: 'dev-noise',
          severity: 'high',
          actedOn: false,
          startedAt: '2026-11-20T04:00:00.000Z',
          doubt: { why: expect.arrayContaining(['high', 'its rule was new that week']) },
          feedback: { method: 'POST', path: expect.stringMatching(/^\/api\/v1\/incidents\/\d+\/feedback$/) },
        },
      ],
    });
  });

  test('teams, by how often they were called', async () => {
    const { teams } = await whole();
    expect(teams.map(({ team, actedOn }) => [team, actedOn])).toEqual([
      ['docs', 0],
      ['shop', 1],
    ]);
  });

  test('only the period counts; an empty one divides nothing by nothing', async () => {
    const later: Report = JSON.parse(await run(begin + 300 * 60_000, begin + 86_400_000));
    expect(later.counts).toMatchObject({ alerts: 1, firings: 6 });
    const empty: Report = JSON.parse(await run(begin - 86_400_000, begin));
    expect(empty.counts).toMatchObject({ deliveries: 0, alerts: 0, incidents: 0 });
    expect(empty.ratios.map((one) => one.reduction)).toEqual([null, null, null, null]);
    expect(empty.noisiest).toEqual([]);
  });

  test('as text and as Markdown; a rule may be called anything', async () => {
    const text = await run(begin, begin + 86_400_000, 'text');
    expect(text).toMatch(
      /^2026-11-20T00:00Z to 2026-11-21T00:00Z\n19 deliveries brought 20 state changes of 4 alerts; /,
    );
    expect(text).toMatch(/deliveries to unique alerts +19 +4 +78\.9 % +1 could not be read \(quarantine\)/);
    const md = await run(begin, begin + 86_400_000, 'md');
    expect(md).toContain('| QueueLong\\|\\`odd\\` | 6 | 1 |');
    expect(md).toContain('## What shadow mode would have held back');
    expect(md).toMatch(
      /\| #\d+ \| \d+ \| high \| 2026-11-20T04:00Z \| dev-noise \| .* \| POST \/api\/v1\/incidents\/\d+\/feedback \|/,
    );
  });
});

test('a period is a day, a time or how long ago; seven days when nothing is said', () => {
  const now = Date.parse('2026-11-20T12:00:00Z');
  const of = (from: string | null, to: string | null) => periodOf({ from, to, now });
  expect(of(null, null)).toEqual({ from: now - 7 * 86_400_000, to: now });
  expect(of('2026-11-01', '2026-11-02T00:00:00+01:00')).toEqual({
    from: Date.parse('2026-11-01T00:00:00Z'),
    to: Date.parse('2026-11-01T23:00:00Z'),
  });
  expect(of('1d', '1h')).toEqual({ from: now - 86_400_000, to: now - 3_600_000 });
  expect(of('yesterday', null)).toMatch(/^--from yesterday is not a time; write a day/);
  expect(of('2026-13-01', null)).toMatch(/is not a time/);
  expect(of('1h', '1d')).toBe('--from is not before --to.');
});
