import type { CausesModel } from '../../score/causes/model.ts';
import type { JudgedRanking } from '../../score/scorecard.ts';
import type { StoredLabel } from '../../store/labels.ts';
import { calibrationError } from './fit.ts';
import { foldOf, type Refit, storeVersion } from './refit.ts';

/** One judged first suspect: the probability it was shown with, as log odds, and whether it was right. */
type Shown = { incident: string; logit: number; right: boolean };

const NEEDED = { judged: 20, incidents: 20 };
/**
 * How far the shipped calibration may be off before data have spoken, as standard deviations of the slope's logarithm and of the offset: some 20
 * judgements outweigh it, five hardly move it.
 */
const PRIOR = { slope: 0.25, offset: 0.4 };

/**
 * Refits what a probability means: σ(s · logit(p) + t) over the probabilities as they were shown, with the shipped meaning
 * (s = 1, t = 0) as prior; s and t are folded into the model's Platt scaling (σ(a·x + b) becomes
 * σ(s·a·x + s·b + t)). Only judgements of this version of the model count: others had another meaning.
 */
export function refitCalibration(
  judged: readonly JudgedRanking<StoredLabel>[],
  model: CausesModel,
): Refit<CausesModel> {
  const shown = (withMetrics: boolean): Shown[] =>
    judged.flatMap(({ incidentId, ranking, first, top1 }) => {
      const top = ranking.causes[0];
      if (!top || top1 === null || ranking.withMetrics !== withMetrics) return [];
      if (first.models?.causes !== model.version) return [];
      return [{ incident: incidentId, logit: logitOf(top.probability), right: top1 }];
    });
  const modes = { alerts: shown(false), metrics: shown(true) };
  const usable = Object.values(modes).flat();
  const base = {
    what: 'calibration of causes',
    judged: usable.length,
    incidents: new Set(usable.map(({ incident }) => incident)).size,
    needed: NEEDED,
  };
  const names = (['alerts', 'metrics'] as const).filter((mode) => modes[mode].length >= NEEDED.judged);
  if (names.length === 0) return { ...base, status: 'too-few', scores: [], changes: [], model };

  const next = { ...model };
  const scores: Refit<CausesModel>['scores'] = [];
  const changes: string[] = [];
  for (const mode of names) {
    const all = modes[mode];
    const leftOut = all.map((one) => {
      const fold = foldOf(one.incident);
      return { right: one.right, ...predict(one, meaningOf(all.filter((other) => foldOf(other.incident) !== fold))) };
    });
    const asItIs = all.map((one) => ({ right: one.right, ...predict(one, { s: 1, t: 0 }) }));
    const loss = { before: meanLoss(asItIs), after: meanLoss(leftOut) };
    scores.push({ name: `log loss (${mode})`, ...loss, better: 'lower' });
    scores.push({
      name: `calibration error (${mode})`,
      before: calibrationError(asItIs),
      after: calibrationError(leftOut),
      better: 'lower',
    });
    if (loss.after >= loss.before) continue;
    const { s, t } = meaningOf(all);
    const { a, b } = model[mode].platt;
    next[mode] = { ...model[mode], platt: { a: rounded(s * a), b: rounded(s * b + t) } };
    const example = (p: number) => `${p} becomes ${predict({ logit: logitOf(p) }, { s, t }).probability.toFixed(2)}`;
    changes.push(`${mode}: a probability of ${[0.3, 0.5, 0.7, 0.9].map(example).join(', ')} (${all.length} judged)`);
  }
  if (changes.length === 0) return { ...base, status: 'no-better', scores, changes, model };
  return {
    ...base,
    status: 'refitted',
    scores,
    changes,
    model: { ...next, version: storeVersion(model.version, next) },
  };
}

/** Platt scaling that makes these log odds of shares mean what people found, with the scaling in use as prior. */
export function recalibrate(shares: readonly Shown[], { a, b }: { a: number; b: number }): { a: number; b: number } {
  const { s, t } = meaningOf(shares.map((one) => ({ ...one, logit: a * one.logit + b })));
  return { a: rounded(s * a), b: rounded(s * b + t) };
}

const predict = ({ logit }: Pick<Shown, 'logit'>, { s, t }: { s: number; t: number }): { probability: number } => ({
  probability: sigmoid(s * logit + t),
});

/**
 * The slope e^u and offset t that make the judged probabilities likeliest, held back by the prior. Down the gradient, the step
 * growing while it helps and shrinking when not: Newton's method leaps away where everything was shown as nearly certain.
 */
function meaningOf(shown: readonly Shown[]): { s: number; t: number } {
  const cost = (u: number, t: number): number =>
    shown.reduce((sum, { logit, right }) => sum + softplus((right ? -1 : 1) * (Math.exp(u) * logit + t)), 0) +
    u ** 2 / (2 * PRIOR.slope ** 2) +
    t ** 2 / (2 * PRIOR.offset ** 2);
  let [u, t, step] = [0, 0, 0.01];
  let reached = cost(u, t);
  for (let i = 0; i < 2_000 && step > 1e-9; i += 1) {
    let [du, dt] = [u / PRIOR.slope ** 2, t / PRIOR.offset ** 2];
    for (const { logit, right } of shown) {
      const off = sigmoid(Math.exp(u) * logit + t) - Number(right);
      du += off * logit * Math.exp(u);
      dt += off;
    }
    const next = cost(u - step * du, t - step * dt);
    if (next < reached) {
      [u, t, reached] = [u - step * du, t - step * dt, next];
      step *= 1.5;
    } else step /= 2;
  }
  return { s: Math.exp(u), t };
}

/** log(1 + e^x), also for large x. */
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

const meanLoss = (predictions: readonly { probability: number; right: boolean }[]): number =>
  predictions.reduce((sum, { probability, right }) => sum - Math.log(right ? probability : 1 - probability), 0) /
  predictions.length;

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
/** Shown probabilities are rounded to 0.001: 0 and 1 mean less or more than that. */
const logitOf = (p: number): number => {
  const inside = Math.min(0.9995, Math.max(0.0005, p));
  return Math.log(inside / (1 - inside));
};
const rounded = (x: number): number => Math.round(x * 1000) / 1000;
