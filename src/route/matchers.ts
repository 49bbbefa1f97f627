import { RE2JS } from 're2js';
import type { Labels } from '../domain/alert.ts';

export type MatcherOp = '=' | '!=' | '=~' | '!~';

/** One Alertmanager matcher: `service=~"pay.*"` is `{ name: 'service', op: '=~', value: 'pay.*' }`. */
export type Matcher = { name: string; op: MatcherOp; value: string };

export type ParsedMatcher = { ok: true; matcher: Matcher } | { ok: false; message: string };

export type CompiledMatchers = {
  matchers: readonly Matcher[];
  /** The matchers as written, for explanations. */
  text: string;
  /** True when all matchers hold; a label that is missing counts as the empty string. No matchers: always true. */
  matches(labels: Labels): boolean;
};

/** The classic syntax; `=~` has to be tried before `=`. Go's `\s` is ASCII only. */
const classic = /^[\t\n\f\r ]*([a-zA-Z_:][a-zA-Z0-9_:]*)[\t\n\f\r ]*(=~|=|!=|!~)[\t\n\f\r ]*([\s\S]*?)[\t\n\f\r ]*$/;

/**
 * Reads one matcher as Alertmanager does in its default mode: the classic syntax wins where it can read the text, else the
 * UTF-8 one, which also takes quoted label names (`"größe"="x"`) and Go's escapes.
 * https://prometheus.io/docs/alerting/latest/configuration/#label-matchers
 *
 * Stricter in one place: a regex must be valid by itself, so that `a)|(b` cannot slip out of its anchors.
 */
export function parseMatcher(text: string): ParsedMatcher {
  const read = parseClassic(text) ?? parseUtf8(text);
  if (typeof read === 'string') return { ok: false, message: read };
  if (read.op === '=~' || read.op === '!~') {
    const fault = regexFault(read.value);
    if (fault !== null) return { ok: false, message: `"${read.value}" is not an RE2 regular expression: ${fault}` };
  }
  return { ok: true, matcher: read };
}

function parseClassic(text: string): Matcher | null {
  const parts = classic.exec(text);
  if (!parts) return null;
  const value = classicValue(parts[3]!);
  return value === null ? null : { name: parts[1]!, op: parts[2] as MatcherOp, value };
}

/** Unknown escapes stay as they are, as `\d` in a quoted regex must; null when a quote is not closed or not escaped. */
function classicValue(raw: string): string | null {
  const quoted = raw.startsWith('"');
  const body = quoted ? raw.slice(1) : raw;
  let value = '';
  let open = quoted;
  for (let i = 0; i < body.length; i += 1) {
    const c = body[i]!;
    if (c === '\\' && i < body.length - 1) {
      i += 1;
      const next = body[i]!;
      value += next === 'n' ? '\n' : next === '"' || next === '\\' ? next : `\\${next}`;
    } else if (c === '"') {
      if (!open || i < body.length - 1) return null;
      open = false;
    } else value += c;
  }
  return open ? null : value;
}

const example = 'write for example severity="critical", service=~"pay.*", env!="dev" or team!~"a|b"';

/** The UTF-8 syntax; gives what is wrong as a sentence. */
function parseUtf8(text: string): Matcher | string {
  const space = /^\s*/u;
  let rest = text.replace(space, '');
  if (rest === '') return `an empty matcher; ${example}`;
  if (rest.startsWith('{')) return `"${text}" has braces; write one matcher per list entry, without braces`;

  const name = token(rest);
  if (typeof name === 'string') return `"${text}": ${name}; ${example}`;
  if (name.value === '') return `"${text}" has no label name; ${example}`;
  rest = rest.slice(name.length).replace(space, '');

  const op = /^(=~|!~|!=|=)/.exec(rest)?.[1] as MatcherOp | undefined;
  if (!op) return `"${text}" has no =, !=, =~ or !~ after the label name; ${example}`;
  rest = rest.slice(op.length).replace(space, '');

  const value = token(rest);
  if (typeof value === 'string') return `"${text}": ${value}; ${example}`;
  rest = rest.slice(value.length).replace(space, '').replace(/^,\s*/u, '');
  if (rest !== '') return `"${text}" goes on after the value; quote the value, and write one matcher per list entry`;
  return { name: name.value, op, value: value.value };
}

/** A quoted string or a run of characters that are not reserved; else what is wrong. */
function token(text: string): { value: string; length: number } | string {
  if (!text.startsWith('"')) {
    const plain = /^[^\s{}!=~,\\"'`]+/u.exec(text)?.[0];
    return plain === undefined
      ? 'a label name or value is missing or needs quotes'
      : { value: plain, length: plain.length };
  }
  const whole = /^"(?:[^"\\\n]|\\[^\n])*"/u.exec(text)?.[0];
  if (whole === undefined) return 'a quote is not closed';
  const value = unquote(whole.slice(1, -1));
  return value === null ? 'it has an escape that Go strings do not know' : { value, length: whole.length };
}

