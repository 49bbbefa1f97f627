import type { Alert } from '../../domain/alert.ts';
import type { LeadMetrics } from '../../domain/metrics.ts';
import { type AlertRule, alertRulesOf, type MatrixSeries, type SeriesLabels, type VectorSeries } from './answers.ts';
import { instant, range, versionAtLeast } from './ask.ts';
import type { Client, Failure } from './client.ts';
import { narrowed, type Operator, type Plot, plotsOf } from './expression.ts';
import { expressionOf } from './servers.ts';
import { finite, plotSeries, trendOf, valueAt } from './trend.ts';
import { leadText } from './words.ts';

const MINUTE = 60_000;
/** Answers for one rule serve all of its alerts for so long. */
const FRESH_MS = 15_000;
/** A rule with more series than this is plotted for the alert's own series only. */
const SHARED_SERIES = 150;
const RULES_BYTES = 4 * 1024 * 1024;
/** A plot begins so long before the onset, covers one of these times, and has at most 240 points. */
const LEAD_IN_MS = 30 * MINUTE;
const SPANS_MS = [60 * MINUTE, 180 * MINUTE, 360 * MINUTE, 720 * MINUTE, 1440 * MINUTE];
const LEAST_STEP_MS = 15_000;
const POINTS = 240;
/** A series that began just now is plotted by the second: with fewer values than these a trend could not be said. */
const YOUNG_VALUES = 12;
const YOUNG = { spanMs: 4 * MINUTE, everyMs: 2_000 };
/** An instant query that took longer than this share of the timeout is not followed by the dearer range query. */
const SLOW_SHARE = 0.5;

/**
 * Judges a series; given by the anomaly detector. `at` in epoch ms; `extra`: others are judged first; `answer`: the object the
 * points were read from, so that the same answer asked about the same onset is judged once.
 */
export type JudgeSeries = (
  series: {
    expression: string;
    points: { at: number; value: number }[];
    onsetAt: number | null;
    extra?: boolean;
    answer?: object | undefined;
  },
  signal: AbortSignal,
) => Promise<LeadMetrics['anomaly']>;

export type LeadFacts = { metrics: LeadMetrics | null; raw: number | null; failure: Failure | null };

type How = { now: number; signal: AbortSignal };

/** Value, threshold, trend and onset of an alert's own series. `metrics` is null where nothing is known of its rule or series. */
export async function leadFacts(client: Client, alert: Alert, how: How, judge?: JudgeSeries): Promise<LeadFacts> {
  const rule = await findRule(client, alert, how);
  if (rule && 'ok' in rule) return { metrics: null, raw: null, failure: rule };
  const expression = rule?.query ?? expressionOf(alert.generatorUrl);
  if (!expression) return { metrics: null, raw: null, failure: null };
  let failure: Failure | null = null;
  for (const plot of plotsOf(expression).slice(0, 3)) {
    const current = await currentValue(client, plot, alert, rule, how);
    if (!current.ok) {
      failure ??= current;
      if (current.kind !== 'refused') break;
    } else if (current.own) {
      return describe(client, plot, { ...current, own: current.own }, alert, rule, how, judge);
    }
  }
  return { metrics: null, raw: null, failure };
}

/** The rule behind an alert, null when the server has none, a failure when it could not be asked. */
async function findRule(client: Client, alert: Alert, { now, signal }: How): Promise<AlertRule | Failure | null> {
  const params: [string, string][] = [['type', 'alert']];
  // 2.42 ignores rule_name[] and answers with every rule: it is not sent there, and the answer is filtered in any case.
  if (await versionAtLeast(client, [2, 44], now, signal)) params.push(['rule_name[]', alert.alertname]);
  if (await versionAtLeast(client, [2, 49], now, signal)) params.push(['exclude_alerts', 'true']);
  const answer = alertRulesOf(
    await client.ask(
      { path: '/api/v1/rules', params, now, maxAgeMs: MINUTE, weight: 'core', maxBytes: RULES_BYTES },
      signal,
    ),
  );
  if (!answer.ok) return answer.kind === 'unanswered' || answer.kind === 'limit' ? answer : null;
  const written = expressionOf(alert.generatorUrl);
  const fits = answer.value.filter(
    ({ name, labels }) =>
      name === alert.alertname &&
      Object.entries(labels).every(([key, value]) => value.includes('{{') || alert.labels[key] === value),
  );
  return fits.find(({ query }) => query === written) ?? fits[0] ?? null;
}

