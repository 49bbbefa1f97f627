import { createHash } from 'node:crypto';
import type { Config } from '../config/schema.ts';
import { secret } from '../config/secrets.ts';
import { type Matcher, matcherText, parseMatcher } from '../route/matchers.ts';
import type { NewInboxItem } from '../store/types.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Outbound, OutboundRequest } from '../telemetry/outbound.ts';
import { traceOf } from '../telemetry/trace.ts';
import { isFingerprint } from './fingerprint.ts';
import { timeOf } from './parse.ts';
import type { PolledJson, PollJson, SilenceJson } from './poll.ts';

type Alertmanager = Config['tocsin']['alertmanager'][number];

export type ReconcilerDeps = {
  config: () => Config;
  append: (item: NewInboxItem) => Promise<unknown>;
  outbound: Pick<Outbound, 'request'>;
  /** Whether an alert is known to fire here: its labels are then left out of the stored poll. */
  isFiring: (source: string, fingerprint: string) => boolean;
  log: Pick<Logger, 'info' | 'warn'>;
  metrics: Metrics;
  /** Epoch ms. */
  now: () => number;
};

/** What one poll came to: its list was stored, told nothing new, or could not be had. */
export type PollOutcome =
  | { status: 'stored'; alerts: number }
  | { status: 'unchanged' }
  | { status: 'failed'; reason: string };

export type Reconciler = {
  /** Polls one configured Alertmanager now, whether due or not. */
  poll(name: string): Promise<PollOutcome>;
  /** Begins to poll each configured Alertmanager at its own pace; a reload counts at once. Only the shard's owner should. */
  start(): void;
  /** Stops; resolves when no poll is under way any more. */
  stop(): Promise<void>;
};

const TIMEOUT = 10_000;
/** 100,000 alerts are 65 MB (measured on Alertmanager 0.25); it has no paging. */
const MAX_BYTES = 256 * 1024 * 1024;
/** An unchanged list is stored again after this long: it confirms that what fires still does, and closes what it never listed. */
const CONFIRM_EVERY = 4 * 60_000;
const TICK = 250;

type PollState = {
  dueAt: number;
  running: Promise<PollOutcome> | null;
  hash: string;
  storedAt: number;
  again: boolean;
  failing: boolean;
};

/**
 * Polls the list of each configured Alertmanager and puts it into the inbox, in order with everything else; the engine
 * compares (reconcile-plan.ts). An identical list is not stored again, except once right after a stored one, because what
 * is missing must be missing twice, and every four minutes. A poll that fails is logged once per failure, not per poll.
 */
export function createReconciler(deps: ReconcilerDeps): Reconciler {
  const states = new Map<string, PollState>();
  let timer: NodeJS.Timeout | null = null;

  const stateOf = (name: string): PollState => {
    let state = states.get(name);
    if (!state) {
      state = { dueAt: 0, running: null, hash: '', storedAt: Number.NEGATIVE_INFINITY, again: false, failing: false };
      states.set(name, state);
    }
    return state;
  };

  const pollOne = (alertmanager: Alertmanager): Promise<PollOutcome> => {
    const state = stateOf(alertmanager.name);
    state.dueAt = deps.now() + alertmanager.poll;
    state.running ??= pollAndStore(alertmanager, state, deps).finally(() => {
      state.running = null;
    });
    return state.running;
  };

  const tick = (): void => {
    for (const alertmanager of deps.config().tocsin.alertmanager) {
      const state = stateOf(alertmanager.name);
      if (state.running === null && deps.now() >= state.dueAt) void pollOne(alertmanager);
    }
  };

  return {
    async poll(name) {
      const alertmanager = deps.config().tocsin.alertmanager.find((one) => one.name === name);
      if (!alertmanager) return { status: 'failed', reason: `no alertmanager is called ${name} in tocsin.yaml` };
      return pollOne(alertmanager);
    },
    start() {
      timer ??= setInterval(tick, TICK);
      tick();
    },
    async stop() {
      if (timer) clearInterval(timer);
      timer = null;
      await Promise.all([...states.values()].map((state) => state.running));
    },
  };
}

