/** One alert rule that starts to fire: on how many pods, when (seconds after the storm began), and what it says. */
export type StormAlert = {
  at: number;
  alertname: string;
  severity: 'page' | 'critical' | 'warning' | 'info' | 'none';
  service: string;
  /** Pods it fires on; 0: once for the service, without a pod. Default 0. */
  pods?: number;
  /** Labels beside alertname, severity, service, namespace, cluster and env, or in their place. */
  labels?: Record<string, string>;
  summary: string;
  description: string;
  /** It goes on after everything else is resolved. */
  stays?: boolean;
};

export type StormDeploy = { at: number; service: string; version: string; previousVersion: string; author: string };

export type Scenario = { about: string; deploys: StormDeploy[]; alerts: StormAlert[] };

const noise: StormAlert[] = [
  {
    at: 2,
    alertname: 'NodeClockNotSynchronising',
    severity: 'warning',
    service: 'node-exporter',
    labels: { namespace: 'monitoring', instance: 'worker-17:9100' },
    summary: 'Clock not synchronising on worker-17',
    description: 'NTP has not been in step for ten minutes.',
    stays: true,
  },
  {
    at: 9,
    alertname: 'CPUThrottlingHigh',
    severity: 'info',
    service: 'report-builder',
    labels: { namespace: 'batch', container: 'report-builder' },
    summary: '31% of CPU periods throttled in report-builder',
    description: 'A nightly report runs into its CPU limit.',
  },
  {
    at: 13,
    alertname: 'KubePodCrashLooping',
    severity: 'warning',
    service: 'basket',
    pods: 1,
    labels: { env: 'dev', cluster: 'dev-eu', namespace: 'shop-dev' },
    summary: 'A pod of basket is crash looping in dev',
    description: 'Somebody tries something out in the development cluster.',
  },
];

