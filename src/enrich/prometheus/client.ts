import { BrokenCircuitError, ConsecutiveBreaker, circuitBreaker, handleWhenResult } from 'cockatiel';
import type { Config } from '../../config/schema.ts';
import { secret } from '../../config/secrets.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Outbound, OutboundRequest } from '../../telemetry/outbound.ts';
import { fairTurn } from '../turns.ts';
import { createGate } from './gate.ts';

export type PrometheusServer = Config['tocsin']['prometheus'][number];

/**
 * Why there is no answer, in words that may be shown. `unanswered`: the server is down or slow; `refused`: it does not like
 * this question; `unsupported`: it has no such endpoint; `limit`: we did not ask; `unusable`: not the answer of a Prometheus.
 */
export type Failure = {
  ok: false;
  kind: 'unanswered' | 'refused' | 'unsupported' | 'limit' | 'too-large' | 'unusable';
  reason: string;
};
/** `at`: the time (epoch ms) the question was asked for; an answer from the cache may be a little older than wished. */
export type Answer<T = unknown> = { ok: true; data: T; at: number } | Failure;

export type Ask = {
  /** `/api/v1/query` */
  path: string;
  params: readonly (readonly [string, string])[];
  /** What the cache knows it by; without it path and params. Times are left out of it on purpose. */
  key?: string;
  /** Epoch ms; in a replay the simulated time. */
  now: number;
  /** An answer asked for so long ago still serves, ms; one that is under way serves everybody. */
  maxAgeMs: number;
  /** But not one asked for before this time, epoch ms: the value of before the alert is of no use. */
  notBefore?: number;
  /** `core` may use the whole allowance of requests a minute, `extra` half of it. */
  weight: 'core' | 'extra';
  maxBytes?: number;
};

export type Client = {
  name: string;
  server: PrometheusServer;
  /** Never rejects. `signal` ends the waiting, not the request: its answer still serves the next one who asks. */
  ask(ask: Ask, signal?: AbortSignal): Promise<Answer>;
  /** What this server was found to (not) understand, so that it is asked in that way first next time. */
  learned: Map<string, string>;
  /** False in a replay: time is simulated, and how long an answer took must not matter. */
  live: boolean;
};

export type ClientDeps = {
  server: PrometheusServer;
  config: () => Config;
  outbound: Pick<Outbound, 'request'>;
  metrics: Pick<Metrics, 'prometheusRequests'>;
  /** Epoch ms of the real clock, for the allowance per minute; null in a replay, which has no allowance and no breaker. */
  clock: (() => number) | null;
};

/** Parsing 2 MiB of JSON takes about 15 ms, well below the 50 ms that the event loop may stand still. */
const MAX_BYTES = 2 * 1024 * 1024;
const LARGE_BYTES = 64 * 1024;
const CACHE_BYTES = 24 * 1024 * 1024;
const CACHE_ENTRIES = 2_000;
/** Waiting behind `max_in_flight`: more than this many are told so at once. */
const WAITING = { core: 200, extra: 50 };
const FAILURES_TO_OPEN = 5;
const HALF_OPEN_AFTER_MS = 10_000;
/** A refusal stands for this long: the same question would be refused again. */
const REFUSAL_KEPT_MS = 60_000;
/** An answer of 50,000 series stays that large: asked for by every alert of the rule, it would use up the allowance. */
const TOO_LARGE_KEPT_MS = 5 * 60_000;
/** Nor does an endpoint come soon that is not there; a ruler may be put behind the same address later. */
const UNSUPPORTED_KEPT_MS = 30 * 60_000;
/** Longer queries are posted as a form: proxies commonly cut URLs at 8 kB. */
const LONGEST_URL = 4_000;

const failureKeptMs: Partial<Record<Failure['kind'], number>> = {
  refused: REFUSAL_KEPT_MS,
  unsupported: UNSUPPORTED_KEPT_MS,
  'too-large': TOO_LARGE_KEPT_MS,
};

type Entry = { at: number; answer: Promise<Answer>; settled: Answer | null; bytes: number };

