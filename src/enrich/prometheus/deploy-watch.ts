import type { Config } from '../../config/schema.ts';
import { encodeEnvelope } from '../../receive/envelope.ts';
import type { NewInboxItem } from '../../store/types.ts';
import type { Logger } from '../../telemetry/log.ts';
import { traceOf } from '../../telemetry/trace.ts';
import { lookEvery } from '../look-every.ts';
import type { VectorSeries } from './answers.ts';
import { instant, metricNames } from './ask.ts';
import type { Client } from './client.ts';
import { metricsIn } from './expression.ts';
import { type Look, type Rollout, type RolloutQueries, rolloutQueries, rollouts } from './rollouts.ts';
import type { Servers } from './servers.ts';

export type DeployWatchDeps = {
  config: () => Config;
  servers: Servers;
  append: (item: NewInboxItem) => Promise<unknown>;
  /** Only the shard's owner looks. */
  owns: () => boolean;
  log: Pick<Logger, 'info' | 'warn'>;
  /** Epoch ms. */
  now: () => number;
};

export type DeployWatch = {
  start(): void;
  /** Looks at one server now; gives what was rolled out since the look before. */
  look(client: Client): Promise<Rollout[]>;
  stop(): Promise<void>;
};

/** The first look is compared with what the server says of this long ago, so that a restart of ours misses no rollout. */
const FIRST_BACK_MS = 10 * 60_000;
/** Looks this far apart cannot say when a change was: the next one begins anew. */
const FORGOTTEN_MS = 60 * 60_000;

const names = Object.keys(rolloutQueries) as (keyof RolloutQueries)[];

/** Finds deploys in every Prometheus without any set-up and puts them into the inbox, in order with everything else. */
export function createDeployWatch(deps: DeployWatchDeps): DeployWatch {
  const earlier = new Map<string, Look>();

  async function look(client: Client): Promise<Rollout[]> {
    const now = deps.now();
    const known = earlier.get(client.name);
    const before = known && now - known.at <= FORGOTTEN_MS ? known : await ask(client, now - FIRST_BACK_MS, now);
    const after = await ask(client, now, now);
    // A server that did not answer in full would look as if everything had changed when it does again.
    if (!before || !after) return [];
    earlier.set(client.name, after);
    const { labels } = deps.config().tocsin;
    const found = rollouts(before, after, { service: labels.service, cluster: labels.cluster });
    if (found.length > 0) {
      const body = JSON.stringify({ server: client.name, deploys: found });
      await deps.append({
        kind: 'deploy',
        source: `prometheus:${client.name}`,
        receivedAt: now,
        trace: traceOf(undefined),
        body: encodeEnvelope({ sender: 'prometheus', headers: {}, body }),
      });
      deps.log.info({ server: client.name, deploys: found.length }, 'found deploys in metrics');
    }
    return found;
  }

  const background = lookEvery({
    every: () => deps.config().tocsin.enrich.deploys_every,
    wanted: () => deps.owns(),
    look: () => Promise.all(deps.servers.all().map(look)),
    onError: (error) => deps.log.warn({ err: error }, 'deploys could not be read from metrics; tried again later'),
    now: deps.now,
  });

  return { look, ...background };
}

/** Everything as it was at `at`; null when any part of it could not be had. Only what the server has metrics of is asked. */
async function ask(client: Client, at: number, now: number): Promise<Look | null> {
  const known = await metricNames(client, now);
  const look: Look = { at, images: [], generations: [], replicaSets: [], replicas: [], builds: [], starts: [] };
  const answers = await Promise.all(
    names.map(async (name): Promise<VectorSeries[] | null> => {
      const queries = rolloutQueries[name];
      const query = known ? queries.find((one) => metricsIn(one).every((metric) => known.has(metric))) : queries[0];
      if (query === undefined) return [];
      const got = await instant(client, query, { now: at, maxAgeMs: 0, weight: 'extra' });
      return got.ok ? got.value : null;
    }),
  );
  for (const [i, name] of names.entries()) {
    const answer = answers[i];
    if (!answer) return null;
    look[name] = answer;
  }
  return look;
}
