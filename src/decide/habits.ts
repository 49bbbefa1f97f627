import { type Alert, alertKey } from '../domain/alert.ts';
import type { MemoryRecord } from '../domain/effects.ts';

/** Which rule, where: habits are kept per rule and site, as the correlator's relevance is. */
export type RulePlace = Pick<Alert, 'tenant' | 'cluster' | 'namespace' | 'alertname'>;

/**
 * What was seen of one rule in one place; the counts fade with `HALF_LIFE_MS`, so that a rule somebody mended is believed
 * again. `seen`: incidents that began with it. `lone`: firings that ended without another rule or service beside them; `selfResolved`: those of them that ended
 * within the transient time without anyone acting. `told`: incidents that somebody was told of, `acted`: those that somebody
 * acknowledged, took or closed. `real`, `noise`: what people said.
 */
type Counts = {
  seen: number;
  lone: number;
  selfResolved: number;
  told: number;
  acted: number;
  real: number;
  noise: number;
};
type Habit = Counts & { readonly key: string; readonly general: Habit | null; at: number };

const counted = ['seen', 'lone', 'selfResolved', 'told', 'acted', 'real', 'noise'] as const;

/** What the judges read of it; `seen` is counted in all places together. Shares are 0..1, shrunk to what is known of the rule elsewhere, and come with their n. */
export type RuleHabits = {
  seen: number;
  selfResolve: { share: number; n: number };
  actedOn: { share: number; n: number };
  feedback: { real: number; noise: number };
};

/** One alert that comes and goes. Times are epoch ms. */
export type Flapping = {
  /** State changes within the window. */
  changes: number;
  /** When it has been calm for long enough, if nothing changes until then. */
  calmAt: number;
  /** When somebody was last told of it since it began to flap; null: nobody was. */
  toldAt: number | null;
};

/** From how many state changes within `window` (ms) on an alert flaps, and at how many it stops: fewer, or it would flap too. */
export type FlapRule = { window: number; enter: number; leave: number };

/** The rules of an incident that was held back, for what people say of it later: the digest comes the next morning. */
type Held = { turn: number; id: string; places: string[] };

/** `turn`: its row in the store, once it has one; null when another took that over. */
type Flap = {
  readonly key: string;
  changes: number[];
  since: number | null;
  toldAt: number | null;
  turn: number | null;
};

/** Two weeks: long enough for a rule that fires weekly, short enough to forget a rule that was mended. */
const HALF_LIFE_MS = 14 * 24 * 60 * 60_000;
/** Weight of what is known elsewhere, in firings; a rule nobody knows self-resolves in half of the cases. */
const PRIOR_N = 2;
const UNKNOWN_SHARE = 0.5;
/** Names are the senders': beyond this many rules, or flapping alerts, the longest untouched half is forgotten. */
const REMEMBERED = 20_000;
/** State changes kept of one alert; more within the window say nothing new. */
const CHANGES_KEPT = 32;
/** Incidents held back whose rules are remembered, what people said of them, and flapping alerts: in as many rows, used in turn. */
const HELD_KEPT = 5_000;
/** The hour that `changes` looks back. */
const CHANGES_WITHIN_MS = 60 * 60_000;
/** A change sooner than this in a flap's life is not worth a row in the store: most alerts fire once. */
const WORTH_KEEPING = 3;

/** The namespace that stands for all; no label value holds a control character after intake. */
const everywhere = '\u0002';
/** The place that stands for every rule of every tenant. */
const EVERYTHING = `\n\n${everywhere}\n${everywhere}`;

/** What the engine learns of rules and alerts while it runs, for the judges; the store keeps it over a restart. */
export type Habits = ReturnType<typeof createHabits>;

