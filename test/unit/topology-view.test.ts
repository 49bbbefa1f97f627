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
  const { drift } = topologyView(config, graph, firing, [learned('frontend', 'cart'), learned('cart', 'redis')], now);
  expect(drift).toEqual({
    alertingNotCatalogued: ['nobody'],
    declaredNotCatalogued: ['search'],
    declaredNeverSeen: [{ caller: 'frontend', callee: 'search' }],
    seenNotDeclared: [{ caller: 'cart', callee: 'redis' }],
  });
});

test('where no traffic is seen at all, nothing is said to be missing in it', () => {
  expect(topologyView(config, graph, [], [], now).drift.declaredNeverSeen).toEqual([]);
});
