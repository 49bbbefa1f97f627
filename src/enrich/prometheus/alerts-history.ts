import { parse } from 'yaml';
import { z } from 'zod';
import type { StreamLine } from '../../domain/stream.ts';
import { fingerprint } from '../../receive/fingerprint.ts';
import type { Client, Failure } from './client.ts';

/**
 * What fired in the past, rebuilt from Prometheus' own `ALERTS` series, so that a shop can try Tocsin on its history before it
 * is connected: https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/#inspecting-alerts-during-runtime
 */
export type HistoryRequest = {
  /** Epoch ms. */
  from: number;
  to: number;
  /** Resolution, ms: an alert is seen to fire or end this much late at most. */
  step: number;
  /** Further matchers in Prometheus' syntax, such as `severity="critical"`. */
  match: readonly string[];
  /** Labels that make an Alertmanager group. */
  groupBy: readonly string[];
  progress?: (share: number) => void;
};

export type History =
  | {
      ok: true;
      lines: StreamLine[];
      /** Rules that fired in the week before: their next firing is no first. */
      knownRules: string[];
      notes: string[];
    }
  | { ok: false; reason: string };

/** A label set and the times at which it fired: first and last sample of each run, epoch ms. */
export type Fired = { labels: Record<string, string>; runs: { first: number; last: number }[] };

/** Prometheus refuses more points a series (`exceeded maximum resolution of 11,000 points per timeseries`). */
const MOST_POINTS = 11_000;
/** One chunk of a busy server: 12 h of 60 s steps are 720 points a series, 5 MB for 300 alerts that fire all the time. */
const CHUNK_MS = 12 * 3_600_000;
const FEWEST_POINTS = 10;
const AT_ONCE = 4;
const MOST_BYTES = 64 * 1024 * 1024;
/** Alertmanager's default `repeat_interval`: what fires on is told again, or it would be taken for stale. */
const REPEAT_MS = 4 * 3_600_000;

const Matrix = z.object({
  resultType: z.literal('matrix'),
  result: z.array(
    z.object({ metric: z.record(z.string(), z.string()), values: z.array(z.tuple([z.number(), z.string()])) }),
  ),
});

/** Asks for everything that fired and makes webhooks of it, as Alertmanager would have sent them without waits of its own. */
export async function readAlertsHistory(client: Client, request: HistoryRequest): Promise<History> {
  const step = request.step;
  const from = Math.ceil(request.from / step) * step;
  const to = Math.floor(request.to / step) * step;
  const selector = `ALERTS{${['alertstate="firing"', ...request.match].join(',')}}`;
  const chunks: { from: number; to: number }[] = [];
  const span = Math.max(step, Math.floor(Math.min(CHUNK_MS, (MOST_POINTS - 1) * step) / step) * step);
  for (let at = from; at <= to; at += span + step) chunks.push({ from: at, to: Math.min(at + span, to) });

  const found = new Map<string, Fired>();
  let done = 0;
  let failure: Failure | null = null;
  const take = async (chunk: { from: number; to: number }): Promise<void> => {
    const got = await askChunk(client, selector, chunk, step);
    if (failure) return;
    if (!got.ok) {
      failure = got;
      return;
    }
    for (const { metric, values } of got.data.result) addRuns(found, metric, values, step);
    done += 1;
    request.progress?.(done / chunks.length);
  };
  // Newest last: runs are joined afterwards, so the order of the answers does not matter.
  const queue = [...chunks];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let chunk = queue.shift(); chunk && !failure; chunk = queue.shift()) await take(chunk);
    }),
  );
  if (failure) return { ok: false, reason: (failure as Failure).reason };

  const notes: string[] = [];
  const rules = await readRules(client, to);
  if (rules === null) notes.push('/api/v1/rules did not answer: the alerts come without annotations.');
  const external = await readExternalLabels(client, to);
  if (external === null) notes.push('/api/v1/status/config did not answer: external labels are not added.');
  const fired = [...found.values()].map(({ labels, runs }) => ({
    labels: { ...external, ...labels },
    runs: joined(runs, step),
  }));
  const knownRules = await readKnownRules(client, selector, from);
  if (knownRules === null)
    notes.push('What fired in the week before is not known: a first firing counts as first ever.');
  const lines = webhooksOf(fired, rules ?? [], { step, to, groupBy: request.groupBy });
  return { ok: true, lines, knownRules: knownRules ?? [], notes };
}

type Range = { from: number; to: number };
type Got = { ok: true; data: z.infer<typeof Matrix> } | Failure;

