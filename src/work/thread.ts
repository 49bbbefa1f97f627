import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { modelsOf } from '../config/models.ts';
import type { Config } from '../config/schema.ts';
import { type ConfigTransfer, fromTransfer } from '../config/secrets.ts';
import type { Action } from '../domain/action.ts';
import { compileContainment, emptyContainment } from '../domain/containment.ts';
import type { Topology } from '../domain/topology.ts';
import { loadAnomalyModel } from '../enrich/anomaly/model.ts';
import { createAnomalyService } from '../enrich/anomaly/service.ts';
import { createHistorySource } from '../enrich/history.ts';
import { createDeployWatch } from '../enrich/prometheus/deploy-watch.ts';
import { judgeBy } from '../enrich/prometheus/judge.ts';
import { createPrometheusSource } from '../enrich/prometheus-source.ts';
import { topologyOf } from '../enrich/topology/edges.ts';
import { createTopologyWatch } from '../enrich/topology/watch.ts';
import { type Jobs, startJobs } from '../jobs/start.ts';
import { type Channels, closeChannels, createChannels } from '../notify/channels.ts';
import { createDelivery } from '../notify/deliver.ts';
import { createPainter } from '../notify/picture/painter.ts';
import { pictureKeyOf } from '../notify/picture/signed-url.ts';
import { createReconciler } from '../receive/reconcile.ts';
import { compileRules, type Rules } from '../rules.ts';
import type { AuditKey } from '../store/audit.ts';
import { saveConfig } from '../store/configs.ts';
import { createInbox } from '../store/inbox.ts';
import { listen } from '../store/listen.ts';
import { openPool } from '../store/pool.ts';
import { openShard } from '../store/shard.ts';
import { readContainment, readLearnedEdges, saveContainment, saveLearnedEdges } from '../store/topology.ts';
import { createLog } from '../telemetry/log.ts';
import { createMetrics, metricsJson, watchEventLoop } from '../telemetry/metrics.ts';
import { createOutbound } from '../telemetry/outbound.ts';
import { createOwner } from './owner.ts';
import { createTrustWatch } from './trust-watch.ts';

/** What the main thread tells this one, and what it answers. */
export type ToWork = { type: 'config'; config: ConfigTransfer } | { type: 'metrics'; id: number } | { type: 'stop' };
export type FromWork =
  | { type: 'metrics'; id: number; json: Awaited<ReturnType<typeof metricsJson>> }
  | { type: 'topology'; topology: Topology }
  | { type: 'stopped' };
export type WorkData = {
  databaseUrl: string;
  dataDir: string;
  logLevel: string;
  shard: string;
  auditKey: AuditKey;
  config: ConfigTransfer;
};

/** Nothing in the background is urgent; a start, and every short life of the tests, goes without the job engine's 24 MB. */
const JOBS_AFTER_MS = 120_000;
/** Accepting beside a busy work thread: 1,290 deliveries/s at 0, 1,447 at 5, 1,753 at 10 (bench/accept.ts, 32 connections). */
const NICE = 10;
const JOBS_RETRY_MS = 30_000;
/** Series that wait for the anomaly detector; in a storm the rest go without its word. */
const SCORED_AT_ONCE = 32;

/**
 * The work side in a thread of its own, so that the judging of a storm never delays the answer to a webhook: owner of the
 * shard, outbox delivery, reconciler, background jobs. It meets the receiving side in the store only.
 */
