import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import type { Digest } from '../../src/domain/digest.ts';
import { digestDue, runDailyDigest } from '../../src/jobs/daily-digest.ts';
import { folder } from '../fakes/config-tree.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';

let database: TestDatabase;
const hour = 3_600_000;
const at = (time: string) => Date.parse(time);

beforeAll(async () => {
  database = await withDatabase();
}, 60_000);
afterAll(() => database.close());

function load(): Config {
  const loaded = loadConfig(
    folder({
      'tocsin.yaml': 'digest: { at: "09:00", time_zone: Europe/Berlin }\nchannels: { slack: { token: { env: T } } }\n',
      'routing.yaml': 'teams: { payments: { slack: "#payments" }, shop: {} }\nroutes: { default_team: shop }\n',
    }),
    { T: 'x' },
  );
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  return loaded.config;
}

beforeEach(() =>
  database.pool.query('truncate incidents, decisions, notifications, timeline, feedback, settings, suppressed, alerts'),
);

type Made = {
  team: string;
  verdict: string;
  done: string;
  policy?: string;
  severity?: string;
  by?: string;
  ended?: boolean;
};

async function incident(number: number, startedAt: number, made: Made): Promise<string> {
  const id = `i${number}`;
  const { team, verdict, done, policy = 'dev-noise', severity = 'medium', by = null, ended = true } = made;
  const doc = { title: `Disk ${number}`, lead: { alertname: 'Disk' } };
  await database.pool.query(
    `insert into incidents (id, number, status, severity, team, title, started_at, updated_at, resolved_at, revision, assessed_revision, state, doc)
     values ($1, $2, $3, $4, $5, $6, $7, $7, $8, 1, 1, $9, $10)`,
    [
      id,
      number,
      ended ? 'resolved' : 'open',
      severity,
      team,
      doc.title,
      new Date(startedAt),
      ended ? new Date(startedAt + 240_000) : null,
      { resolvedBy: by },
      doc,
    ],
  );
  const decision = {
    verdict,
    actionability: 0.2,
    reasons: [{ code: 'noise', policy, text: `Noise policy ${policy}` }],
  };
  await database.pool.query(
    "insert into decisions (incident_id, revision, at, config_hash, doc) values ($1, 1, $2, 'h', $3)",
    [id, new Date(startedAt), { decision, done }],
  );
  return id;
}

async function digests(): Promise<{ channel: string; digest: Digest }[]> {
  const { rows } = await database.pool.query('select channel, job from notifications order by created_at, id');
  return rows.map((row) => ({ channel: row.channel, digest: row.job.digest }));
}

test('it is due at its local time, also over a change of daylight saving; off is never', () => {
  const digest = { at: '09:00', time_zone: 'Europe/Berlin' };
  expect(digestDue(digest, at('2026-10-24T07:00:00Z'))).toEqual({ at: at('2026-10-24T07:00:00Z'), day: '2026-10-24' });
  expect(digestDue(digest, at('2026-10-25T07:30:00Z'))).toEqual({ at: at('2026-10-24T07:00:00Z'), day: '2026-10-24' });
  expect(digestDue(digest, at('2026-10-25T08:00:00Z'))).toEqual({ at: at('2026-10-25T08:00:00Z'), day: '2026-10-25' });
  expect(digestDue({ ...digest, at: 'off' }, at('2026-10-25T08:00:00Z'))).toBeNull();
});

test('each team hears once a day what was held back, the most doubtful first; one without an address has it in the log', async () => {
  const now = at('2026-11-20T08:00:00Z');
  await incident(1, now - 20 * hour, { team: 'payments', verdict: 'suppress', done: 'suppress' });
  await incident(2, now - 10 * hour, { team: 'payments', verdict: 'suppress', done: 'suppress', by: 'ana' });
  await incident(3, now - 9 * hour, { team: 'payments', verdict: 'notify', done: 'notify' });
  await incident(4, now - 8 * hour, { team: 'shop', verdict: 'suppress', done: 'notify', ended: false });
  await incident(5, now - 7 * hour, { team: 'shop', verdict: 'suppress', done: 'suppress', policy: 'silence' });
  await incident(6, now - 30 * hour, { team: 'shop', verdict: 'suppress', done: 'suppress' });

  const told = await Promise.all([1, 2, 3].map(() => runDailyDigest(database.pool, load(), now)));
  expect(told.sort()).toEqual([0, 0, 2]);
  expect(await digests()).toMatchObject(
    [
      {
        channel: 'log',
        digest: {
          team: 'shop',
          total: 1,
          items: [{ number: 4, held: false, outcome: expect.stringContaining('still firing') }],
        },
      },
      {
        channel: 'slack',
        digest: {
          team: 'payments',
          total: 2,
          items: [
            { number: 2, outcome: expect.stringContaining('ended by ana, somebody acted on it') },
            {
              number: 1,
              outcome: expect.stringContaining('ended by itself after 4 min'),
              because: 'Noise policy dev-noise',
            },
          ],
        },
      },
    ].sort((a, b) => (a.channel < b.channel ? -1 : 1)),
  );
  expect(await runDailyDigest(database.pool, load(), now + hour)).toBe(0);
  expect(await runDailyDigest(database.pool, load(), now + 24 * hour)).toBe(0);
});

test('the next digest begins where the last one ended; nothing held back, nothing sent', async () => {
  const now = at('2026-11-20T08:00:00Z');
  expect(await runDailyDigest(database.pool, load(), now)).toBe(0);
  expect(await digests()).toEqual([]);
  await incident(1, now + hour, { team: 'payments', verdict: 'suppress', done: 'suppress' });
  expect(await runDailyDigest(database.pool, load(), now + 24 * hour)).toBe(1);
  await incident(2, now + 25 * hour, { team: 'payments', verdict: 'suppress', done: 'suppress' });
  expect(await runDailyDigest(database.pool, load(), now + 48 * hour)).toBe(1);
  expect((await digests()).map(({ digest }) => digest.items.map((item) => item.number))).toEqual([[1], [2]]);
});

test('a service that comes up long after the time waits for the next day', async () => {
  const now = at('2026-11-20T21:00:00Z');
  await incident(1, now - hour, { team: 'payments', verdict: 'suppress', done: 'suppress' });
  expect(await runDailyDigest(database.pool, load(), now)).toBe(0);
  expect(await runDailyDigest(database.pool, load(), at('2026-11-21T08:00:00Z'))).toBe(1);
});
