import { z } from 'zod';

/**
 * What Prometheus says about the lead alert's own series; `incident.metrics.prometheus`. Values are in the series' own unit.
 * Times inside the series are epoch ms (240 points as RFC 3339 would be three times the size); NaN and infinities are null.
 */
export const LeadMetrics = z.looseObject({
  /** The configured server that was asked. */
  server: z.string(),
  /** What is compared, without the comparison. */
  expr: z.string(),
  value: z.number().nullable(),
  /** The value when the fault began, and when that was. */
  onsetValue: z.number().nullish(),
  onsetAt: z.iso.datetime({ offset: true }).nullable(),
  threshold: z.number().nullable(),
  operator: z.enum(['>', '>=', '<', '<=', '==', '!=']).nullable(),
  /** `ratio`, `percent`, `seconds`, `bytes`, or whatever the series' name says; null for a plain number. */
  unit: z.string().nullish(),
  /** `perMinute`: slope of the recent past in units a minute. */
  trend: z.object({ direction: z.enum(['rising', 'falling', 'steady']), perMinute: z.number() }).nullish(),
  /** How many series are beyond the threshold, of how many. */
  series: z.object({ over: z.number().int(), of: z.number().int() }).nullish(),
  /** For the plot, in time order. */
  range: z.array(z.tuple([z.number(), z.number().nullable()])),
  /** What a detector expected: time, low, high. */
  expected: z.array(z.tuple([z.number(), z.number(), z.number()])).nullish(),
});
export type LeadMetrics = z.infer<typeof LeadMetrics>;
