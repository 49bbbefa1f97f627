import { z } from 'zod';
import { compilePolicy } from '../decide/policy.ts';
import { alertKey } from '../domain/alert.ts';
import { Incident } from '../domain/incident.ts';
import { Ledger } from '../domain/ledger.ts';
import { whoIsOnCall } from '../escalate/on-call.ts';
import { chartDataOf } from '../notify/picture/chart-data.ts';
import { checkPictureUrl } from '../notify/picture/signed-url.ts';
import { propose } from '../score/propose.ts';
import { readEvidence } from '../store/evidence.ts';
import { linksAmong } from '../store/labels.ts';
import { readLedger } from '../store/ledger.ts';
import {
  findIncident,
  findIncidentId,
  type IncidentRow,
  listIncidents,
  listTimeline,
  type Page,
  type Paging,
  pingStore,
  readCorrelationMemory,
} from '../store/read.ts';
import { type AlertRow, countFiring, listAlerts, listIncidentAlerts } from '../store/read-alerts.ts';
import { listDeploys, listNotifications, listQuarantine, listSuppressed } from '../store/read-lists.ts';
import { readContainment, readLearnedEdges } from '../store/topology.ts';
import { checkHealth, type HealthCheck } from '../telemetry/health.ts';
import { actionEndpoints } from './action-routes.ts';
import { compareAlerts, nearestEpisode } from './compare.ts';
import { correlationView, createMeasure, type MeasureUnder } from './correlation.ts';
import { decodeCursor, encodeCursor, type ListName } from './cursor.ts';
import type { ApiDeps } from './deps.ts';
import { explainAlert } from './explain.ts';
import { noIncident } from './gone.ts';
import { policyCache } from './judged.ts';
import { mailFeedbackEndpoints } from './mail-feedback.ts';
import { openApi } from './openapi.ts';
import { badRequest } from './parse.ts';
import { ok, problem, type Reply } from './problem.ts';
import { findAlert, recordOf } from './record.ts';
import { bad, type Context, type Documented, type Endpoint, endpoint, missing, problemAnswer } from './route.ts';
import * as schemas from './schemas.ts';
import { scorecardEndpoint } from './scorecard.ts';
import { topologyView } from './topology.ts';
import {
  alertView,
  deployView,
  incidentView,
  iso,
  notificationView,
  quarantineView,
  suppressedView,
  timelineView,
} from './views.ts';

/**
 * Every endpoint the API answers, in one list: the router, the validation, `/openapi.json` and the test that calls each of
 * them are made of it.
 */

