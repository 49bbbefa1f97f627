import { expect, test } from 'vitest';
import type { LearnedEdge } from '../../src/enrich/topology/edges.ts';
import { followTopology } from '../../src/enrich/topology/follow.ts';
import { until } from '../fakes/until.ts';

test('a process that only receives takes over what the owner learned, and only when an edge came or went', async () => {
  const edge = (weight: number): LearnedEdge => ({
    namespace: 'shop',
    caller: 'frontend',
    callee: 'cart',
    weight,
    source: 'main: istio',
    firstSeenAt: 0,
    lastSeenAt: 0,
  });
  let kept = [edge(1)];
  let looks = 0;
  let clock = 0;
  const taken: unknown[] = [];
  const following = followTopology({
    load: async () => {
      looks += 1;
      return kept;
    },
    onChange: (topology) => taken.push(topology.edges),
    log: { warn: () => {} },
    now: () => clock,
  });
  following.start();
  await until(
    () => looks === 1,
    () => 'it never looked',
  );
  kept = [edge(2)];
  clock += 60_000;
  await until(
    () => looks === 2,
    () => 'it did not look again',
  );
  await following.stop();
  expect(taken).toEqual([[{ namespace: 'shop', caller: 'frontend', callee: 'cart' }]]);
});
