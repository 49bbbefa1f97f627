import { parseArgs } from 'node:util';
import { scoreSeries } from '../../src/enrich/anomaly/detector.ts';
import { loadAnomalyModel } from '../../src/enrich/anomaly/model.ts';
import { makeSeries, plantedTypes, shapes } from './synthetic.ts';

/**
 * Planted anomalies: how many are announced inside their window, how many bear the right type at some point of it, and
 * how many announcements there are outside. `node bench/anomaly/types.ts [--seeds 20] [--first-seed 1000]`
 */
const { values: args } = parseArgs({
  options: { seeds: { type: 'string', default: '20' }, 'first-seed': { type: 'string', default: '1000' } },
});
const model = loadAnomalyModel();
const seeds = Array.from({ length: Number(args.seeds) }, (_, i) => Number(args['first-seed']) + i);
/** Announcements this soon after the window still tell of it. */
const grace = 36;

const print = (cells: (string | number)[]): void => void process.stdout.write(`| ${cells.join(' | ')} |\n`);
print(['planted', 'shape', 'announced', 'right type', 'false per 1,000 points']);
print(['---', '---', '---', '---', '---']);
for (const planted of plantedTypes) {
  for (const shape of shapes) {
    let found = 0;
    let named = 0;
    let wrong = 0;
    let judged = 0;
    for (const seed of seeds) {
      const series = makeSeries(shape, planted, seed);
      const points = scoreSeries(series.points, model);
      const [first, last] = series.window ?? [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
      const inside = points.slice(first, last + 1);
      if (inside.some((point) => point.score >= 0.5)) found += 1;
      if (inside.some((point) => point.type === planted)) named += 1;
      points.forEach((point, i) => {
        if (i < 200 || (i >= first && i <= last + grace)) return;
        judged += 1;
        if (point.score >= 0.5) wrong += 1;
      });
    }
    const share = (n: number): string => (planted === 'none' ? '-' : `${n}/${seeds.length}`);
    print([planted, shape, share(found), share(named), ((1000 * wrong) / judged).toFixed(2)]);
  }
}