async function pollAndStore(alertmanager: Alertmanager, state: PollState, deps: ReconcilerDeps): Promise<PollOutcome> {
  const { name } = alertmanager;
  const outcome = await attempt(alertmanager, state, deps).catch((error: unknown): PollOutcome => {
    return {
      status: 'failed',
      reason: `its list could not be stored: ${error instanceof Error ? error.message : String(error)}`,
    };
  });
  deps.metrics.polls.inc({ source: name, result: outcome.status });
  if (outcome.status === 'failed') {
    if (!state.failing)
      deps.log.warn(
        { source: name, reason: outcome.reason },
        'Alertmanager cannot be polled; alerts whose resolve is lost stay open, and its silences hold until their own end only',
      );
  } else {
    deps.metrics.pollSuccess.set({ source: name }, deps.now() / 1_000);
    if (state.failing) deps.log.info({ source: name }, 'Alertmanager is polled again');
  }
  state.failing = outcome.status === 'failed';
  return outcome;
}

async function attempt(alertmanager: Alertmanager, state: PollState, deps: ReconcilerDeps): Promise<PollOutcome> {
  const { name: source } = alertmanager;
  const polledAt = deps.now();
  const list = await get(alertmanager, 'api/v2/alerts', deps);
  if (!list.ok) return { status: 'failed', reason: list.reason };
  if (!Array.isArray(list.value)) return { status: 'failed', reason: 'its answer is no list of alerts' };
  // Asked after the list: should it restart in between, the list is old and complete but the uptime says "just started".
  const status = await get(alertmanager, 'api/v2/status', deps);
  const said = await get(alertmanager, 'api/v2/silences', deps);
  const silences = said.ok && Array.isArray(said.value) ? said.value.flatMap((one) => silenceOf(one, polledAt)) : null;
  const uptimeSince = status.ok ? timeOf((status.value as { uptime?: unknown } | null)?.uptime) : null;

  const alerts = list.value.flatMap((alert) => compact(alert, (fingerprint) => deps.isFiring(source, fingerprint)));
  const hash = hashOf(alerts, polledAt, uptimeSince, silences);
  const changed = hash !== state.hash;
  const confirming = polledAt - state.storedAt >= CONFIRM_EVERY;
  if (!changed && !state.again && !confirming) return { status: 'unchanged' };

  const body: PollJson = { source, polledAt, uptimeSince, alerts, silences };
  await deps.append({
    kind: 'poll',
    source,
    receivedAt: polledAt,
    trace: traceOf(undefined),
    body: Buffer.from(JSON.stringify(body)),
  });
  state.hash = hash;
  state.storedAt = polledAt;
  state.again = changed || confirming;
  return { status: 'stored', alerts: alerts.length };
}

async function get(
  alertmanager: Alertmanager,
  path: string,
  deps: ReconcilerDeps,
): Promise<{ ok: true; value: unknown } | { ok: false; reason: string }> {
  const base = alertmanager.url.endsWith('/') ? alertmanager.url : `${alertmanager.url}/`;
  const url = new URL(path, base);
  if (path.endsWith('alerts'))
    for (const what of ['active', 'silenced', 'inhibited', 'unprocessed']) url.searchParams.set(what, 'true');
  const answer = await deps.outbound.request({
    method: 'GET',
    url: url.href,
    peer: 'alertmanager',
    timeoutMs: TIMEOUT,
    maxBytes: MAX_BYTES,
    ...credentials(alertmanager, deps.config()),
  });
  if (answer.status !== 'answered') return { ok: false, reason: answer.reason };
  if (answer.code !== 200)
    return { ok: false, reason: `it answered ${answer.code} to ${url.pathname}${hints[answer.code] ?? ''}` };
  try {
    return { ok: true, value: JSON.parse(answer.body) };
  } catch {
    return { ok: false, reason: `its answer to ${url.pathname} is not JSON; is alertmanager[].url right?` };
  }
}

const hints: Record<number, string> = {
  401: '; check alertmanager[].auth',
  403: '; check alertmanager[].auth',
  404: '; check the path in alertmanager[].url',
};

