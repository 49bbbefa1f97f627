import { fairTurn } from '../turns.ts';
import {
  labelSetsOf,
  type MatrixSeries,
  matrixOf,
  type SeriesLabels,
  textsOf,
  type VectorSeries,
  vectorOf,
  versionOf,
} from './answers.ts';
import type { Answer, Ask, Client, Failure } from './client.ts';

type Read<T> = { ok: true; value: T; at: number } | Failure;
type How = Pick<Ask, 'now' | 'weight' | 'maxAgeMs' | 'notBefore'> & { signal?: AbortSignal | undefined };

const MINUTE = 60_000;

/** The answer, read when the event loop has time for it: a hundred incidents may have waited for it. */
async function asked(client: Client, ask: Ask, signal: AbortSignal | undefined): Promise<Answer> {
  const answer = await client.ask(ask, signal);
  await fairTurn();
  return answer;
}

/** Unix seconds with milliseconds, as the API takes times. */
const unix = (at: number): string => String(Math.round(at) / 1000);
const limitOf = (client: Client): [string, string] => ['timeout', `${Math.ceil(client.server.timeout / 1000)}s`];

/** The vector a query gives at `how.now`. */
export async function instant(client: Client, query: string, how: How): Promise<Read<VectorSeries[]>> {
  const params: [string, string][] = [['query', query], ['time', unix(how.now)], limitOf(client)];
  return vectorOf(await asked(client, { path: '/api/v1/query', params, key: `instant ${query}`, ...how }, how.signal));
}

/** What a range selector holds at `how.now`: the samples as they were scraped. */
export async function rawRange(client: Client, query: string, how: How): Promise<Read<MatrixSeries[]>> {
  const params: [string, string][] = [['query', query], ['time', unix(how.now)], limitOf(client)];
  return matrixOf(await asked(client, { path: '/api/v1/query', params, key: `raw ${query}`, ...how }, how.signal));
}

/** A query evaluated every `stepMs` from `start` to `end`, both moved down to a multiple of the step so that caches hit. */
export async function range(
  client: Client,
  query: string,
  { start, end, stepMs, key }: { start: number; end: number; stepMs: number; key?: string },
  how: How,
): Promise<Read<MatrixSeries[]>> {
  const align = (at: number): number => Math.floor(at / stepMs) * stepMs;
  const params: [string, string][] = [
    ['query', query],
    ['start', unix(align(start))],
    ['end', unix(align(end))],
    ['step', String(stepMs / 1000)],
    limitOf(client),
  ];
  const known = { key: key ?? `range ${stepMs} ${align(end) - align(start)} ${query}` };
  return matrixOf(await asked(client, { path: '/api/v1/query_range', params, ...known, ...how }, how.signal));
}

/** The series behind a selector in a window; `limit` is heeded from 2.51 on. */
export async function seriesOf(
  client: Client,
  matches: readonly string[],
  window: { start: number; end: number },
  how: How,
): Promise<Read<SeriesLabels[]>> {
  const params: [string, string][] = [
    ...matches.map((match): [string, string] => ['match[]', match]),
    ['start', unix(window.start)],
    ['end', unix(window.end)],
    ['limit', '2000'],
  ];
  const key = `series ${JSON.stringify(matches)}`;
  return labelSetsOf(await asked(client, { path: '/api/v1/series', params, key, ...how }, how.signal));
}

/** Ten thousand names are made a set once, not once an alert. */
const sets = new WeakMap<string[], ReadonlySet<string>>();

/** The names of all metrics, asked for every ten minutes; null where the server does not tell. */
export async function metricNames(
  client: Client,
  now: number,
  signal?: AbortSignal,
): Promise<ReadonlySet<string> | null> {
  const path = '/api/v1/label/__name__/values';
  const names = textsOf(await client.ask({ path, params: [], now, maxAgeMs: 10 * MINUTE, weight: 'extra' }, signal));
  if (!names.ok) return null;
  const known = sets.get(names.value) ?? new Set(names.value);
  sets.set(names.value, known);
  return known;
}

/** The server's version when it is a Prometheus that says so. What was decided by it must also bear a lie. */
export async function versionAtLeast(
  client: Client,
  [major, minor]: readonly [number, number],
  now: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const path = '/api/v1/status/buildinfo';
  const version = versionOf(await client.ask({ path, params: [], now, maxAgeMs: 10 * MINUTE, weight: 'core' }, signal));
  return version !== null && (version[0] > major || (version[0] === major && version[1] >= minor));
}
