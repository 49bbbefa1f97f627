import { join } from 'node:path';
import { jittered, loadStream, noiseMoved, overlaid, recordings, rotated, type Stream } from './streams.ts';
import { synthetic } from './synthetic.ts';

/** The recordings as they are, for whoever changes them further. */
export const loadRecordings = (shared: string): Stream[] =>
  recordings.map((name) => loadStream(join(shared, 'bench', 'streams', name), name));

/** Seconds by which a recording is laid over itself, so that different faults meet: a prime of neither fault period. */
const overlays: Record<string, number[]> = { 'ob-a': [1100, 2000, 4000], 'petshop-low': [4000, 7300, 13_600] };

const systems = [
  { services: 12, step: 60, every: 600 },
  { services: 40, step: 30, every: 500 },
  { services: 60, step: 15, every: 900 },
  { services: 25, step: 300, every: 2400 },
  { services: 150, step: 60, every: 300 },
];

/** Systems that nobody recorded, as a check against bending to the two graphs that somebody did. */
export const inventedSystems = (seeds: readonly number[]): Stream[] =>
  systems.flatMap((s) =>
    seeds.map((seed) => ({
      ...synthetic(`${s.services} services, ${s.step} s samples, #${seed}`, seed, { ...s, faults: 25, noise: 1 }),
      system: `invented-${s.services}`,
    })),
  );

/** Six faults within two minutes in one call graph. */
export const storms = (seeds: readonly number[]): Stream[] =>
  seeds.flatMap((seed) =>
    [60, 150].map((services) =>
      synthetic(`storm of six, ${services} services, #${seed}`, seed, {
        services,
        faults: 6,
        step: 30,
        every: 60,
        noise: 0.5,
        storm: true,
      }),
    ),
  );

/** Everything a recording is turned into; each group is scored apart, since each can be gamed alone. */
export function variantsOf(base: Stream, seeds: readonly number[]): Record<string, Stream[]> {
  return {
    recorded: [base],
    jittered: seeds.map((seed) => jittered(base, seed)),
    'other noise': seeds.map((seed) => noiseMoved(base, seed)),
    'other start': [0.25, 0.5, 0.75].map((share) => rotated(base, share)),
    overlaid: (overlays[base.name] ?? []).map((seconds) => overlaid(base, seconds)),
  };
}
