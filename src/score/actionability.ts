import { z } from 'zod';
import type { Impact } from '../domain/incident.ts';
import type { Severity } from '../domain/severity.ts';

/** What is known of one firing rule where it fires: what was learned in the stream, and what people did and said. */
export type RuleWorth = {
  alertname: string;
  /** Incidents that began with the rule so far, this one among them, wherever it fires. */
  seen: number;
  /** Probability that the rule speaks of faults (correlator), and on how many of its onsets that rests. */
  relevance: number;
  onsets: number;
  /** Share of its lone firings that ended soon and by themselves; of its incidents that somebody acted on. */
  selfResolve: { share: number; n: number };
  actedOn: { share: number; n: number };
  feedback: { real: number; noise: number };
};

/** What the score looks at beside severity, tier and customers. */
export type WorthFacts = {
  /** The firing rules; none for an incident declared by hand. */
  rules: readonly RuleWorth[];
  /** Distinct services among the firing alerts. */
  services: number;
  /** Whether the call graph or the catalogue knows one of the services; null when there is neither. */
  known: boolean | null;
  /** Probability of the top suspect; null when there is none. */
  suspect: number | null;
  /** State changes within the last hour of the alert that changed least. */
  changes: number;
  /** The model in force: kept with the facts, so that a record can be judged again by what it was judged by. */
  model: ActionabilityModel;
};

export type ActionabilityInput = WorthFacts & {
  severity: Severity;
  tier: number | null;
  customerImpact: Impact['customerImpact'];
};

const names = [
  'relevance',
  'company',
  'known',
  'self-resolve',
  'flapping',
  'suspect',
  'severity',
  'importance',
  'acted-on',
  'feedback',
] as const;
export type WorthInputName = (typeof names)[number];

/** Logistic: the score is 1 / (1 + e^-(intercept + sum of weight × input)). */
export type ActionabilityModel = {
  kind: 'actionability';
  version: string;
  intercept: number;
  weights: Record<WorthInputName, number>;
};

const Model = z.strictObject({
  kind: z.literal('actionability'),
  version: z.string(),
  intercept: z.number(),
  weights: z.strictObject(
    Object.fromEntries(names.map((name) => [name, z.number()])) as Record<WorthInputName, z.ZodNumber>,
  ),
});

/** Reads models/actionability.json; throws, naming each wrong place. */
export const parseActionabilityModel = (json: unknown): ActionabilityModel => Model.parse(json);

export type Part = { name: string; value: number; weight: number };
/** The score, 0..1, and everything it is made of: `start` is the intercept. `why` says the weightiest in a sentence. */
export type Actionability = {
  value: number;
  parts: Part[];
  why: string;
  /** Incidents that began with the rule seen least. */
  seen: number;
  /** Of the rule that speaks most of faults. */
  relevance: number;
};

const bySeverity: Record<Severity, number> = { critical: 1, high: 0.5, medium: 0, low: -0.5, info: -1 };
const byCustomers = { none: 0, low: 0.25, medium: 0.5, high: 1 } as const;
const byTier = [1, 0.5, 0.25, 0, 0];

const clip = (x: number, limit: number): number => Math.max(-limit, Math.min(limit, x));
const logit = (p: number): number => Math.log(p / (1 - p));
/** A share of which half is known, counts half: -1 (never) to 1 (always), 0 when nothing is known. */
const certain = ({ share, n }: { share: number; n: number }): number => (2 * share - 1) * (n / (n + 5));

/** The inputs, each about -1 to 1 and 0 when nothing is known. The rule that speaks most of faults speaks for the incident. */
export function worthInputs(input: ActionabilityInput): Record<WorthInputName, number> {
  const { rules } = input;
  const best = (of: (rule: RuleWorth) => number): number =>
    rules.length === 0 ? 0 : rules.reduce((most, rule) => Math.max(most, of(rule)), Number.NEGATIVE_INFINITY);
  const others = Math.max(0, rules.length - 1) + Math.max(0, input.services - 1);
  return {
    relevance: best((rule) => clip(logit(clip(rule.relevance - 0.5, 0.499) + 0.5) / 3, 1)),
    company: Math.min(2, Math.log2(1 + others)) / 2,
    known: input.known === null ? 0 : input.known ? 1 : -1,
    'self-resolve': -best((rule) => -certain(rule.selfResolve)),
    flapping: Math.min(1, Math.max(0, input.changes - 1) / 8),
    suspect: input.services > 1 ? (input.suspect ?? 0) : 0,
    severity: bySeverity[input.severity],
    importance: Math.max(
      input.tier === null ? 0 : (byTier[input.tier - 1] ?? 0),
      input.customerImpact === null ? 0 : byCustomers[input.customerImpact],
    ),
    'acted-on': best((rule) => certain(rule.actedOn)),
    feedback: best((rule) => clip(Math.log((1 + rule.feedback.real) / (1 + rule.feedback.noise)), 2)),
  };
}

/**
 * How much it is worth to wake somebody for this incident as it stands, 0..1: a logistic model of a few inputs, fitted on
 * recordings and invented systems (models/actionability.card.md) with a weight by judgement where no recording can say it
 * (importance, acted-on, feedback). A rule of which nothing is known is worth telling.
 */
export function actionability(input: ActionabilityInput): Actionability {
  const { model } = input;
  const inputs = worthInputs(input);
  const parts: Part[] = [{ name: 'start', value: 1, weight: model.intercept }];
  let sum = model.intercept;
  for (const name of names) {
    const value = Math.round(inputs[name] * 1000) / 1000;
    sum += value * model.weights[name];
    if (value !== 0) parts.push({ name, value, weight: model.weights[name] });
  }
  const value = input.rules.length === 0 ? 1 : 1 / (1 + Math.exp(-sum));
  return {
    value: Math.round(value * 1000) / 1000,
    parts,
    why: whyLow(input, parts),
    seen: seenLeast(input),
    relevance: mostRelevant(input)?.relevance ?? 0,
  };
}

const mostRelevant = ({ rules }: WorthFacts): RuleWorth | null =>
  rules.reduce<RuleWorth | null>((a, b) => (a && a.relevance >= b.relevance ? a : b), null);

const seenLeast = ({ rules }: WorthFacts): number =>
  rules.length === 0 ? 0 : Math.round(rules.reduce((least, rule) => Math.min(least, rule.seen), Infinity) * 100) / 100;

/** What speaks most against it, as a sentence; empty when nothing does. */
function whyLow(input: ActionabilityInput, parts: readonly Part[]): string {
  const against = parts
    .filter(({ name, value, weight }) => name !== 'start' && value * weight < 0)
    .sort((a, b) => a.value * a.weight - b.value * b.weight)
    .slice(0, 2);
  const rule = mostRelevant(input);
  const said: Partial<Record<string, string>> = {
    relevance: rule
      ? `${rule.alertname || 'this rule'} has so far mostly fired alone (${percent(rule.relevance)} that it speaks of a fault)`
      : '',
    known: 'neither the call graph nor the catalogue knows its service',
    'self-resolve': rule
      ? `${percent(rule.selfResolve.share)} of its ${Math.round(rule.selfResolve.n)} lone firings ended soon and by themselves`
      : '',
    flapping: `it changed ${input.changes} times within the hour`,
    severity: `its sender calls it ${input.severity}`,
    'acted-on': rule ? `of ${Math.round(rule.actedOn.n)} messages about it, few made anybody act` : '',
    feedback: 'people called it noise',
  };
  return against.map(({ name }) => said[name] ?? name).join('; ');
}

const percent = (share: number): string => `${Math.round(share * 100)} %`;
