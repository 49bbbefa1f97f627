import type { MemoryRecord } from '../domain/effects.ts';
import type { CorrelationModel } from './model.ts';

/** What is remembered of one rule in one site: the log odds that it speaks of faults, fading with `halfLifeMs`. */
export type Rule = { readonly key: string; readonly general: Rule | null; logOdds: number; at: number };
/** One site (tenant, cluster, namespace): its onsets over observed time, and the time scale that follows from them. */
export type Site = {
  readonly key: string;
  onsets: number;
  spanMs: number;
  at: number;
  minute: number;
  inMinute: number;
  tauMs: number;
};

/** A storm says nothing of how often alerts come in general: more than this many onsets a minute count as this many. */
const onsetsPerMinute = 12;
/** Rules and sites remembered; names are the senders', so beyond this the longest untouched half is forgotten. */
const remembered = 20_000;

/**
 * What the correlator learns in-stream, unlabelled: how often alerts come in a site, and of each rule how much more often
 * than chance its alerts have company. One number per rule and site; the store keeps them over a restart.
 */
export type Relevance = {
  rule(key: string): Rule;
  site(key: string, now: number): Site;
  /** An onset of this rule had company; `chance` is how likely that was anyway. */
  company(rule: Rule, chance: number, weight: number, now: number): void;
  /** An onset of this rule stayed alone. */
  alone(rule: Rule, now: number): void;
  /** Probability that the rule speaks of faults and not of noise. */
  of(rule: Rule): number;
  /** An onset in this site: keeps up the local alert rate. */
  tick(site: Site, now: number): void;
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

  /** A rule, and the same rule in every site of its tenant: a hint, kept short because one noisy system spoils it. */
  function rule(key: string): Rule {
    const known = rules.get(key);
    if (known) return known;
    const [tenant, , namespace, ...name] = key.split('\n');
    const general = namespace === everywhere ? null : rule(`${tenant}\n\n${everywhere}\n${name.join('\n')}`);
    const fresh: Rule = { key, general, logOdds: 0, at: 0 };
    rules.set(key, fresh);
    return fresh;
  }

  function site(key: string, now: number): Site {
    const known = sites.get(key);
    if (known) return known;
    const fresh: Site = { key, onsets: 0, spanMs: 0, at: now, minute: 0, inMinute: 0, tauMs: 0 };
    rescale(fresh);
    sites.set(key, fresh);
    return fresh;
  }

  function rescale(s: Site): void {
    const rate = (s.onsets + time.priorCount) / (s.spanMs + time.priorMs);
    s.tauMs = Math.min(time.maxMs, Math.max(time.minMs, time.k / rate));
  }

  function learn(r: Rule, evidence: number, now: number): void {
    r.logOdds = clip(r.logOdds * fade(r.at, now, relevance.halfLifeMs) + evidence, relevance.limit);
    r.at = now;
    changed.add(r);
    if (r.general) learn(r.general, evidence * relevance.pooledShare, now);
  }

  return {
    rule,
    site,
    company(r, chance, weight, now) {
      const c = Math.min(0.95, Math.max(relevance.chanceFloor, chance));
      learn(r, weight * relevance.gain * Math.log((c + relevance.together * (1 - c)) / c), now);
    },
    alone(r, now) {
      learn(r, Math.log(1 - relevance.together), now);
    },
    of(r) {
      const hint = r.general ? clip(r.general.logOdds, relevance.pooledLimit) : 0;
      return 1 / (1 + Math.exp(-(prior + r.logOdds + hint)));
    },
    tick(s, now) {
      const f = fade(s.at, now, time.halfLifeMs);
      s.spanMs = s.spanMs * f + Math.max(0, now - s.at);
      s.onsets *= f;
      s.at = Math.max(s.at, now);
      const minute = Math.floor(now / 60_000);
      s.inMinute = minute === s.minute ? s.inMinute + 1 : 1;
      s.minute = minute;
      if (s.inMinute <= onsetsPerMinute) s.onsets += 1;
      rescale(s);
      changed.add(s);
    },
    drain() {
      const records = [...changed].map((x): MemoryRecord => {
        if ('logOdds' in x) return { scope: 'rule', key: x.key, doc: { logOdds: x.logOdds, at: x.at } };
        const { key, tauMs: _, ...doc } = x;
        return { scope: 'rate', key, doc };
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
        if (scope === 'rule') Object.assign(rule(key), { logOdds: n('logOdds'), at: n('at') });
        if (scope === 'rate') {
          const s = site(key, n('at'));
          Object.assign(s, {
            onsets: n('onsets'),
            spanMs: n('spanMs'),
            at: n('at'),
            minute: n('minute'),
            inMinute: n('inMinute'),
          });
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
