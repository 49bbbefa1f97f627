import type pg from 'pg';
import type { Alert } from '../domain/alert.ts';
import type { Deploy } from '../domain/deploy.ts';
import { readKillSwitch } from '../domain/kill-switch.ts';
import { timestamp } from './encode.ts';
import { readLedger } from './ledger.ts';
import type { Restored } from './types.ts';

/** Deploys matter to incidents for longer than ended alerts do: a week of them is put back. */
const DEPLOY_LOOKBACK_MS = 7 * 86_400_000;
/** Rows a fetch: 100,000 alerts at once would stand in memory three times (wire, rows, alerts). */
const PAGE = 5_000;

/** Reads, as one snapshot, all that the engine needs to go on. */
export async function readState(client: pg.Client, now: number, lookbackMs: number): Promise<Restored> {
  const since = timestamp(now - lookbackMs);
  await client.query('begin isolation level repeatable read read only');
  try {
    await client.query('set local statement_timeout = 0'); // a restart in a storm reads 100,000 alerts
    const incidents = await client.query(
      `select state, doc from incidents
       where status <> 'resolved' or resolved_at >= $1 or assessed_revision < revision
       order by number`,
      [since],
    );
    const alerts = await readAlerts(client, since);
    const [memory, links, silences, heartbeats, deploys, rules, number, kill] = [
      await client.query('select scope, key, doc from correlation_memory'),
      await client.query('select kind, a, b, by, at, incident_id from links order by at, kind, a, b'),
      await client.query(
        'select id, incident_id, alerts, until, by, at, text from silences where until > $1 order by at, id',
        [timestamp(now)],
      ),
      await client.query('select key, name, last_seen_at, within_ms, missing_since from heartbeats order by key'),
      await client.query('select * from deploys where started_at >= $1 order by started_at, id', [
        timestamp(now - DEPLOY_LOOKBACK_MS),
      ]),
      await client.query(distinctRules),
      await client.query('select coalesce(max(number), 0) + 1 as next from incidents'),
      await client.query("select value from settings where key = 'kill_switch'"),
    ];
    const ledger = await readLedger(client);
    await client.query('commit');
    return {
      alerts,
      incidents: incidents.rows,
      memory: memory.rows,
      links: links.rows.map(linkOf),
      silences: silences.rows.map(silenceOf),
      heartbeats: heartbeats.rows.map((row) => ({
        key: row.key,
        name: row.name,
        lastSeenAt: row.last_seen_at.getTime(),
        within: row.within_ms,
        missingSince: row.missing_since?.getTime() ?? null,
      })),
      rules: rules.rows.map((row) => row.alertname),
      deploys: deploys.rows.map(deployOf),
      ledger,
      nextNumber: number.rows[0].next,
      killSwitch: readKillSwitch(kill.rows[0]?.value),
    };
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

/** Steps from name to name along the index instead of reading every episode: 1 ms for 200 rules, whatever their history. */
export const distinctRules = `
with recursive rule (alertname) as (
  (select alertname from alerts order by alertname limit 1)
  union all
  select (select a.alertname from alerts a where a.alertname > r.alertname order by a.alertname limit 1)
  from rule r where r.alertname is not null
)
select alertname from rule where alertname is not null`;

/** Also the ended episodes of incidents that are still open: they are members, and an incident counts its members. */
async function readAlerts(client: pg.Client, since: string): Promise<Alert[]> {
  await client.query({
    text: `declare restored no scroll cursor for
     select * from alerts
     where status = 'firing' or (status = 'resolved' and updated_at >= $1)
        or incident_id in (select id from incidents
                           where status <> 'resolved' or resolved_at >= $1 or assessed_revision < revision)
     order by received_at, source, fingerprint, starts_at`,
    values: [since],
  });
  const alerts: Alert[] = [];
  for (;;) {
    const { rows } = await client.query(`fetch ${PAGE} from restored`);
    for (const row of rows) alerts.push(alertOf(row));
    if (rows.length < PAGE) break;
  }
  await client.query('close restored');
  return alerts;
}

/** A row of `links` as the engine knows it. */
export const linkOf = (row: pg.QueryResultRow): Restored['links'][number] => ({
  kind: row.kind,
  a: row.a,
  b: row.b,
  by: row.by,
  at: row.at.getTime(),
  incidentId: row.incident_id,
});

/** A row of `silences` as the engine knows it. */
export const silenceOf = (row: pg.QueryResultRow): Restored['silences'][number] => ({
  id: row.id,
  incidentId: row.incident_id,
  alerts: row.alerts,
  until: row.until.getTime(),
  by: row.by,
  at: row.at.getTime(),
  text: row.text,
});

/** A row of `alerts` as the engine knows it. */
export const alertOf = (row: pg.QueryResultRow): Alert => ({
  source: row.source,
  fingerprint: row.fingerprint,
  labels: row.labels,
  annotations: row.annotations,
  status: row.status,
  startsAt: row.starts_at.getTime(),
  endsAt: row.ends_at?.getTime() ?? null,
  expiresAt: row.expires_at?.getTime() ?? null,
  generatorUrl: row.generator_url,
  severity: row.severity,
  alertname: row.alertname,
  service: row.service,
  namespace: row.namespace,
  cluster: row.cluster,
  tenant: row.tenant,
  destination: row.destination,
  groupKey: row.group_key,
  receiver: row.receiver,
  receivedAt: row.received_at.getTime(),
  updatedAt: row.updated_at.getTime(),
  lastSeenAt: row.last_seen_at.getTime(),
  closedBecause: row.closed_because,
  incidentId: row.incident_id,
  fireVerdict: row.fire_verdict,
  resolveVerdict: row.resolve_verdict,
  reasons: row.reasons,
});

/** A row of `deploys` as the engine knows it. */
export const deployOf = (row: pg.QueryResultRow): Deploy => ({
  id: row.id,
  service: row.service,
  version: row.version,
  previousVersion: row.previous_version,
  environment: row.environment,
  cluster: row.cluster,
  startedAt: row.started_at.getTime(),
  finishedAt: row.finished_at?.getTime() ?? null,
  status: row.status,
  author: row.author,
  commit: row.commit,
  url: row.url,
  sources: row.sources,
  summary: row.summary,
  rollback: row.rollback,
});
