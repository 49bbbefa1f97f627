import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formatFault } from '../../src/config/fault.ts';
import { loadConfig } from '../../src/config/load.ts';
import { modelsDir, modelsOf } from '../../src/config/models.ts';
import { folder } from '../fakes/config-tree.ts';

const tree = { 'tocsin.yaml': 'correlate:\n  models: fitted\n' };
const loaded = (dir: string) => {
  const result = loadConfig(dir, {});
  if (result.ok) return result.config;
  throw new Error(result.faults.map((fault) => formatFault(fault).replace(`${dir}/`, '')).join('\n'));
};

test('without a word the shipped models are used', () => {
  expect(modelsOf(loaded(folder({}))).causes.kind).toBe('causes');
});

test('a folder of models beside the config is used; what it lacks is the shipped one', () => {
  const dir = folder(tree);
  mkdirSync(join(dir, 'fitted'));
  const causes = JSON.parse(readFileSync(join(modelsDir, 'causes.json'), 'utf8'));
  writeFileSync(join(dir, 'fitted/causes.json'), JSON.stringify({ ...causes, version: 'ours' }));
  const models = modelsOf(loaded(dir));
  expect(models.causes.version).toBe('ours');
  expect(models.correlation.kind).toBe('correlation');
});

test('a folder that is not there, or a model that cannot be used, refuses the tree at its line', () => {
  const dir = folder(tree);
  expect(() => loaded(dir)).toThrow(/^tocsin.yaml:2:11: there is no folder fitted\. Name a folder that npm run train/);
  cpSync(modelsDir, join(dir, 'fitted'), { recursive: true });
  writeFileSync(join(dir, 'fitted/causes.json'), '{"kind":"causes"}');
  expect(() => loaded(dir)).toThrow(/^tocsin.yaml:2:11: .*causes.json is unusable/);
});
