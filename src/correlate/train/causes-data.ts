import type { Models } from '../../config/models.ts';
import type { ServiceMetric } from '../../domain/facts.ts';
import { metricEvidence } from '../../score/causes/metric-evidence.ts';
import { signalNames } from '../../score/causes/model.ts';
import { candidatesOf } from '../../score/causes/signals.ts';
import type { CauseAlert, CausesInput } from '../../score/causes.ts';
import { buildGraph } from '../graph.ts';
import { correlateStream, type Outcome } from './loop.ts';
import type { Stream } from './streams.ts';

/** One fault's incident, ready to learn from: every candidate's signals; `right` is −1 when the root is not among them. */
export type Case = {
  system: string;
  fault: string;
  services: string[];
  rows: number[][];
  right: number;
  input: CausesInput;
};

/** The metric facts of one incident from a recording's series: what a Prometheus source would answer. */
export function metricsFor(stream: Stream): (alerts: CauseAlert[], startedAt: number) => ServiceMetric[] {
  const byNamespace = new Map<string, Stream['metrics']>();
  for (const series of stream.metrics) {
    const namespace = series.metric.namespace ?? '';
    byNamespace.set(namespace, [...(byNamespace.get(namespace) ?? []), series]);
  }
  return (alerts, startedAt) => {
    const facts: ServiceMetric[] = [];
    for (const namespace of new Set(alerts.map((a) => a.namespace ?? ''))) {
      for (const series of byNamespace.get(namespace) ?? []) {
        const fact = metricEvidence(series, startedAt);
        if (fact) facts.push(fact);
      }
    }
    return facts;
  };
}

/** The incident that holds most of each fault's alerts, as the scorer chooses it. */
export function incidentOfFault(stream: Stream, outcome: Outcome): Map<string, string> {
  const votes = new Map<string, Map<string, number>>();
  for (const [id, truth] of Object.entries(stream.truth.alerts)) {
    const incident = outcome.assignments.get(id);
    if (!truth.fault || incident === undefined) continue;
    const count = votes.get(truth.fault) ?? new Map<string, number>();
    count.set(incident, (count.get(incident) ?? 0) + 1);
    votes.set(truth.fault, count);
  }
  return new Map([...votes].map(([fault, count]) => [fault, [...count].reduce((a, b) => (b[1] > a[1] ? b : a))[0]]));
}

/** A stream's cases on its own clusters, with metric facts or without. */
export function casesOf(stream: Stream, models: Models, withMetrics: boolean): Case[] {
  const outcome = correlateStream(stream, models);
  const graph = buildGraph(stream.topology);
  const metrics = withMetrics ? metricsFor(stream) : () => [];
  const cases: Case[] = [];
  for (const [fault, incident] of incidentOfFault(stream, outcome)) {
    const { alerts, startedAt } = outcome.incidents.get(incident)!;
    const input: CausesInput = {
      alerts,
      graph,
      deploys: [],
      serviceMetrics: metrics(alerts, startedAt),
      startedAt,
      now: startedAt,
    };
    const { candidates } = candidatesOf(input, models.causes);
    cases.push({
      system: stream.system,
      fault: `${stream.system}/${fault}`,
      services: candidates.map((c) => c.service),
      rows: candidates.map((c) => signalNames.map((name) => c.signals[name])),
      right: candidates.findIndex((c) => c.service === stream.truth.faults[fault]!.service),
      input,
    });
  }
  return cases;
}
