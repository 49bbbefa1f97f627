import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { Worker } from 'node:worker_threads';
import { analyze } from './analyze.ts';
import { createLive } from './api/live.ts';
import { createApi } from './api/router.ts';
import { createScorecardGauge } from './api/scorecard.ts';
import { createServer, type RunningServer } from './api/server.ts';
import { type Environment, refuseOpenListen, UnusableConfig } from './config/env.ts';
import { formatFaults } from './config/fault.ts';
import { loadConfig } from './config/load.ts';
import { modelsDirOf, modelsOf } from './config/models.ts';
import type { Config } from './config/schema.ts';
import { secret, toTransfer } from './config/secrets.ts';
import { createConfigHolder, watchConfig } from './config/watch.ts';
import { compileContainment } from './domain/containment.ts';
import { killSwitchInWords } from './domain/kill-switch.ts';
import type { Topology } from './domain/topology.ts';
import { createHistorySource } from './enrich/history.ts';
import { createPrometheusSource } from './enrich/prometheus-source.ts';
import { followTopology } from './enrich/topology/follow.ts';
import { createPainter } from './notify/picture/painter.ts';
import { pictureKeyOf } from './notify/picture/signed-url.ts';
import { receiveRouter } from './receive/door.ts';
import { answerSlack } from './respond/answer-slack.ts';
import { createKillSwitchKeeper } from './respond/kill-switch-keeper.ts';
import { compileRules } from './rules.ts';
import { loadAuditKey } from './store/audit.ts';
import { startEmbedded } from './store/embedded.ts';
import { createInbox } from './store/inbox.ts';
import { readKillSwitchRow, readLedger } from './store/ledger.ts';
import { migrate } from './store/migrate.ts';
import { openPool } from './store/pool.ts';
import { quarantineBody } from './store/quarantine.ts';
import { readRecent } from './store/recent.ts';
import { readContainment, readLearnedEdges } from './store/topology.ts';
import { createLog, type Logger } from './telemetry/log.ts';
import { createMetrics, mergeMetrics, metricsJson, setConfig, setLedger, watchEventLoop } from './telemetry/metrics.ts';
import { createOutbound } from './telemetry/outbound.ts';
import { startCanary } from './work/canary.ts';
import { createConfigTrail, type ReloadedBy } from './work/config-trail.ts';
import type { FromWork, ToWork, WorkData } from './work/thread.ts';

export type App = {
  /** `http://127.0.0.1:8080`, with the port the kernel chose when 0 was asked for. */
  url: string;
  /** Drains and stops everything; resolves within 10 s. Safe to call twice. */
  stop(): Promise<void>;
  /** Reads the config tree anew, as SIGHUP does. */
  reload(): void;
  /** Turns the kill switch on, as SIGUSR2 does; only a person turns it off, through the API. */
  passThrough(): void;
};

/** The whole service is down again when this much time has passed, whatever hangs. */
const STOP_WITHIN_MS = 9_000;
const WORK_RESTART_MS = 1_000;

/**
 * Puts the service together and starts it: store, door and API on this thread, the work side on a thread of its own
 * (`role: receive` has none). Fails with `UnusableConfig` when the config or the address cannot be used.
 */
