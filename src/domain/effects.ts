import type { Action, ActionResult } from './action.ts';
import type { Alert } from './alert.ts';
import type { Deploy } from './deploy.ts';
import type { Incident } from './incident.ts';
import type { KillSwitch } from './kill-switch.ts';
import type { LabelKind, ModelVersions, Ranking } from './label.ts';
import type { Ledger } from './ledger.ts';
import type { NotificationJob, Target } from './notification.ts';
import type { Reason } from './reason.ts';
import type { TimelineEntry } from './timeline.ts';

/** Where an incident's escalation stands; everything needed to go on after a restart. Times are epoch ms. */
export type EscalationState = {
  policy: string;
  /** The incident's first notification: `after` counts from here (moved on by repeats). */
  startedAt: number;
  /** The step that fires next (0-based), in which round (0 = the first). */
  step: number;
  round: number;
  /** When it fires, or null: policy done or paused. */
  dueAt: number | null;
  /** `acknowledged` and `snoozed` stop it; an acknowledgement timeout or reopening lets it go on. */
  paused: 'acknowledged' | 'snoozed' | null;
  ackTimeoutAt: number | null;
};

/** What an incident is inside the engine, and the `state` column of its row: enough to rebuild the engine after a kill. */
export type IncidentState = {
  id: string;
  number: number;
  tenant: string;
  status: 'open' | 'acknowledged' | 'resolved';
  startedAt: number;
  updatedAt: number;
  /** The latest state change of a member; an alert never joins an incident quieter than `correlate.window`. */
  lastChangeAt: number;
  acknowledgedAt: number | null;
  acknowledgedBy: string | null;
  resolvedAt: number | null;
  resolvedBy: string | null;
  mergedInto: string | null;
  mergedFrom: string[];
  assignee: { team: string } | { person: string } | null;
  snoozedUntil: number | null;
  silencedUntil: number | null;
  /** Declared by hand: its own title, severity and service, since it has no alert. */
  declared: { title: string; severity: Incident['severity']; service: string | null; team: string | null } | null;
  /** What people said of its causes, if anything; ranking takes them at their word. */
  causeFeedback?: { kind: 'right-cause' | 'wrong-cause'; service: string; by?: string }[];
  /** It turned out to be several: the alert keys of each group, largest first, and why. A person accepts it with `split`. */
  proposedSplit?: { groups: string[][]; reason: string; at: number } | null;
  /** Counts each change of membership or status; `assessedRevision` is the newest one judged. */
  revision: number;
  assessedRevision: number;
  assessedAt: number | null;
  firstNotifiedAt: number | null;
  /** The worst severity the receivers were told of; a rise breaks through and is broadcast. */
  notifiedSeverity: Incident['severity'] | null;
  notifiedServices: string[];
  /** Everyone who holds an open message or page of this incident. */
  told: Target[];
  /** The state they were last told of; null before the first notification. */
  toldAs: 'open' | 'acknowledged' | 'resolved' | null;
  /** What the messages last showed, hashed: an assessment that changes nothing visible sends nothing. */
  shown: string | null;
  /** The team was changed by a new top suspect once; it never happens a second time by itself. */
  handedOver: boolean;
  /** Counts the notifications planned so far: their ids are `<incident>-<n>`. */
  notices: number;
  /** The policy wanted it told since it last began: in `shadow` not the same as having been told. */
  wanted?: boolean;
  /** Its escalation rests because the sender's Alertmanager was told to keep it quiet. */
  hushed?: boolean;
  /** When the running suppression ends and the incident is looked at anew. */
  suppressedUntil: number | null;
  /** What stood when the running suppression began: worse or wider than this breaks through. */
  heldAt: { severity: Incident['severity']; services: string[] } | null;
  /** How often it came back within its reopen window; the more often, the longer it must be quiet to count as resolved. */
  reopens: number;
  /** Time alone changes its impact then (a loss passes an amount, a budget a share); null or absent: never. */
  lookAgainAt?: number | null;
  /** Nothing fires any more; it is declared resolved then, unless something fires again. Null: not waiting. */
  resolveDueAt: number | null;
  escalation: EscalationState | null;
  trace: string;
};

