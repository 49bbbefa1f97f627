import { createServer as createHttpServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type ErrorRequestHandler, type Router } from 'express';
import { problem, send } from './problem.ts';

export type ServerOptions = {
  /** Mounted in this order; the last should be the API's, which answers what nobody knows with 404. */
  routers: readonly Router[];
  listen: { host: string; port: number };
  log: { error(fields: object, text: string): void };
  /** Called first when closing, to end what would otherwise stay open (event streams). */
  onClosing?: () => void;
  /** How long requests in flight may go on once closing, ms; then their connections are cut. Default 5,000. */
  graceMs?: number;
};

export type RunningServer = {
  /** `http://127.0.0.1:8080`, with the port that the kernel chose when 0 was asked for. */
  url: string;
  server: Server;
  /** Stops accepting, finishes what is in flight, cuts the rest after the grace; safe to call twice. */
  close(): Promise<void>;
};

/**
 * The HTTP server that everything is mounted on. Fails with what to do when the address cannot be had.
 */
export async function createServer(options: ServerOptions): Promise<RunningServer> {
  let closing: Promise<void> | null = null;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((_req, res, next) => {
    // While draining each answer is the last on its connection, so that the sender goes elsewhere.
    if (closing) res.setHeader('connection', 'close');
    next();
  });
  for (const router of options.routers) app.use(router);
  app.use((_req, res) => send(res, problem(404, 'Nothing is here. GET /openapi.json lists every endpoint.')));
  app.use(lastResort(options.log));

  const server = createHttpServer(
    {
      headersTimeout: 60_000,
      // A 16 MiB body may come over a slow line: 5 minutes is 56 kB/s.
      requestTimeout: 300_000,
      // Longer than the 5 minutes for which Alertmanager's client keeps idle connections (prometheus/common
      // IdleConnTimeout), so that it is never us who closes one just as it is used again.
      keepAliveTimeout: 310_000,
    },
    app,
  );
  // A burst of 5,000 senders must queue in the kernel, not be refused; it takes the smaller of this and somaxconn.
  const { host, port } = options.listen;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(cannotListen(host, port, cause)));
    server.listen({ host, port, backlog: 4_096 }, () => resolve());
  });
  server.removeAllListeners('error');
  server.on('error', (error) => options.log.error({ err: error }, 'HTTP server error'));

  const address = server.address() as AddressInfo;
  const shown = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `http://${shown}:${address.port}`,
    server,
    close: () => {
      closing ??= drain(server, options.onClosing, options.graceMs ?? 5_000);
      return closing;
    },
  };
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): Error {
  const why: Record<string, string> = {
    EADDRINUSE: 'another program listens there; stop it, or set TOCSIN_LISTEN to a free address',
    EACCES: 'this user may not; choose a port above 1023 in TOCSIN_LISTEN',
    EADDRNOTAVAIL: 'this machine has no such address; correct TOCSIN_LISTEN',
  };
  return new Error(`Cannot listen on ${host}:${port}: ${why[cause.code ?? ''] ?? cause.message}.`, { cause });
}

async function drain(server: Server, onClosing: (() => void) | undefined, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  onClosing?.();
  server.closeIdleConnections();
  // Connections become idle as their last answer leaves; sweep until none is left.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const cut = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(cut);
}

/** What no handler caught: logged whole here, said to the caller without stack or SQL. */
function lastResort(log: ServerOptions['log']): ErrorRequestHandler {
  return (error: unknown, req, res, _next) => {
    const status = clientFault(error);
    if (status !== null) {
      send(res, problem(status, fault(status)));
      return;
    }
    if (isStoreGone(error)) {
      log.error({ err: error, path: req.path }, 'the store cannot be reached');
      send(res, problem(503, 'The store cannot be reached; try again in a few seconds.', {}, { 'retry-after': '5' }));
      return;
    }
    log.error({ err: error, path: req.path }, 'unexpected error in a request');
    send(res, problem(500, 'Something unexpected happened; the log has the details.'));
  };
}

/** The status of a fault that the caller made (broken JSON, too large), as express and its parsers mark it. */
function clientFault(error: unknown): number | null {
  const status = (error as { status?: unknown } | null)?.status;
  return typeof status === 'number' && status >= 400 && status < 500 ? status : null;
}

const faults: Record<number, string> = {
  400: 'The request cannot be read: the body is not JSON, or the path holds a broken % sequence.',
  413: 'The body is larger than this endpoint takes.',
  415: 'The body has an encoding or character set that is not supported; send UTF-8 JSON, plain, gzip, deflate or br.',
};
const fault = (status: number): string => faults[status] ?? 'The request cannot be read.';

/** Node's socket errors, and PostgreSQL's connection (08), resource (53), operator (57P) and timeout (57014) classes. */
export function isStoreGone(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code === 'string') {
    return /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|08...|53...|57P..|57014|3D000)$/.test(
      code,
    );
  }
  return (
    typeof message === 'string' &&
    /timeout exceeded when trying to connect|Connection terminated|not queryable|Query read timeout/i.test(message)
  );
}