export async function createApp(
  environment: Environment,
  overrides: { log?: Logger; version?: string } = {},
): Promise<App> {
  const log = overrides.log ?? createLog({ level: environment.logLevel });
  const load = () => loadConfig(environment.configDir, environment.all);
  const loaded = load();
  if (!loaded.ok) throw new UnusableConfig(formatFaults(loaded.faults));
  const refused = refuseOpenListen(environment.listen, loaded.config);
  if (refused) throw new UnusableConfig(refused);
  for (const warning of loaded.config.warnings) log.info({}, warning);
  const holder = createConfigHolder(loaded.config, load);
  const models = modelsOf(holder.current);
  let learned: Topology | null = null;
  let rules = compileRules(holder.current, models);
  const now = () => Date.now();
  function takeTopology(topology: Topology): void {
    learned = topology;
    rules = compileRules(holder.current, models, { topology });
  }

  const metrics = createMetrics({ process: true });
  metrics.buildInfo.set({ version: overrides.version ?? 'unknown', node: process.version }, 1);
  setConfig(metrics, holder.current.hash, now());
  const unwatchLoop = watchEventLoop(metrics, 'main');

  mkdirSync(environment.dataDir, { recursive: true });
  const embedded = environment.databaseUrl === null ? await startEmbedded({ dataDir: environment.dataDir, log }) : null;
  const databaseUrl = environment.databaseUrl ?? embedded!.url;
  const pool = openPool(databaseUrl, { max: 10, name: 'tocsin api' });
  await whenReachable(() => migrate(pool, { log }), log);
  const auditKey = loadAuditKey(environment.dataDir);

  const inboxPool = openPool(databaseUrl, { max: 4, name: 'tocsin inbox' });
  const { inbox_limit: limit, min_free_disk: minFreeDisk } = holder.current.tocsin.server;
  const inbox = createInbox(inboxPool, { limit, minFreeDisk, dataDir: environment.dataDir, now });
  const killSwitch = createKillSwitchKeeper({
    dataDir: environment.dataDir,
    append: (item) => inbox.append(item),
    log,
    now,
  });
  // What was turned on before, or while the store was away, goes before every delivery.
  const append: typeof inbox.append = async (item) => {
    await killSwitch.settled();
    return inbox.append(item);
  };
  const trail = createConfigTrail({ pool, auditKey, log, now });
  trail.start(loaded.config);
  const outbound = createOutbound({ log, registry: metrics.registry, timeoutMs: 10_000 });
  const live = createLive(pool, log);

  const work =
    environment.role === 'receive'
      ? null
      : startWork(
          {
            databaseUrl,
            dataDir: environment.dataDir,
            logLevel: environment.logLevel,
            shard: 'default',
            auditKey,
            config: () => toTransfer(holder.current),
          },
          log,
          () => metrics.threadRestarts.inc(),
          takeTopology,
        );

  const following = followTopology({
    load: () => readLearnedEdges(pool),
    onChange: takeTopology,
    log,
    now,
  });
  following.start();

  const modelsDir = modelsDirOf(holder.current);
  holder.subscribe((config) => {
    if (modelsDirOf(config) !== modelsDir)
      log.warn(
        { models: modelsDirOf(config) },
        'correlate.models has changed; models are read at start: restart to use them',
      );
    rules = compileRules(config, models, { topology: learned });
    setConfig(metrics, config.hash, now());
    work?.send({ type: 'config', config: toTransfer(config) });
  });

  function reload(by: ReloadedBy) {
    const before = holder.current;
    const result = holder.reload();
    if (result.ok) {
      if (result.changed) log.info({ hash: result.config.hash }, 'config reloaded');
      trail.changed(before, result.config, by);
      return { ok: true as const, hash: result.config.hash };
    }
    metrics.configReloadSuccess.set(0);
    log.error(
      { faults: result.faults.length },
      `config refused, the last good one (${holder.current.hash}) stays:\n${formatFaults(result.faults)}`,
    );
    return { ok: false as const, faults: result.faults };
  }
  const watching = watchConfig(environment.configDir, { onChange: () => void reload('file') });

  const refreshScorecard = createScorecardGauge(pool, metrics, now);
  async function metricsText(): Promise<string> {
    const stats = inbox.stats();
    metrics.inboxDepth.set(stats.depth);
    metrics.inboxOldest.set(stats.oldestAgeSeconds);
    metrics.inboxFull.set(stats.full ? 1 : 0);
    const turned = await readKillSwitchRow(pool).catch(() => null);
    metrics.killSwitch.set(killSwitch.held() || turned?.on ? 1 : 0);
    await readLedger(pool).then(
      (ledger) => setLedger(metrics, ledger),
      () => {},
    );
    void refreshScorecard();
    return mergeMetrics(await metricsJson(metrics), ...(work ? [await work.metrics()] : []));
  }

  const painter = createPainter(log);
  // A dry run asks what the work thread asks; only the anomaly detector stays there, it would hold up answers to webhooks.
  const analysisSources = [
    createPrometheusSource({ config: () => holder.current, outbound, metrics, now, graph: () => rules.graph }),
    createHistorySource(pool),
  ];
  const api = createApi({
    pool,
    painter,
    pictureKey: pictureKeyOf(auditKey),
    append,
    killSwitch,
    config: () => holder.current,
    reload: async (token) => reload({ token }),
    async analyze(body, source) {
      const windowMs = Math.max(rules.windowMs, rules.reopenMs);
      return analyze(
        body,
        source,
        {
          rules,
          containment: compileContainment(await readContainment(pool)),
          sources: analysisSources,
          recent: (fingerprints) => readRecent(pool, { now: now(), windowMs, fingerprints }),
        },
        now(),
      );
    },
    metricsText,
    metrics,
    graph: () => rules.graph,
    model: models.correlation,
    checks: [
      {
        name: 'inbox',
        check: () =>
          inbox.stats().full
            ? { state: 'degraded', detail: 'full: webhooks get 503 until it drains' }
            : { state: 'ok', detail: `${inbox.stats().depth} deliveries wait` },
      },
      {
        name: 'kill-switch',
        check: async () => {
          const held = killSwitch.held();
          const state = held ? { ...held, on: true, incidentId: null } : await readKillSwitchRow(pool);
          return { state: state.on ? 'degraded' : 'ok', detail: killSwitchInWords(state) };
        },
      },
      ...(work ? [{ name: 'work', check: () => work.health() }] : []),
    ],
    live,
    log,
    now,
  });
  const door = receiveRouter({
    inbox: { append, quarantineBody: (body) => quarantineBody(pool, body) },
    config: () => holder.current,
    log,
    metrics,
    onSlack: (interaction, trace) => void answerSlack(interaction, { pool, live, outbound, log: log.child({ trace }) }),
    now,
  });
  let server: RunningServer;
  try {
    await inbox.counted;
    server = await createServer({
      routers: environment.role === 'work' ? [api.router] : [door, api.router],
      listen: environment.listen,
      log,
      onClosing: api.close,
    });
  } catch (error) {
    await stopRest();
    throw error;
  }
  const canary = startCanary({
    url: () => server.url,
    heartbeatUrl: () => heartbeatUrlOf(holder.current),
    pool,
    outbound,
    log,
    metrics,
    now,
  });
  log.info({ url: server.url, role: environment.role, config: holder.current.hash }, `Tocsin listens on ${server.url}`);

  async function stopRest(): Promise<void> {
    watching.close();
    await Promise.all([work?.stop(), following.stop()]);
    painter.close();
    await live.stop();
    killSwitch.stop();
    await trail.stop();
    await inbox.close();
    outbound.close();
    unwatchLoop();
    await Promise.all([pool.end(), inboxPool.end()]);
    await embedded?.stop();
  }

  let stopping: Promise<void> | null = null;
  return {
    url: server.url,
    reload: () => void reload('SIGHUP'),
    passThrough() {
      const by = `signal on ${hostname()}`;
      const action = { id: `signal-${randomUUID()}`, do: 'kill-switch', incident: null, by, origin: 'signal' } as const;
      killSwitch.hold({ ...action, body: { on: true, text: 'SIGUSR2' } }).catch(() => {});
    },
    stop() {
      stopping ??= (async () => {
        const late = new Promise<'late'>((resolve) => {
          setTimeout(() => resolve('late'), STOP_WITHIN_MS).unref();
        });
        const drained = (async () => {
          await canary.stop();
          await server.close();
          await stopRest();
        })();
        if ((await Promise.race([drained, late])) === 'late')
          log.warn({}, `not everything drained within ${STOP_WITHIN_MS} ms; it goes on after the next start`);
      })();
      return stopping;
    },
  };
}

