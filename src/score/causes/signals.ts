import type { ServiceGraph } from '../../correlate/types.ts';
import type { Deploy } from '../../domain/deploy.ts';
import type { CauseAlert, CausesInput } from '../causes.ts';
import type { Precedence } from './lags.ts';
import { type Anomaly, addMetrics, metricSignals } from './metric-signals.ts';
import { type CausesModel, type Signals, signalNames } from './model.ts';
import { isProxy, withProxies } from './proxies.ts';
import { createReach, type Reach } from './reach.ts';

/** What an alert speaks of, by the words of its name and summary: the golden signals, and saturation of a resource. */
type AlertKind = 'resource' | 'errors' | 'traffic' | 'other';

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
  /** Alerting services of the incident that this one reaches through calls. */
  dependencies: string[];
  /** Of the services alerting now the one that past incidents say most of, beside this one. */
  led: (Precedence & { service: string }) | null;
  resourceAlert: CauseAlert | null;
  deploy: { deploy: Deploy; leadMs: number; weight: number } | null;
  /** The clearest anomaly of its metrics, by what they measure. */
  anomalies: Anomaly[];
  signals: Signals;
};

/** The graph is looked at from at most this many alerting services, the first to alert. */
const alertingLimit = 100;
/** At most this many candidates are compared. */
const candidateLimit = 250;
/** Direct callers or callees looked at, and services around one that alerts: a hub has no more to tell than its first. */
const mostNeighbours = 400;
const mostAround = 512;
const mostCalls = 2000;

const keyOf = (namespace: string | null, service: string): string => `${namespace ?? ''}\n${service}`;

/** A rule nobody knows yet is believed; one known for noise is not. */
const unknownRelevance = 0.5;
/** 0..1: how far an alert is believed. */
const trust = ({ relevance }: CauseAlert): number => Math.min(1, (relevance ?? unknownRelevance) / unknownRelevance);
const leastTrust = 1e-3;
const mostTrusted = (c: Candidate): number =>
  [...c.alerts, ...c.calledIn].reduce((max, a) => Math.max(max, trust(a)), 0);
/** A resource alert on a service that shows nothing else, though others above do, counts this much. */
const unconfirmed = 0.5;

/** The kind of trouble by the words of name and summary; a rule with none of the words is `other`. */
export function kindOf(alert: Pick<CauseAlert, 'alertname' | 'summary'>, model: CausesModel): AlertKind {
  const text = `${alert.alertname} ${alert.summary ?? ''}`.toLowerCase();
  const says = (words: readonly string[]): boolean => words.some((word) => text.includes(word));
  if (says(model.words.traffic)) return 'traffic';
  if (says(model.words.resource)) return 'resource';
  return says(model.words.errors) ? 'errors' : 'other';
}

/**
 * Every candidate with its signals: services with an alert, called services, their callees, changed and anomalous ones; and
 * the service graph as it was looked at, with the calls that the names of proxies give away.
 */
