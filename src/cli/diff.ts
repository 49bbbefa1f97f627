import { loadModels } from '../config/models.ts';
import type { Topology } from '../domain/topology.ts';
import { type Outcomes, readStream, replay, StreamFault } from '../replay.ts';
import { type Changed, type Condition, type Difference, differenceOf, parseConditions } from '../replay-diff.ts';
import { compileRules } from '../rules.ts';
import { loadOrExplain } from './load.ts';
import { inMarkdown } from './plain.ts';
import { readTopology } from './replay.ts';

type Options = {
  stream: string;
  /** OLD and NEW. */
  configs: readonly string[];
  topology: string | null;
  format: 'md' | 'json';
  failIf: string | null;
  env: Readonly<Record<string, string | undefined>>;
  out: (text: string) => void;
  err: (text: string) => void;
};

/** Incidents listed of each kind; the counts are of all. */
const SHOWN = 20;

/**
 * `tocsin diff STREAM --config OLD --config NEW`: what NEW would have done differently with a recorded stream. Exit code 1 when
 * `--fail-if` holds, 2 when something cannot be used.
 */
export async function runDiff(options: Options): Promise<number> {
  const { configs, stream, topology, env, out, err, failIf } = options;
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
  try {
    const old = await outcomesOf(before, stream, graph, env, err);
    const now = old && (await outcomesOf(after, stream, graph, env, err));
    if (!old || !now) return 2;
    const difference = differenceOf(old, now);
    const failed = conditions.filter((condition) => condition.holds(difference.counts));
    out(
      options.format === 'json'
        ? `${JSON.stringify({ ...difference, failed: failed.map((one) => one.text) }, null, 2)}\n`
        : asMarkdown(difference, failed, before, after),
    );
    return failed.length > 0 ? 1 : 0;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (!(error instanceof StreamFault) && !missing) throw error;
    err(`${missing ? `There is no file ${stream}.` : (error as Error).message}\n`);
    return 2;
  }
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

async function outcomesOf(
  dir: string,
  stream: string,
  topology: Topology | null,
  env: Options['env'],
  err: Options['err'],
): Promise<Outcomes | null> {
  const config = loadOrExplain(dir, env, err);
  if (!config) return null;
  const rules = compileRules(config, loadModels(), { topology, assumeSecrets: true });
  return replay(readStream(stream), { rules });
}

function asMarkdown(
  { counts, missed, added, merged, split, receivers, slowest }: Difference,
  failed: readonly Condition[],
  before: string,
  after: string,
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
