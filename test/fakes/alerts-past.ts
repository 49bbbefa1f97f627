import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from './programs.ts';
import { hasPrometheus } from './prom-binary.ts';

const promtool = findProgram('promtool');
/** Whether a past can be made here: it takes Debian's Prometheus with its promtool. */
export const canBackfill = (): boolean => hasPrometheus() && promtool !== null;

/** When an alert fired, minutes from the begin; both ends have a sample. */
export type FiredThen = { labels: Record<string, string>; from: number; to: number };

/** Writes `ALERTS` series with a sample a minute as blocks for a Prometheus to start over, and gives their folder. */
export function alertsBlocks(dir: string, begin: number, fired: readonly FiredThen[]): string {
  const lines = ['# TYPE ALERTS gauge'];
  for (const { labels, from, to } of fired) {
    const all = { ...labels, alertstate: 'firing' };
    const text = Object.entries(all).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
    for (let at = from; at <= to; at += 1) lines.push(`ALERTS{${text.join(',')}} 1 ${(begin + at * 60_000) / 1_000}`);
  }
  const file = join(dir, 'alerts.om');
  const blocks = join(dir, 'blocks');
  writeFileSync(file, `${lines.join('\n')}\n# EOF\n`);
  // Blocks of a month: the default of two hours makes 360 of them.
  const args = ['tsdb', 'create-blocks-from', 'openmetrics', '-q', '--max-block-duration=744h', file, blocks];
  execFileSync(promtool!, args);
  return blocks;
}
