import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type pg from 'pg';
import { readEnvironment } from '../../config/env.ts';
import { formatFaults } from '../../config/fault.ts';
import { loadConfig } from '../../config/load.ts';
import { modelsDir, modelsDirOf, modelsOf } from '../../config/models.ts';
import { type Config, parseDuration } from '../../config/schema.ts';
import { rfc } from '../../domain/time.ts';
import type { Topology } from '../../domain/topology.ts';
import { topologyOf } from '../../enrich/topology/edges.ts';
import { declaredTopology } from '../../rules.ts';
import type { CauseAlert } from '../../score/causes.ts';
import { type JudgedRanking, judgedRankings } from '../../score/scorecard.ts';
import { startEmbedded } from '../../store/embedded.ts';
import { readLabels, type StoredLabel } from '../../store/labels.ts';
import { openPool } from '../../store/pool.ts';
import { readLearnedEdges } from '../../store/topology.ts';
import {
  episodesOfIncidents,
  episodesSeen,
  type PastEpisode,
  readEpisodes,
  readLinks,
  readPastDeploys,
  type SaidOfPair,
} from '../../store/training.ts';
import { createLog } from '../../telemetry/log.ts';
import { buildGraph } from '../graph.ts';
import type { Refit } from './refit.ts';
import { refitCalibration } from './refit-calibration.ts';
import { episodeId, type JudgedPair, type Past, refitCorrelation } from './refit-correlation.ts';
import { type NamedCause, refitWeights } from './refit-weights.ts';

export type FromStoreOptions = {
  /** A duration before `until`, and a moment; null: 90 days, now. */
  since: string | null;
  until: string | null;
  /** Where to write; null: only say what would change. */
  out: string | null;
  config: string | null;
  print(text: string): void;
  fail(text: string): void;
  /** Told how many models have been tried so far. */
  progress?: (tried: number) => void;
};

const HOUR = 3_600_000;
/** What came so long before and after two judged alerts is correlated with them. */
const AROUND = { before: 2 * HOUR, after: HOUR };
/** More firings than this are not tried some thirty times: the newest stretches are taken. */
const MOST_EPISODES = 60_000;
/** A merge or split counts as at most so many single judgements, however many pairs it settles. */
const DEED_WEIGHT = 3;

/**
 * `npm run train -- --from-store [--since 90d] [--until T] [--config DIR] [--out DIR]`: refits what people's labels can move,
 * with the models in use as prior, and says what would change and what it scores on incidents that were left out. Writes only
 * into --out, never over the models in use. The same store, period and models give the same bytes.
 *
 * Exit codes: 0 something was refitted, 1 too few labels or nothing better found, 2 wrong usage.
 */
export async function trainFromStore(options: FromStoreOptions): Promise<number> {
  const environment = readEnvironment();
  const loaded = loadConfig(options.config ?? environment.configDir, environment.all, { assumeSecrets: true });
  if (!loaded.ok) {
    options.fail(`${formatFaults(loaded.faults)}\n`);
    return 2;
  }
  const now = Date.now();
  const until = options.until === null ? now : Date.parse(options.until);
  const since = until - (parseDuration(options.since ?? '90d') ?? Number.NaN);
  if (Number.isNaN(since)) {
    options.fail('--since is a length of time such as 90d, --until a time such as 2026-11-20T00:00:00Z.\n');
    return 2;
  }
  const out = options.out === null ? null : resolve(options.out);
  if (out !== null && [modelsDir, modelsDirOf(loaded.config)].map((dir) => resolve(dir)).includes(out)) {
    options.fail(
      `${out} holds the models in use: write elsewhere, look at the cards, then name it as correlate.models.\n`,
    );
    return 2;
  }
  const log = createLog({ level: 'warn' });
  const embedded = environment.databaseUrl === null ? await startEmbedded({ dataDir: environment.dataDir, log }) : null;
  const pool = openPool(environment.databaseUrl ?? embedded!.url, { max: 2, name: 'tocsin train' });
  try {
    return await trainOn(pool, loaded.config, { since, until, out }, options);
  } finally {
    await pool.end();
    await embedded?.stop();
  }
}

