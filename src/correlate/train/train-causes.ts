import type { Models } from '../../config/models.ts';
import { type CausesModel, type CausesWeights, type SignalName, signalNames } from '../../score/causes/model.ts';
import { calibrate, softmax } from '../../score/causes.ts';
import { type Case, casesOf } from './causes-data.ts';
import { inventedForCauses } from './causes-systems.ts';
import { type Choice, calibrationError, dot, fitChoices, fitPlatt, type Prediction } from './fit.ts';
import { jittered, noiseMoved, overlaid, permuted, type Stream } from './streams.ts';

const jitterSeeds = [1, 2, 3, 4, 5];
const noiseSeeds = [1, 2, 3, 4, 5];
const permutedSeeds = [1, 2, 3];
/** Seconds by which a recording is laid over itself, so that two faults meet in one incident; metrics no longer fit. */
const overlays: Record<string, number[]> = { 'ob-a': [1100, 4000], 'petshop-low': [4000, 13_600] };
const inventedSeeds = Array.from({ length: 30 }, (_, i) => 101 + i);
/** Invented systems are left out in this many parts. */
const folds = 5;

/** Pull towards the prior. Between 0.005 and 0.03 nothing changes by more than a fault: the prior and the signals do the work. */
const pull = 0.02;

/**
 * What is believed before any data: the rules that on-call engineers use (a resource before symptoms, the called before the
 * caller, what explains most of the symptoms, a change just before, what a person said), which no recording has to teach.
 */
const prior: Record<SignalName, number> = {
  resource: 3,
  calledBySymptoms: 2,
  depth: 0.5,
  ruleDepth: 1,
  passedOn: 0.5,
  coverage: 1.5,
  ownAlerts: 1,
  errors: 0.5,
  trafficOnly: -1,
  commonCaller: 0.5,
  silent: -2,
  silentReach: 1,
  sharedCallee: 0.5,
  proxy: -1.5,
  // Neither recording is long enough to teach it: bench/README.md says what it is worth with history.
  leads: 0.3,
  doubt: -2,
  deploy: 2,
  metricLatency: 2,
  metricErrors: 2,
  metricSaturation: 2,
  metricDeepest: 1,
  feedback: 12,
};

type Part = 'recorded' | 'noise' | 'permuted' | 'overlaid' | 'invented';
type Known = Case & { part: Part; base: string; weight: number };

/** Adds the candidate nobody sees as the last row, with a signal of its own. */
const rowsOf = (c: Case): number[][] => [...c.rows.map((row) => [...row, 0]), [...signalNames.map(() => 0), 1]];

function weightsFrom(cases: readonly Known[], start: readonly number[], without: SignalName | null = null): number[] {
  const k = without === null ? -1 : signalNames.indexOf(without);
  const choices = cases.map((c): Choice => {
    const rows = rowsOf(c);
    for (const row of rows) if (k >= 0) row[k] = 0;
    return { group: c.base, weight: c.weight, rows, right: c.right < 0 ? c.rows.length : c.right };
  });
  return fitChoices(
    choices,
    start.map((w, i) => (i === k ? 0 : w)),
    start.map(() => pull),
  );
}

/** The candidates' places in the ranking, best first, and the share of the first. */
function ranked(c: Case, w: readonly number[]): { order: number[]; share: number } {
  const shares = softmax(rowsOf(c).map((row) => dot(row, w)));
  const order = c.rows.map((_, i) => i).sort((a, b) => shares[b]! - shares[a]! || a - b);
  return { order, share: shares[order[0]!] ?? 0 };
}

const logit = (p: number): number => {
  const q = Math.min(1 - 1e-6, Math.max(1e-6, p));
  return Math.log(q / (1 - q));
};

type Weights = readonly number[];
type Evaluation = { weights: CausesWeights; tables: string; calibration: string; ablation: string };