export function candidatesOf(
  given: CausesInput,
  model: CausesModel,
): { candidates: Candidate[]; graph: CausesInput['graph'] } {
  const graph = withProxies(given.graph, [
    ...given.alerts.flatMap(({ service, namespace }) => (service === null ? [] : [{ service, namespace }])),
    ...given.serviceMetrics,
  ]);
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
      dependencies: [],
      led: null,
      resourceAlert: null,
      deploy: null,
      anomalies: [],
      signals: Object.fromEntries(signalNames.map((name) => [name, 0])) as Signals,
    };
    found.set(key, candidate);
    return candidate;
  };
  const add = (namespace: string | null, service: string): Candidate | null =>
    found.size < candidateLimit ? named(namespace, service) : (found.get(keyOf(namespace, service)) ?? null);

  const input = { ...given, graph };
  for (const alert of input.alerts) {
    if (alert.service !== null) add(alert.namespace, alert.service)?.alerts.push(alert);
    if (alert.destination !== null && alert.destination !== alert.service) {
      add(alert.namespace, alert.destination)?.calledIn.push(alert);
    }
  }
  const mentioned = [...found.values()];
  const reach = createReach(graph);
  const view = viewOf(mentioned.slice(0, alertingLimit), reach, model);

  for (const c of mentioned) {
    for (const callee of graph.callees(c.service, c.namespace)) if (!add(c.namespace, callee)) break;
  }
  const near = neighbourhood(mentioned, view, input, reach, add);
  addMetrics(input, near);
  addDeploys(input, model, near);

  const all = [...found.values()];
  view.widest = all.reduce(
    (max, c) =>
      c.alerts.length + c.calledIn.length > 0 ? max : Math.max(max, graph.callees(c.service, c.namespace).length),
    0,
  );
  for (const c of all) {
    alertSignals(c, view, input);
    const votes = (input.feedback ?? []).filter((f) => f.service === c.service);
    c.signals.feedback = clip(votes.reduce((sum, f) => sum + (f.kind === 'right-cause' ? 1 : -1), 0));
    c.signals.deploy = c.deploy?.weight ?? 0;
  }
  metricSignals(all, reach);
  return { candidates: all, graph };
}

/** An alerting service with what it calls and what calls it, directly or through others. */
type Seen = { candidate: Candidate; down: ReadonlyMap<string, number>; up: ReadonlyMap<string, number> };

/** The incident seen from its graph: computed once, asked by every candidate. */
type View = {
  mentioned: Candidate[];
  /** Services whose alerts speak of more than traffic: a drop in traffic shows below its cause as well as above. */
  symptomatic: Seen[];
  /** Services of each rule, for depth among equals. */
  byRule: Map<string, Seen[]>;
  /** Rules of each service that fire, but for those that speak of traffic; which those are. */
  rulesOf: Map<string, Set<string>>;
  traffic: ReadonlySet<string>;
  kinds: Map<CauseAlert, AlertKind>;
  /** How far the best believed alert is: where all are doubted, that tells none of them from the others. */
  trust: number;
  /** Most direct callees of any silent candidate. */
  widest: number;
  calls: number;
  errors: number;
};

function viewOf(mentioned: Candidate[], reach: Reach, model: CausesModel): View {
  const byRule = new Map<string, Seen[]>();
  const seen: Seen[] = [];
  const rulesOf = new Map<string, Set<string>>();
  const traffic = new Set<string>();
  const kinds = new Map<CauseAlert, AlertKind>();
  let calls = 0;
  let errors = 0;
  for (const c of mentioned) {
    const it = { candidate: c, down: reach.down(c.service, c.namespace), up: reach.up(c.service, c.namespace) };
    seen.push(it);
    const rules = new Set<string>();
    rulesOf.set(c.key, rules);
    for (const alert of c.alerts) {
      const kind = kindOf(alert, model);
      kinds.set(alert, kind);
      // Traffic drops below what failed: who shows it first or deepest says nothing.
      if (kind === 'traffic') traffic.add(alert.alertname);
      else rules.add(alert.alertname);
      if (kind === 'errors') errors += 1;
      if (kind === 'resource') c.resourceAlert ??= alert;
      if (alert.destination !== null && alert.destination !== alert.service) calls += 1;
      const services = byRule.get(alert.alertname);
      if (!services) byRule.set(alert.alertname, [it]);
      else if (services.at(-1) !== it) services.push(it);
    }
  }
  const telling = seen.filter(
    ({ candidate: c }) => c.calledIn.length > 0 || c.alerts.some((a) => kinds.get(a) !== 'traffic'),
  );
  return {
    mentioned,
    symptomatic: telling.length > 0 ? telling : seen,
    byRule,
    rulesOf,
    traffic,
    kinds,
    trust: mentioned.reduce((max, c) => Math.max(max, mostTrusted(c)), leastTrust),
    widest: 0,
    calls,
    errors,
  };
}

