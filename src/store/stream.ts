import type { Action } from '../domain/action.ts';
import { CANARY } from '../domain/canary.ts';
import type { StreamLine } from '../domain/stream.ts';
import { decodeEnvelope } from '../receive/envelope.ts';
import type { Db } from './read.ts';
import type { InboxItem } from './types.ts';

/** One line of a stream and its number, from 1. */
export type NumberedLine = { line: number; entry: StreamLine };

/** What the store holds of a period. Times are epoch ms. */
export type Period = {
  deliveries: number;
  /** The oldest delivery there is at all; null in a store that never took any. */
  oldest: number | null;
  /** Rules that fired before the period: their next firing is no first. */
  knownRules: string[];
};

/** What there is to replay between two times (epoch ms). */
export async function readPeriod(db: Db, from: number, to: number): Promise<Period> {
  const span = [rfc(from), rfc(to)];
  const [counted, rules] = await Promise.all([
    db.query<{ deliveries: string; oldest: Date | null }>(
      `select (select count(*) from deliveries where received_at >= $1 and received_at < $2 and source <> '${CANARY}') as deliveries,
              (select min(received_at) from deliveries where source <> '${CANARY}') as oldest`,
      span,
    ),
    db.query<{ alertname: string }>('select distinct alertname from alerts where received_at < $1 order by 1', [
      span[0],
    ]),
  ]);
  const { deliveries, oldest } = counted.rows[0]!;
  return {
    deliveries: Number(deliveries),
    oldest: oldest === null ? null : new Date(oldest).getTime(),
    knownRules: rules.rows.map((row) => row.alertname),
  };
}

/** Deliveries read at once: 1,000 of 20 alerts are 13 MB. */
const PAGE = 1_000;

/**
 * Everything that came in between two times (epoch ms) as a stream, in the order it was accepted: alerts, polls, deploys and
 * what people did. Incidents are named by an alert in them, since another run gives them other ids.
 */
export async function* streamOf(db: Db, from: number, to: number): AsyncGenerator<NumberedLine> {
  let last = '0';
  let line = 0;
  let latest = from;
  while (true) {
    const { rows } = await db.query<{ id: string; kind: InboxItem['kind']; source: string; at: Date; body: Buffer }>(
      `select d.id::text, d.kind, d.source, d.received_at as at, d.body
         from deliveries d
        where d.id > $1 and d.received_at >= $2 and d.received_at < $3 and d.source <> '${CANARY}'
        order by d.id
        limit ${PAGE}`,
      [last, rfc(from), rfc(to)],
    );
    for (const { kind, source, at, body } of rows) {
      line += 1;
      // Accepted by two processes at once, two deliveries may stand a few ms out of order; time in a stream never goes back.
      latest = Math.max(latest, new Date(at).getTime());
      const entry = await lineOf(db, { kind, source, body }, rfc(latest));
      if (entry) yield { line, entry };
    }
    if (rows.length < PAGE) return;
    last = rows.at(-1)!.id;
  }
}

async function lineOf(
  db: Db,
  { kind, source, body }: Pick<InboxItem, 'kind' | 'source' | 'body'>,
  at: string,
): Promise<StreamLine | null> {
  try {
    if (kind === 'action') return await actionLine(db, JSON.parse(body.toString('utf8')) as Action, at);
    if (kind !== 'deploy') return { at, kind, source, body: JSON.parse(body.toString('utf8')) };
    const { sender, headers, body: text } = decodeEnvelope(body);
    return { at, kind, source, sender, headers, body: JSON.parse(text) };
  } catch {
    // What could not be read then is in quarantine; it changed nothing but a count.
    return null;
  }
}

async function actionLine(db: Db, action: Action, at: string): Promise<StreamLine> {
  const { do: deed, by, body } = action;
  const incident = action.incident && 'id' in action.incident ? await alertIn(db, action.incident.id) : action.incident;
  const into = typeof body.into === 'string' ? { into: await alertIn(db, body.into) } : {};
  return { at, kind: 'action', do: deed, by, body: { ...body, ...into }, ...(incident ? { incident } : {}) };
}

/** An alert that names this incident: its first one, or that of the elder it was merged into. */
async function alertIn(db: Db, incident: string): Promise<{ fingerprint: string; source: string } | string> {
  const { rows } = await db.query<{ fingerprint: string; source: string }>(
    `select a.fingerprint, a.source
       from incidents i join alerts a on a.incident_id in (i.id, i.merged_into)
      where i.id = $1 or i.number::text = $1
      order by (a.incident_id = i.id) desc, (a.fingerprint = i.doc #>> '{lead,fingerprint}') desc, a.received_at, a.fingerprint
      limit 1`,
    [incident],
  );
  return rows[0] ?? incident;
}

const rfc = (ms: number): string => new Date(ms).toISOString();
