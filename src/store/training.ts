import type pg from 'pg';
import type { Deploy } from '../domain/deploy.ts';
import type { Severity } from '../domain/severity.ts';
import { timestamp } from './encode.ts';
import { deployOf } from './restore.ts';

type Db = Pick<pg.Pool, 'query'>;

/** What people said of a pair of alerts (keys `source/fingerprint`), and in which deed; times are epoch ms. */
export type SaidOfPair = { kind: 'must' | 'cannot'; a: string; b: string; by: string; at: number; incidentId: string };

/** The links made in the period, oldest first. */
export async function readLinks(db: Db, since: number, until: number): Promise<SaidOfPair[]> {
  const { rows } = await db.query(
    `select l.kind, l.a, l.b, l.by, l.at, l.incident_id as "incidentId"
       from links l
      where l.at >= $1 and l.at < $2
      order by l.at, l.a, l.b`,
    [timestamp(since), timestamp(until)],
  );
  return rows.map((row) => ({ ...row, at: row.at.getTime() }));
}

/** One firing as training needs it; `alert` is its key, times are epoch ms. */
export type PastEpisode = {
  alert: string;
  startsAt: number;
  endsAt: number | null;
  receivedAt: number;
  updatedAt: number;
  tenant: string;
  alertname: string;
  severity: Severity;
  service: string | null;
  destination: string | null;
  namespace: string | null;
  cluster: string | null;
  labels: Record<string, string>;
  summary: string | null;
  groupKey: string | null;
};

/** Every firing that arrived in the period, oldest first; the canary left out. */
export async function readEpisodes(db: Db, since: number, until: number): Promise<PastEpisode[]> {
  const { rows } = await db.query(
    `select ${episodeColumns}
       from alerts a
      where a.received_at >= $1 and a.received_at < $2 and a.source <> 'tocsin-canary'
      order by a.received_at, a.source, a.fingerprint, a.starts_at`,
    [timestamp(since), timestamp(until)],
  );
  return rows.map(episodeOf);
}

const episodeColumns = `
  a.source || '/' || a.fingerprint as alert, a.starts_at, a.ends_at, a.received_at, a.updated_at, a.tenant, a.alertname,
  a.severity, a.service, a.destination, a.namespace, a.cluster, a.labels, a.annotations ->> 'summary' as summary, a.group_key`;

const episodeOf = (row: pg.QueryResultRow): PastEpisode => ({
  alert: row.alert,
  startsAt: row.starts_at.getTime(),
  endsAt: row.ends_at?.getTime() ?? null,
  receivedAt: row.received_at.getTime(),
  updatedAt: row.updated_at.getTime(),
  tenant: row.tenant,
  alertname: row.alertname,
  severity: row.severity,
  service: row.service,
  destination: row.destination,
  namespace: row.namespace,
  cluster: row.cluster,
  labels: row.labels,
  summary: row.summary,
  groupKey: row.group_key,
});

/** The firing of each of these alerts that a person saw at that moment: the latest that had begun. Unknown ones are left out. */
export async function episodesSeen(
  db: Db,
  seen: readonly { alert: string; at: number }[],
): Promise<{ alert: string; at: number; startsAt: number; receivedAt: number }[]> {
  const asked = seen.map(({ alert, at }) => {
    const cut = alert.lastIndexOf('/');
    return { source: alert.slice(0, cut), fingerprint: alert.slice(cut + 1), at: timestamp(at), ms: at };
  });
  const { rows } = await db.query(
    `select n.source || '/' || n.fingerprint as alert, n.ms, a.starts_at, a.received_at
       from jsonb_to_recordset($1::jsonb) as n (source text, fingerprint text, at timestamptz, ms bigint)
      cross join lateral (
        select starts_at, received_at from alerts
         where fingerprint = n.fingerprint and source = n.source and received_at <= n.at
         order by starts_at desc limit 1) a`,
    [JSON.stringify(asked)],
  );
  return rows.map((row) => ({
    alert: row.alert,
    at: Number(row.ms),
    startsAt: row.starts_at.getTime(),
    receivedAt: row.received_at.getTime(),
  }));
}

/** The changes of the period, oldest first. */
export async function readPastDeploys(db: Db, since: number, until: number): Promise<Deploy[]> {
  const { rows } = await db.query(
    'select * from deploys d where d.started_at >= $1 and d.started_at < $2 order by d.started_at, d.id',
    [timestamp(since), timestamp(until)],
  );
  return rows.map(deployOf);
}

/** The firings of each of these incidents, oldest first, at most a thousand each: as many as ranking looks at. */
export async function episodesOfIncidents(db: Db, ids: readonly string[]): Promise<Map<string, PastEpisode[]>> {
  const found = new Map<string, PastEpisode[]>();
  for (const id of ids) {
    const { rows } = await db.query(
      `select ${episodeColumns} from alerts a where a.incident_id = $1 order by a.starts_at, a.source, a.fingerprint limit 1000`,
      [id],
    );
    found.set(id, rows.map(episodeOf));
  }
  return found;
}