/** The storms of `tocsin storm`, with the services of the sample config. Made up, in the words of real rules. */
export const scenarios: Record<string, Scenario> = {
  'checkout-outage': {
    about:
      'a release of pricing runs out of memory; basket, order-intake, product-search and storefront follow; some noise',
    deploys: [
      { at: -170, service: 'pricing', version: '2026.47.1', previousVersion: '2026.46.3', author: 'deploy-bot' },
    ],
    alerts: [
      {
        at: 0,
        alertname: 'KubeContainerOOMKilled',
        severity: 'critical',
        service: 'pricing',
        pods: 3,
        summary: 'pricing was killed for using more memory than its limit',
        description: 'Container pricing reached 512 MiB and was OOM killed twice within five minutes.',
      },
      {
        at: 1,
        alertname: 'HighRequestLatency',
        severity: 'warning',
        service: 'pricing',
        summary: 'p99 latency of pricing is 4.8 s',
        description: 'The 99th percentile has been above 1 s for two minutes.',
      },
      {
        at: 4,
        alertname: 'HighErrorRate',
        severity: 'critical',
        service: 'pricing',
        summary: '41% of requests to pricing fail',
        description: 'The 5xx ratio has been above 5% for two minutes.',
      },
      {
        at: 5,
        alertname: 'KubePodCrashLooping',
        severity: 'warning',
        service: 'pricing',
        pods: 3,
        summary: 'A pod of pricing is crash looping',
        description: 'The container restarted 6 times in ten minutes.',
      },
      {
        at: 7,
        alertname: 'UpstreamTimeouts',
        severity: 'warning',
        service: 'basket',
        labels: { destination_service: 'pricing' },
        summary: 'basket waits in vain for pricing',
        description: '27% of the calls from basket to pricing run into their 2 s limit.',
      },
      {
        at: 8,
        alertname: 'HighErrorRate',
        severity: 'critical',
        service: 'basket',
        summary: '22% of requests to basket fail',
        description: 'The 5xx ratio has been above 5% for two minutes.',
      },
      {
        at: 10,
        alertname: 'HighErrorRate',
        severity: 'page',
        service: 'order-intake',
        summary: '19% of orders fail',
        description: 'The 5xx ratio of order-intake has been above 2% for one minute.',
      },
      {
        at: 11,
        alertname: 'HighRequestLatency',
        severity: 'warning',
        service: 'product-search',
        summary: 'p99 latency of product-search is 3.1 s',
        description: 'The 99th percentile has been above 1 s for two minutes.',
      },
      {
        at: 12,
        alertname: 'HighRequestLatency',
        severity: 'warning',
        service: 'storefront',
        summary: 'p99 latency of storefront is 6.2 s',
        description: 'The 99th percentile has been above 2 s for two minutes.',
      },
      {
        at: 14,
        alertname: 'HighErrorRate',
        severity: 'page',
        service: 'storefront',
        summary: '9% of pages fail to render',
        description: 'The 5xx ratio of storefront has been above 2% for one minute.',
      },
      {
        at: 17,
        alertname: 'SLOErrorBudgetBurn',
        severity: 'page',
        service: 'storefront',
        summary: 'storefront burns its error budget 14 times too fast',
        description: 'At this rate the budget of 30 days is gone in two.',
      },
      {
        at: 18,
        alertname: 'OrdersBelowForecast',
        severity: 'warning',
        service: 'order-intake',
        summary: 'Orders are 38% below the forecast',
        description: 'Fewer orders than on any of the last four Fridays at this hour.',
      },
      ...noise,
    ],
  },

  'two-faults': {
    about: 'the disk of order-db fills while, unrelated, search-index runs out of heap: two incidents at once',
    deploys: [],
    alerts: [
      {
        at: 0,
        alertname: 'KubePersistentVolumeFillingUp',
        severity: 'critical',
        service: 'order-db',
        labels: { persistentvolumeclaim: 'data-order-db-0', namespace: 'data' },
        summary: 'The volume of order-db is 98% full',
        description: 'Write-ahead logs pile up behind a replica that does not follow.',
      },
      {
        at: 3,
        alertname: 'PostgresqlTooManyConnections',
        severity: 'warning',
        service: 'order-db',
        labels: { namespace: 'data' },
        summary: 'order-db uses 96% of its connections',
        description: 'Sessions wait for writes to finish.',
      },
      {
        at: 4,
        alertname: 'JvmHeapNearlyFull',
        severity: 'critical',
        service: 'search-index',
        pods: 2,
        labels: { namespace: 'search' },
        summary: 'The heap of search-index is 97% full',
        description: 'Full garbage collections take 40% of the time.',
      },
      {
        at: 6,
        alertname: 'HighErrorRate',
        severity: 'critical',
        service: 'stock',
        summary: '33% of requests to stock fail',
        description: 'The 5xx ratio has been above 5% for two minutes.',
      },
      {
        at: 8,
        alertname: 'HighRequestLatency',
        severity: 'warning',
        service: 'product-search',
        summary: 'p99 latency of product-search is 5.4 s',
        description: 'The 99th percentile has been above 1 s for two minutes.',
      },
      {
        at: 10,
        alertname: 'QueueGrowing',
        severity: 'warning',
        service: 'parcel-labels',
        summary: '1,840 labels wait to be printed',
        description: 'The queue has grown for five minutes.',
      },
      {
        at: 12,
        alertname: 'HighErrorRate',
        severity: 'page',
        service: 'order-intake',
        summary: '28% of orders fail',
        description: 'The 5xx ratio of order-intake has been above 2% for one minute.',
      },
      {
        at: 15,
        alertname: 'QueueGrowing',
        severity: 'warning',
        service: 'order-mails',
        summary: '5,200 mails wait to be sent',
        description: 'The queue has grown for five minutes.',
      },
      ...noise,
    ],
  },

  'node-failure': {
    about: 'a node dies with a dozen pods of several services on it',
    deploys: [],
    alerts: [
      {
        at: 0,
        alertname: 'KubeNodeNotReady',
        severity: 'critical',
        service: 'kubelet',
        labels: { namespace: 'kube-system', node: 'worker-04' },
        summary: 'worker-04 is not ready',
        description: 'The kubelet has not reported for two minutes.',
      },
      ...['basket', 'stock', 'fraud-check', 'product-search', 'customer-login', 'parcel-labels'].flatMap(
        (service, i): StormAlert[] => [
          {
            at: 2 + i * 2,
            alertname: 'KubePodNotReady',
            severity: 'warning',
            service,
            pods: 2,
            labels: { node: 'worker-04' },
            summary: `A pod of ${service} is not ready`,
            description: 'It has been pending for three minutes since its node went away.',
          },
          {
            at: 3 + i * 2,
            alertname: 'TargetDown',
            severity: 'warning',
            service,
            labels: { node: 'worker-04', job: service },
            summary: `Part of ${service} cannot be scraped`,
            description: 'One of three targets has been down for a minute.',
          },
        ],
      ),
      ...noise,
    ],
  },

  flood: {
    about: '600 pods of one service crash after a bad setting: one rule, one incident, not 600 pages',
    deploys: [
      {
        at: -60,
        service: 'customer-login',
        version: 'config-8812',
        previousVersion: 'config-8811',
        author: 'deploy-bot',
      },
    ],
    alerts: [
      ...[0, 4, 8, 12].map(
        (at, i): StormAlert => ({
          at,
          alertname: 'KubePodCrashLooping',
          severity: 'warning',
          service: 'customer-login',
          pods: 150,
          labels: { zone: `eu-1${'abcd'[i]}` },
          summary: 'A pod of customer-login is crash looping',
          description: 'It ends at once: a setting names a key that does not exist.',
        }),
      ),
      {
        at: 14,
        alertname: 'HighErrorRate',
        severity: 'page',
        service: 'customer-login',
        summary: '97% of sign-ins fail',
        description: 'The 5xx ratio of customer-login has been above 2% for one minute.',
      },
      ...noise,
    ],
  },
};
