import type { Reason } from './reason.ts';
import type { Severity } from './severity.ts';

export type Labels = Readonly<Record<string, string>>;

/** How an alert stopped firing. `resolved`: the sender said so; the others are our own findings and are said in words. */
export type ClosedBecause = 'resolved' | 'expired' | 'stale' | 'reconciled' | 'refired' | 'by-hand';

/**
 * One firing of one alert (an episode). An alert is known by (source, fingerprint); its episode by `startsAt` too.
 * All times are epoch milliseconds; `null` is "not (yet)".
 */
export type Alert = {
  source: string;
  fingerprint: string;
  labels: Labels;
  annotations: Labels;
  status: 'firing' | 'resolved';
  startsAt: number;
  endsAt: number | null;
  /** A sender's promise that the alert is over by then unless confirmed again; null when it made none. */
  expiresAt: number | null;
  generatorUrl: string | null;
  severity: Severity;
  alertname: string;
  service: string | null;
  namespace: string | null;
  cluster: string | null;
  /** Alerts of different tenants never meet; empty when no label says it. */
  tenant: string;
  /** For an alert on a call: the service called. */
  destination: string | null;
  groupKey: string | null;
  receiver: string | null;
  receivedAt: number;
  updatedAt: number;
  lastSeenAt: number;
  closedBecause: ClosedBecause | null;
  incidentId: string | null;
  /** What became of its two state changes; null while in flight (or, for `resolve`, while it fires). */
  fireVerdict: Verdict | null;
  resolveVerdict: Verdict | null;
  reasons: Reason[];
};

/** notify: this change caused a message; group: it joined others or needed none; suppress: held back by policy. */
export type Verdict = 'notify' | 'group' | 'suppress';

/** The key of an alert in every map: unique, because neither part may hold a `/` after intake. */
export const alertKey = (a: { source: string; fingerprint: string }): string => `${a.source}/${a.fingerprint}`;

/** The key of one episode of it. */
export const episodeKey = (a: { source: string; fingerprint: string; startsAt: number }): string =>
  `${a.source}/${a.fingerprint}@${a.startsAt}`;
