import { readFileSync, writeFileSync } from 'node:fs';
import { Registry } from 'prom-client';
import { loadModels } from '../config/models.ts';
import type { Config } from '../config/schema.ts';
import type { ServiceGraph } from '../correlate/types.ts';
import { Topology } from '../domain/topology.ts';
import { scoreSeries } from '../enrich/anomaly/detector.ts';
import { loadAnomalyModel } from '../enrich/anomaly/model.ts';
import { judgeBy } from '../enrich/prometheus/judge.ts';
import { createPrometheusSource } from '../enrich/prometheus-source.ts';
import { readStream, replay, StreamFault } from '../replay.ts';
import { compileRules } from '../rules.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { createOutbound } from '../telemetry/outbound.ts';
import { loadOrExplain } from './load.ts';

/** One answer of the Prometheus of a replay; nobody is kept waiting at three in the morning by it. */
const ANSWER_WITHIN_MS = 20_000;

type Options = {
  stream: string;
  dir: string;
  env: Readonly<Record<string, string | undefined>>;
  topology: string | null;
  /** The address of a Prometheus that knows the stream's metrics. */
  prometheus: string | null;
  file: string | null;
  timing: boolean;
  out: (text: string) => void;
  err: (text: string) => void;
};

/** `tocsin replay`: outcomes as one JSON object (contract section 5). Exit code 2 for an unusable config, stream or topology. */
export async function runReplay({
  stream,
  dir,
  env,
  topology,
  prometheus,
  file,
  timing,
  out,
  err,
}: Options): Promise<number> {
  const config = loadOrExplain(dir, env, err);
  if (!config) return 2;
  const graph = topology === null ? null : readTopology(topology);
  if (typeof graph === 'string') {
    err(`${graph}\n`);
    return 2;
  }
  const rules = compileRules(config, loadModels(), { topology: graph, assumeSecrets: true });
  const metrics = prometheus === null ? null : await askedPrometheus(prometheus, config, rules.graph);
  if (typeof metrics === 'string') {
    err(`${metrics}\n`);
    return 2;
  }
  const progress = process.stderr.isTTY ? (lines: number) => err(`\r${lines} lines`) : undefined;
  try {
    const { timing: measured, ...outcomes } = await replay(readStream(stream), {
      rules,
      progress,
      sources: metrics ? [metrics.source] : [],
    });
    const text = `${JSON.stringify(timing ? { ...outcomes, timing: measured } : outcomes, null, 2)}\n`;
    if (file === null) out(text);
    else writeFileSync(file, text);
    return 0;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (!(error instanceof StreamFault) && !missing) throw error;
    err(`${missing ? `There is no file ${stream}.` : (error as Error).message}\n`);
    return 2;
  } finally {
    metrics?.close();
  }
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
