import type pg from 'pg';
import { z } from 'zod';
import type { Incident } from '../../domain/incident.ts';
import type { NotificationJob, Target } from '../../domain/notification.ts';
import { enqueue, getIncidentForDelivery, getMessages, type MessageRecord } from '../../store/outbox.ts';
import { savePicture } from '../../store/outbox-delivery.ts';
import type { Log } from '../../store/types.ts';
import type { MessageRef, PictureHost } from '../channel.ts';
import type { Channels } from '../channels.ts';
import { altOf, type ChartData, chartDataOf, pictureTopic } from './chart-data.ts';
import type { Painter } from './painter.ts';

/** What a message's reference says of its picture. `file` is null when it could not be shown; `topic` says what it is about. */
export const HeldPicture = z.object({
  file: z.string().nullable(),
  alt: z.string(),
  topic: z.string(),
  count: z.number(),
});
export type HeldPicture = z.infer<typeof HeldPicture>;

/** The picture a message has, or null. */
export const heldPicture = (message: Pick<MessageRecord, 'ref'> | null): HeldPicture | null =>
  HeldPicture.safeParse(message?.ref.picture).data ?? null;

export type PicturesDeps = {
  pool: pg.Pool;
  channels: () => Channels;
  painter: Painter;
  /** There is an edit to send. */
  kick: () => void;
  log: Log;
  now: () => number;
  sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
};

export type Pictures = {
  /** The text of this incident stands at this target: get it a picture, if there is one to get. Returns at once. */
  want(incident: Incident, target: Target, message: MessageRecord): void;
  /** The message went out without the picture it names: tried again, at last posted into its thread. Returns at once. */
  refused(incident: Incident, message: MessageRecord): void;
  /** Begins nothing new and lets go of what waits. */
  stop(): void;
};

/** A picture costs an edit, of which Slack allows 50 a minute: a first one, and one for each of three turns an incident takes. */
const mostPerMessage = 4;
const mostWaiting = 64;
const atOnce = 2;
/** Slack usually needs a second or two before a message may refer to a file; nobody says how long at most. */
const usableChecksMs = [500, 1_000, 1_500, 2_000, 3_000, 4_000];
const uploadRetriesMs = [2_000, 5_000];
const showRetriesMs = [3_000, 10_000];
/** Pictures that somebody must permit first are not tried again for so long. */
const refusedForMs = 600_000;

/**
 * Pictures for messages that stand already. Everything happens beside the lanes of delivery, so that no page and no edit ever
 * waits for a picture: draw, upload, wait until it may be referred to, write down where it is, and only then ask for an edit,
 * which goes the way of every other. What is lost with a crash comes with the next edit of the message.
 */
