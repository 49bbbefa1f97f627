import { expect, test } from 'vitest';
import { TocsinFile } from '../../src/config/schema.ts';
import { type ClusterContainment, compileContainment, serviceByPlace } from '../../src/domain/containment.ts';
import { containmentIn, containmentQueries, learnContainment } from '../../src/enrich/topology/containment.ts';
import { tell } from './engine-story.ts';

const { containment: mapping } = TocsinFile.parse({}).enrich.topology;
const { exporters } = mapping;
const now = Date.parse('2026-11-20T03:00:00Z');
const series = (metric: Record<string, string>, value = 1) => ({ metric, sample: [now / 1000, value] as const });
const ofPods = (kind: string, name: string, pods: number) =>
  series({ namespace: 'shop', owner_kind: kind, owner_name: name }, pods);
const replicaSet = mapping.owners.find(({ child }) => child === 'ReplicaSet')!;
const job = mapping.owners.find(({ child }) => child === 'Job')!;

const cluster: ClusterContainment = {
  server: 'main',
  match: {},
  workloads: [
    { namespace: 'shop', kind: 'Deployment', name: 'checkout', pods: 3 },
    { namespace: 'shop', kind: 'Deployment', name: 'checkout-worker', pods: 1 },
    { namespace: 'shop', kind: 'StatefulSet', name: 'db', pods: 3 },
    { namespace: 'shop', kind: 'DaemonSet', name: 'agent', pods: 9 },
    { namespace: 'shop', kind: 'CronJob', name: 'nightly', pods: 1 },
  ],
  onNodes: [
    ['n1', 2, 1],
    ['n1', 0, 2],
  ],
  seenAt: now,
};
const workloadOf = (labels: Record<string, string>, namespace: string | null = 'shop') =>
  compileContainment([cluster]).workloadOf({ labels, namespace })?.name ?? null;

test('a pod belongs to the workload that its name shows and its namespace has', () => {
  expect(workloadOf({ pod: 'checkout-7d9f8c6b5d-x2x4k' })).toBe('checkout');
  expect(workloadOf({ pod: 'checkout-worker-7d9f8c6b5d-x2x4k' })).toBe('checkout-worker');
  expect(workloadOf({ pod: 'db-2' })).toBe('db');
  expect(workloadOf({ pod: 'agent-x2x4k' })).toBe('agent');
  expect(workloadOf({ pod: 'nightly-29876543-x2x4k' })).toBe('nightly');
  expect(workloadOf({ pod: 'stranger-7d9f8c6b5d-x2x4k' })).toBeNull();
  expect(workloadOf({ pod: 'checkout-7d9f8c6b5d-x2x4k' }, 'other')).toBeNull();
  expect(workloadOf({ pod: 'checkout-7d9f8c6b5d-x2x4k' }, null)).toBeNull();
  expect(workloadOf({ deployment: 'checkout' })).toBe('checkout');
});

test('two clusters that disagree say nothing; the one that serves the alert is asked', () => {
  const other = {
    ...cluster,
    server: 'other',
    match: { cluster: 'b' },
    workloads: [{ namespace: 'shop', kind: 'Job', name: 'agent', pods: 2 }],
  };
  const both = compileContainment([cluster, other]);
  const of = (labels: Record<string, string>) => both.workloadOf({ labels, namespace: 'shop' })?.kind ?? null;
  expect(of({ pod: 'agent-x2x4k', cluster: 'b' })).toBeNull();
  expect(of({ pod: 'agent-x2x4k', cluster: 'a' })).toBe('DaemonSet');
  expect(of({ pod: 'db-1', cluster: 'b' })).toBe('StatefulSet');
});

test('the pod speaks where the service label is silent or names the exporter that scraped', () => {
  const known = compileContainment([cluster]);
  const by = (service: string | null, labels: Record<string, string>) =>
    serviceByPlace(known, { labels, namespace: 'shop', service }, exporters);
  const pod = { pod: 'checkout-7d9f8c6b5d-x2x4k' };
  expect(by(null, pod)).toBe('checkout');
  expect(by('kps-kube-state-metrics', { ...pod, job: 'kube-state-metrics' })).toBe('checkout');
  expect(by('kps-kubelet', { ...pod, job: 'kubelet' })).toBe('checkout');
  expect(by('frontend', pod)).toBeNull();
  expect(by('kps-kube-state-metrics', { job: 'kube-state-metrics' })).toBeNull();
});

