import { type CausesModel, type CausesWeights, signalNames } from '../../score/causes/model.ts';
import { candidatesOf } from '../../score/causes/signals.ts';
import { type CausesInput, softmax } from '../../score/causes.ts';
import { dot, fitChoices } from './fit.ts';
import { FOLDS, foldOf, type Refit, storeVersion } from './refit.ts';
import { recalibrate } from './refit-calibration.ts';

/** An incident whose cause people named, as ranking saw it: without metrics, and without what was said. */
export type NamedCause = { incident: string; input: CausesInput; right: ReadonlySet<string> };

/** Twenty weights are not learned from as few judgements as two numbers of a calibration are. */
const NEEDED = { judged: 60, incidents: 60 };
/** The prior is a Gaussian around each weight in use with this standard deviation; the ridge of a mean over n is 1 / (2 σ² n). */
const SIGMA = 0.7;

type Rows = { incident: string; rows: number[][]; right: number };

/**
 * Refits the weights of the signals of a root cause, for rankings from alerts and graph alone: a conditional logit (fit.ts)
 * towards the causes that people named, with the weights in use as prior, and the calibration that goes with them. Metrics are not
 * kept in the store, so the weights beside metrics stay.
 */
export function refitWeights(named: readonly NamedCause[], model: CausesModel): Refit<CausesModel> {
  const base = {
    what: 'weights of causes',
    judged: named.length,
    incidents: new Set(named.map(({ incident }) => incident)).size,
    needed: NEEDED,
  };
  if (named.length < NEEDED.judged) return { ...base, status: 'too-few', scores: [], changes: [], model };
  const cases = named.map(({ incident, input, right }): Rows => {
    const { candidates } = candidatesOf(input, model);
    const place = candidates.findIndex(({ service }) => right.has(service));
    const rows = candidates.map((c) => [...signalNames.map((name) => c.signals[name]), 0]);
    // The last one is "none of these": right when what people named is no candidate.
    return { incident, rows: [...rows, [...signalNames.map(() => 0), 1]], right: place < 0 ? rows.length : place };
  });
  const start = [...signalNames.map((name) => model.alerts.weights[name] ?? 0), model.alerts.none];
  const weightsFrom = (of: readonly Rows[]): number[] => {
    const choices = of.map(({ incident, rows, right }) => ({ group: incident, weight: 1, rows, right }));
    return fitChoices(
      choices,
      start,
      start.map(() => 1 / (2 * SIGMA ** 2 * Math.max(1, of.length))),
    );
  };
  const without = Array.from({ length: FOLDS }, (_, fold) =>
    weightsFrom(cases.filter(({ incident }) => foldOf(incident) !== fold)),
  );
  const asItIs = cases.map((one) => judge(one, start));
  const leftOut = cases.map((one) => judge(one, without[foldOf(one.incident)]!));
  const mean = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0) / of.length;
  const scores: Refit<CausesModel>['scores'] = [
    {
      name: 'log loss of the named cause',
      before: mean(asItIs.map(({ loss }) => loss)),
      after: mean(leftOut.map(({ loss }) => loss)),
      better: 'lower',
    },
    {
      name: 'first cause right',
      before: mean(asItIs.map(({ first }) => Number(first))),
      after: mean(leftOut.map(({ first }) => Number(first))),
      better: 'higher',
    },
  ];
  const [loss, first] = scores;
  if (loss!.after >= loss!.before || first!.after < first!.before)
    return { ...base, status: 'no-better', scores, changes: [], model };

  const all = weightsFrom(cases);
  const weights = Object.fromEntries(
    signalNames.map((name, i) => [name, rounded(all[i]!)]),
  ) as CausesWeights['weights'];
  const platt = recalibrate(
    leftOut.map(({ logit, first }, i) => ({ incident: cases[i]!.incident, logit, right: first })),
    model.alerts.platt,
  );
  const next = { ...model, alerts: { weights, none: rounded(all[signalNames.length]!), platt } };
  const changes = signalNames
    .map((name, i) => ({ name, from: start[i]!, to: weights[name] }))
    .filter(({ from, to }) => Math.abs(to - from) >= 0.1)
    .sort((a, b) => Math.abs(b.to - b.from) - Math.abs(a.to - a.from))
    .slice(0, 8)
    .map(({ name, from, to }) => `the weight of ${name} from ${from} to ${to}`);
  return {
    ...base,
    status: 'refitted',
    scores,
    changes,
    model: { ...next, version: storeVersion(model.version, next) },
  };
}

/** How one case fares: the loss of the right candidate, whether it is first, and the log odds of the first one's share. */
function judge({ rows, right }: Rows, w: readonly number[]): { loss: number; first: boolean; logit: number } {
  const shares = softmax(rows.map((row) => dot(row, w)));
  const candidates = shares.slice(0, -1);
  const top = candidates.indexOf(Math.max(...candidates));
  const share = Math.min(1 - 1e-6, Math.max(1e-6, shares[top] ?? 0));
  return {
    loss: -Math.log(Math.max(1e-9, shares[right]!)),
    first: top === right,
    logit: Math.log(share / (1 - share)),
  };
}

const rounded = (x: number): number => Math.round(x * 1000) / 1000;
