import type { Labels } from '../domain/alert.ts';
import type { Severity } from '../domain/severity.ts';

/**
 * One alert as one delivery showed it: parsed, cleaned of what no store or screen can hold, and not yet compared with
 * anything. Times are epoch milliseconds; `null` is "not said".
 */
export type SeenAlert = {
  /** As sent when it is well formed, else computed from the labels (receive/fingerprint.ts). */
  fingerprint: string;
  status: 'firing' | 'resolved';
  labels: Labels;
  annotations: Labels;
  /** As sent, also when it lies in the future (it is part of the episode's identity); the arrival when it was absent or unusable. */
  startsAt: number;
  /** False when `startsAt` is only the arrival: two such alerts with different times are the same episode. */
  startsAtSent: boolean;
  /** Set for resolved alerts only; never before `startsAt`. */
  endsAt: number | null;
  /** A firing alert that is over by then unless it is confirmed again. */
  expiresAt: number | null;
  generatorUrl: string | null;
  severity: Severity;
  /** Empty when no label says it: a missing name is never the same as another missing name. */
  alertname: string;
  service: string | null;
  namespace: string | null;
  cluster: string | null;
  /** Alerts of different tenants never meet; empty when no label says it. */
  tenant: string;
  /** For an alert on a call: the service called, when a label says so. */
  destination: string | null;
  groupKey: string | null;
  receiver: string | null;
};
