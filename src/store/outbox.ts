import type pg from 'pg';
import type { IncidentState } from '../domain/effects.ts';
import type { Incident } from '../domain/incident.ts';
import type {
  ChannelKind,
  DeliveryAttempt,
  NotificationJob,
  NotificationState,
  Target,
} from '../domain/notification.ts';
import type { TimelineEntry } from '../domain/timeline.ts';
import { clean, timestamp, toJson } from './encode.ts';
import { transaction } from './pool.ts';

type Db = Pick<pg.Pool, 'query'>;

/** A job in a worker's hands. `attempts` are those already made. Times are epoch ms. */
export type ClaimedJob = NotificationJob & { attempts: DeliveryAttempt[]; dueAt: number };

/**
 * Everything that waits for one message: one incident at one target, its jobs most urgent first, then oldest first.
 * `message` is the reference to edit in place, null before the first one was sent.
 */
export type ClaimedThread = { incidentId: string; target: Target; jobs: ClaimedJob[]; message: MessageRecord | null };

/** A message an incident has at a target. `ref` belongs to the channel (Slack ts, Message-ID); `fingerprint` hashes what was shown last. */
export type MessageRecord = {
  incidentId: string;
  target: Target;
  ref: Record<string, unknown>;
  state: 'open' | 'resolved';
  sentAt: number;
  updatedAt: number;
  fingerprint: string | null;
};

export type ClaimOptions = {
  now: number;
  /** The most threads to take. */
  limit: number;
  /** After so long without an outcome the jobs are anybody's again, ms. */
  leaseMs: number;
  /** Names the claimer; unique per process. */
  worker: string;
  /** Targets to leave alone for now (paced, or failing); without `address` a whole channel. */
  exclude?: { channel: ChannelKind; address?: string }[];
};

/**
 * Takes the most urgent due threads, each with ALL of its waiting jobs (also those postponed: the newest state wins), and
 * holds them until the lease ends. A thread in one worker's hands is never given to a second one.
 */
export async function claimNotifications(pool: pg.Pool, options: ClaimOptions): Promise<ClaimedThread[]> {
  return transaction(pool, async (client) => {
    // Claims go one after another (a claim takes a few ms, for many threads): two at once could each take a part of one
    // thread, since neither's snapshot shows the other's mark.
    await client.query("select pg_advisory_xact_lock(hashtext('tocsin_outbox'))");
    const { rows } = await client.query<ClaimRow>(claim, [
      timestamp(options.now),
      options.limit,
      timestamp(options.now + options.leaseMs),
      options.worker,
      toJson(options.exclude ?? []),
    ]);
    return groupThreads(rows);
  });
}

type ClaimRow = {
  incident_id: string;
  channel: ChannelKind;
  address: string;
  job: NotificationJob;
  attempts: DeliveryAttempt[];
  due_at: Date;
  urgency: number;
  rank: number;
  ref: Record<string, unknown> | null;
  message_state: 'open' | 'resolved';
  sent_at: Date;
  updated_at: Date;
  message_fingerprint: string | null;
};

// skip locked: a row whose outcome is being written right now is left to the next claim instead of waited for.
const claim = `
with held as materialized (
  -- once, as a set: a look per row cost 30 ms at 10,000 waiting jobs before the table was first analysed
  select incident_id, channel, address from notifications where state = 'waiting' and claimed_until > $1
), first as (
  -- most urgent first; 20 rows a thread are enough to find so many threads, whatever the backlog
  select n.incident_id, n.channel, n.address, n.urgency, n.due_at
  from notifications n
  where n.state = 'waiting' and n.due_at <= $1 and (n.claimed_until is null or n.claimed_until <= $1)
    and not exists (
      select 1 from jsonb_to_recordset($5::jsonb) as x (channel text, address text)
      where x.channel = n.channel and (x.address is null or x.address = n.address))
    and (n.incident_id, n.channel, n.address) not in (select incident_id, channel, address from held)
  order by n.urgency, n.due_at
  limit $2 * 20
), due as (
  select incident_id, channel, address, min(urgency) as urgency, min(due_at) as due_at
  from first
  group by incident_id, channel, address
  order by min(urgency), min(due_at), incident_id, channel, address
  limit $2
), mine as (
  select n.id from notifications n join due using (incident_id, channel, address)
  where n.state = 'waiting'
  for update of n skip locked
), claimed as (
  update notifications n set claimed_until = $3, claimed_by = $4
  from mine where n.id = mine.id
  returning n.*
)
select c.incident_id, c.channel, c.address, c.job, c.attempts, c.due_at, c.urgency,
       m.ref, m.state as message_state, m.sent_at, m.updated_at, m.fingerprint as message_fingerprint
from claimed c
join due using (incident_id, channel, address)
left join messages m using (incident_id, channel, address)
order by due.urgency, due.due_at, c.incident_id, c.channel, c.address, c.urgency, c.created_at, c.id`;

