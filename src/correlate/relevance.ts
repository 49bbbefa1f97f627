import type { MemoryRecord } from '../domain/effects.ts';
import type { CorrelationModel } from './model.ts';

/** What is remembered of one rule in one namespace. Counts fade with `halfLifeMs`. */
type Counters = { onsets: number; company: number; chance: number; at: number };
/** Onsets of one site (tenant, cluster, namespace) over observed time. */
type Rate = { onsets: number; spanMs: number; at: number; minute: number; inMinute: number };

/** A storm says nothing of how often alerts come in general: more than this many onsets a minute count as this many. */
const onsetsPerMinute = 12;

/**
 * What the correlator learns in-stream, unlabelled: how often alerts come in a site, and of each rule how much more often
 * than chance its alerts have company. A few counters per rule and namespace; the store keeps them over a restart.
 */
export type Relevance = ReturnType<typeof createRelevance>;

export function createRelevance(model: CorrelationModel) {
  const rules = new Map<string, Counters>();
  const rates = new Map<string, Rate>();
  const changed = new Map<string, MemoryRecord>();
  const { relevance, time } = model;

  const fade = (from: number, to: number, halfLifeMs: number): number =>
    to > from && halfLifeMs > 0 ? 2 ** (-(to - from) / halfLifeMs) : 1;

  function rule(key: string, now: number): Counters {
    let counters = rules.get(key);
    if (!counters) {
      counters = { onsets: 0, company: 0, chance: 0, at: now };
      rules.set(key, counters);
    }
    const f = fade(counters.at, now, relevance.halfLifeMs);
    if (f < 1) {
      counters.onsets *= f;
      counters.company *= f;
      counters.chance *= f;
      counters.at = now;
    }
    changed.set(`rule\n${key}`, { scope: 'rule', key, doc: counters });
    return counters;
  }

  return {
    /** An alert of this rule began; `chance` is the probability that it would have had company anyway. */
    onset(key: string, chance: number, now: number): void {
      const counters = rule(key, now);
      counters.onsets += 1;
      counters.chance += chance;
    },
    /** One of its onsets turned out to have company. */
    company(key: string, now: number): void {
      rule(key, now).company += 1;
    },
    /** (p − c) / (1 − c), both shrunk to the prior; the prior itself while nothing is known. */
    of(key: string): number {
      const { priorMean, priorCount, priorChance, floor } = relevance;
      const counters = rules.get(key);
      const onsets = counters?.onsets ?? 0;
      const c = ((counters?.chance ?? 0) + priorChance * priorCount) / (onsets + priorCount);
      const priorCompany = priorChance + priorMean * (1 - priorChance);
      const p = ((counters?.company ?? 0) + priorCompany * priorCount) / (onsets + priorCount);
      return Math.min(1, Math.max(floor, (p - c) / Math.max(0.05, 1 - c)));
    },
    /** An onset in this site: keeps up the local alert rate. `now` must not run backwards. */
    tick(site: string, now: number): void {
      let rate = rates.get(site);
      if (!rate) {
        rate = { onsets: 0, spanMs: 0, at: now, minute: 0, inMinute: 0 };
        rates.set(site, rate);
      }
      const f = fade(rate.at, now, time.halfLifeMs);
      rate.spanMs = rate.spanMs * f + Math.max(0, now - rate.at);
      rate.onsets *= f;
      rate.at = Math.max(rate.at, now);
      const minute = Math.floor(now / 60_000);
      rate.inMinute = minute === rate.minute ? rate.inMinute + 1 : 1;
      rate.minute = minute;
      if (rate.inMinute <= onsetsPerMinute) rate.onsets += 1;
      changed.set(`rate\n${site}`, { scope: 'rate', key: site, doc: rate });
    },
    /** Onsets per ms in this site. */
    rate(site: string): number {
      const rate = rates.get(site);
      return ((rate?.onsets ?? 0) + time.priorCount) / ((rate?.spanMs ?? 0) + time.priorMs);
    },
    /** The time scale tau of this site, ms. */
    timeScale(site: string): number {
      return Math.min(time.maxMs, Math.max(time.minMs, time.k / this.rate(site)));
    },
    drain(): MemoryRecord[] {
      const records = [...changed.values()].map((record) => ({ ...record, doc: { ...(record.doc as object) } }));
      changed.clear();
      return records;
    },
    load(records: MemoryRecord[]): void {
      for (const { scope, key, doc } of records) {
        const numbers = doc as Record<string, unknown>;
        const n = (name: string): number => (Number.isFinite(numbers[name]) ? Number(numbers[name]) : 0);
        if (scope === 'rule') {
          rules.set(key, { onsets: n('onsets'), company: n('company'), chance: n('chance'), at: n('at') });
        } else if (scope === 'rate') {
          rates.set(key, {
            onsets: n('onsets'),
            spanMs: n('spanMs'),
            at: n('at'),
            minute: n('minute'),
            inMinute: n('inMinute'),
          });
        }
      }
    },
  };
}