async function main(): Promise<void> {
  lowerPriority();
  const port = parentPort!;
  const data = workerData as WorkData;
  const log = createLog({ level: data.logLevel }).child({ thread: 'work' });
  const metrics = createMetrics();
  const unwatch = watchEventLoop(metrics, 'work');
  const now = () => Date.now();

  let config: Config = fromTransfer(data.config);
  const models = modelsOf(config);
  let learned: Topology | null = null;
  let containment = emptyContainment();
  let rules: Rules = compileRules(config, models);
  const outbound = createOutbound({ log, registry: metrics.registry, timeoutMs: 10_000 });
  const painter = createPainter(log);
  const channelDeps = { outbound, log, painter, pictureKey: pictureKeyOf(data.auditKey) };
  let channels: Channels = createChannels(config, channelDeps);

  const pool = openPool(data.databaseUrl, { max: 8, name: 'tocsin work' });
  const inboxPool = openPool(data.databaseUrl, { max: 2, name: 'tocsin polls' });
  const { inbox_limit: limit, min_free_disk: minFreeDisk } = config.tocsin.server;
  const inbox = createInbox(inboxPool, { limit, minFreeDisk, dataDir: data.dataDir, now });

  const delivery = createDelivery({
    pool,
    channels: () => channels,
    painter,
    publicUrl: () => config.tocsin.server.public_url ?? null,
    log,
    metrics,
    now,
    sleep: async (ms, signal) => {
      await sleep(ms, undefined, { signal }).catch(() => {});
    },
  });
  const history = createHistorySource(pool);
  const anomalies = createAnomalyService({ size: SCORED_AT_ONCE, model: loadAnomalyModel() });
  const prometheus = createPrometheusSource({
    config: () => config,
    outbound,
    metrics,
    now,
    graph: () => rules.graph,
    onLate: (incidentId) => owner.refresh(incidentId),
    containment: () => containment,
    anomaly: judgeBy(async (series, how) => {
      const outcome = await anomalies.score(series, how);
      return outcome.status === 'scored' ? outcome.points : null;
    }),
  });
  const owner = createOwner({
    openShard: () => openShard({ url: data.databaseUrl, name: data.shard, log, auditKey: data.auditKey, now }),
    rules: () => rules,
    sources: () => (config.tocsin.prometheus.length > 0 ? [prometheus, history] : [history]),
    containment: () => containment,
    onNotifications: delivery.kick,
    log,
    metrics,
    now,
  });
  const reconciler = createReconciler({
    config: () => config,
    append: (item) => inbox.append(item),
    outbound,
    isFiring: owner.isFiring,
    log,
    metrics,
    now,
  });
  const watched = { config: () => config, servers: prometheus.servers, owns: owner.owns, log, now };
  const deploys = createDeployWatch({ ...watched, append: (item) => inbox.append(item) });
  const topology = createTopologyWatch({
    ...watched,
    load: () => readLearnedEdges(pool),
    save: (edges) => saveLearnedEdges(pool, edges),
    containment: {
      load: () => readContainment(pool),
      save: (clusters) => saveContainment(pool, clusters),
      onChange(clusters) {
        containment = compileContainment(clusters);
      },
    },
    onChange(edges) {
      learned = topologyOf(edges);
      rules = compileRules(config, models, { topology: learned });
      owner.reconfigure();
      port.postMessage({ type: 'topology', topology: learned } satisfies FromWork);
    },
  });
  const listener = listen(
    data.databaseUrl,
    ['tocsin_inbox', 'tocsin_outbox'],
    (channel) => (channel === 'tocsin_inbox' ? owner.kick() : delivery.kick()),
    log,
  );

  /** The job may run here while another process owns the shard: then the trip goes to that one through the inbox. */
  function onImbalance(text: string): void {
    if (owner.owns()) {
      owner.trip('ledger', text);
      return;
    }
    const id = `trip-ledger-${now()}`;
    const body = { on: true, text, cause: 'ledger' };
    const action: Action = { id, do: 'kill-switch', incident: null, by: 'tocsin', origin: 'trip', body };
    const item = { kind: 'action', source: 'tocsin', receivedAt: now(), trace: id } as const;
    inbox
      .append({ ...item, body: Buffer.from(JSON.stringify(action)) })
      .catch((error) =>
        log.error({ err: error }, 'the kill switch could not be tripped; the next recount tries again'),
      );
  }

  const ending = new AbortController();
  const stopping = ending.signal;

  /** Without it `explain` judges by today's config, and says so: no reason to hold anything up. */
  const keepConfig = (): void => {
    saveConfig(pool, config, now()).catch((err) => log.warn({ err }, 'the config could not be kept for explanations'));
  };

  keepConfig();
  const trust = createTrustWatch({ pool, owner, inbox, config: () => config, metrics, log, now });
  owner.start();
  trust.start();
  delivery.start();
  reconciler.start();
  deploys.start();
  topology.start();
  let jobs: Jobs | null = null;
  const jobsStarting = (async () => {
    await sleep(JOBS_AFTER_MS, undefined, { signal: stopping }).catch(() => {});
    while (!stopping.aborted) {
      try {
        jobs = await startJobs({
          url: data.databaseUrl,
          pool,
          config: () => config,
          auditKey: data.auditKey,
          onImbalance,
          metrics,
          log,
          now,
        });
        return;
      } catch (error) {
        log.warn({ err: error }, `background jobs cannot start yet; trying again in ${JOBS_RETRY_MS / 1000} s`);
        await sleep(JOBS_RETRY_MS, undefined, { signal: stopping }).catch(() => {});
      }
    }
  })();

  async function stop(): Promise<void> {
    await Promise.all([reconciler.stop(), deploys.stop(), topology.stop()]);
    ending.abort();
    await jobsStarting;
    await jobs?.stop();
    await owner.stop();
    await trust.stop();
    await delivery.stop();
    painter.close();
    await listener.close();
    await inbox.close();
    await closeChannels(channels);
    await anomalies.stop();
    outbound.close();
    await Promise.all([pool.end(), inboxPool.end()]);
    unwatch();
    port.postMessage({ type: 'stopped' } satisfies FromWork);
    port.close();
  }

  port.on('message', (message: ToWork) => {
    if (message.type === 'metrics') {
      void metricsJson(metrics).then((json) =>
        port.postMessage({ type: 'metrics', id: message.id, json } satisfies FromWork),
      );
    } else if (message.type === 'config') {
      config = fromTransfer(message.config);
      keepConfig();
      rules = compileRules(config, models, { topology: learned });
      const old = channels;
      channels = createChannels(config, channelDeps);
      void closeChannels(old);
      owner.reconfigure();
    } else {
      void stop();
    }
  });
}

/**
 * Under load the answers to webhooks come first: on Linux the priority is a thread's own (setpriority(2)), so this
 * leaves the main thread as it was. Elsewhere it would slow the whole process and is left alone.
 */
function lowerPriority(): void {
  if (process.platform === 'linux') setPriority(0, NICE);
}

await main();
