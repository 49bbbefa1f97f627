import { type AnomalyType, classify } from './classify.ts';
import { combine, tailEvidence } from './evidence.ts';
import { type ForestJson, fitForest, forestFromJSON, type IsolationForest } from './isolationForest.ts';
import { type Look, type Looks, lookAt, lookNames, minWidths } from './looks.ts';
import type { AnomalyModel } from './model.ts';
import { createRolling, type Rolling } from './rolling.ts';
import { dayMs, usualAt, weekMs } from './season.ts';

/** What the detector says of one point, knowing that point and earlier ones only. */
export type AnomalyPoint = {
  /** Epoch ms, as given. */
  t: number;
  value: number;
  /** 0..1; 0.5 and more announces an anomaly. A repeat of what was just announced stays below 0.5. */
  score: number;
  /** 0..1; how unusual the point is, announced before or not. */
  strength: number;
  /** What kind of anomaly, where `strength` is 0.5 or more. */
  type: AnomalyType | null;
  /** Expected range, null while too little is known. */
  low: number | null;
  high: number | null;
  /** Distance from the middle of the expected range in robust sigmas, signed, at most ±1,000; 0 while unknown. */
  deviation: number;
  /** 0..1: how much past, how regular and how varied, this judgement rests on. 0: the point was not judged at all. */
  confidence: number;
};

/** The whole memory of a detector as plain JSON. */
export type DetectorSnapshot = {
  times: number[];
  values: number[];
  steps: number[];
  near: number[];
  misses: Record<Baseline, number[]>;
  pasts: Record<string, number[]>;
  rows: number[][];
  forest: ForestJson | null;
  announced: Announced;
  counts: Counts;
};

export type Detector = {
  /** Judges the next point (`t` epoch ms) and learns from it. Never throws: what cannot be judged has confidence 0. */
  push(t: number, value: number): AnomalyPoint;
  snapshot(): DetectorSnapshot;
  /** Takes over the memory of a detector of the same model; it then goes on as that one would. */
  restore(snapshot: DetectorSnapshot): void;
};

type Baseline = 'near' | 'daily' | 'weekly';
const baselines: readonly Baseline[] = ['near', 'daily', 'weekly'];

/** What is counted: all numbers, so that a snapshot can copy it. */
type Counts = {
  learned: number;
  ignored: number;
  /** Points in a row with the newest value. */
  run: number;
  refits: number;
  sinceFit: number;
};

type State = {
  times: Rolling;
  values: Rolling;
  steps: Rolling;
  /** The newest 96 values: their median is what to expect where no season is known. */
  near: Rolling;
  /** How far each baseline was off, for each of the newest 512 points. */
  misses: Record<Baseline, Rolling>;
  pasts: Record<Look | 'forest', Rolling>;
  rows: number[][];
  forest: IsolationForest | null;
  announced: Announced;
  counts: Counts;
};

const forestLooks = ['high', 'change', 'mean', 'mean-shift', 'median-shift', 'variation', 'seasonal'] as const;
/** Values beyond are judged as this: sums of 144 of them still are finite numbers. */
const valueLimit = 1e150;
const judged = 0.5;

/**
 * A detector for one series. Eight looks at every point (level, change, shifts, variation, season, stillness) and an
 * isolation forest over them, refitted on the rolling past, are each turned into tail evidence against their own past and
 * combined. It sees no later point, draws no unseeded random number and reads no clock.
 */
export function createDetector(model: AnomalyModel): Detector {
  let state = emptyState(model);

  return {
    push(t, value) {
      const last = state.times.recent(0);
      if (!Number.isFinite(t) || !Number.isFinite(value) || t <= last) {
        state.counts.ignored += 1;
        return unjudged(t, value);
      }
      return judge(state, model, t, value);
    },
    snapshot: () => toSnapshot(state),
    restore(snapshot) {
      state = fromSnapshot(snapshot, model);
    },
  };
}

/** Judges a whole series, oldest first, exactly as a detector fed point by point. */
export function scoreSeries(
  points: readonly (readonly [t: number, value: number])[],
  model: AnomalyModel,
): AnomalyPoint[] {
  const detector = createDetector(model);
  return points.map(([t, value]) => detector.push(t, value));
}

function unjudged(t: number, value: number): AnomalyPoint {
  return { t, value, score: 0, strength: 0, type: null, low: null, high: null, deviation: 0, confidence: 0 };
}

