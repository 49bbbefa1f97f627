import type pg from 'pg';
import type { ChannelKind, NotificationJob, Target } from '../domain/notification.ts';
import type { Severity } from '../domain/severity.ts';
import { timestamp, toJson } from './encode.ts';

type Db = Pick<pg.Pool, 'query'>;

/** Holds on to jobs still in flight until `until` (epoch ms), as long as `worker` has them. */
export async function renewClaims(db: Db, ids: string[], until: number, worker: string): Promise<void> {
  if (ids.length === 0) return;
  await db.query(
    `update notifications set claimed_until = $2 where id = any ($1::text[]) and state = 'waiting' and claimed_by = $3`,
    [ids, timestamp(until), worker],
  );
}

/**
 * Pages made before `before` (epoch ms) that still wait, of incidents that nobody has taken yet, and that have no stand-in:
 * a stand-in's id is its page's with a `~`.
 */
export async function overduePages(db: Db, before: number, limit: number): Promise<NotificationJob[]> {
  const { rows } = await db.query<{ job: NotificationJob }>(
    `select n.job
     from notifications n
     join incidents i on i.id = n.incident_id and i.status = 'open'
     where n.state = 'waiting' and n.kind in ('open', 'escalate') and n.channel <> 'log' and n.created_at <= $1
       and not exists (select 1 from notifications s where s.id = n.id || '~')
     order by n.created_at, n.id
     limit $2`,
    [timestamp(before), limit],
  );
  return rows.map((row) => row.job);
}

/** Where pages of this incident wait to be delivered. */
export async function pagesWaiting(db: Db, incidentId: string): Promise<Target[]> {
  const { rows } = await db.query<Target>(
    `select distinct channel, address from notifications
     where incident_id = $1 and state = 'waiting' and kind in ('open', 'escalate')`,
    [incidentId],
  );
  return rows;
}

/**
 * The worst alerts of an incident, firing ones first, those alike (rule, service, severity, state) as one with their
 * `count`; of each alert its latest episode there. `startsAt` is that of the earliest, epoch ms.
 */
export async function worstAlerts(
  db: Db,
  incidentId: string,
  limit: number,
): Promise<
  {
    alertname: string;
    service: string | null;
    severity: Severity;
    status: 'firing' | 'resolved';
    startsAt: number;
    count: number;
  }[]
> {
  const { rows } = await db.query(
    `select a.alertname, a.service, a.severity, a.status, min(a.starts_at) as starts_at, count(*) as count
     from (
       select distinct on (m.source, m.fingerprint) m.alertname, m.service, m.severity, m.status, m.starts_at
       from alerts m where m.incident_id = $1
       order by m.source, m.fingerprint, m.starts_at desc
     ) a
     group by a.alertname, a.service, a.severity, a.status
     order by a.status, array_position(array['critical', 'high', 'medium', 'low', 'info'], a.severity), min(a.starts_at),
              a.alertname, a.service
     limit $2`,
    [incidentId, limit],
  );
  return rows.map((row) => ({
    alertname: row.alertname,
    service: row.service,
    severity: row.severity,
    status: row.status,
    startsAt: row.starts_at.getTime(),
    count: Number(row.count),
  }));
}

/** Notes at a message which picture it shows. Kept under a key of its own, which `finishNotification` never overwrites. */
export async function savePicture(
  db: Db,
  incidentId: string,
  target: Target,
  picture: Record<string, unknown>,
): Promise<void> {
  await db.query(
    `update messages set ref = ref || jsonb_build_object('picture', $4::jsonb)
     where incident_id = $1 and channel = $2 and address = $3`,
    [incidentId, target.channel, target.address, toJson(picture)],
  );
}

/**
 * How long the first message about an incident took, ms: from the arrival of its first alert at the door to `at`, when this
 * target was told. Null where that says nothing about us: another target was told before, no alert is behind it (declared by
 * hand), or policy held it back for a while.
 */
export async function firstNotificationMs(
  db: Db,
  incidentId: string,
  target: Target,
  at: number,
): Promise<number | null> {
  const { rows } = await db.query<{ arrived: Date | null }>(
    `select (select min(received_at) from alerts where incident_id = $1) as arrived
     where not exists (select from timeline where incident_id = $1 and kind = 'suppressed')
       and ($2, $3) = (select channel, address from messages where incident_id = $1 order by sent_at, channel, address limit 1)`,
    [incidentId, target.channel, target.address],
  );
  const arrived = rows[0]?.arrived;
  return arrived ? Math.max(0, at - arrived.getTime()) : null;
}

/** For metrics: how many wait per channel, and since when the oldest due one does (epoch ms). */
export async function waitingByChannel(
  db: Db,
  now: number,
): Promise<{ channel: ChannelKind; waiting: number; oldestDueAt: number | null }[]> {
  const { rows } = await db.query(
    `select channel, count(*) as waiting, min(due_at) filter (where due_at <= $1) as oldest
     from notifications where state = 'waiting' group by channel`,
    [timestamp(now)],
  );
  return rows.map((row) => ({
    channel: row.channel,
    waiting: row.waiting,
    oldestDueAt: row.oldest?.getTime() ?? null,
  }));
}

/** Whether a notification of this id was ever made. */
export async function isKnown(db: Db, id: string): Promise<boolean> {
  const { rows } = await db.query('select 1 from notifications where id = $1', [id]);
  return rows.length > 0;
}
