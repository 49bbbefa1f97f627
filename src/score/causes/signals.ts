import type { ServiceGraph } from '../../correlate/types.ts';
import type { Deploy } from '../../domain/deploy.ts';
import type { CauseAlert, CausesInput } from '../causes.ts';
import { type CausesModel, type Signals, signalNames } from './model.ts';

/** What an alert speaks of, by the words of its name and summary: the golden signals, and saturation of a resource. */
export type AlertKind = 'resource' | 'errors' | 'traffic' | 'other';

/** A service that may be the root cause, with what was found about it. */
export type Candidate = {
  key: string;
  service: string;
  namespace: string | null;
  alerts: CauseAlert[];
  /** Alerts on calls to it. */
  calledIn: CauseAlert[];
  /** Alerting services of the incident that reach this one through calls. */
  dependents: string[];
  resourceAlert: CauseAlert | null;
  deploy: { deploy: Deploy; leadMs: number; weight: number } | null;
  metric: { score: number; deviation: number; onsetAt: number | null; text: string } | null;
  signals: Signals;
};

/** Services reachable from one service are looked for among at most this many, nearest first. */
const reachLimit = 1024;
/** The graph is looked at from at most this many alerting services, the first to alert. */
const alertingLimit = 100;
/** At most this many candidates are compared. */
const candidateLimit = 400;
/** A service farther from its neighbours' metrics than this many robust z is simply very far. */
const farthest = 1000;

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

/** The kind of trouble by the words of name and summary; a rule with none of the words is `other`. */
export function kindOf(alert: Pick<CauseAlert, 'alertname' | 'summary'>, model: CausesModel): AlertKind {
  const text = `${alert.alertname} ${alert.summary ?? ''}`.toLowerCase();
  const says = (words: readonly string[]): boolean => words.some((word) => text.includes(word));
  if (says(model.words.traffic)) return 'traffic';
  if (says(model.words.resource)) return 'resource';
  return says(model.words.errors) ? 'errors' : 'other';
}

/** Every candidate with its signals: services with an alert, called services, their callees, changed and anomalous ones. */
export function candidatesOf(input: CausesInput, model: CausesModel): Candidate[] {
  const found = new Map<string, Candidate>();
  const named = (namespace: string | null, service: string): Candidate => {
    const key = keyOf(namespace, service);
    const known = found.get(key);
    if (known) return known;
    const candidate: Candidate = {
      key,
      service,
      namespace,
      alerts: [],
      calledIn: [],
      dependents: [],
      resourceAlert: null,
      deploy: null,
      metric: null,
      signals: Object.fromEntries(signalNames.map((name) => [name, 0])) as Signals,
    };
    found.set(key, candidate);
    return candidate;
  };

  for (const alert of input.alerts) {
    if (alert.service !== null) named(alert.namespace, alert.service).alerts.push(alert);
    if (alert.destination !== null && alert.destination !== alert.service) {
      named(alert.namespace, alert.destination).calledIn.push(alert);
    }
  }
  const mentioned = [...found.values()];
  const reaches = new Map<string, Map<string, number>>();
  const reach = (c: Candidate): Map<string, number> => {
    let known = reaches.get(c.key);
    if (!known) {
      known = reachable(input.graph, c.service, c.namespace);
      reaches.set(c.key, known);
    }
    return known;
  };
  const view = viewOf(input, mentioned.slice(0, alertingLimit), model, reach);

  for (const c of mentioned) {
    for (const callee of input.graph.callees(c.service, c.namespace)) {
      if (found.size < candidateLimit) named(c.namespace, callee);
    }
  }
  /** The candidate for a service that another source speaks of, if it is one, or calls or is called around the alerts. */
  const near = (service: string, namespace: string | null): Candidate | null => {
    const fits = (c: Candidate): boolean => namespace === null || c.namespace === null || c.namespace === namespace;
    const known = mentioned.find((c) => c.service === service && fits(c));
    if (known) return known;
    for (const c of view.mentioned) {
      if (!fits(c) || !around(c, reach(c), input.graph).has(service)) continue;
      return found.size < candidateLimit
        ? named(c.namespace, service)
        : (found.get(keyOf(c.namespace, service)) ?? null);
    }
    return null;
  };
  addMetrics(input, near);
  addDeploys(input, model, near);

  const all = [...found.values()];
  const metrics = metricView(all);
  view.widest = all.reduce(
    (max, c) =>
      c.alerts.length + c.calledIn.length > 0 ? max : Math.max(max, input.graph.callees(c.service, c.namespace).length),
    0,
  );
  for (const c of all) {
    alertSignals(c, view, input, model, reach);
    metricSignals(c, metrics, reach);
    const votes = (input.feedback ?? []).filter((f) => f.service === c.service);
    c.signals.feedback = clip(votes.reduce((sum, f) => sum + (f.kind === 'right-cause' ? 1 : -1), 0));
    c.signals.deploy = c.deploy?.weight ?? 0;
  }
  return all;
}

