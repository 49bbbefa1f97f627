import { setImmediate as breathe } from 'node:timers/promises';
import type { Config } from '../config/schema.ts';
import type { Containment } from '../domain/containment.ts';
import type { Effects } from '../domain/effects.ts';
import { type Facts, noFacts } from '../domain/facts.ts';
import type { TripCause } from '../domain/kill-switch.ts';
import { imbalanceOf } from '../domain/ledger.ts';
import { type FactSource, gather, type Subject } from '../enrich/gather.ts';
import { createEngine, type Engine, type Input, KEEP_MS } from '../pipeline.ts';
import { decode } from '../receive/decode.ts';
import { oldestInFlight } from '../respond/kill-switch.ts';
import type { Rules } from '../rules.ts';
import type { ShardSession } from '../store/shard.ts';
import type { InboxItem } from '../store/types.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** Where new work comes from and where it goes; the store's shard session in the service. */
export type OwnerDeps = {
  /** Takes the shard, or null while another process holds it. */
  openShard(): Promise<ShardSession | null>;
  rules: () => Rules;
  /** Places facts come from; none configured: incidents are judged in the same commit as their alerts. */
  sources: () => readonly FactSource[];
  /** What runs where, as learned last. */
  containment: () => Containment;
  /** Called after a commit that put something into the outbox. */
  onNotifications(): void;
  log: Logger;
  metrics: Metrics;
  /** Epoch ms. */
  now: () => number;
};

export type Owner = {
  start(): void;
  /** Finishes the batch in hand, commits it and lets the shard go. */
  stop(): Promise<void>;
  /** Something came into the inbox: look now. */
  kick(): void;
  /** A new config is in force: the engine takes it between two batches. */
  reconfigure(): void;
  /** Facts that came after an incident's deadline are there: it is judged anew with them. */
  refresh(incidentId: string): void;
  /** The service must not be trusted: everything is passed through, and the default team is told. Where this owns the shard. */
  trip(cause: TripCause, reason: string): void;
  /** Since when the oldest change in memory waits for its verdict, epoch ms; null when none does or another process owns. */
  oldestInFlight(): number | null;
  /** Whether this process owns the shard now. */
  owns(): boolean;
  isFiring(source: string, fingerprint: string): boolean;
};

/** One look into the inbox. */
const BATCH = { limit: 512, maxBytes: 32 * 1024 * 1024 };
/** Deliveries a commit (2,560 alerts of 20 each); while it runs the next slice is judged. 64 wrote incidents more often: 1,306/s for 1,955. */
const SLICE = 128;
/** The event loop is given air this often, ms: commits and the delivery of pages share this thread. */
const AIR_EVERY_MS = 5;
/** Alerts of one body applied in one go: 500 of as many new services took 146 ms of CPU in a process that had seen no storm, 100 take 52. */
const CHUNK = 100;
/** Another process holds the shard: asked again this often, so that a take-over happens within seconds. */
const STANDBY_MS = 500;
const IDLE_MS = 1_000;

/**
 * The one owner of a shard: drains the inbox in order through the engine, commits what comes of it in one transaction,
 * gathers facts for the incidents that changed, and lets the engine's clocks run. After any failure to commit, what is in
 * memory is thrown away and rebuilt from the store: memory never runs ahead of it.
 */