function alertSignals(c: Candidate, view: View, input: CausesInput): void {
  const { signals } = c;
  const above: Candidate[] = [];
  const below: Candidate[] = [];
  let others = 0;
  for (const { candidate: o, down, up } of view.symptomatic) {
    if (o === c) continue;
    others += 1;
    if (down.has(c.service)) above.push(o);
    if (up.has(c.service)) below.push(o);
  }
  c.dependents = above.map((o) => o.service);
  c.dependencies = below.map((o) => o.service);
  const named = c.alerts.length + c.calledIn.length > 0;
  const kinds = c.alerts.map((a) => view.kinds.get(a) ?? 'other');
  const out = c.alerts.filter((a) => a.destination !== null && a.destination !== a.service).length;

  // A lone resource alert beside the story proves nothing; it counts as far as its service is part of the story otherwise.
  const shown = c.calledIn.length > 0 || kinds.some((k) => k !== 'resource') || view.mentioned.length === 1;
  const confirmed = shown ? 1 : above.length > 0 ? unconfirmed : 0;
  signals.resource = c.resourceAlert ? (trust(c.resourceAlert) / view.trust) * confirmed : 0;
  const believed = mostTrusted(c);
  signals.doubt = named ? 1 - believed / view.trust : 0;
  signals.calledBySymptoms = view.calls > 0 ? (c.calledIn.length - out) / view.calls : 0;
  signals.depth = others > 0 ? (above.length - below.length) / others : 0;
  signals.ruleDepth = ruleDepth(c, view);
  signals.passedOn = passedOn(c, view, input.graph);
  signals.coverage =
    view.symptomatic.length > 0
      ? (above.length + (others < view.symptomatic.length ? 1 : 0)) / view.symptomatic.length
      : 0;
  signals.ownAlerts = input.alerts.length > 0 ? (c.alerts.length - out) / input.alerts.length : 0;
  signals.errors = view.errors > 0 && kinds.includes('errors') ? 1 : 0;
  signals.trafficOnly = kinds.length > 0 && c.calledIn.length === 0 && kinds.every((k) => k === 'traffic') ? 1 : 0;
  signals.commonCaller = commonCaller(c, view, input.graph);
  const silent = !named && !fronted(c, view, input.graph);
  signals.silent = silent ? 1 : 0;
  if (!named && view.widest > 0) signals.silentReach = input.graph.callees(c.service, c.namespace).length / view.widest;
  signals.sharedCallee = !named && view.symptomatic.length > 1 && above.length === view.symptomatic.length ? 1 : 0;
  signals.proxy = isProxy(c.service) ? 1 : 0;
  if (named) leads(c, view, input);
}

/**
 * Whether in past incidents its alerts began before those of the others that alert now: mean of (before − after) / (before +
 * after + 2), −1..1, nothing known being 0. The pair that says most is kept for the explanation.
 */
function leads(c: Candidate, view: View, { precedence }: CausesInput): void {
  if (!precedence) return;
  let sum = 0;
  let others = 0;
  for (const { candidate: o } of view.symptomatic) {
    if (o === c) continue;
    others += 1;
    const past = precedence(c, o);
    if (!past) continue;
    sum += (past.before - past.after) / (past.before + past.after + 2);
    if (!c.led || past.before + past.after > c.led.before + c.led.after) c.led = { service: o.service, ...past };
  }
  if (others > 0) c.signals.leads = sum / others;
}

/** Depth among the services with the same rule, each rule by the share of services it spans: like is compared with like. */
function ruleDepth(c: Candidate, view: View): number {
  let sum = 0;
  let total = 0;
  for (const [rule, services] of view.byRule) {
    if (services.length < 2 || view.traffic.has(rule)) continue;
    total += services.length;
    let depth = 0;
    let has = false;
    for (const { candidate: o, down, up } of services) {
      if (o === c) has = true;
      else depth += Number(down.has(c.service)) - Number(up.has(c.service));
    }
    if (has) sum += services.length * (depth / (services.length - 1));
  }
  return total > 0 ? sum / total : 0;
}

