import { describe, expect, test } from 'vitest';
import { handWritten } from '../../bench/deploys/cases.ts';
import { makeStory } from '../../bench/deploys/stories.ts';
import { suspectDeploys } from '../../src/score/deploys.ts';
import { tell } from './engine-story.ts';

describe('which deploys are named as suspects', () => {
  test.each(handWritten.map((story) => [story.name, story] as const))('%s', (_, { input, causes }) => {
    const named = suspectDeploys(input)
      .filter(({ suspect }) => suspect)
      .map(({ id }) => id);
    expect(named.sort()).toEqual([...causes].sort());
  });

  test('of made-up incidents nine in ten that are named are causes, and nearly all causes are named', () => {
    let [right, wrong, missed] = [0, 0, 0];
    for (let seed = 200_000; seed < 200_400; seed += 1) {
      const { input, causes } = makeStory(seed, { deploysPerDay: 0.5, causedShare: 0.5 });
      const named = suspectDeploys(input).flatMap(({ id, suspect }) => (suspect ? [id] : []));
      right += named.filter((id) => causes.includes(id)).length;
      wrong += named.filter((id) => !causes.includes(id)).length;
      missed += causes.filter((id) => !named.includes(id)).length;
    }
    expect(right / (right + wrong)).toBeGreaterThan(0.88);
    expect(right / (right + missed)).toBeGreaterThan(0.95);
  });
});

const deploy = (id: string, service: string, startedAt: number, more: object = {}) => ({
  id,
  service,
  version: id,
  previousVersion: null,
  environment: null,
  cluster: null,
  startedAt,
  finishedAt: null,
  status: null,
  author: null,
  commit: null,
  url: null,
  sources: ['api'],
  summary: null,
  rollback: false,
  ...more,
});

test('a deploy that only happened is in the incident and not in its message', () => {
  const story = tell();
  story.at('00:00');
  const startedAt = story.now() - 5 * 60_000;
  const deploys = [deploy('v1', 'payment', startedAt), deploy('v2', 'cart', startedAt - 40 * 60_000)];
  story.engine.apply({ kind: 'deploys', deploys, quarantined: [] }, story.now());
  story.fire('HighErrorRate', { service: 'payment', namespace: 'shop' });
  story.fire('HighErrorRate', { service: 'checkout', namespace: 'shop' });
  story.at('00:01');
  expect(story.only().deploys.map(({ id, suspect }) => [id, suspect])).toEqual([
    ['v1', true],
    ['v2', false],
  ]);
});

test('a deploy to another environment is neither listed nor evidence for a cause', () => {
  const suspectOf = (environment: string) => {
    const story = tell();
    story.at('00:00');
    const deploys = [deploy('v1', 'payment', story.now() - 60_000, { environment })];
    story.engine.apply({ kind: 'deploys', deploys, quarantined: [] }, story.now());
    story.fire('HighErrorRate', { service: 'payment', env: 'prod' });
    story.at('00:01');
    const { deploys: listed, rootCauses } = story.only();
    return [listed.length, rootCauses[0]!.evidence.some(({ kind }) => kind === 'deploy')];
  };
  expect(suspectOf('staging')).toEqual([0, false]);
  expect(suspectOf('production')).toEqual([1, true]);
});
