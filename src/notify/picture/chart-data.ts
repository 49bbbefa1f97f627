import { createHash } from 'node:crypto';
import type { Incident } from '../../domain/incident.ts';
import { metricsOf, trendOf } from '../metric-words.ts';
import { plain } from '../text.ts';
import { type Unit, unitOf } from '../unit.ts';

/**
 * What a picture of an incident shows. Times are epoch ms; values are in the series' own unit. Points are in time order;
 * one that is no finite number is a gap in the line.
 */
export type ChartData = {
  title: string;
  /** The second line: the value against its limit, in words. */
  caption: string;
  unit: Unit | null;
  points: readonly (readonly [at: number, value: number])[];
  threshold: { value: number; operator: string } | null;
  /** When the fault really began, or null when that is not known. */
  onsetAt: number | null;
  /** What the series would have been without the fault, from a detector; empty when there is none. */
  expected: readonly (readonly [at: number, low: number, high: number])[];
  deploys: readonly { at: number; label: string }[];
};

/** At most so many points are drawn: Prometheus itself gives no more than 11,000. */
const mostPoints = 11_000;
/** Where the onset is not known, the expected range is drawn over this last share of the picture. */
const lastShare = 0.25;

/** The chart of an incident from what its document holds, or null when there is nothing to plot. Pure. */
export function chartDataOf(incident: Incident): ChartData | null {
  const metrics = metricsOf(incident);
  if (!metrics?.plot) return null;
  const { start, step, values } = metrics.plot;
  const points = values
    .slice(-mostPoints)
    .map((value, index): [number, number] => [
      (start + (Math.max(0, values.length - mostPoints) + index) * step) * 1000,
      value ?? Number.NaN,
    ]);
  if (points.filter(([, value]) => Number.isFinite(value)).length < 2) return null;
  const [from, to] = [points[0]![0], points.at(-1)![0]];
  const onsetAt = metrics.onsetAt === null ? null : Date.parse(metrics.onsetAt);
  // The detector says what it expected now, not what it expected an hour ago.
  const expectedFrom = Math.max(from, onsetAt ?? to - (to - from) * lastShare);
  const range = metrics.anomaly?.expected ?? null;
  return {
    title: incident.title,
    caption: trendOf(metrics) ?? '',
    unit: unitOf(metrics.expression),
    points,
    threshold:
      metrics.threshold === null || metrics.operator === null
        ? null
        : { value: metrics.threshold, operator: metrics.operator },
    onsetAt,
    expected:
      range && expectedFrom < to
        ? [
            [expectedFrom, range.low, range.high],
            [to, range.low, range.high],
          ]
        : [],
    deploys: [...incident.deploys]
      .sort((a, b) => b.suspicion - a.suspicion)
      .slice(0, 3)
      .map((deploy) => ({
        at: Date.parse(deploy.startedAt),
        label: `deploy ${plain(deploy.version ?? deploy.commit?.slice(0, 8) ?? deploy.service, 16)}`,
      })),
  };
}

/**
 * Names what a picture is about. While it stays the same, the picture a message has is good enough; another series or limit,
 * a rise in severity, an onset or a top deploy learned later are worth a new one. Null when there is nothing to plot.
 */
export function pictureTopic(incident: Incident): string | null {
  const metrics = metricsOf(incident);
  if (!metrics || chartDataOf(incident) === null) return null;
  const [deploy] = [...incident.deploys].sort((a, b) => b.suspicion - a.suspicion);
  const about = [
    metrics.server,
    metrics.expression,
    metrics.labels,
    metrics.threshold,
    metrics.onsetAt,
    incident.severity,
    deploy?.id ?? null,
  ];
  return createHash('sha256').update(JSON.stringify(about)).digest('base64url').slice(0, 16);
}

/** The picture in words, for those who cannot see it or whose client does not show it. */
export const altOf = (data: ChartData): string => plain(`Chart of ${data.title}: ${data.caption}`, 400);
