import type { PlacementWhy } from '../domain/effects.ts';
import type { Reason } from '../domain/reason.ts';
import { type Db, type DbTime, type Page, type Paging, pageOf } from './read.ts';

/** What the API reads of alerts: the current episode of each, the episodes of one, and those of an incident. */

export type AlertRow = {
  source: string;
  fingerprint: string;
  starts_at: DbTime;
  is_current: boolean;
  status: 'firing' | 'resolved';
  ends_at: DbTime | null;
  expires_at: DbTime | null;
  received_at: DbTime;
  updated_at: DbTime;
  last_seen_at: DbTime;
  alertname: string;
  severity: string;
  service: string | null;
  namespace: string | null;
  cluster: string | null;
  tenant: string;
  destination: string | null;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  generator_url: string | null;
  group_key: string | null;
  receiver: string | null;
  closed_because: string | null;
  incident_id: string | null;
  fire_verdict: string | null;
  resolve_verdict: string | null;
  reasons: Reason[];
  why: PlacementWhy | null;
  position: string[];
};

const columns = `
  a.source, a.fingerprint, a.starts_at, a.is_current, a.status, a.ends_at, a.expires_at, a.received_at, a.updated_at,
  a.last_seen_at, a.alertname, a.severity, a.service, a.namespace, a.cluster, a.tenant, a.destination, a.labels, a.annotations, a.generator_url,
  a.group_key, a.receiver, a.closed_because, a.incident_id, a.fire_verdict, a.resolve_verdict, a.reasons, a.why`;

export type AlertFilter = {
  status: string[] | null;
  service: string[] | null;
  alertname: string[] | null;
  severity: string[] | null;
  source: string[] | null;
  fingerprint: string[] | null;
  incidentId: string | null;
};

/** The current episode of every alert, newest arrival first (`alerts_list` is the index in this order). */
export async function listAlerts(db: Db, filter: AlertFilter, paging: Paging): Promise<Page<AlertRow>> {
  const { rows } = await db.query<AlertRow>(
    `select ${columns},
            array[to_char(a.received_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), a.source, a.fingerprint]
              as position
       from alerts a
      where a.is_current and a.source <> 'tocsin-canary'
        and ($1::text[] is null or a.status = any ($1))
        and ($2::text[] is null or a.service = any ($2))
        and ($3::text[] is null or a.alertname = any ($3))
        and ($4::text[] is null or a.severity = any ($4))
        and ($5::text[] is null or a.source = any ($5))
        and ($6::text[] is null or a.fingerprint = any ($6))
        and ($7::text is null or a.incident_id = $7)
        and ($8::timestamptz is null or (a.received_at, a.source, a.fingerprint) < ($8, $9, $10))
      order by a.received_at desc, a.source desc, a.fingerprint desc
      limit $11`,
    [
      filter.status,
      filter.service,
      filter.alertname,
      filter.severity,
      filter.source,
      filter.fingerprint,
      filter.incidentId,
      paging.after?.[0] ?? null,
      paging.after?.[1] ?? null,
      paging.after?.[2] ?? null,
      paging.limit + 1,
    ],
  );
  return pageOf(rows, paging.limit);
}

/** The alerts of an incident, earliest onset first: of each its latest episode there, as `alertCount` counts them. */
export async function listIncidentAlerts(db: Db, incidentId: string, paging: Paging): Promise<Page<AlertRow>> {
  const { rows } = await db.query<AlertRow>(
    `select ${columns},
            array[to_char(a.starts_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), a.source, a.fingerprint]
              as position
       from (
         select distinct on (m.source, m.fingerprint) m.*
           from alerts m
          where m.incident_id = $1
          order by m.source, m.fingerprint, m.starts_at desc
       ) a
      where $2::timestamptz is null or (a.starts_at, a.source, a.fingerprint) > ($2, $3, $4)
      order by a.starts_at, a.source, a.fingerprint
      limit $5`,
    [incidentId, paging.after?.[0] ?? null, paging.after?.[1] ?? null, paging.after?.[2] ?? null, paging.limit + 1],
  );
  return pageOf(rows, paging.limit);
}

/** The sources that know an alert of this fingerprint, in order; at most 100. */
export async function sourcesOf(db: Db, fingerprint: string): Promise<string[]> {
  const { rows } = await db.query<{ source: string }>(
    'select distinct a.source from alerts a where a.fingerprint = $1 order by a.source limit 100',
    [fingerprint],
  );
  return rows.map((row) => row.source);
}

