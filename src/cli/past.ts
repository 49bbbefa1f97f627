import { Registry } from 'prom-client';
import type { Environment } from '../config/env.ts';
import { type Config, parseDuration } from '../config/schema.ts';
import type { Topology } from '../domain/topology.ts';
import { readAlertsHistory } from '../enrich/prometheus/alerts-history.ts';
import { createClient } from '../enrich/prometheus/client.ts';
import { topologyOf } from '../enrich/topology/edges.ts';
import { readStream, StreamFault } from '../replay.ts';
import { parseMatcher } from '../route/matchers.ts';
import { type NumberedLine, readPeriod, streamOf } from '../store/stream.ts';
import { readLearnedEdges } from '../store/topology.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { createOutbound } from '../telemetry/outbound.ts';
import { periodOf } from './report.ts';
import { withStore } from './store.ts';

/** Which past a command is to run: a file, the store's own, or what a Prometheus remembers of its alerts. */
export type PastOptions = {
  stream: string | null;
  from: string | null;
  to: string | null;
  /** The address of a Prometheus whose `ALERTS` series are read instead of the store. */
  alertsFrom: string | null;
  match: readonly string[];
  step: string | null;
  groupBy: string | null;
};

/** A past as lines that can be gone through several times. */
export type Past = {
  name: string;
  /** Epoch ms; null for a file, which begins and ends where it does. */
  period: { from: number; to: number } | null;
  lines(): AsyncIterable<NumberedLine>;
  /** How many lines there are, where that is known. */
  total: number | null;
  /** Rules that fired before it begins. */
  knownRules: readonly string[];
  /** Calls learned from metrics. */
  topology: Topology | null;
};

type Deps = {
  environment: () => Environment;
  /** A tree whose `prometheus` entries may hold the login of `--alerts-from`. */
  config: Config;
  /** Epoch ms. */
  now: number;
  err: (text: string) => void;
};

/** Gives up on one chunk of history after this long; then it is asked for in halves. */
const ANSWER_WITHIN_MS = 60_000;

/** Runs `fn` over that past; exit code 2, with what to write instead, when there is none or a line of it cannot be used. */
export async function withPast(options: PastOptions, deps: Deps, fn: (past: Past) => Promise<number>): Promise<number> {
  const { stream, from, to, alertsFrom } = options;
  const refuse = (text: string): number => {
    deps.err(`${text}\n`);
    return 2;
  };
  if (stream !== null) {
    if (from !== null || to !== null || alertsFrom !== null)
      return refuse(`Give a stream or --from, not both: the whole of ${stream} is taken.`);
    return unlessFaulty(stream, deps.err, () =>
      fn({ name: stream, period: null, lines: () => readStream(stream), total: null, knownRules: [], topology: null }),
    );
  }
  if (from === null) return refuse('Give a stream, or --from (for example --from 30d) for what the store remembers.');
  const period = periodOf({ from, to, now: deps.now });
  if (typeof period === 'string') return refuse(period);
  if (alertsFrom !== null) {
    const past = await alertsPast(alertsFrom, period, options, deps);
    return typeof past === 'string' ? refuse(past) : fn(past);
  }
  return withStore(deps.environment(), async (pool) => {
    const held = await readPeriod(pool, period.from, period.to);
    const kept = `Deliveries are kept for ${days(deps.config.tocsin.retention.deliveries)} (retention.deliveries)`;
    if (held.oldest === null) return refuse('The store never took a delivery: there is nothing to run.');
    if (held.deliveries === 0)
      return refuse(`The store holds no delivery of that time. ${kept}; the oldest is of ${rfc(held.oldest)}.`);
    if (held.oldest > period.from)
      deps.err(`The oldest delivery is of ${rfc(held.oldest)}: the time before is not in it. ${kept}.\n`);
    return fn({
      name: 'the store',
      period,
      lines: () => streamOf(pool, period.from, period.to),
      total: held.deliveries,
      knownRules: held.knownRules,
      topology: topologyOf(await readLearnedEdges(pool)),
    });
  });
}

