import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileMatchers, matcherText, names, parseMatcher } from '../../src/route/matchers.ts';

const read = (text: string) => {
  const parsed = parseMatcher(text);
  return parsed.ok ? [parsed.matcher.name, parsed.matcher.op, parsed.matcher.value] : parsed.message;
};
const holds = (text: string, labels: Record<string, string>) => compileMatchers([text]).matches(labels);

describe('a matcher is read as Alertmanager reads it in its default mode', () => {
  test.each([
    ['severity="critical"', 'severity', '=', 'critical'],
    ['severity=critical', 'severity', '=', 'critical'],
    ['  severity  !=  "info"  ', 'severity', '!=', 'info'],
    ['service=~"pay.*"', 'service', '=~', 'pay.*'],
    ['service=~pay.*', 'service', '=~', 'pay.*'],
    ['team!~"a|b"', 'team', '!~', 'a|b'],
    ['job:up:sum="1"', 'job:up:sum', '=', '1'],
    ['path="/a b/{c},d"', 'path', '=', '/a b/{c},d'],
    ['path=a b', 'path', '=', 'a b'],
    ['a=b,c=d', 'a', '=', 'b,c=d'],
    ['empty=', 'empty', '=', ''],
    ['empty=""', 'empty', '=', ''],
    ['op="a=b!~c"', 'op', '=', 'a=b!~c'],
    ['quote="say \\"hi\\""', 'quote', '=', 'say "hi"'],
    ['line="a\\nb"', 'line', '=', 'a\nb'],
    ['back="a\\\\b"', 'back', '=', 'a\\b'],
    ['digits=~"\\d+"', 'digits', '=~', '\\d+'],
    ['last=a\\', 'last', '=', 'a\\'],
    ['größe="groß"', 'größe', '=', 'groß'],
    ['"größe"="groß"', 'größe', '=', 'groß'],
    ['"a b"=~"c"', 'a b', '=~', 'c'],
    ['"k8s.pod"!="x"', 'k8s.pod', '!=', 'x'],
    ['🙂=🙂', '🙂', '=', '🙂'],
    ['"\\u00e4"="\\x41\\102"', 'ä', '=', 'AB'],
  ])('%s', (text, name, op, value) => {
    expect(read(text)).toEqual([name, op, value]);
  });

  test.each([
    ['', /empty matcher/],
    ['severity', /no =, !=, =~ or !~/],
    ['="x"', /name or value is missing/],
    ['""="x"', /no label name/],
    ['a="b', /quote is not closed/],
    ['{a="b"}', /without braces/],
    ['a="b", c="d"', /goes on after the value/],
    ['"ä"="\\q"', /escape/],
    ['"ä"="\\xff"', /escape/],
    ['"ä"="\\ud800"', /escape/],
    ['service=~"pay("', /not an RE2 regular expression: .*missing closing/],
    ['service=~"(?=x)"', /not an RE2 regular expression/],
    ['service=~"a)|(?:b"', /not an RE2 regular expression/],
  ])('%s is refused with a hint', (text, hint) => {
    expect(read(text)).toMatch(hint);
  });

  test('whatever the text, reading it never throws, and what is read can be compiled', () => {
    const bits = fc.constantFrom('a', '"', '\\', '=', '~', '!', '{', ',', ' ', '\n', 'ä', '(', '*', '\ud800');
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(bits).map((b) => b.join('')),
        ),
        (text) => {
          if (parseMatcher(text).ok) compileMatchers([text]).matches({ a: 'a' });
        },
      ),
    );
  });

  test('any name and value survive being written out and read back', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.stringMatching(/^[a-zA-Z_:][a-zA-Z0-9_:]*$/), fc.string({ unit: 'grapheme', minLength: 1 })),
        fc.constantFrom('=' as const, '!=' as const),
        fc.string({ unit: 'grapheme' }),
        (name, op, value) => {
          expect(read(matcherText({ name, op, value }))).toEqual([name, op, value]);
        },
      ),
    );
  });
});