/** The episodes of one alert, the current or newest first. */
export async function listEpisodes(db: Db, source: string, fingerprint: string, limit: number): Promise<AlertRow[]> {
  const { rows } = await db.query<AlertRow>(
    `select ${columns}
       from alerts a
      where a.source = $1 and a.fingerprint = $2
      order by a.is_current desc, a.starts_at desc
      limit $3`,
    [source, fingerprint, limit],
  );
  return rows;
}

/** Episodes by their keys (`source/fingerprint@startsAt`, epoch ms); unknown ones are left out. */
export async function listEpisodesByKey(db: Db, keys: readonly string[]): Promise<{ key: string; row: AlertRow }[]> {
  const parts = keys.flatMap((key) => {
    const found = /^([^/]*)\/(.*)@(-?\d+)$/.exec(key);
    return found
      ? [{ key, source: found[1]!, fingerprint: found[2]!, at: new Date(Number(found[3])).toISOString() }]
      : [];
  });
  const { rows } = await db.query<AlertRow & { key: string }>(
    `select wanted.key, ${columns}
       from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) with ordinality
              as wanted (key, source, fingerprint, starts_at, position)
       join alerts a on a.source = wanted.source and a.fingerprint = wanted.fingerprint and a.starts_at = wanted.starts_at
      order by wanted.position`,
    [
      parts.map((part) => part.key),
      parts.map((part) => part.source),
      parts.map((part) => part.fingerprint),
      parts.map((part) => part.at),
    ],
  );
  return rows.map(({ key, ...row }) => ({ key, row }));
}

/**
 * Alerts of other incidents that came shortly before or after this one did (`ms` each way), the nearest in time first: those it
 * might have been with. Served by the index on arrival of current episodes.
 */
export async function listAround(
  db: Db,
  alert: AlertRow,
  ms: number,
  limit: number,
): Promise<(AlertRow & { number: string })[]> {
  const { rows } = await db.query<AlertRow & { number: string }>(
    `select ${columns}, i.number
       from alerts a join incidents i on i.id = a.incident_id
      where a.is_current and a.tenant = $1 and a.incident_id is distinct from $2
        and a.received_at between $3::timestamptz - make_interval(secs => $4) and $3::timestamptz + make_interval(secs => $4)
      order by abs(extract(epoch from a.received_at - $3::timestamptz)), a.source, a.fingerprint
      limit $5`,
    [alert.tenant, alert.incident_id, new Date(alert.received_at).toISOString(), ms / 1_000, limit],
  );
  return rows;
}

export type KnownAlert = { key: string; alertname: string; service: string | null; summary: string | null };

/** Names for alert keys (`source/fingerprint`), as an explanation shows them; unknown keys are left out. */
export async function nameAlerts(db: Db, keys: readonly string[]): Promise<KnownAlert[]> {
  const parts = keys.map((key) => {
    const cut = key.indexOf('/');
    return { source: key.slice(0, cut), fingerprint: key.slice(cut + 1) };
  });
  const { rows } = await db.query<KnownAlert>(
    `select distinct on (a.source, a.fingerprint)
            a.source || '/' || a.fingerprint as key, a.alertname, a.service, a.annotations ->> 'summary' as summary
       from unnest($1::text[], $2::text[]) as wanted (source, fingerprint)
       join alerts a on a.source = wanted.source and a.fingerprint = wanted.fingerprint
      order by a.source, a.fingerprint, a.starts_at desc`,
    [parts.map((part) => part.source), parts.map((part) => part.fingerprint)],
  );
  return rows;
}

/** How many alerts fire per service, for the topology; served by the index of firing alerts. */
export async function countFiring(
  db: Db,
): Promise<{ service: string; namespace: string | null; firing: number; worst: string }[]> {
  const { rows } = await db.query<{ service: string; namespace: string | null; firing: string; worst: string }>(
    `select a.service, a.namespace, count(*) as firing,
            (array['critical', 'high', 'medium', 'low', 'info'])[
              min(array_position(array['critical', 'high', 'medium', 'low', 'info'], a.severity))] as worst
       from alerts a
      where a.status = 'firing' and a.service is not null
      group by a.service, a.namespace`,
  );
  return rows.map((row) => ({ ...row, firing: Number(row.firing) }));
}
