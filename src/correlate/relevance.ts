import type { MemoryRecord } from '../domain/effects.ts';
import type { CorrelationModel } from './model.ts';

/** What is remembered of one rule in one namespace: the log odds that it speaks of faults, fading with `halfLifeMs`. */
type Belief = { logOdds: number; at: number };
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
  const rules = new Map<string, Belief>();
  const rates = new Map<string, Rate>();
  const changed = new Map<string, MemoryRecord>();
  const { relevance, time } = model;

  const fade = (from: number, to: number, halfLifeMs: number): number =>
    to > from && halfLifeMs > 0 ? 2 ** (-(to - from) / halfLifeMs) : 1;

  /** The rule in every namespace of its tenant: a hint, never more than `pooledLimit`, since one noisy system spoils it. */
  const pooled = (key: string): string => {
    const [tenant, , , ...name] = key.split('\n');
    return `${tenant}\n*\n*\n${name.join('\n')}`;
  };

  function learn(key: string, evidence: number, now: number, everywhere = false): void {
    let belief = rules.get(key);
    if (!belief) {
      belief = { logOdds: 0, at: now };
      rules.set(key, belief);
    }
    belief.logOdds = clip(belief.logOdds * fade(belief.at, now, relevance.halfLifeMs) + evidence, relevance.limit);
    belief.at = now;
    if (!everywhere) learn(pooled(key), evidence * relevance.pooledShare, now, true);
    changed.set(`rule\n${key}`, { scope: 'rule', key, doc: belief });
  }
  const prior = Math.log(relevance.priorMean / (1 - relevance.priorMean));

  return {
    /** An onset of this rule had company; `chance` is how likely that was anyway. */
    company(key: string, chance: number, weight: number, now: number): void {
      const c = Math.min(0.95, Math.max(relevance.chanceFloor, chance));
      learn(key, weight * relevance.gain * Math.log((c + relevance.together * (1 - c)) / c), now);
    },
    /** An onset of this rule stayed alone. */
    alone(key: string, now: number): void {
      learn(key, Math.log(1 - relevance.together), now);
    },
    /** Probability that the rule speaks of faults and not of noise. */
    of(key: string): number {
      const own = rules.get(key);
      const general = rules.get(pooled(key))?.logOdds ?? 0;
      const p = 1 / (1 + Math.exp(-(prior + (own?.logOdds ?? 0) + clip(general, relevance.pooledLimit))));
      return relevance.floor + (1 - relevance.floor) * p;
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
          rules.set(key, { logOdds: n('logOdds'), at: n('at') });
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

const clip = (x: number, limit: number): number => Math.max(-limit, Math.min(limit, x));
