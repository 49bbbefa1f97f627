import { expect, test } from 'vitest';
import type { VectorSeries } from '../../src/enrich/prometheus/answers.ts';
import { type Look, rollouts } from '../../src/enrich/prometheus/rollouts.ts';

const at = Date.parse('2026-11-20T03:00:00Z');
const naming = { service: ['service', 'app'], cluster: ['cluster'] };
const series = (metric: Record<string, string>, value: number): VectorSeries => ({
  metric,
  sample: [at / 1000, value],
});
const look = (minute: number, more: Partial<Look> = {}): Look => ({
  at: at + minute * 60_000,
  images: [],
  generations: [],
  replicaSets: [],
  replicas: [],
  builds: [],
  starts: [],
  ...more,
});
const seconds = (minute: number): number => at / 1000 + minute * 60;
const image = (workload: string, reference: string, created = seconds(-600), container = workload) =>
  series({ namespace: 'shop', workload, container, image: reference }, created);
const rs = (deployment: string, created: number) => series({ namespace: 'shop', deployment }, created);

test('a new image is a deploy that began when its first pod was made', () => {
  const found = rollouts(
    look(0, { images: [image('checkout', 'r:5000/shop/checkout:1.4.1')] }),
    look(1, {
      images: [
        image('checkout', 'r:5000/shop/checkout:1.4.1'),
        image('checkout', 'r:5000/shop/checkout:1.4.2', seconds(0.5)),
      ],
    }),
    naming,
  );
  expect(found).toMatchObject([
    { service: 'checkout', version: '1.4.2', previousVersion: '1.4.1', startedAt: '2026-11-20T03:00:30.000Z' },
  ]);
});

test('the end of a roll-out, a new workload and a job of its own name are no deploys', () => {
  const both = [image('checkout', 'checkout:1'), image('checkout', 'checkout:2')];
  expect(rollouts(look(0, { images: both }), look(1, { images: [both[1]!] }), naming)).toEqual([]);
  const nightly = image('nightly-28373', 'job:1');
  expect(rollouts(look(0, { images: both }), look(1, { images: [...both, nightly] }), naming)).toEqual([]);
});

test('two containers of one workload are one deploy, told by the one named like it', () => {
  const found = rollouts(
    look(0, { images: [image('cart', 'cart:1'), image('cart', 'proxy:1', 0, 'proxy')] }),
    look(1, { images: [image('cart', 'cart:2'), image('cart', 'proxy:2', 0, 'proxy')] }),
    naming,
  );
  expect(found).toMatchObject([{ service: 'cart', version: '2', summary: 'image of cart in cart changed' }]);
});

test('a digest is a version too, and going back is told as the change it is', () => {
  const [a, b] = ['cart@sha256:aaaa', 'cart@sha256:bbbb'];
  expect(
    rollouts(look(0, { images: [image('cart', a)] }), look(1, { images: [image('cart', b)] }), naming),
  ).toMatchObject([{ version: 'sha256:bbbb', previousVersion: 'sha256:aaaa' }]);
  expect(
    rollouts(look(1, { images: [image('cart', b)] }), look(2, { images: [image('cart', a)] }), naming),
  ).toMatchObject([{ version: 'sha256:aaaa', previousVersion: 'sha256:bbbb' }]);
});

test('a new generation is a deploy when a ReplicaSet was made for it, not when it was scaled', () => {
  const before = look(0, {
    generations: [rs('cart', 3)],
    replicaSets: [rs('cart', seconds(-60))],
    replicas: [rs('cart', 2)],
  });
  const rolled = look(1, {
    generations: [rs('cart', 4)],
    replicaSets: [rs('cart', seconds(0.7))],
    replicas: [rs('cart', 2)],
  });
  const scaled = look(1, {
    generations: [rs('cart', 4)],
    replicaSets: [rs('cart', seconds(-60))],
    replicas: [rs('cart', 9)],
  });
  expect(rollouts(before, rolled, naming)).toMatchObject([{ service: 'cart', startedAt: '2026-11-20T03:00:42.000Z' }]);
  expect(rollouts(before, scaled, naming)).toEqual([]);
});

