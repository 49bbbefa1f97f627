import { createHash } from 'node:crypto';
import type { Incident } from '../domain/incident.ts';
import type { LeadMetrics, Places } from '../domain/metrics.ts';
import type { NotificationJob, NotificationKind, Target } from '../domain/notification.ts';
import { severityRank } from '../domain/severity.ts';
import type { TimelineEntry } from '../domain/timeline.ts';
import type { LiveIncident, World } from '../domain/world.ts';
import { outlasted } from './impact-words.ts';

/**
 * Who has to be told what, given what they were told before. Plans jobs only; the text is rendered when a job is sent.
 * One message per incident and target, edited in place; pages only when there is a reason to wake someone.
 */

const urgencyOf: Record<NotificationKind, number> = {
  open: 0,
  escalate: 0,
  resolve: 1,
  acknowledge: 1,
  thread: 2,
  update: 3,
  digest: 3,
};

export const sameTarget = (a: Target, b: Target): boolean => a.channel === b.channel && a.address === b.address;

/** Channels whose message is edited as the incident changes; a mail or a page is not. */
const edited = new Set<Target['channel']>(['slack', 'webhook']);

/** One job into the outbox. `fallback` are the other addresses of the route, tried in order when this one keeps failing. */
export function post(
  world: World,
  incident: LiveIncident,
  target: Target,
  kind: NotificationKind,
  now: number,
  more: { text?: string; broadcast?: boolean; fallback?: Target[] } = {},
): void {
  const { state } = incident;
  state.notices += 1;
  const job: NotificationJob = {
    id: `${state.id}-${state.notices}`,
    incidentId: state.id,
    target,
    kind,
    urgency: urgencyOf[kind],
    createdAt: now,
    text: more.text ?? null,
    broadcast: more.broadcast ?? false,
    fallback: (more.fallback ?? []).filter((other) => !sameTarget(other, target)),
    trace: state.trace,
  };
  world.out.notifications.push(job);
  world.touched.add(state.id);
}

/** What a reader of the message can see; two assessments with the same hash need no edit. */
function visible(doc: Incident): string {
  const { status, title, severity, priority, team, alertCount, firingCount, services, impact, decision, degraded } =
    doc;
  const causes = doc.rootCauses
    .slice(0, 3)
    .map((c) => [c.service, c.alertname, c.deployId, Math.round(c.probability * 20)]);
  const deploys = doc.deploys.map((d) => d.id);
  const shown = [
    status,
    title,
    severity,
    priority,
    team,
    alertCount,
    firingCount,
    services,
    causes,
    deploys,
    // Modes that send everything show nothing of it, but for `assist`, which marks what would have been held back.
    decision.mode === 'assist' || decision.mode === 'active' ? decision.verdict : null,
    degraded,
    impact.revenuePerHour,
    impact.revenuePerHour ? impact.estimatedDurationSeconds : null,
    outlasted(doc),
    // A count that moved by a hundredth is no news.
    impact.affectedUsers?.toPrecision(2),
    impact.customerImpact,
    impact.regulatoryRisk,
    impact.slaBreachRisk,
    impact.errorBudget?.burnRate?.toPrecision(1),
    impact.errorBudget?.left?.toFixed(1),
    impact.cascadeRisk,
    impact.expectedServices,
    doc.acknowledgedBy,
    doc.assignee,
    doc.snoozedUntil,
    doc.nextEscalation?.notify,
    doc.mergedInto,
    doc.recommendations.map((r) => r.action),
    readings(doc.metrics),
    doc.similarIncidents.map((s) => s.id),
  ];
  return createHash('sha256').update(JSON.stringify(shown)).digest('base64url').slice(0, 16);
}

/** Of the metrics, what a reader would notice: a value that moved by a hundredth, or a later plot, is no news. */
function readings(metrics: Incident['metrics']): unknown[] {
  const { prometheus, history, places } = metrics as {
    prometheus?: Partial<LeadMetrics>;
    history?: unknown;
    places?: Partial<Places>;
  };
  if (!prometheus) return [history, places?.text];
  const { value, threshold, trend, seriesBeyond, anomaly, targetsDown, goldenSignals } = prometheus;
  const golden = goldenSignals?.map(({ service, name, anomaly: judged }) => [service, name, judged?.type]);
  return [
    history,
    value?.toPrecision(2),
    threshold,
    trend?.direction,
    seriesBeyond,
    anomaly?.type,
    targetsDown,
    golden,
    places?.text,
  ];
}

