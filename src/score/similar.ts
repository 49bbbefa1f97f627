import type { Incident } from '../domain/incident.ts';

/**
 * How alike two incidents are, from what is known of both: 0..1. A fact that one of them lacks speaks neither for nor
 * against; the others then share its weight.
 */
export type Described = {
  /** Labels of the lead alert. */
  labels: Readonly<Record<string, string>>;
  /** Rule name, title and summary: whatever words there are. */
  text: string;
  /** The service suspected as the cause, or null when none is (or not yet). */
  suspect: string | null;
};

/** The likeliest cause's service, unless nothing clear was found. */
export function clearSuspect({ rootCauses: [top] }: Pick<Incident, 'rootCauses'>): string | null {
  return top && top.confidence !== 'low' ? top.service : null;
}

/** What the two share, found on the way to the past incident. */
export type Shared = { rule: boolean; service: boolean | null };

/**
 * The same rule on the same service is what made two incidents of one kind in every recorded stream; the other parts order
 * those. With these weights the same rule elsewhere reaches 0.5, and the same service with another rule stays at or below it.
 */
const weights = { rule: 0.5, service: 0.2, labels: 0.1, text: 0.1, suspect: 0.1 } as const;

/** Labels that name a single run of something say nothing about likeness. */
const ephemeral =
  /^(alertname|severity|pod|pod_template_hash|container_id|id|uid|instance_id|replica|prometheus|endpoint)$/;

export function similarity(now: Described, past: Described, shared: Shared): number {
  let sum = 0;
  let weight = 0;
  const count = (name: keyof typeof weights, value: number | null): void => {
    if (value === null) return;
    sum += weights[name] * value;
    weight += weights[name];
  };
  count('rule', shared.rule ? 1 : 0);
  count('service', shared.service === null ? null : shared.service ? 1 : 0);
  count('labels', jaccard(labelSet(now.labels), labelSet(past.labels)));
  count('text', jaccard(wordSet(now.text), wordSet(past.text)));
  count('suspect', now.suspect === null || past.suspect === null ? null : now.suspect === past.suspect ? 1 : 0);
  return Math.round((sum / weight) * 1_000) / 1_000;
}

/**
 * A replay compares the same few kinds of incidents some hundred times for each that is judged: their sets are made once, and
 * equal ones are the same object, so that most comparisons are of one set with itself. Half of a replay's time otherwise.
 */
const labelSets = new WeakMap<Readonly<Record<string, string>>, ReadonlySet<string>>();
const sets = new Map<string, ReadonlySet<string>>();
const KEPT_SETS = 20_000;

function setOf(key: string, members: () => string[]): ReadonlySet<string> {
  const known = sets.get(key);
  if (known) return known;
  const set = new Set(members());
  if (sets.size >= KEPT_SETS) sets.clear();
  sets.set(key, set);
  return set;
}

const telling = (labels: Readonly<Record<string, string>>): string[] =>
  Object.entries(labels)
    .filter(([name]) => !ephemeral.test(name))
    .map(([name, value]) => `${name}\0${value}`);

/** Two with the same key are equally like anything. */
export const likenessKey = ({ labels, text, suspect }: Described): string =>
  `${telling(labels).join('\0')}\n${text}\n${suspect ?? ''}`;

function labelSet(labels: Readonly<Record<string, string>>): ReadonlySet<string> {
  const known = labelSets.get(labels);
  if (known) return known;
  const members = telling(labels);
  const set = setOf(`labels\0${members.join('\0')}`, () => members);
  labelSets.set(labels, set);
  return set;
}

/** Words of at least two letters, split inside CamelCase; numbers differ from one time to the next. */
const wordSet = (text: string): ReadonlySet<string> =>
  setOf(text, () =>
    text
      .slice(0, 500)
      .replace(/([a-z])([A-Z])/g, '$1 $2')
      .toLowerCase()
      .split(/[^\p{L}]+/u)
      .filter((word) => word.length > 1),
  );

/** |a ∩ b| / |a ∪ b|, or null when either is empty. */
function jaccard(a: ReadonlySet<string>, b: ReadonlySet<string>): number | null {
  if (a.size === 0 || b.size === 0) return null;
  if (a === b) return 1;
  let both = 0;
  for (const one of a) if (b.has(one)) both += 1;
  return both / (a.size + b.size - both);
}

/** The nearest-rank percentile (0 < p <= 1) of a sorted list that is not empty. */
export const percentile = (sorted: readonly number[], p: number): number =>
  sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)]!;
