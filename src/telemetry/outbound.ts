import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import axios, { type AxiosInstance, type AxiosResponse, isAxiosError } from 'axios';
import { Counter, Histogram, type Registry } from 'prom-client';

/** One request to somebody else's server. */
export type OutboundRequest = {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  url: string;
  /** Who is called, for metrics and logs: a fixed word such as `pagerduty` or `prometheus`, never a host from input. */
  peer: string;
  headers?: Record<string, string>;
  /** An object is sent as JSON, anything else as it is. */
  body?: string | Buffer | FormData | Record<string, unknown>;
  auth?: { username: string; password: string };
  params?: Record<string, string | number>;
  /** Overrides the client's own, ms. Covers the whole exchange, connection and body included. */
  timeoutMs?: number;
  /** Overrides the client's own, bytes after decompression. */
  maxBytes?: number;
  signal?: AbortSignal;
};

/**
 * What came of it. An answer of any status is `answered`; `body` is the text as sent. The others name why there was none;
 * `reason` is safe to show: it holds neither headers nor query nor body.
 */
export type OutboundResult =
  | { status: 'answered'; code: number; headers: Record<string, string>; body: string; afterMs: number }
  | { status: 'timed-out'; afterMs: number; reason: string }
  | { status: 'too-large'; afterMs: number; reason: string }
  | { status: 'unreachable'; afterMs: number; reason: string };

export type Outbound = {
  request(request: OutboundRequest): Promise<OutboundResult>;
  /** The same client as a WHATWG-like `fetch`, for libraries that take one; throws where fetch would. */
  fetchAs(peer: string): OutboundFetch;
  close(): void;
};

/** As much of a `fetch` Response as the libraries we hand it to read. */
type OutboundResponse = {
  ok: boolean;
  status: number;
  statusText: string;
  url: string;
  headers: { get(name: string): string | null; entries(): Iterable<[string, string]> };
  arrayBuffer(): Promise<ArrayBuffer>;
  json(): Promise<unknown>;
  text(): Promise<string>;
};
type OutboundFetch = (
  url: string | URL,
  init?: { method?: string; headers?: Record<string, string>; body?: string | FormData; signal?: AbortSignal },
) => Promise<OutboundResponse>;

export type OutboundOptions = {
  /** A whole exchange is given up after this long, ms. */
  timeoutMs: number;
  /** An answer longer than this, after decompression, is cut off and refused, bytes. Default 10 MiB. */
  maxBytes?: number;
  log: { debug(fields: Record<string, unknown>, message: string): void };
  registry: Registry;
};

const plainHeaders = (response: AxiosResponse): Record<string, string> => {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined && value !== null) headers[name.toLowerCase()] = String(value);
  }
  return headers;
};

/** Host and port only: a path or query may hold a token. */
const hostOf = (url: string): string => (URL.canParse(url) ? new URL(url).host : 'an unusable address');

const inWords: Record<string, string> = {
  ECONNREFUSED: 'refused the connection',
  ENOTFOUND: 'has no address in DNS',
  EAI_AGAIN: 'could not be looked up in DNS',
  ECONNRESET: 'closed the connection before it answered',
  EPIPE: 'closed the connection before it answered',
  EHOSTUNREACH: 'cannot be reached over the network',
  ENETUNREACH: 'cannot be reached over the network',
  CERT_HAS_EXPIRED: 'has an expired certificate',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'has a self-signed certificate (set NODE_EXTRA_CA_CERTS)',
  SELF_SIGNED_CERT_IN_CHAIN: 'has a certificate of an unknown authority (set NODE_EXTRA_CA_CERTS)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'has a certificate of an unknown authority (set NODE_EXTRA_CA_CERTS)',
  ERR_TLS_CERT_ALTNAME_INVALID: 'has a certificate for another name',
};

function failure(error: unknown, url: string, timedOut: boolean, afterMs: number): OutboundResult {
  const host = hostOf(url);
  const code = isAxiosError(error) ? error.code : undefined;
  if (timedOut || code === 'ECONNABORTED' || code === 'ETIMEDOUT') {
    return {
      status: 'timed-out',
      afterMs,
      reason: `${host} did not answer within ${Math.round(afterMs / 100) / 10} s`,
    };
  }
  if (isAxiosError(error) && /maxContentLength/.test(error.message)) {
    return { status: 'too-large', afterMs, reason: `${host} answered with more than we accept` };
  }
  return {
    status: 'unreachable',
    afterMs,
    reason: `${host} ${inWords[code ?? ''] ?? `failed (${code ?? 'unknown fault'})`}`,
  };
}