/** One chunk; too much for one answer, it is asked for in halves. */
async function askChunk(client: Client, query: string, { from, to }: Range, step: number): Promise<Got> {
  const answer = await client.ask({
    path: '/api/v1/query_range',
    params: [
      ['query', query],
      ['start', String(from / 1_000)],
      ['end', String(to / 1_000)],
      ['step', String(step / 1_000)],
    ],
    now: to,
    maxAgeMs: 0,
    weight: 'core',
    maxBytes: MOST_BYTES,
  });
  if (answer.ok) {
    const parsed = Matrix.safeParse(answer.data);
    if (parsed.success) return { ok: true, data: parsed.data };
    return { ok: false, kind: 'unusable', reason: 'its answer is no matrix; is this a Prometheus?' };
  }
  const points = Math.floor((to - from) / step) + 1;
  const tooMuch =
    answer.kind === 'too-large' || answer.kind === 'unanswered' || /sample|resolution|limit/i.test(answer.reason);
  if (!tooMuch || points < FEWEST_POINTS) return answer;
  const middle = from + Math.floor(points / 2) * step;
  const first = await askChunk(client, query, { from, to: middle - step }, step);
  if (!first.ok) return first;
  const second = await askChunk(client, query, { from: middle, to }, step);
  if (!second.ok) return second;
  return { ok: true, data: { resultType: 'matrix', result: [...first.data.result, ...second.data.result] } };
}

/** The runs of consecutive samples in one answer. */
function addRuns(
  found: Map<string, Fired>,
  { __name__: _, alertstate: __, ...labels }: Record<string, string>,
  values: readonly (readonly [number, string])[],
  step: number,
): void {
  const key = JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  const series = found.get(key) ?? { labels, runs: [] };
  found.set(key, series);
  let run: { first: number; last: number } | null = null;
  for (const [seconds] of values) {
    const at = Math.round(seconds * 1_000);
    if (run && at - run.last <= step) run.last = at;
    else {
      run = { first: at, last: at };
      series.runs.push(run);
    }
  }
}

/** Runs in order of time, those that a chunk's edge cut joined again. */
function joined(runs: readonly { first: number; last: number }[], step: number): Fired['runs'] {
  const whole: Fired['runs'] = [];
  for (const run of [...runs].sort((a, b) => a.first - b.first)) {
    const before = whole.at(-1);
    if (before && run.first - before.last <= step) before.last = Math.max(before.last, run.last);
    else whole.push({ ...run });
  }
  return whole;
}

/** An alerting rule, as far as it says something of its alerts. */
export type AlertRule = {
  name: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  query: string;
};

/**
 * The webhooks that these episodes made: one per group and moment at which something in it began or ended, with all that fires
 * in it, and one every four hours while it does. Of the annotations, which Prometheus does not keep, the rule's templates are
 * filled with labels; values are gone. Ends one step after the last sample.
 */
export function webhooksOf(
  fired: readonly Fired[],
  rules: readonly AlertRule[],
  { step, to, groupBy }: Pick<HistoryRequest, 'step' | 'to' | 'groupBy'>,
): StreamLine[] {
  type Episode = { alert: Record<string, unknown>; first: number; end: number | null };
  const groups = new Map<string, { groupLabels: Record<string, string>; episodes: Episode[] }>();
  for (const { labels, runs } of fired) {
    const groupLabels = Object.fromEntries(groupBy.flatMap((name) => (labels[name] ? [[name, labels[name]]] : [])));
    const key = `{}:{${Object.entries(groupLabels)
      .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
      .join(', ')}}`;
    const group = groups.get(key) ?? { groupLabels, episodes: [] };
    groups.set(key, group);
    const rule = ruleOf(labels, rules);
    const base = {
      labels,
      annotations: rule ? filled(rule.annotations, labels) : {},
      fingerprint: fingerprint(labels),
      generatorURL: rule ? `http://prometheus.invalid/graph?g0.expr=${encodeURIComponent(rule.query)}&g0.tab=1` : '',
    };
    for (const { first, last } of runs)
      group.episodes.push({ alert: base, first, end: last + step > to ? null : last + step });
  }
  const lines: { at: number; key: string; line: StreamLine }[] = [];
  for (const [groupKey, { groupLabels, episodes }] of groups) {
    const begins = [...episodes].sort((a, b) => a.first - b.first);
    const ends = episodes.filter(({ end }) => end !== null).sort((a, b) => a.end! - b.end!);
    const moments = new Set(episodes.flatMap(({ first, end }) => (end === null ? [first] : [first, end])));
    const firing = new Set<Episode>();
    let told = Number.POSITIVE_INFINITY;
    const tell = (at: number, over: readonly Episode[]): void => {
      const alerts = [...firing, ...over].map(({ alert, first, end }) => ({
        ...alert,
        status: end === at ? 'resolved' : 'firing',
        startsAt: rfc(first),
        endsAt: end === at ? rfc(end) : '0001-01-01T00:00:00Z',
      }));
      const status = firing.size > 0 ? 'firing' : 'resolved';
      const body = { version: '4', groupKey, receiver: 'tocsin', status, groupLabels, alerts };
      lines.push({ at, key: groupKey, line: { at: rfc(at), kind: 'alertmanager', body } });
      told = firing.size > 0 ? at : Number.POSITIVE_INFINITY;
    };
    for (const at of [...moments].sort((a, b) => a - b)) {
      for (let again = told + REPEAT_MS; again < at; again = told + REPEAT_MS) tell(again, []);
      const over: Episode[] = [];
      while (ends.length > 0 && ends[0]!.end! <= at) over.push(ends.shift()!);
      for (const episode of over) firing.delete(episode);
      while (begins.length > 0 && begins[0]!.first <= at) firing.add(begins.shift()!);
      tell(at, over);
    }
    for (let again = told + REPEAT_MS; again <= to; again = told + REPEAT_MS) tell(again, []);
  }
  return lines.sort((a, b) => a.at - b.at || (a.key < b.key ? -1 : 1)).map(({ line }) => line);
}

