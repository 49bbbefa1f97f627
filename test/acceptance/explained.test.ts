import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { hasPrometheus, startPrometheus } from '../fakes/prometheus.ts';
import { firing, startService, webhook } from '../fakes/service.ts';
import { freePort } from '../fakes/service-port.ts';
import type { FakeSlackMessage } from '../fakes/slack.ts';
import { until } from '../fakes/until.ts';
import { openShop, payments } from './shop.ts';

const series = 'error_ratio{service="checkout",namespace="shop"}';
const rule = {
  alert: 'HighErrorRate',
  expr: 'error_ratio > 0.05',
  for: '2s',
  labels: { severity: 'critical' },
  annotations: { summary: 'checkout fails too many of its requests' },
};
const pictureIn = (message: FakeSlackMessage) =>
  message.blocks.find((block) => block.type === 'image') as
    | { slack_file: { id: string }; alt_text: string }
    | undefined;

test.skipIf(!hasPrometheus)(
  'the page says value, limit, trend and deploy, shows the chart, remembers the last time, and says what it could not know',
  { timeout: 180_000 },
  async () => {
    const shop = await openShop();
    const port = await freePort();
    const prometheus = await startPrometheus({ alertmanagerUrl: `http://127.0.0.1:${port}`, rules: [rule] });
    const tocsin = await startService(
      shop.service(
        {
          'tocsin.yaml': {
            prometheus: [{ name: 'main', url: prometheus.url }],
            correlate: { window: '2s', reopen: '1s' },
            server: { min_free_disk: 0, public_url: `http://127.0.0.1:${port}` },
          },
        },
        { port },
      ),
    );
    await tocsin.post('/api/v1/deploys', {
      service: 'checkout',
      version: '4f2c',
      author: 'ben',
      startedAt: new Date(Date.now() - 285_000).toISOString(),
    });
    // Enough of a past for a trend, then a climb over the limit.
    for (let second = 0; second < 12; second += 1) {
      prometheus.set(series, 0.01);
      await sleep(1_000);
    }
    let climbing = true;
    void (async () => {
      for (let value = 0.03; climbing; value += 0.01) {
        prometheus.set(series, value);
        await sleep(1_000);
      }
    })();

    const first = await shop.slack.expect(payments.slack, /HighErrorRate on checkout[\s\S]*getting worse/, {
      timeoutMs: 40_000,
    });
    expect(first.shown).toMatch(/\*Now:\* [\d.]+ %.*limit of 5 %.*getting worse, \+[\d.]+ % a minute/);
    expect(first.shown).toContain('checkout fails too many of its requests');
    expect(first.shown).toMatch(/Began 5 min after deploy 4f2c of checkout by ben/);
    expect(first.shown).toContain('First time ever');
    const picture = await until(
      () => pictureIn(first),
      () => 'the message has no picture',
      20_000,
    );
    expect(shop.slack.files.get(picture.slack_file.id)?.bytes?.subarray(1, 4).toString()).toBe('PNG');
    expect(picture.alt_text).toContain('limit of 5 %');
    const page = await shop.pagerduty.expectTrigger(payments.pagerduty, /getting worse/);
    const fetched = await fetch(page.images![0]!.src);
    expect([fetched.status, fetched.headers.get('content-type')]).toEqual([200, 'image/png']);
    expect((await shop.smtp.expect(payments.email, /HighErrorRate/)).html).toMatch(/limit of 5 %/);

    climbing = false;
    prometheus.set(series, 0);
    await tocsin.expectIncident((one) => one.number === 1 && one.status === 'resolved', 'is resolved', 40_000);
    await sleep(4_000);
    prometheus.set(series, 0.3);
    const second = await shop.slack.expect(payments.slack, /#2.*Seen once before; last #1 HighErrorRate on checkout/s, {
      timeoutMs: 40_000,
    });
    expect(second.ts).not.toBe(first.ts);

    prometheus.freeze();
    const alone = firing({ alertname: 'DiskFull', service: 'payment-db', namespace: 'shop', severity: 'critical' });
    await tocsin.post('/api/v1/webhooks/alertmanager', webhook([alone]));
    const third = await shop.slack.expect(payments.slack, /DiskFull/, { timeoutMs: 10_000 });
    expect(third.shown).toMatch(/degraded: prometheus:main/);
  },
);

