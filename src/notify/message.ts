import { createHash } from 'node:crypto';
import type { Incident, IncidentDeploy, RootCause } from '../domain/incident.ts';
import type { Severity } from '../domain/severity.ts';
import type { TimelineEntry } from '../domain/timeline.ts';
import { aroundOf } from './around-words.ts';
import { historyOf } from './history-words.ts';
import { impactWords, tollWords } from './impact-words.ts';
import { metricsOf, trendOf } from './metric-words.ts';
import { grouped, inWords, plain, safeUrl, utc } from './text.ts';

/** Alerts of the incident that a message lists as one line, worst first; `startsAt` of the earliest, epoch ms. */
export type AlertLine = {
  alertname: string;
  service: string | null;
  severity: Severity;
  status: 'firing' | 'resolved';
  startsAt: number;
  count: number;
};

export type MessageExtras = {
  /** `server.public_url`, or null: then no message links to us. */
  publicUrl: string | null;
  /** Oldest first. */
  timeline: readonly TimelineEntry[];
  /** The worst alerts, worst first. */
  alerts: readonly AlertLine[];
  /** The incident this one was merged into, when it was. */
  elder: { id: string; number: number; title: string } | null;
  /** The picture that Slack holds for this message, when it does. */
  picture?: { file: string; alt: string } | null;
};

type MessageState = 'open' | 'acknowledged' | 'resolved' | 'merged';

/**
 * What an incident says to people, whatever the channel: clean single lines (no control or direction-changing characters,
 * bounded length) that a renderer only has to escape. Nothing in it depends on the clock, so that the same incident gives
 * the same message and an edit that changes nothing is not sent. Times are epoch ms.
 */
export type Message = {
  incidentId: string;
  number: number;
  state: MessageState;
  severity: Severity;
  priority: number;
  /** Severity and symptom in a few words, without the state. */
  headline: string;
  /** What the lead alert says of itself, where that says more than the headline. */
  symptom: string | null;
  /** Who and what it costs, or null when nothing is known. */
  impact: string | null;
  /** The same for a lock screen: who and what, no risks. */
  toll: string | null;
  since: number;
  /** When the fault really began by its own series, where that is a minute or more before the first alert. */
  began: number | null;
  /** Value against threshold and where it is going, when a metrics source said so. */
  trend: string | null;
  /** What else metrics say: how unusual it is, what else is, where it happens. */
  around: string[];
  /** Ranked; the first is `clear` when it may be called the likeliest cause. */
  suspects: { text: string; clear: boolean; evidence: string[]; chain: string | null }[];
  /** The service of the first suspect shown. */
  suspect: string | null;
  /** Why there is no clear cause, or null when there is one or nothing is known at all. */
  unclear: string | null;
  deploys: { text: string; url: string | null }[];
  action: { text: string; why: string | null } | null;
  counts: string;
  alerts: AlertLine[];
  /** Several alerts were put together, which may be wrong. */
  grouped: boolean;
  /** How many more alerts there are than are listed. */
  more: number;
  /** What is known of incidents like it, the first of its kind included. */
  similar: string | null;
  /** What policy would have done with this message, where it is to be marked (mode `assist`), or did (`active`). */
  held: string | null;
  degraded: string[];
  team: string;
  assignee: string | null;
  nextEscalation: { at: number; notify: string[] } | null;
  acknowledged: { by: string; at: number } | null;
  snoozedUntil: number | null;
  resolved: { by: string | null; at: number; lastedMs: number } | null;
  mergedInto: { text: string; url: string | null } | null;
  links: { incident: string | null; runbook: string | null; dashboard: string | null };
  timeline: { at: number; text: string }[];
  picture: { file: string; alt: string } | null;
  cluster: string | null;
  configHash: string;
};

const ms = (time: string): number => Date.parse(time);
const percent = (probability: number): string => `${Math.round(probability * 100)} %`;

/** Where a reader finds the incident: our own API, under the address the operator gave. */
const incidentUrl = (publicUrl: string | null, id: string): string | null =>
  publicUrl ? safeUrl(`${publicUrl.replace(/\/+$/, '')}/api/v1/incidents/${encodeURIComponent(id)}`) : null;

function headlineOf(incident: Incident): string {
  const title = plain(incident.title, 110);
  const service = incident.lead.service ?? incident.services[0] ?? null;
  const named = service === null || title.toLowerCase().includes(service.toLowerCase());
  return `${incident.severity.toUpperCase()} ${title}${named ? '' : ` · ${plain(service, 30)}`}`;
}

function symptomOf({ title, lead }: Incident): string | null {
  const summary = plain(lead.summary ?? lead.description ?? '', 240);
  return summary && !title.toLowerCase().includes(summary.toLowerCase()) ? summary : null;
}

/** Below this a candidate is only the tail of a list. */
const worthNaming = 0.1;

/** Alone and without evidence of another kind the suspect is only the alert said twice. */
const isEcho = (incident: Incident, cause: RootCause): boolean =>
  incident.alertCount <= 1 &&
  cause.deployId === null &&
  (cause.alertname === null || cause.alertname === incident.lead.alertname) &&
  !cause.evidence.some((line) => line.kind !== 'time');

