/** What a PromQL expression is measured in, as far as its names and shape say it beyond doubt. */
export type Unit = 'seconds' | 'bytes' | 'ratio';

/**
 * The unit of an expression's value, or null when it could be anything. Prometheus puts base units into names
 * (https://prometheus.io/docs/practices/naming/#base-units): quantiles of `…_seconds_bucket` and plain `…_seconds` are
 * seconds, plain `…_bytes` are bytes, `…_ratio` is a ratio, and so is one rate divided by another. A scaled value (`* 100`),
 * a rate of seconds or a mix of names is left alone: a wrong unit is worse than none.
 */
export function unitOf(expression: string): Unit | null {
  const bare = expression
    .replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g, '')
    .replace(/\{[^{}]*\}|\[[^[\]]*\]/g, '')
    .replace(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)/g, ' ');
  if (/[*%^]/.test(bare)) return null;
  const sides = bare.split('/');
  if (sides.length === 2 && sides.every((side) => /\b(?:rate|irate|increase)\s*\(/.test(side))) {
    return /_(?:seconds|bytes)/.test(bare) ? null : 'ratio';
  }
  if (sides.length > 1) return null;
  const names = [...bare.matchAll(/[a-zA-Z_:][a-zA-Z0-9_:]*/g)]
    .map(([name]) => name)
    .filter((name) => /[_:]/.test(name));
  const measured = names.filter((name) => !/^(?:histogram_\w+|\w+_over_time|label_\w+|count_values)$/.test(name));
  if (measured.length === 0) return null;
  const all = (pattern: RegExp): boolean => measured.every((name) => pattern.test(name));
  const rated = /\b(?:rate|irate|increase|changes|resets|count|time)\s*\(/.test(bare);
  if (/\bhistogram_quantile\s*\(/.test(bare))
    return all(/_seconds_bucket$/) ? 'seconds' : all(/_bytes_bucket$/) ? 'bytes' : null;
  if (rated) return null;
  if (all(/_seconds$/)) return 'seconds';
  if (all(/_bytes$/)) return 'bytes';
  return all(/[_:]ratio$/) ? 'ratio' : null;
}
