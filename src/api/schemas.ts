import { z } from 'zod';
import { Incident, RootCause } from '../domain/incident.ts';
import { Reason } from '../domain/reason.ts';
import { Severity } from '../domain/severity.ts';
import { plain } from './parse.ts';

/**
 * What the API takes in queries and gives in answers. `/openapi.json` is made from these, and the tests hold every answer
 * against them.
 */

const time = z.iso.datetime({ offset: true });
const name = plain(512).min(1);
const list = z.array(name).max(100).optional();

const paging = {
  limit: z.int().min(1).max(500).default(50).describe('items on a page, at most 500'),
  cursor: z.string().max(2048).optional().describe('`nextCursor` of the page before'),
};

const since = time.optional().describe('started at or after this RFC 3339 time');
const until = time.optional().describe('started before this RFC 3339 time');
const incident = plain(128).min(1).optional().describe('id or number of an incident');

export const IncidentQuery = z.strictObject({
  status: z.array(z.enum(['open', 'acknowledged', 'resolved'])).optional(),
  service: list.describe('any of these services is affected'),
  team: list,
  severity: z.array(Severity).optional(),
  since,
  until,
  ...paging,
});

export const AlertQuery = z.strictObject({
  status: z.array(z.enum(['firing', 'resolved'])).optional(),
  service: list,
  alertname: list,
  severity: z.array(Severity).optional(),
  source: list,
  fingerprint: list,
  incident,
  incidentId: incident,
  ...paging,
});

export const PageQuery = z.strictObject(paging);

export const NotificationQuery = z.strictObject({
  incident,
  incidentId: incident,
  channel: z.array(z.enum(['slack', 'pagerduty', 'email', 'webhook', 'log'])).optional(),
  state: z.array(z.enum(['waiting', 'sent', 'failed', 'superseded'])).optional(),
  kind: z.array(z.enum(['open', 'update', 'escalate', 'acknowledge', 'resolve', 'thread', 'digest'])).optional(),
  ...paging,
});

export const SuppressedQuery = z.strictObject({
  incident,
  incidentId: incident,
  source: list,
  fingerprint: list,
  active: z.boolean().optional().describe('true: only what is held back now; false: only what was'),
  ...paging,
});

export const DeployQuery = z.strictObject({ service: list, since, until, ...paging });
export const QuarantineQuery = z.strictObject({ source: list, ...paging });
export const SourceQuery = z.strictObject({
  source: name.optional().describe('which source, when several know an alert of this fingerprint'),
});
export const ExplainQuery = z.strictObject({
  source: name.optional().describe('which source, when several know an alert of this fingerprint'),
  other: name.optional().describe('fingerprint of another alert: why the two are or are not together'),
  otherSource: name.optional().describe('the source of the other alert, when several know it'),
});
export const PictureQuery = z.strictObject({
  expires: z.int().min(0).max(1e11).describe('Unix seconds until which the address is good'),
  signature: plain(128).min(1).describe('as it was given out'),
});
export const CorrelationQuery = z.strictObject({
  limit: z.int().min(1).max(300).default(150).describe('alerts shown and measured against each other, at most 300'),
  neighbours: z.int().min(1).max(20).default(5).describe('edges kept per alert: its nearest ones'),
});
export const OnCallQuery = z.strictObject({ at: time.optional().describe('another time than now') });

export const IncidentParams = z.object({ id: plain(128).min(1).describe('id or number') });
export const AlertParams = z.object({ fingerprint: plain(256).min(1) });

/** A page of items. */
export const pageSchema = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), nextCursor: z.string().nullable() });

const verdict = z.enum(['notify', 'group', 'suppress']);

export const Alert = z.object({
  source: z.string(),
  fingerprint: z.string(),
  status: z.enum(['firing', 'resolved']),
  alertname: z.string(),
  severity: Severity,
  service: z.string().nullable(),
  namespace: z.string().nullable(),
  cluster: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  annotations: z.record(z.string(), z.string()),
  startsAt: time,
  endsAt: time.nullable(),
  expiresAt: time.nullable(),
  receivedAt: time,
  updatedAt: time,
  lastSeenAt: time,
  generatorURL: z.string().nullable(),
  groupKey: z.string().nullable(),
  receiver: z.string().nullable(),
  /** Why it stopped firing: said by the sender (`resolved`) or found by us. */
  closedBecause: z.string().nullable(),
  incidentId: z.string().nullable(),
  /** What became of its firing and its resolution; null while undecided. */
  verdict: verdict.nullable(),
  resolveVerdict: verdict.nullable(),
  reasons: z.array(Reason),
});
export type Alert = z.infer<typeof Alert>;

