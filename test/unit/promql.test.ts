import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  asRegex,
  filled,
  hasArithmetic,
  metricsIn,
  narrowed,
  plotsOf,
  quoted,
  selector,
} from '../../src/enrich/prometheus/expression.ts';

/** expression → what is plotted, where it fires; `value operator threshold`, `~` marks a turned comparison. */
const probes: [string, string[]][] = [
  ['up == 0', ['up == 0']],
  ['rate(errors_total[5m]) > 0.05', ['rate(errors_total[5m]) > 0.05']],
  ['max by (service, env) (demo_error_ratio) > 0.05', ['max by (service, env) (demo_error_ratio) > 0.05']],
  ['5 < x', ['x > 5 ~']],
  ['0 == up', ['up == 0 ~']],
  ['-1 >= delta(x[1h])', ['delta(x[1h]) <= -1 ~']],
  ['x >= 1e3', ['x >= 1000']],
  ['x > 2 * 1024 * 1024', ['x > 2097152']],
  ['x < -0.5', ['x < -0.5']],
  ['x != (2 ^ 3)', ['x != 8']],
  ['x > 0x1F', ['x > 31']],
  ['time() - last_success > 1h30m', ['time() - last_success > 5400']],
  ['x > Inf', ['x > Infinity']],
  ['x{l="a > b"} > 5', ['x{l="a > b"} > 5']],
  ['count(up == 0) > 2', ['count(up == 0) > 2']],
  ['a > on(i) group_left b * 0.9', ['a > [b * 0.9]']],
  ['a > scalar(b)', ['a > [scalar(b)]']],
  ['a > 5 and b < 3', ['a > 5', 'b < 3']],
  ['a > 5 or 3 > b', ['a > 5', 'b < 3 ~']],
  ['(a > 5 or b > 6) and on (x) c == 1', ['a > 5', 'b > 6', 'c == 1']],
  ['a > 5 unless b > 3', ['a > 5']],
  ['a > bool 5', ['a > bool 5']],
  ['(a > bool 5) == 1', ['(a > bool 5) == 1']],
  ['absent(up{job="x"})', ['absent(up{job="x"})']],
  ['vector(1)', ['vector(1)']],
  ['(a > 1) < 5', ['(a > 1) < 5']],
  ['((sum(a) / sum(b)) > 0.1)', ['(sum(a) / sum(b)) > 0.1']],
];

test.each(probes)('the comparison is taken off: %s', (expression, expected) => {
  const words = plotsOf(expression).map(({ value, operator, threshold, other, flipped }) =>
    [value, operator, threshold ?? (other === null ? null : `[${other}]`), flipped ? '~' : null]
      .filter((word) => word !== null)
      .join(' '),
  );
  expect(words).toEqual(expected);
});

test('there are 27 probe expressions, all different', () => {
  expect(new Set(probes.map(([expression]) => expression)).size).toBe(27);
});

test.each(['', 'a >', 'a > 5)', 'drop table alerts;', '}{', 'x'.repeat(20_000)])(
  'what is no PromQL gives no chart and so reaches no server: %.20s',
  (text) => {
    expect(plotsOf(text)).toEqual([]);
  },
);

test('the metrics of an expression are found by the grammar, not inside of strings', () => {
  expect(metricsIn('sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(other{l="not_this_one"})')).toEqual([
    'http_requests_total',
    'other',
  ]);
  expect(hasArithmetic('sum(a) / sum(b)')).toBe(true);
  expect(hasArithmetic('max by (l) (a{l="x / y"})')).toBe(false);
});

const hostile = [
  'a"b',
  "it's",
  'x} or vector(1) #',
  'two\nlines',
  'back\\slash',
  '$1',
  '{{service}}',
  'ünïcode 🚨',
  '`',
  '\u0000',
];

test.each(hostile)('a hostile label value stays a value: %j', (value) => {
  for (const template of [
    'm{l="{{service}}"}',
    "m{l='{{service}}'}",
    'm{l=~"{{service}}-.+"}',
    'm{l="pre-{{ service }}-post"}',
  ]) {
    const query = filled(template, { service: value })!;
    expect(shape(query)).toBe(shape(template));
  }
  expect(shape(selector('m', [{ name: 'l', op: '=', value }]))).toBe(shape('m{l="x"}'));
  expect(shape(narrowed('m', { l: value }))).toBe(shape(narrowed('m', { l: 'x' })));
});

test('whatever the value, the query keeps its shape', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (value) => {
      fc.pre(value.isWellFormed() && value !== '');
      expect(shape(filled('m{l=~"{{service}}-.+"}', { service: value })!)).toBe(shape('m{l=~"x"}'));
      expect(shape(narrowed('m > 1', { l: value }))).toBe(shape(narrowed('m > 1', { l: 'x' })));
    }),
    { numRuns: 500 },
  );
});

test('values are put into strings only, regular expressions escaped, unknown ones match everything', () => {
  expect(filled('m{a="{{service}}",b=~"{{service}}-.+"}', { service: 'a.b' })).toBe('m{a="a.b",b=~"a\\\\.b-.+"}');
  expect(filled('m{a="{{service}}",b="{{namespace}}"}', { service: 'x', namespace: null })).toBe('m{a="x",b=~".*"}');
  expect(filled('sum by ({{service}}) (m)', { service: 'x' })).toBeNull();
  expect(quoted('a"b\n')).toBe('"a\\"b\\n"');
  expect(asRegex('a.b|c')).toBe('a\\.b\\|c');
});

test('narrowing keeps the value expression as it is', () => {
  expect(narrowed('max by (s) (m)', { s: 'cart', r: '$1' })).toBe(
    '(max by (s) (m)) and on (r, s) label_replace(label_replace(vector(1), "r", "$$1", "", ""), "s", "cart", "", "")',
  );
  expect(narrowed('sum(m)', {})).toBe('sum(m)');
});

/** The query with every string made the same and no longer looked into: equal shapes differ in values only. */
function shape(query: string): string {
  expect(plotsOf(query)).not.toEqual([]);
  return query.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, '""');
}