export function createOwner(deps: OwnerDeps): Owner {
  const { log, metrics, now } = deps;
  let stopping = false;
  let running: Promise<void> | null = null;
  let wake: () => void = () => {};
  let kicked = false;
  let engine: Engine | null = null;
  let reloadWanted = false;
  const late = new Set<string>();
  let tripWanted: { cause: TripCause; reason: string } | null = null;
  let countedAt = 0;
  let breathedAt = 0;

  const kick = (): void => {
    kicked = true;
    wake();
  };

  /** Sleeps until kicked or for `ms`, whichever is first. */
  async function rest(ms: number): Promise<void> {
    if (!kicked && !stopping && ms > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    wake = () => {};
    kicked = false;
  }

  async function run(): Promise<void> {
    let failures = 0;
    let standing = false;
    while (!stopping) {
      let session: ShardSession | null = null;
      try {
        session = await deps.openShard();
        if (session === null) {
          if (!standing) log.info({}, 'another process owns the shard; standing by');
          standing = true;
          await rest(STANDBY_MS);
          continue;
        }
        standing = false;
        await own(session, () => {
          failures = 0;
        });
      } catch (error) {
        failures += 1;
        metrics.commitFailures.inc();
        log.error({ err: error }, 'the store failed this shard; its state is rebuilt as soon as the store is back');
        await rest(Math.min(5_000, 250 * 2 ** Math.min(failures, 5)));
      } finally {
        engine = null;
        metrics.shardOwner.set(0);
        await session?.close().catch(() => {});
      }
    }
  }

  async function own(session: ShardSession, onCommitted: () => void): Promise<void> {
    const begun = performance.now();
    const fresh = createEngine(deps.rules());
    const restored = await session.restore({ now: now(), lookbackMs: KEEP_MS });
    fresh.restore(restored, now());
    engine = fresh;
    reloadWanted = false;
    metrics.shardOwner.set(1);
    metrics.rebuildSeconds.observe((performance.now() - begun) / 1000);
    log.info(
      { alerts: restored.alerts.length, incidents: restored.incidents.length },
      'owns the shard; state rebuilt from the store',
    );

    let lost: Error | null = null;
    session.onLost((error) => {
      lost = error;
      kick();
    });
    const answered: { subject: Subject; facts: Facts }[] = [];
    const current = fresh;

    /** Applies some deliveries, judges what is ready, asks for facts, and gives what is to be committed. */
    async function step(items: InboxItem[]): Promise<Effects> {
      const { config } = deps.rules();
      const start = performance.now();
      current.contain(deps.containment());
      if (tripWanted) tripNow(current);
      for (const item of items) await applyItem(current, item, config);
      current.advance(now());
      for (const id of late) current.refresh(id, now());
      late.clear();
      for (const { subject, facts } of answered.splice(0)) {
        judge(current, subject, facts);
        await air();
      }
      const sources = deps.sources();
      for (const subject of current.requests(now())) {
        if (sources.length === 0) {
          judge(current, subject, null);
        } else {
          void ask(sources, subject, config).then((facts) => {
            answered.push({ subject, facts });
            kick();
          });
        }
        await air();
      }
      if (items.length > 0) {
        metrics.correlateSeconds.observe((performance.now() - start) / 1000);
        metrics.correlateSize.observe(items.length);
      }
      return current.takeEffects(now());
    }

    async function commit(effects: Effects, items: InboxItem[]): Promise<void> {
      const off = imbalanceOf(effects.ledger);
      if (off !== 0) {
        log.error({ ledger: effects.ledger, off }, 'the ledger of one commit does not balance; please report this');
        tripWanted = { cause: 'ledger', reason: `the ledger of one commit is off by ${off}` };
      }
      const begun = performance.now();
      await session.commit(
        effects,
        items.map((item) => item.id),
      );
      onCommitted();
      metrics.commitSeconds.observe((performance.now() - begun) / 1000);
      report(current, effects);
      if (effects.notifications.length > 0) deps.onNotifications();
    }

    while (!stopping) {
      if (lost) throw lost;
      if (reloadWanted) {
        reloadWanted = false;
        current.reconfigure(deps.rules(), now());
      }
      const items = await session.take(BATCH);
      // While one slice is being committed the next one is judged; commits stay in order, and one that fails stops all.
      let committed: Promise<void> = Promise.resolve();
      for (const slice of slices(items)) {
        const effects = await step(slice);
        await committed;
        if (slice.length === 0 && isEmpty(effects)) continue;
        committed = commit(effects, slice);
        committed.catch(() => {}); // it is thrown where it is awaited
      }
      await committed;
      if (items.length > 0 || answered.length > 0) continue;
      const due = current.nextDue();
      await rest(due === null ? IDLE_MS : Math.max(0, Math.min(IDLE_MS, due - now())));
    }
  }

  /** The trip takes the road of any other turn, so that it is committed, audited and told like one. */
  function tripNow(engine: Engine): void {
    const { cause, reason: text } = tripWanted!;
    tripWanted = null;
    if (engine.world.killSwitch.on) return;
    const body = { on: true, text, cause };
    const id = `trip-${cause}-${now()}`;
    engine.apply(
      { kind: 'action', action: { id, do: 'kill-switch', incident: null, by: 'tocsin', origin: 'trip', body } },
      now(),
    );
  }

  async function ask(sources: readonly FactSource[], subject: Subject, config: Config): Promise<Facts> {
    const begun = performance.now();
    const facts = await gather(sources, subject, config.tocsin.enrich.deadline);
    metrics.enrichSeconds.observe((performance.now() - begun) / 1000);
    for (const { stage } of facts.degraded) metrics.degraded.inc({ stage });
    return facts;
  }

  function judge(engine: Engine, subject: Subject, facts: Facts | null): void {
    const judgement = engine.assess(subject.incidentId, facts ?? noFacts(), now());
    if (!judgement) return;
    metrics.assessments.inc({ result: judgement.doc.degraded.some((d) => d.stage === 'assess') ? 'plain' : 'full' });
    metrics.assessSeconds.observe(Math.max(0, now() - subject.now) / 1000);
    metrics.verdicts.inc({ verdict: judgement.decided.done, mode: judgement.decided.decision.mode });
  }

  /** Lets the event loop turn when this thread has held it for long: a commit and the channels are waiting for their answers. */
  async function air(): Promise<void> {
    if (performance.now() - breathedAt < AIR_EVERY_MS) return;
    await breathe();
    breathedAt = performance.now();
  }

  /** One item of the inbox. A bug in here costs this item its effect, never the line behind it; the item stays on record. */
  async function applyItem(engine: Engine, item: InboxItem, config: Config): Promise<void> {
    const input = decode(item, config);
    try {
      for (const part of chunks(input)) {
        engine.apply(part, now());
        await air();
      }
    } catch (error) {
      log.error(
        { err: error, trace: item.trace, delivery: item.id },
        'a delivery could not be applied and is kept in quarantine; please report this',
      );
      const reason = `internal error: ${error instanceof Error ? error.message : String(error)}`;
      const record = {
        at: item.receivedAt,
        source: item.source,
        deliveryId: item.id,
        place: 'body',
        reason,
        raw: item.body.toString('utf8').slice(0, 65_536),
      };
      engine.apply({ kind: 'unusable', quarantined: record }, now());
    }
  }

  function report(engine: Engine, effects: Effects): void {
    metrics.killSwitch.set(engine.world.killSwitch.on ? 1 : 0);
    if (effects.killSwitch?.on && effects.killSwitch.origin === 'trip') {
      const { reason } = effects.killSwitch;
      log.error({ reason }, 'the kill switch tripped: everything is passed through until somebody turns it off');
      metrics.killSwitchTrips.inc();
    }
    for (const entry of effects.timeline)
      if (entry.kind === 'escalated' || entry.kind === 'escalation-skipped')
        metrics.escalations.inc({ result: entry.kind });
    for (const { alert } of effects.alerts) metrics.alertChanges.inc({ change: alert.closedBecause ?? alert.status });
    // Counting walks every incident held: once a second is often enough for a gauge.
    if (now() - countedAt < 1_000) return;
    countedAt = now();
    let open = 0;
    let firing = 0;
    for (const incident of engine.world.incidents.values()) {
      if (incident.state.status === 'resolved') continue;
      open += 1;
      firing += incident.firing;
    }
    metrics.incidentsOpen.set(open);
    metrics.alertsFiring.set(firing);
    let missing = 0;
    for (const heartbeat of engine.world.heartbeats.values()) if (heartbeat.missingSince !== null) missing += 1;
    metrics.heartbeatsMissing.set(missing);
  }

  return {
    start() {
      running ??= run();
    },
    async stop() {
      stopping = true;
      wake();
      await running;
    },
    kick,
    reconfigure() {
      reloadWanted = true;
      kick();
    },
    refresh(incidentId) {
      late.add(incidentId);
      kick();
    },
    trip(cause, reason) {
      tripWanted = { cause, reason };
      kick();
    },
    oldestInFlight: () => (engine ? oldestInFlight(engine.world.incidents.values()) : null),
    owns: () => engine !== null,
    isFiring: (source, fingerprint) => engine?.world.alerts.get(`${source}/${fingerprint}`)?.status === 'firing',
  };
}

/** A batch in slices of a few dozen deliveries; one empty slice when nothing came, because the clocks go on. */
function* slices(items: InboxItem[]): Generator<InboxItem[]> {
  if (items.length === 0) yield items;
  for (let i = 0; i < items.length; i += SLICE) yield items.slice(i, i + SLICE);
}

function* chunks(input: Input): Generator<Input> {
  if (input.kind !== 'alerts' || input.sighting.seen.length <= CHUNK) {
    yield input;
    return;
  }
  const { seen } = input.sighting;
  for (let i = 0; i < seen.length; i += CHUNK) {
    const sighting = { ...input.sighting, seen: seen.slice(i, i + CHUNK) };
    yield { ...input, sighting, quarantined: i === 0 ? input.quarantined : [] };
  }
}

const isEmpty = (effects: Effects): boolean =>
  effects.killSwitch === null &&
  Object.values(effects).every((part) => !Array.isArray(part) || part.length === 0) &&
  Object.values(effects.ledger).every((n) => n === 0);