/** The incident seen from its graph: computed once, asked by every candidate. */
type View = {
  mentioned: Candidate[];
  /** Services whose alerts speak of more than traffic: a drop in traffic shows below its cause as well as above. */
  symptomatic: Candidate[];
  /** Services of each rule, for depth among equals. */
  byRule: Map<string, Candidate[]>;
  /** Most direct callees of any silent candidate. */
  widest: number;
  calls: number;
  errors: number;
  firstOnset: number;
};

function viewOf(
  input: CausesInput,
  mentioned: Candidate[],
  model: CausesModel,
  reach: (c: Candidate) => Map<string, number>,
): View {
  const byRule = new Map<string, Candidate[]>();
  let calls = 0;
  let errors = 0;
  for (const c of mentioned) {
    for (const alert of c.alerts) {
      const kind = kindOf(alert, model);
      if (kind === 'errors') errors += 1;
      if (kind === 'resource') c.resourceAlert ??= alert;
      if (alert.destination !== null && alert.destination !== alert.service) calls += 1;
      const services = byRule.get(alert.alertname);
      if (!services) byRule.set(alert.alertname, [c]);
      else if (services.at(-1) !== c) services.push(c);
    }
    reach(c);
  }
  const telling = mentioned.filter(
    (c) => c.calledIn.length > 0 || c.alerts.some((a) => kindOf(a, model) !== 'traffic'),
  );
  return {
    mentioned,
    symptomatic: telling.length > 0 ? telling : mentioned,
    byRule,
    widest: 0,
    calls,
    errors,
    firstOnset: input.alerts.reduce((min, a) => Math.min(min, a.startsAt), Infinity),
  };
}

function alertSignals(
  c: Candidate,
  view: View,
  input: CausesInput,
  model: CausesModel,
  reach: (c: Candidate) => Map<string, number>,
): void {
  const { signals } = c;
  const own = reach(c);
  const others = view.symptomatic.filter((o) => o !== c);
  const above = others.filter((o) => reach(o).has(c.service));
  const below = others.filter((o) => own.has(o.service));
  c.dependents = above.map((o) => o.service);
  const named = c.alerts.length + c.calledIn.length > 0;
  const kinds = c.alerts.map((a) => kindOf(a, model));
  const out = c.alerts.filter((a) => a.destination !== null && a.destination !== a.service).length;

  // A lone resource alert beside the story proves nothing: it counts when its service is part of the story otherwise.
  const supported =
    above.length > 0 || c.calledIn.length > 0 || kinds.some((k) => k !== 'resource') || view.mentioned.length === 1;
  signals.resource = kinds.includes('resource') && supported ? 1 : 0;
  signals.calledBySymptoms = view.calls > 0 ? (c.calledIn.length - out) / view.calls : 0;
  signals.depth = others.length > 0 ? (above.length - below.length) / others.length : 0;
  signals.deepest = named && below.length === 0 && kinds.some((k) => k !== 'traffic') ? 1 : 0;
  signals.ruleDepth = ruleDepth(c, view, reach);
  signals.coverage =
    view.symptomatic.length > 0 ? (above.length + (view.symptomatic.includes(c) ? 1 : 0)) / view.symptomatic.length : 0;
  signals.ownAlerts = input.alerts.length > 0 ? (c.alerts.length - out) / input.alerts.length : 0;
  signals.errors = view.errors > 0 && kinds.includes('errors') ? 1 : 0;
  signals.trafficOnly = kinds.length > 0 && c.calledIn.length === 0 && kinds.every((k) => k === 'traffic') ? 1 : 0;
  signals.commonCaller = commonCaller(c, view, input.graph);
  signals.silent = named ? 0 : 1;
  if (!named && view.widest > 0) signals.silentReach = input.graph.callees(c.service, c.namespace).length / view.widest;
  signals.sharedCallee = !named && view.symptomatic.length > 1 && above.length === view.symptomatic.length ? 1 : 0;
  const onsets = [...c.alerts, ...c.calledIn].map((a) => a.startsAt);
  signals.early = named ? Math.exp(-(onsets.reduce((a, b) => Math.min(a, b), Infinity) - view.firstOnset) / 60_000) : 0;
}