function groupThreads(rows: ClaimRow[]): ClaimedThread[] {
  const threads: ClaimedThread[] = [];
  for (const row of rows) {
    let thread = threads.at(-1);
    if (
      thread?.incidentId !== row.incident_id ||
      thread.target.channel !== row.channel ||
      thread.target.address !== row.address
    ) {
      const target = { channel: row.channel, address: row.address };
      const message =
        row.ref === null
          ? null
          : {
              incidentId: row.incident_id,
              target,
              ref: row.ref,
              state: row.message_state,
              sentAt: row.sent_at.getTime(),
              updatedAt: row.updated_at.getTime(),
              fingerprint: row.message_fingerprint,
            };
      thread = { incidentId: row.incident_id, target, jobs: [], message };
      threads.push(thread);
    }
    thread.jobs.push({ ...row.job, attempts: row.attempts, dueAt: row.due_at.getTime() });
  }
  return threads;
}

export type Outcome = {
  /** Epoch ms; becomes `sent_at` of what was sent. */
  at: number;
  /** What became of each job; `text` is what was said, `attempt` is appended to its record. */
  jobs: {
    id: string;
    state: Exclude<NotificationState, 'waiting'>;
    attempt: DeliveryAttempt | null;
    text?: string | null;
  }[];
  /** The message as it stands now, to be edited next time. */
  message?: MessageRecord | null;
  /** Failover: jobs for the route's next target, in the same transaction that gives this one up. */
  next?: NotificationJob[];
  /** What the incident's story says of it. */
  timeline?: TimelineEntry[];
};

/**
 * Writes what happened, whole or not at all: outcomes, message reference, failover jobs, timeline. A job that already has
 * an outcome keeps its first. The claim is not asked for: a message that went out is a fact even if the lease ran out.
 */
export async function finishNotification(pool: pg.Pool, outcome: Outcome): Promise<void> {
  await transaction(pool, async (client) => {
    await client.query(
      `update notifications n
       set state = o.state, claimed_until = null, claimed_by = null, text = coalesce(o.text, n.text),
           sent_at = case when o.state = 'sent' then $2::timestamptz else n.sent_at end,
           attempts = case when o.attempt is null then n.attempts else n.attempts || o.attempt end
       from jsonb_to_recordset($1::jsonb) as o (id text, state text, attempt jsonb, text text)
       where n.id = o.id and n.state = 'waiting'`,
      [toJson(outcome.jobs), timestamp(outcome.at)],
    );
    if (outcome.message) await saveMessage(client, outcome.message);
    if (outcome.next?.length) await enqueue(client, outcome.next);
    for (const entry of outcome.timeline ?? []) {
      await client.query(
        'insert into timeline (incident_id, at, kind, text, by, data) values ($1, $2, $3, $4, $5, $6)',
        [
          entry.incidentId,
          timestamp(entry.at),
          entry.kind,
          clean(entry.text),
          entry.by === null ? null : clean(entry.by),
          toJson(entry.data),
        ],
      );
    }
  });
}

async function saveMessage(db: Db, message: MessageRecord): Promise<void> {
  await db.query(
    `insert into messages (incident_id, channel, address, ref, state, sent_at, updated_at, fingerprint)
     values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (incident_id, channel, address) do update
     -- a picture is noted while an edit may be under way: what is stored counts, not what that edit began with
     set ref = (excluded.ref - 'picture') || jsonb_strip_nulls(jsonb_build_object('picture', messages.ref -> 'picture')),
         state = excluded.state, updated_at = excluded.updated_at, fingerprint = excluded.fingerprint`,
    [
      message.incidentId,
      message.target.channel,
      message.target.address,
      toJson(message.ref),
      message.state,
      timestamp(message.sentAt),
      timestamp(message.updatedAt),
      message.fingerprint,
    ],
  );
}

/**
 * Gives jobs back, due again at `dueAt`, with the attempt on record (null: none was made, as when a pace holds them).
 * Only jobs that `worker` still holds. An update that finds a newer one waiting is superseded: one waits at most.
 */