/** Fits one set of weights; every figure beside "prior" is of a fault, a recording or a system that was left out whole. */
function fitMode(cases: readonly Known[], start: Weights): Evaluation {
  const recorded = cases.filter((c) => c.part !== 'invented');
  const invented = cases.filter((c) => c.part === 'invented');
  const systems = [...new Set(recorded.map((c) => c.system))];
  const all = weightsFrom(cases, start);
  const faultOut = leftOut(cases, recorded, (c) => c.base, start);
  const systemOut = leftOut(cases, recorded, (c) => c.system, start);
  const partOf = (c: Known): string => String(inventedSeeds.indexOf(Number(c.system.split('-')[1])) % folds);
  const inventedOut = leftOut(cases, invented, partOf, start);

  const rows: [string, Known[], (c: Known) => Weights][] = systems.flatMap((system) =>
    (['recorded', 'noise', 'permuted', 'overlaid'] as const).map((part): [string, Known[], (c: Known) => Weights] => [
      `${system}, ${partNames[part]}`,
      recorded.filter((c) => c.system === system && c.part === part),
      (c) => faultOut.get(c.base)!,
    ]),
  );
  const lines = rows
    .filter(([, own]) => own.length > 0)
    .map(
      ([name, own, weightsOf]) =>
        `| ${name} | ${own.length} | ${cell(own, () => start)} | ${cell(own, weightsOf)} | ${cell(own, (c) => systemOut.get(c.system)!)} |`,
    );
  lines.push(
    `| invented, other systems | ${invented.length} | ${cell(invented, () => start)} | | ${cell(invented, (c) => inventedOut.get(partOf(c))!)} |`,
  );

  const predictions = [
    ...recorded.map((c) => prediction(c, faultOut.get(c.base)!)),
    ...invented.map((c) => prediction(c, inventedOut.get(partOf(c))!)),
  ];
  const platt = fitPlatt(predictions);
  const ablation = signalNames
    .filter((name) => cases.some((c) => c.rows.some((row) => row[signalNames.indexOf(name)] !== 0)))
    .map((name) => {
      const k = signalNames.indexOf(name);
      const blind = (list: readonly Known[]): Known[] =>
        list.map((c) => ({ ...c, rows: c.rows.map((row) => row.map((x, i) => (i === k ? 0 : x))) }));
      const cells = systems.map((system) => {
        const w = weightsFrom(
          cases.filter((c) => c.system !== system),
          start,
          name,
        );
        return cell(blind(recorded.filter((c) => c.system === system && c.part !== 'overlaid')), () => w);
      });
      return `| ${name} | ${round(all[k]!)} | ${cells.join(' | ')} |`;
    });
  const whole = systems.map((system) =>
    cell(
      recorded.filter((c) => c.system === system && c.part !== 'overlaid'),
      (c) => systemOut.get(c.system)!,
    ),
  );
  return {
    weights: {
      weights: Object.fromEntries(signalNames.map((name, i) => [name, round(all[i]!)])) as CausesWeights['weights'],
      none: round(all[signalNames.length]!),
      platt: { a: round(platt.a), b: round(platt.b) },
    },
    tables: [head, ...lines].join('\n'),
    calibration: [
      calibrationHead,
      calibrationRow(
        'fault left out, recorded and jittered',
        recorded.filter((c) => c.part === 'recorded'),
        faultOut,
        (c) => c.base,
        predictions,
      ),
      calibrationRow(
        'fault left out, names permuted',
        recorded.filter((c) => c.part === 'permuted'),
        faultOut,
        (c) => c.base,
        predictions,
      ),
      calibrationRow(
        'recording left out, recorded and jittered',
        recorded.filter((c) => c.part === 'recorded'),
        systemOut,
        (c) => c.system,
        predictions,
      ),
      calibrationRow('invented systems left out', invented, inventedOut, partOf, predictions),
    ].join('\n'),
    ablation: [
      `| without | its weight | ${systems.join(' | ')} |`,
      `| --- | --- | ${systems.map(() => '---').join(' | ')} |`,
      `| nothing | | ${whole.join(' | ')} |`,
      ...ablation,
    ].join('\n'),
  };
}

/** For each group of `held` the weights fitted on all cases but the group's. */
function leftOut(
  cases: readonly Known[],
  held: readonly Known[],
  groupOf: (c: Known) => string,
  start: Weights,
): Map<string, Weights> {
  const groups = new Set(held.map(groupOf));
  const mine = new Map(held.map((c) => [c, groupOf(c)]));
  return new Map(
    [...groups].map((group) => [
      group,
      weightsFrom(
        cases.filter((c) => mine.get(c) !== group),
        start,
      ),
    ]),
  );
}

type Held = Prediction & { case: Known };

function prediction(c: Known, w: Weights): Held {
  const { order, share } = ranked(c, w);
  const weight = c.weight * (c.part === 'invented' ? inventedSay : 1);
  return { group: c.base, weight, logit: logit(share), right: order[0] === c.right, case: c };
}

function cell(cases: readonly Known[], weightsOf: (c: Known) => Weights): string {
  const places = cases.map((c) => (c.right < 0 ? Infinity : ranked(c, weightsOf(c)).order.indexOf(c.right)));
  const share = (k: number): string => (places.filter((p) => p < k).length / Math.max(1, places.length)).toFixed(3);
  return `${share(1)} / ${share(3)}`;
}

/** Calibration of the top candidate where the weights and the scaling both come from other groups. */
function calibrationRow(
  name: string,
  cases: readonly Known[],
  weights: Map<string, Weights>,
  groupOf: (c: Known) => string,
  predictions: readonly Held[],
): string {
  const scaled = [...new Set(cases.map(groupOf))].flatMap((group) => {
    const platt = fitPlatt(predictions.filter((p) => groupOf(p.case) !== group));
    return cases
      .filter((c) => groupOf(c) === group)
      .map((c) => {
        const { order, share } = ranked(c, weights.get(group)!);
        return { probability: calibrate(share, { platt }), right: order[0] === c.right };
      });
  });
  const above = scaled.filter((p) => p.probability > 0.8);
  const right = above.length > 0 ? (above.filter((p) => p.right).length / above.length).toFixed(3) : '-';
  return `| ${name} | ${scaled.length} | ${calibrationError(scaled).toFixed(3)} | ${above.length} | ${right} |`;
}