const heartbeatUrlOf = (config: Config): string | null => {
  const url = config.tocsin.heartbeat_url;
  return typeof url === 'object' ? secret(config, url) : (url ?? null);
};

/** The database may come up later than we do (a compose file, a fail-over): waits for it, loudly, and for nothing else. */
async function whenReachable<T>(attempt: () => Promise<T>, log: Logger): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      const { code } = error as { code?: string };
      const gone = /^(ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|57P0[123])$/.test(code ?? '');
      if (!gone || tries >= 60) throw error;
      if (tries % 5 === 0)
        log.warn({ code }, 'the database cannot be reached yet; trying again each second for a minute');
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

type Work = {
  send(message: ToWork): void;
  metrics(): ReturnType<typeof metricsJson>;
  health(): { state: 'ok' | 'degraded'; detail: string };
  stop(): Promise<void>;
};

/** The work thread, started anew when it dies: alerts are accepted meanwhile and nothing of it is lost. */
function startWork(
  data: Omit<WorkData, 'config'> & { config: () => WorkData['config'] },
  log: Logger,
  onRestart: () => void,
  onTopology: (topology: Topology) => void,
): Work {
  let stopping = false;
  let worker: Worker | null = null;
  let asked = 0;
  let ended: () => void = () => {};
  const waiting = new Map<number, (json: Awaited<ReturnType<typeof metricsJson>>) => void>();
  const done = new Promise<void>((resolve) => {
    ended = resolve;
  });

  function start(): void {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const started = new Worker(new URL(`./work/thread.${extension}`, import.meta.url), {
      workerData: { ...data, config: data.config() } satisfies WorkData,
    });
    worker = started;
    started.on('message', (message: FromWork) => {
      if (message.type === 'metrics') {
        waiting.get(message.id)?.(message.json);
        waiting.delete(message.id);
      } else if (message.type === 'topology') {
        onTopology(message.topology);
      }
    });
    started.on('error', (error) => log.error({ err: error }, 'the work thread failed'));
    started.on('exit', (code) => {
      worker = null;
      for (const resolve of waiting.values()) resolve([]);
      waiting.clear();
      if (stopping) return ended();
      log.error({ code }, 'the work thread ended; it is started anew');
      onRestart();
      setTimeout(() => (stopping ? ended() : start()), WORK_RESTART_MS);
    });
  }
  start();

  return {
    send: (message) => worker?.postMessage(message),
    metrics() {
      if (!worker) return Promise.resolve([]);
      const id = asked++;
      const current = worker;
      return new Promise((resolve) => {
        const timer = setTimeout(() => {
          waiting.delete(id);
          resolve([]);
        }, 2_000);
        waiting.set(id, (json) => {
          clearTimeout(timer);
          resolve(json);
        });
        current.postMessage({ type: 'metrics', id } satisfies ToWork);
      });
    },
    health: () =>
      worker
        ? { state: 'ok', detail: 'running' }
        : { state: 'degraded', detail: 'being started anew; alerts are accepted and wait' },
    async stop() {
      stopping = true;
      if (!worker) return;
      worker.postMessage({ type: 'stop' } satisfies ToWork);
      await done;
    },
  };
}
