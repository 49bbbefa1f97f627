import type { RoutingFile } from '../config/schema.ts';
import type { EscalationState } from '../domain/effects.ts';

export type Policy = RoutingFile['escalation_policies'][string];

/** A step that came due: who is told. `step` and `round` count from 0. */
export type Fired = { step: number; round: number; notify: string[] };

/** A step that came due while nothing ran and is covered by a newer one. `dueAt` is when it should have fired. */
export type Skipped = { step: number; round: number; dueAt: number };

export type Due = {
  fire: Fired | null;
  state: EscalationState;
  skipped: Skipped[];
  /** For the timeline: what was collapsed, or that an edit of the policy ended the escalation. Null: nothing to say. */
  said: string | null;
};

/** Between the rounds of a policy whose steps are all at `0s`; without it every round would fire in one instant. */
const LEAST_REPEAT_GAP = 5 * 60_000;

/** When a step is due, ms after its round began. Never before the step listed ahead of it. */
function waitOf(policy: Policy, step: number): number {
  let wait = 0;
  for (let i = 0; i <= step; i += 1) wait = Math.max(wait, policy.steps[i]!.after);
  return wait;
}

/**
 * The pause between the last step of a round and the start of the next: the largest difference between the `after`s of
 * consecutive steps. A policy of one step takes that step's own `after`; one whose steps are all at once, 5 minutes.
 */
export function longestGap(policy: Policy): number {
  let longest = policy.steps.length === 1 ? waitOf(policy, 0) : 0;
  for (let i = 1; i < policy.steps.length; i += 1)
    longest = Math.max(longest, waitOf(policy, i) - waitOf(policy, i - 1));
  return longest > 0 ? longest : LEAST_REPEAT_GAP;
}

/** How many leading steps are the first notification itself (`after: 0s`). */
function firstSteps(policy: Policy): number {
  const later = policy.steps.findIndex((step) => step.after > 0);
  return later === -1 ? policy.steps.length : later;
}

/** Who gets the incident's first notification: the steps at `0s`, or the team when the policy begins later. */
export function firstNotify(policy: Policy | null | undefined): string[] {
  const first = (policy?.steps ?? []).slice(0, policy ? firstSteps(policy) : 0).flatMap((step) => step.notify);
  return first.length > 0 ? [...new Set(first)] : ['team'];
}

const done = (state: EscalationState): EscalationState => ({ ...state, dueAt: null });

/** The state after `state.step` has fired at its planned time. */
function advanced(state: EscalationState, policy: Policy): EscalationState {
  const step = state.step + 1;
  if (step < policy.steps.length) return { ...state, step, dueAt: state.startedAt + waitOf(policy, step) };
  if (state.round >= policy.repeat) return { ...state, step, dueAt: null };
  const startedAt = state.startedAt + waitOf(policy, policy.steps.length - 1) + longestGap(policy);
  return { ...state, round: state.round + 1, step: 0, startedAt, dueAt: startedAt + waitOf(policy, 0) };
}

/**
 * The escalation of an incident first notified at `firstNotifiedAt` (epoch ms). Steps at `0s` are that notification, so the
 * state points to the first one after them.
 */
export function begin(policyName: string, policy: Policy, firstNotifiedAt: number): EscalationState {
  let state: EscalationState = {
    policy: policyName,
    startedAt: firstNotifiedAt,
    step: 0,
    round: 0,
    dueAt: firstNotifiedAt + waitOf(policy, 0),
    paused: null,
    ackTimeoutAt: null,
  };
  for (let i = firstSteps(policy); i > 0; i -= 1) state = advanced(state, policy);
  return state;
}

const stepName = (s: { step: number; round: number }): string =>
  s.round === 0 ? `step ${s.step + 1}` : `step ${s.step + 1} of round ${s.round + 1}`;

/**
 * What is due at `now`. Of several steps that came due since the last look only the newest fires (with those planned for
 * the very same instant); the others are `skipped` and named in `said`. The policy is taken as it is now, by step index: a
 * running wait ends when it was going to, what it then tells and every later wait come from the edited policy, and a step
 * or policy that no longer exists ends the escalation, which is said.
 */
export function due(state: EscalationState, policy: Policy | null | undefined, now: number): Due {
  const idle: Due = { fire: null, state, skipped: [], said: null };
  if (state.paused !== null || state.dueAt === null || state.dueAt > now) return idle;
  if (!policy)
    return { ...idle, state: done(state), said: `Escalation ended: policy ${state.policy} no longer exists.` };
  if (state.step >= policy.steps.length) {
    const left = `policy ${state.policy} was edited and has ${policy.steps.length} steps now; step ${state.step + 1} is gone`;
    return { ...idle, state: done(state), said: `Escalation ended: ${left}.` };
  }
  const ready: (Fired & { dueAt: number })[] = [];
  let later = state;
  while (later.dueAt !== null && later.dueAt <= now) {
    const { step, round, dueAt } = later;
    ready.push({ step, round, dueAt, notify: policy.steps[step]!.notify });
    later = advanced(later, policy);
  }
  const newest = ready.at(-1)!;
  const together = ready.filter((s) => s.dueAt === newest.dueAt);
  const skipped = ready
    .slice(0, ready.length - together.length)
    .map(({ step, round, dueAt }) => ({ step, round, dueAt }));
  const notify = [...new Set(together.flatMap((s) => s.notify))];
  const late = skipped.map(stepName).join(', ');
  return {
    fire: { step: newest.step, round: newest.round, notify },
    state: later,
    skipped,
    said:
      skipped.length > 0
        ? `${late} came due unattended (Tocsin was down or behind); ${stepName(newest)} covers it.`
        : null,
  };
}

