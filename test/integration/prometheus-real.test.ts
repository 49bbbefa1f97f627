import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { goldenSignals, topologyMappings } from '../../src/config/metric-queries.ts';
import { type ClusterContainment, compileContainment } from '../../src/domain/containment.ts';
import { LeadMetrics } from '../../src/domain/metrics.ts';
import { createDeployWatch } from '../../src/enrich/prometheus/deploy-watch.ts';
import { filled, narrowed } from '../../src/enrich/prometheus/expression.ts';
import { rolloutQueries } from '../../src/enrich/prometheus/rollouts.ts';
import type { LearnedEdge } from '../../src/enrich/topology/edges.ts';
import { createTopologyWatch } from '../../src/enrich/topology/watch.ts';
import { parseDeploys } from '../../src/receive/deploys/parse.ts';
import { decodeEnvelope } from '../../src/receive/envelope.ts';
import { startHttpServer } from '../fakes/http-server.ts';
import { hasPrometheus, type RealPrometheus, startPrometheus } from '../fakes/prom-binary.ts';
import { alertOf, configWith, sourceFor, subjectOf } from '../fakes/prom-source.ts';
import { until } from '../fakes/until.ts';

const installed = hasPrometheus();
if (!installed && process.env.CI === 'true') throw new Error('prometheus is not installed: apt-get install prometheus');

/** What the scraped service exports; tests change it. */
const state = {
  errors: 0.12,
  version: '1.4.1',
  image: 'registry.example.com/shop/checkout:1.4.1',
  bytes: 0,
  started: 0,
};

const exported = (): string => {
  state.errors += 0.004;
  state.bytes += 10;
  const hour = 3_600;
  const pod = 'checkout-7d9f8c6b5d-x2x4k';
  return `
demo_error_ratio{service="checkout",env="prod"} ${state.errors.toFixed(4)}
demo_error_ratio{service="cart",env="prod"} 0.01
demo_error_ratio{service="weird\\"name\\\\}\\n",env="prod"} 0.5
demo_queue_size{service="checkout",namespace="shop"} 12
checkout_build_info{service="checkout",version="${state.version}",revision="abc1234"} 1
process_start_time_seconds ${state.started}
kube_pod_container_info{namespace="shop",pod="${pod}",container="checkout",image="${state.image}"} 1
kube_pod_created{namespace="shop",pod="${pod}"} ${Math.floor(Date.now() / 1000) - hour}
kube_deployment_status_observed_generation{namespace="shop",deployment="checkout"} 3
kube_deployment_spec_replicas{namespace="shop",deployment="checkout"} 2
kube_replicaset_created{namespace="shop",replicaset="checkout-7d9f8c6b5d"} ${Math.floor(Date.now() / 1000) - hour}
traces_service_graph_request_total{client="frontend",server="checkout"} ${state.bytes}
traces_service_graph_request_total{client="checkout",server="payment"} ${state.bytes}
kube_pod_info{namespace="shop",pod="${pod}",node="n1",host_ip="10.0.0.1",created_by_kind="ReplicaSet",created_by_name="checkout-7d9f8c6b5d"} 1
kube_pod_info{namespace="shop",pod="checkout-7d9f8c6b5d-q9w8c",node="n2",host_ip="10.0.0.2",created_by_kind="ReplicaSet",created_by_name="checkout-7d9f8c6b5d"} 1
kube_pod_info{namespace="shop",pod="db-0",node="n1",host_ip="10.0.0.1",created_by_kind="StatefulSet",created_by_name="db"} 1
kube_pod_info{namespace="shop",pod="bare",node="n1",host_ip="10.0.0.1",created_by_kind="<none>",created_by_name="<none>"} 1
kube_pod_owner{namespace="shop",pod="${pod}",owner_kind="ReplicaSet",owner_name="checkout-7d9f8c6b5d",owner_is_controller="true"} 1
kube_pod_owner{namespace="shop",pod="checkout-7d9f8c6b5d-q9w8c",owner_kind="ReplicaSet",owner_name="checkout-7d9f8c6b5d",owner_is_controller="true"} 1
kube_pod_owner{namespace="shop",pod="db-0",owner_kind="StatefulSet",owner_name="db",owner_is_controller="true"} 1
kube_pod_owner{namespace="shop",pod="bare",owner_kind="<none>",owner_name="<none>",owner_is_controller="<none>"} 1
kube_replicaset_owner{namespace="shop",replicaset="checkout-7d9f8c6b5d",owner_kind="Deployment",owner_name="checkout"} 1
kube_replicaset_owner{namespace="shop",replicaset="checkout-5c8d7f6b4c",owner_kind="Deployment",owner_name="checkout"} 1
`;
};