const Episode = z.object({
  startsAt: time,
  endsAt: time.nullable(),
  status: z.enum(['firing', 'resolved']),
  closedBecause: z.string().nullable(),
  incidentId: z.string().nullable(),
  verdict: verdict.nullable(),
});

export const AlertDetail = Alert.extend({
  /** The newest firings of this alert, this one first; at most 20. */
  episodes: z.array(Episode),
});

export const TimelineItem = z.object({
  at: time,
  kind: z.string(),
  text: z.string(),
  by: z.string().nullable(),
  data: z.record(z.string(), z.unknown()),
});

export const Notification = z.object({
  id: z.string(),
  at: time,
  sentAt: time.nullable(),
  incidentId: z.string(),
  channel: z.enum(['slack', 'pagerduty', 'email', 'webhook', 'log']),
  target: z.string(),
  kind: z.enum(['open', 'update', 'escalate', 'acknowledge', 'resolve', 'thread', 'digest']),
  state: z.enum(['waiting', 'sent', 'failed', 'superseded']),
  attempts: z.array(z.object({ at: time, result: z.string() })),
  text: z.string().nullable(),
});
export type Notification = z.infer<typeof Notification>;

export const Suppressed = z.object({
  fingerprint: z.string(),
  source: z.string(),
  incidentId: z.string(),
  reasons: z.array(Reason),
  policy: z.string(),
  expiresAt: time,
  at: time,
  startsAt: time,
  /** When it was let through before it expired; null when it was not. */
  releasedAt: time.nullable(),
});
export type Suppressed = z.infer<typeof Suppressed>;

export const Deploy = z.object({
  id: z.string(),
  service: z.string(),
  version: z.string().nullable(),
  previousVersion: z.string().nullable(),
  environment: z.string().nullable(),
  cluster: z.string().nullable(),
  startedAt: time,
  finishedAt: time.nullable(),
  status: z.string().nullable(),
  author: z.string().nullable(),
  commit: z.string().nullable(),
  url: z.string().nullable(),
  summary: z.string().nullable(),
  rollback: z.boolean(),
  sources: z.array(z.string()),
});
export type Deploy = z.infer<typeof Deploy>;

export const Quarantined = z.object({
  id: z.string(),
  at: time,
  source: z.string(),
  place: z.string(),
  reason: z.string(),
  /** The beginning of what was sent, as text; `encoding` is base64 when it is none. */
  raw: z.string(),
  encoding: z.enum(['utf-8', 'base64']),
  rawBytes: z.number().int(),
});
export type Quarantined = z.infer<typeof Quarantined>;

const parts = z.record(z.string(), z.number());

export const Correlation = z.object({
  nodes: z.array(
    z.object({
      fingerprint: z.string(),
      source: z.string(),
      alertname: z.string(),
      service: z.string().nullable(),
      namespace: z.string().nullable(),
      severity: Severity,
      status: z.enum(['firing', 'resolved']),
      startsAt: time,
      endsAt: time.nullable(),
      summary: z.string().nullable(),
      /** `core`: dense enough to hold a cluster together; `border`: near one that is; `lone`: neither. */
      role: z.enum(['core', 'border', 'lone']),
    }),
  ),
  edges: z.array(
    z.object({
      a: z.string(),
      b: z.string(),
      aSource: z.string(),
      bSource: z.string(),
      distance: z.number(),
      parts,
    }),
  ),
  serviceGraph: z.object({
    nodes: z.array(
      z.object({
        service: z.string(),
        namespace: z.string().nullable(),
        alerts: z.number().int(),
        firstAlertAt: time.nullable(),
      }),
    ),
    edges: z.array(z.object({ namespace: z.string().nullable(), caller: z.string(), callee: z.string() })),
  }),
  rootCauses: z.array(RootCause),
  /** What people said of pairs among these alerts: together (`must`) or apart (`cannot`); such a word outweighs any distance. */
  links: z.array(
    z.object({
      kind: z.enum(['must', 'cannot']),
      a: z.string(),
      b: z.string(),
      aSource: z.string(),
      bSource: z.string(),
      by: z.string(),
      at: time,
    }),
  ),
  /** The incident turned out to be several. `accept` are the bodies of `POST …/split` (with `by`) that make it so; merging the
   * groups, or saying that they are related, refuses it. Null when nothing is proposed. */
  proposedSplit: z
    .object({
      reason: z.string(),
      at: time,
      groups: z.array(z.object({ alerts: z.array(z.string()), services: z.array(z.string()) })),
      accept: z.array(z.object({ alerts: z.array(z.string()) })),
    })
    .nullable(),
  /** The alerts as density clustering sees them now. */
  clusters: z.array(z.object({ alerts: z.array(z.string()), services: z.array(z.string()) })),
  eps: z.number(),
  minPts: z.number(),
  /** Alerts of the incident left out by `limit`. */
  omitted: z.number().int(),
});
export type Correlation = z.infer<typeof Correlation>;

