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
  /** The usual value before the onset and the worst one since, in the metric's own unit, when known. */
  from?: number;
  to?: number;
  text: string;
};

/** The windows that burn rates are asked for. */
export const burnWindows = ['5m', '30m', '1h', '6h', '3d'] as const;

/** How many times faster than its objective allows a service spends its error budget, by window; null: no data there. */
export type BurnRates = {
  rates: Record<(typeof burnWindows)[number], number | null>;
  /** Share of the budget that the objective's own window still has, below 0 when overspent; null when not known. */
  budgetLeft: number | null;
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
  /** Which other services had an alert in past incidents of this rule and service: in how many of `incidents` each. */
  spread: { incidents: number; services: Record<string, number> } | null;
  /** People who use a service now, by service, where its query was answered; null: it gave no figure. */
  users: Record<string, number | null>;
  /** By service, where the errors of its objective were asked for and something came. */
  burn: Record<string, BurnRates>;
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
  spread: null,
  users: {},
  burn: {},
  serviceMetrics: [],
  lead: {},
  firstEver: null,
  degraded: [],
});