describe('matching', () => {
  test('a regex has to match the whole value', () => {
    expect(holds('service=~"pay"', { service: 'payment' })).toBe(false);
    expect(holds('service=~"pay.*"', { service: 'payment' })).toBe(true);
    expect(holds('service=~"pay.*"', { service: 'xpayment' })).toBe(false);
    expect(holds('service=~"a|ab"', { service: 'ab' })).toBe(true);
    expect(holds('service=~"a|b"', { service: 'ac' })).toBe(false);
    expect(holds('service=~"a.*"', { service: 'a\nb' })).toBe(false);
    expect(holds('service=~"a$"', { service: 'a\n' })).toBe(false);
  });

  test('a missing label is the empty string', () => {
    expect(holds('env=""', {})).toBe(true);
    expect(holds('env!=""', {})).toBe(false);
    expect(holds('env!="dev"', {})).toBe(true);
    expect(holds('env=~".*"', {})).toBe(true);
    expect(holds('env=~".+"', {})).toBe(false);
    expect(holds('env!~"dev|"', {})).toBe(false);
  });

  test('names of built-in properties are ordinary labels', () => {
    expect(holds('constructor=~".+"', {})).toBe(false);
    expect(holds('toString=""', {})).toBe(true);
    expect(holds('__proto__="x"', JSON.parse('{"__proto__":"x"}'))).toBe(true);
  });

  test('all matchers must hold, and no matchers match every alert', () => {
    const both = compileMatchers(['a="1"', 'b!="2"']);
    expect(both.matches({ a: '1' })).toBe(true);
    expect(both.matches({ a: '1', b: '2' })).toBe(false);
    expect(compileMatchers([]).matches({})).toBe(true);
  });

  test('regexes mean what they mean in RE2, whatever their shape, and !~ says the opposite of =~', () => {
    // Of these pieces every pattern means the same in JavaScript, whose dot stops at a newline too.
    const piece = fc.constantFrom('a', 'b', 'ab', 'a-b', 'ä', '.', '.*', '.+', 'a*', 'b?', '[^a]', '(a|b)+', '|', '|a');
    const pattern = fc.array(piece, { maxLength: 5 }).map((pieces) => pieces.join(''));
    const value = fc.string({ unit: fc.constantFrom('a', 'b', '-', '.', '\n', 'ä'), maxLength: 5 });
    fc.assert(
      fc.property(pattern, fc.array(value), (p, values) => {
        const [yes, no] = [compileMatchers([`l=~"${p}"`]), compileMatchers([`l!~"${p}"`])];
        const expected = new RegExp(`^(?:${p})$`, 'u');
        for (const l of ['', 'a', 'ab', ...values, ...values]) {
          expect([yes.matches({ l }), no.matches({ l })]).toEqual([expected.test(l), !expected.test(l)]);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('more values are judged right than are remembered', () => {
    const even = compileMatchers(['l=~"x[0-9]*[02468]"']);
    for (let round = 0; round < 2; round += 1)
      for (let i = 0; i < 3000; i += 1) expect(even.matches({ l: `x${i}` })).toBe(i % 2 === 0);
  });

  test('a regex that makes backtracking engines hang answers at once', () => {
    expect(holds('l=~"(a+)+b"', { l: 'a'.repeat(200_000) })).toBe(false);
  });
});

test('a policy names a label only with a matcher that singles out values of it', () => {
  const named = (...texts: string[]) => names(compileMatchers(texts), 'severity');
  expect(named('severity="critical"')).toBe(true);
  expect(named('env="dev"', 'severity=~"critical|page"')).toBe(true);
  expect(named('severity!="info"')).toBe(false);
  expect(named('severity!~"info"')).toBe(false);
  expect(named('severity=~".*"')).toBe(false);
  expect(named('severity=""')).toBe(false);
  expect(named('env="dev"')).toBe(false);
});

test('matchers that a checked config cannot hold are refused when compiled', () => {
  expect(() => compileMatchers(['a='])).not.toThrow();
  expect(() => compileMatchers(['a'])).toThrow(/no =, !=/);
});