test('ReplicaSets count for their Deployment and Jobs for their CronJob; bare pods and those of the kubelet do not count', async () => {
  const found = await containmentIn(
    {
      ofPods: [
        ofPods('ReplicaSet', 'checkout-7d9f8c6b5d', 2),
        ofPods('ReplicaSet', 'checkout-5c8d7f6b4c', 1),
        ofPods('Job', 'nightly-29876543', 1),
        ofPods('Node', 'n1', 4),
        ofPods('<none>', '<none>', 4),
        ofPods('StatefulSet', 'db', Number.NaN),
      ],
      ofOthers: [
        {
          owner: replicaSet,
          series: ['checkout-7d9f8c6b5d', 'checkout-5c8d7f6b4c'].map((replicaset) =>
            series({ namespace: 'shop', replicaset, owner_kind: 'Deployment', owner_name: 'checkout' }),
          ),
        },
        {
          owner: job,
          series: [
            series({ namespace: 'shop', job_name: 'nightly-29876543', owner_kind: 'CronJob', owner_name: 'nightly' }),
          ],
        },
      ],
      onNodes: [
        series(
          { namespace: 'shop', node: 'n1', created_by_kind: 'ReplicaSet', created_by_name: 'checkout-7d9f8c6b5d' },
          2,
        ),
        series(
          { namespace: 'shop', node: 'n1', created_by_kind: 'ReplicaSet', created_by_name: 'checkout-5c8d7f6b4c' },
          1,
        ),
      ],
    },
    mapping,
    { name: 'main' },
    now,
  );
  expect(found).toEqual({
    server: 'main',
    match: {},
    workloads: [
      { namespace: 'shop', kind: 'Deployment', name: 'checkout', pods: 3 },
      { namespace: 'shop', kind: 'CronJob', name: 'nightly', pods: 1 },
      { namespace: 'shop', kind: 'StatefulSet', name: 'db', pods: 0 },
    ],
    onNodes: [['n1', 0, 3]],
    seenAt: now,
  });
});

test('where ReplicaSets could not be asked for, their name tells the Deployment', async () => {
  const found = await containmentIn(
    {
      ofPods: [ofPods('ReplicaSet', 'checkout-7d9f8c6b5d', 2)],
      ofOthers: [{ owner: replicaSet, series: null }],
      onNodes: null,
    },
    mapping,
    { name: 'main' },
    now,
  );
  expect(found).toMatchObject({ workloads: [{ kind: 'Deployment', name: 'checkout' }], onNodes: null });
});

test('a cluster of 50,000 pods is asked for by workload, not by pod', () => {
  const { ofPods: pods, ofOthers, onNodes } = containmentQueries(mapping);
  for (const query of [pods!, onNodes]) expect(query).toMatch(/^count by \((?!.*\bpod\b.*\) \()/);
  for (const { query } of ofOthers) expect(query).toContain(' and on (');
});

test('a server that is silent keeps its word for a day', () => {
  const hour = 3_600_000;
  expect(learnContainment([cluster], [], now + hour)).toEqual([cluster]);
  expect(learnContainment([cluster], [], now + 25 * hour)).toEqual([]);
});

test('an alert with a pod and no service goes to the owner of the pod’s workload', () => {
  const story = tell();
  story.engine.contain(
    compileContainment([
      {
        ...cluster,
        workloads: [{ namespace: 'shop', kind: 'Deployment', name: 'payment', pods: 2 }],
        onNodes: null,
      },
    ]),
  );
  story.at('00:00');
  story.fire('KubePodCrashLooping', {
    service: 'kps-kube-state-metrics',
    job: 'kube-state-metrics',
    namespace: 'shop',
    pod: 'payment-7d9f8c6b5d-x2x4k',
  });
  expect([...story.record.alerts.values()].map(({ service }) => service)).toEqual(['payment']);
  expect([...story.record.incidents.values()].map(({ doc }) => doc?.team)).toEqual(['payments']);
});