test('without ReplicaSets a new generation counts only when the number of replicas stayed', () => {
  const before = look(0, { generations: [rs('cart', 3)], replicas: [rs('cart', 2)] });
  expect(rollouts(before, look(1, { generations: [rs('cart', 4)], replicas: [rs('cart', 2)] }), naming)).toHaveLength(
    1,
  );
  expect(rollouts(before, look(1, { generations: [rs('cart', 4)], replicas: [rs('cart', 3)] }), naming)).toEqual([]);
});

test('image and generation of one roll-out are one deploy', () => {
  const before = look(0, {
    images: [image('cart', 'cart:1')],
    generations: [rs('cart', 3)],
    replicaSets: [rs('cart', seconds(-60))],
  });
  const after = look(1, {
    images: [image('cart', 'cart:2')],
    generations: [rs('cart', 4)],
    replicaSets: [rs('cart', seconds(0.5))],
  });
  expect(rollouts(before, after, naming)).toMatchObject([{ service: 'cart', version: '2' }]);
});

const build = (version: string, instance = 'a:1', more: Record<string, string> = {}) =>
  series({ __name__: 'cart_build_info', job: 'cart', instance, version, revision: `rev-${version}`, ...more }, 1);
const start = (value: number, instance = 'a:1') =>
  series({ __name__: 'process_start_time_seconds', job: 'cart', instance }, value);

test('outside Kubernetes a new version is a deploy that began when the process did', () => {
  const found = rollouts(
    look(0, { builds: [build('1'), build('1', 'b:1')], starts: [start(seconds(-900)), start(seconds(-900), 'b:1')] }),
    look(1, { builds: [build('2'), build('2', 'b:1')], starts: [start(seconds(0.2)), start(seconds(0.6), 'b:1')] }),
    naming,
  );
  expect(found).toMatchObject([
    { service: 'cart', version: '2', previousVersion: '1', commit: 'rev-2', startedAt: '2026-11-20T03:00:12.000Z' },
  ]);
});

test('the service of a series is its label, else its job; the runtime has no say', () => {
  const change = (metric: Record<string, string>) =>
    rollouts(
      look(0, { builds: [build('1', 'a:1', metric)] }),
      look(1, { builds: [build('2', 'a:1', metric)] }),
      naming,
    );
  expect(change({ app: 'basket', cluster: 'eu' })).toMatchObject([{ service: 'basket', cluster: 'eu' }]);
  expect(change({ __name__: 'go_build_info' })).toEqual([]);
});

test('a process that started anew is a deploy of nothing known; one that keeps starting crashes', () => {
  const stable = rollouts(
    look(0, { starts: [start(seconds(-900))] }),
    look(1, { starts: [start(seconds(0.5))] }),
    naming,
  );
  expect(stable).toMatchObject([{ service: 'cart', status: 'restarted', startedAt: '2026-11-20T03:00:30.000Z' }]);
  expect(
    rollouts(look(0, { starts: [start(seconds(-3))] }), look(1, { starts: [start(seconds(0.5))] }), naming),
  ).toEqual([]);
  expect(
    rollouts(look(0, { starts: [start(seconds(-900))] }), look(1, { starts: [start(seconds(-900) + 1)] }), naming),
  ).toEqual([]);
});

test('a start in the future or long ago is not believed: then it was after the look before', () => {
  for (const created of [seconds(90), seconds(-6_000), 1, Number.NaN]) {
    const found = rollouts(
      look(0, { images: [image('cart', 'cart:1')] }),
      look(1, { images: [image('cart', 'cart:2', created)] }),
      naming,
    );
    expect(found).toMatchObject([{ startedAt: '2026-11-20T03:00:00.000Z' }]);
  }
});