export function createHabits() {
  const rules = new Map<string, Habit>();
  const flaps = new Map<string, Flap>();
  const changedRules = new Set<Habit>();
  const changedFlaps = new Set<string>();
  const seats = new Map<number, Flap>();
  let nextFlap = 0;
  const heldBack = new Map<string, Held>();
  const bySlot = new Map<number, Held>();
  let nextTurn = 0;
  const changedHeld = new Set<Held>();
  const labels = new Map<string, { kind: 'real' | 'noise'; places: string[] }>();
  /** Where nobody ever acts in Tocsin, that nobody acts on a rule says nothing of the rule. */
  const anybodyActs = (): boolean => (rules.get(EVERYTHING)?.acted ?? 0) >= 1;

  const keyOf = (place: RulePlace): string =>
    [place.tenant, place.cluster ?? '', place.namespace ?? '', place.alertname].join('\n');

  function habitAt(key: string): Habit {
    const known = rules.get(key);
    if (known) return known;
    const [tenant, , namespace, ...name] = key.split('\n');
    const general = namespace === everywhere ? null : habitAt([tenant, '', everywhere, ...name].join('\n'));
    const fresh: Habit = {
      key,
      general,
      seen: 0,
      lone: 0,
      selfResolved: 0,
      told: 0,
      acted: 0,
      real: 0,
      noise: 0,
      at: 0,
    };
    rules.set(key, fresh);
    return fresh;
  }

  function count(habit: Habit, seen: Partial<Counts>, now: number): void {
    const fade = now > habit.at && habit.at > 0 ? 2 ** (-(now - habit.at) / HALF_LIFE_MS) : 1;
    for (const name of counted) habit[name] = Math.max(0, habit[name] * fade + (seen[name] ?? 0));
    habit.at = Math.max(habit.at, now);
    changedRules.add(habit);
    if (habit.general) count(habit.general, seen, now);
  }

  function share(habit: Habit, of: 'selfResolved' | 'acted', among: 'lone' | 'told'): number {
    const { general } = habit;
    const elsewhere = general
      ? (general[of] - habit[of] + PRIOR_N * UNKNOWN_SHARE) / (general[among] - habit[among] + PRIOR_N)
      : UNKNOWN_SHARE;
    return (habit[of] + PRIOR_N * elsewhere) / (habit[among] + PRIOR_N);
  }

  /** Gives a flapping alert its row in the store: as many as there are, used in turn, since alerts are without number. */
  function seat(flap: Flap, turn: number): number {
    const before = seats.get(turn % HELD_KEPT);
    if (before && before !== flap) before.turn = null;
    seats.set(turn % HELD_KEPT, flap);
    flap.turn = turn;
    nextFlap = Math.max(nextFlap, turn + 1);
    return turn;
  }

  function keep(held: Held): void {
    const slot = held.turn % HELD_KEPT;
    const before = bySlot.get(slot);
    if (before) heldBack.delete(before.id);
    bySlot.set(slot, held);
    heldBack.set(held.id, held);
  }

  return {
    /** An incident began with this rule. */
    began(place: RulePlace, now: number): void {
      count(habitAt(keyOf(place)), { seen: 1 }, now);
    },
    /** A firing ended that had nothing beside it; `byItself`: within the transient time, and nobody had acted. */
    ended(place: RulePlace, byItself: boolean, now: number): void {
      count(habitAt(keyOf(place)), { lone: 1, selfResolved: byItself ? 1 : 0 }, now);
    },
    /** An incident with this rule, of which somebody was told, is over; `acted`: somebody acknowledged, took or closed it. */
    told(place: RulePlace, acted: boolean, now: number): void {
      count(habitAt(keyOf(place)), { told: 1, acted: acted ? 1 : 0 }, now);
      if (acted) count(habitAt(EVERYTHING), { acted: 1 }, now);
    },
    /**
     * A person said what an incident or an alert was. `label` names the question and the person: said twice it counts once,
     * and the contrary takes the former back. `places` are the rules meant; for an incident that is gone, those it was held
     * back with. False when nobody knows any more which rules that were.
     */
    said(label: string, kind: 'real' | 'noise', of: { incidentId: string; places: readonly RulePlace[] }, now: number) {
      const places = of.places.length > 0 ? of.places.map(keyOf) : (heldBack.get(of.incidentId)?.places ?? []);
      if (places.length === 0) return false;
      const before = labels.get(label);
      if (before?.kind === kind) return true;
      if (before) for (const key of before.places) count(habitAt(key), { [before.kind]: -1 }, now);
      for (const key of places) count(habitAt(key), { [kind]: 1 }, now);
      labels.delete(label);
      labels.set(label, { kind, places });
      if (labels.size > HELD_KEPT) labels.delete(labels.keys().next().value!);
      return true;
    },
    /** An incident with these rules is held back, or would be. */
    heldBack(id: string, places: readonly RulePlace[]): void {
      if (heldBack.has(id)) return;
      const held = { turn: nextTurn, id, places: places.map(keyOf) };
      nextTurn += 1;
      keep(held);
      changedHeld.add(held);
    },
    of(place: RulePlace): RuleHabits {
      const habit = habitAt(keyOf(place));
      return {
        seen: (habit.general ?? habit).seen,
        selfResolve: { share: share(habit, 'selfResolved', 'lone'), n: habit.lone },
        actedOn: { share: share(habit, 'acted', 'told'), n: anybodyActs() ? habit.told : 0 },
        feedback: { real: habit.real, noise: habit.noise },
      };
    },

    /** An alert began or stopped firing. */
    changed(alert: Alert, rule: FlapRule, now: number): void {
      const key = alertKey(alert);
      let flap = flaps.get(key);
      if (!flap) {
        flap = { key, changes: [], since: null, toldAt: null, turn: null };
        flaps.set(key, flap);
      }
      settle(flap, rule, now);
      flap.changes.push(now);
      if (flap.changes.length > CHANGES_KEPT) flap.changes.shift();
      if (flap.since === null && flap.changes.length >= rule.enter) flap.since = now;
      if (flap.changes.length >= WORTH_KEEPING) changedFlaps.add(key);
    },
    /** Whether an alert flaps; null when it does not. */
    flapping(alert: Pick<Alert, 'source' | 'fingerprint'>, rule: FlapRule, now: number): Flapping | null {
      const flap = flaps.get(alertKey(alert));
      if (!flap) return null;
      settle(flap, rule, now);
      if (flap.since === null) return null;
      const { changes } = flap;
      const last = changes[changes.length - rule.leave - 1] ?? now;
      return { changes: changes.length, calmAt: last + rule.window, toldAt: flap.toldAt };
    },
    /** State changes of an alert in the last hour, or as far back as is kept. */
    changes(alert: Pick<Alert, 'source' | 'fingerprint'>, now: number): number {
      const flap = flaps.get(alertKey(alert));
      return flap ? flap.changes.filter((at) => at > now - CHANGES_WITHIN_MS).length : 0;
    },
    /** Somebody was told of this alert; counts only while it flaps. */
    flapTold(alert: Pick<Alert, 'source' | 'fingerprint'>, now: number): void {
      const flap = flaps.get(alertKey(alert));
      if (!flap || flap.since === null) return;
      flap.toldAt = now;
      changedFlaps.add(flap.key);
    },

    /** What changed since the last call, for the store. */
    drain(): MemoryRecord[] {
      const records = [...changedRules].map(
        ({ general: _, key, ...doc }): MemoryRecord => ({ scope: 'habit', key, doc }),
      );
      for (const key of changedFlaps) {
        const flap = flaps.get(key);
        if (!flap) continue;
        const turn = flap.turn ?? seat(flap, nextFlap);
        records.push({ scope: 'flap', key: String(turn % HELD_KEPT), doc: { ...flap, changes: [...flap.changes] } });
      }
      for (const held of changedHeld) records.push({ scope: 'held', key: String(held.turn % HELD_KEPT), doc: held });
      changedHeld.clear();
      changedRules.clear();
      changedFlaps.clear();
      forgetHalf(rules, (habit) => habit.at);
      forgetHalf(flaps, (flap) => flap.changes.at(-1) ?? 0);
      return records;
    },
    load(records: readonly MemoryRecord[]): void {
      for (const { scope, key, doc } of records) {
        const saved = (doc ?? {}) as Record<string, unknown>;
        const n = (name: string): number => (Number.isFinite(saved[name]) ? Number(saved[name]) : 0);
        const time = (name: string): number | null => (Number.isFinite(saved[name]) ? Number(saved[name]) : null);
        if (scope === 'habit') {
          const habit = habitAt(key);
          for (const name of [...counted, 'at'] as const) habit[name] = n(name);
        }
        if (scope === 'held' && typeof saved.id === 'string' && Array.isArray(saved.places)) {
          keep({ turn: n('turn'), id: saved.id, places: saved.places.map(String) });
          nextTurn = Math.max(nextTurn, n('turn') + 1);
        }
        if (scope === 'flap') {
          const changes = Array.isArray(saved.changes) ? saved.changes.filter((at) => Number.isFinite(at)) : [];
          if (changes.length === 0 || typeof saved.key !== 'string') continue;
          const flap = { key: saved.key, changes, since: time('since'), toldAt: time('toldAt'), turn: null };
          flaps.set(flap.key, flap);
          seat(flap, n('turn'));
        }
      }
    },
  };
}

/** Lets go of changes older than the window, and of the state `flapping` once few enough are left. */
function settle(flap: Flap, rule: FlapRule, now: number): void {
  const old = flap.changes.findIndex((at) => at > now - rule.window);
  flap.changes.splice(0, old < 0 ? flap.changes.length : old);
  if (flap.since !== null && flap.changes.length <= rule.leave) {
    flap.since = null;
    flap.toldAt = null;
  }
}

function forgetHalf<T>(table: Map<string, T>, touched: (x: T) => number): void {
  if (table.size <= REMEMBERED) return;
  const times = [...table.values()].map(touched).sort((a, b) => a - b);
  const middle = times[times.length >> 1]!;
  for (const [key, x] of table) if (touched(x) <= middle) table.delete(key);
}
