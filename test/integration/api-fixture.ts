import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AnalyzeResult, ApiDeps, ReloadResult } from '../../src/api/deps.ts';
import { createLive } from '../../src/api/live.ts';
import { createApi } from '../../src/api/router.ts';
import { createServer } from '../../src/api/server.ts';
import { loadConfig } from '../../src/config/load.ts';
import { loadModels } from '../../src/config/models.ts';
import type { Config, Role } from '../../src/config/schema.ts';
import { keepSecrets, secretKey } from '../../src/config/secrets.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import type { Action, ActionResult } from '../../src/domain/action.ts';
import type { IncidentState } from '../../src/domain/effects.ts';
import type { Incident } from '../../src/domain/incident.ts';
import { createPainter } from '../../src/notify/picture/painter.ts';
import { createKillSwitchKeeper } from '../../src/respond/kill-switch-keeper.ts';
import type { HealthCheck } from '../../src/telemetry/health.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { quiet, type TestDatabase, withDatabase } from '../fakes/postgres.ts';

/** The API on a real server and a real database; rows are put in by SQL, people's deeds are answered by a small owner. */
export type ApiFixture = {
  url: string;
  db: TestDatabase;
  config: Config;
  checks: HealthCheck[];
  /** What the next dry run and reload come to. */
  replies: { analyze: AnalyzeResult; reload: ReloadResult };
  analyzed: { body: unknown; source: string }[];
  metrics: ReturnType<typeof createMetrics>;
  get(path: string, headers?: Record<string, string>): Promise<ApiAnswer>;
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<ApiAnswer>;
  close(): Promise<void>;
};
// biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of every shape
export type ApiAnswer = { status: number; headers: Headers; body: any; text: string };

/** What the fixture's pictures are signed with. */
export const pictureKey = Buffer.alloc(32, 7);
export const START = Date.parse('2026-11-20T07:30:00Z');

export async function startApi(
  options: {
    tokens?: Record<string, Role>;
    actionTimeoutMs?: number;
    append?: ApiDeps['append'];
    pool?: ApiDeps['pool'];
  } = {},
): Promise<ApiFixture> {
  const db = await withDatabase();
  const config = withTokens(sampleConfig(), options.tokens);
  const metrics = createMetrics();
  const live = createLive(db.pool, quiet);
  const checks: HealthCheck[] = [];
  const replies: ApiFixture['replies'] = {
    analyze: { ok: true, alerts: [], quarantined: 0, faults: [] },
    reload: { ok: true, hash: 'new' },
  };
  const analyzed: ApiFixture['analyzed'] = [];
  const graph = buildGraph({ edges: [{ caller: 'checkout', callee: 'payment' }] });
  const painter = createPainter(quiet);
  const dataDir = mkdtempSync(join(tmpdir(), 'tocsin-api-'));
  const killSwitch = createKillSwitchKeeper({
    dataDir,
    append: options.append ?? ((item) => append(db, item)),
    log: quiet,
    now: Date.now,
  });
  const api = createApi({
    pool: options.pool ?? db.pool,
    append: options.append ?? ((item) => append(db, item)),
    killSwitch,
    config: () => config,
    reload: async () => replies.reload,
    analyze: async (body, source) => {
      analyzed.push({ body, source });
      return replies.analyze;
    },
    metricsText: () => metrics.registry.metrics(),
    metrics,
    graph: () => graph,
    model: loadModels().correlation,
    painter,
    pictureKey,
    checks,
    live,
    log: quiet,
    now: Date.now,
    actionTimeoutMs: options.actionTimeoutMs,
  });
  const server = await createServer({
    routers: [api.router],
    listen: { host: '127.0.0.1', port: 0 },
    log: quiet,
    onClosing: api.close,
  });
  const ask = async (path: string, init: RequestInit): Promise<ApiAnswer> => {
    const response = await fetch(server.url + path, init);
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : null };
  };
  return {
    url: server.url,
    db,
    config,
    checks,
    replies,
    analyzed,
    metrics,
    get: (path, headers = {}) => ask(path, { headers }),
    post: (path, body, headers = {}) =>
      ask(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    close: async () => {
      await server.close();
      await live.stop();
      painter.close();
      killSwitch.stop();
      rmSync(dataDir, { recursive: true });
      await db.close();
    },
  };
}

