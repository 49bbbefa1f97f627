import { readScorecard } from '../api/scorecard.ts';
import type { Environment } from '../config/env.ts';
import type { Scorecard, Share } from '../score/scorecard.ts';
import { periodOf } from './report.ts';
import { withStore } from './store.ts';

type Options = {
  environment: Environment;
  from: string | null;
  to: string | null;
  json: boolean;
  /** Epoch ms. */
  now: number;
  out: (text: string) => void;
  err: (text: string) => void;
};

/**
 * `tocsin scorecard [--from T] [--to T]`: how good grouping, causes and pages were by the word of the people who worked with
 * them, each with the number of judgements it rests on. Exit code 2 when the period cannot be read.
 */
export async function runScorecard(options: Options): Promise<number> {
  const period = periodOf({ ...options, from: options.from ?? '90d' });
  if (typeof period === 'string') {
    options.err(`${period}\n`);
    return 2;
  }
  return withStore(options.environment, async (pool) => {
    const card = await readScorecard(pool, period.from, period.to);
    options.out(options.json ? `${JSON.stringify(card, null, 2)}\n` : inWords(card));
    return 0;
  });
}

function inWords(card: Scorecard & { since: string; until: string }): string {
  const { labels, grouping, causes, pages } = card;
  const rows: [string, string][] = [
    ['Grouped rightly, of what was judged in one incident', said(grouping.precision)],
    ['Kept apart rightly, of what was judged apart', said(grouping.separation)],
    [
      'Incidents of several alerts that nobody split or merged',
      `${said(grouping.untouched)}; ${grouping.split} split, ${grouping.merged} merged by hand`,
    ],
    ['First cause right', said(causes.top1)],
    ['One of the first three right', said(causes.top3)],
    [
      'Calibration error of the first',
      causes.calibrationError === null ? tooFew(causes.top1.n) : String(causes.calibrationError),
    ],
    ['Noise, of what was judged', said(pages.noise)],
    ['Should have paged', `${pages.missed} (${pages.heldBack} incidents held back or, in shadow mode, nearly)`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const table = causes.calibration.map(
    (one) => `  ${percent(one.from).padStart(5)} to ${percent(one.to).padStart(5)}  ${said(one)}`,
  );
  return [
    `${card.since} to ${card.until}: ${labels.n} labels by ${labels.people} ${labels.people === 1 ? 'person' : 'people'}.`,
    ...rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`),
    'When the first cause was given a probability of … it was right in:',
    ...table,
    labels.n < card.minimum
      ? 'There is little to go by yet: say what was right and wrong with the buttons in Slack or POST /api/v1/incidents/{id}/feedback.'
      : 'These are the incidents that people chose to judge; judged ones may be worse than the rest.',
    '',
  ].join('\n');
}

const percent = (x: number): string => `${Math.round(x * 100)} %`;
const tooFew = (n: number): string => `too few judged to say (${n})`;
const said = (s: Share): string =>
  s.share === null
    ? tooFew(s.n)
    : `${percent(s.share)} (${s.count} of ${s.n}; 95 % interval ${percent(s.low!)} to ${percent(s.high!)})`;