/**
 * Asks one Prometheus (or what speaks its HTTP API) sparingly: at most `max_in_flight` at once and `max_per_minute`, one
 * request for all who ask the same, answers kept, and after 5 unanswered ones in a row none for 10 s.
 */
export function createClient({ server, config, outbound, metrics, clock }: ClientDeps): Client {
  const entries = new Map<string, Entry>();
  let cachedBytes = 0;
  const sent: number[] = [];
  const gate = createGate(server.max_in_flight, WAITING);
  const breaker = circuitBreaker(
    handleWhenResult((result) => isFailure(result) && result.kind === 'unanswered'),
    { halfOpenAfter: HALF_OPEN_AFTER_MS, breaker: new ConsecutiveBreaker(FAILURES_TO_OPEN) },
  );

  const fail = (kind: Failure['kind'], reason: string): Failure => ({ ok: false, kind, reason });

  /** A place in this minute's allowance, or what to say when there is none. */
  function allowed(weight: Ask['weight']): Failure | null {
    if (clock === null) return null;
    const now = clock();
    while (sent.length > 0 && now - sent[0]! >= 60_000) sent.shift();
    const most = weight === 'core' ? server.max_per_minute : Math.ceil(server.max_per_minute / 2);
    if (sent.length >= most)
      return fail(
        'limit',
        `not asked: ${sent.length} requests in the last minute (max_per_minute ${server.max_per_minute})`,
      );
    sent.push(now);
    return null;
  }

  async function send(ask: Ask): Promise<{ answer: Answer; bytes: number }> {
    const login = credentials(server, config());
    if (login === null) return { answer: fail('limit', 'the secret that its auth refers to is not set'), bytes: 0 };
    const base = server.url.replace(/\/+$/, '');
    const form = new URLSearchParams(ask.params.map(([name, value]): [string, string] => [name, value]));
    const get = form.size === 0 || form.toString().length <= LONGEST_URL;
    const result = await outbound.request({
      method: get ? 'GET' : 'POST',
      url: `${base}${ask.path}${get && form.size > 0 ? `?${form}` : ''}`,
      peer: 'prometheus',
      timeoutMs: server.timeout,
      maxBytes: ask.maxBytes ?? MAX_BYTES,
      ...login,
      headers: { ...login.headers, ...(get ? {} : { 'content-type': 'application/x-www-form-urlencoded' }) },
      ...(get ? {} : { body: form.toString() }),
    });
    if (result.status === 'too-large')
      return { answer: fail('too-large', 'its answer is larger than we take'), bytes: 0 };
    if (result.status === 'timed-out')
      return { answer: fail('unanswered', `did not answer within ${server.timeout / 1000} s`), bytes: 0 };
    if (result.status !== 'answered') return { answer: fail('unanswered', result.reason), bytes: 0 };
    // Reading a megabyte takes some milliseconds, and four may have come at once.
    if (result.body.length > LARGE_BYTES) await fairTurn();
    return { answer: read(result.code, result.body, ask), bytes: result.body.length };
  }

  /** The `data` of the envelope, or what is wrong, whatever came. */
  function read(code: number, body: string, ask: Ask): Answer {
    let value: { status?: unknown; data?: unknown; errorType?: unknown; error?: unknown } | null = null;
    try {
      value = JSON.parse(body);
    } catch {
      // Said below: 404 and 502 come as plain text or HTML.
    }
    if (code === 404 || code === 405 || code === 501) return fail('unsupported', `it has no ${ask.path}`);
    if (code === 401 || code === 403) return fail('limit', `it refused our login (${code}); check prometheus[].auth`);
    if (code >= 300 && code < 400)
      return fail('unusable', `it redirects (${code}), which we do not follow; check prometheus[].url`);
    const said = typeof value?.error === 'string' ? words(value.error) : '';
    if (code >= 500 || code === 429) return fail('unanswered', `answered ${code}${said && `: ${said}`}`);
    if (code >= 400) return fail('refused', `refused the query (${code}${said && `: ${said}`})`);
    if (value === null || typeof value !== 'object')
      return fail('unusable', `its answer to ${ask.path} is not JSON; is prometheus[].url right?`);
    if (value.status !== 'success' || value.data === undefined)
      return fail('unusable', `its answer to ${ask.path} is not that of a Prometheus${said && `: ${said}`}`);
    return { ok: true, data: value.data, at: ask.now };
  }

  async function guarded(ask: Ask): Promise<{ answer: Answer; bytes: number }> {
    let bytes = 0;
    const run = async (): Promise<Answer> => {
      const refused = allowed(ask.weight);
      if (refused) return refused;
      const got = await send(ask);
      bytes = got.bytes;
      return got.answer;
    };
    try {
      const entered = gate.run(ask.weight, () => (clock === null ? run() : breaker.execute(run)));
      if (entered === null)
        return { answer: fail('limit', `not asked: ${WAITING[ask.weight]} questions already wait for it`), bytes };
      return { answer: await entered, bytes };
    } catch (error) {
      if (error instanceof BrokenCircuitError)
        return {
          answer: fail(
            'limit',
            `did not answer ${FAILURES_TO_OPEN} times in a row; asked again within ${HALF_OPEN_AFTER_MS / 1000} s`,
          ),
          bytes,
        };
      throw error;
    }
  }

  function remember(key: string, entry: Entry): void {
    forget(key);
    entries.set(key, entry);
    for (const [oldest] of entries) {
      if (cachedBytes <= CACHE_BYTES && entries.size <= CACHE_ENTRIES) break;
      forget(oldest);
    }
  }
  function forget(key: string): void {
    const known = entries.get(key);
    if (!known) return;
    cachedBytes -= known.bytes;
    entries.delete(key);
  }

  function serves(entry: Entry, ask: Ask): boolean {
    const age = ask.now - entry.at;
    if (age < 0) return false;
    // What could not be had before the alert cannot be had after it either.
    if (entry.settled?.ok === false) return age <= (failureKeptMs[entry.settled.kind] ?? 0);
    if (ask.notBefore !== undefined && entry.at < ask.notBefore) return false;
    return entry.settled === null || age === 0 || age <= ask.maxAgeMs;
  }

  return {
    name: server.name,
    server,
    learned: new Map(),
    live: clock !== null,
    async ask(ask, signal) {
      const key = `${ask.weight} ${ask.key ?? `${ask.path} ${JSON.stringify(ask.params)}`}`;
      let entry = entries.get(key);
      if (entry && serves(entry, ask)) {
        metrics.prometheusRequests.inc({ server: server.name, result: 'cached' });
      } else {
        const made: Entry = { at: ask.now, answer: Promise.resolve(fail('limit', '')), settled: null, bytes: 0 };
        made.answer = guarded(ask).then(({ answer, bytes }) => {
          made.settled = answer;
          if (entries.get(key) === made) {
            made.bytes = bytes;
            cachedBytes += bytes;
          }
          metrics.prometheusRequests.inc({ server: server.name, result: answer.ok ? 'answered' : answer.kind });
          return answer;
        });
        entry = made;
        remember(key, made);
      }
      return signal ? untilAborted(entry.answer, signal) : entry.answer;
    },
  };
}

function untilAborted(answer: Promise<Answer>, signal: AbortSignal): Promise<Answer> {
  const late: Failure = { ok: false, kind: 'unanswered', reason: 'no answer in time' };
  if (signal.aborted) return Promise.resolve(late);
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve(late);
    signal.addEventListener('abort', onAbort, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

const isFailure = (value: unknown): value is Failure =>
  typeof value === 'object' && value !== null && (value as { ok?: unknown }).ok === false;

/** What a server says of its error, short and on one line. */
const words = (text: string): string =>
  text
    .slice(0, 1_000)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, 160);

/** Request options that log in; null when the secret is not set. */
function credentials({ auth }: PrometheusServer, config: Config): Pick<OutboundRequest, 'headers' | 'auth'> | null {
  if (!auth) return {};
  const value = secret(config, 'bearer' in auth ? auth.bearer : auth.password);
  if (value === null) return null;
  if ('bearer' in auth) return { headers: { authorization: `Bearer ${value}` } };
  return { auth: { username: auth.username, password: value } };
}
