import { expect, test } from 'vitest';
import { topologyView } from '../../src/api/topology.ts';
import type { Config } from '../../src/config/schema.ts';
import { buildGraph } from '../../src/correlate/graph.ts';

const config = {
  business: { services: { frontend: { depends_on: ['cart', 'search'] }, cart: { depends_on: [] } } },
  provenance: {},
} as unknown as Config;
const graph = buildGraph({
  edges: [
    { caller: 'frontend', callee: 'cart' },
    { caller: 'frontend', callee: 'search' },
  ],
});
const now = Date.parse('2026-11-20T03:00:00Z');
const learned = (caller: string, callee: string, namespace: string | null = null) => ({
  namespace,
  caller,
  callee,
  weight: 2.5,
  source: 'main: istio',
  firstSeenAt: now - 3_600_000,
  lastSeenAt: now - 60_000,
});

test('an edge says who declared it, who saw it, how busy it is and how long ago', () => {
  const view = topologyView(
    config,
    graph,
    [],
    [learned('frontend', 'cart', 'shop'), learned('cart', 'redis', 'shop')],
    [],
    now,
  );
  const edge = (caller: string, callee: string, namespace: string | null) =>
    view.edges.find((one) => one.caller === caller && one.callee === callee && one.namespace === namespace);
  expect(edge('frontend', 'cart', null)).toMatchObject({
    source: 'config',
    seenBy: 'main: istio',
    requestsPerSecond: 2.5,
    lastSeenSecondsAgo: 60,
  });
  expect(edge('cart', 'redis', 'shop')).toMatchObject({ source: 'learned', seenBy: 'main: istio' });
  expect(edge('frontend', 'search', null)).toMatchObject({ source: 'config', seenBy: null, requestsPerSecond: null });
});

test('drift: declared and never seen, seen and not declared, alerting and not catalogued', () => {
  const firing = [{ service: 'nobody', namespace: null, firing: 1, worst: 'high' }];
  const { drift } = topologyView(
    config,
    graph,
    firing,
    [learned('frontend', 'cart'), learned('cart', 'redis')],
    [],
    now,
  );
  expect(drift).toEqual({
    alertingNotCatalogued: ['nobody'],
    declaredNotCatalogued: ['search'],
    declaredNeverSeen: [{ caller: 'frontend', callee: 'search' }],
    seenNotDeclared: [{ caller: 'cart', callee: 'redis' }],
  });
});

test('where no traffic is seen at all, nothing is said to be missing in it', () => {
  expect(topologyView(config, graph, [], [], [], now).drift.declaredNeverSeen).toEqual([]);
});

const shop = (name: string, pods: number) => ({ namespace: 'shop', kind: 'Deployment', name, pods });
const cluster = (more: object = {}) => ({
  server: 'main',
  match: {},
  workloads: [shop('cart', 3), shop('worker', 2)],
  onNodes: [
    ['n1', 0, 1],
    ['n2', 0, 2],
    ['n1', 1, 2],
  ] as [string, number, number][],
  seenAt: now - 90_000,
  ...more,
});

test('containment: workloads with their pods by node, those that alert first; a workload is no drift', () => {
  const firing = [{ service: 'worker', namespace: 'shop', firing: 1, worst: 'high' }];
  const view = topologyView(config, graph, firing, [], [cluster()], now);
  expect(view.containment).toEqual([
    {
      server: 'main',
      seenSecondsAgo: 90,
      pods: 5,
      nodes: 2,
      workloads: [
        { ...shop('worker', 2), alerting: true, nodes: [{ node: 'n1', pods: 2 }] },
        {
          ...shop('cart', 3),
          alerting: false,
          nodes: [
            { node: 'n2', pods: 2 },
            { node: 'n1', pods: 1 },
          ],
        },
      ],
      omittedWorkloads: 0,
    },
  ]);
  expect(view.drift.seenNotDeclared).toEqual([]);
  expect(view.nodes.map(({ service }) => service).sort()).toEqual(['cart', 'frontend', 'search', 'worker']);
});

test('containment: of a cluster too large to list, what is known, and how much is left out', () => {
  const workloads = Array.from({ length: 5_000 }, (_, i) => shop(`service-${i}`, 10));
  const [view] = topologyView(config, graph, [], [], [cluster({ workloads, onNodes: null })], now).containment;
  expect(view).toMatchObject({ pods: 50_000, nodes: null, omittedWorkloads: 4_000 });
  expect(view!.workloads[0]!.nodes).toBeNull();
});
