import type { Incident } from '../domain/incident.ts';
import type { Severity } from '../domain/severity.ts';
import type { Outbound } from '../telemetry/outbound.ts';
import { type Channel, callTimeoutMs, type DeliveryJob } from './channel.ts';
import { httpFailure } from './failures.ts';
import { type Message, oneLine, stateLine } from './message.ts';
import { cut, plain, utc } from './text.ts';

/** The body of `POST /v2/enqueue` (https://developer.pagerduty.com/docs/send-alert-event), without the routing key. */
export type PagerDutyEvent = {
  event_action: 'trigger' | 'acknowledge' | 'resolve';
  /** The incident id: one incident is one page, and a repeated call is no second one. */
  dedup_key: string;
  payload?: {
    summary: string;
    source: string;
    severity: 'critical' | 'error' | 'warning' | 'info';
    timestamp: string;
    component?: string;
    group: string;
    class?: string;
    custom_details: Record<string, unknown>;
  };
  links?: { href: string; text: string }[];
  images?: { src: string; href?: string; alt: string }[];
  client?: string;
  client_url?: string;
};

const severities: Record<Severity, 'critical' | 'error' | 'warning' | 'info'> = {
  critical: 'critical',
  high: 'error',
  medium: 'warning',
  low: 'info',
  info: 'info',
};

/** PagerDuty refuses events above 512 KB. */
const maxBytes = 512_000;

/**
 * The trigger of an incident: everything the one who is woken needs, within PagerDuty's limits. `picture` is where PagerDuty
 * finds the chart (it shows https only), or null. Pure.
 */
export function renderPagerDuty(
  message: Message,
  lead: { service: string | null; alertname: string },
  picture: { src: string; alt: string } | null = null,
): PagerDutyEvent {
  const details: Record<string, unknown> = {
    state: stateLine(message),
    what: message.symptom,
    impact: message.impact,
    since: utc(message.since),
    trend: message.trend,
    around: message.around,
    began: message.began === null ? null : utc(message.began),
    suspects: message.suspects.map((suspect) => ({
      suspect: suspect.text,
      evidence: suspect.evidence,
      chain: suspect.chain,
    })),
    no_clear_cause: message.unclear,
    changed: message.deploys.map((deploy) => deploy.text),
    first_action: message.action?.text ?? null,
    alerts: message.counts,
    worst_alerts: message.alerts.map(
      (alert) =>
        `${alert.severity} ${alert.alertname}${alert.service ? ` (${alert.service})` : ''}${alert.count > 1 ? ` ×${alert.count}` : ''}`,
    ),
    seen_before: message.similar,
    policy: message.held,
    degraded: message.degraded,
    team: message.team,
    incident: `#${message.number}`,
    config: message.configHash,
  };
  const known = Object.entries(details).filter(
    ([, value]) => value !== null && !(Array.isArray(value) && value.length === 0),
  );
  const links = [
    { href: message.links.incident, text: `Incident #${message.number}` },
    { href: message.links.runbook, text: 'Runbook' },
    { href: message.links.dashboard, text: 'Dashboard' },
    ...message.deploys.map((deploy) => ({ href: deploy.url, text: cut(`Deploy: ${deploy.text}`, 100) })),
  ].filter((link): link is { href: string; text: string } => link.href !== null);
  const event: PagerDutyEvent = {
    event_action: 'trigger',
    dedup_key: message.incidentId.slice(0, 255),
    payload: {
      summary: cut(oneLine(message), 1024),
      source: cut(lead.service ?? message.cluster ?? 'tocsin', 255),
      severity: severities[message.severity],
      timestamp: new Date(message.since).toISOString(),
      ...(lead.service ? { component: cut(lead.service, 255) } : {}),
      group: cut(message.team, 255),
      ...(lead.alertname ? { class: cut(lead.alertname, 255) } : {}),
      custom_details: Object.fromEntries(known),
    },
    links,
    ...(picture
      ? { images: [{ ...picture, ...(message.links.incident ? { href: message.links.incident } : {}) }] }
      : {}),
    client: 'Tocsin',
    ...(message.links.incident ? { client_url: message.links.incident } : {}),
  };
  // Every field is bounded, so this cannot happen; PagerDuty would refuse the page for good if it did.
  if (Buffer.byteLength(JSON.stringify(event)) > maxBytes) event.payload!.custom_details = { alerts: message.counts };
  return event;
}

export type PagerDutyOptions = {
  /** `channels.pagerduty.events_url`: the US or EU address, or a stand-in. */
  eventsUrl: string;
  /** The routing key of `team/<name>` or `person/<name>`, or null when it has none. */
  keyOf(address: string): string | null;
  outbound: Outbound;
  /** Where anybody can fetch the picture of an incident, or null: nothing to plot, or no public address. `at` is epoch ms. */
  pictureOf?(incident: Incident, at: number): { src: string; alt: string } | null;
};

/**
 * PagerDuty through its Events API v2. 202 is "accepted", 400 is never worth a retry, 429 and 5xx are. A repeat is
 * harmless: the dedup key belongs to the incident.
 */
export function pagerDutyChannel(options: PagerDutyOptions): Channel {
  return {
    kind: 'pagerduty',
    async send(job) {
      const key = options.keyOf(job.target.address);
      if (!key) {
        const [kind, name] = job.target.address.split('/');
        const where = kind === 'person' ? `people.${name}` : `teams.${name}`;
        return {
          status: 'refused',
          reason: `there is no PagerDuty routing key for ${job.target.address}`,
          fix: `Set ${where}.pagerduty in routing.yaml, and the variable it names`,
        };
      }
      const event = eventOf(job, options.pictureOf?.(job.incident, job.at) ?? null);
      const result = await options.outbound.request({
        method: 'POST',
        url: `${options.eventsUrl.replace(/\/+$/, '')}/v2/enqueue`,
        peer: 'pagerduty',
        body: { routing_key: key, ...event },
        timeoutMs: callTimeoutMs,
        maxBytes: 64 * 1024,
      });
      if (result.status === 'answered' && result.code >= 200 && result.code < 300) {
        const text = event.payload?.summary ?? `${event.event_action}: ${job.message.headline}`;
        return { status: 'sent', ref: { dedupKey: event.dedup_key }, text };
      }
      const fix = 'Check the integration key (Events API v2) of this team and channels.pagerduty.events_url (US or EU)';
      return httpFailure('PagerDuty', result, { now: job.at, secrets: [key], fix });
    },
  };
}

function eventOf(job: DeliveryJob, picture: { src: string; alt: string } | null): PagerDutyEvent {
  const { incident, message, kind } = job;
  if (kind === 'acknowledge' || kind === 'resolve') {
    return { event_action: kind, dedup_key: message.incidentId.slice(0, 255) };
  }
  const lead = { service: incident.lead.service, alertname: incident.lead.alertname };
  const event = renderPagerDuty(message, lead, picture);
  if (job.text) event.payload!.custom_details.why_now = plain(job.text, 500);
  return event;
}
