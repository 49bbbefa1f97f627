import type pg from 'pg';
import { readKillSwitch } from '../domain/kill-switch.ts';
import { emptyLedger } from '../domain/ledger.ts';
import { timestamp } from './encode.ts';
import { readCorrelationMemory } from './read.ts';
import { alertOf, deployOf, distinctRules, linkOf, silenceOf } from './restore.ts';
import type { Restored } from './types.ts';

/** A dry run is asked by people, one at a time: more than this of a storm does not change where an alert would go. */
const INCIDENTS = 500;
const ALERTS = 5_000;
const DEPLOY_LOOKBACK_MS = 86_400_000;

/**
 * As much of the engine's state as decides where these alerts would go now: incidents that still take alerts (changed within
 * `windowMs`) and those that hold one of them already, with their alerts, and what was learned. Read without a snapshot: it is for
 * a dry run, which is about this moment, more or less. `now` is epoch ms.
 */
export async function readRecent(
  pool: Pick<pg.Pool, 'query'>,
  { now, windowMs, fingerprints }: { now: number; windowMs: number; fingerprints: readonly string[] },
): Promise<Restored> {
  const incidents = await pool.query(
    `select state, doc from incidents
      where (status <> 'resolved' or resolved_at >= $1) and updated_at >= $1
         or id in (select incident_id from alerts where fingerprint = any ($2::text[]) and is_current and status = 'firing')
      order by updated_at desc
      limit ${INCIDENTS}`,
    [timestamp(now - windowMs), fingerprints],
  );
  const ids = incidents.rows.map((row) => row.state.id as string);
  const [alerts, memory, links, silences, deploys, rules, number, kill] = await Promise.all([
    pool.query(
      `select * from (
         select * from alerts where incident_id = any ($1::text[]) order by received_at desc limit ${ALERTS}
       ) newest order by received_at, source, fingerprint, starts_at`,
      [ids],
    ),
    readCorrelationMemory(pool),
    pool.query('select kind, a, b, by, at, incident_id from links order by at, kind, a, b'),
    pool.query('select id, incident_id, alerts, until, by, at, text from silences where until > $1 order by at, id', [
      timestamp(now),
    ]),
    pool.query('select * from deploys where started_at >= $1 order by started_at, id', [
      timestamp(now - DEPLOY_LOOKBACK_MS),
    ]),
    pool.query(distinctRules),
    pool.query('select coalesce(max(number), 0) + 1 as next from incidents'),
    pool.query("select value from settings where key = 'kill_switch'"),
  ]);
  return {
    alerts: alerts.rows.map(alertOf),
    incidents: incidents.rows,
    memory,
    links: links.rows.map(linkOf),
    silences: silences.rows.map(silenceOf),
    heartbeats: [],
    rules: rules.rows.map((row) => row.alertname),
    deploys: deploys.rows.map(deployOf),
    ledger: emptyLedger(),
    nextNumber: number.rows[0].next,
    killSwitch: readKillSwitch(kill.rows[0]?.value),
  };
}
