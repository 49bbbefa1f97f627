import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';

export type Operator = '>' | '>=' | '<' | '<=' | '==' | '!=';

/**
 * One chart of an alert's expression. `value` is what is plotted; it fires where `value operator threshold`. With vectors on
 * both sides `other` is the one it is compared with and `threshold` is null; without a comparison both are.
 */
export type Plot = {
  value: string;
  operator: Operator | null;
  threshold: number | null;
  other: string | null;
  /** The constant stood on the left (`5 < x`); the operator here is already turned round. */
  flipped: boolean;
};

const comparisons: Record<string, Operator> = { Gtr: '>', Gte: '>=', Lss: '<', Lte: '<=', Eql: '==', Neq: '!=' };
const mirrored: Record<Operator, Operator> = { '>': '<', '>=': '<=', '<': '>', '<=': '>=', '==': '==', '!=': '!=' };

/** Remembers the answers to the last 1,000 texts: parsing costs 0.3 ms, and a storm asks of few rules again and again. */
function remembered<T>(compute: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const value = compute(text);
    known.set(text, value);
    if (known.size > 1_000) known.delete(known.keys().next().value!);
    return value;
  };
}

/**
 * Takes the comparison off an alert's expression by the official grammar, one chart per side of `and` and `or` (of `unless`
 * the left one, since the right one only takes away). A comparison with `bool` gives 0 or 1 and stays. Empty for a text that
 * is not PromQL: nothing of it must reach a server. Expressions longer than 16 kB are not looked at.
 */
export const plotsOf = remembered((expression): readonly Plot[] => {
  if (expression.length > 16_384) return [];
  const tree = parser.parse(expression);
  const cursor = tree.cursor();
  do if (cursor.type.isError) return [];
  while (cursor.next());
  const top = childrenOf(tree.topNode)[0];
  return top ? plots(top, expression) : [];
});

const childrenOf = (node: SyntaxNode): SyntaxNode[] => {
  const found: SyntaxNode[] = [];
  for (let child = node.firstChild; child; child = child.nextSibling)
    if (child.name !== 'LineComment') found.push(child);
  return found;
};

const textOf = (node: SyntaxNode, text: string): string => text.slice(node.from, node.to);

function plots(node: SyntaxNode, text: string): Plot[] {
  const children = childrenOf(node);
  if (node.name === 'ParenExpr' && children[0]) return plots(children[0], text);
  const whole: Plot = { value: textOf(node, text), operator: null, threshold: null, other: null, flipped: false };
  if (node.name !== 'BinaryExpr') return [whole];
  const left = children[0]!;
  const right = children.at(-1)!;
  const between = children.slice(1, -1).map((child) => child.name);
  if (between.includes('Unless')) return plots(left, text);
  if (between.includes('And') || between.includes('Or')) return [...plots(left, text), ...plots(right, text)];
  const operator = between.map((name) => comparisons[name]).find((found) => found !== undefined);
  if (!operator || between.includes('BoolModifier')) return [whole];
  const [low, high] = [constant(left, text), constant(right, text)];
  if (low !== null && high !== null) return [whole];
  if (high !== null) return [{ ...whole, value: textOf(left, text), operator, threshold: high }];
  if (low !== null) {
    const turned = mirrored[operator];
    return [{ ...whole, value: textOf(right, text), operator: turned, threshold: low, flipped: true }];
  }
  return [{ ...whole, value: textOf(left, text), operator, other: textOf(right, text) }];
}

const arithmetic: Record<string, (a: number, b: number) => number> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => a / b,
  Mod: (a, b) => a % b,
  Pow: (a, b) => a ** b,
};

/** The value of a number, a signed number or arithmetic of numbers; null for anything that depends on series. */
function constant(node: SyntaxNode, text: string): number | null {
  const children = childrenOf(node);
  if (node.name === 'NumberDurationLiteral') return numberOf(textOf(node, text));
  if (node.name === 'ParenExpr' && children[0]) return constant(children[0], text);
  if (node.name === 'UnaryExpr' && children[1]) {
    const value = constant(children[1], text);
    return value === null ? null : textOf(children[0]!, text) === '-' ? -value : value;
  }
  if (node.name !== 'BinaryExpr' || children.length !== 3) return null;
  const compute = arithmetic[children[1]!.name];
  const [a, b] = [constant(children[0]!, text), constant(children[2]!, text)];
  return compute && a !== null && b !== null ? compute(a, b) : null;
}

const seconds: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800, y: 31_536_000 };

/** `1e3`, `0x1F`, `.5`, `Inf`, `NaN`, `1_000`; a duration such as `1h30m` counts as seconds, as Prometheus 3 has it. */
function numberOf(literal: string): number | null {
  const text = literal.toLowerCase().replaceAll('_', '');
  if (/^[+]?inf$/.test(text)) return Number.POSITIVE_INFINITY;
  if (text === 'nan') return Number.NaN;
  if (/^(\d+(ms|[smhdwy]))+$/.test(text))
    return [...text.matchAll(/(\d+)(ms|[smhdwy])/g)].reduce((sum, [, n, unit]) => sum + Number(n) * seconds[unit!]!, 0);
  const value = Number(text);
  return Number.isNaN(value) ? null : value;
}

