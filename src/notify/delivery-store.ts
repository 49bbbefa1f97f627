import type { Incident } from '../domain/incident.ts';
import type {
  ChannelKind,
  DeliveryAttempt,
  NotificationJob,
  NotificationState,
  Target,
} from '../domain/notification.ts';
import type { TimelineEntry } from '../domain/timeline.ts';
import type { MessageRef } from './channel.ts';
import type { AlertLine } from './message.ts';

/** One waiting row of the outbox. */
export type WaitingJob = { job: NotificationJob; attempts: DeliveryAttempt[] };

/** The row of `messages` of one incident at one target. */
export type StoredMessage = {
  ref: MessageRef;
  state: 'open' | 'resolved';
  fingerprint: string | null;
  updatedAt: number;
};

/**
 * Everything that waits for one incident at one target, claimed whole so that the newest state can win over the rest, with
 * what that target already holds.
 */
export type ClaimedGroup = {
  incidentId: string;
  target: Target;
  waiting: WaitingJob[];
  existing: StoredMessage | null;
};

/** What to write about one job after an attempt (or without one, when it is superseded). */
export type JobOutcome = {
  id: string;
  state: NotificationState;
  attempt: DeliveryAttempt | null;
  /** When `state` stays `waiting`: not before then, epoch ms. */
  dueAt: number | null;
  /** What a reader saw, for `GET /api/v1/notifications`; null keeps what is there. */
  text: string | null;
};

/** Everything one attempt changed, committed together; the claims on the group end with it. */
export type GroupOutcome = {
  incidentId: string;
  target: Target;
  at: number;
  jobs: JobOutcome[];
  /** The message as the target now holds it; null leaves the row as it is. */
  message: { ref: MessageRef; state: 'open' | 'resolved'; fingerprint: string | null } | null;
  /** Jobs for stand-ins (failover); an id that is already there is left alone. */
  enqueue: NotificationJob[];
};

/** What the delivery worker needs of the store; store/outbox.ts gives it on PostgreSQL. */
export type DeliveryStore = {
  /**
   * Claims up to `limit` groups that have a due job, at most one group per lane (channel and address), most urgent and
   * oldest first, leaving out lanes and channels that are busy. A group of which any job is claimed is left alone.
   */
  claim(query: {
    now: number;
    until: number;
    limit: number;
    skipLanes: Target[];
    skipChannels: ChannelKind[];
  }): Promise<ClaimedGroup[]>;
  /** Holds on to claims of jobs still in flight. */
  extend(ids: string[], until: number): Promise<void>;
  /** What waits now for this group (claimed ones included) and what the target holds: read again just before sending. */
  group(incidentId: string, target: Target): Promise<ClaimedGroup>;
  /** Everything a message shows: the newest incident, its latest timeline lines, its worst alerts. Null: it is gone. */
  incident(incidentId: string): Promise<{ incident: Incident; timeline: TimelineEntry[]; alerts: AlertLine[] } | null>;
  settle(outcome: GroupOutcome): Promise<void>;
  /** Pages (open, escalate) that wait since before `before` and have no stand-in (a job named `<id>~`) yet. */
  overduePages(before: number, limit: number): Promise<NotificationJob[]>;
  /** Where this incident already has a message or a waiting page, so that a stand-in is not told twice. */
  told(incidentId: string): Promise<{ target: Target; ref: MessageRef | null; waiting: boolean }[]>;
  enqueue(jobs: NotificationJob[], now: number): Promise<void>;
  /** For the gauges: how many wait per channel, and since when the oldest that is due. */
  backlog(now: number): Promise<{ channel: ChannelKind; waiting: number; oldestDueAt: number | null }[]>;
};
