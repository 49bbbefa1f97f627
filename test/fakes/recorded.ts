import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/load.ts';
import { loadModels } from '../../src/config/models.ts';
import type { Config } from '../../src/config/schema.ts';
import type { Action } from '../../src/domain/action.ts';
import { noFacts } from '../../src/domain/facts.ts';
import { createEngine, type Input, KEEP_MS } from '../../src/pipeline.ts';
import { decode } from '../../src/receive/decode.ts';
import { compileRules } from '../../src/rules.ts';
import { openShard } from '../../src/store/shard.ts';
import { quiet, type TestDatabase } from './postgres.ts';

export type Told = { fingerprint: string; labels: Record<string, string>; summary?: string };

/**
 * A store with a past in it: what is told here runs through the real engine with a clock that the story moves, and is
 * committed as the service commits it. On a store with a past already it goes on from there, as after a restart.
 */
export async function recorded(db: TestDatabase, files: Record<string, string>, begin: number) {
  const dir = mkdtempSync(join(tmpdir(), 'tocsin-story-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  const loaded = loadConfig(dir, {}, { assumeSecrets: true });
  rmSync(dir, { recursive: true });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  const config: Config = loaded.config;
  const engine = createEngine(compileRules(config, loadModels(), { assumeSecrets: true }));
  let clock = begin;
  const auditKey = { id: 'test', secret: randomBytes(32) };
  const session = await openShard({ url: db.url, name: 'story', log: quiet, auditKey, now: () => clock });
  if (!session) throw new Error('somebody else owns the shard');
  engine.restore(await session.restore({ now: begin, lookbackMs: KEEP_MS }), begin);

  async function settle(): Promise<void> {
    engine.advance(clock);
    for (const subject of engine.requests(clock)) engine.assess(subject.incidentId, noFacts(), clock);
    await session!.commit(engine.takeEffects(clock), []);
  }
  /** Lets time pass up to `minutes` after the begin, timer by timer. */
  async function at(minutes: number): Promise<void> {
    const until = begin + minutes * 60_000;
    for (let due = engine.nextDue(); due !== null && due < until; due = engine.nextDue()) {
      clock = Math.max(clock, due);
      await settle();
    }
    clock = Math.max(clock, until);
  }
  async function take(input: Input): Promise<void> {
    engine.apply(input, clock);
    await settle();
  }
  const rfc = (ms: number) => new Date(ms).toISOString();

  async function post(alerts: object[]): Promise<void> {
    const body = Buffer.from(JSON.stringify({ version: '4', groupKey: 'g', receiver: 'tocsin', alerts }));
    const { rows } = await db.pool.query(
      "insert into deliveries (kind, source, received_at, trace, body) values ('alertmanager', 'default', $1, 't', $2) returning id",
      [rfc(clock), body],
    );
    const item = {
      id: rows[0].id,
      kind: 'alertmanager' as const,
      source: 'default',
      receivedAt: clock,
      trace: 't',
      body,
    };
    await take(decode(item, config));
  }
  const since = new Map<string, number>();
  let deeds = 0;
  return {
    config,
    at,
    /** Alerts that began to fire now, or fire on. */
    async fire(...alerts: Told[]) {
      await post(
        alerts.map(({ fingerprint, labels, summary = '' }) => {
          if (!since.has(fingerprint)) since.set(fingerprint, clock);
          const startsAt = rfc(since.get(fingerprint)!);
          return {
            status: 'firing',
            labels,
            annotations: { summary },
            startsAt,
            endsAt: '0001-01-01T00:00:00Z',
            fingerprint,
          };
        }),
      );
    },
    async end(...alerts: Told[]) {
      await post(
        alerts.map(({ fingerprint, labels, summary = '' }) => {
          const startsAt = rfc(since.get(fingerprint)!);
          since.delete(fingerprint);
          return { status: 'resolved', labels, annotations: { summary }, startsAt, endsAt: rfc(clock), fingerprint };
        }),
      );
    },
    async act(what: Action['do'], fingerprint: string, by: string, body: Record<string, unknown> = {}) {
      deeds += 1;
      const id = `deed-${deeds}`;
      await take({ kind: 'action', action: { id, do: what, incident: { fingerprint }, by, origin: 'api', body } });
    },
    close: () => session.close(),
  };
}