function judge(state: State, model: AnomalyModel, t: number, given: number): AnomalyPoint {
  const { counts, values, times } = state;
  const value = Math.max(-valueLimit, Math.min(valueLimit, given));
  const usual: Record<Baseline, number | null> = {
    near: state.near.size() > 0 ? state.near.quantile(0.5) : null,
    daily: usualAt(t, times, values, dayMs),
    weekly: usualAt(t, times, values, weekMs),
  };
  const run = value === values.recent(0) ? counts.run + 1 : 1;
  const looks = lookAt(value, values, usual.weekly ?? usual.daily, run);
  const expected = expect(state, model, usual);
  const deviation = expected ? clamp((value - expected.centre) / expected.sigma, 1000) : 0;

  const evidence = gatherEvidence(state, model, looks);
  const raw = combine(Object.values(evidence));
  const shown = announce(state.announced, model, raw);
  const strength = toScore(raw, model);
  const type = strength >= judged ? classify({ value, values, deviation, evidence }) : null;
  const confidence = confidenceOf(state, model);

  learn(state, model, t, value, usual, run);
  return {
    t,
    value: given,
    score: toScore(shown, model),
    strength,
    type,
    low: expected?.low ?? null,
    high: expected?.high ?? null,
    deviation,
    confidence,
  };
}

/** Half at the threshold, three quarters at twice the threshold, never quite 1. */
const toScore = (evidence: number, model: AnomalyModel): number => 1 - 2 ** (-evidence / model.threshold);

const clamp = (x: number, limit: number): number => Math.max(-limit, Math.min(limit, x));

/** Evidence per look against its own past, which then takes the look in. */
function gatherEvidence(state: State, model: AnomalyModel, looks: Looks): Partial<Record<Look | 'forest', number>> {
  const found: Partial<Record<Look | 'forest', number>> = {};
  const weigh = (name: Look | 'forest', x: number): void => {
    if (Number.isNaN(x) || !model.looks.includes(name)) return;
    found[name] = tailEvidence(state.pasts[name], x, model.tailShare, model.minPoints, minWidths[name]);
    // Stillness is compared with runs that have ended: a run must not become usual by its own growing.
    if (name !== 'flat') state.pasts[name].push(x);
    else if (x === 0 && state.counts.run > 0) state.pasts.flat.push(Math.log2(state.counts.run));
  };
  for (const name of lookNames) weigh(name, looks[name]);
  weigh('forest', askForest(state, model, looks));
  return found;
}

/** The isolation score of this point by a forest of earlier points only; NaN before the first fit. */
function askForest(state: State, model: AnomalyModel, looks: Looks): number {
  if (!model.looks.includes('forest')) return Number.NaN;
  const { counts, rows } = state;
  const { trees, sample, refitEvery, minRows, seed } = model.forest;
  if (rows.length >= minRows && (state.forest === null || counts.sinceFit >= refitEvery)) {
    state.forest = fitForest(rows, { seed: seed + counts.refits, trees, sample });
    counts.refits += 1;
    counts.sinceFit = 0;
  }
  const row = forestLooks.map((name) => (Number.isNaN(looks[name]) ? 0 : looks[name]));
  const score = state.forest ? state.forest.score(row) : Number.NaN;
  rows.push(row);
  if (rows.length > model.history) rows.shift();
  counts.sinceFit += 1;
  return score;
}

/** The last announcement: its evidence and how many points ago. */
type Announced = { evidence: number; ago: number };

/**
 * What is left of the evidence after the last announcement's shadow, which fades in a straight line over `quietPoints`:
 * the hours after a fault are odd too, and one announcement is enough. For the first `settlePoints` the event is still
 * unfolding (a step reaches the long windows late): stronger evidence then only makes the shadow longer. What is not
 * announced is kept just under the threshold.
 */
function announce(last: Announced, { threshold, quietPoints, settlePoints }: Announcing, raw: number): number {
  last.ago += 1;
  const unfolding = last.evidence > 0 && last.ago < settlePoints;
  const shadow = last.evidence * Math.max(0, 1 - last.ago / quietPoints);
  if (unfolding) last.evidence = Math.max(last.evidence, raw);
  if (unfolding || raw - shadow < threshold) return Math.min(raw, 0.97 * threshold);
  last.evidence = Math.max(raw - shadow, shadow);
  last.ago = 0;
  return raw - shadow;
}

type Announcing = Pick<AnomalyModel, 'threshold' | 'quietPoints' | 'settlePoints'>;

/** The announcing on its own, point by point over raw evidence (−log₁₀ p): what the bench tries thresholds with. */
export function announcer(how: Announcing): (raw: number) => number {
  const last: Announced = { evidence: 0, ago: 0 };
  return (raw) => announce(last, how, raw);
}

type Expected = { centre: number; sigma: number; low: number; high: number };

