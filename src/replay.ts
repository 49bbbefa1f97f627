import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { z } from 'zod';
import type { Judgement } from './assess/conclude.ts';
import type { Config } from './config/schema.ts';
import { findAlert } from './correlate/life.ts';
import type { Action } from './domain/action.ts';
import type { Alert, Verdict } from './domain/alert.ts';
import type { Effects } from './domain/effects.ts';
import type { Incident } from './domain/incident.ts';
import { emptyLedger, type Ledger } from './domain/ledger.ts';
import type { Reason } from './domain/reason.ts';
import { StreamLine } from './domain/stream.ts';
import type { World } from './domain/world.ts';
import { type FactSource, gather, gatherFrom } from './enrich/gather.ts';
import { createReplayHistory } from './enrich/history-replay.ts';
import { createEngine, type Engine, type Input } from './pipeline.ts';
import { decode, deploysOf } from './receive/decode.ts';
import { targetLabel } from './route/targets.ts';
import type { Rules } from './rules.ts';

/** What a replay gives (contract section 5); the same input and config give the same bytes, apart from `timing`. */
export type Outcomes = {
  alerts: { fingerprint: string; startsAt: string; incidentId: string | null; verdict: Verdict; reasons: Reason[] }[];
  incidents: Incident[];
  notifications: {
    at: string;
    channel: string;
    target: string;
    incidentId: string;
    kind: string;
    priority: number | null;
  }[];
  ledger: Ledger;
  timing: { alertsPerSecond: number; p50Ms: number; p99Ms: number; maxStallMs: number };
};

/** A line of the stream that cannot be used: where and why. */
export class StreamFault extends Error {}