describe.skipIf(!installed)('a real Prometheus', () => {
  let prometheus: RealPrometheus;
  let exporter: { url: string; close(): Promise<void> };

  beforeAll(async () => {
    state.started = Math.floor(Date.now() / 1000) - 86_400;
    exporter = await startHttpServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(exported());
    });
    prometheus = await startPrometheus({
      config: {
        global: { scrape_interval: '1s', evaluation_interval: '1s', external_labels: { region: 'eu-1' } },
        scrape_configs: [
          { job_name: 'demo', honor_labels: true, static_configs: [{ targets: [new URL(exporter.url).host] }] },
          { job_name: 'dead', static_configs: [{ targets: ['127.0.0.1:1'], labels: { service: 'checkout' } }] },
        ],
      },
      rules: {
        groups: [
          {
            name: 'demo',
            rules: [
              {
                alert: 'HighErrorRatio',
                expr: 'max by (service, env) (demo_error_ratio) > 0.05',
                for: '3s',
                labels: { severity: 'critical', team: 'web' },
              },
            ],
          },
        ],
      },
    });
    await until(
      async () => {
        const answer = (await (await fetch(`${prometheus.url}/api/v1/alerts`)).json()) as {
          data: { alerts: { state: string }[] };
        };
        return answer.data.alerts.filter((alert) => alert.state === 'firing').length >= 2;
      },
      () => 'no alert fired',
      30_000,
    );
  }, 60_000);
  afterAll(async () => {
    await prometheus?.stop();
    await exporter?.close();
  });

  const firing = (service: string) =>
    alertOf(
      { alertname: 'HighErrorRatio', service, env: 'prod', severity: 'critical', team: 'web', region: 'eu-1' },
      { startsAt: Date.now() - 1_000 },
    );

  test('a rule that fires has its value, threshold, trend, onset and plot', async () => {
    const { source, close } = sourceFor(configWith([{ name: 'main', url: prometheus.url }]));
    const alert = firing('checkout');
    const facts = await until(
      async () => {
        const subject = subjectOf(alert);
        const got = await source.gather(subject, new AbortController().signal);
        return (got.lead?.prometheus as LeadMetrics | undefined)?.trend ? got : null;
      },
      () => 'no trend yet: it takes three points',
      60_000,
    );
    close();
    const metrics = LeadMetrics.parse(facts.lead!.prometheus);
    expect(metrics).toMatchObject({
      server: 'main',
      expression: 'max by (service, env) (demo_error_ratio)',
      operator: '>',
      threshold: 0.05,
      labels: { service: 'checkout', env: 'prod' },
      seriesBeyond: 2,
      seriesTotal: 3,
      onsetAt: new Date(alert.startsAt - 3_000).toISOString(),
    });
    expect(metrics.value).toBeGreaterThan(0.12);
    expect(metrics.distance).toBeCloseTo(metrics.value! - 0.05, 5);
    expect(metrics.trend).toMatchObject({ direction: 'rising' });
    expect(metrics.trend!.slopePerMinute).toBeGreaterThan(0.05);
    expect(metrics.plot!.values.length).toBeLessThanOrEqual(300);
    expect(metrics.text).toMatch(
      /^demo error ratio 0\.\d+ \(threshold 0\.05\), rising 0\.\d+\/min; 2 of 3 series are beyond it; target 127\.0\.0\.1:1 is down: .*connection refused/,
    );
    expect(metrics.targetsDown).toMatchObject([{ job: 'dead', instance: '127.0.0.1:1' }]);
    expect(facts.degraded).toEqual([]);
  }, 90_000);

  test('a label value with quotes, braces and newlines is found and breaks nothing', async () => {
    const { source, close } = sourceFor(configWith([{ name: 'main', url: prometheus.url }]));
    const facts = await source.gather(subjectOf(firing('weird"name\\}\n')), new AbortController().signal);
    close();
    expect(facts.lead?.prometheus).toMatchObject({ value: 0.5, labels: { service: 'weird"name\\}\n' } });
    expect(facts.degraded).toEqual([]);
  });

  test.each(['checkout', 'weird"name\\}\n'])('narrowing gives one series: %j', async (service) => {
    const query = narrowed('max by (service, env) (demo_error_ratio)', { service, env: 'prod' });
    const answer = await fetch(`${prometheus.url}/api/v1/query?${new URLSearchParams({ query })}`);
    expect(await answer.json()).toMatchObject({ data: { result: [{ metric: { service, env: 'prod' } }] } });
  });

  test('every query that is shipped is one that Prometheus takes', async () => {
    const hostile = { service: 'a"b\\c\n$1{}.*', namespace: null };
    const queries = [
      ...Object.values(rolloutQueries).flat(),
      ...topologyMappings.map(({ query }) => query),
      ...goldenSignals.map(({ query }) => filled(query, hostile)!),
    ];
    for (const query of queries) {
      const answer = await fetch(`${prometheus.url}/api/v1/query?${new URLSearchParams({ query })}`);
      expect(await answer.json(), query).toMatchObject({ status: 'success' });
    }
  });

  test('a new image and a new version are deploys, without any set-up', async () => {
    // It looks a hundred times a second until the scrape has come; the usual ceiling would be used up before that.
    const config = configWith([{ name: 'main', url: prometheus.url, max_per_minute: 1_000_000 }]);
    const { source, close } = sourceFor(config);
    const appended: Buffer[] = [];
    const watch = createDeployWatch({
      config: () => config,
      servers: source.servers,
      append: async (item) => void appended.push(item.body),
      owns: () => true,
      log: { info: () => {}, warn: () => {} },
      now: () => Date.now(),
    });
    const client = source.servers.all()[0]!;
    expect(await watch.look(client)).toEqual([]);
    state.version = '1.4.2';
    state.image = 'registry.example.com/shop/checkout:1.4.2';
    await until(
      async () => {
        await watch.look(client);
        return appended.length > 0;
      },
      () => 'no deploy was found',
    );
    close();
    const { sender, body } = decodeEnvelope(appended[0]!);
    const { deploys, faults } = parseDeploys(sender, JSON.parse(body), Date.now());
    expect(faults).toEqual([]);
    expect(deploys[0]).toMatchObject({
      service: 'checkout',
      version: '1.4.2',
      previousVersion: '1.4.1',
      sources: ['prometheus:main'],
    });
  }, 30_000);

  test('who calls whom is learned, and what runs where', async () => {
    const config = configWith([{ name: 'main', url: prometheus.url }]);
    const { source, close } = sourceFor(config);
    let kept: LearnedEdge[] = [];
    let places: ClusterContainment[] = [];
    const watch = createTopologyWatch({
      config: () => config,
      servers: source.servers,
      owns: () => true,
      load: async () => kept,
      save: async (edges) => {
        kept = edges;
      },
      onChange: () => {},
      containment: {
        load: async () => places,
        save: async (clusters) => {
          places = clusters;
        },
        onChange: () => {},
      },
      log: { info: () => {}, warn: () => {} },
      now: () => Date.now(),
    });
    await until(
      () => watch.look(),
      () => 'no edge was learned',
    );
    expect(kept.map(({ caller, callee, source: from }) => ({ caller, callee, from }))).toEqual([
      { caller: 'checkout', callee: 'payment', from: 'main: service graph of traces' },
      { caller: 'frontend', callee: 'checkout', from: 'main: service graph of traces' },
    ]);
    expect(kept[0]!.weight).toBeGreaterThan(0);
    expect(await watch.look()).toBe(false);
    const checkout = { namespace: 'shop', kind: 'Deployment', name: 'checkout', pods: 2 };
    const db = { namespace: 'shop', kind: 'StatefulSet', name: 'db', pods: 1 };
    expect(places).toMatchObject([{ server: 'main', match: {}, workloads: [checkout, db] }]);
    const known = compileContainment(places);
    expect(known.onNode('main', 'n1')).toEqual([
      { workload: checkout, pods: 1 },
      { workload: db, pods: 1 },
    ]);
    expect(known.workloadOf({ labels: { pod: 'checkout-7d9f8c6b5d-x2x4k' }, namespace: 'shop' })).toEqual(checkout);
    close();
  }, 30_000);

  test('stopped, it is said within the deadline and nothing else is harmed', async () => {
    const gone = await startHttpServer(() => {});
    const { source, close } = sourceFor(configWith([{ name: 'main', url: gone.url }], { deadline: '300ms' }));
    await gone.close();
    const facts = await source.gather(subjectOf(firing('checkout')), new AbortController().signal);
    close();
    expect(facts.lead).toEqual({});
    expect(facts.degraded).toEqual([
      { stage: 'prometheus:main', reason: expect.stringContaining('refused the connection') },
    ]);
  });
});
