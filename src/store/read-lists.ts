import type { Reason } from '../domain/reason.ts';
import { type Db, type DbTime, type Page, type Paging, pageOf } from './read.ts';

/** What the API reads beside incidents and alerts: notifications, suppressed alerts, deploys, quarantine. */

export type NotificationRow = {
  id: string;
  created_at: DbTime;
  sent_at: DbTime | null;
  incident_id: string;
  channel: string;
  address: string;
  kind: string;
  state: string;
  attempts: { at: DbTime; result: string }[];
  text: string | null;
  position: string[];
};

export type NotificationFilter = {
  incidentId: string | null;
  channel: string[] | null;
  state: string[] | null;
  kind: string[] | null;
};

/** Everything sent or to be sent, newest first. */
export async function listNotifications(
  db: Db,
  filter: NotificationFilter,
  paging: Paging,
): Promise<Page<NotificationRow>> {
  const { rows } = await db.query<NotificationRow>(
    `select n.id, n.created_at, n.sent_at, n.incident_id, n.channel, n.address, n.kind, n.state, n.attempts, n.text,
            array[to_char(n.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), n.id] as position
       from notifications n
      where ($1::text is null or n.incident_id = $1)
        and ($2::text[] is null or n.channel = any ($2))
        and ($3::text[] is null or n.state = any ($3))
        and ($4::text[] is null or n.kind = any ($4))
        and ($5::timestamptz is null or (n.created_at, n.id) < ($5, $6))
      order by n.created_at desc, n.id desc
      limit $7`,
    [
      filter.incidentId,
      filter.channel,
      filter.state,
      filter.kind,
      paging.after?.[0] ?? null,
      paging.after?.[1] ?? null,
      paging.limit + 1,
    ],
  );
  return pageOf(rows, paging.limit);
}

export type SuppressedRow = {
  source: string;
  fingerprint: string;
  starts_at: DbTime;
  incident_id: string;
  reasons: Reason[];
  policy: string;
  at: DbTime;
  expires_at: DbTime;
  released_at: DbTime | null;
  position: string[];
};

export type SuppressedFilter = {
  incidentId: string | null;
  source: string[] | null;
  fingerprint: string[] | null;
  active: boolean | null;
  now: string;
};

/** Alerts held back, latest first. `active`: neither released nor expired at `now`. */
export async function listSuppressed(db: Db, filter: SuppressedFilter, paging: Paging): Promise<Page<SuppressedRow>> {
  const { rows } = await db.query<SuppressedRow>(
    `select s.source, s.fingerprint, s.starts_at, s.incident_id, s.reasons, s.policy, s.at, s.expires_at, s.released_at,
            array[to_char(s.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), s.source, s.fingerprint,
                  to_char(s.starts_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')] as position
       from suppressed s
      where ($1::text is null or s.incident_id = $1)
        and ($2::text[] is null or s.source = any ($2))
        and ($3::text[] is null or s.fingerprint = any ($3))
        and ($4::boolean is null or (s.released_at is null and s.expires_at > $5::timestamptz) = $4)
        and ($6::timestamptz is null or (s.at, s.source, s.fingerprint, s.starts_at) < ($6, $7, $8, $9))
      order by s.at desc, s.source desc, s.fingerprint desc, s.starts_at desc
      limit $10`,
    [
      filter.incidentId,
      filter.source,
      filter.fingerprint,
      filter.active,
      filter.now,
      paging.after?.[0] ?? null,
      paging.after?.[1] ?? null,
      paging.after?.[2] ?? null,
      paging.after?.[3] ?? null,
      paging.limit + 1,
    ],
  );
  return pageOf(rows, paging.limit);
}

/** The suppression that holds for one alert, newest first; null when it was never held back. */
export async function newestSuppression(db: Db, source: string, fingerprint: string): Promise<SuppressedRow | null> {
  const { rows } = await db.query<SuppressedRow>(
    `select s.source, s.fingerprint, s.starts_at, s.incident_id, s.reasons, s.policy, s.at, s.expires_at, s.released_at
       from suppressed s
      where s.source = $1 and s.fingerprint = $2
      order by s.starts_at desc
      limit 1`,
    [source, fingerprint],
  );
  return rows[0] ?? null;
}

export type DeployRow = {
  id: string;
  service: string;
  version: string | null;
  previous_version: string | null;
  environment: string | null;
  cluster: string | null;
  started_at: DbTime;
  finished_at: DbTime | null;
  status: string | null;
  author: string | null;
  commit: string | null;
  url: string | null;
  summary: string | null;
  rollback: boolean;
  sources: string[];
  position: string[];
};

export type DeployFilter = { service: string[] | null; since: string | null; until: string | null };

/** Changes, newest start first. */
export async function listDeploys(db: Db, filter: DeployFilter, paging: Paging): Promise<Page<DeployRow>> {
  const { rows } = await db.query<DeployRow>(
    `select d.id, d.service, d.version, d.previous_version, d.environment, d.cluster, d.started_at, d.finished_at,
            d.status, d.author, d.commit, d.url, d.summary, d.rollback, d.sources,
            array[to_char(d.started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), d.id] as position
       from deploys d
      where ($1::text[] is null or d.service = any ($1))
        and ($2::timestamptz is null or d.started_at >= $2)
        and ($3::timestamptz is null or d.started_at < $3)
        and ($4::timestamptz is null or (d.started_at, d.id) < ($4, $5))
      order by d.started_at desc, d.id desc
      limit $6`,
    [
      filter.service,
      filter.since,
      filter.until,
      paging.after?.[0] ?? null,
      paging.after?.[1] ?? null,
      paging.limit + 1,
    ],
  );
  return pageOf(rows, paging.limit);
}

export type QuarantineRow = {
  id: string;
  at: DbTime;
  source: string;
  place: string;
  reason: string;
  raw: Buffer;
  raw_bytes: number;
  position: string[];
};

/** What could not be used, newest first. Of the raw bytes only the first `shownBytes` are read: one may be 16 MiB. */
export async function listQuarantine(
  db: Db,
  filter: { source: string[] | null; shownBytes: number },
  paging: Paging,
): Promise<Page<QuarantineRow>> {
  const { rows } = await db.query<QuarantineRow>(
    `select q.id::text as id, q.at, q.source, q.place, q.reason,
            substring(q.raw from 1 for $2::int) as raw, length(q.raw) as raw_bytes, array[q.id::text] as position
       from quarantine q
      where ($1::text[] is null or q.source = any ($1))
        and ($3::bigint is null or q.id < $3)
      order by q.id desc
      limit $4`,
    [filter.source, filter.shownBytes, paging.after?.[0] ?? null, paging.limit + 1],
  );
  return pageOf(rows, paging.limit);
}
