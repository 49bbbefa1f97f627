import { type Alert, alertKey } from '../domain/alert.ts';
import type { SilenceRecord } from '../domain/effects.ts';
import type { Decision, Mode } from '../domain/incident.ts';
import type { Reason } from '../domain/reason.ts';
import { type Severity, severityRank } from '../domain/severity.ts';
import { wallText } from './calendar.ts';
import type { Flapping } from './habits.ts';
import { type Hold, hold, type Learning, type SuppressionPolicy } from './suppression.ts';

/** What is looked at of a firing alert. */
export type DecideAlert = Pick<
  Alert,
  'source' | 'fingerprint' | 'labels' | 'severity' | 'alertname' | 'service' | 'receivedAt'
>;

/** What the stream itself taught about this incident, as plain data: kept with the decision. Times are epoch ms. */
export type Learned = {
  /** One rule on one service fires, and nothing else: the share of such firings that ended soon and by themselves. */
  transient: { share: number; n: number } | null;
  /** By alert key: the alerts that come and go. */
  flapping: Readonly<Record<string, Flapping>>;
  /** The incident that this one is a symptom of: somebody was told of it, and it is still open. */
  symptomOf: { incidentId: string; number: number; suspect: string; startedAt: number } | null;
  /** By team: how its running hour stands, and on which side of its budget this incident came. */
  budgets: Readonly<Record<string, BudgetHour>>;
  /** Nobody holds an open message of this incident: telling of it opens one. */
  opening: boolean;
  /** By alert key: what the sender's Alertmanager was told to keep quiet. */
  senderSilences: Readonly<Record<string, SenderSilence>>;
};

/** One team's hour: it began with the first message counted and ends at `until`. */
export type BudgetHour = { opened: number; until: number; side: 'counted' | 'held' | null };
export type SenderSilence = { id: string; by: string; until: number; comment: string; staleSince: number | null };

export const nothingLearned: Learned = {
  transient: null,
  flapping: {},
  symptomOf: null,
  budgets: {},
  opening: true,
  senderSilences: {},
};

/** Times are epoch ms. */
export type DecideInput = {
  /** The incident's firing alerts; none for one declared by hand. */
  alerts: readonly DecideAlert[];
  severity: Severity;
  services: readonly string[];
  /** From the route. */
  team: string;
  unknownOwner: boolean;
  priority: number;
  /** From score/actionability.ts; the value goes into the decision as it is. */
  worth: { value: number; why: string; seen: number; relevance: number };
  learned: Learned;
  /** Rules (alert names) that fired for the first time ever in this incident. */
  firstEver: ReadonlySet<string>;
  /**
   * What the receivers were told last or, when they were told nothing, what stood when the running suppression began;
   * null when neither. Worse than this, or wider, breaks through.
   */
  baseline: { severity: Severity; services: readonly string[] } | null;
  snoozedUntil: number | null;
  silencedUntil: number | null;
  silences: readonly Pick<SilenceRecord, 'alerts' | 'until' | 'by'>[];
  killSwitch: boolean;
  now: number;
};

export type AlertDecision = {
  /** `source/fingerprint`. */
  key: string;
  /** Everything that holds it back; null when nothing does or a floor forbids it. */
  suppress: Reason[] | null;
  /** When the last of these ends, epoch ms; null when `suppress` is. */
  until: number | null;
  /** The policy named first among them; `silence` or `snooze` when a person did it. */
  policy: string | null;
};

export type Decided = {
  /** `verdict` is what the policy would do. */
  decision: Decision;
  /** What is done, given the mode. */
  done: 'notify' | 'suppress';
  perAlert: AlertDecision[];
  /** When the suppression ends and the incident must be looked at anew, epoch ms; null when nothing is held back. */
  expiresAt: number | null;
  /** On which side of its team's budget it came by this decision; null when the budget is not about it. */
  budget: 'counted' | 'held' | null;
};

/**
 * Notify or suppress, and why. An incident is suppressed only if every firing alert in it is.
 *
 * - A policy (maintenance window, noise, business hours) holds an alert unless a floor speaks for it: a configured floor, a
 *   watchdog, severity critical (unless the policy's matchers name a severity or rule), the first firing ever of its rule,
 *   an unknown owner.
 * - What a person silenced or snoozed is held in every mode: modes and the built-in floors guard against policies, not
 *   against people. A configured floor and a watchdog overrule even them.
 * - What was learned of the stream (little worth, transient, flapping, a symptom) holds back what would open a message, and
 *   yields to every floor; an hour's budget comes last and leaves priorities above its own and floors alone.
 * - A rise in severity or a new service since `baseline` breaks through, and so does time: each hold has an end.
 * - The kill switch passes everything through.
 */
