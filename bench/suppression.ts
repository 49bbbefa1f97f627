import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatFaults } from '../src/config/fault.ts';
import { loadConfig } from '../src/config/load.ts';
import { loadModels } from '../src/config/models.ts';
import { type HeldFigures, heldFigures, inMode, play, type TruthOf, truthOf } from '../src/correlate/train/held.ts';
import { jittered, noiseMoved, recordings, rotated, type Stream, sharedDir } from '../src/correlate/train/streams.ts';
import { inventedSystems, loadRecordings } from '../src/correlate/train/suite.ts';
import type { Mode } from '../src/domain/incident.ts';
import { type Outcomes, readStream, replay } from '../src/replay.ts';
import { compileRules } from '../src/rules.ts';

/**
 * `node bench/suppression.ts [--shared DIR] [--quick]`: what the shipped policy holds back in mode `active`, and what that costs.
 *
 * The recordings are read as `tocsin replay STREAM --topology FILE --config DIR` reads them, with DIR the shipped config tree in
 * which one line is changed (`suppress: { mode: active }`); nothing is known before a stream begins. An alert counts as held
 * when its verdict is `suppress`, as grouped when it is `group`; a fault is lost when all its alerts are held. Below them the
 * same streams with other noise, jitter and another start, and systems that the model was not fitted on (seeds from 101 on).
 * "not in the graph" is the best simple rule: hold what is about a service that the call graph does not have.
 */
const { values } = parseArgs({ options: { shared: { type: 'string' }, quick: { type: 'boolean', default: false } } });
const shared = sharedDir(values.shared);
const loaded = loadConfig(join(import.meta.dirname, '../config'), {});
if (!loaded.ok) throw new Error(formatFaults(loaded.faults));
const models = loadModels();
const active = inMode(loaded.config, 'active');
const owned = inMode(loaded.config, 'active', { everyoneOwns: true });

const cell = (x: number): string => (Number.isFinite(x) ? x.toFixed(3) : '-');
const row = (cells: (string | number)[]): void => console.log(`| ${cells.join(' | ')} |`);
const head = (cells: string[]): void => {
  row(cells);
  row(cells.map(() => '---'));
};
const median = (list: number[]): number => list.sort((a, b) => a - b)[list.length >> 1] ?? 0;

function show(name: string, f: HeldFigures, simple: { held: number; lost: number }): void {
  row([
    name,
    f.noise,
    cell(f.noiseHeld / f.noise),
    cell(f.noiseGrouped / f.noise),
    `**${cell((f.noiseHeld + f.noiseGrouped) / f.noise)}**`,
    cell(f.faultAlertsLost / f.faultAlerts),
    `${f.faultsLost} of ${f.faults}`,
    cell(f.faultIncidentsOpened / f.faults),
    f.opened,
    `${Math.round(median(f.delays))} / ${Math.round(Math.max(0, ...f.delays))}`,
    `${cell(simple.held)} / ${cell(simple.lost)}`,
  ]);
}

/** The best simple rule of the shared material, on any stream. */
function notInGraph(stream: Stream): { held: number; lost: number } {
  const nodes = new Set(stream.topology.nodes.map(({ service }) => service));
  const counts = { noise: 0, held: 0, fault: 0, lost: 0 };
  for (const { id, labels } of stream.episodes) {
    const truth = stream.truth.alerts[id];
    if (!truth || truth.kind === 'grey') continue;
    const outside = !nodes.has(labels.service ?? '');
    counts[truth.fault === null ? 'noise' : 'fault'] += 1;
    if (outside) counts[truth.fault === null ? 'held' : 'lost'] += 1;
  }
  return { held: counts.held / counts.noise, lost: counts.lost / counts.fault };
}

/** A recording by the very road of `tocsin replay`, scored by its own truth. */
async function recorded(name: (typeof recordings)[number], stream: Stream): Promise<HeldFigures> {
  const truth = new Map(
    stream.episodes.map((e) => [`${e.fingerprint}@${new Date(e.startsAt).toISOString()}`, stream.truth.alerts[e.id]]),
  );
  const of: TruthOf = ({ fingerprint, startsAt }) => {
    const known = truth.get(`${fingerprint}@${startsAt}`);
    return known === undefined || known.kind === 'grey' ? undefined : known.fault;
  };
  return heldFigures(of, await replayed(name, stream, 'active'));
}

function replayed(name: (typeof recordings)[number], stream: Stream, mode: Mode): Promise<Outcomes> {
  const config = inMode(active, mode);
  const rules = compileRules(config, models, { topology: stream.topology, assumeSecrets: true });
  return replay(readStream(join(shared, 'bench', 'streams', name, 'alerts.jsonl.gz')), { rules });
}

const columns = [
  'stream',
  'noise alerts',
  'held back',
  'grouped',
  'together',
  'fault alerts lost',
  'faults lost',
  'opened per fault',
  'incidents opened',
  'first message after, s: median / longest',
  'not in the graph: held / lost',
];

const originals = loadRecordings(shared);
console.log('### Shipped config, `suppress.mode: active`, recordings through `tocsin replay`\n');
head(columns);
for (const [i, name] of recordings.entries())
  show(name, await recorded(name, originals[i]!), notInGraph(originals[i]!));

console.log('\n### Mode `shadow`, as shipped, beside `passthrough`: what is sent\n');
head(['stream', 'notifications in shadow', 'in passthrough', 'the same bytes']);
for (const [i, name] of recordings.entries()) {
  const [shadow, passthrough] = [
    await replayed(name, originals[i]!, 'shadow'),
    await replayed(name, originals[i]!, 'passthrough'),
  ].map(({ notifications }) => notifications);
  const same = JSON.stringify(shadow) === JSON.stringify(passthrough);
  row([name, shadow!.length, passthrough!.length, same ? 'yes' : '**NO**']);
  if (!same) process.exitCode = 1;
}

const seeds = values.quick ? [11] : [11, 12, 13];
const changed = originals.flatMap((base) => [
  ...seeds.map((seed) => noiseMoved(base, seed)),
  ...seeds.slice(0, 2).map((seed) => jittered(base, seed)),
  ...(values.quick ? [] : [0.25, 0.5, 0.75].map((share) => rotated(base, share))),
]);
const invented = inventedSystems(values.quick ? [101, 102] : [101, 102, 103, 104, 105, 106, 107, 108, 109, 110]);
console.log('\n### The same config on streams that nobody recorded\n');
head(columns);
for (const stream of [...changed, ...invented])
  show(stream.name, heldFigures(truthOf(stream), await play(stream, active, models)), notInGraph(stream));

console.log('\n### One team owns every alert (and has no budget): no floor for unknown owners protects the faults\n');
head(columns);
for (const stream of [...originals, ...invented])
  show(stream.name, heldFigures(truthOf(stream), await play(stream, owned, models)), notInGraph(stream));
