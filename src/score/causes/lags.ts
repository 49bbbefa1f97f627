import type { MemoryRecord } from '../../domain/effects.ts';

/** What past incidents say of two services: in how many the first began before the other, and in how many after. */
export type Precedence = {
  before: number;
  after: number;
  /** Mean time from the first's onset to the other's, ms; negative when it usually came later. */
  lagMs: number;
};

/** Which service's alerts begin before which one's, learned from incidents that are over. Pure; the store keeps it. */
export type Lags = {
  /** One incident that is over: its alerts with a service. `now` in epoch ms. */
  learn(tenant: string, alerts: readonly Onset[], now: number): void;
  /** Null where nothing was seen of the two. */
  between(tenant: string, a: Place, b: Place): Precedence | null;
  drain(): MemoryRecord[];
  load(records: readonly MemoryRecord[]): void;
};

export type Place = { namespace: string | null; service: string };
type Onset = { namespace: string | null; service: string | null; startsAt: number };

/** Counts of one pair in the order of its key; they fade, so that a system that changed is learned anew. */
type Pair = { key: string; before: number; after: number; lagMs: number; at: number };

/** Two months: an incident of two services is rare. */
const halfLifeMs = 60 * 86_400_000;
/** Onsets closer than this are one: rules are evaluated every 15 to 60 s, and no clock is better than some seconds. */
const togetherMs = 5_000;
/** Services of one incident that are compared, the first to begin: a storm teaches as much as 20 services do. */
const mostServices = 20;
/** Pairs remembered; names are the senders', so beyond this the longest untouched half is forgotten. */
const mostPairs = 20_000;

const nameOf = ({ namespace, service }: Place): string => `${namespace ?? ''}\n${service}`;

export function createLags(): Lags {
  const pairs = new Map<string, Pair>();
  const changed = new Set<Pair>();

  function count(key: string, lagMs: number, now: number): void {
    const pair = pairs.get(key) ?? { key, before: 0, after: 0, lagMs: 0, at: now };
    const faded = 2 ** (-Math.max(0, now - pair.at) / halfLifeMs);
    pair.before = pair.before * faded + (lagMs > 0 ? 1 : 0);
    pair.after = pair.after * faded + (lagMs < 0 ? 1 : 0);
    pair.lagMs += (lagMs - pair.lagMs) / (pair.before + pair.after);
    pair.at = now;
    pairs.set(key, pair);
    changed.add(pair);
    if (pairs.size > mostPairs) forgetHalf(pairs);
  }

  return {
    learn(tenant, alerts, now) {
      const onsets = new Map<string, number>();
      for (const { namespace, service, startsAt } of alerts) {
        if (service === null) continue;
        const name = nameOf({ namespace, service });
        onsets.set(name, Math.min(startsAt, onsets.get(name) ?? Infinity));
      }
      const first = [...onsets].sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1)).slice(0, mostServices);
      for (const [a, from] of first) {
        for (const [b, to] of first) {
          if (a < b && Math.abs(to - from) >= togetherMs) count(`${tenant}\n${a}\n${b}`, to - from, now);
        }
      }
    },
    between(tenant, a, b) {
      const [x, y] = [nameOf(a), nameOf(b)];
      const pair = pairs.get(x < y ? `${tenant}\n${x}\n${y}` : `${tenant}\n${y}\n${x}`);
      if (!pair) return null;
      const { before, after, lagMs } = pair;
      return x < y ? { before, after, lagMs } : { before: after, after: before, lagMs: -lagMs };
    },
    drain() {
      const records = [...changed].map(({ key, ...doc }): MemoryRecord => ({ scope: 'lag', key, doc }));
      changed.clear();
      return records;
    },
    load(records) {
      for (const { scope, key, doc } of records) {
        if (scope !== 'lag') continue;
        const numbers = doc as Record<string, unknown>;
        const n = (name: string): number => (Number.isFinite(numbers[name]) ? Number(numbers[name]) : 0);
        pairs.set(key, { key, before: n('before'), after: n('after'), lagMs: n('lagMs'), at: n('at') });
      }
    },
  };
}

function forgetHalf(pairs: Map<string, Pair>): void {
  const times = [...pairs.values()].map(({ at }) => at).sort((a, b) => a - b);
  const middle = times[times.length >> 1]!;
  for (const [key, { at }] of pairs) if (at <= middle) pairs.delete(key);
}