/** As `trainFromStore`, on a store that is open already. */
export async function trainOn(
  pool: pg.Pool,
  config: Config,
  { since, until, out }: { since: number; until: number; out: string | null },
  { print, fail, progress }: Pick<FromStoreOptions, 'print' | 'fail' | 'progress'>,
): Promise<number> {
  const models = modelsOf(config);
  const labels = await readLabels(pool, since, until);
  const past = await readPast(pool, config, labels, since, until);
  const judged = judgedRankings(labels);
  const weights = refitWeights(await namedCauses(pool, judged, past), models.causes);
  const calibration = refitCalibration(judged, models.causes);
  const correlation = refitCorrelation(past, models, progress);
  // New weights bring their own calibration; what was shown before says nothing of them.
  const refits = { causes: weights.status === 'refitted' ? weights : calibration, correlation };
  const period = `${rfc(since)} to ${rfc(until)}`;
  const said = [
    `From the store, ${period}: ${labels.length} labels.`,
    ...[weights, calibration, correlation].map(inWords),
  ];
  print(`${said.join('\n\n')}\n`);
  const refitted = Object.values(refits).filter(({ status }) => status === 'refitted');
  if (refitted.length === 0) {
    const few = [weights, calibration, correlation].every(({ status }) => status === 'too-few');
    fail(
      few
        ? 'Too few labels to learn from: say what was right and wrong with the buttons in Slack or POST /api/v1/incidents/{id}/feedback, and train again. Nothing was written.\n'
        : 'Nothing does better than the models in use on incidents that were left out. Nothing was written.\n',
    );
    return 1;
  }
  if (out === null) {
    print('\nNothing was written: give --out DIR to have the models and their cards.\n');
    return 0;
  }
  mkdirSync(out, { recursive: true });
  // What was not refitted goes along as it is, so that the folder is whole.
  for (const name of ['correlation', 'causes', 'actionability'])
    for (const ending of ['json', 'card.md'])
      cpSync(join(modelsDir, `${name}.${ending}`), join(out, `${name}.${ending}`));
  const inUse = { ...models };
  for (const [name, refit] of Object.entries(refits)) Object.assign(inUse, { [name]: refit.model });
  for (const [name, model] of Object.entries(inUse))
    writeFileSync(join(out, `${name}.json`), `${JSON.stringify(model, null, 2)}\n`);
  for (const [name, refit] of Object.entries(refits))
    if (refit.status === 'refitted')
      writeFileSync(
        join(out, `${name}.card.md`),
        cardOf(name, refit, models[name as 'causes' | 'correlation'].version, period),
      );
  print(`\nWritten to ${out}. To use it: correlate: { models: "${out}" } in tocsin.yaml, and a restart.\n`);
  return 0;
}

/** The incidents whose cause people named, ready to be ranked anew from their alerts and the graph. */
async function namedCauses(pool: pg.Pool, judged: readonly JudgedRanking[], past: Past): Promise<NamedCause[]> {
  const named = judged.filter(({ right, ranking }) => right.size > 0 && !ranking.withMetrics);
  const episodes = await episodesOfIncidents(
    pool,
    named.map(({ incidentId }) => incidentId),
  );
  const graph = buildGraph(past.topology);
  return named.flatMap(({ incidentId, right }) => {
    const alerts = episodes.get(incidentId)!.map(causeAlertOf);
    if (alerts.length === 0) return [];
    const startedAt = Math.min(...alerts.map((one) => one.startsAt));
    const deploys = past.deploys.filter((d) => d.startedAt >= startedAt - 24 * HOUR && d.startedAt <= startedAt + HOUR);
    const input = { alerts, graph, deploys, serviceMetrics: [], startedAt, now: startedAt };
    return [{ incident: incidentId, input, right }];
  });
}

const causeAlertOf = (past: PastEpisode): CauseAlert => ({
  ...past,
  key: episodeId(past.alert, past.startsAt),
  startsAt: Math.min(past.startsAt, past.receivedAt),
  at: past.receivedAt,
  status: past.endsAt === null ? 'firing' : 'resolved',
});

/** The stretches of the past around what people judged, and what they judged, ready to be correlated anew. */
async function readPast(
  pool: pg.Pool,
  config: Config,
  labels: readonly StoredLabel[],
  since: number,
  until: number,
): Promise<Past> {
  const { said, judgements } = saidOfPairs(labels, await readLinks(pool, since, until));
  const seen = await episodesSeen(
    pool,
    said.flatMap(({ a, b, at }) => [
      { alert: a, at },
      { alert: b, at },
    ]),
  );
  const byAlert = new Map(seen.map((one) => [`${one.alert} ${one.at}`, one]));
  const pairs: JudgedPair[] = [];
  const stretches: [number, number][] = [];
  for (const { a, b, at, together, weight, incidentId } of said) {
    const [one, other] = [byAlert.get(`${a} ${at}`), byAlert.get(`${b} ${at}`)];
    if (!one || !other) continue;
    const [first, last] = [Math.min(one.receivedAt, other.receivedAt), Math.max(one.receivedAt, other.receivedAt)];
    // Alerts of different days were judged; how they would be placed says nothing of how two of one storm are.
    if (last - first > 12 * HOUR) continue;
    pairs.push({
      a: episodeId(a, one.startsAt),
      b: episodeId(b, other.startsAt),
      together,
      weight,
      incident: incidentId,
    });
    stretches.push([first - AROUND.before, last + AROUND.after]);
  }
  const episodes: Past['stretches'] = [];
  let total = 0;
  for (const [from, to] of merged(stretches).reverse()) {
    if (total >= MOST_EPISODES) break;
    const stretch = await readEpisodes(pool, from, to);
    total += stretch.length;
    episodes.unshift(stretch);
  }
  const inside = new Set(episodes.flat().map((one) => episodeId(one.alert, one.startsAt)));
  const declared = declaredTopology(config);
  const learned: Topology = topologyOf(await readLearnedEdges(pool));
  const { window, reopen } = config.tocsin.correlate;
  return {
    stretches: episodes,
    deploys: await readPastDeploys(pool, since - HOUR, until),
    topology: { nodes: [...declared.nodes, ...learned.nodes], edges: [...declared.edges, ...learned.edges] },
    pairs: pairs.filter(({ a, b }) => inside.has(a) && inside.has(b)),
    judgements,
    windowMs: window,
    reopenMs: reopen,
  };
}