const rfc = (ms: number): string => new Date(ms).toISOString();

/** The rule of this name whose own labels the alert bears; templated ones are taken as borne. */
function ruleOf(labels: Record<string, string>, rules: readonly AlertRule[]): AlertRule | null {
  const bears = (rule: AlertRule): boolean =>
    Object.entries(rule.labels).every(([name, value]) => value.includes('{{') || labels[name] === value);
  return rules.find((rule) => rule.name === labels.alertname && bears(rule)) ?? null;
}

/** `{{ $labels.x }}` and `{{ .Labels.x }}` are filled; what needs the value of the time is left as `…`. */
function filled(annotations: Record<string, string>, labels: Record<string, string>): Record<string, string> {
  const fill = (text: string): string =>
    text.replace(/\{\{-?([^{}]*)-?\}\}/g, (_, inside: string) => {
      const name = /^\s*(?:\$labels|\.Labels)\.([a-zA-Z_][a-zA-Z0-9_]*)\s*$/.exec(inside)?.[1];
      return name === undefined ? '…' : (labels[name] ?? '');
    });
  return Object.fromEntries(Object.entries(annotations).map(([name, text]) => [name, fill(text)]));
}

const Vector = z.object({ result: z.array(z.object({ metric: z.record(z.string(), z.string()) })) });

async function readKnownRules(client: Client, selector: string, from: number): Promise<string[] | null> {
  const query = `group by (alertname) (last_over_time(${selector}[7d]))`;
  const params = [
    ['query', query],
    ['time', String(from / 1_000 - 1)],
  ] as const;
  const answer = await client.ask({ path: '/api/v1/query', params, now: from, maxAgeMs: 0, weight: 'core' });
  const parsed = answer.ok ? Vector.safeParse(answer.data) : null;
  return parsed?.success ? parsed.data.result.flatMap(({ metric }) => metric.alertname ?? []).sort() : null;
}

const Rules = z.object({
  groups: z.array(
    z.looseObject({
      rules: z.array(
        z.looseObject({
          name: z.string(),
          query: z.string().default(''),
          labels: z.record(z.string(), z.string()).default({}),
          annotations: z.record(z.string(), z.string()).default({}),
        }),
      ),
    }),
  ),
});

async function readRules(client: Client, now: number): Promise<AlertRule[] | null> {
  const params = [['type', 'alert']] as const;
  const answer = await client.ask({
    path: '/api/v1/rules',
    params,
    now,
    maxAgeMs: 0,
    weight: 'core',
    maxBytes: MOST_BYTES,
  });
  const parsed = answer.ok ? Rules.safeParse(answer.data) : null;
  return parsed?.success ? parsed.data.groups.flatMap(({ rules }) => rules) : null;
}

/** What this Prometheus adds to every alert it sends; its own series do not bear it, their fingerprints do. */
async function readExternalLabels(client: Client, now: number): Promise<Record<string, string> | null> {
  const answer = await client.ask({ path: '/api/v1/status/config', params: [], now, maxAgeMs: 0, weight: 'core' });
  if (!answer.ok) return null;
  const Known = z.object({ global: z.object({ external_labels: z.record(z.string(), z.coerce.string()) }) });
  try {
    const parsed = Known.safeParse(parse((answer.data as { yaml: string }).yaml));
    return parsed.success ? parsed.data.global.external_labels : {};
  } catch {
    return null;
  }
}