test.skipIf(!hasPrometheus)(
  'an alert that only names a pod goes to the owner of its workload, and says on which node it is and what is wrong there',
  { timeout: 120_000 },
  async () => {
    const shop = await openShop();
    const port = await freePort();
    const crash = {
      alert: 'KubePodNotReady',
      expr: 'kube_pod_status_ready{condition="true"} == 0',
      labels: { severity: 'critical' },
    };
    const prometheus = await startPrometheus({ alertmanagerUrl: `http://127.0.0.1:${port}`, rules: [crash] });
    const pods = ['checkout-7d9f8c6b5d-x2x4k', 'checkout-7d9f8c6b5d-q9w8c'];
    for (const pod of pods) {
      const own = `namespace="shop",pod="${pod}"`;
      const owner = 'ReplicaSet",created_by_name="checkout-7d9f8c6b5d"';
      prometheus.set(`kube_pod_info{${own},node="n1",host_ip="10.0.0.1",created_by_kind="${owner}}`, 1);
      prometheus.set(`kube_pod_owner{${own},owner_kind="ReplicaSet",owner_name="checkout-7d9f8c6b5d"}`, 1);
      prometheus.set(`kube_pod_status_ready{${own},condition="true"}`, 1);
    }
    prometheus.set(
      'kube_replicaset_owner{namespace="shop",replicaset="checkout-7d9f8c6b5d",owner_kind="Deployment",owner_name="checkout"}',
      1,
    );
    prometheus.set('kube_node_status_condition{node="n1",condition="Ready",status="true"}', 0);
    const asked = new URLSearchParams({ query: 'kube_pod_owner' });
    await until(
      async () => {
        const answer = await fetch(`${prometheus.url}/api/v1/query?${asked}`);
        return ((await answer.json()) as { data: { result: unknown[] } }).data.result.length === 2;
      },
      () => 'Prometheus has not scraped the pods',
      20_000,
    );
    const tocsin = await startService(
      shop.service(
        {
          'tocsin.yaml': {
            prometheus: [{ name: 'main', url: prometheus.url }],
            enrich: { topology: { every: '2s' } },
            server: { min_free_disk: 0 },
          },
        },
        { port },
      ),
    );
    type Contained = { containment: { server: string; pods: number; workloads: object[] }[] };
    const known = await until(
      async () => {
        const topology = (await (await fetch(`${tocsin.url}/api/v1/topology`)).json()) as Contained;
        return topology.containment[0] ?? null;
      },
      () => 'what runs where was not learned',
      30_000,
    );
    expect(known).toMatchObject({
      server: 'main',
      pods: 2,
      workloads: [{ kind: 'Deployment', name: 'checkout', nodes: [{ node: 'n1', pods: 2 }] }],
    });

    prometheus.set(`kube_pod_status_ready{namespace="shop",pod="${pods[0]}",condition="true"}`, 0);
    const message = await shop.slack.expect(payments.slack, /KubePodNotReady on checkout/, { timeoutMs: 40_000 });
    expect(message.shown).toContain(`pod ${pods[0]} (Deployment checkout, 2 pods) is on node n1; node n1 is NotReady`);
    const incident = await tocsin.expectIncident((one) => one.status === 'open', 'is open');
    expect(incident).toMatchObject({ services: ['checkout'], team: 'payments' });
    const { fingerprint } = (incident as unknown as { lead: { fingerprint: string } }).lead;
    const why = await (await fetch(`${tocsin.url}/api/v1/alerts/${fingerprint}/explain`)).text();
    expect(why).toContain('Its service, checkout, is the workload that it names by its pod');
    const pod = { alertname: 'Other', severity: 'critical', namespace: 'shop', pod: pods[1]! };
    const dry = await tocsin.post('/api/v1/analyze', webhook([firing(pod)]));
    expect(dry.body).toMatchObject({ alerts: [{ enrichment: { analysis: { services: ['checkout'] } } }] });
  },
);
