import type { ServiceGraph } from '../correlate/types.ts';
import type { Alert } from '../domain/alert.ts';
import type { Deploy } from '../domain/deploy.ts';
import type { IncidentDeploy } from '../domain/incident.ts';
import { environmentOf } from '../receive/deploys/dedupe.ts';

const MINUTE = 60_000;

/**
 * How suspicion is weighed. Reasoned first, then moved where `bench/deploys.ts --fit` found better on its fit seeds; what
 * they reach on held-out seeds stands in bench/README.md.
 */
export const deployWeights = {
  /** How far back a deploy is looked at. Gandalf (NSDI'20) looks at an hour for fast rollouts. */
  windowMs: 60 * MINUTE,
  /** A deploy so long before the onset is as suspicious as one right before: rollouts and alert rules take this long. */
  plateauMs: 5 * MINUTE,
  halfLifeMs: 20 * MINUTE,
  /** Onsets are known to about the rule's evaluation interval; a deploy so little later may still be the cause. */
  jitterMs: MINUTE,
  /** By calls from an alerting service to the deployed one: itself, what it calls, what that calls. */
  byHops: [1, 0.6, 0.32],
  /** A deploy of a caller of the alerting services: it may ask them for more than before. */
  caller: 0.3,
  /** The share of alerting services that the deployed one reaches (itself and who depends on it), to this power. */
  coverage: 0.85,
  /** The deployed service alerts too, but so late that suspicion halves. */
  lateHalfLifeMs: 4 * MINUTE,
  /** The deployed service has no alert of its own while others have. */
  silent: 0.7,
  /** From here on a deploy is told as a suspect; below, it only happened. */
  suspect: 0.22,
  /** And only with at least this share of the most suspicious one's: one change explains, the rest was there too. */
  rival: 0.7,
};
export type DeployWeights = typeof deployWeights;

const SHOWN = 5;
/** Who depends on a service is followed so far; most of a graph is nobody's cause. */
const DEPENDENTS = { deep: 6, most: 500 };
const environmentLabels = ['environment', 'env', 'stage'];

export type DeploySuspects = {
  deploys: readonly Deploy[];
  /** The incident's alerts. */
  alerts: readonly Pick<Alert, 'service' | 'namespace' | 'cluster' | 'labels' | 'startsAt'>[];
  /** Services of an incident without alerts: declared by hand. */
  declared: readonly { service: string; namespace: string | null }[];
  graph: ServiceGraph;
  /** Epoch ms. */
  startedAt: number;
};

/**
 * The deploys that may have to do with an incident, most suspicious first: decay of the time before the onset × distance in
 * the service graph (calls, and the share of the alerting services that depend on it) × onset order. `suspicion` is 0..1, a
 * weight and not a probability; `suspect` says whether it is enough to name the deploy to people. What went to another
 * environment or cluster than the alerts are from is not among them.
 */
export function suspectDeploys(given: DeploySuspects, weights: DeployWeights = deployWeights): IncidentDeploy[] {
  const { startedAt } = given;
  const recent = given.deploys.filter(({ startedAt: at }) => Math.abs(startedAt - at) <= weights.windowMs);
  if (recent.length === 0) return [];
  const story = storyOf(given);
  const distances = distancesIn(story, given.graph, weights);
  const found = recent.flatMap((deploy) => {
    const near = distances.get(deploy.service.toLowerCase());
    if (!near || near.onset - deploy.startedAt < -weights.jitterMs || elsewhere(deploy, story)) return [];
    const suspicion = decay(deploy, near.onset, weights) * near.weight * near.covered ** weights.coverage * near.order;
    return [{ deploy, suspicion: Math.round(suspicion * 1000) / 1000 }];
  });
  found.sort((a, b) => b.suspicion - a.suspicion || (a.deploy.id < b.deploy.id ? -1 : 1));
  const least = Math.max(weights.suspect, weights.rival * (found[0]?.suspicion ?? 0));
  return found.slice(0, SHOWN).map(({ deploy, suspicion }) => shown(deploy, startedAt, suspicion, suspicion >= least));
}

function shown(deploy: Deploy, startedAt: number, suspicion: number, suspect: boolean): IncidentDeploy {
  const { id, service, version, previousVersion, author, commit, url, rollback } = deploy;
  return {
    id,
    service,
    version,
    previousVersion,
    startedAt: new Date(deploy.startedAt).toISOString(),
    author,
    commit,
    url,
    rollback,
    leadSeconds: Math.round((startedAt - deploy.startedAt) / 1000),
    suspicion,
    suspect,
  };
}

/** A roll-out that was still under way at the onset had no time to be innocent; one that is over counts from its end. */
function decay({ startedAt: from, finishedAt }: Deploy, onset: number, weights: DeployWeights): number {
  const until = Math.max(from, Math.min(finishedAt ?? from, onset));
  return 2 ** (-Math.max(0, onset - until - weights.plateauMs) / weights.halfLifeMs);
}

