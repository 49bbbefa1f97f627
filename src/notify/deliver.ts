import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Incident } from '../domain/incident.ts';
import type { NotificationJob, Target } from '../domain/notification.ts';
import type { TimelineEntry } from '../domain/timeline.ts';
import { logTarget, targetLabel } from '../route/targets.ts';
import {
  type ClaimedJob,
  type ClaimedThread,
  claimNotifications,
  enqueue,
  finishNotification,
  getIncidentForDelivery,
  getMessages,
  type MessageRecord,
  type Outcome,
  postpone,
} from '../store/outbox.ts';
import {
  firstNotificationMs,
  isKnown,
  overduePages,
  pagesWaiting,
  renewClaims,
  waitingByChannel,
  worstAlerts,
} from '../store/outbox-delivery.ts';
import type { Log } from '../store/types.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Channel, DeliveryJob, DigestDelivery, MessageRef, SendResult } from './channel.ts';
import type { Channels } from './channels.ts';
import { buildMessage, fingerprintOf, type Message } from './message.ts';
import { backoffMs, createPacer, editEveryMs } from './pace.ts';
import type { Painter } from './picture/painter.ts';
import { createPictures, heldPicture } from './picture/pictures.ts';
import { type Dropped, type Plan, planDelivery } from './plan.ts';

export type DeliveryDeps = {
  pool: pg.Pool;
  /** The channels of the config in force: asked anew for each send, so that a reload takes effect at once. */
  channels: () => Channels;
  painter: Painter;
  /** `server.public_url` of the config in force, or null. */
  publicUrl: () => string | null;
  log: Log;
  metrics: Metrics;
  /** Epoch ms. */
  now: () => number;
  /** Resolves after `ms`, or earlier when the signal is aborted. */
  sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** 0..1, spreads retries. Default Math.random. */
  random?: () => number;
};

export type Delivery = {
  start(): void;
  /** Takes no more work, lets calls in flight end (5 s at most), gives the rest back. */
  stop(): Promise<void>;
  /** There may be work: look now instead of at the next sweep. */
  kick(): void;
};

/**
 * A claim is held this long and renewed every sweep while the work is in flight: long enough for a stalled process to keep
 * its work, short enough that after a kill the next process has it within the contract's 5 s of its start.
 */
const leaseMs = 6_000;
const sweepMs = 1_000;
/** A page that waits longer goes to the route's next channel as well. */
const failoverAfterMs = 60_000;
/** What nobody could deliver for a day has failed. */
const giveUpAfterMs = 24 * 3_600_000;
/** A refusal that somebody can mend is tried again at this pace. */
const refusedRetryMs = 60_000;
const claimLimit = 16;
/** Lanes of one kind at work at once: a transport that hangs holds at most so many calls, and no other kind waits for it. */
const lanesPerKind = 8;
/** Threads a lane takes from one claim; the rest is given back, so that a later page does not queue behind them. */
const lanePerClaim = 4;
const stopWithinMs = 5_000;

/** One address of one channel: calls to it go one after another and fail together. */
type Lane = { target: Target; queue: ClaimedThread[]; running: boolean; failures: number; blockedUntil: number };

const laneKey = (target: Target): string => `${target.channel}\u0000${target.address}`;
const same = (a: Target, b: Target): boolean => a.channel === b.channel && a.address === b.address;

/**
 * The delivery worker: claims what is due in the outbox, renders it from the newest incident and hands it to its channel.
 * One lane per channel and address, so that one that hangs delays nobody else. Any number of workers may run.
 */
