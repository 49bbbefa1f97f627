import { createHash } from 'node:crypto';
import type { Deploy } from '../../domain/deploy.ts';
import { type Draft, type Fault, saysRollback } from './draft.ts';

/** Longest texts kept, in UTF-16 units. A service's name is never cut, since it must match; a longer one is a fault. */
const LIMITS = {
  service: 512,
  version: 512,
  environment: 256,
  cluster: 256,
  status: 128,
  author: 512,
  commit: 256,
  url: 2048,
  summary: 1000,
};

const MINUTE = 60_000;
const DAY = 86_400_000;
/** Clocks differ by this much without being worth a word. */
const SKEW = 2 * MINUTE;
/** Go's zero time and its like: a time before this is none. */
const EARLIEST = Date.UTC(2000, 0, 1);

export type NormaliseContext = {
  /** Who reports: `api`, `github`, …; kept in `sources`. */
  source: string;
  receivedAt: number;
  /** Lower-case name → name of every service of the catalogue. */
  catalogue: ReadonlyMap<string, string>;
};

/**
 * One change with everything checked: texts cleaned and cut, times made plausible, the service mapped to the catalogue. Gives
 * a fault instead when nothing says which service changed or a time cannot be read. Notes say what was taken otherwise than
 * sent. A time in the future is taken as now (clocks differ); a finish before the start is dropped.
 */
export function normalise(
  draft: Draft,
  context: NormaliseContext,
): { deploy: Deploy; notes: Fault[] } | { fault: Fault } {
  const { receivedAt, source } = context;
  const { place } = draft;
  const notes: Fault[] = [];
  const note = (field: string, reason: string): void => void notes.push({ place: placeOf(place, field), reason });
  const refuse = (field: string, reason: string): { fault: Fault } => ({
    fault: { place: placeOf(place, field), reason },
  });

  const service = serviceOf(draft, context.catalogue);
  if (service === null) return refuse('service', 'nothing says which service changed; send `service`');
  if (service.length > LIMITS.service) return refuse('service', `the name is longer than ${LIMITS.service} characters`);

  const text = (
    field: Exclude<keyof typeof LIMITS, 'service' | 'url'> | 'previousVersion',
    limit: number,
  ): string | null => {
    const value = draft[field];
    if (value === undefined || value === null || value === '') return null;
    const said = clean(value);
    if (said === null) note(field, 'is neither text nor number and was left out');
    else if (said.length > limit) note(field, `was cut to ${limit} characters`);
    return said === null ? null : said.slice(0, limit).toWellFormed() || null;
  };

  let startedAt = receivedAt;
  if (draft.startedAt !== undefined && draft.startedAt !== null) {
    const said = timeOf(draft.startedAt);
    if (said === null) return refuse('startedAt', 'is not a time; write RFC 3339, for example 2026-11-20T07:30:00Z');
    if (said < EARLIEST) note('startedAt', 'lies before the year 2000; taken as the time it reached us');
    else startedAt = Math.min(said, receivedAt);
    if (said > receivedAt + SKEW)
      note('startedAt', `lies ${ago(said - receivedAt)} in the future; taken as the time it reached us`);
  }
  let finishedAt: number | null = null;
  if (draft.finishedAt !== undefined && draft.finishedAt !== null) {
    const said = timeOf(draft.finishedAt);
    if (said === null) note('finishedAt', 'is not a time and was left out');
    else if (said < startedAt) {
      // Go's zero time means "not yet"; a start that we moved to now explains the rest.
      if (said >= EARLIEST && startedAt !== receivedAt) note('finishedAt', 'lies before the start and was left out');
    } else finishedAt = Math.min(said, receivedAt);
  }

  const fields = {
    service,
    version: text('version', LIMITS.version),
    previousVersion: text('previousVersion', LIMITS.version),
    environment: text('environment', LIMITS.environment),
    cluster: text('cluster', LIMITS.cluster),
    commit: text('commit', LIMITS.commit),
    status: text('status', LIMITS.status),
    author: text('author', LIMITS.author),
    summary: text('summary', LIMITS.summary),
  };
  const deploy: Deploy = {
    id: deployId(fields, startedAt),
    ...fields,
    startedAt,
    finishedAt,
    url: (draft.urls ?? []).map(httpUrl).find((url) => url !== null) ?? null,
    sources: [source],
    rollback: draft.rollback === true || saysRollback(fields.status, fields.summary),
  };
  return { deploy, notes };
}

/** Whole seconds, because the senders of one change round differently. A repeated delivery gives the same id. */
function deployId(
  {
    service,
    version,
    commit,
    environment,
    cluster,
    summary,
  }: Pick<Deploy, 'service' | 'version' | 'commit' | 'environment' | 'cluster' | 'summary'>,
  startedAt: number,
): string {
  const what = version ?? commit ?? summary;
  const parts = [service.toLowerCase(), what, environment, cluster, Math.floor(startedAt / 1000)];
  return `dep-${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 24)}`;
}

function serviceOf(draft: Draft, catalogue: ReadonlyMap<string, string>): string | null {
  const given = draft.services.map(clean).filter((name) => name !== null && name !== '') as string[];
  const hunches = (draft.hunches ?? []).map(clean).filter((name) => name !== null);
  for (const name of [...given, ...hunches]) {
    const known = catalogue.get(name.toLowerCase());
    if (known !== undefined) return known;
  }
  return given[0] ?? null;
}

/** Text or number as clean text (no control characters, which PostgreSQL and logs dislike); null for anything else. */
function clean(value: unknown): string | null {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  if (typeof value !== 'string') return null;
  // A huge text is cut before it is worked on; 4,096 is above every limit.
  return value
    .slice(0, 4096)
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim()
    .toWellFormed();
}

/** Epoch ms of a time in any of the senders' spellings, null for none. Numbers are seconds below the year 5138, else ms. */
export function timeOf(value: unknown): number | null {
  if (typeof value === 'number')
    return Number.isFinite(value) && value > 0 ? Math.round(value < 1e11 ? value * 1000 : value) : null;
  if (typeof value !== 'string' || value.length > 64) return null;
  const text = value.trim();
  // GitLab: `2026-11-20 07:30:00 UTC`, `2026-11-20 08:30:00 +0100`.
  const gitlab = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) (UTC|[+-]\d\d:?\d\d)$/.exec(text);
  const iso = gitlab
    ? `${gitlab[1]}T${gitlab[2]}${gitlab[3] === 'UTC' ? 'Z' : `${gitlab[3]!.slice(0, 3)}:${gitlab[3]!.slice(-2)}`}`
    : text;
  if (!/^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)$/.test(iso)) return null;
  const at = Date.parse(iso);
  return Number.isNaN(at) ? null : at;
}

/** An http(s) address as it was sent, null for anything else: it becomes a link in a message. */
function httpUrl(value: unknown): string | null {
  if (typeof value !== 'string' || value.length > LIMITS.url || !URL.canParse(value)) return null;
  const url = new URL(value);
  return url.protocol === 'http:' || url.protocol === 'https:' ? url.href.slice(0, LIMITS.url) : null;
}

const placeOf = (place: string, field: string): string => (place === '' ? field : `${place}.${field}`);

const ago = (ms: number): string =>
  ms < 120 * MINUTE
    ? `${Math.round(ms / MINUTE)} minutes`
    : ms < 2 * DAY
      ? `${Math.round(ms / 3_600_000)} hours`
      : `${Math.round(ms / DAY)} days`;
