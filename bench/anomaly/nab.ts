import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { IsolationForest as ReferenceForest } from 'ml-isolation-forest';
import { type AnomalyPoint, announcer, scoreSeries } from '../../src/enrich/anomaly/detector.ts';
import { lookAt } from '../../src/enrich/anomaly/looks.ts';
import { type AnomalyModel, loadAnomalyModel } from '../../src/enrich/anomaly/model.ts';
import { createRolling } from '../../src/enrich/anomaly/rolling.ts';
import { type Figures, openBench, type Recordings, type Scorer, type Scores } from './recordings.ts';

/**
 * The detector on recorded series with labelled anomalies, beside published detectors and the isolation-forest package.
 * `node bench/anomaly/nab.ts --shared ../shared [--nab DIR] [--cross-validate] [--ablation] [--out DIR]`
 * `--nab` is another folder laid out as `<shared>/bench/nab`; `--out` keeps the scores as CSV for the scorer's command line.
 */
const { values: args } = parseArgs({
  options: {
    shared: { type: 'string', default: '../shared' },
    nab: { type: 'string' },
    out: { type: 'string' },
    'cross-validate': { type: 'boolean', default: false },
    ablation: { type: 'boolean', default: false },
  },
});
const { scorer, labels, recordings, reference } = await openBench(args.shared, args.nab);
const model = loadAnomalyModel();

const judgeAll = (use: AnomalyModel): Map<string, AnomalyPoint[]> =>
  new Map([...recordings].map(([name, points]) => [name, scoreSeries(points, use)]));
const column = (judged: Map<string, AnomalyPoint[]>, of: (point: AnomalyPoint) => number): Scores =>
  new Map([...judged].map(([name, points]) => [name, points.map(of)]));
const scoresOf = (use: AnomalyModel): Scores => column(judgeAll(use), (point) => point.score);

/**
 * ml-isolation-forest on the rows our forest gets (without the season, which needs days), fitted on the first 15 %, then
 * frozen. It takes no seed, so its line is the mean of five runs.
 */
function referenceForest(points: [number, number][]): number[] {
  const past = createRolling(model.history);
  const rows = points.map(([, value]) => {
    const looks = lookAt(value, past, null, 1);
    past.push(value);
    const row = [looks.high, looks.change, looks.mean, looks['mean-shift'], looks['median-shift'], looks.variation];
    return row.map((x) => (Number.isNaN(x) ? 0 : x));
  });
  const forest = new ReferenceForest({ nEstimators: 100 });
  forest.train(rows.slice(0, Math.max(2, Math.min(Math.floor(0.15 * rows.length), 750))));
  return forest.predict(rows);
}

function referenceFigures(runs = 5): Omit<Figures, 'files' | 'threshold'> {
  const all = Array.from({ length: runs }, () =>
    scorer.evaluate(labels, new Map([...recordings].map(([name, points]) => [name, referenceForest(points)]))),
  );
  const mean = (of: (x: Figures) => number | null): number => all.reduce((sum, x) => sum + (of(x) ?? 0), 0) / runs;
  return {
    standard: mean((x) => x.standard),
    lowFP: mean((x) => x.lowFP),
    lowFN: mean((x) => x.lowFN),
    rocAuc: mean((x) => x.rocAuc),
  };
}

const show = (x: number | null | undefined, digits: number): string =>
  typeof x === 'number' ? x.toFixed(digits) : '-';
const line = (name: string, x: Omit<Figures, 'files' | 'threshold'>): string =>
  `| ${name} | ${show(x.standard, 1)} | ${show(x.lowFP, 1)} | ${show(x.lowFN, 1)} | ${show(x.rocAuc, 3)} |`;
const print = (text: string): void => void process.stdout.write(`${text}\n`);
const report = (name: string, scores: Scores): void => print(line(name, scorer.evaluate(labels, scores)));

function keep(dir: string, scores: Scores, from: Recordings): void {
  for (const [name, list] of scores) {
    const rows = from.get(name)!.map(([t, value], i) => {
      const time = new Date(t).toISOString().slice(0, 19).replace('T', ' ');
      return `${time},${value},${list[i]}`;
    });
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), `timestamp,value,anomaly_score\n${rows.join('\n')}\n`);
  }
}

