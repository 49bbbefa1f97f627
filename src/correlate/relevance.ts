import type { MemoryRecord } from '../domain/effects.ts';
import type { CorrelationModel } from './model.ts';
import type { RuleRecord } from './types.ts';

/**
 * What is remembered of one rule in one site: the log odds that it speaks of faults, and on how many onsets that rests,
 * all fading with `halfLifeMs`.
 */
export type Rule = {
  readonly key: string;
  readonly general: Rule | null;
  logOdds: number;
  accompanied: number;
  alone: number;
  at: number;
  /** What `of` said last, and of which log odds. */
  said: { own: number; hint: number; relevance: number };
};
/** One site (tenant, cluster, namespace): its onsets over observed time, and the time scale that follows from them. */
export type Site = {
  readonly key: string;
  onsets: number;
  spanMs: number;
  at: number;
  minute: number;
  inMinute: number;
  /** Pairs of connected onsets by the time between them, in bins of `lagBinMs`, each weighted by how far its rules are believed. */
  lags: Float64Array;
  tauMs: number;
};

/** Lags between connected onsets are counted in bins of 15 s, up to 15 minutes. */
export const lagBinMs = 15_000;
export const lagBins = 60;

/** A storm says nothing of how often alerts come in general: more than this many onsets a minute count as this many. */
export const onsetsPerMinute = 12;
/** Rules and sites remembered; names are the senders', so beyond this the longest untouched half is forgotten. */
const remembered = 20_000;

/**
 * What the correlator learns in-stream, unlabelled: how often alerts come in a site, and of each rule how much more often
 * than chance its alerts have company. One number per rule and site; the store keeps them over a restart.
 */
export type Relevance = {
  rule(key: string): Rule;
  site(key: string, now: number): Site;
  /**
   * An onset of this rule had company; `chance` is how likely that was anyway. `first`: until now this onset counted as
   * alone, later calls for it only add weight.
   */
  company(rule: Rule, chance: number, weight: number, first: boolean, now: number): void;
  /** An onset of this rule stayed alone. */
  alone(rule: Rule, now: number): void;
  /** Probability that the rule speaks of faults and not of noise. */
  of(rule: Rule): number;
  /** What is known of the rule with this key, without remembering that somebody asked. */
  known(key: string): RuleRecord;
  /** An onset in this site: keeps up the local alert rate. */
  tick(site: Site, now: number): void;
  /** The lags of one onset to those before it: for each bin that has any, the weight of the best believed pair. */
  lagged(site: Site, weights: Float64Array): void;
  drain(): MemoryRecord[];
  load(records: MemoryRecord[]): void;
};

