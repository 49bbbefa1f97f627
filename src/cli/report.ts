import type pg from 'pg';
import type { Environment } from '../config/env.ts';
import { parseDuration } from '../config/schema.ts';
import { doubtOf } from '../score/doubt.ts';
import type { HeldIncident } from '../store/held.ts';
import { type ReportRows, type RuleRow, readReport } from '../store/report.ts';
import { inMarkdown, oneLine } from './plain.ts';
import { withStore } from './store.ts';

type Options = {
  environment: Environment;
  from: string | null;
  to: string | null;
  format: 'text' | 'md' | 'json';
  /** Epoch ms. */
  now: number;
  out: (text: string) => void;
  err: (text: string) => void;
};

/** One step of the funnel: how much is left of what came into it, and what it may have cost. */
type Step = { step: string; from: number; to: number; reduction: number | null; loss: Record<string, number> };

export type Report = ReturnType<typeof reportOf>;

const WEEK_MS = 7 * 86_400_000;
const SHOWN = 10;
/** Incidents that text lists; Markdown and JSON list them all, up to so many. */
const LISTED = 20;
const MOST_LISTED = 1_000;
/** Fewer pages than this may have been left alone by chance. */
const FEW_PAGES = 3;

/**
 * `tocsin report [--from T] [--to T]`: what came in, what became of it step by step with the loss of each, the rules that make
 * the work, and what shadow mode would have held back. Exit code 2 when the period cannot be read.
 */
export async function runReport(options: Options): Promise<number> {
  const period = periodOf(options);
  if (typeof period === 'string') {
    options.err(`${period}\n`);
    return 2;
  }
  return withStore(options.environment, (pool) => report(pool, period, options));
}

/** As `runReport`, on a store that is open already. */
export async function report(
  pool: pg.Pool,
  { from, to }: { from: number; to: number },
  { format, out }: Pick<Options, 'format' | 'out'>,
): Promise<number> {
  const counted = reportOf(await readReport(pool, from, to), from, to);
  out(format === 'json' ? `${JSON.stringify(counted, null, 2)}\n` : inWords(counted, format));
  return 0;
}

/** `from` and `to` in epoch ms (the last seven days when nothing is said), or what is wrong with them. */
export function periodOf(options: Pick<Options, 'from' | 'to' | 'now'>): { from: number; to: number } | string {
  const { now } = options;
  const to = options.to === null ? now : instantOf(options.to, now);
  if (to === null) return unreadable('--to', options.to!);
  const from = options.from === null ? to - WEEK_MS : instantOf(options.from, now);
  if (from === null) return unreadable('--from', options.from!);
  return from < to ? { from, to } : '--from is not before --to.';
}

const unreadable = (option: string, text: string): string =>
  `${option} ${text} is not a time; write a day (2026-11-01), a time (2026-11-01T08:00:00Z) or how long ago (7d).`;

function instantOf(text: string, now: number): number | null {
  const ago = parseDuration(text);
  if (ago !== null) return now - ago;
  const at = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  return Number.isNaN(at) ? null : at;
}

const share = (part: number, whole: number): number | null =>
  whole === 0 ? null : Math.round((part / whole) * 1_000) / 1_000;

function reportOf(rows: ReportRows, from: number, to: number) {
  const { alerts, incidents, feedback } = rows;
  const said = (kind: string) => feedback[kind] ?? 0;
  const step = (name: string, into: number, out: number, loss: Record<string, number>): Step => ({
    step: name,
    from: into,
    to: out,
    reduction: into === 0 ? null : Math.round((1 - out / into) * 1_000) / 1_000,
    loss,
  });
  const days = (to - from) / 86_400_000;
  const perRule = rows.rules.map((rule) => ({
    ...rule,
    changesPerDay: Math.round(((rule.firings * 2) / days) * 10) / 10,
    actedOnShare: share(rule.actedOn, rule.incidents),
    selfResolvedShare: share(rule.endedAlone, rule.ended),
  }));
  return {
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    deliveriesSince: rows.deliveriesSince === null ? null : new Date(rows.deliveriesSince).toISOString(),
    counts: { deliveries: rows.deliveries, ...alerts, incidents: incidents.incidents, pages: incidents.pages },
    ratios: [
      step('deliveries to unique alerts', rows.deliveries, alerts.alerts, { quarantined: rows.quarantined }),
      step('unique alerts to incidents', alerts.alerts, incidents.incidents, {
        splitByHand: incidents.splitByHand,
        mergedByHand: incidents.mergedByHand,
        saidNotRelated: said('not-related'),
        saidRelated: said('related'),
      }),
      step('incidents to paged incidents', incidents.incidents, incidents.paged, {
        heldBack: incidents.heldBack,
        heldBackButReal: incidents.heldBackButReal,
        saidShouldHavePaged: said('should-have-paged'),
        undelivered: incidents.undelivered,
      }),
      step('paged incidents to acted on', incidents.paged, incidents.pagedAndActedOn, {
        neverActedOn: incidents.paged - incidents.pagedAndActedOn,
        endedByThemselves: incidents.pagedAndEndedAlone,
        saidNoise: said('noise'),
      }),
    ],
    noisiest: perRule.slice(0, SHOWN),
    neverActedOn: perRule
      .filter((rule) => rule.paged >= FEW_PAGES && rule.actedOn === 0)
      .sort((a, b) => b.paged - a.paged)
      .slice(0, SHOWN),
    flapping: perRule
      .filter((rule) => rule.flappingHours > 0)
      .sort((a, b) => b.flappingHours - a.flappingHours || b.worstHour - a.worstHour)
      .slice(0, SHOWN),
    teams: rows.teams,
    shadow: accountOf(
      rows.held.filter((one) => !one.held),
      to,
      { incidents: incidents.paged, pages: incidents.pages },
    ),
    heldBack: accountOf(
      rows.held.filter((one) => one.held),
      to,
    ),
  };
}

