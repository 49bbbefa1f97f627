import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { recordAudit, verifyAudit } from '../src/store/audit.ts';
import { readEvidence } from '../src/store/evidence.ts';
import { readHeld } from '../src/store/held.ts';
import { recountInFlight } from '../src/store/ledger.ts';
import { readReport } from '../src/store/report.ts';
import { withDatabase } from '../test/fakes/postgres.ts';

/**
 * What it costs to look back: a month of invented incidents with three alerts each, two of three held back in shadow mode,
 * every tenth acted on and every twentieth called noise; then the audit trail with so many entries in one commit.
 */
const { values } = parseArgs({ options: { incidents: { type: 'string', default: '30000' } } });
const n = Number(values.incidents);
const db = await withDatabase();
const fill = (sql: string) => db.pool.query(sql);
const began = `now() - n * interval '${Math.floor((29 * 86_400) / n)} s'`;

await fill(
  `insert into incidents (id, number, status, severity, team, title, started_at, updated_at, resolved_at, revision, assessed_revision, state, doc)
   select 'i' || n, n, 'resolved', 'medium', 'team' || n % 9, 't', ${began}, now(), ${began} + interval '5 min', 1, 1, '{}',
          jsonb_build_object('lead', jsonb_build_object('alertname', 'Rule' || n % 200, 'service', 'svc' || n % 50, 'labels', '{}'::jsonb))
   from generate_series(1, ${n}) n`,
);
await fill(
  `insert into decisions (incident_id, revision, at, config_hash, doc)
   select 'i' || n, r, now(), 'h', jsonb_build_object('done', 'notify', 'decision', jsonb_build_object(
     'verdict', case when n % 3 = 0 then 'notify' else 'suppress' end, 'actionability', 0.2,
     'reasons', jsonb_build_array(jsonb_build_object('code', 'noise', 'policy', 'p' || n % 5, 'text', 'because'))))
   from generate_series(1, ${n}) n, generate_series(1, 3) r`,
);
await fill(
  `insert into alerts (source, fingerprint, starts_at, status, received_at, updated_at, last_seen_at, alertname, severity,
     service, labels, annotations, incident_id, fire_verdict, resolve_verdict, ends_at)
   select 's', 'f' || n || '-' || k, ${began}, 'resolved', ${began}, now(), now(), 'Rule' || n % 200, 'medium', 'svc' || n % 50,
          '{}', '{}', 'i' || n, 'notify', 'group', ${began} + interval '4 min'
   from generate_series(1, ${n}) n, generate_series(1, 3) k`,
);
await fill(
  `insert into notifications (id, incident_id, channel, address, kind, urgency, state, created_at, due_at, job)
   select 'n' || n, 'i' || n, 'slack', '#x', 'open', 0, 'sent', now(), now(), '{}' from generate_series(1, ${n}) n`,
);
await fill(
  `insert into timeline (incident_id, at, kind, text, by)
   select 'i' || n, now(), 'note', 'x', 'ana' from generate_series(1, ${n}, 10) n`,
);
await fill(
  `insert into feedback (incident_id, at, by, kind, key, first_at)
   select 'i' || n, now(), 'p' || n % 4, 'noise', 'k' || n, now() from generate_series(1, ${n}, 20) n`,
);
await fill('analyze');

const to = Date.now() + 60_000;
const from = to - 30 * 86_400_000;
const key = { id: 'bench', secret: randomBytes(32) };
const suppressed = Array.from({ length: 10_000 }, (_, i) => ({
  at: to,
  who: 'tocsin',
  what: 'suppress',
  target: `i${i}`,
  before: null,
  after: { mode: 'active', until: new Date(to).toISOString() },
  why: 'noise: p1',
}));

console.log(`| ${n} incidents, ${3 * n} alerts | ms | CPU ms of this process |\n|---|---|---|`);
async function time(name: string, work: () => Promise<unknown>): Promise<void> {
  const start = performance.now();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  console.log(`| ${name} | ${Math.round(performance.now() - start)} | ${Math.round((user + system) / 1_000)} |`);
}
await time('tocsin report, 30 days', () => readReport(db.pool, from, to));
await time('of that: what was or would have been held back', () => readHeld(db.pool, from, to));
await time('evidence for proposals, 30 days', () => readEvidence(db.pool, from, to));
await time('recount of what is in flight', () => recountInFlight(db.pool));
await time('10,000 entries into the audit trail, one commit', () => recordAudit(db.pool, key, suppressed));
await time('audit verify of them', () => verifyAudit(db.pool, key));
await db.close();
