import { existsSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type CorrelationModel, parseCorrelationModel } from '../correlate/model.ts';
import { type ActionabilityModel, parseActionabilityModel } from '../score/actionability.ts';
import { type CausesModel, parseCausesModel } from '../score/causes/model.ts';
import type { Fault } from './fault.ts';
import type { Config } from './schema.ts';
import { faultAt, spot, type Tree, text } from './spot.ts';

/** Every fitted model, read once at start. */
export type Models = { correlation: CorrelationModel; causes: CausesModel; actionability: ActionabilityModel };

/** The folder shipped with the product. */
export const modelsDir = join(import.meta.dirname, '..', '..', 'models');

/** Reads `models/*.json`; throws with the file and every fault when one is missing or malformed. */
export function loadModels(dir: string = modelsDir): Models {
  return {
    correlation: parseCorrelationModel(readJson(dir, 'correlation.json')),
    causes: parseCausesModel(readJson(dir, 'causes.json')),
    actionability: parseActionabilityModel(readJson(dir, 'actionability.json')),
  };
}

/** The models a config asks for: those in the folder of `correlate.models`, else the shipped ones. Throws as `loadModels`. */
export const modelsOf = (config: Config): Models => loadModels(modelsDirOf(config));

/** The folder of a config's models; a relative name is looked up from the config folder. */
export const modelsDirOf = ({ dir, tocsin }: Pick<Config, 'dir' | 'tocsin'>): string =>
  tocsin.correlate.models === undefined ? modelsDir : resolve(dir, tocsin.correlate.models);

/** A fault when `correlate.models` names no folder, or one whose models cannot be used: such a tree is refused whole. */
export function modelFaults(tree: Tree, dir: string): Fault[] {
  const at = spot(tree, 'tocsin.yaml', 'correlate', 'models');
  const named = text(at);
  if (at === null || named === null) return [];
  const instead =
    'Name a folder that npm run train has written, relative to this file, or leave it out for the shipped models.';
  const folder = resolve(dir, named);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    return [faultAt(at, `there is no folder ${named}`, instead)];
  try {
    loadModels(folder);
    return [];
  } catch (error) {
    return [faultAt(at, error instanceof Error ? error.message.replaceAll('\n', ' ') : String(error), instead)];
  }
}

/** A model that a folder of the user's own lacks is the shipped one: a release may bring a model that it knows nothing of. */
function readJson(dir: string, name: string): unknown {
  const own = join(dir, name);
  const file = existsSync(own) ? own : join(modelsDir, name);
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new Error(`Cannot read the model ${file}. Restore the shipped file or run npm run train.`, { cause });
  }
}
