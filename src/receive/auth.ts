import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { problem, type Reply } from '../api/problem.ts';
import type { Config, Role } from '../config/schema.ts';
import { secret } from '../config/secrets.ts';
import { CANARY } from '../domain/canary.ts';

/** Who asks: the token's name and role; without configured tokens everyone on loopback is an unnamed admin. */
export type Access = { ok: true; name: string | null; role: Role };
export type Denied = { ok: false; status: 401 | 403; problem: Reply };

/** As much of a request as the judgement needs. */
export type AuthRequest = { method?: string | undefined; headers: IncomingHttpHeaders };

/** Lets the canary of this process in at its own door; made at start, known to nobody else. */
export const canaryToken: string = randomBytes(32).toString('hex');
const canaryDigest = hash('sha256', canaryToken, 'buffer');

type KnownToken = { name: string; role: Role; digest: Buffer };

/** admin ⊃ editor ⊃ responder ⊃ viewer. `webhook` stands beside them: it may post, and of the others only admin may too. */
const rank: Record<Exclude<Role, 'webhook'>, number> = { viewer: 0, responder: 1, editor: 2, admin: 3 };

/** Whether somebody of role `has` may do what asks for role `needs`. */
export function covers(has: Role, needs: Role): boolean {
  if (has === needs || has === 'admin') return true;
  if (has === 'webhook' || needs === 'webhook') return false;
  return rank[has] >= rank[needs];
}

/**
 * Judges the credentials of a request: bearer, or basic with the token as password and any user name. All tokens are
 * compared, each in constant time, so that an answer's time tells nothing; two tokens may share a name for rotation.
 * Without configured tokens the service listens on loopback only, and a request that a web page could have made
 * (a foreign Host, Origin or Sec-Fetch-Site: DNS rebinding and cross-site posts) is refused with 403.
 */
export function authenticate(request: AuthRequest, config: Config): Access | Denied {
  const tokens = tokensOf(config);
  const { headers } = request;
  const offered = offeredToken(headers.authorization);
  if (offered !== null && timingSafeEqual(canaryDigest, digestOf(offered.token)))
    return { ok: true, name: CANARY, role: 'webhook' };
  if (tokens === null) {
    const foreign = foreignWhenOpen(request, config);
    return foreign === null ? { ok: true, name: null, role: 'admin' } : denied(403, foreign);
  }
  if (offered === null) {
    return denied(401, 'This needs a token: send `Authorization: Bearer TOKEN`, or HTTP basic with it as password.');
  }
  const known = findToken(tokens, offered.token);
  if (known === null) return denied(401, 'The token is not known here; see server.tokens in tocsin.yaml.');
  // A browser repeats basic credentials by itself, also for another site's page; it never repeats a bearer by itself.
  if (offered.scheme === 'basic' && !isSafeMethod(request.method) && headers['sec-fetch-site'] === 'cross-site') {
    return denied(403, 'Another site may not act here with the credentials that the browser remembers.');
  }
  return { ok: true, name: known.name, role: known.role };
}

/** `authenticate`, and the role on top: 403 when the token is good but may not do this. */
export function authorize(request: AuthRequest, config: Config, needs: Role): Access | Denied {
  const access = authenticate(request, config);
  if (!access.ok || covers(access.role, needs)) return access;
  return denied(403, `The token "${access.name}" has the role ${access.role}; this needs ${needs}.`);
}

/** The name and role of a live token given by itself (PagerDuty senders carry it as `routing_key`); null when unknown. */
export function accessByToken(token: string, config: Config): Access | null {
  const known = findToken(tokensOf(config) ?? [], token);
  return known && { ok: true, name: known.name, role: known.role };
}

/** Whether any token is configured. Without one everything is open, on loopback only. */
export const hasTokens = (config: Config): boolean => tokensOf(config) !== null;

const SOURCE = /^[A-Za-z0-9._-]{1,64}$/;

/** The source of a delivery: the token's name, else `?source=`, else `default`; null when `?source=` is malformed. */
export function sourceOf(access: Access, asked: unknown): string | null {
  if (access.name !== null) return access.name;
  if (asked === undefined) return 'default';
  return typeof asked === 'string' && SOURCE.test(asked) && asked !== CANARY ? asked : null;
}

