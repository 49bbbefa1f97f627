import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Action } from '../../src/domain/action.ts';
import { createKillSwitchKeeper, type KillSwitchKeeper } from '../../src/respond/kill-switch-keeper.ts';
import { quiet } from '../fakes/postgres.ts';
import { until } from '../fakes/until.ts';

let dataDir: string;
let file: string;
let keepers: KillSwitchKeeper[];
let stored: Action[];
let storeIsThere: boolean;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'tocsin-switch-'));
  file = join(dataDir, 'kill-switch');
  keepers = [];
  stored = [];
  storeIsThere = true;
});

afterEach(() => {
  for (const keeper of keepers) keeper.stop();
  rmSync(dataDir, { recursive: true });
});

function startKeeper(): KillSwitchKeeper {
  const keeper = createKillSwitchKeeper({
    dataDir,
    append: async (item) => {
      if (!storeIsThere) throw new Error('the store is away');
      stored.push(JSON.parse(item.body.toString()) as Action);
    },
    log: quiet,
    now: Date.now,
  });
  keepers.push(keeper);
  return keeper;
}

const turn = (id: string): Action => ({
  id,
  do: 'kill-switch',
  incident: null,
  by: 'ana',
  origin: 'api',
  body: { on: true, text: 'it hides things' },
});
const storedUntil = (count: number) =>
  until(
    () => stored.length === count,
    () => `${stored.length} turns are stored, not ${count}`,
  );

test('turned on without the store it holds in memory and in the file, and nothing goes before it', async () => {
  storeIsThere = false;
  const keeper = startKeeper();
  await expect(keeper.hold(turn('a'))).rejects.toThrow('away');
  expect(keeper.held()).toMatchObject({ by: 'ana', origin: 'api', reason: 'it hides things' });
  expect(existsSync(file)).toBe(true);
  expect(keeper.foreignFile()).toBeNull();
  await expect(keeper.settled()).rejects.toThrow('away');

  storeIsThere = true;
  await keeper.settled();
  expect(stored).toEqual([turn('a')]);
  expect(keeper.held()).toBeNull();
  expect(existsSync(file)).toBe(false);
});

test('a process that dies while it holds the switch finds it again', async () => {
  storeIsThere = false;
  const first = startKeeper();
  await first.hold(turn('a')).catch(() => {});
  first.stop();
  const second = startKeeper();
  expect(second.held()).toMatchObject({ by: 'ana' });
  storeIsThere = true;
  await storedUntil(1);
  expect(stored).toEqual([turn('a')]);
});

test('a file that somebody makes turns it on for as long as it is there', async () => {
  const keeper = startKeeper();
  writeFileSync(file, '');
  await storedUntil(1);
  expect(stored[0]).toMatchObject({ do: 'kill-switch', origin: 'file', body: { on: true } });
  expect(keeper.foreignFile()).toBe(file);
  rmSync(file);
  await storedUntil(2);
  expect(stored[1]).toMatchObject({ origin: 'file', body: { on: false } });
  expect(keeper.foreignFile()).toBeNull();
});

test('a file that is there at the start counts before the first delivery', async () => {
  writeFileSync(file, 'ana, 03:12, it hides things\n');
  const keeper = startKeeper();
  await keeper.settled();
  expect(stored).toMatchObject([{ origin: 'file', body: { on: true } }]);
});

test('a file that came and went while the store was away was never there for the store', async () => {
  storeIsThere = false;
  const keeper = startKeeper();
  writeFileSync(file, '');
  await until(
    () => keeper.held() !== null,
    () => 'the file is not seen',
  );
  rmSync(file);
  await until(
    () => keeper.held() === null,
    () => 'it still holds',
  );
  storeIsThere = true;
  await keeper.settled();
  expect(stored).toEqual([]);
});

test('what is held and not stored can be taken back; the same request sent again is one turn', async () => {
  storeIsThere = false;
  const keeper = startKeeper();
  await keeper.hold(turn('a')).catch(() => {});
  await keeper.hold(turn('a')).catch(() => {});
  expect(keeper.withdraw()).toBe(true);
  expect(keeper.held()).toBeNull();
  expect(existsSync(file)).toBe(false);
  expect(keeper.withdraw()).toBe(false);
  storeIsThere = true;
  await keeper.settled();
  expect(stored).toEqual([]);
});
