import { once } from 'node:events';
import { createWriteStream, readFileSync, writeFileSync } from 'node:fs';
import { finished, pipeline } from 'node:stream/promises';
import { createGzip, type Gzip } from 'node:zlib';
import { Registry } from 'prom-client';
import type { Environment } from '../config/env.ts';
import { modelsOf } from '../config/models.ts';
import type { Config } from '../config/schema.ts';
import type { ServiceGraph } from '../correlate/types.ts';
import { Topology } from '../domain/topology.ts';
import { scoreSeries } from '../enrich/anomaly/detector.ts';
import { loadAnomalyModel } from '../enrich/anomaly/model.ts';
import { judgeBy } from '../enrich/prometheus/judge.ts';
import { createPrometheusSource } from '../enrich/prometheus-source.ts';
import { type Outcomes, replay } from '../replay.ts';
import { compileRules } from '../rules.ts';
import type { NumberedLine } from '../store/stream.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { createOutbound } from '../telemetry/outbound.ts';
import { loadOrExplain } from './load.ts';
import { type Past, type PastOptions, withPast, withProgress } from './past.ts';
import { reportOf } from './replay-report.ts';

/** One answer of the Prometheus of a replay; nobody is kept waiting at three in the morning by it. */
const ANSWER_WITHIN_MS = 20_000;

type Options = {
  past: PastOptions;
  dir: string;
  env: Readonly<Record<string, string | undefined>>;
  environment: () => Environment;
  topology: string | null;
  /** The address of a Prometheus that knows the stream's metrics. */
  prometheus: string | null;
  file: string | null;
  /** Keeps the past as a stream here, for `diff` and later runs. */
  save: string | null;
  /** Markdown for people instead of outcomes. */
  report: boolean;
  timing: boolean;
  /** Epoch ms. */
  now: number;
  out: (text: string) => void;
  err: (text: string) => void;
};

/**
 * `tocsin replay`: outcomes as one JSON object (contract section 5), or with `--report` what they come to. Exit code 2 for an
 * unusable config, stream, period or topology.
 */
export async function runReplay(options: Options): Promise<number> {
  const { dir, env, topology, prometheus, file, save, report, timing, out, err } = options;
  const config = loadOrExplain(dir, env, err);
  if (!config) return 2;
  const graph = topology === null ? null : readTopology(topology);
  if (typeof graph === 'string') {
    err(`${graph}\n`);
    return 2;
  }
  return withPast(options.past, { ...options, config }, async (past) => {
    const known = { topology: graph ?? past.topology, assumeSecrets: true };
    const rules = compileRules(config, modelsOf(config), known);
    const metrics = prometheus === null ? null : await askedPrometheus(prometheus, config, rules.graph);
    if (typeof metrics === 'string') {
      err(`${metrics}\n`);
      return 2;
    }
    const run = (under: Config, what: string, lines = past.lines()): Promise<Outcomes> =>
      withProgress(what, past.total, err, (how) =>
        replay(lines, {
          rules: under === config ? rules : compileRules(under, modelsOf(under), known),
          knownRules: past.knownRules,
          ...how,
          sources: metrics ? [metrics.source] : [],
        }),
      );
    try {
      let lines = 0;
      const counted = async function* () {
        for await (const one of past.lines()) {
          if (!['action', 'deploy', 'known'].includes(one.entry.kind)) lines += 1;
          yield one;
        }
      };
      const { timing: measured, ...outcomes } = await run(
        config,
        'replay',
        save ? saving(counted(), past, save) : counted(),
      );
      const text = report
        ? reportOf(past, {
            lines,
            configured: outcomes,
            shadow: await run(inMode(config, 'shadow'), 'in mode shadow'),
            active: await run(inMode(config, 'active'), 'in mode active'),
          })
        : `${JSON.stringify(timing ? { ...outcomes, timing: measured } : outcomes, null, 2)}\n`;
      if (file === null) out(text);
      else writeFileSync(file, text);
      return 0;
    } finally {
      metrics?.close();
    }
  });
}

/** The same tree with this mode everywhere. */
const inMode = (config: Config, mode: 'shadow' | 'active'): Config => ({
  ...config,
  tocsin: { ...config.tocsin, suppress: { ...config.tocsin.suppress, mode, overrides: [] } },
});

/** Passes the lines on and writes them to a file as they go by: JSON lines, gzipped when its name says so. */
async function* saving(
  lines: AsyncIterable<NumberedLine>,
  { knownRules, period }: Past,
  file: string,
): AsyncGenerator<NumberedLine> {
  const target = createWriteStream(file);
  const sink = file.endsWith('.gz') ? createGzip() : target;
  const written = sink === target ? finished(target) : pipeline(sink as Gzip, target);
  written.catch(() => {}); // it is thrown where it is awaited
  if (period && knownRules.length > 0) {
    const known = { at: new Date(period.from).toISOString(), kind: 'known', body: { rules: knownRules } };
    sink.write(`${JSON.stringify(known)}\n`);
  }
  for await (const one of lines) {
    if (!sink.write(`${JSON.stringify(one.entry)}\n`)) await Promise.race([once(sink, 'drain'), written]);
    yield one;
  }
  sink.end();
  await written;
}

/**
 * The one Prometheus of a replay, which serves every alert whatever the config says of others. Every answer is waited for, and
 * time is the stream's, so that the same recording gives the same bytes. A text says why it cannot be used.
 */
async function askedPrometheus(url: string, config: Config, graph: ServiceGraph) {
  if (!/^https?:\/\//.test(url) || !URL.canParse(url))
    return `--prometheus ${url} is no address; write for example http://127.0.0.1:9090`;
  const outbound = createOutbound({ timeoutMs: ANSWER_WITHIN_MS, log: { debug: () => {} }, registry: new Registry() });
  const asked = `${url.replace(/\/+$/, '')}/api/v1/labels`;
  const answer = await outbound.request({ method: 'GET', url: asked, peer: 'prometheus', timeoutMs: 10_000 });
  if (answer.status !== 'answered') {
    outbound.close();
    return `--prometheus ${url}: ${answer.reason}. Start it first, or leave the option out.`;
  }
  const server = {
    name: 'replay',
    url,
    timeout: ANSWER_WITHIN_MS,
    max_in_flight: 4,
    max_per_minute: Number.MAX_SAFE_INTEGER,
  };
  const only: Config = { ...config, tocsin: { ...config.tocsin, prometheus: [server] } };
  const model = loadAnomalyModel();
  const source = createPrometheusSource({
    config: () => only,
    outbound,
    metrics: createMetrics(),
    now: null,
    graph: () => graph,
    anomaly: judgeBy(async (series) => scoreSeries(series, model)),
  });
  return { source, close: () => outbound.close() };
}

/** The call graph of `--topology`, or what is wrong with the file. */
export function readTopology(file: string): Topology | string {
  try {
    const parsed = Topology.safeParse(JSON.parse(readFileSync(file, 'utf8')));
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0]!;
    return `${file}: ${issue.path.join('.')}: ${issue.message}. Write {"nodes":[{"namespace","service"}],"edges":[{"namespace","caller","callee"}]}.`;
  } catch (error) {
    return `${file}: ${(error as Error).message}`;
  }
}
