import type { Pool } from 'pg';
import { z } from 'zod';
import { labelKinds } from '../domain/label.ts';
import { rfc } from '../domain/time.ts';
import { scorecard } from '../score/scorecard.ts';
import { readDeeds, readLabels } from '../store/labels.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { badRequest } from './parse.ts';
import { ok } from './problem.ts';
import { bad, type Endpoint, endpoint } from './route.ts';

/** How far back the scorecard looks when nothing is said, and for its metrics, ms. */
export const SCORECARD_MS = 90 * 86_400_000;
/** People's word changes slowly, and counting 90 days of alerts takes a second in a large store: not with every scrape. */
const REFRESH_MS = 600_000;

const time = z.iso.datetime({ offset: true });
const unit = z.number().min(0).max(1);
const Share = z.object({
  n: z.int().describe('judgements it rests on'),
  count: z.int(),
  share: unit.nullable().describe('null below `minimum` judgements: nothing is claimed'),
  low: unit.nullable().describe('95 % interval (Wilson)'),
  high: unit.nullable(),
});

const ScorecardAnswer = z.object({
  since: time,
  until: time,
  minimum: z.int(),
  labels: z.object({ n: z.int(), people: z.int(), byKind: z.partialRecord(z.enum(labelKinds), z.int()) }),
  grouping: z.object({
    precision: Share.describe('of the alerts and pairs judged while in one incident, those that belonged together'),
    separation: Share.describe('of the pairs judged while apart, those that rightly were'),
    untouched: Share.describe('of the incidents of two or more alerts, those that nobody split or merged'),
    split: z.int(),
    merged: z.int(),
  }),
  causes: z.object({
    top1: Share,
    top3: Share,
    calibration: z.array(Share.extend({ from: unit, to: unit, meanProbability: unit.nullable() })),
    calibrationError: z.number().nullable().describe('expected calibration error of the first cause'),
  }),
  pages: z.object({ missed: z.int(), heldBack: z.int(), noise: Share }),
});

export const readScorecard = async (pool: Pool, since: number, until: number) => ({
  since: rfc(since),
  until: rfc(until),
  ...scorecard(await readLabels(pool, since, until), await readDeeds(pool, since, until)),
});

export const scorecardEndpoint: Endpoint = endpoint({
  method: 'get',
  path: '/api/v1/scorecard',
  tag: 'facts',
  summary: 'How good grouping, causes and pages were by the word of people, each with the judgements it rests on',
  role: 'viewer',
  query: z.strictObject({
    since: time.optional().describe('labels from this RFC 3339 time on; default 90 days before `until`'),
    until: time.optional().describe('labels before this time; default now'),
  }),
  answers: { 200: { description: 'The scorecard', schema: ScorecardAnswer }, ...bad },
  handle: async ({ deps, query }) => {
    const until = query.until === undefined ? deps.now() : Date.parse(query.until);
    const since = query.since === undefined ? until - SCORECARD_MS : Date.parse(query.since);
    if (since >= until) return badRequest('Parameter', [{ name: 'since', detail: 'must lie before `until`' }]);
    return ok(await readScorecard(deps.pool, since, until));
  },
});

/**
 * Keeps the scorecard's gauges up when called often; a share of too few judgements has no series. Never fails, and the first
 * scrapes do not wait for it: metrics go on without it.
 */
export function createScorecardGauge(
  pool: Pool,
  metrics: Pick<Metrics, 'scorecard' | 'scorecardJudged'>,
  now: () => number,
): () => Promise<void> {
  let readAt = Number.NEGATIVE_INFINITY;
  return async () => {
    const at = now();
    if (at - readAt < REFRESH_MS) return;
    readAt = at;
    const card = await readScorecard(pool, at - SCORECARD_MS, at).catch(() => null);
    if (!card) return;
    const { grouping, causes, pages } = card;
    const shares = {
      grouping_precision: grouping.precision,
      grouping_separation: grouping.separation,
      grouping_untouched: grouping.untouched,
      cause_top1: causes.top1,
      cause_top3: causes.top3,
      noise: pages.noise,
    };
    metrics.scorecard.reset();
    for (const [measure, { n, share }] of Object.entries(shares)) {
      metrics.scorecardJudged.set({ measure }, n);
      if (share !== null) metrics.scorecard.set({ measure }, share);
    }
    if (causes.calibrationError !== null)
      metrics.scorecard.set({ measure: 'calibration_error' }, causes.calibrationError);
    metrics.scorecardJudged.set({ measure: 'should_have_paged' }, pages.missed);
  };
}
