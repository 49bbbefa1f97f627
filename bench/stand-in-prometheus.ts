import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

/**
 * A stand-in for Prometheus that serves a recording (`metrics.json` or `.gz`: the shape of a range query's result) over the
 * part of the HTTP API that selectors need: instant and range queries of `name{l="v",…}` (=, !=, =~, !~, without a name too),
 * range selectors, series, labels. No functions or operators: those get 400, as a syntax error does.
 *
 *   node bench/stand-in-prometheus.ts metrics.json.gz      prints its URL and serves until it is stopped
 */
export type Recorded = { metric: Record<string, string>; values: [number, number][] };

/** What it understands: `full`, without `raw` range selectors, or `plain` (equality matchers behind a metric name only). */
export type Level = 'full' | 'no-raw' | 'plain';

const LOOKBACK = 300;

type Test = (metric: Record<string, string>) => boolean;
class BadQuery extends Error {}

/** `name{l="v",m=~"…"}[55m]` as a test of label sets and the range in seconds, or null. */
function parse(query: string, level: Level): { test: Test; range: number | null } {
  const match = /^\s*([a-zA-Z_:][\w:]*)?\s*(?:\{(.*)\})?\s*(?:\[(\d+)(s|m|h)\])?\s*$/s.exec(query);
  if (!match || (!match[1] && !match[2])) throw new BadQuery('only selectors are understood here');
  const tests: Test[] = match[1] ? [(metric) => metric.__name__ === match[1]] : [];
  let rest = match[2] ?? '';
  while (rest.trim() !== '') {
    const matcher = /^\s*,?\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")\s*/.exec(rest);
    if (!matcher) throw new BadQuery(`unexpected ${rest.slice(0, 20)}`);
    const [whole, name, op, text] = matcher as unknown as [string, string, string, string];
    const value = JSON.parse(text) as string;
    const anchored = op.includes('~') ? new RegExp(`^(?:${value})$`, 'su') : null;
    const is = (metric: Record<string, string>): boolean =>
      anchored ? anchored.test(metric[name] ?? '') : (metric[name] ?? '') === value;
    tests.push(op.startsWith('!') ? (metric) => !is(metric) : is);
    if (level === 'plain' && (op !== '=' || !match[1]))
      throw new BadQuery('only name{label="value"} is understood here');
    rest = rest.slice(whole.length);
  }
  const unit = { s: 1, m: 60, h: 3600 }[match[4] ?? 's']!;
  if (match[3] && level !== 'full') throw new BadQuery('range selectors are not understood here');
  return { test: (metric) => tests.every((one) => one(metric)), range: match[3] ? Number(match[3]) * unit : null };
}

/** The newest sample at or before `at`, not older than the look-back. */
function sampleAt(values: Recorded['values'], at: number): number | null {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]![0] <= at) low = middle + 1;
    else high = middle;
  }
  const found = values[low - 1];
  return found && found[0] > at - LOOKBACK ? found[1] : null;
}

export async function startStandIn(
  series: readonly Recorded[],
  { level = 'full', onRequest }: { level?: Level; onRequest?: (path: string, params: URLSearchParams) => void } = {},
): Promise<{ url: string; close(): Promise<void> }> {
  const number = (params: URLSearchParams, name: string): number => {
    const text = params.get(name) ?? '';
    const value = /^[\d.]+$/.test(text) ? Number(text) : Date.parse(text) / 1000;
    if (Number.isNaN(value)) throw new BadQuery(`${name} is no time`);
    return value;
  };
  const selected = (query: string) => {
    const { test, range } = parse(query, level);
    return { range, found: series.filter(({ metric }) => test(metric)) };
  };

  function answer(path: string, params: URLSearchParams): unknown {
    if (path === '/api/v1/query') {
      const at = number(params, 'time');
      const { range, found } = selected(params.get('query') ?? '');
      if (range !== null) {
        const result = found.flatMap(({ metric, values }) => {
          const within = values.filter(([t]) => t > at - range && t <= at).map(([t, v]) => [t, String(v)]);
          return within.length > 0 ? [{ metric, values: within }] : [];
        });
        return { resultType: 'matrix', result };
      }
      const result = found.flatMap(({ metric, values }) => {
        const value = sampleAt(values, at);
        return value === null ? [] : [{ metric, value: [at, String(value)] }];
      });
      return { resultType: 'vector', result };
    }
    if (path === '/api/v1/query_range') {
      const [start, end, step] = [number(params, 'start'), number(params, 'end'), number(params, 'step')];
      if (!(step > 0) || (end - start) / step > 11_000)
        throw new BadQuery('exceeded maximum resolution of 11,000 points per timeseries');
      const { range, found } = selected(params.get('query') ?? '');
      if (range !== null) throw new BadQuery('a range query needs an instant vector');
      const result = found.flatMap(({ metric, values }) => {
        const points: [number, string][] = [];
        for (let at = start; at <= end; at += step) {
          const value = sampleAt(values, at);
          if (value !== null) points.push([at, String(value)]);
        }
        return points.length > 0 ? [{ metric, values: points }] : [];
      });
      return { resultType: 'matrix', result };
    }
    if (path === '/api/v1/series' && level !== 'plain') {
      const tests = params.getAll('match[]').map((match) => parse(match, level).test);
      return series.filter(({ metric }) => tests.some((test) => test(metric))).map(({ metric }) => metric);
    }
    const label = /^\/api\/v1\/label\/(\w+)\/values$/.exec(path)?.[1];
    if (label) return [...new Set(series.flatMap(({ metric }) => metric[label] ?? []))].sort();
    if (path === '/api/v1/labels') return [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].sort();
    return undefined;
  }

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://stand-in');
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const form = request.method === 'POST' ? new URLSearchParams(Buffer.concat(chunks).toString()) : url.searchParams;
      onRequest?.(url.pathname, form);
      const send = (code: number, body: unknown): void => {
        response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      };
      try {
        const data = answer(url.pathname, form);
        if (data === undefined) response.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found\n');
        else send(200, { status: 'success', data });
      } catch (error) {
        const known = error instanceof BadQuery || error instanceof SyntaxError;
        if (!known) throw error;
        send(400, { status: 'error', errorType: 'bad_data', error: error.message });
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Reads a recording, gzipped or not. */
export function readRecording(file: string): Recorded[] {
  const bytes = readFileSync(file);
  return JSON.parse((file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')) as Recorded[];
}

if (import.meta.main) {
  const file = process.argv[2];
  if (!file) {
    process.stderr.write('usage: node bench/stand-in-prometheus.ts metrics.json[.gz] [full|no-raw|plain]\n');
    process.exit(2);
  }
  const level = (process.argv[3] ?? 'full') as Level;
  const { url } = await startStandIn(readRecording(file), { level });
  process.stdout.write(`${url}\n`);
}