type Current = {
  ok: true;
  own: VectorSeries | null;
  threshold: number | null;
  beyond: number | null;
  total: number | null;
  at: number;
  tookMs: number;
};

/** The alert's own series now, and how it stands beside the others of its rule. */
async function currentValue(
  client: Client,
  plot: Plot,
  alert: Alert,
  rule: AlertRule | null,
  { now, signal }: How,
): Promise<Current | Failure> {
  const how = { now, signal, maxAgeMs: FRESH_MS, weight: 'core' as const, notBefore: Math.min(alert.startsAt, now) };
  const begun = performance.now();
  const all = await instant(client, plot.value, how);
  const tookMs = client.live ? performance.now() - begun : 0;
  if (all.ok) {
    const own = ownSeries(all.value, alert, rule, plot);
    const threshold = await thresholdOf(client, plot, alert, rule, how);
    const beyond = all.value.filter(({ sample }) => isBeyond(sample[1], plot.operator, threshold)).length;
    const counted = plot.threshold === null ? null : beyond;
    return { ok: true, own, threshold, beyond: counted, total: all.value.length, at: all.at, tookMs };
  }
  if (all.kind !== 'too-large') return all;
  // Tens of thousands of series: one of them shows the labels, and the alert's own is asked for by those.
  const shape = await instant(client, `topk(1, ${plot.value})`, { ...how, maxAgeMs: 10 * MINUTE });
  if (!shape.ok) return shape;
  const labels = keysOf(shape.value[0]?.metric ?? {}, alert, rule);
  if (Object.keys(labels).length === 0) return all;
  const one = await instant(client, narrowed(plot.value, labels), how);
  if (!one.ok) return one;
  const threshold = await thresholdOf(client, plot, alert, rule, how);
  return { ok: true, own: one.value[0] ?? null, threshold, beyond: null, total: null, at: one.at, tookMs };
}

/** The constant, or of two compared vectors the value of the other side for this alert. */
async function thresholdOf(
  client: Client,
  plot: Plot,
  alert: Alert,
  rule: AlertRule | null,
  how: Parameters<typeof instant>[2],
): Promise<number | null> {
  if (plot.other === null) return plot.threshold;
  const other = await instant(client, plot.other, how);
  return other.ok ? (ownSeries(other.value, alert, rule, plot)?.sample[1] ?? null) : null;
}

/** Labels that the alert has from its series: not those the rule sets itself. */
const keysOf = (metric: SeriesLabels, alert: Alert, rule: AlertRule | null): Record<string, string> =>
  Object.fromEntries(
    Object.keys(metric)
      .filter((key) => key !== '__name__' && alert.labels[key] !== undefined && !rule?.labels[key])
      .map((key) => [key, alert.labels[key]!]),
  );

/**
 * The series an alert came from: every label of it is one of the alert's, apart from those that the rule sets anew. The
 * alert has more (the rule's own, and external labels, which the API does not show). Relabelling may have taken some from
 * the alert: where no series fits wholly, the one that shares most and contradicts nothing, of equals the worst.
 */
function ownSeries(
  series: readonly VectorSeries[],
  alert: Alert,
  rule: AlertRule | null,
  plot: Pick<Plot, 'operator'>,
): VectorSeries | null {
  const lower = plot.operator === '<' || plot.operator === '<=';
  let best: { one: VectorSeries; rank: readonly [number, number, number] } | null = null;
  for (const one of series) {
    const names = Object.keys(one.metric).filter((name) => name !== '__name__' && rule?.labels[name] === undefined);
    const missing = names.filter((name) => alert.labels[name] === undefined).length;
    const shared = names.filter((name) => alert.labels[name] === one.metric[name]).length;
    if (shared + missing < names.length || (missing > 0 && shared === 0)) continue;
    const value = Number.isFinite(one.sample[1]) ? one.sample[1] : 0;
    const rank = [missing === 0 ? 1 : 0, shared, lower ? -value : value] as const;
    if (best === null || isAbove(rank, best.rank)) best = { one, rank };
  }
  return best?.one ?? null;
}

const isAbove = (a: readonly number[], b: readonly number[]): boolean => {
  const i = a.findIndex((value, k) => value !== b[k]);
  return i >= 0 && a[i]! > b[i]!;
};

const compare: Record<Operator, (value: number, threshold: number) => boolean> = {
  '>': (value, threshold) => value > threshold,
  '>=': (value, threshold) => value >= threshold,
  '<': (value, threshold) => value < threshold,
  '<=': (value, threshold) => value <= threshold,
  '==': (value, threshold) => value === threshold,
  '!=': (value, threshold) => value !== threshold,
};