export function decide(input: DecideInput, policy: { suppression: SuppressionPolicy }): Decided {
  const { suppression } = policy;
  const incidentHolds = heldByHand(input);
  const silenced = silencedAlerts(input);
  const judged = input.alerts.map((alert) => judge(alert, input, incidentHolds, silenced, suppression));
  const mode = input.killSwitch ? 'passthrough' : leastPowerful(judged, suppression.mode);
  const perAlert = judged.map(alertDecision);
  const actionability = input.worth.value;
  const notify = (reasons: Reason[], budget: Decided['budget'] = null): Decided => ({
    decision: { verdict: 'notify', actionability, mode, reasons },
    done: 'notify',
    perAlert,
    expiresAt: null,
    budget,
  });

  if (input.killSwitch) {
    const reason = { code: 'kill-switch', text: 'The kill switch is on: everything is passed through plainly' };
    const free = perAlert.map(({ key }) => ({ key, suppress: null, until: null, policy: null }));
    return { ...notify([reason]), perAlert: free };
  }
  const all: { holds: readonly Hold[]; firm: readonly Hold[] }[] =
    judged.length > 0 ? judged : [{ holds: incidentHolds, firm: incidentHolds }];
  if (all.some((one) => one.holds.length === 0)) {
    const budget = overBudget(input, judged, mode, suppression);
    if (!budget.held) return notify(whyNotify(judged, mode), budget.counts ? 'counted' : null);
    const { held } = budget;
    return {
      decision: { verdict: 'suppress', actionability, mode, reasons: [held.reason] },
      done: mode === 'active' ? 'suppress' : 'notify',
      perAlert: perAlert.map((one) => ({ ...one, suppress: [held.reason], until: held.until, policy: 'budget' })),
      expiresAt: held.until,
      budget: 'held',
    };
  }
  const reasons = distinct(all.flatMap((one) => one.holds.map((h) => h.reason)));
  const news = breaksThrough(input);
  if (news.length > 0) return notify([...news, ...reasons]);

  const heldBack = all.every((one) => one.firm.length > 0);
  return {
    decision: { verdict: 'suppress', actionability, mode, reasons },
    done: heldBack ? 'suppress' : 'notify',
    perAlert,
    expiresAt: all.map((one) => latest(heldBack ? one.firm : one.holds)).reduce((a, b) => Math.min(a, b)),
    budget: null,
  };
}

type Judged = {
  key: string;
  mode: Mode;
  /** Everything that would hold it back; none when a floor speaks for it. */
  holds: readonly Hold[];
  /** Those that do: what a person did, and policies in mode active. */
  firm: readonly Hold[];
  floor: Reason | null;
};

function judge(
  alert: DecideAlert,
  input: DecideInput,
  incidentHolds: readonly Hold[],
  silenced: ReadonlyMap<string, readonly [Hold]>,
  suppression: SuppressionPolicy,
): Judged {
  const key = alertKey(alert);
  const mode = suppression.modeOf(alert.labels, input.team, alert.service);
  const matched = suppression.matched(alert.labels);
  if (matched.floor) return { key, mode, holds: [], firm: [], floor: matched.floor };

  const [silence, sent] = [silenced.get(key), bySender(key, input)];
  const byHand = silence || sent.length > 0 ? [...incidentHolds, ...(silence ?? []), ...sent] : incidentHolds;
  const floor = builtInFloor(alert, input);
  const byPolicy: Hold[] = [];
  // A passthrough decides nothing. Of the built-in floors only the critical one yields to a policy that names it.
  if (mode !== 'passthrough' && (floor === null || floor.code === 'floor-critical')) {
    for (const holding of matched.holding) {
      if (floor !== null && !holding.namesIt) continue;
      const held = holding.holds(input.now, alert.receivedAt);
      if (held) byPolicy.push(held);
    }
    if (floor === null) byPolicy.push(...byLearning(alert, key, input, matched.learning));
  }
  const holds = byPolicy.length > 0 ? [...byHand, ...byPolicy] : byHand;
  return { key, mode, holds, firm: mode === 'active' ? holds : byHand, floor: holds.length === 0 ? floor : null };
}

