import { alertKey } from './domain/alert.ts';
import type { Containment } from './domain/containment.ts';
import type { Deploy } from './domain/deploy.ts';
import { type FactSource, gather } from './enrich/gather.ts';
import { createEngine } from './pipeline.ts';
import { parseWebhook } from './receive/parse.ts';
import type { Rules } from './rules.ts';

export type Analysis =
  | { ok: true; alerts: Record<string, unknown>[]; quarantined: number }
  | { ok: false; detail: string };

/**
 * The dry run of `POST /api/v1/analyze`: the body goes down the same road as a webhook's, in an engine that is thrown away.
 * Nothing is stored and nobody is told; `deploys` and `containment` are what the service knows. `now` is epoch ms.
 */
export async function analyze(
  body: unknown,
  source: string,
  known: { rules: Rules; deploys: Deploy[]; containment: Containment; sources: readonly FactSource[] },
  now: number,
): Promise<Analysis> {
  const { rules, deploys, containment, sources } = known;
  const { tocsin } = rules.config;
  const parsed = parseWebhook(body, {
    receivedAt: now,
    source,
    severityMap: tocsin.severity_map,
    labelNames: tocsin.labels,
  });
  if (!parsed.ok) return { ok: false, detail: parsed.reason };
  const engine = createEngine(rules);
  engine.contain(containment);
  engine.apply({ kind: 'deploys', deploys, quarantined: [] }, now);
  const sighting = { source, deliveryId: null, trace: 'analyze', seen: parsed.alerts };
  engine.apply({ kind: 'alerts', sighting, quarantined: [] }, now);
  for (let subjects = engine.requests(now); subjects.length > 0; subjects = engine.requests(now)) {
    for (const subject of subjects)
      engine.assess(subject.incidentId, await gather(sources, subject, tocsin.enrich.deadline), now);
  }
  const alerts = parsed.alerts.map((seen) => {
    const alert = engine.world.alerts.get(alertKey({ source, fingerprint: seen.fingerprint }));
    const doc = alert?.incidentId ? (engine.world.incidents.get(alert.incidentId)?.doc ?? null) : null;
    const { fingerprint, status, labels, annotations } = seen;
    const enrichment = doc && {
      analysis: {
        title: doc.title,
        severity: doc.severity,
        services: doc.services,
        rootCauses: doc.rootCauses,
        recommendations: doc.recommendations,
        deploys: doc.deploys,
        similarIncidents: doc.similarIncidents,
        metrics: doc.metrics,
        degraded: doc.degraded,
        alertsTogether: doc.alertCount,
      },
      businessImpact: doc.impact,
      routing: doc.routing,
      priority: doc.priority,
      suppress: { ...doc.decision, held: alert?.fireVerdict === 'suppress' },
    };
    return { fingerprint, status, labels, annotations, startsAt: new Date(seen.startsAt).toISOString(), enrichment };
  });
  return { ok: true, alerts, quarantined: parsed.quarantined.length };
}