export async function postpone(
  db: Db,
  ids: string[],
  dueAt: number,
  attempt: DeliveryAttempt | null,
  worker: string,
): Promise<void> {
  await db.query(
    `with mine as (
       select n.id, n.kind = 'update' and (
                row_number() over (partition by n.incident_id, n.channel, n.address, n.kind
                                   order by n.created_at desc, n.id desc) > 1
                or exists (select from notifications o
                           where o.incident_id = n.incident_id and o.channel = n.channel and o.address = n.address
                             and o.state = 'waiting' and o.kind = 'update' and o.claimed_by is null)) as overtaken
       from notifications n
       where n.id = any ($1::text[]) and n.state = 'waiting' and n.claimed_by = $4
     )
     update notifications n
     set state = case when mine.overtaken then 'superseded' else n.state end,
         due_at = $2, claimed_until = null, claimed_by = null,
         attempts = case when mine.overtaken then n.attempts || $5::jsonb
                         when $3::jsonb is null then n.attempts
                         else n.attempts || $3::jsonb end
     from mine where n.id = mine.id`,
    [
      ids,
      timestamp(dueAt),
      attempt === null ? null : toJson(attempt),
      worker,
      toJson({ at: attempt?.at ?? dueAt, result: 'superseded: a newer update waits' }),
    ],
  );
}

/**
 * Adds jobs, due at once. An update that finds another one waiting for the same message, in nobody's hands, is dropped: what
 * waits is rendered from the newest state anyway.
 */
export async function enqueue(db: Db, jobs: NotificationJob[]): Promise<void> {
  if (jobs.length === 0) return;
  await db.query(insertNotifications, [toJson(jobs.map(notificationRow))]);
  await db.query("select pg_notify('tocsin_outbox', '')");
}

/** The row of a job, for `insertNotifications`. */
export const notificationRow = (job: NotificationJob) => ({
  id: job.id,
  incident_id: job.incidentId,
  channel: job.target.channel,
  address: job.target.address,
  kind: job.kind,
  urgency: job.urgency,
  created_at: timestamp(job.createdAt),
  job,
});

export const insertNotifications = `
insert into notifications (id, incident_id, channel, address, kind, urgency, created_at, due_at, job)
select id, incident_id, channel, address, kind, urgency, created_at, created_at, job
from jsonb_to_recordset($1::jsonb) as n
  (id text, incident_id text, channel text, address text, kind text, urgency smallint, created_at timestamptz, job jsonb)
on conflict do nothing`;

/** Every message the incident has anywhere. */
export async function getMessages(db: Db, incidentId: string): Promise<MessageRecord[]> {
  const { rows } = await db.query(
    `select channel, address, ref, state, sent_at, updated_at, fingerprint from messages
     where incident_id = $1 order by channel, address`,
    [incidentId],
  );
  return rows.map((row) => ({
    incidentId,
    target: { channel: row.channel, address: row.address },
    ref: row.ref,
    state: row.state,
    sentAt: row.sent_at.getTime(),
    updatedAt: row.updated_at.getTime(),
    fingerprint: row.fingerprint,
  }));
}

/** The incident as it is now, for rendering: `doc` is null until its first assessment; the last `entries` timeline lines, oldest first. */
export async function getIncidentForDelivery(
  db: Db,
  incidentId: string,
  entries = 20,
): Promise<{ doc: Incident | null; state: IncidentState; timeline: TimelineEntry[] } | null> {
  const { rows } = await db.query(
    `select i.doc, i.state, coalesce(t.entries, '[]') as timeline
     from incidents i
     left join lateral (
       select jsonb_agg(jsonb_build_object('incidentId', e.incident_id, 'at', floor(extract(epoch from e.at) * 1000),
                'kind', e.kind, 'text', e.text, 'by', e.by, 'data', e.data) order by e.id) as entries
       from (select * from timeline where incident_id = i.id order by id desc limit $2) e
     ) t on true
     where i.id = $1`,
    [incidentId, entries],
  );
  return rows[0] ?? null;
}

/** When the next waiting job nobody holds falls due, epoch ms, or null: how long a worker may sleep. */
export async function nextDue(db: Db): Promise<number | null> {
  const { rows } = await db.query(
    `select min(greatest(due_at, coalesce(claimed_until, due_at))) as at from notifications where state = 'waiting'`,
  );
  return rows[0]?.at?.getTime() ?? null;
}

/** For metrics: what waits, and since when the oldest due job does (epoch ms). */
export async function outboxStats(db: Db, now: number): Promise<{ waiting: number; oldestDueAt: number | null }> {
  const { rows } = await db.query(
    `select count(*) as waiting, min(due_at) filter (where due_at <= $1) as oldest from notifications where state = 'waiting'`,
    [timestamp(now)],
  );
  return { waiting: rows[0].waiting, oldestDueAt: rows[0].oldest?.getTime() ?? null };
}
