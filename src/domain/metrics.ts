import { z } from 'zod';

const time = z.iso.datetime({ offset: true });

/** A regular series: value i belongs to `start + i * step` (Unix seconds); null where there was none. */
export const PlotSeries = z.object({ start: z.number(), step: z.number(), values: z.array(z.number().nullable()) });
export type PlotSeries = z.infer<typeof PlotSeries>;

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
  /** Strength 0..1 of the anomaly in the plotted series, when it was judged. */
  anomaly: z
    .object({
      score: z.number(),
      type: z.string().nullable(),
      expected: z.object({ low: z.number(), high: z.number() }).nullable(),
      text: z.string(),
    })
    .nullable(),
  goldenSignals: z.array(
    z.object({ service: z.string(), name: z.string(), value: z.number(), before: z.number().nullable() }),
  ),
  /** Targets of the alert that cannot be scraped, with Prometheus' own words. */
  targetsDown: z.array(z.object({ job: z.string(), instance: z.string(), lastError: z.string().nullable() })),
  text: z.string(),
});
export type LeadMetrics = z.infer<typeof LeadMetrics>;
