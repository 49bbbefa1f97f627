import { parseArgs } from 'node:util';
import { loadModels, type Models } from '../../src/config/models.ts';
import { createCorrelator, type Tuning } from '../../src/correlate/correlator.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import type { CorrelationModel } from '../../src/correlate/model.ts';
import { splitGroups } from '../../src/correlate/split.ts';
import { metricsFor } from '../../src/correlate/train/causes-data.ts';
import { correlateStream, pointOf, rankAll } from '../../src/correlate/train/loop.ts';
import { loadScorer, type Score } from '../../src/correlate/train/scorer.ts';
import {
  jittered,
  noiseMoved,
  overlaid,
  permuted,
  type Stream,
  secondDay,
  sharedDir,
} from '../../src/correlate/train/streams.ts';
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
/** Invented systems that training has not seen (it takes seeds 1 to 24). */
const heldOut = Array.from({ length: values.quick ? 4 : 60 }, (_, i) => 101 + i);

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
  ...seeds.slice(0, 3).map((s) => secondDay(noiseMoved(base, s), noiseMoved(base, s + 100))),
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
  ...(values.quick ? [] : [...inventedSystems(heldOut.slice(0, 8)), ...storms(heldOut.slice(0, 2))]),
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

const invented = inventedSystems(heldOut);
const stormy = storms(heldOut.slice(0, 15));

/** One stream beside the best simple rule, and what accepting every proposed split would make of it. */
function splitsOf(stream: Stream): {
  all: number;
  fault: number;
  bestAll: number;
  bestFault: number;
  proposed: number;
  right: number;
  accepted: number;
} {
  const correlator = createCorrelator({ graph: buildGraph(stream.topology), windowMs: 900_000 }, models.correlation);
  const { assignments, incidents } = correlateStream(stream, models, { correlator });
  const episodeOf = new Map(stream.episodes.map((e) => [pointOf(e).key, e.id]));
  const accepted = new Map(assignments);
  let proposed = 0;
  let right = 0;
  for (const [id, { alerts }] of incidents) {
    const points = alerts.slice(0, 60);
    if (points.length < 4) continue;
    const split = splitGroups(points.length, correlator.affinities(points), () => false, models.correlation.split);
    if (!split) continue;
    proposed += 1;
    const faultOf = (i: number): string | null => stream.truth.alerts[episodeOf.get(points[i]!.key)!]?.fault ?? null;
    // Right: of the pairs it parts with a fault alert in them, more are of two stories than of one.
    let balance = 0;
    split.groups.forEach((group, k) => {
      for (const i of group) {
        accepted.set(episodeOf.get(points[i]!.key)!, `${id}.${k}`);
        for (const j of split.groups.slice(0, k).flat())
          if (faultOf(i) !== null || faultOf(j) !== null) balance += faultOf(i) === faultOf(j) ? -1 : 1;
      }
    });
    if (balance > 0) right += 1;
  }
  const simple = Object.entries(scorer.baselines(stream).correlation).filter(([rule]) => !rule.startsWith('naive'));
  const { all, fault } = scorer.score(stream, assignments, new Map());
  return {
    all: all.F1,
    fault: fault.F1,
    bestAll: Math.max(...simple.map(([, x]) => x.all.F1)),
    bestFault: Math.max(...simple.map(([, x]) => x.fault.F1)),
    proposed,
    right,
    accepted: scorer.score(stream, accepted, new Map()).all.F1,
  };
}

console.log('\n### By kind of overlap\n');
head([
  'streams',
  'how many',
  'F1 all / faults',
  'best simple rule on each, all / faults',
  'below it (all)',
  'proposed splits (right)',
  'F1 all were they accepted',
]);
const kinds: [string, Stream[]][] = [
  ['ob-a laid over itself', [250, 1100, 2000, 4000, 7000].map((s) => overlaid(recordings[0]!, s))],
  ['petshop-low laid over itself', [900, 4000, 7300, 13_600, 20_000].map((s) => overlaid(recordings[1]!, s))],
  ['recorded and with other noise', recordings.flatMap((base) => [base, ...seeds.map((s) => noiseMoved(base, s))])],
  ['invented systems, faults apart', invented.filter((s) => !s.name.includes('overlapping'))],
  ['invented systems, faults overlapping', invented.filter((s) => s.name.includes('overlapping'))],
  ...['60', '150', '40+20+15', '10+10+10+10+10+10'].map((apps): [string, Stream[]] => [
    `storms of six, ${apps} services`,
    stormy.filter((s) => s.name.includes(` ${apps} services`)),
  ]),
];
for (const [name, streams] of kinds) {
  const results = streams.map(splitsOf);
  const sum = (of: (r: (typeof results)[number]) => number): number => results.reduce((total, r) => total + of(r), 0);
  const average = (of: (r: (typeof results)[number]) => number): string => f3(sum(of) / results.length);
  row([
    name,
    results.length,
    `${average((r) => r.all)} / ${average((r) => r.fault)}`,
    `${average((r) => r.bestAll)} / ${average((r) => r.bestFault)}`,
    results.filter((r) => r.all < r.bestAll).length,
    `${sum((r) => r.proposed)} (${sum((r) => r.right)})`,
    average((r) => r.accepted),
  ]);
}

/** The correlation model with one part taken away. */
const without: Record<string, (m: CorrelationModel) => void> = {
  'the whole': () => {},
  'time scale that follows the system (fixed 300 s)': (m) => Object.assign(m.time, { minMs: 300_000, maxMs: 300_000 }),
  'measured span of one trouble (alert rate alone)': (m) =>
    Object.assign(m.time.span, { prior: 1e9, priorMs: 900_000 }),
  'quiet times cut short (counted in full)': (m) => Object.assign(m.time, { quietMs: 1e12 }),
  'neighbours (the same service only)': (m) => Object.assign(m.connectivity, { hops: [1] }),
  'more than one hop': (m) => Object.assign(m.connectivity, { hops: [1, 1] }),
  'several hops only where no neighbour alerts (always)': (m) => Object.assign(m.guard, { near: 1 }),
  'noise flapping by itself (hung on to its incident)': (m) => Object.assign(m.guard, { returning: 0 }),
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
const sets = [
  ...recordings.map((base) => ({ name: base.name, streams: few(base) })),
  {
    name: 'second days of both',
    streams: recordings.flatMap((base) =>
      seeds.slice(0, 3).map((s) => secondDay(noiseMoved(base, s), noiseMoved(base, s + 100))),
    ),
  },
  { name: 'invented', streams: invented.slice(0, 30) },
  { name: 'storms', streams: stormy.slice(0, 32) },
];
const mean = (list: number[]): string => f3(list.reduce((a, b) => a + b, 0) / list.length);

console.log(
  '\n### Without one part of the distance (F1 all / F1 faults; recordings: mean of recorded, 3 jitter and 3 noise seeds)\n',
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

console.log('\n### Cold start, and two quiet days after a day of the same or of other noise (F1 all / F1 faults)\n');
head(['stream', 'cold', 'after the same day', 'after a day with other noise']);
for (const base of recordings) {
  const score = (stream: Stream): string => {
    const { all, fault } = scorer.score(stream, correlateStream(stream, models).assignments, new Map());
    return `${f3(all.F1)} / ${f3(fault.F1)}`;
  };
  for (const stream of [base, ...seeds.slice(0, 3).map((s) => noiseMoved(base, s))])
    row([
      stream.name,
      score(stream),
      score(secondDay(stream, stream)),
      score(secondDay(stream, noiseMoved(base, 104))),
    ]);
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
