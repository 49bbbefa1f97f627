import { alertKey } from './domain/alert.ts';
import type { Containment } from './domain/containment.ts';
import { type FactSource, gather } from './enrich/gather.ts';
import { createEngine } from './pipeline.ts';
import { parseWebhook } from './receive/parse.ts';
import type { Rules } from './rules.ts';
import type { Restored } from './store/types.ts';

export type Analysis =
  | {
      ok: true;
      alerts: Record<string, unknown>[];
      quarantined: number;
      /** What could not be used, and where in the body it stands. */
      faults: { place: string; reason: string }[];
    }
  | { ok: false; detail: string };

/** What the service knows at this moment. */
type Known = {
  rules: Rules;
  containment: Containment;
  sources: readonly FactSource[];
  /** The open incidents that these alerts might join, and what was learned (store/recent.ts). */
  recent(fingerprints: readonly string[]): Promise<Restored>;
};

/** An incident that grows is judged anew at most this often; here it is judged at once. */
const COALESCED_MS = 2_000;

/**
 * The dry run of `POST /api/v1/analyze`: the body goes down the same road as a webhook's, in an engine that is thrown away,
 * among the incidents that are open now. Nothing is stored and nobody is told. `now` is epoch ms.
 */
export async function analyze(
  body: unknown,
  source: string,
  { rules, containment, sources, recent }: Known,
  now: number,
): Promise<Analysis> {
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
  const before = await recent(parsed.alerts.map((seen) => seen.fingerprint));
  engine.restore(before, now);
  const known = new Set(before.incidents.map(({ state }) => state.id));
  const sighting = { source, deliveryId: null, trace: 'analyze', seen: parsed.alerts };
  engine.apply({ kind: 'alerts', sighting, quarantined: [] }, now);
  const touched = new Set<string>();
  for (const { fingerprint } of parsed.alerts) {
    const id = engine.world.alerts.get(alertKey({ source, fingerprint }))?.incidentId;
    if (id) touched.add(id);
  }
  const soon = now + COALESCED_MS;
  for (let subjects = engine.requests(soon); subjects.length > 0; subjects = engine.requests(soon)) {
    // Others that wait to be judged are the owner's business.
    for (const subject of subjects.filter(({ incidentId }) => touched.has(incidentId))) {
      const facts = await gather(sources, { ...subject, now }, tocsin.enrich.deadline);
      engine.assess(subject.incidentId, facts, now);
    }
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
        /** The open incident that it would join; null when it would open its own. */
        joins: known.has(doc.id) ? { id: doc.id, number: doc.number } : null,
      },
      businessImpact: doc.impact,
      routing: doc.routing,
      priority: doc.priority,
      suppress: { ...doc.decision, held: alert?.fireVerdict === 'suppress' },
    };
    return { fingerprint, status, labels, annotations, startsAt: new Date(seen.startsAt).toISOString(), enrichment };
  });
  const faults = parsed.quarantined.map(({ place, reason }) => ({ place, reason }));
  return { ok: true, alerts, quarantined: faults.length, faults };
}
