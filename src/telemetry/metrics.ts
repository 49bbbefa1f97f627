import { monitorEventLoopDelay } from 'node:perf_hooks';
import {
  AggregatorRegistry,
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type MetricObject,
  Registry,
} from 'prom-client';
import type { Ledger } from '../domain/ledger.ts';

/** Seconds, from a hot path's fraction of a millisecond to a hung source. */
const QUICK = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const SLOW = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];
const COUNTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

/**
 * Every metric of the service, stage by stage in the order data flows. One registry per thread; `mergeMetrics` makes one
 * text of them. A gauge is set by one thread only; where both have it, the `aggregator` says which value counts.
 */
export function createMetrics({ process: withProcess = false }: { process?: boolean } = {}) {
  const registry = new Registry();
  const registers = [registry];
  const counter = <L extends string = never>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter<L>({ name: `tocsin_${name}`, help, labelNames, registers });
  const histogram = <L extends string = never>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: readonly L[] = [],
  ) => new Histogram<L>({ name: `tocsin_${name}`, help, buckets, labelNames, registers });
  const gauge = <L extends string = never>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    aggregator: 'max' | 'sum' = 'max',
  ) => new Gauge<L>({ name: `tocsin_${name}`, help, labelNames, registers, aggregator });

  if (withProcess) collectDefaultMetrics({ register: registry });

  const metrics = {
    registry,

    // The process
    buildInfo: gauge('build_info', 'Always 1; the version that runs', ['version', 'node']),
    configInfo: gauge('config_info', 'Always 1; the hash of the config tree in force', ['hash']),
    configReloadSuccess: gauge(
      'config_last_reload_successful',
      'Whether the last reload was accepted (1) or refused (0)',
    ),
    configReloadSeconds: gauge('config_last_reload_success_timestamp_seconds', 'When a config tree was last accepted'),
    eventLoopLag: gauge('event_loop_lag_seconds', 'Event-loop delay over the last 10 s', ['thread', 'quantile']),
    threadRestarts: counter('work_restarts_total', 'How often the work thread was started anew after it died'),
    killSwitch: gauge('kill_switch', '1 while everything is passed through plainly'),
    killSwitchTrips: counter('kill_switch_trips_total', 'How often the kill switch tripped by itself'),

    // receive
    deliveries: counter('received_deliveries_total', 'Requests at the door by what became of them', ['kind', 'result']),
    receivedBytes: counter('received_bytes_total', 'Body bytes accepted, after decompression', ['kind']),
    receivedAlerts: counter('received_alerts_total', 'Alerts in accepted bodies', ['result']),
    receiveSeconds: histogram('receive_seconds', 'From request to answer, durable commit included', QUICK, ['kind']),
    inboxDepth: gauge('inbox_depth', 'Deliveries stored and not yet worked on'),
    inboxOldest: gauge('inbox_oldest_seconds', 'Age of the oldest of them'),
    inboxFull: gauge('inbox_full', '1 while the inbox or the disk is full and deliveries get 503'),
    quarantined: counter('quarantined_total', 'What could not be used and was kept aside: alerts and whole bodies', [
      'what',
    ]),
    polls: counter('reconcile_polls_total', 'Polls of each Alertmanager', ['source', 'result']),
    pollSuccess: gauge('reconcile_last_success_timestamp_seconds', 'When each Alertmanager last answered', ['source']),

    // correlate
    alertChanges: counter('alert_changes_total', 'What each sighting of an alert meant', ['change']),
    alertsFiring: gauge('alerts_firing', 'Alerts that fire now'),
    incidentsOpen: gauge('incidents_open', 'Incidents that are not resolved'),
    correlateSeconds: histogram('correlate_batch_seconds', 'Applying one batch of the inbox in memory', QUICK),
    correlateSize: histogram('correlate_batch_items', 'Inbox items in one batch', COUNTS),
    commitSeconds: histogram('commit_seconds', 'Committing one batch of effects', QUICK),
    commitFailures: counter('commit_failures_total', 'Commits that failed; the state was rebuilt from the store'),
    rebuildSeconds: histogram('rebuild_seconds', 'Rebuilding the state from the store', SLOW),
    shardOwner: gauge('shard_owner', '1 where this process owns the shard', [], 'max'),
    heartbeatsMissing: gauge('heartbeats_missing', 'Heartbeats that did not come in time'),

    // assess
    assessments: counter('assessments_total', 'Assessments of an incident revision by result', ['result']),
    assessSeconds: histogram('assess_seconds', 'From an incident change to its committed assessment', SLOW),
    enrichSeconds: histogram('enrich_seconds', 'Gathering facts, all sources under one deadline', QUICK),
    degraded: counter('degraded_total', 'Stages that were skipped or late', ['stage']),
    prometheusRequests: counter('prometheus_requests_total', 'Questions to each Prometheus by what came of them', [
      'server',
      'result',
    ]),
    verdicts: counter('verdicts_total', 'What was done with incidents', ['verdict', 'mode']),

    // notify
    notifications: counter('notifications_total', 'Delivery attempts by channel and result', ['channel', 'result']),
    notificationSeconds: histogram('notification_seconds', 'One call of a channel', QUICK, ['channel']),
    notificationDelay: histogram('notification_delay_seconds', 'From the decision to the delivery', SLOW, ['channel']),
    notificationsWaiting: gauge('notifications_waiting', 'Notifications due and not yet delivered', ['channel']),
    notificationsOldest: gauge('notifications_oldest_seconds', 'Age of the oldest of them'),
    failovers: counter('notification_failovers_total', "Messages that went to the route's next channel", [
      'from',
      'to',
    ]),
    lastResort: counter(
      'notification_last_resort_total',
      'Messages that no channel took and that went to the log: an alarm',
    ),
    firstNotification: histogram(
      'first_notification_seconds',
      'From the arrival of an alert to the first message about it',
      SLOW,
    ),
    canary: gauge(
      'canary_last_round_timestamp_seconds',
      'When the canary last made the round from webhook to notification',
    ),

    // escalate and respond
    escalations: counter('escalations_total', 'Escalation steps by result', ['result']),
    actions: counter('actions_total', 'What people did, where, with which result', ['do', 'origin', 'result']),

    // api
    httpRequests: counter('http_requests_total', 'Answered requests', ['method', 'route', 'status']),
    httpSeconds: histogram('http_seconds', 'Time to answer', QUICK, ['method', 'route']),
    eventStreams: gauge('event_streams', 'Open server-sent event streams'),

    // Work in the background
    jobs: counter('jobs_total', 'Background jobs by result', ['job', 'result']),

    ledgerImbalance: gauge('ledger_imbalance', 'How far the ledger is off, 0 while it balances: an alarm', ['check']),
    scorecard: gauge('scorecard', 'Shares by the word of people over 90 days; no series below 10 judgements', [
      'measure',
    ]),
    scorecardJudged: gauge('scorecard_judged', 'Judgements by people that each share rests on', ['measure']),

    ledger: gauge('ledger', 'Alert state changes since the store was made; received is the sum of the others', [
      'state',
    ]),
  };
  return metrics;
}