const days = (ms: number): string => `${Math.round(ms / 8_640_000) / 10} days`;
const rfc = (ms: number): string => new Date(ms).toISOString();

/** A file that is not there, or a line of it that cannot be used, is told; everything else is thrown. */
async function unlessFaulty(file: string, err: (text: string) => void, run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    const missing = code === 'ENOENT' && path === file;
    const broken = code === 'Z_DATA_ERROR' || code === 'Z_BUF_ERROR' || code === 'EISDIR';
    if (!(error instanceof StreamFault) && !missing && !broken) throw error;
    const text = missing
      ? `There is no file ${file}.`
      : broken
        ? `${file} cannot be read (${code}).`
        : String((error as Error).message);
    err(`${text}\n`);
    return 2;
  }
}

async function alertsPast(
  url: string,
  period: { from: number; to: number },
  { match, step, groupBy }: PastOptions,
  { config, err }: Deps,
): Promise<Past | string> {
  if (!/^https?:\/\//.test(url) || !URL.canParse(url))
    return `--alerts-from ${url} is no address; write for example http://127.0.0.1:9090`;
  const stepMs = parseDuration(step ?? '1m');
  if (stepMs === null || stepMs < 1_000) return `--step ${step} is no step; write for example 1m (1s at least).`;
  for (const one of match) {
    const parsed = parseMatcher(one);
    if (!parsed.ok) return `--match: ${parsed.message}`;
  }
  const same = (one: string): string => one.replace(/\/+$/, '');
  const known = config.tocsin.prometheus.find((server) => same(server.url) === same(url));
  const outbound = createOutbound({ timeoutMs: ANSWER_WITHIN_MS, log: { debug: () => {} }, registry: new Registry() });
  const server = {
    ...(known?.auth ? { auth: known.auth } : {}),
    name: 'past',
    url,
    timeout: ANSWER_WITHIN_MS,
    max_in_flight: 4,
    max_per_minute: Number.MAX_SAFE_INTEGER,
  };
  const client = createClient({ server, config: () => config, outbound, metrics: createMetrics(), clock: null });
  const tty = process.stderr.isTTY;
  try {
    const found = await readAlertsHistory(client, {
      ...period,
      step: stepMs,
      match,
      groupBy: (groupBy ?? 'alertname,cluster,namespace').split(',').map((name) => name.trim()),
      ...(tty ? { progress: (share: number) => err(`\rALERTS ${Math.round(share * 100)} %`) } : {}),
    });
    if (tty) err('\r\x1b[K');
    if (!found.ok) return `--alerts-from ${url}: ${found.reason}`;
    for (const note of found.notes) err(`${note}\n`);
    if (found.lines.length === 0)
      return `${url} knows of no alert that fired then. Does it evaluate the rules itself (ALERTS), and keep its data so long?`;
    return {
      name: `the ALERTS series of ${new URL(url).host}`,
      period,
      async *lines() {
        for (const [i, entry] of found.lines.entries()) yield { line: i + 1, entry };
      },
      total: found.lines.length,
      knownRules: found.knownRules,
      topology: null,
    };
  } finally {
    outbound.close();
  }
}

type Progress = { progress?: (lines: number) => void };

/** Says on a terminal how far a run is, and leaves no trace of it there; nothing elsewhere. */
export async function withProgress<T>(
  what: string,
  total: number | null,
  err: (text: string) => void,
  run: (how: Progress) => Promise<T>,
): Promise<T> {
  if (!process.stderr.isTTY) return run({});
  const of = total === null ? '' : ` of ${total}`;
  try {
    return await run({ progress: (lines) => err(`\r${what}: ${lines}${of} lines\x1b[K`) });
  } finally {
    err('\r\x1b[K');
  }
}
