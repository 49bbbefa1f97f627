import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { RootCause } from '../../domain/incident.ts';
import type { Stream } from './streams.ts';

export type Figures = { ARI: number; P: number; R: number; F1: number };
export type Ranks = { n: number; top1: number; top3: number; avg5: number };
export type Score = {
  all: Figures;
  fault: Figures;
  alertsPerIncident: number;
  rootCause: { any: Ranks; rootAlerting: Ranks };
};
type ScorerInput = { assignments: Map<string, string>; services: Map<string, string[]>; suppressed: Set<string> };
type Baselines = {
  correlation: Record<string, { all: Figures; fault: Figures }>;
  rootCause: Record<string, Record<string, { any: Ranks }>>;
};

export type Scorer = {
  score(stream: Stream, assignments: Map<string, string>, causes: Map<string, RootCause[]>): Score;
  baselines(stream: Stream): Baselines;
};

/** The shared scorer, imported as it is: its figures are the ones that count. */
export async function loadScorer(shared: string): Promise<Scorer> {
  const module = await import(pathToFileURL(join(shared, 'bench', 'score-streams.mjs')).href);
  const score = module.score as (truth: unknown, input: ScorerInput) => Score;
  return {
    score(stream, assignments, causes) {
      const services = new Map([...causes].map(([id, list]) => [id, [...new Set(list.map((c) => c.service))]]));
      return score(stream.truth, { assignments, services, suppressed: new Set() });
    },
    baselines(stream) {
      const node = (namespace: unknown, service: string): string => JSON.stringify([namespace, service]);
      const graph = new Map<string, Set<string>>();
      for (const e of stream.topology.edges) {
        const key = node(e.namespace, e.caller);
        if (!graph.has(key)) graph.set(key, new Set());
        graph.get(key)!.add(node(e.namespace, e.callee));
      }
      const alerts = stream.episodes
        .map((e) => ({ id: e.id, t: e.startsAt, labels: e.labels }))
        .sort((a, b) => a.t - b.t || (a.id < b.id ? -1 : 1));
      return module.baselines(stream.truth, { alerts, graph }) as Baselines;
    },
  };
}