function suspectsOf(incident: Incident): Pick<Message, 'suspects' | 'suspect' | 'unclear'> {
  const [top, ...rest] = incident.rootCauses;
  if (!top) return { suspects: [], suspect: null, unclear: null };
  if (isEcho(incident, top)) return { suspects: [], suspect: null, unclear: 'this is the only alert so far' };
  const clear = top.confidence !== 'low';
  const others = rest.slice(0, 2).filter((cause) => cause.probability >= worthNaming);
  return {
    suspects: [top, ...others].map((cause, index) => suspectOf(cause, clear && index === 0)),
    suspect: top.service,
    unclear: clear ? null : 'nothing stands out',
  };
}

function suspectOf(cause: RootCause, clear: boolean): Message['suspects'][number] {
  const what = cause.alertname ? `${cause.service} (${cause.alertname})` : cause.service;
  const evidence = [...cause.evidence].sort((a, b) => b.weight - a.weight).slice(0, 3);
  const sure = clear ? `, ${cause.confidence} confidence` : '';
  return {
    text: plain(`${plain(what, 140)}, ${percent(cause.probability)}${sure}`, 200),
    clear,
    evidence: evidence.map((line) => plain(line.text, 200)),
    chain:
      cause.causalChain.length > 1
        ? plain(
            cause.causalChain
              .slice(0, 6)
              .map((s) => plain(s, 60))
              .join(' → '),
            300,
          )
        : null,
  };
}

/** "5 min after deploy 4f2c of payment (was 3e1b) by ana": read after "began". */
function deployOf(deploy: IncidentDeploy): Message['deploys'][number] {
  const away = inWords(Math.abs(deploy.leadSeconds) * 1000);
  const when = deploy.leadSeconds >= 0 ? `${away} after` : `${away} before`;
  const version = deploy.version ?? deploy.commit?.slice(0, 12) ?? deploy.id;
  const was = deploy.previousVersion ? ` (was ${plain(deploy.previousVersion, 40)})` : '';
  const by = deploy.author ? ` by ${plain(deploy.author, 60)}` : '';
  const what = deploy.rollback === true ? 'rollback to' : 'deploy';
  return {
    text: plain(`${when} ${what} ${plain(version, 60)} of ${plain(deploy.service, 60)}${was}${by}`, 260),
    url: safeUrl(deploy.url),
  };
}

/** In shadow and pass-through everything is sent as if there were no policy, so the message does not speak of it. */
function heldOf({ decision }: Incident): string | null {
  if (decision.reasons.some((reason) => reason.code === 'kill-switch'))
    return 'Kill switch on: everything is passed through, nothing is held back';
  if (decision.verdict !== 'suppress' || (decision.mode !== 'assist' && decision.mode !== 'active')) return null;
  const because = decision.reasons
    .map((reason) => plain(reason.text, 120))
    .slice(0, 3)
    .join('; ');
  const words = decision.mode === 'assist' ? 'Would have been held back' : 'Held back by policy';
  return plain(because ? `${words}: ${because}` : words, 420);
}

/** Whom the next step tells, as people say it: `primary (schedule)`, `team sre`, `ana`. */
function receiverWords(notify: string): string {
  const [kind, ...rest] = notify.split(':');
  const name = plain(rest.join(':'), 60);
  if (!name) return notify === 'team' ? 'the team' : plain(notify, 60);
  if (kind === 'schedule') return `${name} (schedule)`;
  return kind === 'team' ? `team ${name}` : name;
}

function countsOf(incident: Incident): string {
  const alerts = incident.alertCount === 1 ? '1 alert' : `${grouped(incident.alertCount)} alerts`;
  const firing = incident.status === 'resolved' ? '' : ` (${grouped(incident.firingCount)} firing)`;
  const names = incident.services.slice(0, 5).map((service) => plain(service, 50));
  const rest = incident.services.length > names.length ? ` and ${incident.services.length - names.length} more` : '';
  const services = incident.services.length === 1 ? '1 service' : `${incident.services.length} services`;
  return plain(`${alerts}${firing}${names.length ? `, ${services}: ${names.join(', ')}${rest}` : ''}`, 360);
}

const stateOf = (incident: Incident): MessageState => (incident.mergedInto ? 'merged' : incident.status);

