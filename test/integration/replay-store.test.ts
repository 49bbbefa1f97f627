import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runDiff } from '../../src/cli/diff.ts';
import type { PastOptions } from '../../src/cli/past.ts';
import { runReplay } from '../../src/cli/replay.ts';
import type { Action } from '../../src/domain/action.ts';
import { encodeEnvelope } from '../../src/receive/envelope.ts';
import type { Outcomes } from '../../src/replay.ts';
import { folder } from '../fakes/config-tree.ts';
import { onDatabase, past } from '../fakes/past.ts';
import { type TestDatabase, withDatabase } from '../fakes/postgres.ts';
import { recorded, type Told } from '../fakes/recorded.ts';

const begin = Date.parse('2026-11-18T07:00:00Z');
const now = begin + 2 * 86_400_000;
const alert = (fingerprint: string, alertname: string, service: string, more = {}): Told => ({
  fingerprint,
  labels: { alertname, service, severity: 'high', namespace: 'shop', ...more },
});
const errors = alert('a1', 'HighErrorRate', 'payment');
const latency = alert('a2', 'HighLatency', 'checkout');
const stray = alert('a3', 'DiskFull', 'wiki');
const files = {
  'tocsin.yaml': 'suppress: { mode: active }\nchannels: { slack: { token: { env: S } } }\n',
  'business-context.yaml':
    'services: { checkout: { owner: shop, tier: 1, depends_on: [payment] }, payment: { owner: shop }, wiki: { owner: shop } }\n',
  'routing.yaml':
    'teams: { shop: { slack: "#shop" } }\nroutes: { default_team: shop, channels: [slack], escalation: e }\nescalation_policies: { e: { steps: [ { after: 0s, notify: [team] }, { after: 10m, notify: [team] } ] } }\n',
};

let db: TestDatabase;
const scratch = mkdtempSync(join(tmpdir(), 'tocsin-past-'));
const dir = join(scratch, 'config');
beforeAll(async () => {
  db = await withDatabase();
  mkdirSync(dir);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  const story = await recorded(db, files, begin);
  const deliver = (kind: string, minutes: number, body: Buffer, source = 'default') =>
    db.pool.query('insert into deliveries (kind, source, received_at, trace, body) values ($1, $2, $3, $4, $5)', [
      kind,
      source,
      new Date(begin + minutes * 60_000).toISOString(),
      't',
      body,
    ]);
  const deed = async (minutes: number, what: Action['do'], on: string, body: object = {}) => {
    const { rows } = await db.pool.query('select incident_id from alerts where fingerprint = $1', [on]);
    const action = {
      id: `d-${minutes}`,
      do: what,
      incident: { id: rows[0].incident_id },
      by: 'ana',
      origin: 'api',
      body,
    };
    await deliver('action', minutes, Buffer.from(JSON.stringify(action)));
    await story.act(what, on, 'ana', body as Record<string, unknown>);
  };
  await story.at(1);
  await deliver(
    'deploy',
    1,
    encodeEnvelope({
      sender: 'api',
      headers: {},
      body: JSON.stringify({ service: 'payment', version: '2.0', startedAt: '2026-11-18T07:01:00Z' }),
    }),
  );
  await story.at(2);
  await story.fire(errors);
  await story.at(3);
  await story.fire(latency);
  await story.at(8);
  await deed(8, 'acknowledge', 'a1');
  await story.at(20);
  await story.fire(stray);
  await story.at(21);
  await story.fire({
    ...stray,
    fingerprint: 'a4',
    labels: { ...stray.labels, alertname: 'CertSoon', namespace: 'other' },
  });
  const { rows } = await db.pool.query("select incident_id from alerts where fingerprint = 'a3'");
  await story.at(25);
  await deed(25, 'merge', 'a4', { into: rows[0].incident_id });
  await story.at(40);
  await story.end(errors, latency);
  await story.at(90);
  await story.end(stray);
  await story.at(120);
  // our own round trip and what cannot be read are no past
  await deliver(
    'alertmanager',
    121,
    Buffer.from('{"alerts":[{"labels":{"alertname":"TocsinCanary"}}]}'),
    'tocsin-canary',
  );
  await deliver('alertmanager', 122, Buffer.from('no JSON'));
  await story.close();
}, 60_000);
afterAll(async () => {
  await db.close();
  rmSync(scratch, { recursive: true });
});

