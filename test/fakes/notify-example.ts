import type { Incident } from '../../src/domain/incident.ts';
import type { LeadMetrics } from '../../src/domain/metrics.ts';
import type { NotificationJob, NotificationKind, Target } from '../../src/domain/notification.ts';
import type { AlertLine, MessageExtras } from '../../src/notify/message.ts';

const onset = Date.parse('2026-11-20T03:07:00Z');

/** An hour of an error rate that leaves its 1 % at 03:07 and climbs by 1.2 % a minute. */
export const leadMetrics = (changes: Partial<LeadMetrics> = {}): LeadMetrics => ({
  server: 'main',
  expression: 'sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))',
  operator: '>',
  threshold: 0.05,
  labels: { service: 'checkout' },
  value: 0.124,
  valueAt: '2026-11-20T03:19:00.000Z',
  onsetAt: '2026-11-20T03:07:00.000Z',
  valueAtOnset: 0.014,
  distance: 0.074,
  distanceRatio: 1.48,
  trend: { direction: 'rising', slopePerMinute: 0.011, overMinutes: 10 },
  seriesBeyond: 1,
  seriesTotal: 6,
  plot: {
    start: onset / 1000 - 48 * 60,
    step: 15,
    values: Array.from(
      { length: 240 },
      (_, index) => 0.012 + 0.004 * Math.sin(index / 3) + Math.max(0, index - 192) * 0.003,
    ),
  },
  anomaly: { score: 0.97, type: 'level shift', expected: { low: 0.006, high: 0.02 }, text: 'far above what is usual' },
  goldenSignals: [],
  targetsDown: [],
  text: 'error rate 12.4 %',
  ...changes,
});

/** A believable incident; tests change what they are about. */
export const incident = (changes: Partial<Incident> = {}): Incident => ({
  id: '01JD4Z8K6Q0000000000000042',
  number: 42,
  status: 'open',
  title: 'HighErrorRate on checkout',
  severity: 'critical',
  priority: 1,
  startedAt: '2026-11-20T03:12:00.000Z',
  updatedAt: '2026-11-20T03:14:00.000Z',
  acknowledgedAt: null,
  acknowledgedBy: null,
  resolvedAt: null,
  resolvedBy: null,
  mergedInto: null,
  assignee: null,
  snoozedUntil: null,
  team: 'payments',
  services: ['payment', 'checkout', 'cart', 'frontend'],
  alertCount: 17,
  firingCount: 12,
  rootCauses: [
    {
      service: 'payment',
      namespace: 'shop',
      alertname: 'PodOOMKilled',
      fingerprint: 'f1',
      deployId: 'd1',
      probability: 0.71,
      confidence: 'high',
      evidence: [
        { kind: 'time', text: 'fired 40 s before the others', weight: 0.2 },
        { kind: 'deploy', text: 'deployed 5 min before the onset', weight: 0.4 },
        { kind: 'topology', text: 'checkout and frontend call it', weight: 0.3 },
      ],
      causalChain: ['payment', 'checkout', 'frontend'],
    },
    {
      service: 'cart',
      namespace: 'shop',
      alertname: null,
      fingerprint: null,
      deployId: null,
      probability: 0.12,
      confidence: 'low',
      evidence: [],
      causalChain: ['cart'],
    },
  ],
  impact: {
    revenuePerHour: 12000,
    currency: 'USD',
    totalRevenueImpact: 6000,
    affectedServices: ['checkout'],
    affectedUsers: 40000,
    customerImpact: 'high',
    regulatoryRisk: true,
    slaBreachRisk: 'high',
    cascadeRisk: 'unknown',
    estimatedDurationSeconds: { p50: 1800, p90: 5400, basis: '12 similar incidents' },
  },
  recommendations: [
    {
      action: 'Roll payment back to 3e1b',
      why: 'the fault began with 4f2c',
      runbook: 'https://runbooks.example.com/payment',
    },
  ],
  decision: { verdict: 'notify', actionability: 0.83, mode: 'shadow', reasons: [] },
  routing: {
    primaryTeam: 'payments',
    escalationTeams: ['sre'],
    channels: ['slack:#payments-oncall'],
    autoEscalateMinutes: 5,
  },
  nextEscalation: { at: '2026-11-20T03:19:00.000Z', notify: ['person:ana'] },
  deploys: [
    {
      id: 'd1',
      service: 'payment',
      version: '4f2c',
      previousVersion: '3e1b',
      startedAt: '2026-11-20T03:07:00.000Z',
      author: 'ben',
      commit: '4f2c9d',
      url: 'https://git.example.com/payment/compare/3e1b...4f2c?w=1&x=2',
      leadSeconds: 300,
      suspicion: 0.9,
    },
  ],
  similarIncidents: [
    {
      id: 'i7',
      number: 7,
      title: 'HighErrorRate on checkout',
      startedAt: '2026-11-02T10:00:00.000Z',
      durationSeconds: 1500,
      similarity: 0.9,
      endedBy: 'rollback of payment',
    },
  ],
  degraded: [{ stage: 'prometheus', reason: 'main did not answer within 2 s' }],
  lead: {
    fingerprint: 'f1',
    alertname: 'PodOOMKilled',
    service: 'payment',
    summary: 'payment was killed',
    description: null,
    runbook: 'https://runbooks.example.com/oom',
    dashboard: 'https://grafana.example.com/d/payment',
    labels: { alertname: 'PodOOMKilled', service: 'payment', cluster: 'prod-1' },
  },
  metrics: {
    prometheus: leadMetrics(),
    history: { incidents: 3, selfResolvedShare: 0, firstEver: false },
  },
  revision: 3,
  configHash: 'a1b2c3d4e5f60718',
  ...changes,
});