/** The answer to a missing or bad credential: both schemes, so that a browser asks and a program sees that a bearer will do. */
export const unauthorized = (detail: string): Reply =>
  problem(401, detail, {}, { 'www-authenticate': 'Bearer realm="tocsin", Basic realm="tocsin", charset="UTF-8"' });

const denied = (status: 401 | 403, detail: string): Denied => ({
  ok: false,
  status,
  problem: status === 401 ? unauthorized(detail) : problem(status, detail),
});

const digestOf = (token: string): Buffer => hash('sha256', token, 'buffer');

/** Hashed once per config tree, so that a reload brings new tokens and forgets the old ones. */
const hashed = new WeakMap<Config, KnownToken[] | null>();

function tokensOf(config: Config): KnownToken[] | null {
  const cached = hashed.get(config);
  if (cached !== undefined) return cached;
  const configured = config.tocsin.server.tokens ?? [];
  const tokens = configured.flatMap(({ name, role, token }) => {
    const value = secret(config, token);
    // Loading the config refuses a token without a value; were one to slip through, it must never match.
    return value ? [{ name, role, digest: digestOf(value) }] : [];
  });
  const known = configured.length === 0 ? null : tokens;
  hashed.set(config, known);
  return known;
}

function findToken(tokens: KnownToken[], offered: string): KnownToken | null {
  const digest = digestOf(offered);
  let found: KnownToken | null = null;
  // No early exit: the time must not tell how many tokens were passed over.
  for (const token of tokens) if (timingSafeEqual(token.digest, digest)) found ??= token;
  return found;
}

function offeredToken(authorization: string | undefined): { scheme: 'bearer' | 'basic'; token: string } | null {
  const parts = /^(bearer|basic) +(\S+) *$/i.exec(authorization ?? '');
  if (!parts) return null;
  if (parts[1]!.toLowerCase() === 'bearer') return { scheme: 'bearer', token: parts[2]! };
  const pair = Buffer.from(parts[2]!, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon < 0 ? null : { scheme: 'basic', token: pair.slice(colon + 1) };
}

const isSafeMethod = (method: string | undefined): boolean =>
  method === 'GET' || method === 'HEAD' || method === 'OPTIONS';

/** Why a request to the open service may come from a web page elsewhere; null when it cannot. */
function foreignWhenOpen({ method, headers }: AuthRequest, config: Config): string | null {
  const publicHost = config.tocsin.server.public_url ? new URL(config.tocsin.server.public_url).host : null;
  const isOurs = (host: string): boolean => isLoopback(host) || host === publicHost;
  const { host, origin } = headers;
  if (host !== undefined && !isOurs(host.toLowerCase())) {
    return 'Without tokens this service answers to loopback names only; use http://127.0.0.1, or configure server.tokens and server.public_url.';
  }
  const from = headers['sec-fetch-site'];
  // Following a link (from a mail to an incident, say) only shows a page; nobody but the person sees the answer.
  const isLink = isSafeMethod(method) && headers['sec-fetch-mode'] === 'navigate';
  if (!isLink && from !== undefined && from !== 'same-origin' && from !== 'none') {
    return 'Another web page may not use this service; configure server.tokens to let programs in.';
  }
  if (!isLink && origin !== undefined && !isSameOrigin(origin, host, publicHost)) {
    return 'Another web page may not use this service; configure server.tokens to let programs in.';
  }
  return null;
}

/** The page must come from the very host and port that is asked: another local port is somebody else's program. */
function isSameOrigin(origin: string, host: string | undefined, publicHost: string | null): boolean {
  if (!URL.canParse(origin)) return false;
  const from = new URL(origin).host;
  return from === host?.toLowerCase() || (publicHost !== null && from === publicHost);
}

/** A Host header that only this machine can mean; RFC 6761 reserves localhost. */
function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '');
  return name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' || /^127(\.\d{1,3}){3}$/.test(name);
}
