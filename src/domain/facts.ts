import type { Deploy } from './deploy.ts';
import type { SimilarIncident } from './incident.ts';
import type { Degraded } from './reason.ts';

/** Anomaly strength of one service's series around the onset; what root cause ranking may use of metrics. */
export type ServiceMetric = {
  service: string;
  namespace: string | null;
  metric: string;
  /** 0..1, from the causal detector or a robust z-score. */
  score: number;
  type: string | null;
  /** Epoch ms at which the series left its expected range, or null. */
  onsetAt: number | null;
  deviation: number | null;
  text: string;
};

/**
 * What the sources gave for one incident revision before the deadline. Every source that failed or was late is named in
 * `degraded`; one that is not configured is simply absent.
 */
export type Facts = {
  deploys: Deploy[];
  similar: SimilarIncident[];
  /** Seconds past incidents like this one took, with the number they rest on. */
  duration: { p50: number; p90: number; basis: string } | null;
  serviceMetrics: ServiceMetric[];
  /** Facts about the lead alert's own series, as shown in `incident.metrics`. */
  lead: Record<string, unknown>;
  firstEver: boolean | null;
  degraded: Degraded[];
};

export const noFacts = (): Facts => ({
  deploys: [],
  similar: [],
  duration: null,
  serviceMetrics: [],
  lead: {},
  firstEver: null,
  degraded: [],
});