const round = (x: number): number => Math.round(x * 1000) / 1000;

const partNames: Record<Part, string> = {
  recorded: 'recorded and jittered',
  noise: 'other noise',
  permuted: 'jittered, names permuted',
  overlaid: 'laid over itself',
  invented: 'invented',
};
/** Of two faults in one incident only one can be named first, so these teach half as much. */
const partWeights: Record<Part, number> = { recorded: 1, noise: 1, permuted: 1, overlaid: 0.5, invented: 1 };

/** Share of a recording's say that the invented systems have in the calibration: their faults are as hard as we made them. */
const inventedSay = 0.5;

/** Every case with its weight: each recording, and all invented systems together, weigh the same. */
function collect(recordings: readonly Stream[], models: Models, withMetrics: boolean): Known[] {
  const cases: Known[] = [];
  const take = (part: Part, streams: readonly Stream[]): void => {
    for (const stream of streams) {
      for (const c of casesOf(stream, models, withMetrics)) {
        cases.push({ ...c, part, base: c.fault.replace(/'$/, ''), weight: partWeights[part] });
      }
    }
  };
  for (const base of recordings) {
    take('recorded', [base, ...jitterSeeds.map((s) => jittered(base, s))]);
    take(
      'noise',
      noiseSeeds.map((s) => noiseMoved(base, s)),
    );
    take(
      'permuted',
      permutedSeeds.map((s) => permuted(jittered(base, s), s)),
    );
    if (!withMetrics)
      take(
        'overlaid',
        (overlays[base.name] ?? []).map((s) => overlaid(base, s)),
      );
  }
  take('invented', inventedForCauses(inventedSeeds));
  const sourceOf = (c: Known): string => (c.part === 'invented' ? c.part : c.system);
  const totals = new Map<string, number>();
  for (const c of cases) totals.set(sourceOf(c), (totals.get(sourceOf(c)) ?? 0) + c.weight);
  return cases.map((c) => ({ ...c, weight: c.weight / totals.get(sourceOf(c))! }));
}

/** Fits the weights for alerts alone and those beside metrics, each from the same prior. */
export function trainCauses(recordings: readonly Stream[], models: Models): { model: CausesModel; card: string } {
  const start = [...signalNames.map((name) => prior[name]), 0];
  const alerts = fitMode(collect(recordings, models, false), start);
  const metrics = fitMode(collect(recordings, models, true), start);
  const model: CausesModel = { ...models.causes, alerts: alerts.weights, metrics: metrics.weights };
  return { model, card: cardOf(model, alerts, metrics) };
}

const head =
  '| system | incidents | prior top-1 / top-3 | fault left out | system left out |\n| --- | --- | --- | --- | --- |';
const calibrationHead =
  '| weights and scaling fitted without | incidents | ECE | above 0.8 | of those right |\n| --- | --- | --- | --- | --- |';

function cardOf(model: CausesModel, alerts: Evaluation, metrics: Evaluation): string {
  return `# causes.json, version ${model.version}

**What it is.** Weights of the signals of a root cause candidate, once for alerts and graph alone, once beside metric evidence;
the score of "none of these"; Platt scaling of the shares; words of the field for kinds of alerts.

**Data.** The faults of two recordings (ob-a: Online Boutique, from Nezha, MIT; petshop-low: from
amazon-science/petshop-root-cause-analysis, CC BY 4.0) in the product's own clusters: as recorded, with ${jitterSeeds.length} jitter
seeds (±15 s), ${noiseSeeds.length} seeds of moved noise, ${permutedSeeds.length} with names permuted and jittered; for alerts alone also laid over themselves; and
${inventedSeeds.length} invented systems with metrics (\`src/correlate/train/causes-systems.ts\`). Each recording, and all invented systems together,
weigh the same. Nothing in the model names a service, an alert or a time of the streams. No recording has deploys or
feedback: those two weights are the prior.

**Method.** Conditional logit with a ridge of ${pull} towards a prior written down by reason; "fault left out": every variant of the fault was left
out of the fit; "system left out": the whole recording was (an invented system: one part in ${folds} of them), which is what a system
never seen before may expect. Platt scaling on left-out faults and left-out invented systems, checked on others.
\`npm run train -- --only causes\` makes this file and the model, byte for byte.

**Score, alerts and graph alone**

${alerts.tables}

${alerts.calibration}

**Score, with metric evidence**

${metrics.tables}

${metrics.calibration}

**Without one signal** (refitted without it and without the recording it is judged on; top-1 / top-3, overlaid left out)

Alerts and graph alone:

${alerts.ablation}

With metric evidence:

${metrics.ablation}
`;
}
