import type { Digest } from './digest.ts';

export type ChannelKind = 'slack' | 'pagerduty' | 'email' | 'webhook' | 'log';

/**
 * Where a message goes. `address` is what the transport needs (a Slack channel or user id, a mail address, a webhook
 * target's name, `team/<name>` or `person/<name>` for PagerDuty, whose key stays in the config); `target` is what people see.
 */
export type Target = { channel: ChannelKind; address: string };

/** open: the first message to this target; update: edit in place; escalate: a page again or to more people; resolve: the last one; thread: a line in the timeline thread; digest: many incidents in one message. */
export type NotificationKind = 'open' | 'update' | 'escalate' | 'acknowledge' | 'resolve' | 'thread' | 'digest';

/** One piece of work for the outbox. The text is rendered when it is sent, from the incident as it is then. */
export type NotificationJob = {
  id: string;
  incidentId: string;
  target: Target;
  kind: NotificationKind;
  /** Smaller goes first: 0 pages, 1 resolves and acknowledgements, 2 thread lines, 3 updates. */
  urgency: number;
  createdAt: number;
  /** For `thread` and `escalate`: the line to say. */
  text: string | null;
  /** Slack: also show the thread line in the channel (escalations and rises in severity only). */
  broadcast: boolean;
  /** The route's other targets, tried in this order when this one keeps failing. */
  fallback: Target[];
  trace: string;
  /** Failover: the target that did not answer and whose later states this one is told in its place. */
  standsInFor?: Target;
  /** For `digest`: what it says; `incidentId` then only names the digest. */
  digest?: Digest;
};

export type NotificationState = 'waiting' | 'sent' | 'failed' | 'superseded';

export type DeliveryAttempt = { at: number; result: string };