/** The names of all metrics that an expression reads, in order of appearance. */
export const metricsIn = remembered((expression): readonly string[] => {
  const names = new Set<string>();
  parser.parse(expression).iterate({
    enter(node) {
      if (node.name !== 'VectorSelector') return;
      const name = node.node.getChild('Identifier');
      if (name) names.add(textOf(name, expression));
    },
  });
  return [...names];
});

/** Whether an expression computes with two operands anywhere: then its value need not have its metric's unit. */
export const hasArithmetic = remembered((expression): boolean => {
  let found = false;
  parser.parse(expression).iterate({
    enter(node) {
      if (node.name === 'BinaryExpr') found = true;
      return !found;
    },
  });
  return found;
});

/** A label value as a PromQL string. JSON's escapes are Go's, apart from lone surrogates, which no label value can hold. */
export const quoted = (value: string): string => JSON.stringify(value.toWellFormed());

/** A value inside a regular expression matcher (RE2), to be quoted after. */
export const asRegex = (value: string): string => value.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** A label name as PromQL writes it: plain where it can, quoted (Prometheus 3) where UTF-8 asks for it. */
const labelName = (name: string): string => (/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) ? name : quoted(name));

export type Matcher = { name: string; op: '=' | '!=' | '=~' | '!~'; value: string };

/** A vector selector; `metric` null selects by labels alone. */
export const selector = (metric: string | null, matchers: readonly Matcher[]): string =>
  `${metric ?? ''}{${matchers.map(({ name, op, value }) => `${labelName(name)}${op}${quoted(value)}`).join(',')}}`;

/**
 * Keeps of `value` the series with these labels, without touching its syntax tree (field-tested on 2.42):
 * `(value) and on (k1,k2) label_replace(…vector(1)…)`. The replacement of label_replace is a template in which `$` begins a
 * group, so a `$` is doubled.
 */
export function narrowed(value: string, labels: Readonly<Record<string, string>>): string {
  const keys = Object.keys(labels)
    .filter((key) => /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(key))
    .sort();
  if (keys.length === 0) return value;
  const one = keys.reduce(
    (inner, key) => `label_replace(${inner}, ${quoted(key)}, ${quoted(labels[key]!.replaceAll('$', '$$$$'))}, "", "")`,
    'vector(1)',
  );
  return `(${value}) and on (${keys.join(', ')}) ${one}`;
}

/** A value as it stands inside a literal with this quote; Prometheus refuses an escaped quote of the other kind. */
const inside = (value: string, quote: string): string => {
  const escaped = quoted(value).slice(1, -1);
  return quote === "'" ? escaped.replaceAll('\\"', '"').replaceAll("'", "\\'") : escaped;
};

/** A template cut at its matchers with placeholders; null for one that is no PromQL or has a placeholder elsewhere. */
type Cut = { before: string; op: string; literal: string; names: string[] };
const placeholder = /\{\{\s*(\w+)\s*\}\}/g;

const cut = remembered((template): { cuts: Cut[]; rest: string } | 'unusable' => {
  const cuts: Cut[] = [];
  let at = 0;
  parser.parse(template).iterate({
    enter(ref) {
      if (ref.name !== 'UnquotedLabelMatcher' && ref.name !== 'QuotedLabelMatcher') return true;
      const literal = ref.node.getChildren('StringLiteral').at(-1);
      const operator = ref.node.getChild('MatchOp');
      // A raw string (backticks) knows no escapes: nothing is put into it.
      if (!literal || !operator || template[literal.from] === '`') return true;
      const text = textOf(literal, template);
      const names = [...text.matchAll(placeholder)].map((match) => match[1]!);
      if (names.length === 0) return false;
      cuts.push({ before: template.slice(at, operator.from), op: textOf(operator, template), literal: text, names });
      at = literal.to;
      return false;
    },
  });
  const rest = template.slice(at);
  const whole = cuts.map(({ before }) => `${before}=""`).join('') + rest;
  // A placeholder elsewhere is no PromQL: `{{` opens no expression.
  return plotsOf(whole).length === 0 ? 'unusable' : { cuts, rest };
});

/**
 * Puts values into a query template: `{{service}}` in a quoted string becomes the value, escaped for PromQL and, behind =~
 * and !~, for a regular expression too. A matcher whose value is not known matches everything. Null when a placeholder
 * stands outside a matcher's string or the template is no PromQL.
 */
export function filled(template: string, values: Readonly<Record<string, string | null | undefined>>): string | null {
  const parsed = cut(template);
  if (parsed === 'unusable') return null;
  const parts = parsed.cuts.map(({ before, op, literal, names }) => {
    if (!names.every((name) => Object.hasOwn(values, name) && values[name])) return `${before}=~".*"`;
    const isRegex = op === '=~' || op === '!~';
    const put = (_: string, name: string) => inside(isRegex ? asRegex(values[name]!) : values[name]!, literal[0]!);
    return `${before}${op}${literal[0]}${literal.slice(1, -1).replace(placeholder, put)}${literal[0]}`;
  });
  return parts.join('') + parsed.rest;
}