const section = { text: z.array(z.string()) };

export const Explanation = z.object({
  fingerprint: z.string(),
  source: z.string(),
  alertname: z.string(),
  incidentId: z.string().nullable(),
  incidentNumber: z.number().int().nullable(),
  configHash: z.string().nullable(),
  grouped: z.object({
    ...section,
    rule: z.string().nullable(),
    eps: z.number().nullable(),
    minPts: z.number().nullable(),
    neighbours: z.array(
      z.object({
        source: z.string(),
        fingerprint: z.string(),
        alertname: z.string().nullable(),
        service: z.string().nullable(),
        distance: z.number(),
        parts,
      }),
    ),
  }),
  ranked: z.object({ ...section, priority: z.number().int().nullable(), rootCauses: z.array(RootCause) }),
  decided: z.object({
    ...section,
    verdict: verdict.nullable(),
    resolveVerdict: verdict.nullable(),
    reasons: z.array(Reason),
    policy: Incident.shape.decision.nullable(),
    suppressedUntil: time.nullable(),
  }),
  routed: z.object({
    ...section,
    team: z.string().nullable(),
    /** What named the team: assigned, route, label, owner or default. */
    teamFrom: z.string().nullable(),
    /** The matching nodes of the routing tree from the root down, route by route. */
    path: z.array(z.array(z.string())),
    channels: z.array(z.string()),
    notifications: z.array(Notification),
  }),
  /** Which suppression policies match, whether they spoke for holding it back, and what kept the nearest others from it. */
  policies: z.object({
    ...section,
    mode: Incident.shape.decision.shape.mode.nullable(),
    matched: z.array(z.object({ policy: z.string(), by: z.string(), until: time.nullable() })),
    missed: z.array(z.object({ policy: z.string(), matcher: z.string() })),
    /** Policies that match nothing of it. */
    others: z.number().int(),
  }),
  /** The steps of the escalation. */
  timers: z.object(section),
  /** The nearest single changes that would have led elsewhere, the weightiest first. */
  otherwise: z.object({
    ...section,
    /** Hash of the config it was judged again by. */
    judgedBy: z.string().nullable(),
    whatIfs: z.array(
      z.object({
        fact: z.string(),
        flips: z.enum(['verdict', 'receivers', 'priority', 'incident']),
        from: z.string(),
        to: z.string(),
        text: z.string(),
      }),
    ),
  }),
  /** Answers `?other=`. */
  compared: z
    .object({
      ...section,
      source: z.string(),
      fingerprint: z.string(),
      incidentId: z.string().nullable(),
      together: z.boolean(),
      distance: z.number(),
      parts,
      secondsApart: z.number().int(),
      /** Services along the calls from one to the other, caller first; null where none is known. */
      path: z.array(z.string()).nullable(),
      /** What people said of the two. */
      links: z.array(z.object({ kind: z.enum(['must', 'cannot']), by: z.string(), at: time })),
      /** Alerts of their incident that lie between them, each near the one before, when they are not near themselves. */
      between: z.array(z.object({ name: z.string(), distance: z.number() })).nullable(),
    })
    .nullable(),
  /** The record of the newest assessment: inputs, weights, thresholds. */
  record: z
    .object({ revision: z.number().int(), at: time, configHash: z.string(), doc: z.record(z.string(), z.unknown()) })
    .nullable(),
  /** All of it in sentences. */
  text: z.array(z.string()),
});
export type Explanation = z.infer<typeof Explanation>;

