import { linearRegression } from 'simple-statistics';
import type { LeadMetrics, PlotSeries } from '../../domain/metrics.ts';

/** A trend is said of this much time, and only with so many points in it. */
const OVER_MS = 15 * 60_000;
const FEWEST = 3;
/** Less change than this share of the value (or threshold) over that time is steady. */
const STEADY = 0.05;

/** Slope per minute by least squares over the last quarter of an hour of a plot; null with fewer than three points. */
export function trendOf(plot: PlotSeries, threshold: number | null): LeadMetrics['trend'] {
  const last = plot.start + (plot.values.length - 1) * plot.step;
  const points: [number, number][] = [];
  plot.values.forEach((value, i) => {
    const at = plot.start + i * plot.step;
    if (value !== null && (last - at) * 1000 <= OVER_MS) points.push([(at - last) / 60, value]);
  });
  if (points.length < FEWEST) return null;
  const slope = linearRegression(points).m;
  const overMinutes = -points[0]![0];
  if (!Number.isFinite(slope) || overMinutes <= 0) return null;
  const scale = points.reduce((max, [, value]) => Math.max(max, Math.abs(value)), Math.abs(threshold ?? 0));
  const change = Math.abs(slope) * overMinutes;
  const direction = change <= STEADY * scale ? 'steady' : slope > 0 ? 'rising' : 'falling';
  return { direction, slopePerMinute: rounded(slope), overMinutes: rounded(overMinutes) };
}

/** The value of a plot at a time (Unix ms), or the nearest one before it at most two steps away. */
export function valueAt(plot: PlotSeries, at: number): number | null {
  const i = Math.floor((at / 1000 - plot.start) / plot.step);
  for (let k = i; k >= Math.max(0, i - 2); k -= 1) {
    const value = plot.values[k];
    if (value !== undefined && value !== null) return value;
  }
  return null;
}

/** Samples at multiples of a step as a regular series with gaps; numbers that JSON cannot hold become gaps. */
export function plotSeries(values: readonly (readonly [number, number])[], step: number): PlotSeries | null {
  if (values.length === 0) return null;
  const start = values[0]![0];
  const count = Math.round((values.at(-1)![0] - start) / step) + 1;
  if (!Number.isFinite(count) || count < 1 || count > 11_000) return null;
  const grid: (number | null)[] = new Array(count).fill(null);
  for (const [at, value] of values) {
    const i = Math.round((at - start) / step);
    if (i >= 0 && i < count) grid[i] = finite(value);
  }
  return { start, step, values: grid };
}

/** Six digits say all that a message or picture can show. */
export const rounded = (value: number): number => Number(value.toPrecision(6));
export const finite = (value: number): number | null => (Number.isFinite(value) ? rounded(value) : null);