async function replayed(some: Partial<PastOptions>, more: { save?: string; report?: boolean } = {}) {
  const said = { out: '', err: '' };
  const code = await runReplay({
    past: past(some),
    dir,
    env: {},
    environment: onDatabase(db.url),
    topology: null,
    prometheus: null,
    file: null,
    save: more.save ?? null,
    report: more.report ?? false,
    timing: false,
    now,
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
  });
  return { code, ...said };
}

describe('the past that the store remembers', () => {
  test('is replayed with its deploys and what people did, and comes to what happened', async () => {
    const { code, out } = await replayed({ from: '30d' });
    expect(code).toBe(0);
    const outcomes = JSON.parse(out) as Outcomes;
    const living = outcomes.incidents.filter((incident) => incident.mergedInto === null);
    expect(living).toHaveLength(2);
    expect(living[0]).toMatchObject({ acknowledgedBy: 'ana', status: 'resolved', deploys: [{ service: 'payment' }] });
    const { rows } = await db.pool.query(
      'select count(*) filter (where merged_into is null)::int as living, count(*)::int as incidents from incidents',
    );
    expect([living.length, outcomes.incidents.length]).toEqual([rows[0].living, rows[0].incidents]);
    const opened = await db.pool.query(
      "select count(*)::int as n from notifications where kind in ('open', 'escalate')",
    );
    const calls = outcomes.notifications.filter((one) => one.kind === 'open' || one.kind === 'escalate');
    expect(calls).toHaveLength(opened.rows[0].n);
    const { received, ...others } = outcomes.ledger;
    expect(received).toBe(Object.values(others).reduce((sum, n) => sum + n, 0));
  });

  test('kept as a stream it gives the same bytes', async () => {
    const file = join(scratch, 'kept.jsonl.gz');
    const straight = await replayed({ from: '30d' }, { save: file });
    expect(gunzipSync(readFileSync(file)).toString().split('\n').length).toBeGreaterThan(8);
    // The store's rules fired before nothing: a file says the same.
    expect((await replayed({ stream: file })).out).toBe(straight.out);
  });

  test('two configs are compared on it', async () => {
    const routing = files['routing.yaml'].replace(
      'default_team: shop',
      'default_team: shop, routes: [ { match: [\'service="wiki"\'], channels: [log] } ]',
    );
    const quiet = folder({ ...files, 'routing.yaml': routing });
    let out = '';
    const code = await runDiff({
      past: past({ from: '3d' }),
      configs: [dir, quiet],
      topology: null,
      format: 'json',
      failIf: 'missed_pages>0',
      env: {},
      environment: onDatabase(db.url),
      now,
      out: (text) => {
        out += text;
      },
      err: () => {},
    });
    expect(JSON.parse(out).counts).toMatchObject({ missed_pages: 1, incidents_before: 2, pages_after: 1 });
    expect(code).toBe(1);
  });

  test('--report says in Markdown what it comes to', async () => {
    const { out } = await replayed({ from: '30d' }, { report: true });
    expect(out).toMatch(/^# 2026-10-21T07:00Z to 2026-11-20T07:00Z\n/);
    expect(out).toContain('brought 4 firings of 4 alerts; they became 2 incidents.');
    expect(out).toMatch(/\| incidents somebody was called for \| 2 \| 2 \| \d \|/);
    expect(out).toContain('The ledger balances in all three');
    expect(out).toContain('| slack:#shop |');
  });

  test('a period beyond what is kept, or in which nothing came, is told', async () => {
    expect((await replayed({ from: '30d' })).err).toBe(
      'The oldest delivery is of 2026-11-18T07:01:00.000Z: the time before is not in it. Deliveries are kept for 30 days (retention.deliveries).\n',
    );
    const nothing = await replayed({ from: '2026-10-01', to: '2026-10-02' });
    expect(nothing).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringMatching(/^The store holds no delivery of that time\./),
    });
    expect(await replayed({ from: '30d', stream: 'x' })).toMatchObject({
      code: 2,
      err: expect.stringMatching(/not both/),
    });
    expect(await replayed({})).toMatchObject({ code: 2, err: expect.stringMatching(/--from 30d/) });
  });
});
