import type { LeadMetrics } from '../../domain/metrics.ts';
import { hasArithmetic, metricsIn } from './expression.ts';

type Unit = 'seconds' | 'bytes' | 'percent' | null;

/** What a number of an expression is called, and its unit: only where one metric says it and nothing is computed with it. */
export function nameOf(expression: string): { name: string; unit: Unit } {
  const metrics = metricsIn(expression);
  if (metrics.length !== 1 || hasArithmetic(expression)) return { name: 'value', unit: null };
  const metric = metrics[0]!;
  const counted = /\b(count|count_values|rate|irate|increase|absent|absent_over_time|changes|resets|deriv)\s*\(/.test(
    expression,
  );
  const stem = metric.replace(/_(bucket|total)$/, '');
  const unit: Unit = /_seconds$/.test(stem)
    ? 'seconds'
    : /_bytes$/.test(stem)
      ? 'bytes'
      : /_percent(age)?$/.test(stem)
        ? 'percent'
        : null;
  const plain = !counted || /histogram_quantile\s*\(/.test(expression);
  const name = stem.replace(/^.*:/, '').replaceAll('_', ' ').trim().slice(0, 60) || 'value';
  return { name, unit: plain ? unit : null };
}

const binary = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `0.12`, `1.2 GiB`, `350 ms`, `97.5 %`, `+Inf`, always in three digits and the same in every locale. */
export function inUnit(value: number, unit: Unit): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  const size = Math.abs(value);
  if (unit === 'percent') return `${short(value)} %`;
  if (unit === 'bytes') {
    const power = size < 1 ? 0 : Math.min(binary.length - 1, Math.floor(Math.log2(size) / 10));
    return `${short(value / 1024 ** power)} ${binary[power]}`;
  }
  if (unit === 'seconds') {
    if (size >= 7_200) return `${short(value / 3600)} h`;
    return size !== 0 && size < 1 ? `${short(value * 1000)} ms` : `${short(value)} s`;
  }
  return short(value);
}

const short = (value: number): string => String(Number(value.toPrecision(3)));

type Told = Pick<
  LeadMetrics,
  'expression' | 'operator' | 'threshold' | 'trend' | 'seriesBeyond' | 'seriesTotal' | 'targetsDown' | 'anomaly'
> & { raw: number };

/** One line for the message: `error rate 0.12 (threshold 0.05), rising 0.004/min; 3 of 12 series are beyond it`. */
export function leadText(told: Told): string {
  const { name, unit } = nameOf(told.expression);
  const compared = told.operator === '==' || told.operator === '!=' ? `${told.operator} ` : '';
  const threshold = told.threshold === null ? '' : ` (threshold ${compared}${inUnit(told.threshold, unit)})`;
  const parts = [`${name} ${inUnit(told.raw, unit)}${threshold}${trendText(told, unit)}`];
  if (told.seriesTotal !== null && told.seriesBeyond !== null && told.seriesTotal > 1)
    parts.push(`${told.seriesBeyond} of ${told.seriesTotal} series are beyond it`);
  if (told.anomaly && told.anomaly.score >= 0.5) parts.push(told.anomaly.text);
  parts.push(...targetsText(told.targetsDown));
  return parts.join('; ').slice(0, 400);
}

const trendText = ({ trend }: Told, unit: Unit): string => {
  if (!trend) return '';
  if (trend.direction === 'steady') return ', steady';
  return `, ${trend.direction} ${inUnit(Math.abs(trend.slopePerMinute), unit)}/min`;
};

/** What is said of targets that cannot be scraped. */
export const targetsText = (targets: LeadMetrics['targetsDown']): string[] =>
  targets
    .slice(0, 2)
    .map(({ instance, lastError }) => `target ${instance} is down${lastError ? `: ${lastError}` : ''}`);