/** A row of `incidents`: what the engine needs back and what the API shows. `doc` is null until the first assessment. */
export type IncidentRecord = { state: IncidentState; doc: Incident | null };

/** Why an alert stands where it stands: the neighbours it was measured against and every part of each distance. */
export type PlacementWhy = {
  rule: string;
  neighbours: { key: string; distance: number; parts: Record<string, number> }[];
  eps: number;
  minPts: number;
  note: string | null;
};

/** A row of `alerts`: the full alert (annotations untrimmed) and, once placed, why it was placed there. */
export type AlertRecord = { alert: Alert; why: PlacementWhy | null; deliveryId: string | null };

export type DecisionRecord = {
  incidentId: string;
  revision: number;
  at: number;
  configHash: string;
  doc: Record<string, unknown>;
};

export type QuarantineRecord = {
  at: number;
  source: string;
  deliveryId: string | null;
  /** Where in the body: `alerts[3].labels`. */
  place: string;
  reason: string;
  raw: string;
};

export type SuppressedRecord = {
  source: string;
  fingerprint: string;
  startsAt: number;
  incidentId: string;
  reasons: Reason[];
  policy: string;
  at: number;
  expiresAt: number;
};

export type HeartbeatRecord = {
  key: string;
  name: string;
  lastSeenAt: number;
  within: number | null;
  missingSince: number | null;
};
/**
 * A label: who said what of what, and what was shown when it was said. `key` names the question and the person: said twice,
 * or its contrary, it is the same label. What the engine no longer holds is null, and the store fills it in.
 */
export type FeedbackRecord = {
  key: string;
  actionId: string;
  incidentId: string;
  at: number;
  by: string;
  origin: Action['origin'];
  kind: LabelKind;
  alert: string | null;
  alertSource: string | null;
  other: string | null;
  otherSource: string | null;
  /** Whether the pair, or the alert and the incident, were one when it was said. */
  together: boolean | null;
  service: string | null;
  text: string | null;
  configHash: string | null;
  models: ModelVersions | null;
  ranking: Ranking | null;
};
/** Human merge and split, sticky: keys are alert keys (`source/fingerprint`). */
export type LinkRecord = { kind: 'must' | 'cannot'; a: string; b: string; by: string; at: number; incidentId: string };
/** The correlator's learned counters, opaque to everyone else; upserted by (scope, key). */
export type MemoryRecord = { scope: string; key: string; doc: unknown };
/** A person said: do not wake anyone for these alerts (keys `source/fingerprint`) until then. */
export type SilenceRecord = {
  id: string;
  incidentId: string;
  alerts: string[];
  until: number;
  by: string;
  at: number;
  text: string | null;
};
export type AuditRecord = {
  at: number;
  who: string;
  what: string;
  target: string;
  before: unknown;
  after: unknown;
  why: string | null;
};

/** Everything one step of the engine wants done; the store commits it whole or not at all. */
export type Effects = {
  alerts: AlertRecord[];
  incidents: IncidentRecord[];
  timeline: TimelineEntry[];
  decisions: DecisionRecord[];
  notifications: NotificationJob[];
  ledger: Ledger;
  quarantine: QuarantineRecord[];
  deploys: Deploy[];
  suppressed: SuppressedRecord[];
  /** Suppressions that ended early, by (source, fingerprint). */
  released: { source: string; fingerprint: string }[];
  heartbeats: HeartbeatRecord[];
  feedback: FeedbackRecord[];
  links: LinkRecord[];
  silences: SilenceRecord[];
  memory: MemoryRecord[];
  audit: AuditRecord[];
  actionResults: { id: string; result: ActionResult }[];
  killSwitch: KillSwitch | null;
};
