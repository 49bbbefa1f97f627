import { parseMatcher } from '../route/matchers.ts';
import { isFingerprint } from './fingerprint.ts';
import { faultOf, type ParseContext, type Refused, readJson, seen, timeOf, type UsableAlert } from './parse.ts';
import type { SeenAlert } from './seen.ts';

/** One alert in the body of an inbox item of kind `poll`: what `GET /api/v2/alerts` said, less what nobody reads. */
export type PolledJson = {
  fingerprint: string;
  startsAt: string;
  endsAt: string;
  /** `active`, `suppressed` or `unprocessed`. */
  state: string;
  silencedBy: string[];
  inhibitedBy: string[];
  /** The receivers its routes lead to, as configured (not quoted). */
  receivers: string[];
  /** What it says of itself; left out of alerts that fire here already, which is most of the list. */
  detail?: { labels: Record<string, string>; annotations: Record<string, string>; generatorURL: string };
};

/** A silence that is in force, from `GET /api/v2/silences`; `match` as in our own config. */
export type SilenceJson = { id: string; match: string[]; until: number; by: string; comment: string };

/** The body of an inbox item of kind `poll`; its times are epoch ms, the alerts' are as Alertmanager wrote them. */
export type PollJson = {
  source: string;
  /** When the poll was begun: what reached us later is newer than its list. */
  polledAt: number;
  /** When that Alertmanager was started, or null when it did not say. */
  uptimeSince: number | null;
  alerts: PolledJson[];
  /** Null when it did not say: what was known of its silences stands. */
  silences?: SilenceJson[] | null;
};

export type PolledAlert = {
  fingerprint: string;
  startsAt: number;
  /** When it ended, if it is over but still listed; null while it fires. */
  endedAt: number | null;
  /** Silenced, inhibited or muted there: it fires, but Alertmanager was told to say nothing of it. */
  suppressed: boolean;
  receivers: string[];
  /** As if it had come by webhook; null when the poll left its labels out. */
  seen: SeenAlert | null;
};

export type Poll = {
  ok: true;
  source: string;
  polledAt: number;
  uptimeSince: number | null;
  alerts: PolledAlert[];
  silences: SilenceJson[] | null;
};

/** Reads an inbox item of kind `poll`. Members that cannot be used are left out: they came from an API, not from a sender. */
export function parsePoll(raw: Buffer, context: Pick<ParseContext, 'severityMap' | 'labelNames'>): Poll | Refused {
  const body = readJson(raw);
  if (!body.ok) return body;
  const { source, polledAt, uptimeSince, alerts, silences } = (body.value ?? {}) as Partial<PollJson>;
  if (typeof source !== 'string' || typeof polledAt !== 'number' || !Array.isArray(alerts))
    return { ok: false, reason: 'the item is no poll of an Alertmanager' };
  return {
    ok: true,
    source,
    polledAt,
    uptimeSince: typeof uptimeSince === 'number' ? uptimeSince : null,
    alerts: alerts.flatMap((alert: Partial<PolledJson> | null) =>
      isFingerprint(alert?.fingerprint)
        ? [polled(alert, alert.fingerprint, { ...context, source, receivedAt: polledAt })]
        : [],
    ),
    silences: Array.isArray(silences) ? silences.filter(isSilence) : null,
  };
}

const isSilence = (value: unknown): value is SilenceJson => {
  const { id, match, until, by, comment } = (value ?? {}) as Partial<SilenceJson>;
  return (
    typeof id === 'string' &&
    Array.isArray(match) &&
    match.length > 0 &&
    match.every((one) => typeof one === 'string' && parseMatcher(one).ok) &&
    typeof until === 'number' &&
    typeof by === 'string' &&
    typeof comment === 'string'
  );
};

function polled(alert: Partial<PolledJson>, fingerprint: string, context: ParseContext): PolledAlert {
  const at = context.receivedAt;
  const starts = timeOf(alert.startsAt);
  const ends = timeOf(alert.endsAt);
  const startsAt = starts ?? at;
  const endedAt = ends !== null && ends <= at ? Math.max(ends, startsAt) : null;
  const receivers = (alert.receivers ?? []).filter((name) => typeof name === 'string');
  const detail = alert.detail && { ...alert.detail, fingerprint };
  const times = {
    status: endedAt === null ? ('firing' as const) : ('resolved' as const),
    startsAt,
    startsAtSent: starts !== null,
    endsAt: endedAt,
    // Alertmanager's own time-out is renewed by each re-send: were it taken as a promise, an alert would end here whenever
    // the Alertmanager cannot be polled for a few minutes.
    expiresAt: null,
  };
  return {
    fingerprint,
    startsAt,
    endedAt,
    suppressed: alert.state === 'suppressed',
    receivers,
    seen:
      detail && faultOf(detail) === null
        ? seen(detail as UsableAlert, times, { groupKey: null, receiver: receivers[0] ?? null }, context)
        : null,
  };
}
