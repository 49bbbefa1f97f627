import { createRequire } from 'node:module';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { correlationView, densityClusters } from '../../src/api/correlation.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import type { AlertRow } from '../../src/store/read-alerts.ts';

/** The reference has no types; it is only asked for the indices of its clusters. */
const density = createRequire(import.meta.url)('density-clustering') as {
  DBSCAN: new () => { run(points: number[][], eps: number, minPts: number): number[][] };
};

const matrixOf = (points: number[]): Float64Array =>
  Float64Array.from(points.flatMap((a) => points.map((b) => Math.abs(a - b))));

test('dense alerts cluster, one near a core is its border, the rest is alone', () => {
  const { clusters, roles } = densityClusters(matrixOf([0, 1, 2, 3.5, 10, 11, 30]), 7, 1.5, 3);
  expect(clusters).toEqual([[0, 1, 2, 3]]);
  expect(roles).toEqual(['border', 'core', 'core', 'border', 'lone', 'lone', 'lone']);
});

test('core alerts are clustered as the reference does it, whatever the points', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 40 }),
      fc.integer({ min: 1, max: 5 }),
      (points, minPts) => {
        const eps = 2.5;
        const n = points.length;
        const { clusters, roles } = densityClusters(matrixOf(points), n, eps, minPts);
        const reference = new density.DBSCAN().run(
          points.map((p) => [p]),
          eps,
          minPts,
        ) as number[][];
        const coresOf = (groups: number[][]): string[] =>
          groups
            .map((group) =>
              [...new Set(group)]
                .filter((i) => roles[i] === 'core')
                .toSorted((a, b) => a - b)
                .join(','),
            )
            .filter((group) => group !== '')
            .toSorted();
        expect(coresOf(clusters)).toEqual(coresOf(reference));
      },
    ),
  );
});

const row = (n: number, service: string): AlertRow =>
  ({
    source: 'default',
    fingerprint: `f${n}`,
    starts_at: new Date(n * 1000),
    ends_at: null,
    status: 'firing',
    alertname: 'A',
    severity: 'high',
    service,
    namespace: null,
    annotations: {},
  }) as unknown as AlertRow;

test('each alert keeps its nearest ones, each pair once, and a hub shows at most 20 neighbours', async () => {
  const alerts = [row(1, 'hub'), row(2, 'a'), row(10, 'b'), row(11, 'b')];
  const at = (alert: AlertRow): number => new Date(alert.starts_at).getTime() / 1000;
  const view = await correlationView({
    alerts,
    omitted: 0,
    rootCauses: [],
    graph: buildGraph({ edges: Array.from({ length: 50 }, (_, n) => ({ caller: 'hub', callee: `s${n}` })) }),
    proposedSplit: { groups: [['default/f1', 'default/f2'], ['default/f10']], reason: 'r', at: 0 },
    links: [{ kind: 'must', a: 'default/f1', b: 'default/f10', by: 'ana', at: new Date(0) }],
    measure: (a, b) => ({ distance: Math.abs(at(a) - at(b)) / 20, parts: { time: 1 } }),
    eps: 0.1,
    minPts: 2,
    neighbours: 1,
  });
  expect(view.edges.map(({ a, b }) => `${a}-${b}`)).toEqual(
    ['f1-f2', 'f3-f4'].map((pair) => pair.replace('f3', 'f10').replace('f4', 'f11')),
  );
  expect(view.clusters).toEqual([
    { alerts: ['f1', 'f2'], services: ['a', 'hub'] },
    { alerts: ['f10', 'f11'], services: ['b'] },
  ]);
  expect(view.proposedSplit).toEqual({
    reason: 'r',
    at: '1970-01-01T00:00:00.000Z',
    groups: [
      { alerts: ['f1', 'f2'], services: ['a', 'hub'] },
      { alerts: ['f10'], services: ['b'] },
    ],
    accept: [{ alerts: ['f10'] }],
  });
  expect(view.links).toMatchObject([{ kind: 'must', a: 'f1', aSource: 'default', b: 'f10', by: 'ana' }]);
  expect(view.serviceGraph.nodes).toHaveLength(3 + 20);
  expect(view.serviceGraph.edges).toHaveLength(20);
});
