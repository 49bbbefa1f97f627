import { createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Worker } from 'node:worker_threads';
import type { Environment } from '../config/env.ts';
import type { Config } from '../config/schema.ts';
import { toTransfer } from '../config/secrets.ts';
import type { Topology } from '../domain/topology.ts';
import { StreamFault } from '../replay.ts';
import {
  type Changed,
  type Condition,
  type Difference,
  differenceOf,
  parseConditions,
  type Side,
} from '../replay-diff.ts';
import type { NumberedLine } from '../store/stream.ts';
import { runSide } from './diff/side.ts';
import type { SideAnswer, SideRequest } from './diff/worker.ts';
import { loadOrExplain } from './load.ts';
import { type Past, type PastOptions, withPast, withProgress } from './past.ts';
import { inMarkdown } from './plain.ts';
import { readTopology } from './replay.ts';

type Options = {
  past: PastOptions;
  /** OLD and NEW. */
  configs: readonly string[];
  topology: string | null;
  format: 'md' | 'json';
  failIf: string | null;
  env: Readonly<Record<string, string | undefined>>;
  environment: () => Environment;
  /** Epoch ms. */
  now: number;
  out: (text: string) => void;
  err: (text: string) => void;
};

/** Incidents listed of each kind; the counts are of all. */
const SHOWN = 20;

/**
 * `tocsin diff [STREAM|--from T] --config OLD --config NEW`: what NEW would have done differently with a past. Exit code 1 when
 * `--fail-if` holds, 2 when something cannot be used.
 */
export async function runDiff(options: Options): Promise<number> {
  const { configs, topology, env, out, err, failIf } = options;
  const [before, after] = configs;
  if (before === undefined || after === undefined || configs.length > 2) {
    err('Give the two config folders: --config OLD --config NEW.\n');
    return 2;
  }
  const conditions = failIf === null ? [] : parseConditions(failIf, figures);
  if (typeof conditions === 'string') {
    err(`${conditions}\n`);
    return 2;
  }
  const graph = topology === null ? null : readTopology(topology);
  if (typeof graph === 'string') {
    err(`${graph}\n`);
    return 2;
  }
  const [old, next] = [loadOrExplain(before, env, err), loadOrExplain(after, env, err)];
  if (!old || !next) return 2;
  return withPast(options.past, { ...options, config: next }, async (past) => {
    // Two trees that are equal word for word do the same: one run says it.
    const same = old.hash === next.hash;
    const [was, is] = await bothSides(past, [old, same ? null : next], graph ?? past.topology, err);
    const difference = differenceOf(was, is ?? was);
    const failed = conditions.filter((condition) => condition.holds(difference.counts));
    out(
      options.format === 'json'
        ? `${JSON.stringify({ ...difference, failed: failed.map((one) => one.text) }, null, 2)}\n`
        : asMarkdown(difference, failed, before, after, same),
    );
    return failed.length > 0 ? 1 : 0;
  });
}

/** Bytes of a stream from which a second thread is worth its start of 0.3 s. */
const WORTH_A_THREAD = 100_000;

/**
 * The two runs side by side, the second in a thread of its own: on two cores half the time. Both go through one file, so that
 * what the store takes meanwhile is in neither; a past that is none is written to one first.
 */
async function bothSides(
  past: Past,
  [old, next]: [Config, Config | null],
  topology: Topology | null,
  err: Options['err'],
): Promise<[Side, Side | null]> {
  const dir = past.period === null ? null : mkdtempSync(join(tmpdir(), 'tocsin-diff-'));
  try {
    const file = dir === null ? past.name : join(dir, 'past.jsonl');
    if (dir !== null) await writePast(past.lines(), file);
    const input = { file, topology, knownRules: past.knownRules };
    const first = (): Promise<Side> =>
      withProgress('diff', past.total, err, ({ progress }) => runSide(old, input, progress));
    if (next === null) return [await first(), null];
    if (statSync(file).size < WORTH_A_THREAD) return [await first(), await runSide(next, input)];
    const second = sideInThread({ ...input, config: toTransfer(next) });
    second.catch(() => {}); // it is thrown where it is awaited
    return [await first(), await second];
  } finally {
    if (dir !== null) rmSync(dir, { recursive: true });
  }
}

async function writePast(lines: AsyncIterable<NumberedLine>, file: string): Promise<void> {
  async function* text() {
    for await (const { entry } of lines) yield `${JSON.stringify(entry)}\n`;
  }
  await pipeline(text, createWriteStream(file, { mode: 0o600 }));
}

/** A worker's own thread of TypeScript or JavaScript, as this file is. */
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

function sideInThread(request: SideRequest): Promise<Side> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(`./diff/worker.${extension}`, import.meta.url), { workerData: request });
    worker.on('message', (answer: SideAnswer) => {
      if ('side' in answer) resolve(answer.side);
      else if ('fault' in answer) reject(new StreamFault(answer.fault));
    });
    worker.on('error', reject);
    worker.on('exit', (code) => reject(new Error(`the second run ended with ${code}`)));
  });
}

const figures: (keyof Difference['counts'])[] = [
  'pages_before',
  'pages_after',
  'incidents_before',
  'incidents_after',
  'missed_pages',
  'added_pages',
  'merged',
  'split',
  'receivers_changed',
  'suppressed_more',
  'suppressed_less',
  'added_delay_seconds',
];

function asMarkdown(
  { counts, missed, added, merged, split, receivers, slowest }: Difference,
  failed: readonly Condition[],
  before: string,
  after: string,
  same: boolean,
): string {
  const lines = [
    `# ${inMarkdown(before)} → ${inMarkdown(after)}`,
    '',
    '| | before | after |',
    '| --- | --- | --- |',
    `| pages | ${counts.pages_before} | ${counts.pages_after} |`,
    `| incidents | ${counts.incidents_before} | ${counts.incidents_after} |`,
    '',
    `Missed pages: ${counts.missed_pages}. Added pages: ${counts.added_pages}. Incidents merged: ${counts.merged}, split: ${counts.split}. Receivers changed: ${counts.receivers_changed}. Alerts held back more: ${counts.suppressed_more}, less: ${counts.suppressed_less}. Longest added delay: ${counts.added_delay_seconds} s.`,
  ];
  if (same) lines.push('', 'The two config trees are the same.');
  for (const one of failed) lines.push('', `**Fails: ${one.text}** (it is ${counts[one.name]}).`);
  const section = (title: string, list: readonly Changed[]) => {
    if (list.length === 0) return;
    lines.push(
      '',
      `## ${title}`,
      '',
      '| started | incident | alerts | before | after |',
      '| --- | --- | --- | --- | --- |',
    );
    for (const one of list.slice(0, SHOWN))
      lines.push(
        `| ${one.startedAt} | ${inMarkdown(one.title)} | ${one.alerts} | ${inMarkdown(one.before)} | ${inMarkdown(one.after)} |`,
      );
    if (list.length > SHOWN) lines.push('', `… and ${list.length - SHOWN} more.`);
  };
  section('Pages that would be missed', missed);
  section('Pages that would be added', added);
  section('Incidents that become one', merged);
  section('Incidents that fall apart', split);
  section('Told to others', receivers);
  section('The longest added delay', slowest ? [slowest] : []);
  return `${lines.join('\n')}\n`;
}