function builtInFloor(alert: DecideAlert, input: DecideInput): Reason | null {
  if (input.unknownOwner)
    return {
      code: 'floor-unknown-owner',
      text: 'Nobody owns it by route, label or catalogue: such incidents always notify',
    };
  if (input.firstEver.has(alert.alertname))
    return { code: 'floor-first-ever', text: `${alert.alertname} fires for the first time ever: that always notifies` };
  if (alert.severity === 'critical')
    return { code: 'floor-critical', text: 'Critical alerts always notify unless a policy names severity or rule' };
  return null;
}

/** A rule that so surely speaks of faults comes back because the fault does, and is not held for that. */
const SPEAKS_OF_FAULTS = 0.9;

/** What the stream taught: only what would open a message is held back for it, never news of one that is out. */
function byLearning(alert: DecideAlert, key: string, input: DecideInput, rules: Learning): Hold[] {
  const { learned, now, worth } = input;
  if (!learned.opening) return [];
  const holds: Hold[] = [];
  const still = (until: number): boolean => now < until;

  const { actionability, transient, flapping, symptoms } = rules;
  if (actionability && worth.value < actionability.threshold && worth.seen > actionability.firings) {
    const until = alert.receivedAt + actionability.for;
    const text = `Hardly worth waking anybody for: ${worth.value.toFixed(2)}, below ${actionability.threshold}${worth.why ? ` (${worth.why})` : ''}`;
    if (still(until)) holds.push(hold('actionability', 'actionability', until, text));
  }
  if (transient && learned.transient && worth.relevance < SPEAKS_OF_FAULTS) {
    const { share, n } = learned.transient;
    const until = alert.receivedAt + transient.within;
    if (Math.round(n) >= transient.firings && share >= transient.share && still(until)) {
      const text = `${Math.round(share * 100)} % of the ${Math.round(n)} times that ${alert.alertname} fired alone it ended by itself within ${minutes(transient.within)}: held until ${wallText(until, 'UTC')}`;
      holds.push(hold('transient', 'transient', until, text));
    }
  }
  const flaps = learned.flapping[key];
  if (flapping && flaps && flaps.toldAt !== null && worth.relevance < SPEAKS_OF_FAULTS) {
    const until = Math.min(flaps.calmAt, flaps.toldAt + flapping.remind);
    const text = `${alert.alertname} comes and goes: ${flaps.changes} changes within ${minutes(flapping.window)}; somebody was told, and it is held until it is calm`;
    if (still(until)) holds.push(hold('flapping', 'flapping', until, text));
  }
  if (symptoms && learned.symptomOf) {
    const { incidentId, number, suspect } = learned.symptomOf;
    const until = alert.receivedAt + symptoms.for;
    const text = `A symptom of incident ${number}, of which somebody was told: ${suspect} is suspected there, and this stands on it`;
    if (still(until)) {
      const held = hold('symptom', 'symptoms', until, text);
      holds.push({ ...held, reason: { ...held.reason, incidentId } });
    }
  }
  return holds;
}

/** Whether the team's hour is used up, for what would open a message now and no floor speaks for. */
function overBudget(
  input: DecideInput,
  judged: readonly Judged[],
  mode: Mode,
  suppression: SuppressionPolicy,
): { counts: boolean; held: Hold | null } {
  const { learned, priority, team, alerts } = input;
  const limit = suppression.budgetOf(team);
  const exempt = limit === null || priority < limit.from || judged.some((one) => one.floor !== null);
  if (exempt || !learned.opening || alerts.length === 0 || mode === 'passthrough') return { counts: false, held: null };
  const hour = learned.budgets[team];
  if (!hour || hour.until <= input.now || hour.side === 'counted') return { counts: true, held: null };
  if (hour.side !== 'held' && hour.opened < limit.perHour) return { counts: true, held: null };
  if (breaksThrough(input).length > 0) return { counts: true, held: null };
  const text = `${team} has had its ${limit.perHour} new messages of priority ${limit.from} and below this hour: it comes with the digest at ${wallText(hour.until, 'UTC')}`;
  return { counts: false, held: hold('budget', 'budget', hour.until, text) };
}

const minutes = (ms: number): string => `${Math.round(ms / 60_000)} min`;

/** What a person did to the whole incident. */
function heldByHand({ snoozedUntil, silencedUntil, now }: DecideInput): Hold[] {
  const holds: Hold[] = [];
  if (snoozedUntil !== null && snoozedUntil > now)
    holds.push(hold('snoozed', 'snooze', snoozedUntil, `Snoozed until ${wallText(snoozedUntil, 'UTC')}`));
  if (silencedUntil !== null && silencedUntil > now)
    holds.push(hold('silenced', 'silence', silencedUntil, `Silenced until ${wallText(silencedUntil, 'UTC')}`));
  return holds;
}

