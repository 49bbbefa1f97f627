import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { createConfigHolder } from '../../src/config/watch.ts';
import { folder } from '../fakes/config-tree.ts';

function holderOf(text: string) {
  const dir = folder({ 'tocsin.yaml': text });
  const load = () => loadConfig(dir, {});
  const first = load();
  if (!first.ok) throw new Error('faulty');
  const write = (file: string, content: string) => writeFileSync(join(dir, file), content);
  return { holder: createConfigHolder(first.config, load), write };
}

test('a good tree comes into force whole, before anybody hears of it', () => {
  const { holder, write } = holderOf('enrich: { deadline: 2s }\n');
  const heard: number[] = [];
  holder.subscribe((config) => {
    expect(holder.current).toBe(config);
    heard.push(config.tocsin.enrich.deadline);
  });
  expect(holder.lastReload).toBeNull();
  write('tocsin.yaml', 'enrich: { deadline: 3s }\n');
  const result = holder.reload();
  expect(result).toMatchObject({ ok: true, changed: true });
  expect(heard).toEqual([3_000]);
  expect(holder.lastReload).toBe(result);
  expect(holder.reload()).toMatchObject({ ok: true, changed: false });
});

test('a tree with one fault in one file is refused whole, and the last good one stays', () => {
  const { holder, write } = holderOf('enrich: { deadline: 2s }\n');
  const before = holder.current;
  const heard: string[] = [];
  holder.subscribe((config) => heard.push(config.hash));
  write('tocsin.yaml', 'enrich: { deadline: 9s }\n');
  write('routing.yaml', 'routes: { default_team: nobody }\n');
  expect(holder.reload()).toMatchObject({ ok: false, faults: [{ message: 'there is no team "nobody"' }] });
  expect(holder.current).toBe(before);
  expect(holder.current.tocsin.enrich.deadline).toBe(2_000);
  expect(heard).toEqual([]);
  expect(holder.lastReload).toMatchObject({ ok: false });

  write('routing.yaml', 'teams: { nobody: { slack: "#n" } }\nroutes: { default_team: nobody }\n');
  expect(holder.reload()).toMatchObject({ ok: true, changed: true });
  expect(holder.current.tocsin.enrich.deadline).toBe(9_000);
  expect(heard).toEqual([holder.current.hash]);
});

test('a listener that throws keeps nobody from hearing, and is not hushed up', () => {
  const { holder, write } = holderOf('');
  const heard: string[] = [];
  holder.subscribe(() => {
    throw new Error('first listener');
  });
  const leave = holder.subscribe(() => heard.push('second'));
  write('tocsin.yaml', 'enrich: { deadline: 3s }\n');
  expect(() => holder.reload()).toThrow(AggregateError);
  expect(heard).toEqual(['second']);
  expect(holder.current.tocsin.enrich.deadline).toBe(3_000);
  leave();
  expect(() => holder.reload()).toThrow(AggregateError);
  expect(heard).toEqual(['second']);
});

test('nobody hears of an older tree after a newer one, even when a listener reloads', () => {
  const { holder, write } = holderOf('');
  const heard: number[] = [];
  holder.subscribe((config) => {
    if (config.tocsin.enrich.deadline !== 3_000) return;
    write('tocsin.yaml', 'enrich: { deadline: 4s }\n');
    holder.reload();
  });
  holder.subscribe((config) => heard.push(config.tocsin.enrich.deadline));
  write('tocsin.yaml', 'enrich: { deadline: 3s }\n');
  holder.reload();
  expect(heard).toEqual([4_000]);
});