function sampleConfig(): Config {
  const loaded = loadConfig(new URL('../../config', import.meta.url).pathname, {});
  if (!loaded.ok) throw new Error(`the sample config has faults: ${JSON.stringify(loaded.faults)}`);
  return loaded.config;
}

/** A tree with tokens; each token's value is `token-` and its name. */
function withTokens(config: Config, tokens: Record<string, Role> | undefined): Config {
  if (!tokens) return config;
  const refs = Object.entries(tokens).map(([name, role]) => ({ name, role, token: { env: `TOKEN_${name}` } }));
  const values = refs.map(({ name, token }) => [secretKey(token), `token-${name}`] as const);
  const server = { ...config.tocsin.server, tokens: refs };
  return { ...config, tocsin: { ...config.tocsin, server }, secrets: keepSecrets(values) };
}

async function append(db: TestDatabase, item: Parameters<ApiDeps['append']>[0]): Promise<void> {
  await db.pool.query(
    `with d as (
       insert into deliveries (kind, source, received_at, trace, body)
       values ($1, $2, to_timestamp($3::float8 / 1000), $4, $5)
       returning id
     )
     insert into inbox (delivery_id) select id from d`,
    [item.kind, item.source, item.receivedAt, item.trace, item.body],
  );
}

/** Stands in for the shard owner: takes actions out of the inbox in order and writes what `decide` says of each. */
export function startOwner(
  db: TestDatabase,
  decide: (action: Action) => Promise<ActionResult> | ActionResult,
): { taken: Action[]; stop(): Promise<void> } {
  const taken: Action[] = [];
  let stopped = false;
  const run = async (): Promise<void> => {
    while (!stopped) {
      const { rows } = await db.pool.query<{ id: number; body: Buffer }>(
        `select d.id, d.body from inbox i join deliveries d on d.id = i.delivery_id order by d.id limit 1`,
      );
      const row = rows[0];
      if (!row) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        continue;
      }
      const action = JSON.parse(row.body.toString()) as Action;
      taken.push(action);
      const result = await decide(action);
      await db.pool.query(
        `with done as (delete from inbox where delivery_id = $1),
              told as (
                insert into actions (id, at, status, incident_id, detail) values ($2, now(), $3, $4, $5)
                on conflict (id) do nothing
              )
         select pg_notify('tocsin_action', $2)`,
        [row.id, action.id, result.status, result.incidentId, result.detail],
      );
    }
  };
  const running = run();
  return {
    taken,
    stop: async () => {
      stopped = true;
      await running;
    },
  };
}

const time = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());

export type SomeIncident = Partial<IncidentState> & { id: string; number: number; doc?: Partial<Incident> | null };

