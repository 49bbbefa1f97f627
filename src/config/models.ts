import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CorrelationModel, parseCorrelationModel } from '../correlate/model.ts';
import { type ActionabilityModel, parseActionabilityModel } from '../score/actionability.ts';
import { type CausesModel, parseCausesModel } from '../score/causes/model.ts';

/** Every fitted model, read once at start. */
export type Models = { correlation: CorrelationModel; causes: CausesModel; actionability: ActionabilityModel };

/** The folder shipped with the product. */
export const modelsDir = join(import.meta.dirname, '..', '..', 'models');

/** Reads `models/*.json`; throws with the file and every fault when one is missing or malformed. */
export function loadModels(dir: string = modelsDir): Models {
  return {
    correlation: parseCorrelationModel(readJson(join(dir, 'correlation.json'))),
    causes: parseCausesModel(readJson(join(dir, 'causes.json'))),
    actionability: parseActionabilityModel(readJson(join(dir, 'actionability.json'))),
  };
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new Error(`Cannot read the model ${file}. Restore the shipped file or run npm run train.`, { cause });
  }
}
