import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type ChartData, chartDataOf } from '../../src/notify/picture/chart-data.ts';
import { createPainter } from '../../src/notify/picture/painter.ts';
import { incident } from '../fakes/notify-example.ts';
import { quiet } from '../fakes/postgres.ts';
import { until } from '../fakes/until.ts';

const data = (changes: Partial<ChartData> = {}): ChartData => ({ ...chartDataOf(incident())!, ...changes });

describe('the painter', () => {
  test('paints in a process of its own, one after another, and ends', async () => {
    const painter = createPainter(quiet);
    const pngs = await Promise.all([painter.paint(data()), painter.paint(data({ title: 'another' }))]);
    expect(pngs.map((png) => png?.subarray(1, 4).toString())).toEqual(['PNG', 'PNG']);
    painter.close();
    expect(await painter.paint(data())).toBeNull();
  });

  test('one that cannot be drawn is none, with the reason in the log, and the next one is drawn', async () => {
    const warned: unknown[] = [];
    const painter = createPainter({ ...quiet, warn: (fields) => void warned.push(fields) });
    const [bad, good] = await Promise.all([painter.paint(data({ points: [] })), painter.paint(data())]);
    expect(bad).toBeNull();
    expect(good).toBeInstanceOf(Buffer);
    expect(warned).toEqual([{ reason: 'a chart needs two finite points in time' }]);
    painter.close();
  });

  const children = `/proc/${process.pid}/task/${process.pid}/children`;
  test.runIf(existsSync(children))('a process that dies with a picture is replaced', async () => {
    const painter = createPainter(quiet);
    const before = readFileSync(children, 'utf8').split(' ');
    const lost = painter.paint(data());
    const hired = await until(
      () =>
        readFileSync(children, 'utf8')
          .split(' ')
          .find((pid) => pid && !before.includes(pid)),
      () => 'no process was started',
    );
    process.kill(Number(hired), 'SIGABRT');
    expect(await lost).toBeNull();
    expect(await painter.paint(data())).toBeInstanceOf(Buffer);
    painter.close();
  });

  test('one that takes too long is none', async () => {
    const painter = createPainter(quiet, { giveUpMs: 1 });
    expect(await painter.paint(data())).toBeNull();
    painter.close();
  });

  test('when too many wait, the rest is none at once', async () => {
    const painter = createPainter(quiet);
    const all = await Promise.all(Array.from({ length: 40 }, () => painter.paint(data())));
    expect(all.filter((png) => png === null)).toHaveLength(8);
    painter.close();
  });
});
