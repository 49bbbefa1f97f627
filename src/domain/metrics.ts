import { z } from 'zod';

const time = z.iso.datetime({ offset: true });

/** A regular series: value i belongs to `start + i * step` (Unix seconds); null where there was none. */
export const PlotSeries = z.object({ start: z.number(), step: z.number(), values: z.array(z.number().nullable()) });
export type PlotSeries = z.infer<typeof PlotSeries>;

/** How unusual a series is around the onset, by the causal detector. */
const Anomaly = z.object({
  /** Strength 0..1 of the strongest point; from 0.5 on it is an anomaly. */
  score: z.number(),
  /** spike, drop, rapid-change, level-shift, flat-line; null below 0.5. */
  type: z.string().nullable(),
  expected: z.object({ low: z.number(), high: z.number() }).nullable(),
  /** When the series became anomalous. */
  onsetAt: time.nullish(),
  text: z.string(),
});

/**
 * What a Prometheus says of the lead alert, under `incident.metrics.prometheus`. Numbers that JSON cannot hold (NaN, ±Inf)
 * are null, and `text` says them.
 */
export const LeadMetrics = z.object({
  /** The configured server's name. */
  server: z.string(),
  /** The alert's expression without its comparison, and what it is compared with. */
  expression: z.string(),
  operator: z.enum(['>', '>=', '<', '<=', '==', '!=']).nullable(),
  threshold: z.number().nullable(),
  /** The labels of the alert's own series. */
  labels: z.record(z.string(), z.string()),
  value: z.number().nullable(),
  valueAt: time,
  /** When the condition began: `startsAt` less the rule's `for`; null when the rule is not known. */
  onsetAt: time.nullable(),
  valueAtOnset: z.number().nullable(),
  /** How far the value is beyond the threshold, in its own unit and as a share of it; negative: back within. */
  distance: z.number().nullable(),
  distanceRatio: z.number().nullable(),
  trend: z
    .object({
      direction: z.enum(['rising', 'falling', 'steady']),
      slopePerMinute: z.number(),
      overMinutes: z.number(),
    })
    .nullable(),
  /** How many series of the rule are beyond the threshold now, of how many. */
  seriesBeyond: z.number().int().nullable(),
  seriesTotal: z.number().int().nullable(),
  plot: PlotSeries.nullable(),
  /** Of the plotted series, when it was judged. */
  anomaly: Anomaly.nullable(),
  /** Of the alerting services, now and as the median of the hour before the onset. */
  goldenSignals: z.array(
    z.object({
      service: z.string(),
      name: z.string(),
      value: z.number(),
      before: z.number().nullable(),
      /** Where its query says it beyond doubt. */
      unit: z.enum(['seconds', 'bytes', 'ratio']).nullish(),
      /** Null or absent where it was not judged in time. */
      anomaly: Anomaly.nullish(),
    }),
  ),
  /** Targets of the alert that cannot be scraped, with Prometheus' own words. */
  targetsDown: z.array(z.object({ job: z.string(), instance: z.string(), lastError: z.string().nullable() })),
  text: z.string(),
});
export type LeadMetrics = z.infer<typeof LeadMetrics>;

const WorkloadRef = z.object({
  namespace: z.string(),
  kind: z.string(),
  name: z.string(),
  /** All of its pods, wherever they are; null when not known. */
  pods: z.number().int().nullable(),
});

const PodPlace = z.object({
  namespace: z.string(),
  pod: z.string(),
  node: z.string().nullable(),
  workload: WorkloadRef.nullable(),
});
export type PodPlace = z.infer<typeof PodPlace>;

/** A node, and the workloads that lose most with it; `here` is how many of their pods it has. */
const NodePlace = z.object({
  node: z.string(),
  pods: z.number().int(),
  workloads: z.number().int(),
  hit: z.array(WorkloadRef.extend({ here: z.number().int() })),
});
export type NodePlace = z.infer<typeof NodePlace>;

/** Where the pods and nodes that an incident's alerts name belong, under `incident.metrics.places`. */
export const Places = z.object({
  pods: z.array(PodPlace),
  nodes: z.array(NodePlace),
  /** Conditions of these nodes that are not as they should be: NotReady, MemoryPressure, … */
  unwell: z.array(z.object({ node: z.string(), condition: z.string() })),
  /** One line for a message; empty when it says nothing that the alert does not. */
  text: z.string(),
});
export type Places = z.infer<typeof Places>;
