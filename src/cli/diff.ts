import type { Environment } from '../config/env.ts';
import { modelsOf } from '../config/models.ts';
import type { Config } from '../config/schema.ts';
import { type Outcomes, replay } from '../replay.ts';
import { type Changed, type Condition, type Difference, differenceOf, parseConditions } from '../replay-diff.ts';
import { compileRules } from '../rules.ts';
import { loadOrExplain } from './load.ts';
import { type PastOptions, progressOf, withPast } from './past.ts';
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
    const run = (config: Config, what: string): Promise<Outcomes> =>
      replay(past.lines(), {
        rules: compileRules(config, modelsOf(config), { topology: graph ?? past.topology, assumeSecrets: true }),
        knownRules: past.knownRules,
        ...progressOf(what, past.total, err),
      });
    const was = await run(old, before);
    // Two trees that are equal word for word do the same: that is said in no time.
    const same = old.hash === next.hash;
    const difference = differenceOf(was, same ? was : await run(next, after));
    const failed = conditions.filter((condition) => condition.holds(difference.counts));
    out(
      options.format === 'json'
        ? `${JSON.stringify({ ...difference, failed: failed.map((one) => one.text) }, null, 2)}\n`
        : asMarkdown(difference, failed, before, after, same),
    );
    return failed.length > 0 ? 1 : 0;
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