/** The deploys that went where these alerts are from; the ranking of causes looks at no other. */
export function deploysHere(deploys: readonly Deploy[], alerts: DeploySuspects['alerts']): Deploy[] {
  if (deploys.length === 0) return [];
  const whence = whenceOf(alerts);
  return deploys.filter((deploy) => !elsewhere(deploy, whence));
}

type Whence = { clusters: Set<string>; environments: Set<string> };
type Place = { service: string; namespace: string | null; firstAt: number };
type Story = Whence & { places: Map<string, Place>; firstAt: number };

function whenceOf(alerts: DeploySuspects['alerts']): Whence {
  const [clusters, environments] = [new Set<string>(), new Set<string>()];
  for (const { cluster, labels } of alerts) {
    if (cluster !== null) clusters.add(cluster.toLowerCase());
    for (const name of environmentLabels) if (labels[name]) environments.add(environmentOf(labels[name]));
  }
  return { clusters, environments };
}

/** Services that alert, each with its first alert; where they are. */
function storyOf({ alerts, declared, startedAt }: DeploySuspects): Story {
  const places = new Map<string, Place>();
  for (const { service, namespace, startsAt } of alerts) {
    if (service === null) continue;
    const key = service.toLowerCase();
    const known = places.get(key);
    if (!known) places.set(key, { service, namespace, firstAt: startsAt });
    else if (startsAt < known.firstAt) known.firstAt = startsAt;
  }
  if (places.size === 0)
    for (const { service, namespace } of declared)
      places.set(service.toLowerCase(), { service, namespace, firstAt: startedAt });
  let firstAt = Number.POSITIVE_INFINITY;
  for (const place of places.values()) firstAt = Math.min(firstAt, place.firstAt);
  return { ...whenceOf(alerts), places, firstAt };
}

/** It went to a place that none of the alerts is from; where either side does not say, nothing speaks against it. */
function elsewhere({ environment, cluster }: Deploy, { clusters, environments }: Whence): boolean {
  if (cluster !== null && clusters.size > 0 && !clusters.has(cluster.toLowerCase())) return true;
  return environment !== null && environments.size > 0 && !environments.has(environmentOf(environment));
}

/** `onset`: the first alert that a fault there explains, epoch ms. */
type Near = { weight: number; covered: number; order: number; onset: number };

/** By service, how near it is to what alerts: itself, what it calls (two calls deep), and who calls it. */
function distancesIn(story: Story, graph: ServiceGraph, weights: DeployWeights): Map<string, Near> {
  const found = new Map<string, Near>();
  const add = (service: string, namespace: string | null, weight: number, dependents: boolean): void => {
    const own = story.places.get(service.toLowerCase());
    const { share, onset } = reachOf(service, namespace, story, graph, dependents);
    const late = own ? 2 ** (-(own.firstAt - story.firstAt) / weights.lateHalfLifeMs) : 1;
    const order = own ? late : dependents ? weights.silent : 1;
    found.set(service.toLowerCase(), { weight, covered: share, order, onset });
  };
  let frontier: { service: string; namespace: string | null }[] = [...story.places.values()];
  for (const weight of weights.byHops) {
    const next: typeof frontier = [];
    for (const { service, namespace } of frontier) {
      if (found.has(service.toLowerCase())) continue;
      add(service, namespace, weight, true);
      for (const callee of graph.callees(service, namespace)) next.push({ service: callee, namespace });
    }
    frontier = next;
  }
  for (const { service, namespace } of story.places.values()) {
    for (const caller of graph.callers(service, namespace))
      if (!found.has(caller.toLowerCase())) add(caller, namespace, weights.caller, false);
  }
  return found;
}

/**
 * Of the alerting services that the graph knows, the share that a fault of this one reaches (those that call it, however
 * far up, or for a caller those that it calls), and when the first of them alerted. All of them where the graph knows too
 * little to say.
 */
function reachOf(
  service: string,
  namespace: string | null,
  story: Story,
  graph: ServiceGraph,
  dependents: boolean,
): { share: number; onset: number } {
  const own = story.places.get(service.toLowerCase());
  if (!graph.has(service, namespace)) return { share: 1, onset: own?.firstAt ?? story.firstAt };
  const reached = new Set([service.toLowerCase()]);
  let frontier = [service];
  for (let depth = 0; depth < DEPENDENTS.deep && frontier.length > 0 && reached.size < DEPENDENTS.most; depth += 1) {
    const next: string[] = [];
    for (const one of frontier) {
      for (const other of dependents ? graph.callers(one, namespace) : graph.callees(one, namespace)) {
        if (reached.has(other.toLowerCase())) continue;
        reached.add(other.toLowerCase());
        next.push(other);
      }
    }
    frontier = next;
  }
  let known = 0;
  let hit = 0;
  let onset = Number.POSITIVE_INFINITY;
  for (const [key, place] of story.places) {
    if (!graph.has(place.service, place.namespace)) continue;
    known += 1;
    if (!reached.has(key)) continue;
    hit += 1;
    onset = Math.min(onset, place.firstAt);
  }
  return hit === 0 ? { share: known === 0 ? 1 : 0, onset: story.firstAt } : { share: hit / known, onset };
}