/**
 * What policy held back, or would have, with what speaks against it, the most doubtful first. `told`: what was sent in all,
 * of which these would not have been.
 */
function accountOf(held: HeldIncident[], to: number, told: { incidents: number; pages: number } | null = null) {
  const doubtful = held
    .map((one) => ({ ...one, doubt: doubtOf(one, to) }))
    .sort((a, b) => b.doubt.points - a.doubt.points || b.number - a.number);
  const policies = [...Map.groupBy(held, (one) => one.policy)].map(([policy, of]) => ({
    policy,
    incidents: of.length,
    actedOn: of.filter((one) => one.actedOn).length,
  }));
  const pages = held.reduce((sum, one) => sum + one.pages, 0);
  return {
    incidents: held.length,
    pages,
    actedOn: held.filter((one) => one.actedOn).length,
    saidShouldHavePaged: held.filter((one) => one.said.shouldHavePaged > 0).length,
    /** They outlasted the hold, got worse or reached more. */
    letThroughLater: held.filter((one) => one.released).length,
    wouldHavePaged: told && Math.max(0, told.incidents - held.length),
    pagesInstead: told && { would: Math.max(0, told.pages - pages), were: told.pages },
    policies: policies.sort((a, b) => b.incidents - a.incidents || (a.policy < b.policy ? -1 : 1)),
    examples: doubtful.slice(0, MOST_LISTED).map((one) => ({
      id: one.id,
      number: one.number,
      title: one.title,
      team: one.team,
      rule: one.rule,
      severity: one.severity,
      startedAt: new Date(one.startedAt).toISOString(),
      endedAt: one.endedAt === null ? null : new Date(one.endedAt).toISOString(),
      endedBy: one.endedBy,
      actedOn: one.actedOn,
      said: one.said,
      policy: one.policy,
      because: one.because,
      doubt: one.doubt,
      /** What to send to say that it should have paged. */
      feedback: {
        method: 'POST',
        path: `/api/v1/incidents/${one.number}/feedback`,
        body: { by: 'YOU', kind: 'should-have-paged' },
      },
    })),
  };
}

const lossWords: Record<string, string> = {
  quarantined: 'could not be read (quarantine)',
  splitByHand: 'wrongly together: split by hand',
  mergedByHand: 'wrongly apart: merged by hand',
  saidNotRelated: 'called not related',
  saidRelated: 'called related',
  heldBack: 'held back',
  heldBackButReal: 'held back though somebody acted on it or called it real',
  saidShouldHavePaged: 'called "should have paged"',
  undelivered: 'messages that no channel took',
  neverActedOn: 'never acted on',
  endedByThemselves: 'ended by themselves',
  saidNoise: 'called noise',
};

