import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { explain } from '../../src/cli/explain.ts';
import type { Config } from '../../src/config/schema.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { recorded, type Told } from '../fakes/recorded.ts';

const alert = (fingerprint: string, alertname: string, service: string, more = {}): Told => ({
  fingerprint,
  labels: { alertname, service, severity: 'high', namespace: 'shop', ...more },
  summary: `${alertname} on ${service}`,
});
const latency = alert('a1', 'HighLatency', 'checkout');
const errors = alert('a2', 'HighErrorRate', 'payment');
const noise = alert('a3', 'CertSoon', 'wiki', { env: 'dev', severity: 'low' });

let db: TestDatabase;
let config: Config;
beforeAll(async () => {
  db = await withDatabase();
  const story = await recorded(
    db,
    {
      'tocsin.yaml': 'suppress: { mode: active }\nchannels: { slack: { token: { env: S } } }\n',
      'business-context.yaml':
        'services: { checkout: { owner: shop, tier: 1, depends_on: [payment] }, payment: { owner: shop }, wiki: { owner: shop } }\n',
      'routing.yaml':
        'teams: { shop: { slack: "#shop" } }\nroutes: { default_team: shop, channels: [slack], routes: [ { match: [\'namespace="shop"\'], channels: [slack] } ] }\n',
      'suppression.yaml':
        'noise: [ { name: dev-noise, match: [\'env="dev"\'], reason: "nobody is on call for dev" } ]\n',
    },
    Date.parse('2026-11-20T07:00:00Z'),
  );
  config = story.config;
  await story.at(1);
  await story.fire(errors);
  await story.at(1.5);
  await story.fire(latency);
  await story.at(60);
  // The first firing ever of a rule always notifies; the second one is held back.
  await story.fire(noise);
  await story.at(70);
  await story.end(noise);
  await story.at(200);
  await story.fire(noise);
  await story.at(201);
  await story.close();
}, 60_000);
afterAll(() => db.close());

async function run(name: string, options: { other?: string; json?: boolean } = {}) {
  const said = { out: '', err: '' };
  const code = await explain(db.pool, {
    config,
    name,
    source: null,
    other: options.other ?? null,
    json: options.json ?? false,
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
  });
  return { code, ...said };
}

