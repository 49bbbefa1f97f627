import type { Models } from '../../config/models.ts';
import { type CausesModel, type CausesWeights, type SignalName, signalNames } from '../../score/causes/model.ts';
import { softmax } from '../../score/causes.ts';
import { type Case, casesOf } from './causes-data.ts';
import { type Choice, calibrationError, dot, fitChoices, fitPlatt, type Prediction } from './fit.ts';
import { jittered, noiseMoved, type Stream } from './streams.ts';
import { inventedSystems } from './suite.ts';

const jitterSeeds = [1, 2, 3, 4, 5];
const noiseSeeds = [1, 2, 3];
/** Pull towards the prior: 0.003 fits one system so well that it fails on the other, 0.03 hardly learns. */
const pull = 0.01;
/** Beside metrics the weights of the alert signals stay near what the alerts alone taught. */
const stiff = 0.03;

/** The invented systems together weigh about as much as one recording. */
const inventedWeight = 0.3;

/**
 * What is believed before any data: the rules that on-call engineers use (a resource before symptoms, the called before the
 * caller, the deepest alerting service, a change just before, what a person said), which no recording has to teach.
 */
const prior: Record<SignalName, number> = {
  resource: 3,
  calledBySymptoms: 2,
  depth: 1.5,
  deepest: 1,
  ruleDepth: 1,
  coverage: 0.5,
  ownAlerts: 1,
  errors: 0.3,
  trafficOnly: -1,
  commonCaller: 0.5,
  silent: -2,
  sharedCallee: 0.5,
  silentReach: 0.1,
  early: 0.2,
  deploy: 2,
  metric: 1,
  metricTop: 0.3,
  metricDeepest: 1.5,
  metricEarly: 0,
  feedback: 12,
};

type Weighted = Case & { weight: number; recorded: boolean };

/** Adds the candidate nobody sees as the last row, with a signal of its own. */
const rowsOf = (c: Case): number[][] => [...c.rows.map((row) => [...row, 0]), [...signalNames.map(() => 0), 1]];

const choiceOf = (c: Weighted): Choice => ({
  group: c.fault,
  weight: c.weight,
  rows: rowsOf(c),
  right: c.right < 0 ? c.rows.length : c.right,
});

const scores = (c: Case, w: readonly number[]): number[] => rowsOf(c).map((row) => dot(row, w));

/** The candidates' places in the ranking, best first, and the share of the first. */
function ranked(c: Case, w: readonly number[]): { order: number[]; share: number } {
  const shares = softmax(scores(c, w));
  const order = c.rows.map((_, i) => i).sort((a, b) => shares[b]! - shares[a]! || a - b);
  return { order, share: shares[order[0]!] ?? 0 };
}

const logit = (p: number): number =>
  Math.log(Math.min(1 - 1e-6, Math.max(1e-6, p)) / (1 - Math.min(1 - 1e-6, Math.max(1e-6, p))));

type Evaluation = { weights: CausesWeights; table: string[]; calibration: string };

/** Fits one set of weights; every figure in the tables is of a fault whose cases, in all variants, were left out. */
function fitMode(cases: Weighted[], start: readonly number[], ridge: readonly number[]): Evaluation {
  const recorded = cases.filter((c) => c.recorded);
  const faults = [...new Set(recorded.map((c) => c.fault))];
  const without = new Map(
    faults.map((fault) => [fault, fitChoices(cases.filter((c) => c.fault !== fault).map(choiceOf), start, ridge)]),
  );
  const all = fitChoices(cases.map(choiceOf), start, ridge);

  const predictions: (Prediction & { system: string })[] = recorded.map((c) => {
    const { order, share } = ranked(c, without.get(c.fault)!);
    return {
      group: c.fault,
      system: c.system,
      weight: 1,
      logit: logit(share),

      right: order[0] === c.right,
    };
  });
  const platt = fitPlatt(predictions);
  const calibrated = faults.flatMap((fault) => {
    const own = { ...fitPlatt(predictions.filter((p) => p.group !== fault)) };
    return predictions
      .filter((p) => p.group === fault)
      .map((p) => ({
        probability: 1 / (1 + Math.exp(-(own.a * p.logit + own.b))),
        right: p.right,
      }));
  });
  const above = calibrated.filter((p) => p.probability > 0.8);
  const table = [...new Set(recorded.map((c) => c.system))].map((system) => {
    const own = recorded.filter((c) => c.system === system);
    const other = fitChoices(cases.filter((c) => c.system !== system).map(choiceOf), start, ridge);
    const cell = (weightsOf: (c: Case) => readonly number[]): string => {
      const places = own.map((c) => (c.right < 0 ? Infinity : ranked(c, weightsOf(c)).order.indexOf(c.right)));
      const share = (k: number): string => (places.filter((p) => p < k).length / places.length).toFixed(3);
      return `${share(1)} / ${share(3)}`;
    };
    return `| ${system} | ${own.length} | ${cell(() => start)} | ${cell((c) => without.get(c.fault)!)} | ${cell(() => other)} |`;
  });
  const weights = Object.fromEntries(signalNames.map((name, i) => [name, round(all[i]!)])) as CausesWeights['weights'];
  return {
    weights: {
      weights,
      none: round(all[signalNames.length]!),
      platt: { a: round(platt.a), b: round(platt.b) },
    },
    table,
    calibration:
      `expected calibration error of the top candidate ${calibrationError(calibrated).toFixed(3)} over ${calibrated.length} left-out incidents; ` +
      `above 0.8 (${above.length} incidents) right in ${(above.filter((p) => p.right).length / Math.max(1, above.length)).toFixed(3)}`,
  };
}