type SaidPair = { a: string; b: string; at: number; together: boolean; weight: number; incidentId: string };

/** Judged pairs, one each by the latest word, and the pairs of each merge and split, which share a deed's weight. */
export function saidOfPairs(
  labels: readonly StoredLabel[],
  links: readonly SaidOfPair[],
): { said: SaidPair[]; judgements: number } {
  const said = new Map<string, SaidPair>();
  const deeds = Map.groupBy(links, ({ by, at, incidentId, kind }) => `${by}\n${at}\n${incidentId}\n${kind}`);
  let judgements = 0;
  for (const deed of deeds.values()) {
    judgements += 1;
    const weight = Math.min(1, DEED_WEIGHT / deed.length);
    for (const { a, b, at, kind, incidentId } of deed)
      said.set(pairKey(incidentId, a, b), { a, b, at, together: kind === 'must', weight, incidentId });
  }
  for (const { kind, alert, other, at, incidentId } of labels) {
    if (alert === null || other === null || (kind !== 'related' && kind !== 'not-related')) continue;
    const key = pairKey(incidentId, alert, other);
    const known = said.get(key);
    // Said of open alerts it made a link in the same deed, which is counted already.
    if (!known || known.at !== at) judgements += 1;
    if (!known || known.at <= at)
      said.set(key, { a: alert, b: other, at, together: kind === 'related', weight: 1, incidentId });
  }
  return { said: [...said.values()].sort((x, y) => x.at - y.at || (x.a < y.a ? -1 : 1)), judgements };
}

const pairKey = (incidentId: string, a: string, b: string): string => [incidentId, ...[a, b].sort()].join('\n');

/** Overlapping stretches of time become one. */
function merged(stretches: [number, number][]): [number, number][] {
  const result: [number, number][] = [];
  for (const [from, to] of stretches.sort((x, y) => x[0] - y[0])) {
    const last = result.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else result.push([from, to]);
  }
  return result;
}

const f3 = (x: number): string => x.toFixed(3);

function inWords(refit: Refit<unknown>): string {
  const { what, status, judged, incidents, needed, scores, changes } = refit;
  const have = `${judged} judgements of ${incidents} incidents`;
  if (status === 'too-few')
    return `${what}: ${have}, where ${needed.judged} of ${needed.incidents} are needed. It stays as it is.`;
  const lines = scores.map(({ name, before, after }) => `  ${name}: ${f3(before)} as it is, ${f3(after)} refitted`);
  const end =
    status === 'refitted'
      ? changes.map((change) => `  would change ${change}`)
      : ['  No better on incidents that were left out: it stays as it is.'];
  return [`${what}: ${have}.`, ...lines, ...end].join('\n');
}

function cardOf(name: string, refit: Refit<{ version: string }>, base: string, period: string): string {
  const rows = refit.scores.map(
    ({ name: score, before, after, better }) => `| ${score} | ${f3(before)} | ${f3(after)} | ${better} |`,
  );
  return `# ${name}.json, version ${refit.model.version}

**What it is.** The model of version ${base}, refitted from one store's own history and feedback.

**Data.** ${refit.judged} judgements of ${refit.incidents} incidents by people who worked with them, ${period}. People judge what
catches their eye: these incidents may be worse, or clearer, than the rest. No name, label or time of an alert is in the model.

**Method.** ${
    name === 'causes'
      ? 'Weights of the signals (conditional logit, `refit-weights.ts`) or, where too few causes were named for that, the meaning of a probability (`refit-calibration.ts`) were refitted with the model in use as prior.'
      : 'Parameters near those in use were tried on the stretches of the past around what was judged; all other incidents as they are count as 30 judgements (`refit-correlation.ts`).'
  } "Refitted" is the score on incidents that were left out of the fit (5 folds by incident). \`npm run train -- --from-store\` makes
this file and the model again, byte for byte, from the same store and period.

**What changed**

${refit.changes.map((change) => `- ${change}`).join('\n')}

**Score**

| | as it was | refitted | better |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}