const simpleEscapes: Record<string, string> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
};

/** Go's double-quoted string; `\x` and octal escapes are bytes of UTF-8. Null when it is none. */
function unquote(body: string): string | null {
  const bytes: number[] = [];
  const encoder = new TextEncoder();
  const pieces = /\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))|[^\\]+|\\/gu;
  for (const [all, simple, hex, octal, short, long] of body.matchAll(pieces)) {
    if (simple !== undefined) bytes.push(...encoder.encode(simpleEscapes[simple]!));
    else if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
    else if (short !== undefined || long !== undefined) {
      const point = Number.parseInt((short ?? long)!, 16);
      if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return null;
      bytes.push(...encoder.encode(String.fromCodePoint(point)));
    } else if (all === '\\') return null;
    else for (const byte of encoder.encode(all)) bytes.push(byte);
  }
  if (bytes.some((byte) => byte > 255)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
  } catch {
    return null;
  }
}

function regexFault(pattern: string): string | null {
  try {
    RE2JS.compile(pattern);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** What a value costs is paid once: a label has few values, a storm has many alerts. */
const REMEMBERED_VALUES = 1_000;
/** Longer values are judged each time, so that 1,000 hostile 1 MB labels do not stay in memory. */
const REMEMBERED_LENGTH = 512;

/**
 * The two shapes most regexes of a config have, `dev|test` and `pay.*`, without an engine: 0.05 µs instead of 0.8 µs, which
 * is what 50 policies × 10,000 alerts of a storm feel. The dot matches all but a newline. Null: any other shape.
 */
function plainRegex(pattern: string): ((value: string) => boolean) | null {
  if (/^[\w:/@ -]*(\|[\w:/@ -]*)*$/.test(pattern)) {
    const words = new Set(pattern.split('|'));
    return (value) => words.has(value);
  }
  const prefix = /^([\w:/@ -]+)\.\*$/.exec(pattern)?.[1];
  if (prefix === undefined) return null;
  return (value) => value.startsWith(prefix) && !value.includes('\n', prefix.length);
}

/** True when the whole of `value` matches, as Alertmanager anchors it. RE2: linear in the value's length. */
function anchored(pattern: string): (value: string) => boolean {
  const plain = plainRegex(pattern);
  if (plain) return plain;
  const regex = RE2JS.compile(pattern);
  let known = new Map<string, boolean>();
  return (value) => {
    const verdict = known.get(value);
    if (verdict !== undefined) return verdict;
    const fresh = regex.matches(value);
    if (value.length <= REMEMBERED_LENGTH) {
      if (known.size >= REMEMBERED_VALUES) known = new Map();
      known.set(value, fresh);
    }
    return fresh;
  };
}

/** Labels come from outside: `constructor` is a legal label name and no label of most alerts. */
const labelOf = (labels: Labels, name: string): string => (Object.hasOwn(labels, name) ? labels[name]! : '');

function testOf({ name, op, value }: Matcher): (labels: Labels) => boolean {
  if (op === '=') return (labels) => labelOf(labels, name) === value;
  if (op === '!=') return (labels) => labelOf(labels, name) !== value;
  const test = anchored(value);
  if (op === '=~') return (labels) => test(labelOf(labels, name));
  return (labels) => !test(labelOf(labels, name));
}

const quote = (text: string): string =>
  `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;

/** How a matcher is written out: always quoted, so that reading it gives the same matcher. */
export const matcherText = ({ name, op, value }: Matcher): string =>
  `${/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name) ? name : quote(name)}${op}${quote(value)}`;

/** Compiles matchers that must all hold. Throws on one that `parseMatcher` refuses: a checked config has none. */
export function compileMatchers(texts: readonly string[]): CompiledMatchers {
  const matchers = texts.map((text) => {
    const parsed = parseMatcher(text);
    if (!parsed.ok) throw new Error(`matcher ${parsed.message}`);
    return parsed.matcher;
  });
  // Equality first: it is cheap and mostly settles the matter.
  const isRegex = ({ op }: Matcher): number => (op === '=~' || op === '!~' ? 1 : 0);
  const tests = [...matchers].sort((a, b) => isRegex(a) - isRegex(b)).map(testOf);
  return {
    matchers,
    text: matchers.length === 0 ? 'every alert' : matchers.map(matcherText).join(', '),
    matches: (labels) => tests.every((test) => test(labels)),
  };
}

/**
 * True when the matchers single out some values of this label: `severity="critical"` does, `severity!="info"`,
 * `severity=~".*"` and matchers that leave the label out do not.
 */
export function names(compiled: CompiledMatchers, label: string): boolean {
  return compiled.matchers.some(
    (m) => m.name === label && (m.op === '=' || m.op === '=~') && m.value !== '' && !testOf(m)({}),
  );
}

/** Those of the matchers that these labels do not fulfil, as written; none when all hold. */
export const unmet = ({ matchers }: CompiledMatchers, labels: Labels): Matcher[] =>
  matchers.filter((matcher) => !testOf(matcher)(labels));
