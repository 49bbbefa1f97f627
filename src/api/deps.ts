import type { Pool } from 'pg';
import type { Config } from '../config/schema.ts';
import type { CorrelationModel } from '../correlate/model.ts';
import type { ServiceGraph } from '../correlate/types.ts';
import type { PlacementWhy } from '../domain/effects.ts';
import type { Painter } from '../notify/picture/painter.ts';
import type { KillSwitchKeeper } from '../respond/kill-switch-keeper.ts';
import type { Log, NewInboxItem } from '../store/types.ts';
import type { HealthCheck } from '../telemetry/health.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Live } from './live.ts';

/** What a reload came to: the new tree's hash, or every fault of the refused one (`file:line:column what, what instead`). */
export type ReloadResult = { ok: true; hash: string } | { ok: false; faults: readonly unknown[] };

/** What a dry run came to: the body's alerts, each with its `enrichment`, or why the body cannot be used. */
export type AnalyzeResult =
  | { ok: true; alerts: readonly unknown[]; quarantined: number; faults: readonly { place: string; reason: string }[] }
  | { ok: false; detail: string };

/** The distance of two alerts of the store with its parts (0..1 each). */
export type Distance = { distance: number; parts: PlacementWhy['neighbours'][number]['parts'] };

/** Everything the API needs of the rest of the service; `app.ts` wires it. */
export type ApiDeps = {
  pool: Pool;
  /** Stores one item durably (`src/store/inbox.ts`); rejects when the store cannot take it. */
  append: (item: NewInboxItem) => Promise<unknown>;
  /** The tree in force; called anew for each request, so a reload is seen at once. */
  config: () => Config;
  /** Loads the tree anew; the last good one stays when it has faults. `who` is the token's name. */
  reload: (who: string | null) => Promise<ReloadResult>;
  /** The contract's dry run: nothing is stored. `source` is where the webhook would have placed it. */
  analyze: (body: unknown, source: string) => Promise<AnalyzeResult>;
  /** The text of `/metrics`, this thread's and the worker's together. */
  metricsText: () => Promise<string>;
  metrics: Pick<Metrics, 'httpRequests' | 'httpSeconds' | 'eventStreams'>;
  /** The service graph in use, and the fitted model that distances are measured with. */
  graph: () => ServiceGraph;
  model: CorrelationModel;
  /** Draws the picture of an incident, and the key that the addresses of pictures are signed with. */
  painter: Painter;
  pictureKey: Buffer;
  /** Holds the kill switch while the store cannot take it. */
  killSwitch: Pick<KillSwitchKeeper, 'hold' | 'held' | 'withdraw' | 'foreignFile'>;
  /** What `/readyz` asks, besides the database that the API asks itself. */
  checks: readonly HealthCheck[];
  /** PostgreSQL notifications: incident changes and answered actions. */
  live: Live;
  log: Log;
  /** Epoch ms. */
  now: () => number;
  /** How long a person's action is waited for before the answer is 202, ms. Default 5,000. */
  actionTimeoutMs?: number;
};
