import type { Digest } from '../domain/digest.ts';
import type { Incident } from '../domain/incident.ts';
import type { ChannelKind, NotificationKind, Target } from '../domain/notification.ts';
import type { Message } from './message.ts';

/**
 * What a target already holds of an incident, to edit it in place: Slack's channel and ts, a Message-ID, a dedup key.
 * Kept as JSON in `messages.ref`; each channel reads only what it wrote.
 */
export type MessageRef = Record<string, string>;

/** What a channel is asked to do, everything rendered at send time from the newest incident. */
export type DeliveryJob = {
  /** The notification's id: the idempotency key where the channel has one. */
  id: string;
  kind: NotificationKind;
  target: Target;
  incident: Incident;
  message: Message;
  /** The message this incident already has at this target, or null. */
  existing: { ref: MessageRef; state: 'open' | 'resolved' } | null;
  /** For `thread`, `escalate` and a reopening: the line to say. */
  text: string | null;
  /** Slack: show the thread line in the channel too. */
  broadcast: boolean;
  /** Epoch ms, for signatures and date headers. */
  at: number;
};

/** A digest on its way: no incident, nothing to edit later. */
export type DigestDelivery = Pick<DeliveryJob, 'id' | 'target' | 'at'> & { digest: Digest };

/**
 * What became of one call. `sent`: the channel has it; `ref` replaces what is stored (null keeps it), `text` is what a
 * reader saw first, for the record. `retry`: try again, not before `afterMs` when the far side said so. `refused`: the
 * same call will be refused again; `fix` says what a person can do, after which it would go through, null when nothing
 * can be done (the notification has failed). Neither text ever holds a secret. `pictureRefused`: it went out without the
 * picture the message names, because that cannot be shown (yet).
 */
export type SendResult =
  | { status: 'sent'; ref: MessageRef | null; text: string; pictureRefused?: true }
  | { status: 'retry'; afterMs?: number; reason: string }
  | { status: 'refused'; reason: string; fix: string | null };

/** What became of an upload; `file` is how a message refers to it. */
export type UploadResult =
  | { status: 'uploaded'; file: string }
  | { status: 'retry'; reason: string }
  | { status: 'refused'; reason: string; fix: string | null };

/** Where a channel keeps the pictures that its messages show. */
export type PictureHost = {
  /** Uploads a PNG for a message to show, or, with `thread`, as a reply under that message. Never throws for the far side. */
  upload(picture: { png: Buffer; alt: string }, thread: MessageRef | null): Promise<UploadResult>;
  /** Whether a message may refer to the file by now. */
  isUsable(file: string): Promise<boolean>;
};

/** A transport. `send` never throws for what the far side did, and gives up after 10 s a call. */
export type Channel = {
  kind: ChannelKind;
  send(job: DeliveryJob): Promise<SendResult>;
  /** Absent where a digest makes no sense: it must page nobody. */
  digest?(job: DigestDelivery): Promise<SendResult>;
  /** Present where pictures are uploaded first and shown by an edit. */
  pictures?: PictureHost;
  close?(): Promise<void>;
};

/** A call to any channel is given up after this long, ms (contract section 4). */
export const callTimeoutMs = 10_000;