const grid = {
  tailShares: [0.005, 0.0075, 0.01, 0.015, 0.02],
  thresholds: [2.5, 2.75, 3, 3.25, 3.5, 4],
  quiet: [144, 288, 432, 576],
};

/**
 * Leave one file out: the three global numbers are chosen on the other files, the left-out file is then judged with them
 * at their own fixed threshold (announced or not). The figure is that of the pooled left-out files.
 */
function crossValidate(use: AnomalyModel, score: Scorer): { standard: number; chosen: Map<string, number> } {
  const names = [...recordings.keys()];
  const candidates: { label: string; announced: Scores }[] = [];
  for (const tailShare of grid.tailShares) {
    const judged = judgeAll({ ...use, tailShare });
    for (const threshold of grid.thresholds) {
      for (const quietPoints of grid.quiet) {
        const announced: Scores = new Map(
          names.map((name) => [name, announcements(judged.get(name)!, use, threshold, quietPoints)]),
        );
        candidates.push({ label: `tail ${tailShare}, threshold ${threshold}, quiet ${quietPoints}`, announced });
      }
    }
  }
  const standard = (scores: Scores): number => score.nabScore(labels, scores, score.PROFILES.standard)?.score ?? 0;
  const pooled: Scores = new Map();
  const chosen = new Map<string, number>();
  for (const left of names) {
    let best = { label: '', announced: new Map() as Scores, score: Number.NEGATIVE_INFINITY };
    for (const { label, announced } of candidates) {
      const others: Scores = new Map([...announced].filter(([name]) => name !== left));
      const got = standard(others);
      if (got > best.score) best = { label, announced, score: got };
    }
    pooled.set(left, best.announced.get(left)!);
    chosen.set(best.label, (chosen.get(best.label) ?? 0) + 1);
  }
  return { standard: standard(pooled), chosen };
}

/** 1 where the same evidence would be announced with another threshold and quiet time, else 0. */
function announcements(points: AnomalyPoint[], use: AnomalyModel, threshold: number, quietPoints: number): number[] {
  const announce = announcer({ ...use, threshold, quietPoints });
  return points.map(({ strength }) => (announce(-use.threshold * Math.log2(1 - strength)) >= threshold ? 1 : 0));
}

print('| detector | standard | low FP | low FN | mean ROC-AUC |\n| --- | --- | --- | --- | --- |');
const started = performance.now();
const whole = judgeAll(model);
const tookMs = performance.now() - started;
const scores = column(whole, (point) => point.score);
report('**Tocsin**', scores);
report(
  'Tocsin, every repeat counted (`strength`)',
  column(whole, (point) => point.strength),
);
report('Tocsin without the forest', scoresOf({ ...model, looks: model.looks.filter((look) => look !== 'forest') }));
report('Tocsin, forest alone', scoresOf({ ...model, looks: ['forest'] }));
print(line('ml-isolation-forest, first 15 %', referenceFigures()));
for (const row of reference) print(line(row.detector, row));
const rows = [...recordings.values()].reduce((sum, points) => sum + points.length, 0);
print(`\n${rows} points in ${recordings.size} files, ${((1000 * tookMs) / rows).toFixed(0)} µs per point`);
if (args.out) keep(args.out, scores, recordings);
if (args.ablation) {
  print('\n| without | standard | low FP | low FN | mean ROC-AUC |\n| --- | --- | --- | --- | --- |');
  for (const look of model.looks) {
    report(look, scoresOf({ ...model, looks: model.looks.filter((other) => other !== look) }));
  }
  print('\n| with | standard | low FP | low FN | mean ROC-AUC |\n| --- | --- | --- | --- | --- |');
  for (const tailShare of grid.tailShares) report(`tailShare ${tailShare}`, scoresOf({ ...model, tailShare }));
  for (const history of [1440, 2016, 6048]) report(`history ${history}`, scoresOf({ ...model, history }));
  for (const threshold of grid.thresholds) report(`threshold ${threshold}`, scoresOf({ ...model, threshold }));
  for (const quietPoints of grid.quiet) report(`quietPoints ${quietPoints}`, scoresOf({ ...model, quietPoints }));
}
if (args['cross-validate']) {
  const { standard, chosen } = crossValidate(model, scorer);
  print(`\nleave one file out, standard: ${standard.toFixed(1)}`);
  for (const [label, folds] of chosen) print(`  chosen in ${folds} folds: ${label}`);
}