export type Announced = {
  /** A message was planned because of the incident's state: the changes behind it count as notified. */
  told: boolean;
  /** This was the incident's very first notification: its escalation begins. */
  first: boolean;
};

/**
 * Compares the fresh assessment with what the receivers know and plans the difference.
 * `first` are the targets of the first notification; `echo` is the channel where the last action was taken, which is not told
 * of its own deed when it holds just one page.
 */
export function announce(
  world: World,
  incident: LiveIncident,
  doc: Incident,
  plan: { send: boolean; first: Target[]; fallback: Target[]; echo: Target['channel'] | null },
  now: number,
): Announced {
  const { state } = incident;
  const nothing: Announced = { told: false, first: false };
  const shown = visible(doc);
  const changed = shown !== state.shown;
  const tell = (kind: NotificationKind, more: { text?: string; broadcast?: boolean } = {}, targets = state.told) => {
    for (const target of targets) post(world, incident, target, kind, now, { ...more, fallback: plan.fallback });
    state.shown = shown;
  };
  const alone = (kind: Target['channel']) => state.told.filter((t) => t.channel === kind).length === 1;
  const others = state.told.filter((t) => !(t.channel === plan.echo && plan.echo === 'pagerduty' && alone(t.channel)));

  if (state.firstNotifiedAt === null) {
    // Merged away before anyone heard of it: the elder speaks for it.
    if (!plan.send || state.mergedInto) return nothing;
    state.told = plan.first;
    state.firstNotifiedAt = now;
    state.notifiedSeverity = doc.severity;
    state.notifiedServices = doc.services;
    tell('open');
    if (state.status === 'resolved') tell('resolve');
    state.toldAs = state.status;
    return { told: true, first: true };
  }
  if (state.status === 'resolved') {
    if (state.toldAs === 'resolved') {
      if (changed)
        tell(
          'update',
          {},
          state.told.filter((t) => edited.has(t.channel)),
        );
      return nothing;
    }
    state.toldAs = 'resolved';
    tell('resolve', {}, others);
    return { told: true, first: false };
  }
  if (!plan.send) return nothing;
  if (state.toldAs === 'resolved') {
    state.toldAs = state.status;
    state.notifiedSeverity = doc.severity;
    // It begins anew with those who are told first; whoever the earlier round was escalated to sees it in their message.
    const later = state.told.filter((t) => !plan.first.some((f) => sameTarget(f, t)));
    state.told = [...plan.first, ...later];
    tell('open', { text: 'It is back.' }, plan.first);
    tell(
      'update',
      {},
      later.filter((t) => edited.has(t.channel)),
    );
    return { told: true, first: true };
  }
  const rose = state.notifiedSeverity !== null && severityRank(doc.severity) < severityRank(state.notifiedSeverity);
  if (rose) {
    const text = `Severity rose from ${state.notifiedSeverity} to ${doc.severity}`;
    world.out.timeline.push({ incidentId: state.id, at: now, kind: 'severity-raised', text, by: null, data: {} });
    state.notifiedSeverity = doc.severity;
    tell('escalate', { text, broadcast: true });
    return { told: true, first: false };
  }
  if (state.status === 'acknowledged' && state.toldAs === 'open') {
    state.toldAs = 'acknowledged';
    tell('acknowledge', {}, others);
    return nothing;
  }
  if (state.status === 'open') state.toldAs = 'open';
  state.notifiedServices = [...new Set([...state.notifiedServices, ...doc.services])];
  if (changed)
    tell(
      'update',
      {},
      state.told.filter((t) => edited.has(t.channel)),
    );
  return nothing;
}

/** Timeline lines that belong into the thread under a Slack message; escalations and rises are posted there as pages. */
const threaded = new Set<TimelineEntry['kind']>([
  'acknowledged',
  'unacknowledged',
  'ack-timeout',
  'escalation-skipped',
  'reopened',
  'snoozed',
  'unsnoozed',
  'silenced',
  'assigned',
  'merged',
  'split',
  'note',
  'released',
]);

/** Adds a thread line for each fresh timeline entry of an incident that has a Slack message. Call once per commit. */
export function thread(world: World, now: number): void {
  for (const entry of world.out.timeline) {
    if (!threaded.has(entry.kind)) continue;
    const incident = world.incidents.get(entry.incidentId);
    const target = incident?.state.told.find((t) => t.channel === 'slack');
    if (incident && target) post(world, incident, target, 'thread', now, { text: entry.text });
  }
}
