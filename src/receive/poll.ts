import { faultOf, type ParseContext, type Refused, readJson, seen, timeOf, type UsableAlert } from './parse.ts';
import type { SeenAlert } from './seen.ts';

/** One alert in the body of an inbox item of kind `poll`: what `GET /api/v2/alerts` said, less what nobody reads. */
export type PolledJson = {
  fingerprint: string;
  startsAt: string;
  endsAt: string;
  state: string;
  silencedBy: string[];
  inhibitedBy: string[];
  /** The receivers its routes lead to, as configured (not quoted). */
  receivers: string[];
  labels: Record<string, string>;
  annotations: Record<string, string>;
  generatorURL: string;
};

/** The body of an inbox item of kind `poll`; its times are epoch ms, the alerts' are as Alertmanager wrote them. */
export type PollJson = {
  source: string;
  /** When the poll was begun: what reached us later is newer than its list. */
  polledAt: number;
  /** When that Alertmanager was started, or null when it did not say. */
  uptimeSince: number | null;
  alerts: PolledJson[];
};

export type PolledAlert = {
  seen: SeenAlert;
  /** Silenced, inhibited or muted there: it fires, but Alertmanager was told to say nothing of it. */
  suppressed: boolean;
  receivers: string[];
};

export type Poll = { ok: true; source: string; polledAt: number; uptimeSince: number | null; alerts: PolledAlert[] };

/** Reads an inbox item of kind `poll`. Members that cannot be used are left out: they came from an API, not from a sender. */
export function parsePoll(raw: Buffer, context: Pick<ParseContext, 'severityMap' | 'labelNames'>): Poll | Refused {
  const body = readJson(raw);
  if (!body.ok) return body;
  const { source, polledAt, uptimeSince, alerts } = (body.value ?? {}) as Partial<PollJson>;
  if (typeof source !== 'string' || typeof polledAt !== 'number' || !Array.isArray(alerts))
    return { ok: false, reason: 'the item is no poll of an Alertmanager' };
  return {
    ok: true,
    source,
    polledAt,
    uptimeSince: typeof uptimeSince === 'number' ? uptimeSince : null,
    alerts: alerts.flatMap((alert: unknown) => {
      if (faultOf(alert) !== null) return [];
      return [polled(alert as UsableAlert & Partial<PolledJson>, { ...context, source, receivedAt: polledAt })];
    }),
  };
}

function polled(alert: UsableAlert & Partial<PolledJson>, context: ParseContext): PolledAlert {
  const at = context.receivedAt;
  const starts = timeOf(alert.startsAt);
  const ends = timeOf(alert.endsAt);
  const over = ends !== null && ends <= at;
  const startsAt = starts ?? at;
  const times = {
    status: over ? ('resolved' as const) : ('firing' as const),
    startsAt,
    startsAtSent: starts !== null,
    endsAt: over ? Math.max(ends, startsAt) : null,
    // Alertmanager's own time-out is renewed by each re-send: were it taken as a promise, an alert would end here whenever
    // the Alertmanager cannot be polled for a few minutes.
    expiresAt: null,
  };
  const receivers = (alert.receivers ?? []).filter((name) => typeof name === 'string');
  return {
    seen: seen(alert, times, { groupKey: null, receiver: receivers[0] ?? null }, context),
    suppressed: alert.state === 'suppressed',
    receivers,
  };
}
