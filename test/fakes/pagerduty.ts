import { createHmac, randomUUID } from 'node:crypto';
import { json, startHttpServer } from './http-server.ts';
import { until } from './until.ts';

export type FakePagerDutyEvent = {
  routing_key: string;
  event_action: 'trigger' | 'acknowledge' | 'resolve';
  dedup_key: string;
  payload?: {
    summary: string;
    source: string;
    severity: string;
    component?: string;
    group?: string;
    class?: string;
    custom_details?: Record<string, unknown>;
  };
  links?: { href: string; text?: string }[];
  images?: { src: string; href?: string; alt?: string }[];
  client?: string;
  client_url?: string;
  /** What it did: `opened` is the only thing that pages somebody. */
  effect: 'opened' | 'appended' | 'acknowledged' | 'resolved' | 'dropped';
};

export type FakePagerDutyAlert = {
  key: string;
  dedupKey: string;
  state: 'triggered' | 'acknowledged' | 'resolved';
  summary: string;
};

export type PagerDutyFault = { do: 'status'; code: number; retryAfterSeconds?: number } | { do: 'hang' };

export type FakePagerDuty = Awaited<ReturnType<typeof startFakePagerDuty>>;

/**
 * A stand-in for PagerDuty's Events API v2 and its webhooks v3. A dedup key belongs to its routing key; a trigger on an open
 * alert is appended, on a resolved one it opens (pages) anew; acknowledge and resolve without an open alert are dropped
 * silently, with 202, as the real one does.
 */
