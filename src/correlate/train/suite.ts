import { join } from 'node:path';
import { jittered, loadStream, noiseMoved, overlaid, recordings, rotated, type Stream, secondDay } from './streams.ts';
import { characterOf, synthetic } from './synthetic.ts';

/** The recordings as they are, for whoever changes them further. */
export const loadRecordings = (shared: string): Stream[] =>
  recordings.map((name) => loadStream(join(shared, 'bench', 'streams', name), name));

/** Seconds by which a recording is laid over itself, so that different faults meet: a prime of neither fault period. */
const overlays: Record<string, number[]> = { 'ob-a': [1100, 2000, 4000], 'petshop-low': [4000, 7300, 13_600] };

/** Systems that nobody recorded, each seed another one, as a check against bending to the two that somebody did. */
export const inventedSystems = (seeds: readonly number[]): Stream[] =>
  seeds.map((seed) => {
    const c = characterOf(seed);
    const name = `invented ${c.apps.join('+')} services, ${c.shape}, ${c.step} s${c.spaced ? '' : ', overlapping'}, #${seed}`;
    return { ...synthetic(name, seed, c), system: 'invented' };
  });

/** Six faults within two minutes: in one call graph of 60 or of 150 services, over three applications or over six. */
export const storms = (seeds: readonly number[]): Stream[] =>
  seeds.flatMap((seed) =>
    [
      { apps: [60], pods: 1 },
      { apps: [150], pods: 8 },
      { apps: [40, 20, 15], pods: 1 },
      { apps: [10, 10, 10, 10, 10, 10], pods: 3 },
    ].map(({ apps, pods }) => ({
      ...synthetic(`storm of six, ${apps.join('+')} services, ${pods} pods each, #${seed}`, seed, {
        ...characterOf(seed),
        apps,
        pods,
        step: 30,
        lag: 30,
        hold: 30,
        faults: 6,
        storm: 120,
        noise: 0.5 / pods,
      }),
      system: 'storm',
    })),
  );

/** Everything a recording is turned into; each group is scored apart, since each can be gamed alone. */
export function variantsOf(base: Stream, seeds: readonly number[]): Record<string, Stream[]> {
  return {
    recorded: [base],
    jittered: seeds.map((seed) => jittered(base, seed)),
    'other noise': seeds.map((seed) => noiseMoved(base, seed)),
    'other start': [0.25, 0.5, 0.75].map((share) => rotated(base, share)),
    'second day': seeds.map((seed) => secondDay(noiseMoved(base, seed), noiseMoved(base, seed + 100))),
    overlaid: (overlays[base.name] ?? []).map((seconds) => overlaid(base, seconds)),
  };
}
