import { parseArgs } from 'node:util';
import { loadModels, type Models } from '../../src/config/models.ts';
import { createCorrelator, type Tuning } from '../../src/correlate/correlator.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import type { CorrelationModel } from '../../src/correlate/model.ts';
import { metricsFor } from '../../src/correlate/train/causes-data.ts';
import { correlateStream, rankAll } from '../../src/correlate/train/loop.ts';
import { loadScorer, type Score } from '../../src/correlate/train/scorer.ts';
import { jittered, noiseMoved, overlaid, permuted, type Stream, sharedDir } from '../../src/correlate/train/streams.ts';
import { inventedSystems, loadRecordings, storms } from '../../src/correlate/train/suite.ts';
import { createLags } from '../../src/score/causes/lags.ts';
import { rankCauses } from '../../src/score/causes.ts';

/**
 * `node bench/correlate/evaluate.ts [--shared DIR] [--quick]`: correlation and root cause on the shared recordings and on
 * what they are turned into, cold start each time, scored with the shared scorer; then one ablation after the other.
 */
const { values } = parseArgs({ options: { shared: { type: 'string' }, quick: { type: 'boolean', default: false } } });
const shared = sharedDir(values.shared);
const scorer = await loadScorer(shared);
const models = loadModels();
const recordings = loadRecordings(shared);
const seeds = values.quick ? [1] : [1, 2, 3, 4, 5];

const f3 = (x: number): string => x.toFixed(3);
const row = (cells: (string | number)[]): void => console.log(`| ${cells.join(' | ')} |`);
const head = (cells: string[]): void => {
  row(cells);
  row(cells.map(() => '---'));
};

function run(stream: Stream, using: Models, withMetrics: boolean, tuning: Partial<Tuning> = {}): Score {
  const outcome = correlateStream(stream, using, { tuning });
  const metrics = withMetrics ? metricsFor(stream) : undefined;
  return scorer.score(stream, outcome.assignments, rankAll(stream, outcome, using, metrics));
}

const variants = (base: Stream): Stream[] => [
  base,
  ...seeds.map((s) => jittered(base, s)),
  ...seeds
    .slice(0, 3)
    .map((s) => ({ ...permuted(jittered(base, s), s), name: `${base.name} jitter ${s}, names permuted` })),
  ...seeds.map((s) => noiseMoved(base, s)),
  ...(base.name === 'ob-a' ? [1100, 4000] : [4000, 13_600]).map((s) => overlaid(base, s)),
];

console.log('### Streams\n');
head([
  'stream',
  'F1 all',
  '(P / R)',
  'F1 faults',
  'best simple rule, all / faults',
  'top-1 / top-3, alerts',
  'top-1 / top-3, metrics',
  'best simple top-1',
  'naive features, all',
]);
for (const stream of [
  ...recordings.flatMap(variants),
  ...(values.quick ? [] : [...inventedSystems([21]), ...storms([4, 5, 6])]),
]) {
  const alone = run(stream, models, false);
  const beside = stream.metrics.length > 0 ? run(stream, models, true).rootCause.any : null;
  const b = scorer.baselines(stream);
  const simple = Object.entries(b.correlation).filter(([name]) => !name.startsWith('naive'));
  const ranks = Object.entries(b.rootCause).filter(
    ([name]) => !name.startsWith('naive') && !name.startsWith('the true'),
  );
  const { any } = alone.rootCause;
  row([
    stream.name,
    f3(alone.all.F1),
    `${f3(alone.all.P)} / ${f3(alone.all.R)}`,
    f3(alone.fault.F1),
    `${f3(Math.max(...simple.map(([, x]) => x.all.F1)))} / ${f3(Math.max(...simple.map(([, x]) => x.fault.F1)))}`,
    `${f3(any.top1)} / ${f3(any.top3)}`,
    beside ? `${f3(beside.top1)} / ${f3(beside.top3)}` : '-',
    f3(Math.max(...ranks.flatMap(([, x]) => Object.values(x).map((y) => y.any.top1)))),
    f3(Object.entries(b.correlation).find(([name]) => name.startsWith('naive'))![1].all.F1),
  ]);
}

