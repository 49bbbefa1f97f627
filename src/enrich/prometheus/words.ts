import type { LeadMetrics, NodePlace, Places, PodPlace } from '../../domain/metrics.ts';
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

/**
 * Where it happens, in one line: what the pods have in common, what a node carries, and which node is not well. Empty when
 * there is nothing to add to the alerts' own labels.
 */
export function placesText({ pods, nodes, unwell }: Omit<Places, 'text'>): string {
  const parts = [podsText(pods), ...nodes.slice(0, 2).map(nodeText)];
  const sick = new Map<string, string[]>();
  for (const { node, condition } of unwell) sick.set(node, [...(sick.get(node) ?? []), condition]);
  for (const [node, conditions] of [...sick].slice(0, 2)) parts.push(`node ${node} is ${conditions.join(' and ')}`);
  return parts
    .filter((part) => part !== '')
    .join('; ')
    .slice(0, 300);
}

function podsText(pods: readonly PodPlace[]): string {
  const placed = pods.filter(({ node }) => node !== null);
  if (placed.length === 0) return '';
  if (pods.length === 1) {
    const { pod, node, workload } = placed[0]!;
    const of = workload ? ` (${workloadText(workload)})` : '';
    return `pod ${pod}${of} is on node ${node}`;
  }
  const byNode = new Map<string, number>();
  for (const { node } of placed) byNode.set(node!, (byNode.get(node!) ?? 0) + 1);
  const [node, most] = [...byNode].sort((a, b) => b[1] - a[1])[0]!;
  if (most === pods.length) return `all ${most} alerting pods are on node ${node}`;
  // Two of three may be chance where a workload has three nodes; the rest is said plainly.
  if (most >= 3 && most / pods.length >= 0.6) return `${most} of ${pods.length} alerting pods are on node ${node}`;
  return `${pods.length} alerting pods on ${byNode.size} nodes`;
}

const workloadText = ({ kind, name, pods }: NonNullable<PodPlace['workload']>): string =>
  `${kind} ${name}${pods === null ? '' : `, ${pods} ${pods === 1 ? 'pod' : 'pods'}`}`;

function nodeText({ node, pods, workloads, hit }: NodePlace): string {
  const first = hit
    .slice(0, 3)
    .map(
      ({ name, here, pods: all }) =>
        `${name}${all === null ? '' : here >= all ? ' (all of it)' : ` (${here} of ${all} pods)`}`,
    );
  const of = first.length > 0 ? `: ${first.join(', ')}` : '';
  return `node ${node} runs ${pods} ${pods === 1 ? 'pod' : 'pods'} of ${workloads} ${workloads === 1 ? 'workload' : 'workloads'}${of}`;
}