/** The baseline that has been off least, and the range around it; null before `minPoints` points. */
function expect(state: State, model: AnomalyModel, usual: Record<Baseline, number | null>): Expected | null {
  let best: { centre: number; sigma: number } | null = null;
  for (const name of baselines) {
    const centre = usual[name];
    const misses = state.misses[name];
    if (centre === null || misses.size() < model.minPoints) continue;
    const sigma = spreadOf(misses);
    // A season must be a tenth better: on a quiet series both are equal and the near past is the simpler story.
    if (!best || sigma < 0.9 * best.sigma) best = { centre, sigma };
  }
  if (!best) return null;
  const { centre } = best;
  const sigma = Math.max(best.sigma, 1e-6 * Math.abs(centre), Number.MIN_VALUE * 1e16);
  const reach = model.rangeSigmas * sigma;
  const neverNegative = state.values.sorted(0) >= 0;
  return { centre, sigma, low: neverNegative ? Math.max(0, centre - reach) : centre - reach, high: centre + reach };
}

/** Robust sigma of absolute misses: 1.4826 · median, or the upper decile / 1.645, whichever is larger (equal if normal). */
const spreadOf = (misses: Rolling): number => Math.max(1.4826 * misses.quantile(0.5), misses.quantile(0.9) / 1.645);

/**
 * Grows with the past (63 % at 200 points), shrinks with irregular steps and ignored points, and stays under 0.3 with too
 * few points or where every value was the same.
 */
function confidenceOf(state: State, model: AnomalyModel): number {
  const { counts, values, steps } = state;
  const n = values.size();
  if (n === 0) return 0;
  const amount = 1 - Math.exp(-n / 200);
  const step = steps.quantile(0.5);
  const regular = steps.size() ? (steps.countBelow(1.5 * step) - steps.countBelow(0.5 * step)) / steps.size() : 0;
  const heard = counts.learned / (counts.learned + counts.ignored);
  const constant = values.sorted(0) === values.sorted(n - 1);
  return amount * (0.4 + 0.6 * regular) * heard * (constant || n < model.minPoints ? 0.3 : 1);
}

function learn(
  state: State,
  model: AnomalyModel,
  t: number,
  value: number,
  usual: Record<Baseline, number | null>,
  run: number,
): void {
  const { counts, times, values } = state;
  for (const name of baselines) {
    const centre = usual[name];
    if (centre !== null) state.misses[name].push(Math.abs(value - centre));
  }
  if (times.size() > 0) state.steps.push(t - times.recent(0));
  times.push(t);
  values.push(value);
  state.near.push(value);
  counts.run = run;
  counts.learned = Math.min(model.history, counts.learned + 1);
  // Old faults of the sender are forgiven as the rolling past moves on.
  counts.ignored *= 1 - 1 / model.history;
}

function emptyState(model: AnomalyModel): State {
  return fromSnapshot(
    {
      times: [],
      values: [],
      steps: [],
      near: [],
      misses: { near: [], daily: [], weekly: [] },
      pasts: {},
      rows: [],
      forest: null,
      announced: { evidence: 0, ago: 0 },
      counts: { learned: 0, ignored: 0, run: 0, refits: 0, sinceFit: 0 },
    },
    model,
  );
}

function fromSnapshot(from: DetectorSnapshot, model: AnomalyModel): State {
  const names: (Look | 'forest')[] = [...lookNames, 'forest'];
  const pasts = names.map((name) => [name, createRolling(model.history, from.pasts[name])]);
  return {
    times: createRolling(model.history, from.times),
    values: createRolling(model.history, from.values),
    steps: createRolling(101, from.steps),
    near: createRolling(96, from.near),
    misses: {
      near: createRolling(512, from.misses.near),
      daily: createRolling(512, from.misses.daily),
      weekly: createRolling(512, from.misses.weekly),
    },
    pasts: Object.fromEntries(pasts) as State['pasts'],
    rows: from.rows.map((row) => [...row]),
    forest: from.forest && forestFromJSON(from.forest),
    announced: { ...from.announced },
    counts: { ...from.counts },
  };
}

function toSnapshot(state: State): DetectorSnapshot {
  const { misses } = state;
  return {
    times: state.times.toJSON(),
    values: state.values.toJSON(),
    steps: state.steps.toJSON(),
    near: state.near.toJSON(),
    misses: { near: misses.near.toJSON(), daily: misses.daily.toJSON(), weekly: misses.weekly.toJSON() },
    pasts: Object.fromEntries(Object.entries(state.pasts).map(([name, past]) => [name, past.toJSON()])),
    rows: state.rows.map((row) => [...row]),
    forest: state.forest?.toJSON() ?? null,
    announced: { ...state.announced },
    counts: { ...state.counts },
  };
}
