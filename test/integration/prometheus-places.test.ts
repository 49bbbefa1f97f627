import { afterEach, expect, test } from 'vitest';
import { compileContainment } from '../../src/domain/containment.ts';
import type { Places } from '../../src/domain/metrics.ts';
import { type FakePrometheus, type PromCall, startFakePrometheus, success } from '../fakes/prom-api.ts';
import { alertOf, configWith, sourceFor, subjectOf } from '../fakes/prom-source.ts';

const names = ['kube_pod_info', 'kube_pod_owner', 'kube_replicaset_owner', 'kube_node_status_condition'];
const pod = (name: string, node: string, kind: string, owner: string) => ({
  metric: {
    __name__: 'kube_pod_info',
    namespace: 'shop',
    pod: name,
    node,
    host_ip: `10.0.0.${node.slice(1)}`,
    created_by_kind: kind,
    created_by_name: owner,
  },
  value: [0, '1'],
});
const pods = [
  pod('checkout-7d9f8c6b5d-x2x4k', 'n1', 'ReplicaSet', 'checkout-7d9f8c6b5d'),
  pod('checkout-7d9f8c6b5d-q9w8c', 'n1', 'ReplicaSet', 'checkout-7d9f8c6b5d'),
  pod('db-0', 'n1', 'StatefulSet', 'db'),
  pod('db-1', 'n2', 'StatefulSet', 'db'),
];

let server: FakePrometheus | null = null;
let stop: (() => void) | null = null;
afterEach(async () => {
  stop?.();
  await server?.close();
});

const queries = (calls: readonly PromCall[]): string[] =>
  calls.flatMap(({ path, params }) => (path === '/api/v1/query' ? (params.get('query') ?? []) : []));
const about = (text: string): string[] => queries(server!.calls).filter((query) => query.includes(text));

/** A kube-state-metrics of two nodes, of which the first is not ready; `silent` answers nothing about pods. */
async function source({ silent = false, containment = compileContainment([]) } = {}) {
  server = await startFakePrometheus(({ path, params }, response) => {
    if (path === '/api/v1/label/__name__/values') return success(response, names);
    if (path !== '/api/v1/query') return false;
    const query = params.get('query') ?? '';
    const vector = (result: unknown[]) => success(response, { resultType: 'vector', result });
    if (query.startsWith('kube_pod_info{')) {
      const wanted = new RegExp(`^(?:${JSON.parse(/pod=~("(?:[^"\\]|\\.)*")/.exec(query)![1]!)})$`);
      return silent ? undefined : vector(pods.filter(({ metric }) => wanted.test(metric.pod)));
    }
    if (query.startsWith('count by (node)')) return vector([{ metric: { node: 'n1' }, value: [0, '3'] }]);
    if (query.startsWith('count by (namespace, created_by_kind, created_by_name)'))
      return vector([
        { metric: { ...pods[0]!.metric, pod: undefined }, value: [0, '2'] },
        { metric: { ...pods[2]!.metric, pod: undefined }, value: [0, '1'] },
      ]);
    if (query.startsWith('kube_replicaset_owner'))
      return vector([
        {
          metric: {
            namespace: 'shop',
            replicaset: 'checkout-7d9f8c6b5d',
            owner_kind: 'Deployment',
            owner_name: 'checkout',
          },
          value: [0, '1'],
        },
      ]);
    if (query.startsWith('kube_node_status_condition'))
      return vector([{ metric: { node: 'n1', condition: 'Ready', status: 'true' }, value: [0, '0'] }]);
    return vector([]);
  });
  const made = sourceFor(configWith([{ name: 'main', url: server.url }], { deadline: '1s' }), {
    containment: () => containment,
  });
  stop = made.close;
  return made.source;
}

const alertsOf = (...labels: Record<string, string>[]) =>
  labels.map((one, i) => ({ ...alertOf({ alertname: 'PodDown', namespace: 'shop', ...one }), fingerprint: `f${i}` }));

async function placesOf(asked: Awaited<ReturnType<typeof source>>, alerts: ReturnType<typeof alertsOf>) {
  const facts = await asked.gather({ ...subjectOf(alerts[0]!), alerts }, new AbortController().signal);
  return { places: facts.lead?.places as Places | undefined, degraded: facts.degraded };
}

