import { describe, expect, test } from 'vitest';
import { figure } from '../../src/notify/figures.ts';
import { trendOf } from '../../src/notify/metric-words.ts';
import { unitOf } from '../../src/notify/unit.ts';
import { leadMetrics } from '../fakes/notify-example.ts';

test.each([
  [0.124, 'ratio', '12.4 %'],
  [73_400_320, 'bytes', '70 MiB'],
  [512, 'bytes', '512 B'],
  [0.25, 'seconds', '250 ms'],
  [90, 'seconds', '1.5 min'],
  [0, 'seconds', '0 s'],
  [12_000, null, '12k'],
  [-0.5, null, '-0.5'],
  [0.00002, null, '2.0e-5'],
  [0, null, '0'],
  [Number.POSITIVE_INFINITY, null, '∞'],
  [Number.NaN, 'seconds', 'no number'],
] as const)('%d %s reads %s', (value, unit, text) => {
  expect(figure(value, unit)).toBe(text);
});

describe('a unit is said only where the expression leaves no doubt', () => {
  test.each([
    ['sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))', 'ratio'],
    ['sum by (service) (rate(errors_total[5m])) / ignoring(code) sum by (service) (rate(requests_total[5m]))', 'ratio'],
    ['histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))', 'seconds'],
    ['container_memory_working_set_bytes{container!="a/b"}', 'bytes'],
    ['max_over_time(probe_duration_seconds[5m])', 'seconds'],
    ['job:errors:ratio', 'ratio'],
    ['rate(process_cpu_seconds_total[5m])', null],
    ['rate(a_seconds_sum[5m]) / rate(a_seconds_count[5m])', null],
    ['100 * sum(rate(a_total[5m])) / sum(rate(b_total[5m]))', null],
    ['node_filesystem_avail_bytes / node_filesystem_size_bytes', null],
    ['count(container_memory_rss_bytes)', null],
    ['time() - node_boot_time_seconds', null],
    ['up', null],
    ['', null],
    ['"unclosed {[(', null],
  ] as const)('%s', (expression, unit) => {
    expect(unitOf(expression)).toBe(unit);
  });
});

describe('a value reads as better or worse', () => {
  const plainMetrics = { expression: 'queue_length', threshold: 100, value: 120 };
  test.each([
    [{}, '120, above the limit of 100, getting worse, +0.011 a minute'],
    [
      { value: 90, trend: { direction: 'falling', slopePerMinute: -4, overMinutes: 10 } as const },
      '90, back within the limit of 100, getting better, −4 a minute',
    ],
    [{ value: 1e6, trend: null }, '1M, over 100 times the limit of 100'],
    [
      {
        operator: '<' as const,
        value: 0,
        threshold: 1,
        trend: { direction: 'falling', slopePerMinute: -1, overMinutes: 5 } as const,
      },
      '0, below the limit of 1, getting worse, −1 a minute',
    ],
    [
      {
        operator: '==' as const,
        value: 0,
        threshold: 0,
        trend: { direction: 'steady', slopePerMinute: 0, overMinutes: 5 } as const,
      },
      '0, fires at 0, steady',
    ],
    [{ operator: null, threshold: null, trend: null }, '120'],
    [{ trend: null, seriesBeyond: 3, seriesTotal: 8 }, '120, above the limit of 100, 3 of 8 series beyond it'],
    [{ value: null, text: 'the value is NaN' }, 'the value is NaN'],
  ])('%o', (changes, text) => {
    expect(trendOf(leadMetrics({ ...plainMetrics, ...changes }))).toBe(text);
  });
});