const round = (x: number): number => Math.round(x * 1000) / 1000;

function collect(recordings: readonly Stream[], models: Models, withMetrics: boolean): Weighted[] {
  const cases: Weighted[] = [];
  for (const base of recordings) {
    const streams = [base, ...jitterSeeds.map((s) => jittered(base, s)), ...noiseSeeds.map((s) => noiseMoved(base, s))];
    for (const stream of streams) {
      for (const c of casesOf(stream, models, withMetrics)) cases.push({ ...c, weight: 1, recorded: true });
    }
  }
  if (!withMetrics) {
    for (const stream of inventedSystems([11, 12])) {
      for (const c of casesOf(stream, models, false)) cases.push({ ...c, weight: inventedWeight, recorded: false });
    }
  }
  return cases;
}

/** Fits the weights for alerts alone, then those beside metrics, which start from the first. */
export function trainCauses(recordings: readonly Stream[], models: Models): { model: CausesModel; card: string } {
  const start = [...signalNames.map((name) => prior[name]), 0];
  const alerts = fitMode(
    collect(recordings, models, false),
    start,
    start.map(() => pull),
  );
  const beside = [...signalNames.map((name) => alerts.weights.weights[name] ?? 0), alerts.weights.none];
  const metrics = fitMode(
    collect(recordings, models, true),
    beside,
    [...signalNames, 'none'].map((n) => (n.startsWith('metric') || n === 'none' || n === 'silent' ? pull : stiff)),
  );
  const model: CausesModel = { ...models.causes, alerts: alerts.weights, metrics: metrics.weights };
  return { model, card: cardOf(model, alerts, metrics) };
}

const head =
  '| system | incidents | prior top-1 / top-3 | fault left out | system left out |\n| --- | --- | --- | --- | --- |';

function cardOf(model: CausesModel, alerts: Evaluation, metrics: Evaluation): string {
  return `# causes.json, version ${model.version}

**What it is.** Weights of the signals of a root cause candidate, once for alerts and graph alone, once beside metric evidence;
the score of "none of these"; Platt scaling of the shares; words of the field for kinds of alerts.

**Data.** The faults of two recordings (ob-a: Online Boutique, from Nezha, MIT; petshop-low: from
amazon-science/petshop-root-cause-analysis, CC BY 4.0) in the product's own clusters: as recorded, with ${jitterSeeds.length} jitter
seeds (±15 s) and ${noiseSeeds.length} seeds of moved noise; for the alerts-only weights also invented systems, which together weigh about as much
as one recording. Nothing in the model names a service, an alert or a time of the streams. Neither recording has deploys or
feedback: those two weights are the prior.

**Method.** Conditional logit with a ridge of ${pull} towards the prior; "fault left out": every variant of the fault was left out
of the fit; "system left out": the whole recording was. Platt scaling on left-out faults, checked on others.
\`npm run train\` makes this file and the model, byte for byte.

**Score, alerts and graph alone**

${head}
${alerts.table.join('\n')}

Calibration: ${alerts.calibration}.

**Score, with metric evidence**

${head}
${metrics.table.join('\n')}

Calibration: ${metrics.calibration}.
`;
}
