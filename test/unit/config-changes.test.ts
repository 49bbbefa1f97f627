import { expect, test } from 'vitest';
import { configChanges } from '../../src/config/changes.ts';
import { loadConfig } from '../../src/config/load.ts';
import { folder } from '../fakes/config-tree.ts';

function load(files: Record<string, string>) {
  const loaded = loadConfig(folder(files), { A: 'one', B: 'two' });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  return loaded.config;
}

test('what changed is named by file and path, named things by their name, defaults filled in', () => {
  const before = load({
    'suppression.yaml':
      'noise: [ { name: a, match: ["x=y"], reason: "r" }, { name: b, match: ["x=z"], reason: "r" } ]\n',
    'tocsin.yaml': 'suppress: { mode: shadow }\n',
  });
  const after = load({
    'suppression.yaml':
      'noise: [ { name: b, match: ["x=z"], reason: "r", for: 2h }, { name: c, match: ["q=1"], reason: "s" } ]\n',
    'tocsin.yaml': 'suppress: { mode: active }\n',
  });
  expect(configChanges(before, before)).toEqual([]);
  expect(configChanges(before, after)).toEqual([
    { file: 'tocsin.yaml', path: 'suppress.mode', before: 'shadow', after: 'active' },
    { file: 'suppression.yaml', path: 'noise[a]', before: expect.objectContaining({ match: ['x=y'] }), after: null },
    { file: 'suppression.yaml', path: 'noise[b].for', before: 86_400_000, after: 7_200_000 },
    { file: 'suppression.yaml', path: 'noise[c]', before: null, after: expect.objectContaining({ reason: 's' }) },
  ]);
});

test('a secret is never in it, only where it is found', () => {
  const tree = (name: string) => load({ 'tocsin.yaml': `channels: { slack: { token: { env: ${name} } } }\n` });
  const changes = configChanges(tree('A'), tree('B'));
  expect(changes).toEqual([{ file: 'tocsin.yaml', path: 'channels.slack.token.env', before: 'A', after: 'B' }]);
});