export function createRelevance(model: CorrelationModel): Relevance {
  const rules = new Map<string, Rule>();
  const sites = new Map<string, Site>();
  const changed = new Set<Rule | Site>();
  const { relevance, time } = model;
  const prior = Math.log(relevance.priorMean / (1 - relevance.priorMean));

  const fade = (from: number, to: number, halfLifeMs: number): number =>
    to > from && halfLifeMs > 0 ? 2 ** (-(to - from) / halfLifeMs) : 1;

  const generalKey = (key: string): string => {
    const [tenant, , , ...name] = key.split('\n');
    return `${tenant}\n\n${everywhere}\n${name.join('\n')}`;
  };

  /** A rule, and the same rule in every site of its tenant: a hint, kept short because one noisy system spoils it. */
  function rule(key: string): Rule {
    const known = rules.get(key);
    if (known) return known;
    const parent = generalKey(key);
    const general = parent === key ? null : rule(parent);
    const fresh: Rule = {
      key,
      general,
      logOdds: 0,
      accompanied: 0,
      alone: 0,
      at: 0,
      said: { own: NaN, hint: NaN, relevance: 0 },
    };
    rules.set(key, fresh);
    return fresh;
  }

  function site(key: string, now: number): Site {
    const known = sites.get(key);
    if (known) return known;
    const fresh: Site = {
      key,
      onsets: 0,
      spanMs: 0,
      at: now,
      minute: 0,
      inMinute: 0,
      lags: new Float64Array(lagBins),
      tauMs: 0,
    };
    rescale(fresh);
    sites.set(key, fresh);
    return fresh;
  }

  function rescale(s: Site): void {
    const rate = (s.onsets + time.priorCount) / (s.spanMs + time.priorMs);
    const byRate = Math.min(time.maxMs, time.k / rate);
    s.tauMs = Math.max(time.minMs, Math.min(byRate, spanOf(s.lags, byRate)));
  }

  /**
   * How long the onsets of one trouble take, measured: the lag that `span.share` of the pairs stay below which are closer
   * than chance has them (chance: the median bin), times `span.scale`. Only lags up to `reachMs` are looked at, since
   * troubles that come at regular times would be seen beyond; the prior counts as `span.prior` pairs `span.priorMs` apart.
   */
  function spanOf(lags: Float64Array, reachMs: number): number {
    const { span } = time;
    const bins = Math.min(lagBins, Math.max(2, Math.ceil(reachMs / lagBinMs)));
    const chance = lags.slice(0, bins).sort()[bins >> 1]!;
    const priorBin = Math.min(bins, Math.round(span.priorMs / lagBinMs)) - 1;
    const excess = (bin: number): number => Math.max(0, lags[bin]! - chance) + (bin === priorBin ? span.prior : 0);
    let total = 0;
    for (let bin = 0; bin < bins; bin += 1) total += excess(bin);
    let sum = 0;
    for (let bin = 0; bin < bins; bin += 1) {
      sum += excess(bin);
      if (sum >= span.share * total) return (bin + 1) * lagBinMs * span.scale;
    }
    return reachMs;
  }

  function learn(r: Rule, evidence: number, counted: 'accompanied' | 'alone' | null, now: number): void {
    const faded = fade(r.at, now, relevance.halfLifeMs);
    r.logOdds = clip(r.logOdds * faded + evidence, relevance.limit);
    r.accompanied *= faded;
    r.alone *= faded;
    if (counted) r[counted] += 1;
    r.at = now;
    changed.add(r);
    if (r.general) learn(r.general, evidence * relevance.pooledShare, counted, now);
  }

  const hintOf = (general: Rule | null | undefined): number =>
    general ? clip(general.logOdds, relevance.pooledLimit) : 0;
  const probability = (logOdds: number): number => 1 / (1 + Math.exp(-(prior + logOdds)));

  return {
    rule,
    site,
    company(r, chance, weight, first, now) {
      const c = Math.min(0.95, Math.max(relevance.chanceFloor, chance));
      const evidence = weight * relevance.gain * Math.log((c + relevance.together * (1 - c)) / c);
      learn(r, evidence, first ? 'accompanied' : null, now);
    },
    alone(r, now) {
      learn(r, Math.log(1 - relevance.together), 'alone', now);
    },
    of(r) {
      // Asked for every pair, changed by few: the exponential is worth keeping.
      const { said } = r;
      const hint = r.general === null ? 0 : r.general.logOdds;
      if (said.own !== r.logOdds || said.hint !== hint)
        r.said = { own: r.logOdds, hint, relevance: probability(r.logOdds + hintOf(r.general)) };
      return r.said.relevance;
    },
    known(key) {
      const own = rules.get(key);
      const general = own ? own.general : rules.get(generalKey(key));
      return {
        relevance: probability((own?.logOdds ?? 0) + hintOf(general)),
        onsets: (own?.accompanied ?? 0) + (own?.alone ?? 0),
        accompanied: own?.accompanied ?? 0,
      };
    },
    tick(s, now) {
      // A quiet night says nothing of how fast trouble spreads: it neither counts in full nor wipes out what is known.
      const gap = Math.min(time.quietMs, Math.max(0, now - s.at));
      const f = fade(0, gap, time.halfLifeMs);
      s.spanMs = s.spanMs * f + gap;
      s.onsets *= f;
      for (let bin = 0; bin < lagBins; bin += 1) s.lags[bin]! *= f;
      s.at = Math.max(s.at, now);
      const minute = Math.floor(now / 60_000);
      s.inMinute = minute === s.minute ? s.inMinute + 1 : 1;
      s.minute = minute;
      if (s.inMinute <= onsetsPerMinute) s.onsets += 1;
      rescale(s);
      changed.add(s);
    },
    lagged(s, weights) {
      for (let bin = 0; bin < lagBins; bin += 1) s.lags[bin]! += weights[bin]!;
    },
    drain() {
      const records = [...changed].map((x): MemoryRecord => {
        if ('logOdds' in x) {
          const { logOdds, accompanied, alone, at } = x;
          return { scope: 'rule', key: x.key, doc: { logOdds, accompanied, alone, at } };
        }
        const { key, tauMs: _, lags, ...doc } = x;
        return { scope: 'rate', key, doc: { ...doc, lags: Array.from(lags, (n) => Math.round(n * 100) / 100) } };
      });
      changed.clear();
      // Points hold on to their own rule and site; forgetting here only means that the next point starts afresh.
      forgetHalf(rules, remembered);
      forgetHalf(sites, remembered);
      return records;
    },
    load(records) {
      for (const { scope, key, doc } of records) {
        const numbers = doc as Record<string, unknown>;
        const n = (name: string): number => (Number.isFinite(numbers[name]) ? Number(numbers[name]) : 0);
        if (scope === 'rule')
          Object.assign(rule(key), {
            logOdds: n('logOdds'),
            accompanied: n('accompanied'),
            alone: n('alone'),
            at: n('at'),
          });
        if (scope === 'rate') {
          const s = site(key, n('at'));
          Object.assign(s, {
            onsets: n('onsets'),
            spanMs: n('spanMs'),
            at: n('at'),
            minute: n('minute'),
            inMinute: n('inMinute'),
          });
          if (Array.isArray(numbers.lags)) s.lags.set(numbers.lags.slice(0, lagBins).map((x) => Number(x) || 0));
          rescale(s);
        }
      }
    },
  };
}

/** The namespace that stands for all of them; no label value holds a control character after intake. */
const everywhere = '\u0002';

function forgetHalf<T extends { at: number }>(table: Map<string, T>, limit: number): void {
  if (table.size <= limit) return;
  const times = [...table.values()].map((x) => x.at).sort((a, b) => a - b);
  const middle = times[times.length >> 1]!;
  for (const [key, x] of table) if (x.at <= middle) table.delete(key);
}

const clip = (x: number, limit: number): number => Math.max(-limit, Math.min(limit, x));
