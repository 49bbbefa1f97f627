import { Registry } from 'prom-client';
import type { Config } from '../../src/config/schema.ts';
import { TocsinFile } from '../../src/config/schema.ts';
import type { Alert } from '../../src/domain/alert.ts';
import type { Subject } from '../../src/enrich/gather.ts';
import { createPrometheusSource, type PrometheusSourceDeps } from '../../src/enrich/prometheus-source.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createOutbound } from '../../src/telemetry/outbound.ts';

/** A config with these Prometheus servers and enrichment settings and nothing else of note. */
export const configWith = (prometheus: unknown[], enrich: object = {}): Config =>
  ({ tocsin: TocsinFile.parse({ prometheus, enrich }), secrets: {}, business: { services: {} } }) as unknown as Config;

/** The source with the real outbound client; `close` when done. */
export function sourceFor(config: Config, more: Partial<PrometheusSourceDeps> = {}) {
  const outbound = createOutbound({ timeoutMs: 10_000, log: { debug: () => {} }, registry: new Registry() });
  const metrics = createMetrics();
  const source = createPrometheusSource({ config: () => config, outbound, metrics, now: () => Date.now(), ...more });
  return { source, outbound, metrics, close: () => outbound.close() };
}

/** A firing alert with these labels that began `agoMs` before now. */
export function alertOf(labels: Record<string, string>, { startsAt = Date.now() - 60_000, expr = '' } = {}): Alert {
  return {
    source: 'default',
    fingerprint: 'a3b1b8310ec1b639',
    labels,
    annotations: {},
    status: 'firing',
    startsAt,
    endsAt: null,
    expiresAt: null,
    generatorUrl: expr
      ? `http://prometheus.example.com/graph?${new URLSearchParams({ 'g0.expr': expr, 'g0.tab': '1' })}`
      : null,
    severity: 'critical',
    alertname: labels.alertname ?? 'Alert',
    service: labels.service ?? null,
    namespace: labels.namespace ?? null,
    cluster: labels.cluster ?? null,
    tenant: '',
    destination: null,
    groupKey: null,
    receiver: null,
    receivedAt: startsAt,
    updatedAt: startsAt,
    lastSeenAt: startsAt,
    closedBecause: null,
    incidentId: 'i-1',
    fireVerdict: null,
    resolveVerdict: null,
    reasons: [],
  };
}

export const subjectOf = (lead: Alert | null, now = Date.now()): Subject => ({
  incidentId: 'i-1',
  revision: 1,
  startedAt: lead?.startsAt ?? now,
  now,
  lead,
  services: lead?.service ? [{ service: lead.service, namespace: lead.namespace }] : [],
  alerts: lead ? [lead] : [],
});