/** An incident's row as the store writes it; `doc: null` is one that was never assessed. */
export async function putIncident(db: TestDatabase, some: SomeIncident): Promise<Incident | null> {
  const { doc: partial, ...rest } = some;
  const state: IncidentState = {
    tenant: '',
    status: 'open',
    startedAt: START,
    updatedAt: START,
    lastChangeAt: START,
    acknowledgedAt: null,
    acknowledgedBy: null,
    resolvedAt: null,
    resolvedBy: null,
    mergedInto: null,
    mergedFrom: [],
    assignee: null,
    snoozedUntil: null,
    silencedUntil: null,
    declared: null,
    revision: 1,
    assessedRevision: partial === null ? 0 : 1,
    assessedAt: partial === null ? null : START,
    firstNotifiedAt: null,
    notifiedSeverity: null,
    notifiedServices: [],
    told: [],
    toldAs: null,
    shown: null,
    handedOver: false,
    notices: 0,
    suppressedUntil: null,
    heldAt: null,
    reopens: 0,
    resolveDueAt: null,
    escalation: null,
    trace: 'trace',
    ...rest,
  };
  const doc = partial === null ? null : someDoc(state, partial ?? {});
  await db.pool.query(
    `insert into incidents (id, number, tenant, status, severity, priority, team, title, services, started_at, updated_at,
                            acknowledged_at, resolved_at, merged_into, revision, assessed_revision, state, doc)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
    [
      state.id,
      state.number,
      state.tenant,
      state.status,
      doc?.severity ?? null,
      doc?.priority ?? null,
      doc?.team ?? null,
      doc?.title ?? null,
      doc?.services ?? [],
      time(state.startedAt),
      time(state.updatedAt),
      time(state.acknowledgedAt),
      time(state.resolvedAt),
      state.mergedInto,
      state.revision,
      state.assessedRevision,
      JSON.stringify(state),
      doc && JSON.stringify(doc),
    ],
  );
  return doc;
}

function someDoc(state: IncidentState, partial: Partial<Incident>): Incident {
  return {
    id: state.id,
    number: state.number,
    status: state.status,
    title: `Incident ${state.number}`,
    severity: 'high',
    priority: 2,
    startedAt: time(state.startedAt)!,
    updatedAt: time(state.updatedAt)!,
    acknowledgedAt: null,
    acknowledgedBy: null,
    resolvedAt: null,
    resolvedBy: null,
    mergedInto: null,
    assignee: null,
    snoozedUntil: null,
    team: 'payments',
    services: ['payment'],
    alertCount: 99,
    firingCount: 99,
    rootCauses: [
      {
        service: 'payment',
        namespace: 'shop',
        alertname: 'PodOOMKilled',
        fingerprint: 'aa',
        deployId: null,
        probability: 0.71,
        confidence: 'medium',
        evidence: [{ kind: 'topology', text: 'checkout calls payment', weight: 0.3 }],
        causalChain: ['payment', 'checkout'],
      },
    ],
    impact: {
      revenuePerHour: 12000,
      currency: 'USD',
      totalRevenueImpact: 6000,
      affectedServices: ['payment'],
      affectedUsers: 4000,
      customerImpact: 'high',
      regulatoryRisk: true,
      slaBreachRisk: 'unknown',
      cascadeRisk: 'low',
      estimatedDurationSeconds: null,
    },
    recommendations: [],
    decision: {
      verdict: 'notify',
      actionability: 0.83,
      mode: 'shadow',
      reasons: [{ code: 'default', text: 'nothing speaks against it' }],
    },
    routing: {
      primaryTeam: 'payments',
      escalationTeams: ['sre'],
      channels: ['slack:#payments'],
      autoEscalateMinutes: 5,
    },
    nextEscalation: null,
    deploys: [],
    similarIncidents: [],
    degraded: [],
    lead: {
      fingerprint: 'aa',
      alertname: 'PodOOMKilled',
      service: 'payment',
      summary: null,
      description: null,
      runbook: null,
      dashboard: null,
      labels: { alertname: 'PodOOMKilled' },
    },
    metrics: {},
    revision: state.revision,
    configHash: 'c0ffee',
    ...partial,
  };
}

export type SomeAlert = {
  fingerprint: string;
  source?: string;
  alertname?: string;
  service?: string | null;
  severity?: string;
  status?: 'firing' | 'resolved';
  startsAt?: number;
  receivedAt?: number;
  incidentId?: string | null;
  isCurrent?: boolean;
  labels?: Record<string, string>;
  why?: object | null;
  verdict?: 'notify' | 'group' | 'suppress' | null;
  reasons?: { code: string; text: string }[];
};

/** Alert rows as the store writes them. */
export async function putAlerts(db: TestDatabase, alerts: SomeAlert[]): Promise<void> {
  for (const some of alerts) {
    const { alertname = 'HighErrorRate', service = 'checkout', severity = 'high', status = 'firing' } = some;
    const startsAt = some.startsAt ?? START;
    await db.pool.query(
      `insert into alerts (source, fingerprint, starts_at, is_current, status, ends_at, received_at, updated_at,
                           last_seen_at, alertname, severity, service, namespace, labels, annotations, closed_because,
                           incident_id, fire_verdict, reasons, why)
       values ($1, $2, $3, $4, $5, $6, $7, $7, $7, $8, $9, $10, 'shop', $11, $12, $13, $14, $15, $16, $17)`,
      [
        some.source ?? 'default',
        some.fingerprint,
        time(startsAt),
        some.isCurrent ?? true,
        status,
        status === 'resolved' ? time(startsAt + 60_000) : null,
        time(some.receivedAt ?? startsAt + 1_000),
        alertname,
        severity,
        service,
        JSON.stringify(some.labels ?? { alertname, severity, ...(service ? { service } : {}) }),
        JSON.stringify({ summary: `${alertname} on ${service}` }),
        status === 'resolved' ? 'resolved' : null,
        some.incidentId ?? null,
        some.verdict === undefined ? 'notify' : some.verdict,
        JSON.stringify(some.reasons ?? []),
        some.why ? JSON.stringify(some.why) : null,
      ],
    );
  }
}
