import type { Environment } from '../config/env.ts';
import { modelsOf } from '../config/models.ts';
import { type Config, files } from '../config/schema.ts';
import { compilePolicy } from '../decide/policy.ts';
import { replay } from '../replay.ts';
import { type Difference, differenceOf, sideOf } from '../replay-diff.ts';
import { compileRules } from '../rules.ts';
import { type Proposal, propose } from '../score/propose.ts';
import { readEvidence } from '../store/evidence.ts';
import { type Past, type PastOptions, withPast, withProgress } from './past.ts';
import { periodOf } from './report.ts';
import { withStore } from './store.ts';

type Options = {
  environment: Environment;
  config: Config;
  from: string | null;
  to: string | null;
  /** Run the past with each proposal. */
  diff: boolean;
  json: boolean;
  /** Epoch ms. */
  now: number;
  out: (text: string) => void;
  err: (text: string) => void;
};

type Effect = Difference['counts'] & { missed: { title: string; startedAt: string }[] };
type Tried = Proposal & { effect: Effect | null };

/** Each one is a run of the whole past; the rest says so. */
const MOST_TRIED = 10;
const SHOWN = 5;
const DEFAULT_FROM = '30d';

/**
 * `tocsin propose`: what people said, as changes of the config ready to paste, each with what it rests on and what it would
 * have changed in the past. Nothing is changed by it. Exit code 2 when the period cannot be read.
 */
export async function runPropose(options: Options): Promise<number> {
  const { environment, config, now, err, out, json } = options;
  const asked = { from: options.from ?? DEFAULT_FROM, to: options.to };
  const period = periodOf({ ...asked, now });
  if (typeof period === 'string') {
    err(`${period}\n`);
    return 2;
  }
  const proposals = await withStore(environment, async (pool) =>
    propose(await readEvidence(pool, period.from, period.to), compilePolicy(config, { assumeSecrets: true })),
  );
  const tried = options.diff && proposals.length > 0 ? await tryAll(proposals, asked, options) : null;
  const shown = tried ?? proposals.map((one): Tried => ({ ...one, effect: null }));
  const from = new Date(period.from).toISOString();
  const to = new Date(period.to).toISOString();
  out(
    json
      ? `${JSON.stringify({ from, to, items: shown }, null, 2)}\n`
      : inWords(shown, { from, to, asked: asked.from, dir: config.dir }),
  );
  return 0;
}

/** Runs the past once as it is and once with each proposal; null when there is no past to run. */
async function tryAll(
  proposals: Proposal[],
  { from, to }: { from: string; to: string | null },
  { environment, config, now, err }: Options,
): Promise<Tried[] | null> {
  const past: PastOptions = { stream: null, from, to, alertsFrom: null, match: [], step: null, groupBy: null };
  let tried: Tried[] | null = null;
  await withPast(past, { environment: () => environment, config, now, err }, async (held) => {
    const before = await run(held, held.name, asActive(config), err);
    tried = [];
    for (const [i, one] of proposals.entries()) {
      const changed = i < MOST_TRIED ? asActive(withProposal(config, one)) : null;
      const after = changed && (await run(held, `with ${one.id}`, changed, err));
      tried.push({ ...one, effect: after && effectOf(differenceOf(sideOf(before), sideOf(after))) });
    }
    return 0;
  });
  return tried;
}

const run = (past: Past, what: string, config: Config, err: (text: string) => void) =>
  withProgress(what, past.total, err, (how) =>
    replay(past.lines(), {
      rules: compileRules(config, modelsOf(config), { topology: past.topology, assumeSecrets: true }),
      knownRules: past.knownRules,
      ...how,
    }),
  );

const effectOf = ({ counts, missed }: Difference): Effect => ({
  ...counts,
  missed: missed.slice(0, SHOWN).map(({ title, startedAt }) => ({ title, startedAt })),
});

/** What a policy does is only seen in mode active: in shadow it changes nothing that is sent. */
const asActive = (config: Config): Config => ({
  ...config,
  tocsin: { ...config.tocsin, suppress: { ...config.tocsin.suppress, mode: 'active', overrides: [] } },
});

/** The tree as it would be with the entry pasted where the proposal says. */
export function withProposal(config: Config, proposal: Proposal): Config {
  const { suppression, routing } = config;
  switch (proposal.kind) {
    case 'noise': {
      const parsed = files['suppression.yaml'].parse({ noise: [proposal.entry] });
      return { ...config, suppression: { ...suppression, noise: [...suppression.noise, ...parsed.noise] } };
    }
    case 'floor':
      return { ...config, suppression: { ...suppression, floors: [...suppression.floors, proposal.entry] } };
    case 'route': {
      const parsed = files['routing.yaml'].parse({ routes: { routes: [proposal.entry] } });
      const routes = { ...routing.routes, routes: [...parsed.routes.routes, ...routing.routes.routes] };
      return { ...config, routing: { ...routing, routes } };
    }
  }
}

function inWords(
  proposals: Tried[],
  { from, to, asked, dir }: { from: string; to: string; asked: string; dir: string },
): string {
  const period = `${from.slice(0, 16)}Z to ${to.slice(0, 16)}Z`;
  if (proposals.length === 0)
    return `Nothing to propose from ${period}: what people said is too little, or they disagree, or the config does it already.\n`;
  const lines = [
    `What people said from ${period} speaks for ${proposals.length === 1 ? 'one change' : `${proposals.length} changes`}. Nothing is changed by itself.`,
  ];
  for (const [i, one] of proposals.entries()) {
    lines.push(
      '',
      `${i + 1}. ${one.title}`,
      `   Because: ${one.why} (incidents ${one.evidence.numbers.map((n) => `#${n}`).join(', ')}).`,
    );
    lines.push(`   ${one.file}, ${one.where}:`, '', `   ${one.yaml}`, '', `   ${effectInWords(one.effect)}`);
  }
  lines.push(
    '',
    'To apply one: copy the config folder, paste the lines, then',
    '  tocsin check --config COPY',
    `  tocsin diff --from ${asked} --config ${dir} --config COPY`,
    'and put the copy into force as you do with any change (a reload picks it up; the audit trail records it).',
    '',
  );
  return lines.join('\n');
}

function effectInWords(effect: Effect | null): string {
  if (!effect) return 'What it would have changed was not run: see tocsin diff below.';
  const missed = effect.missed.map((one) => `${one.title} of ${one.startedAt}`).join('; ');
  return [
    `In mode active over that time: ${effect.pages_after} calls instead of ${effect.pages_before}`,
    `${effect.missed_pages} incidents that would not have paged any more${missed ? ` (${missed})` : ''}`,
    `${effect.added_pages} that would have paged in addition`,
    `${effect.receivers_changed} told to others.`,
  ].join(', ');
}