export function endpoints(door: readonly Documented[]): Endpoint[] {
  const measureOf = measureCache();
  const policyOf = policyCache();
  const all: Endpoint[] = [
    endpoint({
      method: 'get',
      path: '/api/v1/incidents',
      tag: 'incidents',
      summary: 'Incidents, newest start first',
      role: 'viewer',
      query: schemas.IncidentQuery,
      answers: { 200: { description: 'A page', schema: schemas.pageSchema(Incident) }, ...bad },
      handle: ({ deps, query, config }) =>
        page(
          'incidents',
          query,
          (row: IncidentRow) => incidentView(row, config),
          (paging) => {
            const { status, service, team, severity, since, until } = query;
            const filter = {
              status: some(status),
              service: some(service),
              team: some(team),
              severity: some(severity),
              since: since ?? null,
              until: until ?? null,
            };
            return listIncidents(deps.pool, filter, paging);
          },
        ),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/incidents/{id}',
      tag: 'incidents',
      summary: 'One incident',
      role: 'viewer',
      params: schemas.IncidentParams,
      answers: { 200: { description: 'The incident', schema: Incident }, ...missing },
      handle: ({ deps, params, config }) => withIncident(deps, params.id, (row) => ok(incidentView(row, config))),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/incidents/{id}/alerts',
      tag: 'incidents',
      summary: 'The alerts of an incident, earliest onset first',
      role: 'viewer',
      params: schemas.IncidentParams,
      query: schemas.PageQuery,
      answers: { 200: { description: 'A page', schema: schemas.pageSchema(schemas.Alert) }, ...bad, ...missing },
      handle: ({ deps, params, query }) =>
        withIncidentId(deps, params.id, (id) =>
          page('incidentAlerts', query, alertView, (paging) => listIncidentAlerts(deps.pool, id, paging)),
        ),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/incidents/{id}/timeline',
      tag: 'incidents',
      summary: 'What happened to an incident, in order',
      role: 'viewer',
      params: schemas.IncidentParams,
      query: schemas.PageQuery,
      answers: { 200: { description: 'A page', schema: schemas.pageSchema(schemas.TimelineItem) }, ...bad, ...missing },
      handle: ({ deps, params, query }) =>
        withIncidentId(deps, params.id, (id) =>
          page('timeline', query, timelineView, (paging) => listTimeline(deps.pool, id, paging)),
        ),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/incidents/{id}/correlation',
      tag: 'incidents',
      summary: 'Why the alerts of an incident are together: distances with their parts, clusters, services, suspects',
      role: 'viewer',
      params: schemas.IncidentParams,
      query: schemas.CorrelationQuery,
      answers: { 200: { description: 'The picture', schema: schemas.Correlation }, ...bad, ...missing },
      handle: ({ deps, params, query, config }) =>
        withIncident(deps, params.id, async (row) => {
          const incident = incidentView(row, config);
          const paging = { limit: query.limit, after: null };
          const { rows } = await listIncidentAlerts(deps.pool, row.id, paging);
          const used = rows.find((alert) => alert.why && alert.why.eps > 0)?.why;
          return ok(
            await correlationView({
              alerts: rows,
              omitted: Math.max(0, incident.alertCount - rows.length),
              rootCauses: incident.rootCauses,
              graph: deps.graph(),
              measure: await measureOf(deps),
              links: await linksAmong(deps.pool, rows.map(alertKey)),
              proposedSplit: row.status === 'resolved' ? null : row.state.proposedSplit,
              eps: used?.eps ?? deps.model.eps,
              minPts: used?.minPts ?? deps.model.minPts,
              neighbours: query.neighbours,
            }),
          );
        }),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/pictures/{id}',
      tag: 'incidents',
      summary: 'The chart of an incident as a PNG, under an address that was given out signed and that expires',
      role: null,
      params: schemas.IncidentParams,
      query: schemas.PictureQuery,
      answers: {
        200: { description: 'The picture', type: 'image/png' },
        ...bad,
        401: problemAnswer('The signature is wrong'),
        404: problemAnswer('The address has expired, or there is nothing to draw'),
        503: problemAnswer('The picture cannot be drawn now'),
      },
      handle: picture,
    }),
    ...actionEndpoints,
    ...mailFeedbackEndpoints,
    endpoint({
      method: 'get',
      path: '/api/v1/alerts',
      tag: 'alerts',
      summary: 'The current state of every alert, newest arrival first',
      role: 'viewer',
      query: schemas.AlertQuery,
      answers: { 200: { description: 'A page', schema: schemas.pageSchema(schemas.Alert) }, ...bad },
      handle: ({ deps, query }) =>
        page('alerts', query, alertView, async (paging) => {
          const incidentId = await namedIncident(deps, query);
          if (incidentId === NONE) return nothing;
          const { status, service, alertname, severity, source, fingerprint } = query;
          const filter = {
            status: some(status),
            service: some(service),
            alertname: some(alertname),
            severity: some(severity),
            source: some(source),
            fingerprint: some(fingerprint),
            incidentId,
          };
          return listAlerts(deps.pool, filter, paging);
        }),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/alerts/{fingerprint}',
      tag: 'alerts',
      summary: 'One alert with its latest firings',
      role: 'viewer',
      params: schemas.AlertParams,
      query: schemas.SourceQuery,
      answers: {
        200: { description: 'The alert', schema: schemas.AlertDetail },
        ...missing,
        409: problemAnswer('Several sources know such an alert; `sources` lists them'),
      },
      handle: ({ deps, params, query }) =>
        withAlert(deps, params.fingerprint, query.source, 20, ([current, ...earlier]) => {
          const episodes = [current, ...earlier].map((row) => {
            const { startsAt, endsAt, status, closedBecause, incidentId, verdict } = alertView(row);
            return { startsAt, endsAt, status, closedBecause, incidentId, verdict };
          });
          return ok({ ...alertView(current), episodes });
        }),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/alerts/{fingerprint}/explain',
      tag: 'alerts',
      summary: 'Why an alert was grouped, ranked, decided and routed as it was; `?other=` compares two',
      role: 'viewer',
      params: schemas.AlertParams,
      query: schemas.ExplainQuery,
      answers: {
        200: { description: 'In words and numbers', schema: schemas.Explanation },
        ...missing,
        409: problemAnswer('Several sources know such an alert; `sources` lists them'),
      },
      handle: ({ deps, params, query, config }) =>
        withAlert(deps, params.fingerprint, query.source, 1, async ([alert]) => {
          const explain = async (other: AlertRow | null): Promise<Reply> => {
            const how = { measure: await measureOf(deps), graph: deps.graph(), eps: deps.model.eps };
            const compared = other && (await compareAlerts(deps.pool, config, alert, other, how));
            return ok(explainAlert({ ...(await recordOf(deps.pool, alert, config, policyOf, how.measure)), compared }));
          };
          if (query.other === undefined) return explain(null);
          return withAlert(deps, query.other, query.otherSource, 20, (rows) => explain(nearestEpisode(alert, rows)));
        }),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/notifications',
      tag: 'notifications',
      summary: 'Everything sent or to be sent, newest first',
      role: 'viewer',
      query: schemas.NotificationQuery,
      answers: { 200: { description: 'A page', schema: schemas.pageSchema(schemas.Notification) }, ...bad },
      handle: ({ deps, query }) =>
        page('notifications', query, notificationView, async (paging) => {
          const incidentId = await namedIncident(deps, query);
          if (incidentId === NONE) return nothing;
          const { channel, state, kind } = query;
          const filter = { incidentId, channel: some(channel), state: some(state), kind: some(kind) };
          return listNotifications(deps.pool, filter, paging);
        }),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/suppressed',
      tag: 'alerts',
      summary: 'Alerts that policy holds back, or in shadow mode would, with their reasons, latest first',
      role: 'viewer',
      query: schemas.SuppressedQuery,
      answers: { 200: { description: 'A page', schema: schemas.pageSchema(schemas.Suppressed) }, ...bad },
      handle: ({ deps, query }) =>
        page('suppressed', query, suppressedView, async (paging) => {
          const incidentId = await namedIncident(deps, query);
          if (incidentId === NONE) return nothing;
          const { source, fingerprint, active } = query;
          const now = iso(deps.now());
          const filter = {
            incidentId,
            source: some(source),
            fingerprint: some(fingerprint),
            active: active ?? null,
            now,
          };
          return listSuppressed(deps.pool, filter, paging);
        }),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/deploys',
      tag: 'facts',
      summary: 'Changes of services, newest first',
      role: 'viewer',
      query: schemas.DeployQuery,
      answers: { 200: { description: 'A page', schema: schemas.pageSchema(schemas.Deploy) }, ...bad },
      handle: ({ deps, query }) =>
        page('deploys', query, deployView, (paging) => {
          const { service, since, until } = query;
          return listDeploys(deps.pool, { service: some(service), since: since ?? null, until: until ?? null }, paging);
        }),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/topology',
      tag: 'facts',
      summary: 'Services, who calls whom, what fires there, and what the catalogue does not know',
      role: 'viewer',
      answers: { 200: { description: 'The graph', schema: schemas.TopologyAnswer } },
      handle: async ({ deps, config }) => {
        const [firing, learned, contained] = await Promise.all([
          countFiring(deps.pool),
          readLearnedEdges(deps.pool),
          readContainment(deps.pool),
        ]);
        return ok(topologyView(config, deps.graph(), firing, learned, contained, deps.now()));
      },
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/proposals',
      tag: 'service',
      summary:
        'Changes of the config that what people said in the last 30 days speaks for; nothing is changed by itself',
      role: 'viewer',
      query: schemas.ProposalQuery,
      answers: {
        200: { description: 'The best supported first', schema: z.object({ items: z.array(schemas.Proposal) }) },
        ...bad,
      },
      handle: async ({ deps, query, config }) => {
        const until = query.until === undefined ? deps.now() : Date.parse(query.until);
        const since = query.since === undefined ? until - PROPOSED_MS : Date.parse(query.since);
        const evidence = await readEvidence(deps.pool, since, until);
        return ok({ items: propose(evidence, compilePolicy(config)) });
      },
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/ledger',
      tag: 'facts',
      summary: 'What became of every alert state change since the store was made; `received` is the sum of the others',
      role: 'viewer',
      answers: { 200: { description: 'The ledger', schema: Ledger } },
      handle: async ({ deps }) => ok(await readLedger(deps.pool)),
    }),
    scorecardEndpoint,
    endpoint({
      method: 'get',
      path: '/api/v1/oncall',
      tag: 'facts',
      summary: 'Who is on call now and next, per schedule and team',
      role: 'viewer',
      query: schemas.OnCallQuery,
      answers: { 200: { description: 'Who', schema: schemas.OnCall }, ...bad },
      handle: ({ deps, query, config }) =>
        ok(whoIsOnCall(config, query.at === undefined ? deps.now() : Date.parse(query.at))),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/quarantine',
      tag: 'facts',
      summary: 'What was sent and could not be used, latest first, with the reason and the beginning of it',
      role: 'viewer',
      query: schemas.QuarantineQuery,
      answers: { 200: { description: 'A page', schema: schemas.pageSchema(schemas.Quarantined) }, ...bad },
      handle: ({ deps, query }) =>
        page('quarantine', query, quarantineView, (paging) =>
          listQuarantine(deps.pool, { source: some(query.source), shownBytes: 2_000 }, paging),
        ),
    }),
    endpoint({
      method: 'get',
      path: '/api/v1/events',
      tag: 'incidents',
      summary: 'Changes of incidents as they happen: `incident` {id, revision, status}, `resync` after a gap',
      role: 'viewer',
      answers: {
        200: { description: 'A stream that stays open', type: 'text/event-stream' },
        503: problemAnswer('Too many streams are open'),
      },
      handle: ({ req, res, streams }) => streams.open(req, res),
    }),
    endpoint({
      method: 'post',
      path: '/api/v1/analyze',
      tag: 'receive',
      summary: 'Dry run: the same body as the webhook, nothing stored',
      role: 'viewer',
      body: z.unknown(),
      bodyLimit: (config) => config.tocsin.server.max_body,
      answers: { 200: { description: 'Each alert with its `enrichment`', schema: schemas.Analysis }, ...bad },
      handle: async ({ deps, body, who }) => {
        const result = await deps.analyze(body, who ?? 'default');
        if (!result.ok) return problem(400, result.detail);
        const { alerts, quarantined, faults } = result;
        return ok({ alerts, quarantined, faults });
      },
    }),
    endpoint({
      method: 'get',
      path: '/healthz',
      tag: 'service',
      summary: 'The process lives',
      role: null,
      answers: { 200: { description: 'It does', schema: z.object({ status: z.literal('ok') }) } },
      handle: () => ok({ status: 'ok' }),
    }),
    endpoint({
      method: 'get',
      path: '/readyz',
      tag: 'service',
      summary: 'The service can take and work on alerts; also while it is degraded',
      role: null,
      answers: {
        200: { description: 'Ready', schema: schemas.HealthAnswer },
        503: { description: 'Not ready; `parts` says why', schema: schemas.HealthAnswer },
      },
      handle: async ({ deps }) => {
        const health = await checkHealth([storeCheck(deps), ...deps.checks]);
        return { status: health.status === 'failed' ? 503 : 200, body: health };
      },
    }),
    endpoint({
      method: 'get',
      path: '/metrics',
      tag: 'service',
      summary: 'Metrics in the Prometheus text format',
      role: 'viewer',
      answers: { 200: { description: 'The text', type: 'text/plain; version=0.0.4' } },
      handle: async ({ deps }) => ({
        status: 200,
        body: await deps.metricsText(),
        headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
      }),
    }),
    endpoint({
      method: 'post',
      path: '/-/reload',
      tag: 'service',
      summary: 'Load the config tree anew; a bad one is refused whole and the last good one stays',
      role: 'admin',
      answers: {
        200: { description: 'In force', schema: schemas.Reloaded },
        422: problemAnswer('Refused; `faults` lists each with its place'),
      },
      handle: async ({ deps, who }) => {
        const result = await deps.reload(who);
        if (result.ok) return ok({ status: 'reloaded', configHash: result.hash });
        const detail = `The config has ${result.faults.length} fault(s); the tree loaded before stays in force.`;
        return problem(422, detail, { faults: result.faults });
      },
    }),
    endpoint({
      method: 'get',
      path: '/openapi.json',
      tag: 'service',
      summary: 'This description',
      role: 'viewer',
      answers: { 200: { description: 'OpenAPI 3.1' } },
      handle: () => ok(description()),
    }),
  ];
  let made: object | null = null;
  const description = (): object => {
    made ??= openApi([...all, ...door]);
    return made;
  };
  return all;
}