/** The same metric object for every client of one registry: several clients with different deadlines share the series. */
function metricsOf(registry: Registry): { requests: Counter; seconds: Histogram } {
  const requests =
    (registry.getSingleMetric('tocsin_outbound_requests_total') as Counter | undefined) ??
    new Counter({
      name: 'tocsin_outbound_requests_total',
      help: 'Requests to other servers by peer and result (status class, timed-out, too-large, unreachable)',
      labelNames: ['peer', 'result'],
      registers: [registry],
    });
  const seconds =
    (registry.getSingleMetric('tocsin_outbound_seconds') as Histogram | undefined) ??
    new Histogram({
      name: 'tocsin_outbound_seconds',
      help: 'How long requests to other servers took',
      labelNames: ['peer'],
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10],
      registers: [registry],
    });
  return { requests, seconds };
}

/**
 * The one HTTP client for everything outside: an axios with a deadline over the whole exchange, no redirects (a token must
 * not follow a `Location` to another host), a cap on the decompressed answer, the usual proxy variables, and metrics by
 * peer. It never throws and never retries: durable retry is the outbox's.
 */
export function createOutbound(options: OutboundOptions): Outbound {
  const httpAgent = new HttpAgent({ keepAlive: true, maxSockets: 64 });
  const httpsAgent = new HttpsAgent({ keepAlive: true, maxSockets: 64 });
  const client: AxiosInstance = axios.create({
    httpAgent,
    httpsAgent,
    maxRedirects: 0,
    responseType: 'arraybuffer',
    decompress: true,
    validateStatus: () => true,
    transformRequest: [(data: unknown) => data],
    transformResponse: [(data: unknown) => data],
  });
  const { requests, seconds } = metricsOf(options.registry);

  async function exchange(
    request: OutboundRequest,
  ): Promise<{ result: OutboundResult; bytes: Buffer; statusText: string }> {
    const started = performance.now();
    const timeoutMs = request.timeoutMs ?? options.timeoutMs;
    // axios' own `timeout` watches a quiet socket only: a server that drips a byte a second would hold us for ever.
    const deadline = AbortSignal.timeout(timeoutMs);
    const signal = request.signal ? AbortSignal.any([deadline, request.signal]) : deadline;
    const json = isPlainObject(request.body);
    try {
      const response = await client.request<Buffer>({
        method: request.method,
        url: request.url,
        params: request.params,
        headers: { ...(json ? { 'Content-Type': 'application/json' } : {}), ...request.headers },
        data: json ? JSON.stringify(request.body) : request.body,
        auth: request.auth,
        maxContentLength: request.maxBytes ?? options.maxBytes ?? 10 * 1024 * 1024,
        maxBodyLength: 64 * 1024 * 1024,
        signal,
      });
      const afterMs = performance.now() - started;
      const bytes = Buffer.from(response.data ?? []);
      const result = {
        status: 'answered' as const,
        code: response.status,
        headers: plainHeaders(response),
        body: bytes.toString('utf8'),
        afterMs,
      };
      return { result, bytes, statusText: response.statusText };
    } catch (error) {
      const afterMs = performance.now() - started;
      const result = failure(error, request.url, signal.aborted, afterMs);
      return { result, bytes: Buffer.alloc(0), statusText: '' };
    }
  }

  async function counted(request: OutboundRequest) {
    const exchanged = await exchange(request);
    const { result } = exchanged;
    const word = result.status === 'answered' ? `${Math.floor(result.code / 100)}xx` : result.status;
    requests.inc({ peer: request.peer, result: word });
    seconds.observe({ peer: request.peer }, result.afterMs / 1000);
    options.log.debug(
      { peer: request.peer, host: hostOf(request.url), result: word, ms: Math.round(result.afterMs) },
      'outbound request',
    );
    return exchanged;
  }

  return {
    request: async (request) => (await counted(request)).result,
    fetchAs: (peer) => async (url, init) => {
      const { result, bytes, statusText } = await counted({
        method: (init?.method ?? 'GET') as OutboundRequest['method'],
        url: String(url),
        peer,
        headers: init?.headers ?? {},
        body: init?.body,
        signal: init?.signal,
      });
      if (result.status !== 'answered') throw new Error(result.reason);
      return {
        ok: result.code >= 200 && result.code < 300,
        status: result.code,
        statusText,
        url: String(url),
        headers: {
          get: (name) => result.headers[name.toLowerCase()] ?? null,
          entries: () => Object.entries(result.headers),
        },
        arrayBuffer: async () => new Uint8Array(bytes).buffer,
        json: async () => JSON.parse(result.body) as unknown,
        text: async () => result.body,
      };
    },
    close: () => {
      httpAgent.destroy();
      httpsAgent.destroy();
    },
  };
}

const isPlainObject = (body: unknown): body is Record<string, unknown> =>
  typeof body === 'object' && body !== null && !Buffer.isBuffer(body) && !(body instanceof FormData);
