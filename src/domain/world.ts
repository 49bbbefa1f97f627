import { createHabits, type Habits, type RulePlace } from '../decide/habits.ts';
import type { SilenceJson } from '../receive/poll.ts';
import { createLags, type Lags } from '../score/causes/lags.ts';
import type { Alert, Labels } from './alert.ts';
import type { Deploy } from './deploy.ts';
import type { Effects, HeartbeatRecord, IncidentState, PlacementWhy, SilenceRecord } from './effects.ts';
import type { Incident } from './incident.ts';
import { type KillSwitch, neverTurned } from './kill-switch.ts';
import { emptyLedger } from './ledger.ts';
import type { Target } from './notification.ts';

/** One of the two state changes of an episode, waiting for the decision on its incident. */
export type PendingChange = { alert: Alert; change: 'fire' | 'resolve' };

/** An incident as the engine holds it: its durable state, its last assessment, and its members. */
export type LiveIncident = {
  state: IncidentState;
  doc: Incident | null;
  /** Every episode that belongs to it, by episode key, in order of joining. */
  members: Map<string, Alert>;
  firing: number;
  /** Changes not yet decided: they are what the ledger calls in flight. */
  pending: PendingChange[];
  /** An assessment is being prepared (facts are gathered); its revision. */
  assessing: number | null;
  /** Not yet written to the store: nobody outside knows it, so a merge may absorb it without a trace. */
  fresh: boolean;
  /** Where the last deed came from, until it is assessed: PagerDuty is not told of its own acknowledgement. */
  echo: Target['channel'] | null;
  /** When it was last looked at whether it is several, and how many episodes it had. */
  splitLook?: { at: number; size: number };
  /** The next assessment should come at once: first one, resolved, severity rose, a person acted. */
  urgent: boolean;
};

/** One team's hour: the incidents it was told of anew, and those held back for its budget. `until` is epoch ms. */
export type TeamHour = {
  until: number;
  opened: Set<string>;
  held: Set<string>;
  /** Held back before a restart, beyond those that the store names. */
  more: number;
};

/**
 * The engine's whole memory. `alerts` holds the current episode of every alert that fires or ended lately; everything in
 * here can be rebuilt from the store.
 */
export type World = {
  alerts: Map<string, Alert>;
  incidents: Map<string, LiveIncident>;
  deploys: Deploy[];
  heartbeats: Map<string, HeartbeatRecord>;
  /** What the last poll of each source left for the next one to judge by (receive/reconcile-plan.ts). */
  polled: Map<string, ReadonlySet<string>>;
  silences: SilenceRecord[];
  /** What people said of pairs, both ways round, by alert key (`source/fingerprint`): correlate/people.ts. */
  links: { must: Map<string, Set<string>>; cannot: Map<string, Set<string>> };
  /** Every alertname ever seen, with the incident of its first occurrence when that was in this process' life. */
  rules: Map<string, string | null>;
  /** By source: what its Alertmanager was last known to keep quiet, and when it said so. */
  senderSilences: Map<
    string,
    {
      polledAt: number;
      silences: readonly (SilenceJson & { matchers: { matches(labels: Labels): boolean } })[];
    }
  >;
  /** What is learned of rules and alerts for the verdict. */
  habits: Habits;
  /** Which service's alerts begin before which one's, for the ranking of causes. */
  lags: Lags;
  /** What the correlator learned of a rule: the probability that it speaks of faults, and on how many onsets that rests. */
  relevance: (rule: RulePlace) => { relevance: number; onsets: number };
  /** The running hour of each team that was told of anything anew, by incident id. */
  budgets: Map<string, TeamHour>;
  /** Incidents that somebody was told of, by the service they suspect, and the other way round. */
  suspected: Map<string, Set<string>>;
  explains: Map<string, string>;
  /** Incidents held back as symptoms, each with the one it is a symptom of. */
  symptoms: Map<string, string>;
  nextNumber: number;
  killSwitch: KillSwitch;
  /** Incidents whose revision is ahead of their assessment. */
  dirty: Set<string>;
  out: Effects;
  /** Alerts to write with the next commit, by episode key; full annotations only when they are news to the store. */
  written: Map<
    string,
    { alert: Alert; annotations: Labels | null; why: PlacementWhy | null; deliveryId: string | null }
  >;
  /** Incidents to write with the next commit. */
  touched: Set<string>;
};

export const emptyEffects = (): Effects => ({
  alerts: [],
  incidents: [],
  timeline: [],
  decisions: [],
  notifications: [],
  ledger: emptyLedger(),
  quarantine: [],
  deploys: [],
  suppressed: [],
  released: [],
  heartbeats: [],
  feedback: [],
  links: [],
  silences: [],
  memory: [],
  audit: [],
  actionResults: [],
  killSwitch: null,
});

export const emptyWorld = (): World => ({
  alerts: new Map(),
  incidents: new Map(),
  deploys: [],
  heartbeats: new Map(),
  polled: new Map(),
  silences: [],
  links: { must: new Map(), cannot: new Map() },
  rules: new Map(),
  senderSilences: new Map(),
  habits: createHabits(),
  lags: createLags(),
  relevance: () => ({ relevance: 0.5, onsets: 0 }),
  budgets: new Map(),
  suspected: new Map(),
  explains: new Map(),
  symptoms: new Map(),
  nextNumber: 1,
  killSwitch: neverTurned(),
  dirty: new Set(),
  out: emptyEffects(),
  touched: new Set(),
  written: new Map(),
});