export const TopologyAnswer = z.object({
  nodes: z.array(
    z.object({
      namespace: z.string().nullable(),
      service: z.string(),
      owner: z.string().nullable(),
      tier: z.number().int().nullable(),
      catalogued: z.boolean(),
      firing: z.number().int(),
      worstSeverity: Severity.nullable(),
      /** What the catalogue says of the service, by field; `source` is native, openslo, backstage or csv. */
      facts: z.record(z.string(), z.object({ value: z.unknown(), source: z.string(), from: z.string() })),
    }),
  ),
  edges: z.array(
    z.object({
      namespace: z.string().nullable(),
      caller: z.string(),
      callee: z.string(),
      source: z.string(),
      /** Which server and mapping saw it in metrics, how busy it was and how long ago; null where none did. */
      seenBy: z.string().nullable(),
      requestsPerSecond: z.number().nullable(),
      lastSeenSecondsAgo: z.number().nullable(),
    }),
  ),
  /** Which pods run where, by Prometheus server that says so; `nodes` null: too many pods to be listed by node. */
  containment: z.array(
    z.object({
      server: z.string(),
      seenSecondsAgo: z.number().int(),
      pods: z.number().int(),
      nodes: z.number().int().nullable(),
      workloads: z.array(
        z.object({
          namespace: z.string(),
          kind: z.string(),
          name: z.string(),
          pods: z.number().int(),
          alerting: z.boolean(),
          nodes: z.array(z.object({ node: z.string(), pods: z.number().int() })).nullable(),
        }),
      ),
      omittedWorkloads: z.number().int(),
    }),
  ),
  /**
   * Where catalogue and reality differ: services that alert but have no entry, dependencies that have none, declared calls
   * never seen in metrics, and calls seen that nobody declared.
   */
  drift: z.object({
    alertingNotCatalogued: z.array(z.string()),
    declaredNotCatalogued: z.array(z.string()),
    declaredNeverSeen: z.array(z.object({ caller: z.string(), callee: z.string() })),
    seenNotDeclared: z.array(z.object({ caller: z.string(), callee: z.string() })),
  }),
});
export type TopologyAnswer = z.infer<typeof TopologyAnswer>;

export const Analysis = z.object({
  alerts: z.array(
    z.looseObject({
      /** Null for what opens no incident: a resolve, a heartbeat. */
      enrichment: z
        .looseObject({
          analysis: z.unknown(),
          businessImpact: Incident.shape.impact,
          routing: Incident.shape.routing,
          priority: Incident.shape.priority,
          suppress: Incident.shape.decision.loose(),
        })
        .nullable(),
    }),
  ),
  quarantined: z.number().int(),
  /** What could not be used, and where in the body it stands. */
  faults: z.array(z.object({ place: z.string(), reason: z.string() })),
});

export const Stored = z.object({
  id: z.string(),
  status: z.literal('stored'),
  detail: z.string(),
});

export const KillSwitch = z.object({ on: z.boolean(), by: z.string(), detail: z.string() });

export const KillSwitchState = z.object({
  on: z.boolean(),
  /** Who turned it last, from where and why; null when nobody ever did. */
  by: z.string().nullable(),
  origin: z.enum(['api', 'cli', 'signal', 'file', 'trip', 'replay', 'slack', 'pagerduty', 'mail']).nullable(),
  reason: z.string().nullable(),
  at: time.nullable(),
  /** It holds in this process and its file; the store has not got it yet. */
  pending: z.boolean(),
  detail: z.string(),
});

export const ProposalQuery = z.strictObject({ since, until });

export const Proposal = z.object({
  id: z.string(),
  kind: z.enum(['noise', 'floor', 'route']),
  title: z.string(),
  file: z.string(),
  /** Ready to paste, and where to. */
  yaml: z.string(),
  where: z.string(),
  entry: z.record(z.string(), z.unknown()),
  why: z.string(),
  evidence: z.object({
    said: z.int(),
    people: z.int(),
    incidents: z.int(),
    paged: z.int(),
    actedOn: z.int(),
    /** The incidents that it was said of. */
    numbers: z.array(z.int()),
  }),
});

export const HealthAnswer = z.object({
  status: z.enum(['ok', 'degraded', 'failed']),
  parts: z.record(
    z.string(),
    z.object({ state: z.enum(['ok', 'degraded', 'failed']), detail: z.string(), ms: z.number() }),
  ),
});

export const Reloaded = z.object({ status: z.literal('reloaded'), configHash: z.string() });

const shift = z.object({ person: z.string(), since: time, until: time, override: z.boolean() });

export const OnCall = z.object({
  schedules: z.array(
    z.looseObject({ name: z.string(), timeZone: z.string(), now: shift.nullable(), next: shift.nullable() }),
  ),
  teams: z.array(
    z.looseObject({
      name: z.string(),
      /** By schedule that the team's escalations use: who has it until when, and who takes over when; null: nobody. */
      now: z.array(z.looseObject({ schedule: z.string(), person: z.string().nullable(), until: time.nullable() })),
      next: z.array(z.looseObject({ schedule: z.string(), person: z.string().nullable(), since: time.nullable() })),
    }),
  ),
});

export const ProblemDocument = z.looseObject({
  type: z.string().optional(),
  title: z.string(),
  status: z.number().int(),
  detail: z.string(),
});