/** The same escalation with its next step due at `at`, the steps after it keeping their distances to it. */
function dueFrom(state: EscalationState, policy: Policy, at: number): EscalationState {
  return { ...state, startedAt: at - waitOf(policy, state.step), dueAt: at };
}

const running = (state: EscalationState): EscalationState => ({ ...state, paused: null, ackTimeoutAt: null });

/**
 * Goes on with the next step at `now`. With the policy done there is none left, and an incident that nobody owns any more
 * would stay silent for ever: then the last step is told once more, as a round of its own.
 */
function goOn(state: EscalationState, policy: Policy | null | undefined, now: number): EscalationState {
  if (!policy) return done(running(state));
  if (state.step < policy.steps.length) return dueFrom(running(state), policy, now);
  const last = { ...running(state), step: policy.steps.length - 1, round: Math.max(state.round, policy.repeat) + 1 };
  return dueFrom(last, policy, now);
}

/** Somebody has it: nothing fires until the policy's `ack_timeout` (if any) is over. A second acknowledgement changes nothing. */
export function acknowledge(state: EscalationState, policy: Policy | null | undefined, now: number): EscalationState {
  if (state.paused === 'acknowledged') return state;
  const timeout = policy?.ack_timeout;
  return { ...state, paused: 'acknowledged', dueAt: null, ackTimeoutAt: timeout === undefined ? null : now + timeout };
}

/**
 * A person gave it back: the next step fires at its planned time, or at once when that has passed (those after it keep
 * their distances). A policy that was done stays done.
 */
export function unacknowledge(state: EscalationState, policy: Policy | null | undefined, now: number): EscalationState {
  if (state.paused !== 'acknowledged') return state;
  if (!policy || state.step >= policy.steps.length) return done(running(state));
  return dueFrom(running(state), policy, Math.max(now, state.startedAt + waitOf(policy, state.step)));
}

/** The state after the acknowledgement timed out (the next step is due at `now`), or null while it has not. */
export function ackTimedOut(
  state: EscalationState,
  policy: Policy | null | undefined,
  now: number,
): EscalationState | null {
  if (state.paused !== 'acknowledged' || state.ackTimeoutAt === null || state.ackTimeoutAt > now) return null;
  return goOn(state, policy, now);
}

/** Nothing fires until `unsnooze`; the end of the snooze takes the place of an acknowledgement's timeout. */
export function snooze(state: EscalationState): EscalationState {
  return { ...state, paused: 'snoozed', dueAt: null, ackTimeoutAt: null };
}

/** The snooze is over: the next step is due at `now`. Changes nothing unless it is snoozed. */
export function unsnooze(state: EscalationState, policy: Policy | null | undefined, now: number): EscalationState {
  return state.paused === 'snoozed' ? goOn(state, policy, now) : state;
}

/**
 * Impact may bring the second step forward to `autoEscalateMinutes` after the first notification. The first notification is
 * the first step, so the second is the first one of the first round that is not at `0s`; no other step moves. Null or a
 * longer wait changes nothing; calling it again changes nothing.
 */
export function shorten(
  state: EscalationState,
  policy: Policy | null | undefined,
  autoEscalateMinutes: number | null,
): EscalationState {
  if (!policy || autoEscalateMinutes === null || state.dueAt === null) return state;
  if (state.round !== 0 || state.step !== firstSteps(policy)) return state;
  const dueAt = state.startedAt + Math.max(0, autoEscalateMinutes) * 60_000;
  return dueAt < state.dueAt ? { ...state, dueAt } : state;
}

/**
 * The step that just fired reached nobody: the next step of the round is due at `now`. A new round keeps its time, or a
 * policy without a single working address would burn all its rounds in one instant.
 */
export function atOnce(state: EscalationState, policy: Policy | null | undefined, now: number): EscalationState {
  if (!policy || state.dueAt === null || state.step === 0 || state.step >= policy.steps.length) return state;
  return state.dueAt <= now ? state : dueFrom(state, policy, now);
}

/**
 * A person asks for the next step now (`escalate`). It fires whatever is paused, and the pause holds on; with the policy
 * done the last step is told again. Null only when the policy no longer exists.
 */
export function escalateNow(
  state: EscalationState,
  policy: Policy | null | undefined,
  now: number,
): { fire: Fired; state: EscalationState } | null {
  if (!policy) return null;
  const { fire, state: after } = due(goOn(state, policy, now), policy, now);
  const paused = { ...after, paused: state.paused, ackTimeoutAt: state.ackTimeoutAt, dueAt: null };
  return { fire: fire!, state: state.paused === null ? after : paused };
}

/** When and whom it tells next, for display; null while paused and when the policy is done. */
export function nextEscalation(
  state: EscalationState | null,
  policy: Policy | null | undefined,
): { at: number; notify: string[] } | null {
  if (!state || !policy || state.paused !== null || state.dueAt === null) return null;
  const step = policy.steps[state.step];
  return step ? { at: state.dueAt, notify: step.notify } : null;
}

/** The next moment (epoch ms) at which this escalation needs a look: a step due or an acknowledgement timing out. */
export function wakeAt(state: EscalationState | null): number | null {
  if (!state) return null;
  return state.paused === 'acknowledged' ? state.ackTimeoutAt : state.dueAt;
}
