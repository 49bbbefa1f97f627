import { z } from 'zod';
import { Degraded, Reason } from './reason.ts';
import { Severity } from './severity.ts';

const time = z.iso.datetime({ offset: true });

export const Evidence = z.object({
  kind: z.enum(['topology', 'time', 'metric', 'deploy', 'history', 'feedback']),
  text: z.string(),
  weight: z.number(),
});
export type Evidence = z.infer<typeof Evidence>;

/** A ranked candidate, never a verdict. `probability` is calibrated: 0.7 means right 7 times in 10. */
export const RootCause = z.object({
  service: z.string(),
  namespace: z.string().nullable(),
  alertname: z.string().nullable(),
  fingerprint: z.string().nullable(),
  deployId: z.string().nullable(),
  probability: z.number().min(0).max(1),
  confidence: z.enum(['high', 'medium', 'low']),
  evidence: z.array(Evidence),
  causalChain: z.array(z.string()),
});
export type RootCause = z.infer<typeof RootCause>;

const risk = z.enum(['high', 'medium', 'low', 'unknown']);

/**
 * Money is in `currency`; of several currencies it is null with a reason, never added up. `totalRevenueImpact` is what is
 * expected in all, or the loss so far once the incident has outlasted that, or at most lost when it is over.
 */
export const Impact = z.object({
  revenuePerHour: z.number().nullable(),
  currency: z.string().nullable(),
  totalRevenueImpact: z.number().nullable(),
  /** Those with an alert, then those expected to follow. */
  affectedServices: z.array(z.string()),
  /** Those of `affectedServices` that have no alert yet; absent in records of older releases. */
  expectedServices: z.array(z.string()).optional(),
  affectedUsers: z.number().nullable(),
  customerImpact: z.enum(['none', 'low', 'medium', 'high']).nullable(),
  regulatoryRisk: z.boolean(),
  slaBreachRisk: risk,
  /**
   * What `slaBreachRisk` rests on where errors are measured: how many times too fast the budget of this service burned in the
   * last hour, and the share of it that is left (below 0 when overspent).
   */
  errorBudget: z
    .object({ service: z.string(), burnRate: z.number().nullable(), left: z.number().nullable() })
    .nullable()
    .optional(),
  cascadeRisk: risk,
  estimatedDurationSeconds: z.object({ p50: z.number(), p90: z.number(), basis: z.string() }).nullable(),
});
export type Impact = z.infer<typeof Impact>;

/** Nothing is declared and nothing was measured: no figure is invented for it. */
export const unknownImpact = (): Impact => ({
  revenuePerHour: null,
  currency: null,
  totalRevenueImpact: null,
  affectedServices: [],
  affectedUsers: null,
  customerImpact: null,
  regulatoryRisk: false,
  slaBreachRisk: 'unknown',
  cascadeRisk: 'unknown',
  estimatedDurationSeconds: null,
});

export const Mode = z.enum(['passthrough', 'shadow', 'assist', 'active']);
export type Mode = z.infer<typeof Mode>;

/** What the policy would do (`verdict`), in which mode, and why. `actionability` 0..1. */
export const Decision = z.object({
  verdict: z.enum(['notify', 'suppress']),
  actionability: z.number().min(0).max(1),
  mode: Mode,
  reasons: z.array(Reason),
});
export type Decision = z.infer<typeof Decision>;

/** `channels` are `kind:address`, e.g. `slack:#payments-oncall`. PagerDuty routing keys are never shown: `pagerduty:team/payments`. */
export const Routing = z.object({
  primaryTeam: z.string(),
  escalationTeams: z.array(z.string()),
  channels: z.array(z.string()),
  autoEscalateMinutes: z.number().nullable(),
});
export type Routing = z.infer<typeof Routing>;

export const Recommendation = z.object({ action: z.string(), why: z.string(), runbook: z.string().nullable() });
export type Recommendation = z.infer<typeof Recommendation>;

export const IncidentDeploy = z.looseObject({
  id: z.string(),
  service: z.string(),
  version: z.string().nullable(),
  previousVersion: z.string().nullable(),
  startedAt: time,
  author: z.string().nullable(),
  commit: z.string().nullable(),
  url: z.string().nullable(),
  /** Seconds from the deploy to the incident's onset; negative when it came after. */
  leadSeconds: z.number(),
  suspicion: z.number().min(0).max(1),
  /** Suspicious enough to be named as a suspect; absent in incidents of earlier versions, where all were. */
  suspect: z.boolean().optional(),
});
export type IncidentDeploy = z.infer<typeof IncidentDeploy>;

export const SimilarIncident = z.looseObject({
  id: z.string(),
  number: z.number(),
  title: z.string(),
  startedAt: time,
  durationSeconds: z.number().nullable(),
  similarity: z.number().min(0).max(1),
  endedBy: z.string().nullable(),
});
export type SimilarIncident = z.infer<typeof SimilarIncident>;

/** What the API shows; the contract's section 4. Times are RFC 3339. */
export const Incident = z.object({
  id: z.string(),
  number: z.number().int(),
  status: z.enum(['open', 'acknowledged', 'resolved']),
  title: z.string(),
  severity: Severity,
  priority: z.number().int().min(1).max(5),
  startedAt: time,
  updatedAt: time,
  acknowledgedAt: time.nullable(),
  acknowledgedBy: z.string().nullable(),
  resolvedAt: time.nullable(),
  resolvedBy: z.string().nullable(),
  mergedInto: z.string().nullable(),
  assignee: z.string().nullable(),
  snoozedUntil: time.nullable(),
  team: z.string(),
  services: z.array(z.string()),
  alertCount: z.number().int(),
  firingCount: z.number().int(),
  rootCauses: z.array(RootCause),
  impact: Impact,
  recommendations: z.array(Recommendation),
  decision: Decision,
  routing: Routing,
  /** Who is told next and when, or null when nobody is (acknowledged, resolved, policy done). */
  nextEscalation: z.object({ at: time, notify: z.array(z.string()) }).nullable(),
  deploys: z.array(IncidentDeploy),
  similarIncidents: z.array(SimilarIncident),
  degraded: z.array(Degraded),
  /** A few facts of the lead alert that every message needs; more comes with enrichment. */
  lead: z.object({
    fingerprint: z.string(),
    alertname: z.string(),
    service: z.string().nullable(),
    summary: z.string().nullable(),
    description: z.string().nullable(),
    runbook: z.string().nullable(),
    dashboard: z.string().nullable(),
    labels: z.record(z.string(), z.string()),
  }),
  /** Metric facts about the lead alert (enrich/prometheus); empty object until there are any. */
  metrics: z.record(z.string(), z.unknown()),
  revision: z.number().int(),
  configHash: z.string(),
});
export type Incident = z.infer<typeof Incident>;
