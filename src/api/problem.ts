import type { Response } from 'express';

/** What every handler gives back: a status, a JSON body (or null for none) and headers of its own. */
export type Reply = { status: number; body: unknown; headers?: Record<string, string> };

/** A problem document of RFC 9457. `type` is left out: it would be `about:blank`, which is what absence means. */
type Problem = { title: string; status: number; detail: string } & Record<string, unknown>;

const titles: Record<number, string> = {
  400: 'Bad request',
  401: 'Not authenticated',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  410: 'Gone',
  413: 'Body too large',
  415: 'Unsupported media type',
  422: 'Refused',
  429: 'Too many requests',
  500: 'Internal error',
  503: 'Not available now',
};

/** The problem document for a status. `detail` says what is wrong and what to do next; never a stack, never SQL. */
function problemBody(status: number, detail: string, extra: Record<string, unknown> = {}): Problem {
  return { title: titles[status] ?? 'Problem', status, detail, ...extra };
}

/** A problem as a reply (content type `application/problem+json`). */
export function problem(
  status: number,
  detail: string,
  extra: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Reply {
  return {
    status,
    body: problemBody(status, detail, extra),
    headers: { 'content-type': 'application/problem+json; charset=utf-8', ...headers },
  };
}

/** Answers with JSON and status 200. */
export const ok = (body: unknown): Reply => ({ status: 200, body });

/** Writes a reply out once; a connection that is gone or already answered is left alone. */
export function send(res: Response, reply: Reply): void {
  if (res.headersSent || res.destroyed) return;
  res.status(reply.status);
  for (const [name, value] of Object.entries(reply.headers ?? {})) res.setHeader(name, value);
  if (reply.body === null || reply.body === undefined) {
    res.end();
    return;
  }
  if (!res.hasHeader('content-type')) res.setHeader('content-type', 'application/json; charset=utf-8');
  res.end(typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body));
}