/** The alerts that a person silenced, each with the silence that lasts longest. */
function silencedAlerts({ silences, now }: DecideInput): Map<string, [Hold]> {
  const found = new Map<string, [Hold]>();
  for (const silence of silences) {
    if (silence.until <= now) continue;
    const text = `Silenced by ${silence.by} until ${wallText(silence.until, 'UTC')}`;
    const held = hold('silenced', 'silence', silence.until, text);
    for (const key of silence.alerts) if ((found.get(key)?.[0].until ?? 0) < held.until) found.set(key, [held]);
  }
  return found;
}

const nobody: readonly Hold[] = [];

/** A silence set in the sender's Alertmanager, which is a person's too. */
function bySender(key: string, { learned, now }: DecideInput): readonly Hold[] {
  const silence = learned.senderSilences[key];
  if (!silence || silence.until <= now) return nobody;
  const said = silence.comment ? `: ${silence.comment}` : '';
  const stale =
    silence.staleSince === null
      ? ''
      : `; Alertmanager has not answered since ${wallText(silence.staleSince, 'UTC')}, so this is what it said then`;
  const text = `Silenced in Alertmanager by ${silence.by} until ${wallText(silence.until, 'UTC')}${said}${stale}`;
  const held = hold('silenced-at-sender', 'silence', silence.until, text);
  return [{ ...held, reason: { ...held.reason, silenceId: silence.id } }];
}

/** A rise in severity or a new service since the receivers last heard of it. */
function breaksThrough({ baseline, severity, services }: DecideInput): Reason[] {
  if (baseline === null) return [];
  const reasons: Reason[] = [];
  if (severityRank(severity) < severityRank(baseline.severity)) {
    const text = `Severity rose from ${baseline.severity} to ${severity}: that breaks through`;
    reasons.push({ code: 'severity-raised', text, from: baseline.severity, to: severity });
  }
  const added = services.filter((service) => !baseline.services.includes(service));
  if (added.length > 0) {
    const text = `It reached ${added.slice(0, 5).join(', ')}${added.length > 5 ? ` and ${added.length - 5} more` : ''}`;
    reasons.push({ code: 'new-service', text: `${text}: a new service breaks through`, services: added.slice(0, 50) });
  }
  return reasons;
}

/** Why an incident that nothing holds back, or not wholly, notifies. */
function whyNotify(judged: readonly Judged[], mode: Mode): Reason[] {
  const floors = distinct(judged.flatMap((alert) => (alert.floor ? [alert.floor] : [])));
  const held = judged.filter((alert) => alert.holds.length > 0);
  const partly = held.flatMap((alert) => alert.holds.map((h) => h.reason));
  const reasons = [...floors];
  if (mode === 'passthrough')
    reasons.push({ code: 'passthrough', text: 'Mode passthrough: no suppression policy is looked at' });
  if (held.length > 0) {
    const text = `${held.length} of ${judged.length} firing alerts would be held back, the rest not: the incident notifies`;
    reasons.push({ code: 'partly-held', text }, ...distinct(partly));
  }
  if (reasons.length === 0) reasons.push({ code: 'no-policy', text: 'No suppression policy matches' });
  return reasons;
}

/** One reason for each code, policy and text without its end; 2,000 alerts in one window are one reason. */
function distinct(reasons: readonly Reason[]): Reason[] {
  const first = new Map<string, Reason>();
  for (const reason of new Set(reasons)) {
    const key = `${reason.code} ${reason.policy ?? reason.text}`;
    if (!first.has(key)) first.set(key, reason);
  }
  return [...first.values()].slice(0, 20);
}

const power: readonly Mode[] = ['passthrough', 'shadow', 'assist', 'active'];

/** An incident whose alerts are in several modes is in the least powerful of them. */
function leastPowerful(judged: readonly Judged[], otherwise: Mode): Mode {
  if (judged.length === 0) return otherwise;
  return power[judged.reduce((least, alert) => Math.min(least, power.indexOf(alert.mode)), power.length - 1)]!;
}

const latest = (holds: readonly Hold[]): number => holds.reduce((end, held) => Math.max(end, held.until), 0);

function alertDecision({ key, holds }: Judged): AlertDecision {
  const first = holds[0];
  if (!first) return { key, suppress: null, until: null, policy: null };
  return {
    key,
    suppress: holds.map((held) => held.reason),
    until: latest(holds),
    policy: String(first.reason.policy),
  };
}
