import { z } from 'zod';
import type { KillSwitchOrigin } from './kill-switch.ts';
import { labelKinds } from './label.ts';
import { Severity } from './severity.ts';

const by = z.string().min(1).max(256);
const text = z.string().max(4000).optional();
const time = z.iso.datetime({ offset: true });
const duration = z.string().regex(/^(\d+(ms|s|m|h|d|w|y))+$/, 'a duration such as 30m or 1h30m');
const fingerprint = z.string().min(1).max(128);
const untilOrFor = { until: time.optional(), for: duration.optional() };

/** The bodies of `POST /api/v1/incidents/{id}/{do}`; each has `by` and optional `text`. */
export const actionBodies = {
  acknowledge: z.object({ by, text }),
  resolve: z.object({ by, text }),
  reopen: z.object({ by, text }),
  snooze: z.object({ by, text, ...untilOrFor }),
  silence: z.object({ by, text, ...untilOrFor }),
  assign: z.object({ by, text, team: z.string().optional(), person: z.string().optional() }),
  escalate: z.object({ by, text }),
  merge: z.object({ by, text, into: z.string().min(1) }),
  split: z.object({ by, text, alerts: z.array(fingerprint).min(1) }),
  note: z.object({ by, text: z.string().min(1).max(4000) }),
  feedback: z.object({
    by,
    text,
    kind: z.enum(labelKinds),
    alert: fingerprint.optional(),
    other: fingerprint.optional(),
    service: z.string().optional(),
  }),
} as const;

/** The body of `POST /api/v1/incidents`: an incident that a person saw before any alert did. */
export const declareBody = z.object({
  by,
  text,
  title: z.string().min(1).max(300),
  severity: Severity.default('high'),
  service: z.string().min(1).max(256).optional(),
  team: z.string().min(1).max(256).optional(),
});

/** The body of `POST /api/v1/kill-switch`: on passes everything through plainly. */
export const killSwitchBody = z.object({ by, text, on: z.boolean() });

export type ActionName = keyof typeof actionBodies;
export const actionNames = Object.keys(actionBodies) as ActionName[];

/**
 * One thing a person did, wherever they did it. `origin` keeps the echo from being sent back (`pagerduty` is not told of
 * its own acknowledgement). `unacknowledge` comes only from PagerDuty; `declare` makes an incident by hand.
 */
export type Action = {
  id: string;
  do: ActionName | 'unacknowledge' | 'declare' | 'kill-switch';
  incident: { id: string } | { fingerprint: string; source?: string } | null;
  by: string;
  origin: KillSwitchOrigin;
  /** The name of the token it came with, where it came through the API and tokens are configured. */
  token?: string;
  body: Record<string, unknown>;
};

/** What the caller is told: an HTTP status and, on success, the incident's id. */
export type ActionResult = { status: number; incidentId: string | null; detail: string };