/** Depth among the services with the same rule, each rule by the share of services it spans: like is compared with like. */
function ruleDepth(c: Candidate, view: View, reach: (c: Candidate) => Map<string, number>): number {
  let sum = 0;
  let total = 0;
  for (const services of view.byRule.values()) {
    if (services.length < 2) continue;
    total += services.length;
    if (!services.includes(c)) continue;
    const others = services.filter((o) => o !== c);
    const depth =
      others.filter((o) => reach(o).has(c.service)).length - others.filter((o) => reach(c).has(o.service)).length;
    sum += services.length * (depth / others.length);
  }
  return total > 0 ? sum / total : 0;
}

/** Share of a rule's services that this one calls directly, when there are two or more: siblings fail through their caller. */
function commonCaller(c: Candidate, view: View, graph: ServiceGraph): number {
  const callees = new Set(graph.callees(c.service, c.namespace));
  let best = 0;
  for (const services of view.byRule.values()) {
    const called = services.filter((o) => callees.has(o.service)).length;
    if (called >= 2) best = Math.max(best, called / services.length);
  }
  return best;
}

const surroundings = new WeakMap<Map<string, number>, ReadonlySet<string>>();

/** What a service reaches, who calls it, and what those call: where a silent root may be. */
function around(c: Candidate, reach: Map<string, number>, graph: ServiceGraph): ReadonlySet<string> {
  const known = surroundings.get(reach);
  if (known) return known;
  const set = new Set(reach.keys());
  for (const caller of graph.callers(c.service, c.namespace)) {
    set.add(caller);
    for (const sibling of graph.callees(caller, c.namespace)) if (set.size < reachLimit) set.add(sibling);
  }
  surroundings.set(reach, set);
  return set;
}

function addMetrics(input: CausesInput, near: (service: string, namespace: string | null) => Candidate | null): void {
  for (const m of input.serviceMetrics) {
    // Traffic follows the trouble, up or down; it does not say where it is.
    if (m.score <= 0 || m.type === 'traffic') continue;
    const candidate = near(m.service, m.namespace);
    const deviation = Math.min(farthest, m.deviation ?? 3 - 6 * Math.log(Math.max(1e-6, 1 - m.score)));
    if (candidate && deviation > (candidate.metric?.deviation ?? 0)) {
      candidate.metric = { score: m.score, deviation, onsetAt: m.onsetAt, text: m.text };
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

/** An anomaly this strong (about 8.5 robust z) is clear enough to compare onsets and depths by. */
const clearScore = 0.6;

type MetricView = { strongest: number; clear: Candidate[]; firstOnset: number };

function metricView(all: Candidate[]): MetricView {
  const anomalous = all.filter((c) => c.metric !== null);
  const clear = anomalous.filter((c) => c.metric!.score >= clearScore);
  return {
    strongest: anomalous.reduce((max, c) => Math.max(max, c.metric!.deviation), 0),
    clear,
    firstOnset: clear.reduce((min, c) => Math.min(min, c.metric!.onsetAt ?? Infinity), Infinity),
  };
}

function metricSignals(c: Candidate, view: MetricView, reach: (c: Candidate) => Map<string, number>): void {
  if (!c.metric || view.strongest <= 0) return;
  const { signals } = c;
  const { score, deviation, onsetAt } = c.metric;
  signals.metric = (score * Math.log1p(deviation)) / Math.log1p(view.strongest);
  signals.metricTop = deviation >= view.strongest ? score : 0;
  const own = reach(c);
  signals.metricDeepest = view.clear.some((o) => o !== c && own.has(o.service)) ? 0 : score;
  if (onsetAt !== null && score >= clearScore)
    signals.metricEarly = Math.exp(-Math.max(0, onsetAt - view.firstOnset) / 120_000);
}

const clip = (x: number): number => Math.max(-1, Math.min(1, x));