/** A filter that names nothing filters nothing. */
const some = <T>(list: T[] | undefined): T[] | null => (list && list.length > 0 ? list : null);

const nothing: Page<never> = { rows: [], next: null };

/** One page as the contract shows it; a cursor of another list or none at all is a 400. */
async function page<Row>(
  list: ListName,
  query: { limit: number; cursor?: string | undefined },
  view: (row: Row) => unknown,
  read: (paging: Paging) => Promise<Page<Row>>,
): Promise<Reply> {
  const after = query.cursor === undefined ? null : decodeCursor(list, query.cursor);
  if (query.cursor !== undefined && after === null) {
    const detail = 'is not one of this list; give the `nextCursor` of the page before, unchanged';
    return badRequest('Parameter', [{ name: 'cursor', detail }]);
  }
  const { rows, next } = await read({ limit: query.limit, after });
  return ok({ items: rows.map(view), nextCursor: encodeCursor(list, next) });
}

/** Drawn anew from what the incident holds: an address that is asked for once is not worth keeping a file for. */
async function picture({
  deps,
  params,
  query,
  res,
}: Context<z.infer<typeof schemas.IncidentParams>, z.infer<typeof schemas.PictureQuery>>): Promise<Reply | null> {
  const asked = checkPictureUrl(deps.pictureKey, { id: params.id, ...query }, deps.now());
  if (asked === 'forged') return problem(401, 'The signature does not belong to this address.');
  if (asked === 'expired') return problem(404, 'This address has expired; open the incident instead.');
  const row = await findIncident(deps.pool, params.id);
  const incident = Incident.safeParse(row?.doc).data;
  const data = incident ? chartDataOf(incident) : null;
  if (!data) return problem(404, 'There is nothing to draw for this incident.');
  const png = await deps.painter.paint(data);
  if (!png) return problem(503, 'The picture cannot be drawn now; ask again in a minute.', {}, { 'retry-after': '60' });
  res.status(200).type('png').set('cache-control', 'private, max-age=60').end(png);
  return null;
}

