import { STATUS_CODES } from 'node:http';
import express, { type NextFunction, type Request, type RequestHandler, type Response, type Router } from 'express';
import type { Config, Role } from '../config/schema.ts';
import { authenticate, authorize } from '../receive/auth.ts';
import type { ApiDeps } from './deps.ts';
import { doorEndpoints } from './door.ts';
import { createEventStreams, type EventStreams } from './events.ts';
import { parseBody, parseParams, parseQuery } from './parse.ts';
import { problem, type Reply, send } from './problem.ts';
import type { Documented, Endpoint } from './route.ts';
import { endpoints } from './routes.ts';

export type Api = {
  router: Router;
  /** Ends the event streams; give it to the server as `onClosing`. */
  close(): void;
};

/**
 * Sections 3 (dry run) and 4 of the contract, health, metrics and reload. Mount it last: it answers every path that
 * nobody knows with 404, and every known path asked with the wrong method with 405, as problem documents.
 */
export function createApi(deps: ApiDeps): Api {
  const streams = createEventStreams({
    live: deps.live,
    now: deps.now,
    onSize: (size) => deps.metrics.eventStreams.set(size),
  });
  const table = endpoints(doorEndpoints);
  const router = express.Router({ caseSensitive: true, strict: true });
  router.use(protect);
  for (const one of table) router[one.method](expressPath(one.path), ...handlers(one, deps, streams));
  for (const [path, documented] of byPath([...table, ...doorEndpoints])) {
    router.all(expressPath(path), wrongMethod(documented, deps));
  }
  router.use((req, res) => {
    const access = authenticate(req, deps.config());
    count(deps, req, res, 'unknown');
    send(res, access.ok ? problem(404, 'Nothing is here. GET /openapi.json lists every endpoint.') : access.problem);
  });
  return { router, close: () => streams.close() };
}

const expressPath = (path: string): string => path.replace(/\{(\w+)\}/g, ':$1');

function byPath(list: readonly Documented[]): Map<string, Documented[]> {
  const paths = new Map<string, Documented[]>();
  for (const one of list) paths.set(one.path, [...(paths.get(one.path) ?? []), one]);
  return paths;
}

/** Answers are data for programs: never sniffed, never cached, never a page that could run or frame something. */
function protect(_req: Request, res: Response, next: NextFunction): void {
  res.setHeader('x-content-type-options', 'nosniff');
  res.setHeader('cache-control', 'no-store');
  res.setHeader('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
  res.setHeader('referrer-policy', 'no-referrer');
  next();
}

/** Who may is settled before anything is read: 401, then 403, then what is wrong with the request, then 404. */
function handlers(one: Endpoint, deps: ApiDeps, streams: EventStreams): RequestHandler[] {
  const admit: RequestHandler = (req, res, next) => {
    count(deps, req, res, one.path);
    const config = deps.config();
    const admitted = admission(req, config, one.role);
    if (!admitted.ok) {
      // The rest of an unwanted body is let pass, so that the connection can be used again.
      req.resume();
      send(res, admitted.reply);
      return;
    }
    res.locals.config = config;
    res.locals.who = admitted.who;
    next();
  };
  const answer: RequestHandler = async (req, res) => {
    const { config, who } = res.locals as { config: Config; who: string | null };
    const params = one.params ? parseParams(one.params, req.params) : empty;
    if (!params.ok) return send(res, params.reply);
    const query = one.query ? parseQuery(one.query, req.query as Record<string, unknown>) : empty;
    if (!query.ok) return send(res, query.reply);
    const body = one.body ? parseBody(one.body, req.body) : empty;
    if (!body.ok) return send(res, body.reply);
    const context = {
      params: params.value,
      query: query.value,
      body: body.value,
      who,
      config,
      req,
      res,
      deps,
      streams,
    };
    const reply = await one.handle(context);
    if (reply) send(res, reply);
  };
  return one.body ? [admit, readJson(one, deps), answer] : [admit, answer];
}

const empty = { ok: true, value: {} } as const;

type Admission = { ok: true; who: string | null } | { ok: false; reply: Reply };

function admission(req: Request, config: Config, role: Role | null): Admission {
  if (role === null) return { ok: true, who: null };
  const access = authorize(req, config, role);
  return access.ok ? { ok: true, who: access.name } : { ok: false, reply: access.problem };
}

/** JSON whatever the content type says, as Alertmanager's own API takes it; the limit follows the config in force. */
function readJson(one: Endpoint, deps: ApiDeps): RequestHandler {
  const parsers = new Map<number, RequestHandler>();
  return (req, res, next) => {
    const limit = one.bodyLimit?.(deps.config()) ?? 256 * 1024;
    const parser = parsers.get(limit) ?? express.json({ limit, strict: false, type: () => true });
    parsers.set(limit, parser);
    parser(req, res, (error?: unknown) => {
      if (!error) {
        next();
        return;
      }
      const { status = 400, type } = error as { status?: number; type?: string };
      // The sender hung up: nobody is there to be answered.
      if (type === 'request.aborted') return;
      send(res, problem(status, unreadable(status, limit)));
    });
  };
}

function unreadable(status: number, limit: number): string {
  if (status === 413) return `The body is larger than the ${limit} bytes that are taken here.`;
  if (status === 415) return 'The body has an unknown encoding; send UTF-8 JSON, plain or with gzip, deflate or br.';
  return status === 400 ? 'The body is not JSON.' : `The body cannot be read (${STATUS_CODES[status] ?? status}).`;
}

function wrongMethod(known: Documented[], deps: ApiDeps): RequestHandler {
  const methods = known.map((one) => one.method.toUpperCase());
  const allow = methods.includes('GET') ? [...methods, 'HEAD'] : methods;
  return (req, res) => {
    count(deps, req, res, known[0]!.path);
    req.resume();
    const access = authenticate(req, deps.config());
    const isOpen = known.every((one) => one.role === null);
    if (!access.ok && !isOpen) {
      send(res, access.problem);
      return;
    }
    send(res, problem(405, `Here is ${allow.join(', ')} only.`, {}, { allow: allow.join(', ') }));
  };
}

/** Counts a request when its answer has left; the route is the template, so that ids do not multiply the series. */
function count(deps: ApiDeps, req: Request, res: Response, route: string): void {
  const begun = performance.now();
  const method = KNOWN_METHODS.has(req.method) ? req.method : 'other';
  res.once('close', () => {
    deps.metrics.httpRequests.inc({ method, route, status: String(res.statusCode) });
    // A stream's life is no answer time.
    if (route !== '/api/v1/events')
      deps.metrics.httpSeconds.observe({ method, route }, (performance.now() - begun) / 1_000);
  });
}

const KNOWN_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
