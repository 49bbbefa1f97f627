import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { watchConfig } from '../../src/config/watch.ts';
import { folder } from '../fakes/config-tree.ts';

const patience = { timeout: 8_000, interval: 20 };

function watching(dir: string): { calls: () => number } {
  let calls = 0;
  const watcher = watchConfig(dir, { onChange: () => void calls++ });
  onTestFinished(() => watcher.close());
  return { calls: () => calls };
}

/** Long enough for a notification and the pause after it, and for one look of the poll. */
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 2_600));

test('a file written in place is noticed', async () => {
  const dir = folder({ 'tocsin.yaml': 'enrich: {}\n' });
  const { calls } = watching(dir);
  writeFileSync(join(dir, 'tocsin.yaml'), 'enrich: { deadline: 3s }\n');
  await vi.waitFor(() => expect(calls()).toBe(1), patience);
});

test('a file that an editor renames into place is noticed, time after time', async () => {
  const dir = folder({ 'routing.yaml': 'teams: {}\n' });
  const { calls } = watching(dir);
  for (const round of [1, 2, 3]) {
    writeFileSync(join(dir, '.routing.yaml.swp'), `teams: { t${round}: {} }\n`);
    renameSync(join(dir, '.routing.yaml.swp'), join(dir, 'routing.yaml'));
    await vi.waitFor(() => expect(calls()).toBe(round), patience);
  }
});

test('the swap of the ..data link under a Kubernetes ConfigMap is noticed', async () => {
  const dir = folder({
    '..v1/tocsin.yaml': 'enrich: { deadline: 1s }\n',
    '..v2/tocsin.yaml': 'enrich: { deadline: 2s }\n',
  });
  symlinkSync('..v1', join(dir, '..data'));
  symlinkSync('..data/tocsin.yaml', join(dir, 'tocsin.yaml'));
  const { calls } = watching(dir);
  symlinkSync('..v2', join(dir, '..data_tmp'));
  renameSync(join(dir, '..data_tmp'), join(dir, '..data'));
  await vi.waitFor(() => expect(calls()).toBe(1), patience);
});

test('a folder that is replaced whole is noticed, by looking', async () => {
  const parent = folder({
    'config/tocsin.yaml': 'enrich: { deadline: 1s }\n',
    'next/tocsin.yaml': 'enrich: { deadline: 2s }\n',
  });
  const { calls } = watching(join(parent, 'config'));
  rmSync(join(parent, 'config'), { recursive: true });
  renameSync(join(parent, 'next'), join(parent, 'config'));
  await vi.waitFor(() => expect(calls()).toBeGreaterThan(0), patience);
});

test('a folder that comes into being later is noticed', async () => {
  const parent = folder({});
  const { calls } = watching(join(parent, 'config'));
  mkdirSync(join(parent, 'config'));
  writeFileSync(join(parent, 'config', 'tocsin.yaml'), 'enrich: {}\n');
  await vi.waitFor(() => expect(calls()).toBeGreaterThan(0), patience);
});

test('files written one after the other are one change; a touched file and a foreign one are none', async () => {
  const dir = folder({ 'tocsin.yaml': 'enrich: {}\n', 'notes.txt': '' });
  const { calls } = watching(dir);
  utimesSync(join(dir, 'tocsin.yaml'), new Date(), new Date());
  writeFileSync(join(dir, 'notes.txt'), 'x');
  await aWhile();
  expect(calls()).toBe(0);
  for (const name of ['tocsin.yaml', 'routing.yaml', 'suppression.yaml', 'patterns.yaml'])
    writeFileSync(join(dir, name), '# new\n');
  await vi.waitFor(() => expect(calls()).toBe(1), patience);
  await aWhile();
  expect(calls()).toBe(1);
}, 20_000);

test('closed, it says nothing more', async () => {
  const dir = folder({ 'tocsin.yaml': 'enrich: {}\n' });
  let calls = 0;
  watchConfig(dir, { onChange: () => void calls++ }).close();
  writeFileSync(join(dir, 'tocsin.yaml'), 'enrich: { deadline: 3s }\n');
  await aWhile();
  expect(calls).toBe(0);
});
