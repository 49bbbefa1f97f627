import { afterAll, beforeAll, expect, test } from 'vitest';
import { compareAlerts, explainPair, nearestEpisode } from '../../src/api/compare.ts';
import { createMeasure } from '../../src/api/correlation.ts';
import { findAlert } from '../../src/api/record.ts';
import { loadModels } from '../../src/config/models.ts';
import type { Config } from '../../src/config/schema.ts';
import { compileRules } from '../../src/rules.ts';
import { readCorrelationMemory } from '../../src/store/read.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { recorded, type Told } from '../fakes/recorded.ts';

const alert = (fingerprint: string, alertname: string, service: string): Told => ({
  fingerprint,
  labels: { alertname, service, severity: 'high' },
  summary: `${alertname} on ${service}`,
});
const memory = alert('m1', 'ContainerMemoryHigh', 'payment');
const latency = alert('l1', 'HighLatency', 'checkout');
const errors = alert('e1', 'HighErrorRate', 'frontend');
const backup = alert('b1', 'BackupFailed', 'archive');
const disk = alert('d1', 'DiskSlow', 'wiki');

let db: TestDatabase;
let config: Config;
beforeAll(async () => {
  db = await withDatabase();
  const story = await recorded(
    db,
    {
      'business-context.yaml':
        'services: { frontend: { depends_on: [checkout] }, checkout: { depends_on: [payment] }, payment: {}, archive: {}, wiki: {} }\n',
    },
    Date.parse('2026-11-20T00:00:00Z'),
  );
  config = story.config;
  await story.at(1);
  await story.fire(memory);
  await story.at(2);
  await story.fire(latency, errors);
  await story.fire(backup);
  await story.at(10);
  await story.act('feedback', 'm1', 'ana', { kind: 'not-related', alert: 'm1', other: 'b1' });
  await story.end(memory, latency, errors);
  await story.at(60);
  await story.fire(memory);
  await story.at(61);
  await story.fire(disk);
  await story.act('merge', 'd1', 'bob', {
    into: (await db.pool.query("select incident_id as id from alerts where fingerprint = 'b1'")).rows[0].id,
  });
  await story.close();
}, 60_000);
afterAll(() => db.close());

async function explained(a: string, b: string, episode = 0) {
  const [one, two] = await Promise.all([a, b].map((name) => findAlert(db.pool, name, undefined, 20)));
  if (one!.status !== 'found' || two!.status !== 'found') throw new Error('not found');
  const models = loadModels();
  const { graph } = compileRules(config, models);
  const measure = createMeasure(graph, models.correlation, await readCorrelationMemory(db.pool));
  const first = one!.episodes[episode]!;
  const how = { measure, graph, eps: models.correlation.eps };
  return explainPair(first, await compareAlerts(db.pool, config, first, nearestEpisode(first, two!.episodes), how));
}

test('two alerts of one fault, long over: the time between them, the call and the distance', async () => {
  const answer = await explained('l1', 'm1');
  expect(answer).toMatchObject({ together: true, path: ['checkout', 'payment'], secondsApart: 60, links: [] });
  const text = answer.text.join('\n');
  expect(text).toContain('HighLatency (checkout) and ContainerMemoryHigh (payment) are in one incident');
  expect(text).toContain('they began 1 min apart');
  expect(text).toContain('the calls between services of these names are checkout → payment');
});

test('what a person said of the two is named, with who and when', async () => {
  const answer = await explained('m1', 'b1', 1);
  expect(answer.together).toBe(false);
  expect(answer.links).toMatchObject([{ kind: 'cannot', by: 'ana' }]);
  expect(answer.text.join('\n')).toMatch(/ana keeps them apart \(2026-11-20T00:10:00.000Z\)/);
});

test('an alert that came after the incident was over says so, with the limit', async () => {
  // the newest firing of m1, an hour later, beside the only one of e1
  const answer = await explained('m1', 'e1');
  expect(answer.together).toBe(false);
  expect(answer.text.join('\n')).toMatch(
    /When the later one came, incident \d+ had been over for 50 min, longer than the 5 min of correlate.reopen/,
  );
});

test('alerts that are together because a person merged their incidents are said to be', async () => {
  const answer = await explained('d1', 'b1');
  expect(answer).toMatchObject({ together: true, path: null, links: [{ kind: 'must', by: 'bob' }] });
  expect(answer.text.join('\n')).toContain('no known call leads from one service to the other');
  expect(answer.text.join('\n')).toContain('bob put them together');
});
