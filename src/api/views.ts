import type { Config } from '../config/schema.ts';
import type { IncidentState } from '../domain/effects.ts';
import { Incident, unknownImpact } from '../domain/incident.ts';
import { type Severity, severityRank } from '../domain/severity.ts';
import { nextEscalation } from '../escalate/plan.ts';
import type { DbTime, IncidentRow, TimelineRow } from '../store/read.ts';
import type { AlertRow } from '../store/read-alerts.ts';
import type { DeployRow, NotificationRow, QuarantineRow, SuppressedRow } from '../store/read-lists.ts';
import type { Alert, Deploy, Notification, Quarantined, Suppressed } from './schemas.ts';

/** Rows as the API shows them. Times come out as RFC 3339 in UTC with milliseconds. */

export function iso(at: DbTime): string;
export function iso(at: DbTime | null): string | null;
export function iso(at: DbTime | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

/**
 * An incident as the contract shows it: what was judged comes from the newest assessment, what changes by itself (status,
 * counts, times, who holds it, what escalates next) from the row, so that it is never stale. One that has not been
 * assessed yet speaks for itself with what its state and its worst alert say, and says so in `degraded`.
 */
export function incidentView(row: IncidentRow, config: Config): Incident {
  const { state } = row;
  const live = {
    id: row.id,
    number: Number(row.number),
    status: row.status,
    startedAt: iso(row.started_at),
    updatedAt: iso(row.updated_at),
    acknowledgedAt: iso(row.acknowledged_at),
    acknowledgedBy: state.acknowledgedBy,
    resolvedAt: iso(row.resolved_at),
    resolvedBy: state.resolvedBy,
    mergedInto: row.merged_into,
    assignee: assigneeOf(state),
    snoozedUntil: iso(state.snoozedUntil),
    alertCount: Number(row.alert_count),
    firingCount: Number(row.firing_count),
    nextEscalation: nextOf(row, config),
    revision: row.revision,
  };
  return inOrder({ ...(row.doc ?? unassessed(row, config)), ...live });
}

const members = Object.keys(Incident.shape) as (keyof Incident)[];

/** The members as the domain lists them: jsonb gives them back by length, which nobody wants to read. */
const inOrder = (incident: Incident): Incident =>
  Object.fromEntries(members.map((name) => [name, incident[name]])) as Incident;

function assigneeOf({ assignee }: IncidentState): string | null {
  if (!assignee) return null;
  return 'team' in assignee ? assignee.team : assignee.person;
}

function nextOf(row: IncidentRow, config: Config): Incident['nextEscalation'] {
  const { escalation } = row.state;
  if (row.status === 'resolved' || !escalation) return null;
  const next = nextEscalation(escalation, config.routing.escalation_policies[escalation.policy]);
  if (!next) return null;
  // The assessment knows whom impact adds to this step; until the next one has run, the policy alone is known.
  const assessed = row.doc?.nextEscalation;
  return assessed && Date.parse(assessed.at) === next.at ? assessed : { at: iso(next.at), notify: next.notify };
}

type Judged = Omit<
  Incident,
  | 'id'
  | 'number'
  | 'status'
  | 'startedAt'
  | 'updatedAt'
  | 'acknowledgedAt'
  | 'acknowledgedBy'
  | 'resolvedAt'
  | 'resolvedBy'
  | 'mergedInto'
  | 'assignee'
  | 'snoozedUntil'
  | 'alertCount'
  | 'firingCount'
  | 'nextEscalation'
  | 'revision'
>;

function unassessed({ state, lead, alert_services }: IncidentRow, config: Config): Judged {
  const { declared } = state;
  const severity: Severity = declared?.severity ?? (lead?.severity as Severity | undefined) ?? 'medium';
  const service = declared?.service ?? lead?.service ?? null;
  const team = declared?.team ?? lead?.labels.team ?? config.routing.routes.default_team;
  const services = [...new Set([...(service ? [service] : []), ...(alert_services ?? [])])];
  return {
    title: declared?.title ?? titleOf(lead),
    severity,
    priority: severityRank(severity) + 1,
    team,
    services,
    rootCauses: [],
    impact: { ...unknownImpact(), affectedServices: services },
    recommendations: [],
    decision: {
      verdict: 'notify',
      actionability: 1,
      mode: config.tocsin.suppress.mode,
      reasons: [{ code: 'not-assessed', text: 'Nothing was decided yet; in doubt it is told.' }],
    },
    routing: { primaryTeam: team, escalationTeams: [], channels: [], autoEscalateMinutes: null },
    deploys: [],
    similarIncidents: [],
    degraded: [{ stage: 'assess', reason: 'the first assessment is under way' }],
    lead: {
      fingerprint: lead?.fingerprint ?? '',
      alertname: lead?.alertname ?? '',
      service,
      summary: lead?.annotations.summary ?? null,
      description: lead?.annotations.description ?? null,
      runbook: lead?.annotations.runbook_url ?? null,
      dashboard: lead?.annotations.dashboard_url ?? null,
      labels: lead?.labels ?? {},
    },
    metrics: {},
    configHash: config.hash,
  };
}

const titleOf = (lead: IncidentRow['lead']): string =>
  lead
    ? `${lead.alertname || lead.fingerprint}${lead.service ? ` on ${lead.service}` : ''}`
    : 'Incident without alerts';

export function alertView(row: AlertRow): Alert {
  return {
    source: row.source,
    fingerprint: row.fingerprint,
    status: row.status,
    alertname: row.alertname,
    severity: row.severity as Severity,
    service: row.service,
    namespace: row.namespace,
    cluster: row.cluster,
    labels: row.labels,
    annotations: row.annotations,
    startsAt: iso(row.starts_at),
    endsAt: iso(row.ends_at),
    expiresAt: iso(row.expires_at),
    receivedAt: iso(row.received_at),
    updatedAt: iso(row.updated_at),
    lastSeenAt: iso(row.last_seen_at),
    generatorURL: row.generator_url,
    groupKey: row.group_key,
    receiver: row.receiver,
    closedBecause: row.closed_because,
    incidentId: row.incident_id,
    verdict: row.fire_verdict as Alert['verdict'],
    resolveVerdict: row.resolve_verdict as Alert['verdict'],
    reasons: row.reasons,
  };
}

export const timelineView = (row: TimelineRow) => ({
  at: iso(row.at),
  kind: row.kind,
  text: row.text,
  by: row.by,
  data: row.data,
});

export function notificationView(row: NotificationRow): Notification {
  return {
    id: row.id,
    at: iso(row.created_at),
    sentAt: iso(row.sent_at),
    incidentId: row.incident_id,
    channel: row.channel as Notification['channel'],
    target: row.address,
    kind: row.kind as Notification['kind'],
    state: row.state as Notification['state'],
    attempts: row.attempts.map((attempt) => ({ at: iso(attempt.at), result: attempt.result })),
    text: row.text,
  };
}

export function suppressedView(row: SuppressedRow): Suppressed {
  return {
    fingerprint: row.fingerprint,
    source: row.source,
    incidentId: row.incident_id,
    reasons: row.reasons,
    policy: row.policy,
    expiresAt: iso(row.expires_at),
    at: iso(row.at),
    startsAt: iso(row.starts_at),
    releasedAt: iso(row.released_at),
  };
}

export function deployView(row: DeployRow): Deploy {
  return {
    id: row.id,
    service: row.service,
    version: row.version,
    previousVersion: row.previous_version,
    environment: row.environment,
    cluster: row.cluster,
    startedAt: iso(row.started_at),
    finishedAt: iso(row.finished_at),
    status: row.status,
    author: row.author,
    commit: row.commit,
    url: row.url,
    summary: row.summary,
    rollback: row.rollback,
    sources: row.sources,
  };
}

export function quarantineView(row: QuarantineRow): Quarantined {
  const text = readUtf8(row.raw, row.raw.length < row.raw_bytes);
  return {
    id: row.id,
    at: iso(row.at),
    source: row.source,
    place: row.place,
    reason: row.reason,
    raw: text ?? row.raw.toString('base64'),
    encoding: text === null ? 'base64' : 'utf-8',
    rawBytes: row.raw_bytes,
  };
}

/** The bytes as text, or null when they are none. A character that the cut went through is left off. */
function readUtf8(bytes: Buffer, cut: boolean): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: cut });
  } catch {
    return null;
  }
}
