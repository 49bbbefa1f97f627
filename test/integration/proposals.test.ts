import { afterAll, beforeAll, expect, test } from 'vitest';
import { compilePolicy } from '../../src/decide/policy.ts';
import { propose } from '../../src/score/propose.ts';
import { readEvidence } from '../../src/store/evidence.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { recorded, type Told } from '../fakes/recorded.ts';

const begin = Date.parse('2026-11-18T00:00:00Z');
const alert = (fingerprint: string, alertname: string, service: string): Told => ({
  fingerprint,
  labels: { alertname, service, severity: 'warning', cluster: fingerprint },
});
const cert = alert('a1', 'CertSoon', 'wiki');
const missed = alert('a2', 'LagHigh', 'mailer');
const foreign = alert('a3', 'QueueLong', 'queue');
const taken = alert('a4', 'DiskFull', 'files');

let db: TestDatabase;
beforeAll(async () => {
  db = await withDatabase();
}, 60_000);
afterAll(() => db.close());

test('a week of clicks becomes a noise entry, a floor and a route, and what people dealt with becomes nothing', async () => {
  const story = await recorded(
    db,
    {
      'tocsin.yaml': 'channels: { slack: { token: { env: S } } }\n',
      'business-context.yaml':
        'services: { wiki: { owner: docs }, mailer: { owner: docs }, queue: { owner: docs }, files: { owner: docs } }\n',
      'routing.yaml':
        'teams: { docs: { slack: "#docs" }, ops: { slack: "#ops" } }\nroutes: { default_team: docs, channels: [slack] }\n',
    },
    begin,
  );
  const noise = ['ana', 'ben', 'ana', 'ben'];
  for (let n = 0; n < 4; n += 1) {
    await story.at(n * 180);
    await story.fire(cert, missed, foreign, taken);
    await story.at(n * 180 + 2);
    await story.act('feedback', 'a1', noise[n]!, { kind: 'noise' });
    if (n >= 2) await story.act('feedback', 'a2', noise[n]!, { kind: 'should-have-paged' });
    await story.act('assign', 'a3', 'ana', { team: 'ops' });
    // called noise as often, but once somebody took it
    if (n === 0) await story.act('acknowledge', 'a4', 'ana');
    else await story.act('feedback', 'a4', noise[n]!, { kind: 'noise' });
    await story.at(n * 180 + 30);
    await story.end(cert, missed, foreign, taken);
  }
  await story.at(900);
  await story.close();

  const evidence = await readEvidence(db.pool, begin, begin + 86_400_000);
  expect(
    evidence.rules.map(({ rule, incidents, paged, actedOn, said }) => [rule, incidents, paged, actedOn, said.length]),
  ).toEqual([
    ['CertSoon', 4, 4, 0, 4],
    ['DiskFull', 4, 4, 1, 3],
    ['LagHigh', 4, 4, 0, 2],
  ]);
  const proposals = propose(evidence, compilePolicy(story.config, { assumeSecrets: true }));
  expect(proposals.map(({ kind, yaml }) => [kind, yaml])).toEqual([
    [
      'noise',
      expect.stringMatching(
        /^- \{ name: noise-CertSoon-wiki, match: \[ 'alertname="CertSoon"', 'service="wiki"' \], reason: ".*" \}$/,
      ),
    ],
    ['route', `- { match: [ 'service="queue"' ], team: ops }`],
    ['floor', `- { match: [ 'alertname="LagHigh"', 'service="mailer"' ] }`],
  ]);
  expect((await readEvidence(db.pool, begin - 86_400_000, begin)).rules).toEqual([]);
});