/** Reads a stream file (JSON lines, gzipped or not) line by line; throws `StreamFault` naming the line. */
export async function* readStream(file: string): AsyncGenerator<{ line: number; entry: StreamLine }> {
  const raw = createReadStream(file);
  const text = file.endsWith('.gz') ? raw.pipe(createGunzip()) : raw;
  const failed = new Promise<never>((_, reject) => {
    raw.on('error', reject);
    text.on('error', reject);
  });
  failed.catch(() => {});
  let line = 0;
  const lines = createInterface({ input: text, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
  while (true) {
    const next = await Promise.race([lines.next(), failed]);
    if (next.done) return;
    line += 1;
    if (next.value.trim() === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(next.value);
    } catch (error) {
      throw new StreamFault(`${file}:${line}: not JSON (${(error as Error).message}). Each line is one JSON object.`);
    }
    const parsed = StreamLine.safeParse(value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0]!;
      throw new StreamFault(
        `${file}:${line}: ${issue.path.join('.')}: ${issue.message}. A line is {"at","kind","body"}.`,
      );
    }
    yield { line, entry: parsed.data };
  }
}

/** What a line of kind `known` says; unusable, it says nothing. */
const Known = z.object({ rules: z.array(z.string()).catch([]) }).catch({ rules: [] });
type Told = Exclude<StreamLine['kind'], 'known'>;

/** One line of a stream as an input of the engine. */
function inputOf(
  entry: StreamLine & { kind: Told },
  line: number,
  at: number,
  config: Config,
  world: Readonly<World>,
): Input {
  const { kind, source = 'default' } = entry;
  const item = { id: String(line), source, receivedAt: at, trace: `line-${line}` };
  const body = Buffer.from(JSON.stringify(entry.body ?? null));
  if (kind === 'deploy') {
    const { sender = 'api', headers = {} } = entry;
    return deploysOf({ ...item, body }, sender, entry.body, headers, Object.keys(config.business.services));
  }
  if (kind !== 'action') return decode({ ...item, body, kind }, config);
  const ref = entry.incident;
  const said: Record<string, unknown> = { ...(entry as { body?: object }).body };
  // Ids differ from run to run: a stream may name the incident to merge into by an alert, as it does the incident itself.
  if (typeof said.into === 'object') said.into = incidentOf(world, said.into as AlertRef) ?? '';
  const action: Action = {
    id: `line-${line}`,
    do: (entry.do ?? 'note') as Action['do'],
    incident: typeof ref === 'string' ? { id: ref } : (ref ?? null),
    by: entry.by ?? 'replay',
    origin: 'replay',
    body: said,
  };
  return { kind: 'action', action };
}

type AlertRef = { fingerprint?: string; source?: string } | null;

function incidentOf(world: Readonly<World>, ref: AlertRef): string | null {
  const alert = ref?.fingerprint === undefined ? null : findAlert(world, ref.fingerprint, ref.source);
  return alert === null || alert === 'ambiguous' ? null : alert.incidentId;
}

/** What the run remembers of the effects: the last word on each alert and incident, and everything that was sent. */
function createRecorder() {
  const alerts = new Map<string, Alert>();
  const incidents = new Map<string, Incident>();
  const notifications: Outcomes['notifications'] = [];
  const ledger = emptyLedger();
  return {
    take(effects: Effects) {
      for (const { alert } of effects.alerts)
        alerts.set(`${alert.source}/${alert.fingerprint}@${alert.startsAt}`, alert);
      for (const { state, doc } of effects.incidents) {
        if (!doc) continue;
        incidents.set(state.id, { ...doc, status: state.status, mergedInto: state.mergedInto });
      }
      for (const job of effects.notifications) {
        // A line in the thread under a message is no notification of its own; an acknowledgement edits the message. A digest
        // belongs to no incident.
        if (job.kind === 'thread' || job.kind === 'digest') continue;
        notifications.push({
          at: new Date(job.createdAt).toISOString(),
          channel: job.target.channel,
          target: targetLabel(job.target),
          incidentId: job.incidentId,
          kind: job.kind === 'acknowledge' ? 'update' : job.kind,
          priority: incidents.get(job.incidentId)?.priority ?? null,
        });
      }
      for (const name of Object.keys(ledger) as (keyof Ledger)[]) ledger[name] += effects.ledger[name];
    },
    outcomes: () => ({
      alerts: [...alerts.values()].map((alert) => ({
        fingerprint: alert.fingerprint,
        startsAt: new Date(alert.startsAt).toISOString(),
        incidentId: alert.incidentId,
        verdict: alert.fireVerdict ?? ('group' as const),
        reasons: alert.reasons,
      })),
      incidents: [...incidents.values()].sort((a, b) => a.number - b.number),
      notifications,
      ledger,
    }),
  };
}

export type ReplayOptions = {
  rules: Rules;
  /** Places facts come from (`--prometheus`); asked with the simulated clock. */
  sources?: readonly FactSource[];
  /** Longest wait for the facts of one assessment, ms of real time. */
  deadlineMs?: number;
  /** Stops at this simulated time (epoch ms), with every timer up to then played; without it, after the last line. */
  until?: number;
  /** Rules that fired before the stream begins; what is not among them is a first. */
  knownRules?: readonly string[];
  /** Shown each judgement as it falls, before its effects are taken: for training and tests. */
  onJudged?: (incidentId: string, judgement: Judgement, engine: Engine) => void;
  /** Called now and then with the lines done. */
  progress?: (lines: number) => void;
};

/**
 * Runs a recorded stream through the engine in simulated time: between two lines every timer that falls due fires at its own
 * time. What the run itself brought about so far is its history. No store, no side effects; the only calls out are those of
 * `sources`.
 */
export async function replay(
  lines: AsyncIterable<{ line: number; entry: StreamLine }>,
  options: ReplayOptions,
): Promise<Outcomes> {
  const { rules, sources = [], deadlineMs = 30_000, until, knownRules = [], onJudged, progress } = options;
  const engine: Engine = createEngine(rules);
  engine.know(knownRules);
  const recorder = createRecorder();
  const history = createReplayHistory();
  const asked = [...sources, history.source];
  const took: number[] = [];
  let changes = 0;
  let clock = 0;
  let count = 0;

  /** Everything that happens at one instant of simulated time. */
  async function settle(now: number): Promise<void> {
    engine.advance(now);
    for (let subjects = engine.requests(now); subjects.length > 0; subjects = engine.requests(now)) {
      for (const subject of subjects) {
        const facts = await (sources.length === 0
          ? gatherFrom(history.source, subject)
          : gather(asked, subject, deadlineMs));
        const judged = engine.assess(subject.incidentId, facts, now);
        if (judged) onJudged?.(subject.incidentId, judged, engine);
      }
    }
    const effects = engine.takeEffects(now);
    history.observe(effects);
    recorder.take(effects);
  }

  /** Lets simulated time pass up to `until`, timer by timer. */
  async function pass(until: number): Promise<void> {
    for (let due = engine.nextDue(); due !== null && due < until; due = engine.nextDue()) {
      clock = Math.max(clock, due);
      await settle(clock);
    }
    clock = Math.max(clock, until);
  }

  /** What the last lines left to be judged is judged; escalations of the time after the recording are not played. */
  async function judgeRest(): Promise<void> {
    for (let i = 0; i < 1_000 && engine.world.dirty.size > 0; i += 1) await pass((engine.nextDue() ?? clock) + 1);
  }

  const begun = performance.now();
  for await (const { line, entry } of lines) {
    const at = Date.parse(entry.at);
    if (until !== undefined && at > until) break;
    const start = performance.now();
    if (entry.kind === 'known') {
      engine.know(Known.parse(entry.body).rules);
      continue;
    }
    await pass(at);
    const input = inputOf({ ...entry, kind: entry.kind }, line, clock, rules.config, engine.world);
    if (input.kind === 'alerts') changes += input.sighting.seen.length;
    engine.apply(input, clock);
    await settle(clock);
    took.push(performance.now() - start);
    count += 1;
    if (count % 500 === 0) progress?.(count);
  }
  if (until !== undefined) await pass(until + 1);
  else await judgeRest();

  const seconds = (performance.now() - begun) / 1000;
  const sorted = took.sort((a, b) => a - b);
  const at = (share: number): number =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 100) / 100;
  return {
    ...recorder.outcomes(),
    timing: {
      alertsPerSecond: Math.round(changes / Math.max(seconds, 1e-6)),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      maxStallMs: at(1),
    },
  };
}
