import express, { type Request, type RequestHandler, type Router } from 'express';
import { problem, type Reply, send } from '../api/problem.ts';
import type { Config } from '../config/schema.ts';
import type { SlackInteraction } from '../respond/slack.ts';
import type { RefusedBody } from '../store/quarantine.ts';
import type { InboxItem, NewInboxItem } from '../store/types.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { traceOf } from '../telemetry/trace.ts';
import { authorize, sourceOf, unauthorized } from './auth.ts';
import { type BodyRead, type Budget, discard, readBody } from './body.ts';
import { type Counted, countAlertsApi, countWebhook, type Refused } from './parse.ts';
import { type Asked, type Checked, senders } from './senders.ts';

/** What the door needs of the durable inbox (store/inbox.ts). Both resolve after the commit and reject when there was none. */
export type DoorInbox = {
  append(item: NewInboxItem): Promise<unknown>;
  /** Keeps a body that nothing could be made of; it counts once as received and quarantined. */
  quarantineBody(body: RefusedBody): Promise<unknown>;
};

export type DoorDeps = {
  inbox: DoorInbox;
  /** The tree in force; asked anew for each request, so that a reload counts at once. */
  config: () => Config;
  log: Pick<Logger, 'info' | 'warn'>;
  metrics: Metrics;
  /**
   * Called once a click in Slack is stored and answered, to say there what came of it (or to answer "Why?"). Must not throw.
   */
  onSlack: (interaction: SlackInteraction, trace: string) => void;
  /** Epoch ms. */
  now: () => number;
};

/**
 * One way in: who may, what of the body is judged before it is stored, and what the sender is told. `judge` reads only what
 * the answer needs; the work side parses the stored bytes again.
 */
type Entrance = {
  paths: string[];
  kind: InboxItem['kind'];
  /** Who may come in with what headers; `asked` lets a signature or a key in the body decide later. */
  admit(req: Request, config: Config): Admitted | { ok: false; reply: Reply };
  judge(raw: Buffer, asked: Asked): Checked;
  /** After this long without a commit the answer is 503, ms. */
  patience: number;
};
/** `proven` is false while only the body can tell who sends: nothing of it is kept before it has. */
type Admitted = { ok: true; source: string; proven: boolean };

/** The store gives up on a statement before this; a stopped one must not hold senders until their own deadline. */
const PATIENCE = 10_000;
/** Slack shows the person a failure when it has no answer after 3 s; a quick one leaves them time to press again. */
const SLACK_PATIENCE = 2_000;
const RETRY_AFTER = '5';

/**
 * Everything that posts to us: authenticate, read, look at it lightly, store durably, answer. Nothing else happens before
 * the answer, and the answer is 2xx only after the commit. Never 429 and never a redirect: Alertmanager gives up on the
 * first until its next tick and follows the second as a GET without body, which loses the alert.
 */
export function receiveRouter(deps: DoorDeps): Router {
  const router = express.Router();
  const budget: Budget = { limit: 0, held: 0 };
  for (const entrance of entrances) router.post(entrance.paths, handle(entrance, deps, budget));
  // These paths have no other method; /api/v1/deploys and /api/v2/alerts do (the API answers them).
  router.all(onlyPosted, (_req, res) => send(res, problem(405, 'Only POST is answered here.', {}, { allow: 'POST' })));
  return router;
}

const entrances: Entrance[] = [
  {
    paths: ['/api/v1/webhooks/alertmanager', '/webhook', '/analyze'],
    kind: 'alertmanager',
    admit: byToken,
    judge: (raw) => counts(raw, countWebhook(raw)),
    patience: PATIENCE,
  },
  {
    paths: ['/api/v2/alerts'],
    kind: 'alerts',
    admit: byToken,
    judge: (raw) => {
      const counted = countAlertsApi(raw);
      // Alertmanager answers 400 when any alert is bad although it keeps the others, and Prometheus then counts the whole
      // batch as dropped. We say 200 while anything was of use; the bad ones are in quarantine.
      if (counted.ok && counted.accepted === 0 && counted.quarantined > 0)
        return {
          ok: false,
          status: 400,
          detail: 'None of these alerts can be used: each needs an object of labels.',
          keep: true,
        };
      return counts(raw, counted);
    },
    patience: PATIENCE,
  },
  ...senders.map(
    (sender): Entrance => ({
      paths: sender.paths,
      kind: sender.kind,
      admit: sender.admit === 'token' ? byToken : bySender(sender.source),
      judge: sender.judge,
      patience: sender.kind === 'action' ? SLACK_PATIENCE : PATIENCE,
    }),
  ),
];

const onlyPosted = entrances.flatMap(({ paths }) => paths.filter((path) => !/deploys$|v2\/alerts$/.test(path)));

function counts(raw: Buffer, counted: Counted | Refused): Checked {
  if (!counted.ok)
    return { ok: false, status: 400, detail: `${sentence(counted.reason)} It is kept in quarantine.`, keep: true };
  const { accepted, quarantined } = counted;
  return {
    ok: true,
    item: accepted + quarantined > 0 ? raw : null,
    status: 200,
    answer: { accepted, quarantined },
    counted,
  };
}