/** The message of an incident as it is now. Pure: the same incident and extras give the same message. */
export function buildMessage(incident: Incident, extras: MessageExtras): Message {
  const state = stateOf(incident);
  const done = incident.status === 'resolved';
  const [recommendation] = incident.recommendations;
  const metrics = metricsOf(incident);
  const since = ms(incident.startedAt);
  const onset = metrics?.onsetAt ? ms(metrics.onsetAt) : since;
  const shown = extras.alerts.slice(0, 5).map((alert) => ({
    ...alert,
    alertname: plain(alert.alertname, 80),
    service: alert.service === null ? null : plain(alert.service, 60),
  }));
  return {
    incidentId: incident.id,
    number: incident.number,
    state,
    severity: incident.severity,
    priority: incident.priority,
    headline: headlineOf(incident),
    symptom: symptomOf(incident),
    impact: impactWords(incident),
    toll: tollWords(incident),
    since,
    began: since - onset >= 60_000 ? onset : null,
    // What stood there when it was looked at last says nothing of an incident that is over.
    trend: metrics && !done ? trendOf(metrics) : null,
    around: done ? [] : aroundOf(incident),
    ...suspectsOf(incident),
    // One that merely happened near it is in the API; named here it would be taken for the cause.
    deploys: incident.deploys
      .filter(({ suspect }) => suspect !== false)
      .sort((a, b) => b.suspicion - a.suspicion)
      .slice(0, 3)
      .map(deployOf),
    action: recommendation
      ? { text: plain(recommendation.action, 300), why: recommendation.why ? plain(recommendation.why, 200) : null }
      : null,
    counts: countsOf(incident),
    alerts: shown,
    grouped: incident.alertCount > 1,
    more: Math.max(0, incident.alertCount - shown.reduce((sum, { count }) => sum + count, 0)),
    similar: historyOf(incident),
    held: heldOf(incident),
    degraded: incident.degraded.slice(0, 6).map(({ stage, reason }) => plain(`${plain(stage, 40)}: ${reason}`, 160)),
    team: plain(incident.team, 60),
    assignee: incident.assignee ? plain(incident.assignee, 80) : null,
    nextEscalation:
      incident.nextEscalation && incident.status === 'open'
        ? {
            at: ms(incident.nextEscalation.at),
            notify: incident.nextEscalation.notify.slice(0, 5).map(receiverWords),
          }
        : null,
    acknowledged:
      incident.acknowledgedBy && incident.acknowledgedAt && incident.status !== 'open'
        ? { by: plain(incident.acknowledgedBy, 80), at: ms(incident.acknowledgedAt) }
        : null,
    snoozedUntil: incident.snoozedUntil && !done ? ms(incident.snoozedUntil) : null,
    resolved:
      done && incident.resolvedAt
        ? {
            by: incident.resolvedBy ? plain(incident.resolvedBy, 80) : null,
            at: ms(incident.resolvedAt),
            lastedMs: Math.max(0, ms(incident.resolvedAt) - ms(incident.startedAt)),
          }
        : null,
    mergedInto: incident.mergedInto
      ? {
          text: extras.elder
            ? plain(`#${extras.elder.number} ${extras.elder.title}`, 160)
            : plain(incident.mergedInto, 80),
          url: incidentUrl(extras.publicUrl, incident.mergedInto),
        }
      : null,
    links: {
      incident: incidentUrl(extras.publicUrl, incident.id),
      runbook: safeUrl(recommendation?.runbook) ?? safeUrl(incident.lead.runbook),
      dashboard: safeUrl(incident.lead.dashboard),
    },
    timeline: extras.timeline.slice(-20).map((entry) => ({ at: entry.at, text: plain(entry.text, 240) })),
    picture: extras.picture ? { file: extras.picture.file, alt: plain(extras.picture.alt, 400) } : null,
    cluster: incident.lead.labels.cluster ? plain(incident.lead.labels.cluster, 60) : null,
    configHash: incident.configHash.slice(0, 8),
  };
}

/** What state it is in and since when it is, or how long it was: `Resolved after 14 min by ana`. */
export function stateLine(message: Message): string {
  if (message.state === 'merged') return `Merged into ${message.mergedInto?.text ?? 'another incident'}`;
  if (message.resolved) {
    const by = message.resolved.by ? ` by ${message.resolved.by}` : '';
    return `Resolved after ${inWords(message.resolved.lastedMs)}${by}`;
  }
  if (message.state === 'resolved') return 'Resolved';
  if (message.acknowledged) return `Acknowledged by ${message.acknowledged.by}`;
  return message.state === 'acknowledged' ? 'Acknowledged' : 'Firing';
}

/**
 * The line for a lock screen, a log and a mail preview: everything that decides "get up, hand over or sleep", the most
 * decisive first, because a phone shows some 150 characters of it.
 */
export function oneLine(message: Message): string {
  const [suspect] = message.suspects;
  const open = message.state === 'open';
  const parts = [
    open ? message.headline : `${stateLine(message)}: ${message.headline}`,
    message.toll,
    open ? message.trend : null,
    open && message.deploys[0] ? `began ${message.deploys[0].text}` : null,
    open && suspect?.clear ? `suspect ${suspect.text}` : null,
    open ? message.held : null,
    open ? `since ${utc(message.since)}` : null,
    `#${message.number}`,
  ];
  return parts.filter((part) => part !== null).join(' | ');
}

/** Names what a message shows, so that an edit that would change nothing is not sent. The timeline is not part of it. */
export const fingerprintOf = ({ timeline: _, ...shown }: Message): string =>
  createHash('sha256').update(JSON.stringify(shown)).digest('hex').slice(0, 32);