export function createPictures(deps: PicturesDeps): Pictures {
  const { pool, painter, log, now } = deps;
  const stopping = new AbortController();
  const queue: { key: string; run: () => Promise<void> }[] = [];
  const busy = new Set<string>();
  /** By message: what could not be had, so that each edit does not try anew. Forgotten with the process. */
  const given = new Map<string, { topic: string; shows: number }>();
  let running = 0;
  let pausedUntil = 0;

  const keyOf = (incidentId: string, target: Target): string => `${incidentId} ${target.channel} ${target.address}`;

  function add(key: string, run: () => Promise<void>): void {
    if (stopping.signal.aborted || busy.has(key) || busy.size >= mostWaiting) return;
    busy.add(key);
    queue.push({ key, run });
    next();
  }

  function next(): void {
    if (running >= atOnce || stopping.signal.aborted) return;
    const job = queue.shift();
    if (!job) return;
    running += 1;
    job
      .run()
      .catch((error: unknown) => log.warn({ error: String(error) }, 'a message stays without its picture'))
      .finally(() => {
        running -= 1;
        busy.delete(job.key);
        next();
      });
  }

  function remember(key: string, topic: string, shows: number): void {
    given.delete(key);
    given.set(key, { topic, shows });
    if (given.size > 5_000) given.delete(given.keys().next().value!);
  }

  /** The incident as it is now, with what there is to draw of it; null when there is nothing any more. */
  async function subjectOf(incidentId: string): Promise<{ doc: Incident; data: ChartData; trace: string } | null> {
    const found = await getIncidentForDelivery(pool, incidentId, 0);
    const data = found?.doc && chartDataOf(found.doc);
    return found?.doc && data ? { doc: found.doc, data, trace: found.state.trace } : null;
  }

  async function uploaded(
    host: PictureHost,
    picture: { png: Buffer; alt: string },
    thread: MessageRef | null,
  ): Promise<string | null> {
    for (let tries = 0; !stopping.signal.aborted; tries += 1) {
      const result = await host.upload(picture, thread);
      if (result.status === 'uploaded') return result.file;
      const wait = uploadRetriesMs[tries];
      if (result.status === 'retry' && wait !== undefined) {
        await deps.sleep(wait, stopping.signal);
        continue;
      }
      if (result.status === 'refused' && result.fix) pausedUntil = now() + refusedForMs;
      const said = result.status === 'refused' && result.fix ? `${result.reason}. ${result.fix}` : result.reason;
      log.warn({ reason: said }, 'Slack did not take a picture; the message stays without one');
      return null;
    }
    return null;
  }

  async function make(key: string, incidentId: string, target: Target): Promise<void> {
    const subject = await subjectOf(incidentId);
    const host = deps.channels()[target.channel]?.pictures;
    if (!subject || !host) return;
    const { doc, data, trace } = subject;
    const topic = pictureTopic(doc)!;
    const alt = altOf(data);
    const png = await painter.paint(data);
    const file = png && (await uploaded(host, { png, alt }, null));
    if (!file) return remember(key, topic, 0);
    for (const ms of usableChecksMs) {
      await deps.sleep(ms, stopping.signal);
      if (stopping.signal.aborted) return;
      if (await host.isUsable(file)) break;
    }
    const before = heldPicture((await messageAt(incidentId, target)) ?? null);
    await savePicture(pool, incidentId, target, { file, alt, topic, count: (before?.count ?? 0) + 1 });
    await show(doc, target, trace, `${file}-0`);
  }

  /** Asks for an edit; which of several asked for together is sent does not matter. */
  async function show(incident: Incident, target: Target, trace: string, name: string): Promise<void> {
    const job: NotificationJob = {
      id: `${incident.id}-picture-${name}`,
      incidentId: incident.id,
      target,
      kind: 'update',
      urgency: 3,
      createdAt: now(),
      text: null,
      broadcast: false,
      fallback: [],
      trace,
    };
    await enqueue(pool, [job]);
    deps.kick();
  }

  const messageAt = async (incidentId: string, target: Target): Promise<MessageRecord | undefined> =>
    (await getMessages(pool, incidentId)).find(
      (message) => message.target.channel === target.channel && message.target.address === target.address,
    );

  async function showAgain(key: string, incidentId: string, target: Target): Promise<void> {
    const held = heldPicture((await messageAt(incidentId, target)) ?? null);
    if (!held?.file) return;
    const shows = given.get(key)?.topic === held.topic ? given.get(key)!.shows : 0;
    const wait = showRetriesMs[shows];
    remember(key, held.topic, shows + 1);
    if (wait === undefined) return intoThread(incidentId, target, held);
    await deps.sleep(wait, stopping.signal);
    const subject = await subjectOf(incidentId);
    if (subject && !stopping.signal.aborted)
      await show(subject.doc, target, subject.trace, `${held.file}-${shows + 1}`);
  }

  /** The last way to show it: as a reply. Once, whether it works or not. */
  async function intoThread(incidentId: string, target: Target, held: HeldPicture): Promise<void> {
    await savePicture(pool, incidentId, target, { ...held, file: null });
    const message = await messageAt(incidentId, target);
    const subject = await subjectOf(incidentId);
    const host = deps.channels()[target.channel]?.pictures;
    if (!message || !subject || !host) return;
    const png = await painter.paint(subject.data);
    if (png) await uploaded(host, { png, alt: altOf(subject.data) }, message.ref as MessageRef);
  }

  return {
    want(incident, target, message) {
      if (!deps.channels()[target.channel]?.pictures || incident.status === 'resolved' || now() < pausedUntil) return;
      const topic = pictureTopic(incident);
      const held = heldPicture(message);
      const key = keyOf(incident.id, target);
      if (topic === null || held?.topic === topic || (held?.count ?? 0) >= mostPerMessage) return;
      if (given.get(key)?.topic === topic) return;
      add(key, () => make(key, incident.id, target));
    },
    refused(incident, { target }) {
      const key = keyOf(incident.id, target);
      add(key, () => showAgain(key, incident.id, target));
    },
    stop() {
      stopping.abort();
      queue.length = 0;
    },
  };
}