export const alerts: AlertLine[] = [
  {
    alertname: 'PodOOMKilled',
    service: 'payment',
    severity: 'critical',
    status: 'firing',
    startsAt: Date.parse('2026-11-20T03:12:00Z'),
    count: 1,
  },
  {
    alertname: 'HighErrorRate',
    service: 'checkout',
    severity: 'high',
    status: 'firing',
    startsAt: Date.parse('2026-11-20T03:12:40Z'),
    count: 12,
  },
  {
    alertname: 'SlowCheckout',
    service: 'frontend',
    severity: 'medium',
    status: 'resolved',
    startsAt: Date.parse('2026-11-20T03:13:00Z'),
    count: 1,
  },
];

export const extras = (changes: Partial<MessageExtras> = {}): MessageExtras => ({
  publicUrl: 'https://tocsin.example.com',
  timeline: [
    {
      incidentId: 'i',
      at: Date.parse('2026-11-20T03:12:05Z'),
      kind: 'opened',
      text: 'Opened by PodOOMKilled',
      by: null,
      data: {},
    },
  ],
  alerts,
  elder: null,
  ...changes,
});

export const resolvedIncident = (changes: Partial<Incident> = {}): Incident =>
  incident({
    status: 'resolved',
    resolvedAt: '2026-11-20T03:26:00.000Z',
    resolvedBy: 'ana',
    firingCount: 0,
    nextEscalation: null,
    ...changes,
  });

export const acknowledgedIncident = (changes: Partial<Incident> = {}): Incident =>
  incident({
    status: 'acknowledged',
    acknowledgedAt: '2026-11-20T03:15:00.000Z',
    acknowledgedBy: 'ana',
    nextEscalation: null,
    ...changes,
  });

let counter = 0;
export const job = (kind: NotificationKind, changes: Partial<NotificationJob> = {}): NotificationJob => {
  counter += 1;
  return {
    id: `n${String(counter).padStart(4, '0')}`,
    incidentId: '01JD4Z8K6Q0000000000000042',
    target: { channel: 'slack', address: '#payments-oncall' } satisfies Target,
    kind,
    urgency: { open: 0, escalate: 0, resolve: 1, acknowledge: 1, thread: 2, update: 3, digest: 3 }[kind],
    createdAt: Date.parse('2026-11-20T03:12:02Z') + counter,
    text: null,
    broadcast: false,
    fallback: [],
    trace: 'trace',
    ...changes,
  };
};