const isBeyond = (value: number, operator: Operator | null, threshold: number | null): boolean =>
  operator === null || threshold === null ? true : compare[operator](value, threshold);

async function describe(
  client: Client,
  plot: Plot,
  current: Current & { own: VectorSeries },
  alert: Alert,
  rule: AlertRule | null,
  { now, signal }: How,
  judge: JudgeSeries | undefined,
): Promise<LeadFacts> {
  const onsetAt = rule ? alert.startsAt - rule.forMs : null;
  const { own, threshold, tookMs } = current;
  const raw = own.sample[1];
  let failure: Failure | null = null;
  let series: LeadMetrics['plot'] = null;
  let plottedFrom: object | undefined;
  if (tookMs > client.server.timeout * SLOW_SHARE) {
    const reason = `the plot was left out: its instant query took ${(tookMs / 1000).toFixed(1)} s`;
    failure = { ok: false, kind: 'limit', reason };
  } else {
    const shared = current.total !== null && current.total <= SHARED_SERIES;
    const query = shared ? plot.value : narrowed(plot.value, keysOf(own.metric, alert, rule));
    const begin = onsetAt ?? alert.startsAt;
    const span = SPANS_MS.find((ms) => begin - LEAD_IN_MS >= now - ms) ?? SPANS_MS.at(-1)!;
    const stepMs = Math.max(LEAST_STEP_MS, Math.ceil(span / POINTS / LEAST_STEP_MS) * LEAST_STEP_MS);
    for (const { spanMs, everyMs } of [{ spanMs: span, everyMs: stepMs }, YOUNG]) {
      const got = await range(
        client,
        query,
        { start: now - spanMs, end: now, stepMs: everyMs, key: `range ${spanMs} ${query}` },
        { now, signal, maxAgeMs: everyMs, weight: 'core', notBefore: Math.min(alert.startsAt, now) },
      );
      if (!got.ok) {
        failure = got;
        break;
      }
      const values = ownValues(got.value, own.metric);
      const plotted = plotSeries(values, everyMs / 1000);
      if (plotted && plotted.values.length > (series?.values.length ?? 0)) [series, plottedFrom] = [plotted, values];
      if (series === null || series.values.length >= YOUNG_VALUES) break;
    }
  }
  const value = finite(raw);
  const distance = value !== null && threshold !== null ? beyondBy(value, plot.operator, threshold) : null;
  const anomaly =
    series && judge
      ? await judge({ ...judgeable(series, plot, onsetAt), answer: plottedFrom }, signal).catch(() => null)
      : null;
  const told = {
    expression: plot.value,
    operator: plot.operator,
    threshold: threshold === null ? null : finite(threshold),
    trend: series ? trendOf(series, threshold) : null,
    seriesBeyond: current.beyond,
    seriesTotal: current.total,
    anomaly,
    targetsDown: [],
  };
  const { __name__: _, ...labels } = own.metric;
  const metrics: LeadMetrics = {
    server: client.name,
    ...told,
    labels,
    value,
    valueAt: new Date(current.at).toISOString(),
    onsetAt: onsetAt === null ? null : new Date(onsetAt).toISOString(),
    valueAtOnset: series && onsetAt !== null ? valueAt(series, onsetAt) : null,
    distance,
    distanceRatio: distance !== null && threshold ? finite(distance / Math.abs(threshold)) : null,
    plot: series,
    goldenSignals: [],
    text: leadText({ ...told, raw }),
  };
  return { metrics, raw, failure };
}

/** How far beyond the threshold: positive in the direction that fires. */
const beyondBy = (value: number, operator: Operator | null, threshold: number): number | null => {
  if (operator === null) return null;
  return finite(operator === '<' || operator === '<=' ? threshold - value : value - threshold);
};

const sameLabels = (a: SeriesLabels, b: SeriesLabels): boolean => {
  const names = Object.keys(a).filter((name) => name !== '__name__');
  const others = Object.keys(b).filter((name) => name !== '__name__');
  return names.length === others.length && names.every((name) => a[name] === b[name]);
};

const ownValues = (series: readonly MatrixSeries[], metric: SeriesLabels): MatrixSeries['values'] =>
  series.find((one) => sameLabels(one.metric, metric))?.values ?? [];

const judgeable = ({ start, step, values }: NonNullable<LeadMetrics['plot']>, plot: Plot, onsetAt: number | null) => ({
  expression: plot.value,
  points: values.flatMap((value, i) => (value === null ? [] : [{ at: (start + i * step) * 1000, value }])),
  onsetAt,
});