/**
 * Whether trouble is seen to pass from here to a direct caller: 1 when a caller has the same rule or an alert on the call, −1
 * when callers alert, but of other things, 0 when none of them alerts. A rule that only this service has (PostgresDown) cannot
 * be shared by its callers: that they alert of other things is no evidence then.
 */
function passedOn(c: Candidate, view: View, graph: ServiceGraph): number {
  if (c.calledIn.length > 0) return 1;
  const own = view.rulesOf.get(c.key);
  if (!own || own.size === 0) return 0;
  let alerting = false;
  for (const caller of graph.callers(c.service, c.namespace).slice(0, mostNeighbours)) {
    const rules = view.rulesOf.get(keyOf(c.namespace, caller));
    if (!rules || rules.size === 0) continue;
    alerting = true;
    for (const rule of own) if (rules.has(rule)) return 1;
  }
  return alerting && [...own].some((rule) => view.byRule.get(rule)!.length > 1) ? -1 : 0;
}

/** Whether a proxy that stands before it alerts, which is as good as an alert of its own. */
const fronted = (c: Candidate, { rulesOf }: View, graph: ServiceGraph): boolean =>
  graph
    .callers(c.service, c.namespace)
    .slice(0, mostNeighbours)
    .some((caller) => isProxy(caller) && (rulesOf.get(keyOf(c.namespace, caller))?.size ?? 0) > 0);

/** Share of a rule's services that this one calls directly, when there are two or more: siblings fail through their caller. */
function commonCaller(c: Candidate, view: View, graph: ServiceGraph): number {
  const called = new Set(graph.callees(c.service, c.namespace).slice(0, mostNeighbours));
  let best = 0;
  for (const services of view.byRule.values()) {
    if (services.length < 2) continue;
    const hit = services.filter(({ candidate: o }) => called.has(o.service)).length;
    if (hit >= 2) best = Math.max(best, hit / services.length);
  }
  return best;
}

type Near = (service: string, namespace: string | null) => Candidate | null;

/** The candidate for a service that another source speaks of, if it is one, or calls or is called around the alerts. */
function neighbourhood(
  mentioned: Candidate[],
  view: View,
  { graph }: CausesInput,
  reach: Reach,
  add: (namespace: string | null, service: string) => Candidate | null,
): Near {
  const surroundings = new Map<Candidate, ReadonlySet<string>>();
  /** What a service reaches, who calls it, and what those call: where a silent root may be. */
  const around = (c: Candidate): ReadonlySet<string> => {
    const known = surroundings.get(c);
    if (known) return known;
    const set = new Set(reach.down(c.service, c.namespace).keys());
    let calls = 0;
    for (const caller of graph.callers(c.service, c.namespace).slice(0, mostNeighbours)) {
      if (set.size >= mostAround || calls >= mostCalls) break;
      set.add(caller);
      for (const sibling of graph.callees(caller, c.namespace)) {
        calls += 1;
        if (set.size >= mostAround || calls >= mostCalls) break;
        set.add(sibling);
      }
    }
    surroundings.set(c, set);
    return set;
  };
  return (service, namespace) => {
    const fits = (c: Candidate): boolean => namespace === null || c.namespace === null || c.namespace === namespace;
    const known = mentioned.find((c) => c.service === service && fits(c));
    if (known) return known;
    const beside = view.mentioned.find((c) => fits(c) && around(c).has(service));
    return beside ? add(beside.namespace, service) : null;
  };
}

function addDeploys(input: CausesInput, model: CausesModel, near: Near): void {
  for (const deploy of input.deploys) {
    const leadMs = input.startedAt - deploy.startedAt;
    if (leadMs < -60_000 || leadMs > model.deployWindowMs) continue;
    const weight = 2 ** (-Math.max(0, leadMs) / model.deployHalfLifeMs);
    const candidate = near(deploy.service, null);
    if (candidate && weight > (candidate.deploy?.weight ?? 0)) candidate.deploy = { deploy, leadMs, weight };
  }
}

const clip = (x: number): number => Math.max(-1, Math.min(1, x));