function inWords(all: Report, format: 'text' | 'md'): string {
  const table = (header: string[], rows: (string | number)[][]): string[] => asTable(header, rows, format);
  const head = (text: string): string[] => (format === 'md' ? ['', `## ${text}`, ''] : ['', text]);
  const { counts, shadow } = all;
  const lines = [
    `${format === 'md' ? '# ' : ''}${all.from.slice(0, 16)}Z to ${all.to.slice(0, 16)}Z`,
    ...(format === 'md' ? [''] : []),
    `${counts.deliveries} deliveries brought ${counts.changes} state changes of ${counts.alerts} alerts; they became ${counts.incidents} incidents and ${counts.pages} calls to somebody.`,
  ];
  if (all.deliveriesSince !== null && all.deliveriesSince > all.from)
    lines.push(`Deliveries are kept since ${all.deliveriesSince.slice(0, 16)}Z only: older ones are not counted.`);
  lines.push(
    ...head('Step by step'),
    ...table(
      ['step', 'from', 'to', 'fewer', 'loss'],
      all.ratios.map((one) => [one.step, one.from, one.to, percent(one.reduction), lossText(one.loss)]),
    ),
  );
  const ruleTable = (rules: Report['noisiest']): string[] =>
    table(
      ['rule', 'firings', 'alerts', 'incidents', 'paged', 'acted on', 'by themselves', 'changes/day', 'median'],
      rules.map((rule) => [
        rule.rule,
        rule.firings,
        rule.alerts,
        rule.incidents,
        rule.paged,
        percent(rule.actedOnShare),
        percent(rule.selfResolvedShare),
        rule.changesPerDay,
        seconds(rule.medianSeconds),
      ]),
    );
  const section = (title: string, rules: Report['noisiest'], render: (of: typeof rules) => string[]) => {
    if (rules.length > 0) lines.push(...head(title), ...render(rules));
  };
  section('Noisiest rules', all.noisiest, ruleTable);
  section(`Paged at least ${FEW_PAGES} times and never acted on`, all.neverActedOn, ruleTable);
  section('Flapping (one alert changed state more than 4 times in an hour)', all.flapping, (rules) =>
    table(
      ['rule', 'flapping hours', 'worst hour', 'by themselves', 'median firing'],
      rules.map((rule) => [
        rule.rule,
        rule.flappingHours,
        `${rule.worstHour} changes`,
        percent(rule.selfResolvedShare),
        seconds(rule.medianSeconds),
      ]),
    ),
  );
  if (all.teams.length > 0)
    lines.push(
      ...head('Teams'),
      ...table(
        ['team', 'incidents', 'paged', 'calls', 'acted on'],
        all.teams.map((team) => [team.team, team.incidents, team.paged, team.pages, team.actedOn]),
      ),
    );
  lines.push(...head('What shadow mode would have held back'));
  if (shadow.incidents === 0) lines.push('Nothing: no policy would have held back an incident that was sent.');
  else {
    const { would = 0, were = 0 } = shadow.pagesInstead ?? {};
    lines.push(
      `${would} calls instead of ${were}; ${shadow.wouldHavePaged} incidents would have paged instead of ${(shadow.wouldHavePaged ?? 0) + shadow.incidents}. Somebody acted on ${shadow.actedOn} of the ${shadow.incidents} that would not have. Here they are, the most doubtful first:`,
      ...account(shadow, format, table),
    );
  }
  if (all.heldBack.incidents > 0) {
    const { incidents, actedOn, saidShouldHavePaged, letThroughLater } = all.heldBack;
    lines.push(
      ...head('What was held back'),
      `${incidents} incidents were held back at first, ${letThroughLater} of them let through later. Somebody acted on ${actedOn} of them all the same, and people said of ${saidShouldHavePaged} that they should have paged. The most doubtful first:`,
      ...account(all.heldBack, format, table),
    );
  }
  return `${lines.join('\n')}\n`;
}

function account(
  of: Report['shadow'],
  format: 'text' | 'md',
  table: (header: string[], rows: (string | number)[][]) => string[],
): string[] {
  const shown = of.examples.slice(0, format === 'md' ? MOST_LISTED : LISTED);
  const rest = of.incidents - shown.length;
  return [
    '',
    ...table(
      ['policy', 'incidents', 'acted on'],
      of.policies.map((one) => [one.policy, one.incidents, one.actedOn]),
    ),
    '',
    ...table(
      [
        'incident',
        'doubt',
        'severity',
        'began',
        'policy',
        'title',
        'speaks against it',
        'should it have paged? say so',
      ],
      shown.map((one) => [
        `#${one.number}`,
        one.doubt.points,
        one.severity,
        `${one.startedAt.slice(0, 16)}Z`,
        one.policy,
        one.title,
        one.doubt.why.join(', ') || 'nothing',
        `POST ${one.feedback.path}`,
      ]),
    ),
    ...(rest > 0 ? ['', `…and ${rest} more: --md and --json list up to ${MOST_LISTED}.`] : []),
    '',
    `To say so: curl -X POST -H 'Content-Type: application/json' -d '{"by":"YOU","kind":"should-have-paged"}' http://127.0.0.1:8080/api/v1/incidents/NUMBER/feedback (what was said becomes a proposal: tocsin propose).`,
  ];
}

const percent = (value: number | null): string => (value === null ? '–' : `${Math.round(value * 1_000) / 10} %`);
const seconds = (value: RuleRow['medianSeconds']): string =>
  value === null
    ? '–'
    : value < 120
      ? `${value} s`
      : value < 7_200
        ? `${Math.round(value / 60)} min`
        : `${Math.round(value / 3_600)} h`;
const lossText = (loss: Record<string, number>): string =>
  Object.entries(loss)
    .filter(([, n]) => n > 0)
    .map(([name, n]) => `${n} ${lossWords[name]}`)
    .join('; ') || 'none known';

/** Rows in columns; in Markdown a cell may hold no bar and no line break, and a rule's name is whatever a sender wrote. */
function asTable(header: string[], rows: (string | number)[][], format: 'text' | 'md'): string[] {
  const cells = [
    header,
    ...rows.map((row) => row.map((cell) => (format === 'md' ? inMarkdown : oneLine)(String(cell), 120))),
  ];
  if (format === 'md') {
    const line = (row: string[]) => `| ${row.join(' | ')} |`;
    return [line(cells[0]!), line(header.map(() => '---')), ...cells.slice(1).map(line)];
  }
  const widths = header.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)));
  return cells.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!)))
      .join('  ')
      .replace(/^/, '  '),
  );
}
