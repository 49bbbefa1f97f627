import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { CANARY } from '../domain/canary.ts';
import { canaryToken } from '../receive/auth.ts';
import { fingerprint } from '../receive/fingerprint.ts';
import { dropCanaries, isCanaryTold } from '../store/canary.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Outbound } from '../telemetry/outbound.ts';

export type CanaryDeps = {
  /** Our own door. */
  url: () => string;
  /** `heartbeat_url` of the config in force, or null: then there is no canary. */
  heartbeatUrl: () => string | null;
  pool: pg.Pool;
  outbound: Outbound;
  log: Logger;
  metrics: Metrics;
  /** Epoch ms. */
  now: () => number;
};

const EVERY_MS = 60_000;
const ROUND_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 250;
const KEPT_MS = 3_600_000;

/**
 * Once a minute an alert of our own goes the whole road: our webhook, the store, the engine, the outbox, the log channel.
 * Only when it arrives is the outward heartbeat sent; whoever expects it there learns when any part of the road is dead.
 */
export function startCanary(deps: CanaryDeps): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const rest = (ms: number) => sleep(ms, undefined, { signal: stopping.signal }).catch(() => {});

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const url = deps.heartbeatUrl();
      if (url !== null) await round(url).catch((error) => deps.log.error({ err: error }, 'the canary failed'));
      await rest(EVERY_MS);
    }
  }

  async function round(heartbeatUrl: string): Promise<void> {
    const { log, pool, outbound, metrics, now } = deps;
    const labels = { alertname: 'TocsinCanary', severity: 'info', round: new Date(now()).toISOString() };
    if (!(await post(labels, 'firing'))) return;
    const mark = fingerprint(labels);
    const end = now() + ROUND_WITHIN_MS;
    let told = false;
    while (!told && now() < end && !stopping.signal.aborted) {
      await rest(LOOK_EVERY_MS);
      told = await isCanaryTold(pool, mark);
    }
    await post(labels, 'resolved');
    if (!told) {
      log.error({}, `the canary did not make the round within ${ROUND_WITHIN_MS / 1000} s; no heartbeat was sent`);
      return;
    }
    metrics.canary.set(now() / 1000);
    const sent = await outbound.request({ method: 'GET', url: heartbeatUrl, peer: 'heartbeat' });
    if (sent.status !== 'answered' || sent.code >= 300)
      log.warn({ status: sent.status }, 'the heartbeat address did not take the heartbeat');
    await dropCanaries(pool, now() - KEPT_MS);
  }

  async function post(labels: Record<string, string>, status: 'firing' | 'resolved'): Promise<boolean> {
    const at = new Date(deps.now()).toISOString();
    const alert = {
      status,
      labels,
      annotations: { summary: 'Round trip of Tocsin itself' },
      startsAt: labels.round,
      endsAt: status === 'resolved' ? at : '0001-01-01T00:00:00Z',
    };
    const result = await deps.outbound.request({
      method: 'POST',
      url: `${deps.url()}/api/v1/webhooks/alertmanager`,
      peer: CANARY,
      headers: { authorization: `Bearer ${canaryToken}` },
      body: { version: '4', alerts: [alert] },
    });
    if (result.status === 'answered' && result.code === 200) return true;
    deps.log.error({ status: result.status }, 'our own webhook did not take the canary; no heartbeat was sent');
    return false;
  }

  const running = run();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