describe('tocsin explain', () => {
  test('an alert: its neighbours with every part of the distance, priority, policy, route and config hash', async () => {
    const { code, out } = await run('a1');
    expect(code).toBe(0);
    expect(out).toContain(`Alert a1 (source default), config ${config.hash}`);
    expect(out).toMatch(/its nearest neighbour was HighErrorRate \(payment\) at distance 0\.\d+/);
    expect(out).toMatch(/How near each fact puts them \(1 together, 0 apart\): .*time \d/);
    expect(out).toMatch(/Priority: Severity high: 30 points\./);
    expect(out).toMatch(/Priority: \d+ points in all make P\d: P\d takes \d+\./);
    expect(out).toMatch(
      /Impact: It is expected to last 60 min, 9 times in 10 at most 60 min \(assumed, no similar incidents/,
    );
    expect(out).toMatch(/Because \(floor-first-ever\): HighLatency fires for the first time ever/);
    expect(out).toMatch(/Actionability is 1 .* of the sum x of /);
    expect(out).toMatch(/It goes to team shop by slack:#shop\./);
    expect(out).toMatch(/The team is named by the catalogue, as the owner of the suspected service\./);
    expect(out).toMatch(/The way through the tree: .*namespace="shop"/);
  });

  test('an alert held back: by which policy, why and until when', async () => {
    const { out } = await run('a3');
    expect(out).toMatch(/Its firing was held back\./);
    expect(out).toMatch(/nobody is on call for dev/);
    expect(out).toMatch(/held back at 2026-11-20T10:20:00\.000Z by dev-noise, until 2026-11-21T/);
  });

  test('what would have led elsewhere, the weightiest first: policies that nearly matched, newness, tier, clocks', async () => {
    const held = (await run('a3')).out;
    expect(held).toMatch(
      /Policies\n +The mode for it is active\.\n +Policy dev-noise matches it \(env="dev"\) and speaks for/,
    );
    expect(held).toContain('It would have notified slack:#shop if CertSoon fired for the first time ever.');
    expect(held).toContain('It would have notified slack:#shop if its severity were critical instead of low.');
    expect(held).toContain('It would have notified slack:#shop if there were no policy dev-noise.');
    const sent = (await run('a1', { json: true })).out;
    const { otherwise, policies, timers } = JSON.parse(sent);
    expect(policies).toMatchObject({ matched: [], missed: [{ policy: 'dev-noise', matcher: 'env="dev"' }], others: 0 });
    expect(policies.text).toContain('Policy dev-noise does not match: it wants env="dev", and it has no label env.');
    expect(otherwise).toMatchObject({ judgedBy: config.hash });
    expect(otherwise.whatIfs).toContainEqual(expect.objectContaining({ fact: 'severity', flips: 'priority' }));
    expect(timers.text).toEqual(['No escalation policy: nobody is called after the first message.']);
    expect((await run('a1', { json: true })).out).toBe(sent);
  });

  test('what would have put it elsewhere: another time, or a call between the services', async () => {
    const { otherwise } = JSON.parse((await run('a1', { json: true })).out);
    const placed = otherwise.whatIfs.filter((one: { flips: string }) => one.flips === 'incident');
    expect(placed.map((one: { text: string }) => one.text)).toContainEqual(
      expect.stringMatching(
        /^It would have been too far from HighErrorRate \(payment\), its nearest neighbour, if (it had come \d+ min later|there were no call between checkout and payment)\.$/,
      ),
    );
  });

  test('two alerts: together, or what keeps them apart', async () => {
    const near = await run('a1', { other: 'a2' });
    expect(near.out).toMatch(
      /HighLatency \(checkout\) and HighErrorRate \(payment\) are in one incident; their distance is 0\.\d+/,
    );
    const far = await run('a1', { other: 'a3' });
    expect(far.out).toMatch(
      /HighLatency \(checkout\) and CertSoon \(wiki\) are not in one incident; their distance is .*farther than/,
    );
  });

  test('an incident by number or id: how it came about, each alert in it, suspects, routing', async () => {
    const { code, out } = await run('1');
    expect(code).toBe(0);
    expect(out).toMatch(/^Incident 1: /);
    expect(out).toMatch(/2026-11-20T07:01:00\.000Z: /);
    expect(out).toMatch(/HighErrorRate \(payment\) is in incident 1/);
    expect(out).toMatch(/HighLatency \(checkout\) is in incident 1: its nearest neighbour/);
    expect(out).toMatch(/(top suspect is|likeliest suspect is|No cause stands out)/);
    const asJson = JSON.parse((await run('1', { json: true })).out);
    expect(asJson).toMatchObject({
      number: 1,
      configHash: config.hash,
      grouped: { alerts: [{ fingerprint: 'a2' }, { fingerprint: 'a1', neighbours: [{ fingerprint: 'a2' }] }] },
      routed: { team: 'shop', teamFrom: 'owner' },
    });
    expect((await run(asJson.incidentId)).out).toBe(out);
  });

  test('the JSON of an alert is what the API gives', async () => {
    const { out } = await run('a1', { json: true, other: 'a2' });
    expect(JSON.parse(out)).toMatchObject({
      fingerprint: 'a1',
      compared: { fingerprint: 'a2', together: true },
      record: { configHash: config.hash, doc: { route: { teamFrom: 'owner' } } },
    });
  });

  test('what the store does not know is told, with exit code 1', async () => {
    expect(await run('nowhere')).toMatchObject({ code: 1, out: '', err: expect.stringContaining('knows no alert') });
    expect(await run('a1', { other: 'nowhere' })).toMatchObject({ code: 1, out: '' });
    expect(await run('1', { other: 'a1' })).toMatchObject({ code: 2, out: '' });
  });
});
