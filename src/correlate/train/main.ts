import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig } from '../../config/load.ts';
import { loadModels, type Models, modelsDir } from '../../config/models.ts';
import { trainFromStore } from './from-store.ts';
import { loadScorer } from './scorer.ts';
import { sharedDir } from './streams.ts';
import { loadRecordings } from './suite.ts';
import { trainActionability } from './train-actionability.ts';
import { trainCauses } from './train-causes.ts';
import { trainCorrelation } from './train-correlation.ts';

/**
 * `npm run train -- [--shared DIR] [--out DIR] [--only correlation|causes|actionability]`: refits models/*.json from the recorded streams
 * and writes a card beside each. Seeded: the same streams give the same bytes.
 *
 * `npm run train -- --from-store [--since 90d] [--until T] [--config DIR] [--out DIR]`: refits what people's labels can move from
 * a store's own history (from-store.ts).
 */
const { values } = parseArgs({
  options: {
    shared: { type: 'string' },
    out: { type: 'string' },
    only: { type: 'string' },
    'from-store': { type: 'boolean', default: false },
    since: { type: 'string' },
    until: { type: 'string' },
    config: { type: 'string' },
  },
});
if (values['from-store']) {
  const { out = null, since = null, until = null, config = null } = values;
  const print = (text: string) => void process.stdout.write(text);
  const fail = (text: string) => void process.stderr.write(text);
  const progress = (tried: number) => void (process.stderr.isTTY && process.stderr.write(`\r${tried} models tried `));
  process.exit(await trainFromStore({ out, since, until, config, print, fail, progress }));
}
const outDir = values.out ?? modelsDir;
const shared = sharedDir(values.shared);
const recordings = loadRecordings(shared);
const models: Models = loadModels();
mkdirSync(outDir, { recursive: true });

const write = (name: string, model: unknown, card: string): void => {
  writeFileSync(join(outDir, `${name}.json`), `${JSON.stringify(model, null, 2)}\n`);
  writeFileSync(join(outDir, `${name}.card.md`), card);
  process.stdout.write(`${card}\n`);
};

const wanted = (name: string): boolean => values.only === undefined || values.only === name;

if (wanted('correlation')) {
  const { model, card } = trainCorrelation(recordings, models, await loadScorer(shared));
  models.correlation = model;
  write('correlation', model, card);
}
if (wanted('causes')) {
  const { model, card } = trainCauses(recordings, models);
  write('causes', model, card);
}
if (wanted('actionability')) {
  const config = loadConfig(join(import.meta.dirname, '../../../config'), {});
  if (!config.ok) throw new Error('The shipped config is at fault; run tocsin check.');
  const { model, card } = await trainActionability(recordings, config.config, models);
  write('actionability', model, card);
}
