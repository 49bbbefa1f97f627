import type { Point, ServiceGraph } from '../correlate/types.ts';
import type { Deploy } from '../domain/deploy.ts';
import type { ServiceMetric } from '../domain/facts.ts';
import type { RootCause } from '../domain/incident.ts';
import { severityRank } from '../domain/severity.ts';
import { causalChain } from './causes/chain.ts';
import { evidenceOf } from './causes/evidence.ts';
import type { Place, Precedence } from './causes/lags.ts';
import { type CausesModel, type CausesWeights, signalNames } from './causes/model.ts';
import { type Candidate, candidatesOf } from './causes/signals.ts';

/** An alert of the incident; `relevance` is the probability that its rule speaks of faults, as far as that is learned. */
export type CauseAlert = Point & { status: 'firing' | 'resolved'; relevance?: number };

/** Everything ranking may look at. Times are epoch ms. */
export type CausesInput = {
  alerts: CauseAlert[];
  graph: ServiceGraph;
  deploys: Deploy[];
  serviceMetrics: ServiceMetric[];
  /** What people said of causes in this incident. */
  feedback?: { kind: 'right-cause' | 'wrong-cause'; service: string }[];
  /** What past incidents say of the order in which two services begin; null where they say nothing. */
  precedence?: (a: Place, b: Place) => Precedence | null;
  startedAt: number;
  now: number;
};

/** At most this many are shown; the tail of a softmax is noise. */
const shown = 8;

/**
 * Ranked candidates, best first, with calibrated probability, evidence in words and the chain to the symptom.
 *
 * Each candidate's score is a weighted sum of its signals (models/causes.json); a softmax over the candidates (and "none of these") gives shares
 * and Platt scaling (Platt 1999) makes the top one mean what it says. Empty when no alert names a service. Below
 * `model.clear` the confidence is low: no clear cause.
 */
export function rankCauses(input: CausesInput, model: CausesModel): RootCause[] {
  const { candidates, graph } = candidatesOf(input, model);
  if (candidates.length === 0) return [];
  const fitted = weightsFor(input, model);
  const scored = candidates
    .map((candidate) => ({ candidate, score: scoreOf(candidate, fitted) }))
    .sort(
      (a, b) =>
        b.score - a.score ||
        firstOnset(a.candidate) - firstOnset(b.candidate) ||
        compare(a.candidate.key, b.candidate.key),
    );
  const shares = softmax([...scored.map(({ score }) => score), fitted.none]);
  const probabilities = probabilitiesOf(shares.slice(0, scored.length), fitted);
  return scored.slice(0, shown).map(({ candidate }, i) => {
    const probability = probabilities[i]!;
    const lead = leadAlert(candidate);
    return {
      service: candidate.service,
      namespace: candidate.namespace,
      alertname: lead?.alertname ?? null,
      fingerprint: lead ? lead.alert.slice(lead.alert.lastIndexOf('/') + 1) : null,
      deployId: candidate.deploy?.deploy.id ?? null,
      probability: Math.round(probability * 1000) / 1000,
      confidence: probability >= model.high ? 'high' : probability >= model.clear ? 'medium' : 'low',
      evidence: evidenceOf(candidate, input, fitted),
      causalChain: causalChain(candidate, { ...input, graph }),
    };
  });
}

/** The service to suspect first, or null when nothing is clear enough to act on. */
export function topSuspect(causes: readonly RootCause[]): RootCause | null {
  const first = causes[0];
  return first && first.confidence !== 'low' ? first : null;
}

/** With metrics the weights fitted beside metrics, else those fitted on alerts alone. */
const weightsFor = (input: CausesInput, model: CausesModel): CausesWeights =>
  input.serviceMetrics.length > 0 ? model.metrics : model.alerts;

const scoreOf = (candidate: Candidate, { weights }: CausesWeights): number =>
  signalNames.reduce((sum, name) => sum + (weights[name] ?? 0) * candidate.signals[name], 0);

/** Shares that add up to 1, proportional to e^score. */
export function softmax(scores: readonly number[]): number[] {
  const best = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const exps = scores.map((score) => Math.exp(score - best));
  const total = exps.reduce((sum, e) => sum + e, 0);
  return exps.map((e) => e / total);
}

/** No candidate is surer than this: what calibrates it are two recorded systems, and a third will differ. */
const surest = 0.97;

/** Platt scaling on the log odds of the top candidate's share. */
export function calibrate(share: number, { platt }: Pick<CausesWeights, 'platt'>): number {
  const p = Math.min(1 - 1e-6, Math.max(1e-6, share));
  return Math.min(surest, 1 / (1 + Math.exp(-(platt.a * Math.log(p / (1 - p)) + platt.b))));
}

/**
 * Probabilities of the candidates, best first: the top one's is calibrated (but k that are as good as equal cannot each be
 * likelier than 1/k), the rest is divided among the others by their shares. They never add up to more than 1.
 */
function probabilitiesOf(shares: readonly number[], fitted: CausesWeights): number[] {
  const first = shares[0]!;
  const equals = shares.filter((share) => share >= 0.9 * first).length;
  const top = Math.min(calibrate(first, fitted), 1 / equals);
  return shares.map((share, i) => (i === 0 ? top : Math.min(top, ((1 - top) * share) / Math.max(1e-9, 1 - first))));
}

const firstOnset = (c: Candidate): number =>
  [...c.alerts, ...c.calledIn].reduce((min, a) => Math.min(min, a.startsAt), Number.MAX_VALUE);
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The candidate's own worst and earliest alert. */
function leadAlert(c: Candidate): CauseAlert | null {
  const sorted = [...c.alerts].sort(
    (a, b) => severityRank(a.severity) - severityRank(b.severity) || a.startsAt - b.startsAt || compare(a.key, b.key),
  );
  return sorted[0] ?? null;
}