function credentials({ auth }: Alertmanager, config: Config): Pick<OutboundRequest, 'headers' | 'auth'> {
  if (!auth) return {};
  if ('bearer' in auth) return { headers: { authorization: `Bearer ${secret(config, auth.bearer) ?? ''}` } };
  return { auth: { username: auth.username, password: secret(config, auth.password) ?? '' } };
}

type Gettable = {
  fingerprint?: unknown;
  startsAt?: unknown;
  endsAt?: unknown;
  labels?: unknown;
  annotations?: unknown;
  generatorURL?: unknown;
  receivers?: unknown;
  status?: { state?: unknown; silencedBy?: unknown; inhibitedBy?: unknown } | null;
};

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const texts = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
const textMap = (value: unknown): Record<string, string> =>
  typeof value === 'object' && value !== null ? (value as Record<string, string>) : {};

function compact(value: unknown, isFiring: (fingerprint: string) => boolean): PolledJson[] {
  const alert = (value ?? {}) as Gettable;
  if (!isFingerprint(alert.fingerprint)) return [];
  const receivers = Array.isArray(alert.receivers)
    ? alert.receivers.map((one) => text((one as { name?: unknown } | null)?.name))
    : [];
  return [
    {
      fingerprint: alert.fingerprint,
      startsAt: text(alert.startsAt),
      endsAt: text(alert.endsAt),
      state: text(alert.status?.state),
      silencedBy: texts(alert.status?.silencedBy),
      inhibitedBy: texts(alert.status?.inhibitedBy),
      receivers,
      ...(isFiring(alert.fingerprint)
        ? {}
        : {
            detail: {
              labels: textMap(alert.labels),
              annotations: textMap(alert.annotations),
              generatorURL: text(alert.generatorURL),
            },
          }),
    },
  ];
}

type GettableSilence = {
  id?: unknown;
  matchers?: unknown;
  startsAt?: unknown;
  endsAt?: unknown;
  createdBy?: unknown;
  comment?: unknown;
  status?: { state?: unknown } | null;
};

/** A silence in force at `at`; none when it is not, or when one of its matchers cannot be read: it then holds nothing. */
function silenceOf(value: unknown, at: number): SilenceJson[] {
  const silence = (value ?? {}) as GettableSilence;
  const until = timeOf(silence.endsAt);
  const from = timeOf(silence.startsAt);
  const matchers = Array.isArray(silence.matchers) ? silence.matchers : [];
  if (typeof silence.id !== 'string' || until === null || until <= at || (from !== null && from > at)) return [];
  if (silence.status?.state === 'expired' || matchers.length === 0) return [];
  const match = matchers.map((one) => {
    const { name, value: wanted, isRegex, isEqual } = (one ?? {}) as Record<string, unknown>;
    // `isEqual` came with 0.22; before that there was no other way.
    const op: Matcher['op'] = isEqual === false ? (isRegex ? '!~' : '!=') : isRegex ? '=~' : '=';
    return matcherText({ name: text(name), op, value: text(wanted) });
  });
  if (!match.every((one) => parseMatcher(one).ok)) return [];
  const by = text(silence.createdBy).slice(0, 200) || 'somebody';
  return [{ id: silence.id, match, until, by, comment: text(silence.comment).slice(0, 500) }];
}

/** What makes a list news. Not endsAt itself, which moves on with every re-send, only whether it has passed. */
function hashOf(alerts: PolledJson[], at: number, uptimeSince: number | null, silences: SilenceJson[] | null): string {
  const inForce = silences && [...silences].sort((a, b) => (a.id < b.id ? -1 : 1));
  const hash = createHash('sha256').update(String(uptimeSince)).update(JSON.stringify(inForce));
  const lines = alerts.map((alert) => {
    const ends = timeOf(alert.endsAt);
    const over = ends !== null && ends <= at;
    return `${alert.fingerprint} ${alert.startsAt} ${alert.state} ${over} ${alert.detail === undefined}`;
  });
  for (const line of lines.sort()) hash.update(line).update('\n');
  return hash.digest('hex');
}