const NONE = Symbol('no such incident');

/** The id that `?incident=` (or `?incidentId=`) means; an unknown one matches nothing. */
async function namedIncident(
  { pool }: Pick<ApiDeps, 'pool'>,
  query: { incident?: string | undefined; incidentId?: string | undefined },
): Promise<string | null | typeof NONE> {
  const named = query.incident ?? query.incidentId;
  if (named === undefined) return null;
  return (await findIncidentId(pool, named)) ?? NONE;
}

async function withIncident(
  { pool }: ApiDeps,
  id: string,
  then: (row: IncidentRow) => Reply | Promise<Reply>,
): Promise<Reply> {
  const row = await findIncident(pool, id);
  return row ? then(row) : noIncident(id);
}

async function withIncidentId({ pool }: ApiDeps, id: string, then: (id: string) => Promise<Reply>): Promise<Reply> {
  const found = await findIncidentId(pool, id);
  return found === null ? noIncident(id) : then(found);
}

/** The alert of a fingerprint, its current episode first; several sources are a conflict that `?source=` settles. */
async function withAlert(
  { pool }: ApiDeps,
  fingerprint: string,
  source: string | undefined,
  episodes: number,
  then: (rows: [AlertRow, ...AlertRow[]]) => Reply | Promise<Reply>,
): Promise<Reply> {
  const found = await findAlert(pool, fingerprint, source, episodes);
  if (found.status === 'found') return then(found.episodes);
  if (found.status === 'missing')
    return problem(404, `There is no alert ${fingerprint}${source ? ` from ${source}` : ''}.`);
  const { sources } = found;
  const detail = `Several sources have an alert ${fingerprint}: ${sources.join(', ')}. Name one with ?source=.`;
  return problem(409, detail, { sources });
}