const sentence = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}.`;

function byToken(req: Request, config: Config): Admitted | { ok: false; reply: Reply } {
  const access = authorize(req, config, 'webhook');
  if (!access.ok) return { ok: false, reply: access.problem };
  const source = sourceOf(access, req.query.source);
  if (source !== null) return { ok: true, source, proven: true };
  const detail = '?source= must be 1 to 64 letters, digits, dots, dashes or underscores.';
  return { ok: false, reply: problem(400, detail) };
}

/** A sender that proves itself by the body's signature or key; `judge` checks that, because it needs the body. */
function bySender(source: string): Entrance['admit'] {
  return () => ({ ok: true, source, proven: false });
}

/** What became of one request: the word for metrics and log, the answer, and what the log line adds. */
type Outcome = {
  result: 'accepted' | 'refused' | 'unauthorized' | 'too-large' | 'unavailable' | 'gone';
  reply: Reply;
  source?: string;
  reason?: string;
  bytes?: number;
  checked?: Checked & { ok: true };
};

function handle(entrance: Entrance, deps: DoorDeps, budget: Budget): RequestHandler {
  const { kind } = entrance;
  const { metrics, log } = deps;
  return async (req, res) => {
    const begun = performance.now();
    const trace = traceOf(req.headers.traceparent);
    res.setHeader('x-tocsin-trace', trace);
    const { result, reply, source, reason, bytes, checked } = await receive(entrance, deps, budget, req, trace);
    send(res, reply);

    const seconds = (performance.now() - begun) / 1_000;
    metrics.deliveries.inc({ kind, result });
    metrics.receiveSeconds.observe({ kind }, seconds);
    const ms = Math.round(seconds * 1e4) / 10;
    const { accepted, quarantined } = checked?.counted ?? {};
    const line = { trace, kind, source, result, status: reply.status, ms, bytes, accepted, quarantined, reason };
    if (result === 'accepted') log.info(line, 'delivery accepted');
    else log.warn(line, 'delivery not accepted');
    if (checked?.interaction) deps.onSlack(checked.interaction, trace);
  };
}

async function receive(
  entrance: Entrance,
  deps: DoorDeps,
  budget: Budget,
  req: Request,
  trace: string,
): Promise<Outcome> {
  const { kind, patience } = entrance;
  const config = deps.config();
  const admitted = entrance.admit(req, config);
  if (!admitted.ok) {
    discard(req);
    return { result: admitted.reply.status === 400 ? 'refused' : 'unauthorized', reply: admitted.reply };
  }

  const limit = config.tocsin.server.max_body;
  // Room for several bodies of the largest size; a burst of 5,000 ordinary ones (15 kB) is 75 MB.
  budget.limit = Math.max(4 * limit, 256 * 1024 * 1024);
  const read = await readBody(req, limit, budget);
  try {
    const receivedAt = deps.now();
    const { source } = admitted;
    const keep = (reason: string, raw: Buffer) =>
      inTime(patience, deps.inbox.quarantineBody({ at: receivedAt, source, place: 'body', reason, raw }));

    if (!read.ok) {
      const { result, status } = unreadable[read.why];
      const kept = read.kept !== null && admitted.proven ? await keep(read.detail, read.kept) : stored;
      return kept.ok
        ? { result, reply: failed(status, read.detail), source, reason: read.detail }
        : unavailable(kept, source);
    }

    const checked = entrance.judge(read.body, { req, config, source, now: receivedAt });
    if (!checked.ok) {
      const kept = checked.keep ? await keep(checked.detail, read.body) : stored;
      if (!kept.ok) return unavailable(kept, source);
      if (checked.keep) deps.metrics.quarantined.inc({ what: 'body' });
      const result = checked.status === 400 ? 'refused' : 'unauthorized';
      return { result, reply: failed(checked.status, checked.detail), source, reason: checked.detail };
    }

    const from = checked.source ?? source;
    if (checked.item !== null) {
      const item = { kind, source: from, receivedAt, trace, body: checked.item };
      const appended = await inTime(patience, deps.inbox.append(item));
      if (!appended.ok) return unavailable(appended, from);
    }
    deps.metrics.receivedBytes.inc({ kind }, read.body.length);
    deps.metrics.receivedAlerts.inc({ result: 'accepted' }, checked.counted?.accepted ?? 0);
    deps.metrics.receivedAlerts.inc({ result: 'quarantined' }, checked.counted?.quarantined ?? 0);
    deps.metrics.quarantined.inc({ what: 'alert' }, checked.counted?.quarantined ?? 0);
    const reply = { status: checked.status, body: checked.answer };
    return { result: 'accepted', reply, source: from, bytes: read.body.length, checked };
  } finally {
    read.release();
  }
}

/** What each way of not having a body is called and answered; nobody reads the answer to a sender that hung up. */
const unreadable: Record<(BodyRead & { ok: false })['why'], { result: Outcome['result']; status: number }> = {
  'too-large': { result: 'too-large', status: 413 },
  busy: { result: 'unavailable', status: 503 },
  encoding: { result: 'refused', status: 415 },
  corrupt: { result: 'refused', status: 400 },
  gone: { result: 'gone', status: 400 },
};

function failed(status: number, detail: string): Reply {
  if (status === 401) return unauthorized(detail);
  return problem(status, detail, {}, status === 503 ? { 'retry-after': RETRY_AFTER } : {});
}

const unavailable = ({ reason }: Stored & { ok: false }, source: string): Outcome => ({
  result: 'unavailable',
  reply: failed(503, 'The store cannot take this now, so it was not accepted; send it again.'),
  source,
  reason,
});

type Stored = { ok: true } | { ok: false; reason: string };
const stored: Stored = { ok: true };

/** Whether the store did its work in time. A commit that comes later only makes the sender's retry a repeat. */
async function inTime(patience: number, work: Promise<unknown>): Promise<Stored> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Stored>((resolve) => {
    timer = setTimeout(
      () => resolve({ ok: false, reason: `the store did not answer within ${patience} ms` }),
      patience,
    );
  });
  try {
    return await Promise.race([work.then(() => stored), late]);
  } catch (error) {
    // A full inbox and a database that is gone are known states with words of their own, one line each: no stack.
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
  }
}
