import type pg from 'pg';
import type { LabelKind } from '../domain/label.ts';
import type { Deeds, Label } from '../score/scorecard.ts';
import { timestamp } from './encode.ts';

type Db = Pick<pg.Pool, 'query'>;

/** A label with the config and models that were judged. */
export type StoredLabel = Label & {
  configHash: string | null;
  models: { correlation: string; causes: string } | null;
};

/** Every label whose last word falls into the period (epoch ms), oldest first. */
export async function readLabels(db: Db, since: number, until: number): Promise<StoredLabel[]> {
  const { rows } = await db.query(
    `select f.incident_id, f.at, f.first_at, f.by, f.kind, f.alert, f.alert_source, f.other, f.other_source, f.together,
            f.service, f.ranking, f.config_hash, f.models
       from feedback f
      where f.at >= $1 and f.at < $2
      order by f.at, f.id`,
    [timestamp(since), timestamp(until)],
  );
  const key = (source: string | null, fingerprint: string | null): string | null =>
    fingerprint === null ? null : `${source ?? ''}/${fingerprint}`;
  return rows.map((row) => ({
    incidentId: row.incident_id,
    at: row.at.getTime(),
    firstAt: row.first_at.getTime(),
    by: row.by,
    kind: row.kind as LabelKind,
    alert: key(row.alert_source, row.alert),
    other: key(row.other_source, row.other),
    together: row.together,
    service: row.service,
    ranking: row.ranking,
    configHash: row.config_hash,
    models: row.models,
  }));
}

/** What people did to incidents in the period, and what there was to judge. */
export async function readDeeds(db: Db, since: number, until: number): Promise<Deeds> {
  const { rows } = await db.query(
    `with large as (
       -- one pass: 1.1 s for 300,000 alerts; asking each of their 100,000 incidents took 2.5 s
       select a.incident_id as id from alerts a
        where a.received_at >= $1 and a.received_at < $2 and a.incident_id is not null
        group by 1
       having min(a.fingerprint) <> max(a.fingerprint)
     ), deeds as (
       select t.incident_id, t.kind from timeline t
        where t.at >= $1 and t.at < $2 and t.by is not null
          and (t.kind = 'split' and t.data ? 'into' or t.kind = 'merged' and t.data ? 'from')
     )
     select (select count(*)::int from (select id from large union select incident_id from deeds) one) as grouped,
            (select count(distinct incident_id)::int from deeds where kind = 'split') as split,
            (select count(distinct incident_id)::int from deeds d
              where kind = 'merged' and not exists (
                select from deeds s where s.incident_id = d.incident_id and s.kind = 'split')) as merged,
            (select count(distinct s.incident_id)::int from suppressed s where s.at >= $1 and s.at < $2) as "heldBack"`,
    [timestamp(since), timestamp(until)],
  );
  return rows[0];
}

/** What a person said of two alerts (keys `source/fingerprint`): together (`must`) or apart (`cannot`). */
export type LinkRow = { kind: 'must' | 'cannot'; a: string; b: string; by: string; at: Date };

/** What people said of pairs among these alerts (keys), the newest first; at most 1,000. */
export async function linksAmong(db: Db, alerts: readonly string[]): Promise<LinkRow[]> {
  const { rows } = await db.query<LinkRow>(
    `select l.kind, l.a, l.b, l.by, l.at
       from links l
      where l.kind in ('must', 'cannot') and l.a = any ($1) and l.b = any ($1)
      order by l.at desc, l.a, l.b
      limit 1000`,
    [alerts],
  );
  return rows;
}

/** The merges by which people made this incident what it is. */
export async function peoplesMerges(db: Db, incidentId: string): Promise<{ at: string; by: string }[]> {
  const { rows } = await db.query<{ at: Date; by: string }>(
    `select t.at, t.by from timeline t
      where t.incident_id = $1 and t.kind = 'merged' and t.by is not null and t.data ? 'from'
      order by t.id limit 20`,
    [incidentId],
  );
  return rows.map(({ at, by }) => ({ at: at.toISOString(), by }));
}