export async function startFakePagerDuty(options: { webhookSecret?: string } = {}) {
  const webhookSecret = options.webhookSecret ?? 'fake-webhook-secret';
  const events: FakePagerDutyEvent[] = [];
  const changes: Record<string, unknown>[] = [];
  const alerts = new Map<string, FakePagerDutyAlert>();
  const expected = new Set<FakePagerDutyEvent>();
  const hanging = new Set<() => void>();
  let faults: { fault: PagerDutyFault; key: string | null; times: number }[] = [];

  const server = await startHttpServer(async (call, response) => {
    if (call.body.length > 512 * 1024)
      return json(response, 413, { status: 'invalid event', message: 'Event is too large' });
    let body: Record<string, unknown>;
    try {
      body = JSON.parse(call.body.toString()) as Record<string, unknown>;
    } catch {
      return json(response, 400, { status: 'invalid event', message: 'Event object is invalid', errors: ['not JSON'] });
    }
    const key = String(body.routing_key ?? '');
    const found = faults.find((one) => one.key === null || one.key === key);
    if (found) {
      found.times -= 1;
      if (found.times <= 0) faults = faults.filter((one) => one !== found);
      if (found.fault.do === 'hang') {
        await new Promise<void>((resolve) => hanging.add(resolve));
        response.destroy();
        return;
      }
      const headers: Record<string, string> =
        found.fault.retryAfterSeconds === undefined ? {} : { 'retry-after': String(found.fault.retryAfterSeconds) };
      // The real one echoes part of what it was sent; a key must not find its way from there into a log.
      return json(response, found.fault.code, { status: 'fault', message: `no luck with ${key}` }, headers);
    }
    if (call.method !== 'POST') return json(response, 405, {});
    if (call.path === '/v2/change/enqueue') {
      changes.push(body);
      return json(response, 202, { status: 'success', message: 'Change event processed' });
    }
    if (call.path !== '/v2/enqueue') return json(response, 404, {});
    const wrong = faultsOf(body);
    if (wrong.length)
      return json(response, 400, { status: 'invalid event', message: 'Event object is invalid', errors: wrong });
    const dedupKey = String(body.dedup_key ?? randomUUID());
    const event = { ...(body as unknown as FakePagerDutyEvent), dedup_key: dedupKey };
    event.effect = apply(key, dedupKey, event);
    events.push(event);
    json(response, 202, { status: 'success', message: 'Event processed', dedup_key: dedupKey });
  });

  function apply(key: string, dedupKey: string, event: FakePagerDutyEvent): FakePagerDutyEvent['effect'] {
    const id = `${key}/${dedupKey}`;
    const alert = alerts.get(id);
    const open = alert && alert.state !== 'resolved';
    if (event.event_action === 'trigger') {
      if (open) return 'appended';
      alerts.set(id, { key, dedupKey, state: 'triggered', summary: event.payload?.summary ?? '' });
      return 'opened';
    }
    if (!open) return 'dropped';
    alert.state = event.event_action === 'acknowledge' ? 'acknowledged' : 'resolved';
    return alert.state;
  }

  const describe = (): string =>
    events.length === 0
      ? 'PagerDuty got nothing'
      : `PagerDuty got:\n${events.map((e) => `  ${e.routing_key} ${e.event_action} ${e.dedup_key} (${e.effect}) ${e.payload?.summary ?? ''}`).join('\n')}`;

  async function expectEvent(
    key: string,
    action: FakePagerDutyEvent['event_action'],
    pattern: RegExp | null,
    timeoutMs: number,
  ): Promise<FakePagerDutyEvent> {
    const event = await until(
      () =>
        events.find(
          (one) =>
            one.routing_key === key &&
            one.event_action === action &&
            !expected.has(one) &&
            (pattern === null || pattern.test(JSON.stringify(one.payload ?? {}))),
        ),
      () => `no ${action} for ${key}${pattern ? ` matches ${pattern}` : ''}. ${describe()}`,
      timeoutMs,
    );
    expected.add(event);
    return event;
  }

  return {
    /** `events_url` for the config. */
    url: server.url,
    webhookSecret,
    events,
    changes,
    /** Alerts as PagerDuty has them now, by routing key. */
    alertsOf: (key: string): FakePagerDutyAlert[] => [...alerts.values()].filter((alert) => alert.key === key),
    /** Each expectation takes the oldest event that no earlier one has taken. */
    expectTrigger: (key: string, pattern: RegExp | null = null, timeoutMs = 10_000) =>
      expectEvent(key, 'trigger', pattern, timeoutMs),
    expectAcknowledge: (key: string, timeoutMs = 10_000) => expectEvent(key, 'acknowledge', null, timeoutMs),
    expectResolve: (key: string, timeoutMs = 10_000) => expectEvent(key, 'resolve', null, timeoutMs),
    /** Fails when an event paged somebody, acknowledged or resolved and no expectation has matched it. */
    expectNothingElse(): void {
      const surplus = events.filter(
        (event) => !expected.has(event) && event.effect !== 'appended' && event.effect !== 'dropped',
      );
      if (surplus.length) {
        throw new Error(
          `surplus in PagerDuty:\n${surplus.map((e) => `  ${e.routing_key} ${e.event_action} ${e.dedup_key} ${e.payload?.summary ?? ''}`).join('\n')}`,
        );
      }
    },
    fail(fault: PagerDutyFault, only: { key?: string; times?: number } = {}): void {
      faults.push({ fault, key: only.key ?? null, times: only.times ?? Number.POSITIVE_INFINITY });
    },
    recover(): void {
      faults = [];
      for (const letGo of hanging) letGo();
      hanging.clear();
    },
    /**
     * What PagerDuty posts (webhooks v3) when somebody acts there: body and signed headers. `rotating` adds a signature by
     * another secret in front, as while a secret is being rotated.
     */
    webhook(
      eventType: 'incident.acknowledged' | 'incident.unacknowledged' | 'incident.resolved' | 'incident.reopened',
      dedupKey: string,
      more: { agent?: string; id?: string; secret?: string; rotating?: boolean; at?: Date } = {},
    ): { body: string; headers: Record<string, string> } {
      const body = JSON.stringify({
        event: {
          id: more.id ?? randomUUID(),
          event_type: eventType,
          resource_type: 'incident',
          occurred_at: (more.at ?? new Date()).toISOString(),
          agent: {
            id: 'PANA',
            type: 'user_reference',
            summary: more.agent ?? 'Ana',
            html_url: 'https://fake.pagerduty.com/users/PANA',
          },
          client: null,
          data: {
            id: 'PINC1',
            type: 'incident',
            status:
              eventType === 'incident.resolved'
                ? 'resolved'
                : eventType === 'incident.acknowledged'
                  ? 'acknowledged'
                  : 'triggered',
            incident_key: dedupKey,
            number: 1,
            title: 'x',
          },
        },
      });
      const by = (secret: string): string => `v1=${createHmac('sha256', secret).update(body).digest('hex')}`;
      const signature = by(more.secret ?? webhookSecret);
      return {
        body,
        headers: {
          'content-type': 'application/json',
          'x-webhook-id': more.id ?? randomUUID(),
          'x-pagerduty-signature': more.rotating ? `${by('an older secret')},${signature}` : signature,
        },
      };
    },
    async close(): Promise<void> {
      for (const letGo of hanging) letGo();
      await server.close();
    },
  };
}

/** What the Events API v2 refuses with 400. */
function faultsOf(body: Record<string, unknown>): string[] {
  const faults: string[] = [];
  const bounded = (value: unknown, max: number): boolean =>
    typeof value === 'string' && value.length > 0 && value.length <= max;
  if (!bounded(body.routing_key, 64)) faults.push("'routing_key' is missing or blank");
  if (!['trigger', 'acknowledge', 'resolve'].includes(String(body.event_action)))
    faults.push("'event_action' is invalid");
  if (body.dedup_key !== undefined && !bounded(body.dedup_key, 255)) faults.push("'dedup_key' is too long");
  if (body.event_action !== 'trigger') {
    if (body.dedup_key === undefined) faults.push("'dedup_key' is missing");
    return faults;
  }
  const payload = (body.payload ?? {}) as Record<string, unknown>;
  if (!bounded(payload.summary, 1024)) faults.push("'payload.summary' is missing or too long");
  if (!bounded(payload.source, 1024)) faults.push("'payload.source' is missing or blank");
  if (!['critical', 'error', 'warning', 'info'].includes(String(payload.severity)))
    faults.push("'payload.severity' is invalid");
  if (payload.timestamp !== undefined && Number.isNaN(Date.parse(String(payload.timestamp))))
    faults.push("'payload.timestamp' is invalid");
  if (body.links !== undefined && !Array.isArray(body.links)) faults.push("'links' must be an array");
  return faults;
}