test('a pod is said to belong to its Deployment and its node, and that the node is not ready', async () => {
  const { places } = await placesOf(await source(), alertsOf({ pod: 'checkout-7d9f8c6b5d-x2x4k' }));
  expect(places).toMatchObject({
    pods: [
      {
        pod: 'checkout-7d9f8c6b5d-x2x4k',
        node: 'n1',
        workload: { kind: 'Deployment', name: 'checkout', pods: null },
      },
    ],
    nodes: [],
    unwell: [{ node: 'n1', condition: 'NotReady' }],
  });
  expect(places!.text).toBe('pod checkout-7d9f8c6b5d-x2x4k (Deployment checkout) is on node n1; node n1 is NotReady');
});

test('pods of several services on one node have that in common', async () => {
  const { places } = await placesOf(
    await source(),
    alertsOf({ pod: 'checkout-7d9f8c6b5d-x2x4k' }, { pod: 'checkout-7d9f8c6b5d-q9w8c' }, { pod: 'db-0' }),
  );
  expect(places!.text).toMatch(/^all 3 alerting pods are on node n1; /);
});

test('an alert of a node exporter says what runs there, found by its address', async () => {
  const asked = await source();
  const { places } = await placesOf(asked, alertsOf({ instance: '10.0.0.1:9100', job: 'node-exporter' }));
  expect(places!.nodes).toMatchObject([{ node: 'n1', pods: 3, workloads: 2 }]);
  expect(places!.text).toMatch(/^node n1 runs 3 pods of 2 workloads: checkout, db; node n1 is NotReady$/);
});

test('what the watch learned of a node is not asked again, and says what it costs to lose it', async () => {
  const containment = compileContainment([
    {
      server: 'main',
      match: {},
      workloads: [
        { namespace: 'shop', kind: 'Deployment', name: 'checkout', pods: 2 },
        { namespace: 'shop', kind: 'StatefulSet', name: 'db', pods: 2 },
        { namespace: 'shop', kind: 'DaemonSet', name: 'agent', pods: 2 },
      ],
      onNodes: [
        ['n1', 0, 2],
        ['n1', 1, 1],
        ['n1', 2, 1],
      ],
      seenAt: Date.now(),
    },
  ]);
  const { places } = await placesOf(await source({ containment }), alertsOf({ node: 'n1' }));
  expect(places!.text).toMatch(/^node n1 runs 4 pods of 3 workloads: checkout \(all of it\), db \(1 of 2 pods\); /);
  expect(about('kube_pod_info')).toEqual([]);
});

test('the pods of a hundred incidents of one moment are one question', async () => {
  const asked = await source();
  const found = await Promise.all(
    Array.from({ length: 100 }, (_, i) => placesOf(asked, alertsOf({ pod: i % 2 ? 'db-0' : 'db-1', n: String(i) }))),
  );
  expect(found.every(({ places }) => places?.pods.length === 1)).toBe(true);
  expect(about('kube_pod_info')).toHaveLength(1);
});

test('label values with quotes, braces and newlines stay values', async () => {
  const asked = await source();
  const evil = 'x"} or vector(1) or kube_pod_info{pod=~".*\n';
  const { places, degraded } = await placesOf(asked, alertsOf({ pod: evil, namespace: 'a"}\\' }));
  expect(places).toBeUndefined();
  expect(degraded).toEqual([]);
  const [query] = about('kube_pod_info');
  expect(query).toMatch(/^kube_pod_info\{namespace=~"a\\"\\\\}\\\\\\\\",pod=~"x\\"\\\\} or vector/);
});

test('a server that says nothing of pods costs only that', async () => {
  const { places, degraded } = await placesOf(await source({ silent: true }), alertsOf({ pod: 'db-0' }));
  expect(places).toBeUndefined();
  expect(degraded).toEqual([{ stage: 'prometheus:main', reason: expect.stringContaining('no answer in time') }]);
});

test('without kube-state-metrics nothing is asked and nothing is missing', async () => {
  names.splice(0);
  const { places, degraded } = await placesOf(await source(), alertsOf({ pod: 'db-0' }));
  expect({ places, degraded }).toEqual({ places: undefined, degraded: [] });
  expect(about('kube_')).toEqual([]);
});