export type Metrics = ReturnType<typeof createMetrics>;

/** Sets the ledger gauge from the store's counts. */
export function setLedger(metrics: Metrics, ledger: Ledger): void {
  for (const [state, count] of Object.entries(ledger)) metrics.ledger.set({ state }, count);
}

/** Names the config in force: only the newest hash is shown. `at` is epoch ms. */
export function setConfig(metrics: Metrics, hash: string, at: number): void {
  metrics.configInfo.reset();
  metrics.configInfo.set({ hash }, 1);
  metrics.configReloadSuccess.set(1);
  metrics.configReloadSeconds.set(at / 1_000);
}

/** Measures this thread's event-loop delay: median, 99th percentile and maximum of each 10 s. Gives back how to stop. */
export function watchEventLoop(metrics: Metrics, thread: 'main' | 'work'): () => void {
  const resolution = 10;
  const delay = monitorEventLoopDelay({ resolution });
  delay.enable();
  const show = (quantile: string, nanoseconds: number): void =>
    // The histogram holds whole timer periods: an idle loop shows its resolution. Without a sample it says 2^63 or NaN.
    metrics.eventLoopLag.set(
      { thread, quantile },
      delay.count === 0 ? 0 : Math.max(0, nanoseconds / 1e9 - resolution / 1e3),
    );
  const timer = setInterval(() => {
    show('0.5', delay.percentile(50));
    show('0.99', delay.percentile(99));
    show('1', delay.max);
    delay.reset();
  }, 10_000);
  timer.unref();
  return () => {
    clearInterval(timer);
    delay.disable();
  };
}

/** A registry as plain data, to be sent from the work thread to the main one. */
export const metricsJson = (metrics: Metrics): Promise<MetricObject[]> => metrics.registry.getMetricsAsJSON();

/** One exposition text (Prometheus 0.0.4) of the registries of all threads: counters and histograms add up, gauges take the larger. */
export async function mergeMetrics(...threads: MetricObject[][]): Promise<string> {
  return AggregatorRegistry.aggregate(threads).metrics();
}