/** How far back proposals look, ms. */
const PROPOSED_MS = 30 * 86_400_000;

/** What was learned changes slowly and may be long: it is read again after this, ms. */
const MEMORY_MS = 30_000;

/** The distance as it is now; made anew when the graph changes and when what was learned has aged. */
function measureCache(): (deps: ApiDeps) => Promise<MeasureUnder> {
  let kept: { measure: MeasureUnder; graph: unknown; at: number } | null = null;
  return async (deps) => {
    const graph = deps.graph();
    const now = deps.now();
    if (kept && kept.graph === graph && now - kept.at < MEMORY_MS) return kept.measure;
    const measure = createMeasure(graph, deps.model, await readCorrelationMemory(deps.pool));
    kept = { measure, graph, at: now };
    return measure;
  };
}

function storeCheck({ pool }: Pick<ApiDeps, 'pool'>): HealthCheck {
  return {
    name: 'store',
    check: async () => {
      try {
        await pingStore(pool);
        return { state: 'ok', detail: 'answers and has its schema' };
      } catch (error) {
        // 42P01 is undefined_table: the server answers, the migrations have not run.
        const unmigrated = (error as { code?: string }).code === '42P01';
        const detail = unmigrated ? 'the schema is missing; run `tocsin migrate`' : 'cannot be reached';
        return { state: 'failed', detail };
      }
    },
  };
}
