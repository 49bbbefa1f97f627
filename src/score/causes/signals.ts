import type { ServiceGraph } from '../../correlate/types.ts';
import type { Deploy } from '../../domain/deploy.ts';
import type { CauseAlert, CausesInput } from '../causes.ts';
import type { CausesModel, Signals } from './model.ts';

/** A service that may be the root cause, with what was found about it. */
export type Candidate = {
  key: string;
  service: string;
  namespace: string | null;
  alerts: CauseAlert[];
  calledIn: CauseAlert[];
  /** Alerting services of the incident that reach this one through calls. */
  dependents: string[];
  deploy: { deploy: Deploy; leadMs: number; weight: number } | null;
  metric: { score: number; onsetAt: number | null; text: string } | null;
  signals: Signals;
};

/** Services reachable from one service are looked for among at most this many, nearest first. */
const reachLimit = 4096;
/** Silent callees of at most this many alerting services are considered. */
const candidateLimit = 400;

const keyOf = (namespace: string | null, service: string): string => `${namespace ?? ''}\n${service}`;

/** Services that `service` calls, directly or through others, with the number of hops; cycles are walked once. */
export function reachable(graph: ServiceGraph, service: string, namespace: string | null): Map<string, number> {
  const hops = new Map<string, number>([[service, 0]]);
  for (const name of hops.keys()) {
    if (hops.size >= reachLimit) break;
    for (const callee of graph.callees(name, namespace)) {
      if (!hops.has(callee)) hops.set(callee, hops.get(name)! + 1);
    }
  }
  hops.delete(service);
  return hops;
}

/** Every candidate with its signals: services with an alert, called services, their callees, changed and anomalous ones. */
export function candidatesOf(input: CausesInput, model: CausesModel): Candidate[] {
  const found = new Map<string, Candidate>();
  const named = (namespace: string | null, service: string): Candidate => {
    const key = keyOf(namespace, service);
    let candidate = found.get(key);
    if (!candidate) {
      candidate = {
        key,
        service,
        namespace,
        alerts: [],
        calledIn: [],
        dependents: [],
        deploy: null,
        metric: null,
        signals: {
          resource: 0,
          calledBySymptoms: 0,
          depth: 0,
          deepest: 0,
          coverage: 0,
          ownAlerts: 0,
          silent: 0,
          early: 0,
          deploy: 0,
          metric: 0,
          metricEarly: 0,
          feedback: 0,
        },
      };
      found.set(key, candidate);
    }
    return candidate;
  };

  for (const alert of input.alerts) {
    if (alert.service !== null) named(alert.namespace, alert.service).alerts.push(alert);
    if (alert.destination !== null && alert.destination !== alert.service) {
      named(alert.namespace, alert.destination).calledIn.push(alert);
    }
  }
  const alerting = [...found.values()];
  const reach = new Map(alerting.map((c) => [c.key, reachable(input.graph, c.service, c.namespace)]));
  for (const c of alerting) {
    for (const callee of input.graph.callees(c.service, c.namespace)) {
      if (found.size < candidateLimit) named(c.namespace, callee);
    }
  }
  const near = (service: string, namespace: string | null): Candidate | null => {
    for (const c of found.values()) {
      if (c.service === service && (namespace === null || c.namespace === null || c.namespace === namespace)) return c;
    }
    for (const c of alerting) if (reach.get(c.key)?.has(service)) return named(c.namespace, service);
    return null;
  };
  addMetrics(input, near);
  addDeploys(input, model, near);

  const all = [...found.values()];
  for (const c of all) {
    c.dependents = alerting.filter((o) => o !== c && reach.get(o.key)?.has(c.service)).map((o) => o.service);
  }
  for (const c of all) signalsOf(c, all, alerting, reach, input, model);
  return all;
}

function addMetrics(input: CausesInput, near: (service: string, namespace: string | null) => Candidate | null): void {
  for (const m of input.serviceMetrics) {
    const candidate = near(m.service, m.namespace);
    if (candidate && m.score > (candidate.metric?.score ?? 0)) {
      candidate.metric = { score: m.score, onsetAt: m.onsetAt, text: m.text };
    }
  }
}

function addDeploys(
  input: CausesInput,
  model: CausesModel,
  near: (service: string, namespace: string | null) => Candidate | null,
): void {
  for (const deploy of input.deploys) {
    const leadMs = input.startedAt - deploy.startedAt;
    if (leadMs < -60_000 || leadMs > model.deployWindowMs) continue;
    const weight = 2 ** (-Math.max(0, leadMs) / model.deployHalfLifeMs);
    const candidate = near(deploy.service, null);
    if (candidate && weight > (candidate.deploy?.weight ?? 0)) candidate.deploy = { deploy, leadMs, weight };
  }
}

function signalsOf(
  c: Candidate,
  all: Candidate[],
  alerting: Candidate[],
  reach: Map<string, Map<string, number>>,
  input: CausesInput,
  model: CausesModel,
): void {
  const { signals } = c;
  const others = alerting.filter((o) => o !== c);
  const own = reach.get(c.key) ?? reachable(input.graph, c.service, c.namespace);
  const reaches = others.filter((o) => own.has(o.service)).length;
  const calls = input.alerts.filter((a) => a.destination !== null && a.destination !== a.service);
  const callsOut = calls.filter((a) => a.service === c.service).length;
  signals.resource = c.alerts.some((a) => isResourceAlert(a, model)) ? 1 : 0;
  signals.calledBySymptoms = calls.length > 0 ? (c.calledIn.length - callsOut) / calls.length : 0;
  signals.depth = others.length > 0 ? (c.dependents.length - reaches) / others.length : 0;
  signals.deepest = c.alerts.length + c.calledIn.length > 0 && reaches === 0 ? 1 : 0;
  signals.coverage = alerting.length > 0 ? (c.dependents.length + (c.alerts.length > 0 ? 1 : 0)) / alerting.length : 0;
  signals.ownAlerts = input.alerts.length > 0 ? c.alerts.length / input.alerts.length : 0;
  signals.silent = c.alerts.length + c.calledIn.length === 0 ? 1 : 0;
  const first = Math.min(...input.alerts.map((a) => a.startsAt));
  const ownFirst = Math.min(...c.alerts.map((a) => a.startsAt), ...c.calledIn.map((a) => a.startsAt));
  signals.early = Number.isFinite(ownFirst) ? Math.exp(-(ownFirst - first) / 60_000) : 0;
  signals.deploy = c.deploy?.weight ?? 0;
  const strongest = Math.max(0, ...all.map((o) => o.metric?.score ?? 0));
  signals.metric = c.metric && strongest > 0 ? c.metric.score / strongest : 0;
  const onsets = all.flatMap((o) =>
    o.metric && o.metric.score > 0.5 && o.metric.onsetAt !== null ? [o.metric.onsetAt] : [],
  );
  if (c.metric && c.metric.score > 0.5 && c.metric.onsetAt !== null) {
    signals.metricEarly = Math.exp(-(c.metric.onsetAt - Math.min(...onsets)) / 120_000);
  }
  for (const f of input.feedback ?? []) {
    if (f.service === c.service) signals.feedback += f.kind === 'right-cause' ? 1 : -1;
  }
  signals.feedback = Math.max(-1, Math.min(1, signals.feedback));
}

/** A resource or saturation alert by the words of its name and summary. */
export function isResourceAlert(alert: Pick<CauseAlert, 'alertname' | 'summary'>, model: CausesModel): boolean {
  const text = `${alert.alertname} ${alert.summary ?? ''}`.toLowerCase();
  return model.resourceWords.some((word) => text.includes(word));
}
