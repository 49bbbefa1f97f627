import type { Unit } from './unit.ts';

/** Numbers as people read them: three significant digits, a prefix for the size, the unit as Prometheus' base units name it. */

const significant = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3, useGrouping: false });
const decimal: readonly [number, string][] = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];
const binary: readonly [number, string][] = [
  [1024 ** 4, 'TiB'],
  [1024 ** 3, 'GiB'],
  [1024 ** 2, 'MiB'],
  [1024, 'KiB'],
];
const times: readonly [number, string][] = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's'],
  [1e-3, 'ms'],
  [1e-6, 'µs'],
];

function sized(value: number, sizes: readonly [number, string][], rest: string): string {
  const [factor, word] = sizes.find(([size]) => Math.abs(value) >= size) ?? [1, rest];
  const space = word && sizes !== decimal ? ' ' : '';
  return `${significant.format(value / factor)}${space}${word}`;
}

/** `0.124` of `ratio` is `12.4 %`, `73400320` of `bytes` is `70 MiB`, `0.25` of `seconds` is `250 ms`, `12000` is `12k`. */
export function figure(value: number, unit: Unit | null): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'no number' : value > 0 ? '∞' : '−∞';
  if (unit === 'ratio') return `${significant.format(value * 100)} %`;
  if (unit === 'seconds') return value === 0 ? '0 s' : sized(value, times, 's');
  if (unit === 'bytes') return sized(value, binary, 'B');
  return Math.abs(value) > 0 && Math.abs(value) < 1e-3 ? value.toExponential(1) : sized(value, decimal, '');
}