/** The correlation model with one part taken away. */
const without: Record<string, (m: CorrelationModel) => void> = {
  'the whole': () => {},
  'time scale that follows the rate (fixed 300 s)': (m) => Object.assign(m.time, { minMs: 300_000, maxMs: 300_000 }),
  'neighbours (the same service only)': (m) => Object.assign(m.connectivity, { hops: [1] }),
  'more than one hop': (m) => Object.assign(m.connectivity, { hops: [1, 1] }),
  'relevance of rules (all rules alike)': (m) =>
    Object.assign(m.relevance, { gain: 0, together: 0, priorMean: 0.9, pooledShare: 0 }),
  'burst override': (m) => Object.assign(m.relevance, { burst: 0 }),
  'hint from other namespaces': (m) => Object.assign(m.relevance, { pooledLimit: 0 }),
  'labels, text and group': (m) => Object.assign(m.soft, { labels: 0, text: 0, group: 0 }),
  'labels, text and group at ten times their weight': (m) =>
    Object.assign(m.soft, { labels: 0.2, text: 0.2, group: 0.2 }),
};

const ablated = (change: (m: CorrelationModel) => void): Models => {
  const correlation = structuredClone(models.correlation);
  change(correlation);
  return { ...models, correlation };
};
const few = (base: Stream): Stream[] => [
  base,
  ...seeds.slice(0, 3).flatMap((s) => [jittered(base, s), noiseMoved(base, s)]),
];
const sets = recordings.map((base) => ({ name: base.name, streams: few(base) }));
const mean = (list: number[]): string => f3(list.reduce((a, b) => a + b, 0) / list.length);

console.log(
  '\n### Without one part of the distance (mean of recorded, 3 jitter and 3 noise seeds: F1 all / F1 faults)\n',
);
head(['without', ...sets.map((s) => s.name)]);
for (const [name, change] of Object.entries(without)) {
  const using = ablated(change);
  row([
    name,
    ...sets.map(({ streams }) => {
      const r = streams.map((s) => run(s, using, false));
      return `${mean(r.map((x) => x.all.F1))} / ${mean(r.map((x) => x.fault.F1))}`;
    }),
  ]);
}
const graphless = (stream: Stream): Stream => ({ ...stream, topology: { nodes: [], edges: [] } });
row([
  'service graph (no topology given)',
  ...sets.map(({ streams }) => {
    const r = streams.map((s) => run(graphless(s), models, false));
    return `${mean(r.map((x) => x.all.F1))} / ${mean(r.map((x) => x.fault.F1))}`;
  }),
]);
row([
  'cohesion guard',
  ...sets.map(({ streams }) => {
    const r = streams.map((s) => run(s, models, false, { guard: false }));
    return `${mean(r.map((x) => x.all.F1))} / ${mean(r.map((x) => x.fault.F1))}`;
  }),
]);

console.log('\n### With what an earlier pass over the same recording taught (warm start), F1 all / F1 faults\n');
head(['stream', 'cold', 'warm']);
for (const base of recordings) {
  const make = () => createCorrelator({ graph: buildGraph(base.topology), windowMs: 900_000 }, models.correlation);
  const first = make();
  const cold = scorer.score(base, correlateStream(base, models, { correlator: first }).assignments, new Map());
  const second = make();
  second.loadMemory(first.drainMemory().filter((r) => r.scope === 'rule'));
  const warm = scorer.score(base, correlateStream(base, models, { correlator: second }).assignments, new Map());
  row([base.name, `${f3(cold.all.F1)} / ${f3(cold.fault.F1)}`, `${f3(warm.all.F1)} / ${f3(warm.fault.F1)}`]);
}

console.log(
  '\n### With what past incidents taught of who begins before whom (learned from all other incidents), top-1 / top-3\n',
);
head(['stream', ...['alerts', 'metrics'].flatMap((mode) => [`${mode}, nothing learned`, `${mode}, lags`])]);
for (const base of recordings) {
  for (const stream of [base, ...seeds.slice(0, 3).map((s) => jittered(base, s))]) {
    const outcome = correlateStream(stream, models);
    const all = [...outcome.incidents.values()];
    const learned: typeof rankCauses = (input, model) => {
      const lags = createLags();
      for (const { alerts, startedAt } of all) if (alerts !== input.alerts) lags.learn('', alerts, startedAt);
      return rankCauses({ ...input, precedence: (a, b) => lags.between('', a, b) }, model);
    };
    const cell = (metrics: ReturnType<typeof metricsFor> | undefined, rank: typeof rankCauses): string => {
      const { any } = scorer.score(
        stream,
        outcome.assignments,
        rankAll(stream, outcome, models, metrics, rank),
      ).rootCause;
      return `${f3(any.top1)} / ${f3(any.top3)}`;
    };
    const metrics = metricsFor(stream);
    row([
      stream.name,
      cell(undefined, rankCauses),
      cell(undefined, learned),
      cell(metrics, rankCauses),
      cell(metrics, learned),
    ]);
  }
}
