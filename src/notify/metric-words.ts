import type { Incident } from '../domain/incident.ts';
import { LeadMetrics } from '../domain/metrics.ts';
import { figure } from './figures.ts';
import { plain } from './text.ts';
import { type Unit, unitOf } from './unit.ts';

/** What Prometheus said of the lead alert's series, or null when it said nothing. */
export function metricsOf(incident: Pick<Incident, 'metrics'>): LeadMetrics | null {
  const read = LeadMetrics.safeParse(incident.metrics.prometheus);
  return read.success ? read.data : null;
}

const beyond: Record<NonNullable<LeadMetrics['operator']>, (value: number, limit: number) => boolean> = {
  '>': (value, limit) => value > limit,
  '>=': (value, limit) => value >= limit,
  '<': (value, limit) => value < limit,
  '<=': (value, limit) => value <= limit,
  '==': (value, limit) => value === limit,
  '!=': (value, limit) => value !== limit,
};

/** `2.5 times the limit of 5 %`, `below the limit of 1`, `back within the limit of 5 %`. */
function limitOf(value: number, { threshold, operator }: LeadMetrics, unit: Unit | null): string | null {
  if (threshold === null || operator === null) return null;
  const limit = figure(threshold, unit);
  if (operator === '==' || operator === '!=') return `fires ${operator === '==' ? 'at' : 'unless'} ${limit}`;
  const upper = operator === '>' || operator === '>=';
  if (!beyond[operator](value, threshold)) return `back within the limit of ${limit}`;
  const times = threshold > 0 ? value / threshold : Number.NaN;
  if (upper && times >= 1.5)
    return `${times >= 100 ? 'over 100' : Number(times.toPrecision(2))} times the limit of ${limit}`;
  return `${upper ? 'above' : 'below'} the limit of ${limit}`;
}

/** `getting worse, +1.1 % a minute`: better or worse is what a reader asks, not up or down. */
function directionOf({ trend, operator }: LeadMetrics, unit: Unit | null): string | null {
  if (!trend) return null;
  if (trend.direction === 'steady') return 'steady';
  const rising = trend.direction === 'rising';
  const slope = `${rising ? '+' : '−'}${figure(Math.abs(trend.slopePerMinute), unit)} a minute`;
  if (operator === null || operator === '==' || operator === '!=') return `${trend.direction}, ${slope}`;
  const upper = operator === '>' || operator === '>=';
  return `${rising === upper ? 'getting worse' : 'getting better'}, ${slope}`;
}

/**
 * The value against its limit and where it is going, in one line:
 * `12.4 %, 2.5 times the limit of 5 %, getting worse, +1.1 % a minute`. A value that is no number is said in the source's words.
 */
export function trendOf(metrics: LeadMetrics): string | null {
  const { value, seriesBeyond, seriesTotal } = metrics;
  if (value === null) return plain(metrics.text, 300) || null;
  const unit = unitOf(metrics.expression);
  const parts = [
    figure(value, unit),
    limitOf(value, metrics, unit),
    directionOf(metrics, unit),
    seriesBeyond !== null && seriesBeyond > 1 && seriesTotal !== null
      ? `${seriesBeyond} of ${seriesTotal} series beyond it`
      : null,
  ];
  return plain(parts.filter((part) => part !== null).join(', '), 300);
}