export function createDelivery(deps: DeliveryDeps): Delivery {
  const { pool, metrics, log, now } = deps;
  const worker = randomUUID();
  const pacer = createPacer();
  const lanes = new Map<string, Lane>();
  /** Job ids in our hands, for renewal. */
  const held = new Set<string>();
  const draining = new Set<Promise<void>>();
  const stopping = new AbortController();
  let wake: () => void = () => {};
  let kicked = false;
  let loop: Promise<void> | null = null;
  let sweeper: Promise<void> | null = null;
  /** Until when Slack wants no edits from the whole workspace. */
  let editsBlockedUntil = 0;

  const pictures = createPictures({ ...deps, kick });

  const backoff = (failures: number): number => backoffMs(failures, (deps.random ?? Math.random)());

  function kick(): void {
    kicked = true;
    wake();
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      kicked = false;
      let more = false;
      try {
        more = await claimSome();
      } catch (error) {
        log.warn({ error: String(error) }, 'the outbox could not be read; tried again in a second');
      }
      if (more || kicked) continue;
      const napping = new AbortController();
      wake = () => napping.abort();
      if (!stopping.signal.aborted && !kicked) await deps.sleep(sweepMs, napping.signal);
    }
  }

  /** True when there may be more to claim at once. */
  async function claimSome(): Promise<boolean> {
    const at = now();
    const exclude: { channel: Target['channel']; address?: string }[] = [];
    const running = new Map<Target['channel'], number>();
    for (const lane of lanes.values()) {
      if (lane.running) running.set(lane.target.channel, (running.get(lane.target.channel) ?? 0) + 1);
      if (lane.running || lane.blockedUntil > at) exclude.push(lane.target);
    }
    for (const [channel, count] of running) if (count >= lanesPerKind) exclude.push({ channel });
    const threads = await claimNotifications(pool, { now: at, limit: claimLimit, leaseMs, worker, exclude });
    for (const thread of threads) {
      const lane = laneOf(thread.target);
      if (lane.queue.length >= lanePerClaim) {
        await giveBack(thread.jobs);
        continue;
      }
      for (const job of thread.jobs) held.add(job.id);
      lane.queue.push(thread);
      if (!lane.running) {
        const drained: Promise<void> = drain(lane).finally(() => draining.delete(drained));
        draining.add(drained);
      }
    }
    return threads.length === claimLimit;
  }

  function laneOf(target: Target): Lane {
    const key = laneKey(target);
    const lane = lanes.get(key) ?? { target, queue: [], running: false, failures: 0, blockedUntil: 0 };
    lanes.set(key, lane);
    return lane;
  }

  async function drain(lane: Lane): Promise<void> {
    lane.running = true;
    try {
      for (let thread = lane.queue.shift(); thread; thread = lane.queue.shift()) {
        if (stopping.signal.aborted || lane.blockedUntil > now()) await giveBack(thread.jobs);
        else await deliverThread(lane, thread);
      }
    } finally {
      lane.running = false;
      kick();
    }
  }

  /** Back to the outbox as it was: each job due when it was due. */
  async function giveBack(jobs: readonly ClaimedJob[]): Promise<void> {
    for (const [dueAt, group] of Map.groupBy(jobs, (job) => job.dueAt)) await release(group, dueAt, null);
  }

  async function release(jobs: readonly NotificationJob[], dueAt: number, result: string | null): Promise<void> {
    const ids = jobs.map((job) => job.id);
    for (const id of ids) held.delete(id);
    if (ids.length === 0) return;
    try {
      await postpone(pool, ids, dueAt, result === null ? null : { at: now(), result }, worker);
    } catch (error) {
      // The lease lets go of them in a few seconds anyway.
      log.warn({ error: String(error) }, 'notifications could not be given back; their lease ends by itself');
    }
  }

  /** Works on one incident at one target until nothing is left to say there or something has to wait. */
  async function deliverThread(lane: Lane, thread: ClaimedThread): Promise<void> {
    let waiting = thread.jobs;
    let message = thread.message;
    try {
      await relay(thread);
      while (waiting.length > 0) {
        const step = await deliverOne(lane, thread, waiting, message);
        for (const id of step.done) held.delete(id);
        waiting = waiting.filter((job) => !step.done.has(job.id));
        message = step.message;
        if (step.dueAt !== null) {
          // The attempt belongs to the one that was tried; what waits with it waits as long, or the whole thread would be
          // claimed again at once.
          await release(
            waiting.filter((job) => job.id === step.tried),
            step.dueAt,
            step.result,
          );
          await release(
            waiting.filter((job) => job.id !== step.tried),
            step.dueAt,
            null,
          );
          return;
        }
        if (stopping.signal.aborted) return await giveBack(waiting);
      }
    } catch (error) {
      log.error(
        { incident: thread.incidentId, target: targetLabel(thread.target), error: String(error) },
        'delivery broke off; tried again',
      );
      await release(waiting, now() + backoff(1), null);
    }
  }

  type Step = {
    done: ReadonlySet<string>;
    message: MessageRecord | null;
    /** Null: go on with what is left; else everything left waits until then (epoch ms). */
    dueAt: number | null;
    tried: string | null;
    result: string | null;
  };

  async function deliverOne(
    lane: Lane,
    thread: ClaimedThread,
    waiting: ClaimedJob[],
    existing: MessageRecord | null,
  ): Promise<Step> {
    const { incidentId, target } = thread;
    const stepDone = (done: Iterable<string>, message = existing): Step => ({
      done: new Set(done),
      message,
      dueAt: null,
      tried: null,
      result: null,
    });
    const stepWait = (
      dueAt: number,
      done: Iterable<string> = [],
      tried: string | null = null,
      result: string | null = null,
    ): Step => ({
      done: new Set(done),
      message: existing,
      dueAt,
      tried,
      result,
    });

    const [first] = waiting;
    if (first?.digest) return deliverDigest(lane, { ...first, digest: first.digest }, stepDone, stepWait);
    const found = await getIncidentForDelivery(pool, incidentId);
    if (!found) {
      await finish(
        superseded(
          waiting.map(({ id }) => ({ id, reason: 'the incident is not stored any more' })),
          now(),
        ),
      );
      return stepDone(waiting.map(({ id }) => id));
    }
    // Not judged yet, so there is nothing to say; the assessment follows within seconds.
    if (!found.doc) return stepWait(now() + 1_000);
    const incident = found.doc;
    const plan = planDelivery(waiting, existing, {
      status: incident.status,
      acknowledgedAt: incident.acknowledgedAt === null ? null : Date.parse(incident.acknowledgedAt),
    });
    const { send } = plan;
    if (!send) {
      await finish(superseded(plan.drop, now()));
      const done = new Set(plan.drop.map(({ id }) => id));
      if (done.size < waiting.length) throw new Error('a plan that leaves work undone sends something');
      return stepDone(done);
    }

    const built = await messageOf(incident, found.timeline, existing);
    const fingerprint = fingerprintOf(built);
    const edits = send.as === 'update' && !send.broadcast && target.channel === 'slack';
    const comparable =
      target.channel === 'slack' ? send.as !== 'thread' && send.as !== 'escalate' : send.as === 'update';
    if (comparable && !send.broadcast && existing?.fingerprint === fingerprint) {
      const unneeded = [...plan.drop, ...plan.covers, { id: send.job.id, reason: 'it already shows this' }];
      await finish(superseded(unneeded, now()));
      return stepDone(unneeded.map(({ id }) => id));
    }
    if (edits) {
      const earliest = Math.max(editsBlockedUntil, (existing?.updatedAt ?? 0) + editEveryMs);
      if (earliest > now()) return stepWait(earliest);
    }
    const call = send.as === 'open' || send.as === 'escalate' ? 'page' : edits ? 'edit' : 'state';
    for (
      let ms = pacer.turn(target.channel, target.address, call, now());
      ms > 0;
      ms = pacer.turn(target.channel, target.address, call, now())
    ) {
      // An edit can wait in the outbox, where newer ones join it; a page takes the next turn, rendered a second later at most.
      if (call === 'edit' || ms > 2_000) return stepWait(now() + ms);
      await deps.sleep(ms, stopping.signal);
      if (stopping.signal.aborted) return stepWait(send.job.createdAt);
    }

    const started = now();
    const result = await sendThrough(deps.channels()[target.channel], {
      id: send.job.id,
      kind: send.as,
      target,
      incident,
      message: built,
      existing: existing ? { ref: existing.ref as MessageRef, state: existing.state } : null,
      text: send.text,
      broadcast: send.broadcast,
      at: started,
    });
    const at = now();
    metrics.notificationSeconds.observe({ channel: target.channel }, (at - started) / 1000);
    metrics.notifications.inc({ channel: target.channel, result: result.status });
    return settle(lane, { plan: { ...plan, send }, incident, existing, fingerprint, result, at }, stepDone, stepWait);
  }

  /** A digest is sent once, as it was made. It can wait; where it is refused it goes to its next target, at last to the log. */
  async function deliverDigest(
    lane: Lane,
    job: ClaimedJob & Pick<DigestDelivery, 'digest'>,
    stepDone: (done: Iterable<string>) => Step,
    stepWait: (dueAt: number, done?: Iterable<string>, tried?: string | null, result?: string | null) => Step,
  ): Promise<Step> {
    const { target } = job;
    const channel = deps.channels()[target.channel];
    const result: SendResult = channel?.digest
      ? await channel.digest({ id: job.id, target, digest: job.digest, at: now() })
      : { status: 'refused', reason: `${target.channel} cannot take a digest`, fix: null };
    const at = now();
    metrics.notifications.inc({ channel: target.channel, result: result.status });
    const fields = { notification: job.id, target: targetLabel(target), kind: job.kind };
    if (result.status === 'sent') {
      await finishSurely({
        at,
        jobs: [{ id: job.id, state: 'sent', attempt: { at, result: 'sent' }, text: result.text }],
      });
      log.info({ ...fields, ms: at - job.createdAt }, 'digest sent');
      return stepDone([job.id]);
    }
    if (result.status === 'retry' && at - job.createdAt <= giveUpAfterMs) {
      log.warn({ ...fields, reason: result.reason }, 'digest not delivered; tried again');
      lane.failures += 1;
      lane.blockedUntil = at + Math.max(result.afterMs ?? 0, backoff(lane.failures));
      return stepWait(lane.blockedUntil, [], job.id, result.reason);
    }
    log.error({ ...fields, reason: result.reason }, 'digest refused; it goes to the next target');
    const [next = logTarget, ...fallback] = job.fallback;
    const { attempts: _, dueAt: __, ...again } = job;
    const onwards =
      target.channel === 'log' ? [] : [{ ...again, id: `${job.id}~`, target: next, fallback, createdAt: at }];
    await finishSurely({
      at,
      jobs: [{ id: job.id, state: 'failed', attempt: { at, result: result.reason } }],
      next: onwards,
    });
    kick();
    return stepDone([job.id]);
  }

  type Attempted = {
    plan: Plan & { send: NonNullable<Plan['send']> };
    incident: Incident;
    existing: MessageRecord | null;
    fingerprint: string;
    result: SendResult;
    at: number;
  };

  /** Writes down what came of one call, and what follows from it for its lane. */
  async function settle(
    lane: Lane,
    attempted: Attempted,
    stepDone: (done: Iterable<string>, message?: MessageRecord | null) => Step,
    stepWait: (dueAt: number, done?: Iterable<string>, tried?: string | null, result?: string | null) => Step,
  ): Promise<Step> {
    const { plan, incident, existing, result, at } = attempted;
    const { job, as } = plan.send;
    const fields = {
      incident: job.incidentId,
      notification: job.id,
      target: targetLabel(job.target),
      kind: as,
      trace: job.trace,
    };

    if (result.status === 'sent') {
      lane.failures = 0;
      lane.blockedUntil = 0;
      const message = shownAs(attempted, result);
      const ended: Outcome = superseded([...plan.drop, ...plan.covers], at);
      ended.jobs.push({ id: job.id, state: 'sent', attempt: { at, result: 'sent' }, text: result.text });
      ended.message = message;
      if (as === 'open' || as === 'escalate')
        ended.timeline = [line(job, at, 'notified', `Sent to ${targetLabel(job.target)}`)];
      await finishSurely(ended);
      metrics.notificationDelay.observe({ channel: job.target.channel }, Math.max(0, at - job.createdAt) / 1000);
      log.info({ ...fields, ms: at - job.createdAt }, 'notification sent');
      if (as === 'open' && !existing) await timeFirst(job, at);
      if (message && result.pictureRefused) pictures.refused(incident, message);
      else if (message) pictures.want(incident, job.target, message);
      return stepDone(
        ended.jobs.map(({ id }) => id),
        message ?? existing,
      );
    }

    await finish(superseded(plan.drop, at));
    const dropped = plan.drop.map(({ id }) => id);
    const pages = as === 'open' || as === 'escalate';
    if (result.status === 'retry') {
      log.warn(
        { ...fields, reason: result.reason, attempt: attemptsOf(job) + 1 },
        'notification not delivered; tried again',
      );
      if (at - job.createdAt > giveUpAfterMs) return giveUp(`given up after a day: ${result.reason}`);
      if (as === 'update' && result.afterMs !== undefined && job.target.channel === 'slack') {
        // Edits are limited for the whole workspace, messages per channel: pages in this lane may go on.
        editsBlockedUntil = at + result.afterMs;
        return stepWait(editsBlockedUntil, dropped, job.id, result.reason);
      }
      lane.failures += 1;
      lane.blockedUntil = at + Math.max(result.afterMs ?? 0, backoff(lane.failures));
      if (pages && at - job.createdAt >= failoverAfterMs && incident.status === 'open')
        await failover(job, result.reason);
      return stepWait(lane.blockedUntil, dropped, job.id, result.reason);
    }

    const said = result.fix ? `${result.reason}. ${result.fix}` : result.reason;
    log.error({ ...fields, reason: said }, 'notification refused');
    if (pages && incident.status !== 'resolved') await failover(job, said);
    const hopeless = result.fix === null || incident.status === 'resolved' || at - job.createdAt > giveUpAfterMs;
    if (hopeless) return giveUp(said);
    return stepWait(at + refusedRetryMs, dropped, job.id, said);

    /** This one has failed for good; what it would have covered is planned anew. */
    async function giveUp(reason: string): Promise<Step> {
      metrics.notifications.inc({ channel: job.target.channel, result: 'failed' });
      await finishSurely({
        at,
        jobs: [{ id: job.id, state: 'failed', attempt: { at, result: reason } }],
        timeline: [line(job, at, 'notification-failed', `${targetLabel(job.target)} could not be told: ${reason}`)],
      });
      return stepDone([...dropped, job.id]);
    }
  }

  function shownAs(
    { plan, incident, existing, fingerprint, at }: Attempted,
    result: SendResult & { status: 'sent' },
  ): MessageRecord | null {
    const { job, as } = plan.send;
    if (as === 'thread') return null;
    const stands = job.standsInFor ? { standsInFor: targetLabel(job.standsInFor) } : {};
    return {
      incidentId: job.incidentId,
      target: job.target,
      ref: { ...existing?.ref, ...result.ref, ...stands },
      state: incident.status === 'resolved' ? 'resolved' : 'open',
      sentAt: existing?.sentAt ?? at,
      updatedAt: at,
      // Not what was meant to be shown: the next edit is sent whatever it shows.
      fingerprint: result.pictureRefused ? null : fingerprint,
    };
  }

  /** A figure for operators: that it cannot be had must not look like a failed delivery. */
  async function timeFirst(job: NotificationJob, at: number): Promise<void> {
    const ms = await firstNotificationMs(pool, job.incidentId, job.target, at).catch(() => null);
    if (ms !== null) metrics.firstNotification.observe(ms / 1000);
  }

  async function messageOf(
    incident: Incident,
    timeline: TimelineEntry[],
    existing: MessageRecord | null,
  ): Promise<Message> {
    const held = heldPicture(existing);
    const [alerts, elder] = await Promise.all([
      worstAlerts(pool, incident.id, 5),
      incident.mergedInto ? getIncidentForDelivery(pool, incident.mergedInto, 0) : null,
    ]);
    const picture = held?.file ? { file: held.file, alt: held.alt } : null;
    return buildMessage(incident, {
      publicUrl: deps.publicUrl(),
      timeline,
      alerts,
      elder: elder?.doc ?? null,
      picture,
    });
  }

  /** A channel never throws for what the far side did; one that does is a bug that must not stop the others. */
  async function sendThrough(channel: Channel | undefined, job: DeliveryJob): Promise<SendResult> {
    if (!channel) {
      const fix = `Configure channels.${job.target.channel} in tocsin.yaml and set what it refers to`;
      return { status: 'refused', reason: `${job.target.channel} is not configured`, fix };
    }
    try {
      return await channel.send(job);
    } catch (error) {
      log.error(
        { notification: job.id, channel: channel.kind, error: String(error) },
        'a channel threw; please report this',
      );
      return { status: 'retry', reason: 'an unexpected fault inside the channel, see the log' };
    }
  }

  /**
   * The page also goes to the route's next channel that does not have it (for an escalation: that does not wait for one
   * itself), at last to the log. The page itself keeps trying: what it says by then is the newest state.
   */
  async function failover(job: NotificationJob, reason: string): Promise<void> {
    if (job.target.channel === 'log') return;
    const [messages, waiting] = await Promise.all([
      getMessages(pool, job.incidentId),
      pagesWaiting(pool, job.incidentId),
    ]);
    const taken = job.kind === 'escalate' ? waiting : [...waiting, ...messages.map((message) => message.target)];
    const channels = deps.channels();
    const index = job.fallback.findIndex(
      (target) => channels[target.channel] && !taken.some((other) => same(other, target)),
    );
    const next = index < 0 ? logTarget : job.fallback[index]!;
    const at = now();
    const standIn: NotificationJob = {
      ...job,
      id: `${job.id}~`,
      target: next,
      createdAt: at,
      text: `${targetLabel(job.target)} could not be reached: ${reason}`,
      broadcast: false,
      fallback: index < 0 ? [] : job.fallback.slice(index + 1),
      standsInFor: job.target,
    };
    if (await isKnown(pool, standIn.id)) return;
    await finish({
      at,
      jobs: [],
      next: [standIn],
      timeline: [
        line(
          job,
          at,
          'notification-failed',
          `${targetLabel(job.target)} could not be reached (${reason}); sent to ${targetLabel(next)} instead`,
        ),
      ],
    });
    metrics.failovers.inc({ from: job.target.channel, to: next.channel });
    if (next.channel === 'log') metrics.lastResort.inc();
    log.error(
      { incident: job.incidentId, notification: job.id, from: targetLabel(job.target), to: targetLabel(next), reason },
      'a page went to the next channel',
    );
    kick();
  }

  /** Who stood in for this target is told of the incident's later states as well: nobody else knows of them. */
  async function relay({ incidentId, target, jobs }: ClaimedThread): Promise<void> {
    const news = jobs.filter(
      (job) =>
        job.attempts.length === 0 && (job.kind === 'resolve' || job.kind === 'acknowledge' || job.kind === 'update'),
    );
    if (news.length === 0) return;
    const label = targetLabel(target);
    const standIns = (await getMessages(pool, incidentId)).filter(
      (message) => message.ref.standsInFor === label && message.state === 'open' && !same(message.target, target),
    );
    await enqueue(
      pool,
      standIns.flatMap((standIn) =>
        news.map((job) => ({ ...job, id: `${job.id}~`, target: standIn.target, fallback: [], standsInFor: target })),
      ),
    );
    if (standIns.length > 0) kick();
  }

  const finish = (outcome: Outcome): Promise<void> =>
    outcome.jobs.length + (outcome.next?.length ?? 0) > 0 ? finishNotification(pool, outcome) : Promise.resolve();

  /** What went out is a fact that must be written down, or it goes out again: tried until it is, or until we stop. */
  async function finishSurely(outcome: Outcome): Promise<void> {
    for (let failures = 0; ; failures += 1) {
      try {
        await finish(outcome);
        return;
      } catch (error) {
        if (stopping.signal.aborted) throw error;
        log.warn({ error: String(error) }, 'a delivered notification could not be recorded yet; tried again');
        await deps.sleep(Math.min(5_000, 250 * 2 ** failures), stopping.signal);
      }
    }
  }

  async function sweep(): Promise<void> {
    let round = 0;
    while (!stopping.signal.aborted) {
      try {
        await renewClaims(pool, [...held], now() + leaseMs, worker);
        for (const job of await overduePages(pool, now() - failoverAfterMs, 50)) {
          await failover(job, `it has been waiting for ${failoverAfterMs / 1000} s`);
        }
        if (round % 5 === 0) await gauge();
      } catch (error) {
        log.debug({ error: String(error) }, 'the outbox sweep failed; tried again in a second');
      }
      round += 1;
      await deps.sleep(sweepMs, stopping.signal);
    }
  }

  async function gauge(): Promise<void> {
    const at = now();
    const waiting = await waitingByChannel(pool, at);
    metrics.notificationsWaiting.reset();
    for (const { channel, waiting: count } of waiting) metrics.notificationsWaiting.set({ channel }, count);
    const oldest = Math.min(at, ...waiting.map((row) => row.oldestDueAt ?? at));
    metrics.notificationsOldest.set((at - oldest) / 1000);
  }

  return {
    start() {
      loop ??= run();
      sweeper ??= sweep();
    },
    kick,
    async stop() {
      stopping.abort();
      pictures.stop();
      wake();
      await Promise.all([loop, sweeper]);
      // Calls in flight may end; the claim of one that does not is let go by its lease.
      const over = new AbortController();
      await Promise.race([Promise.all(draining), deps.sleep(stopWithinMs, over.signal)]);
      over.abort();
    },
  };
}

const superseded = (dropped: readonly Dropped[], at: number): Outcome => ({
  at,
  jobs: dropped.map(({ id, reason }) => ({
    id,
    state: 'superseded',
    attempt: { at, result: `superseded: ${reason}` },
  })),
});

const attemptsOf = (job: NotificationJob): number => (job as Partial<ClaimedJob>).attempts?.length ?? 0;

const line = (job: NotificationJob, at: number, kind: TimelineEntry['kind'], text: string): TimelineEntry => ({
  incidentId: job.incidentId,
  at,
  kind,
  text,
  by: null,
  data: { channel: job.target.channel, notification: job.id },
});
