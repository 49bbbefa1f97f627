import type { Service } from '../config/schema.ts';
import type { Impact } from '../domain/incident.ts';
import type { Reason } from '../domain/reason.ts';
import type { Severity } from '../domain/severity.ts';

export type Priority = 1 | 2 | 3 | 4 | 5;

type PriorityImpact = Pick<Impact, 'customerImpact' | 'regulatoryRisk' | 'slaBreachRisk' | 'cascadeRisk'>;

export type PriorityInput = {
  severity: Severity;
  /** The most important (smallest) tier among the affected services; null when none is declared. */
  tier: number | null;
  size: { services: number; alerts: number };
  impact: PriorityImpact;
};

/**
 * The first guess, by what the sender said and the service's tier; P1 is the most urgent. Tier unknown counts as 2: when in
 * doubt, rather too urgent.
 *
 * |          | tier 1 | 2 | 3 | 4 | 5 | unknown |
 * |----------|--------|---|---|---|---|---------|
 * | critical | P1     | 1 | 2 | 2 | 3 | 1       |
 * | high     | P2     | 2 | 3 | 3 | 4 | 2       |
 * | medium   | P3     | 3 | 4 | 4 | 4 | 3       |
 * | low      | P4     | 4 | 4 | 5 | 5 | 4       |
 * | info     | P5     | 5 | 5 | 5 | 5 | 5       |
 */
const table: Record<Severity, readonly Priority[]> = {
  critical: [1, 1, 2, 2, 3],
  high: [2, 2, 3, 3, 4],
  medium: [3, 3, 4, 4, 4],
  low: [4, 4, 4, 5, 5],
  info: [5, 5, 5, 5, 5],
};

/** From here on an incident is wide whatever its alerts say of themselves. */
const [WIDE_SERVICES, WIDE_ALERTS] = [5, 50];

/**
 * Priority 1 (most urgent) to 5, with its reasons: the table above, one step up when the incident is wide (5 services or 50
 * firing alerts), one step up when its impact is high (customers, regulation, error budget or spread). `info` never rises.
 */
export function priorityOf({ severity, tier, size, impact }: PriorityInput): { priority: Priority; reasons: Reason[] } {
  const column = Math.min(Math.max(tier ?? 2, 1), 5) - 1;
  const base = table[severity][column]!;
  const of = tier === null ? 'a service whose tier is not declared' : `a tier ${tier} service`;
  const reasons: Reason[] = [{ code: 'severity-and-tier', text: `Severity ${severity} on ${of} is P${base}` }];
  if (severity === 'info') return { priority: base, reasons };

  let priority: number = base;
  const raise = (code: string, text: string): void => {
    if (priority === 1) return;
    priority -= 1;
    reasons.push({ code, text: `${text}: up to P${priority}` });
  };
  if (size.services >= WIDE_SERVICES || size.alerts >= WIDE_ALERTS)
    raise('wide', `${size.alerts} alerts on ${size.services} services`);
  const high = highImpact(impact);
  if (high.length > 0) raise('impact', `High impact (${high.join(', ')})`);
  return { priority: priority as Priority, reasons };
}

/** The most important tier (1 is the highest) declared among these services, or null. */
export function tierOf(services: readonly string[], catalogue: ReadonlyMap<string, Service>): number | null {
  const tiers = services.flatMap((service) => catalogue.get(service)?.tier ?? []);
  return tiers.length === 0 ? null : Math.min(...tiers);
}

function highImpact({ customerImpact, regulatoryRisk, slaBreachRisk, cascadeRisk }: PriorityImpact): string[] {
  const found: string[] = [];
  if (customerImpact === 'high') found.push('customers');
  if (regulatoryRisk) found.push('regulation');
  if (slaBreachRisk === 'high') found.push('error budget');
  if (cascadeRisk === 'high') found.push('may spread');
  return found;
}

export type ActionabilityInput = {
  severity: Severity;
  customerImpact: Impact['customerImpact'];
  /** Probability of the top suspect; null when there is none. */
  suspect: number | null;
  /** Whether anything is recommended or a runbook is linked. */
  hasAction: boolean;
  unknownOwner: boolean;
};

export type Actionability = { value: number; parts: { name: string; value: number; weight: number }[] };

const bySeverity: Record<Severity, number> = { critical: 1, high: 0.85, medium: 0.55, low: 0.25, info: 0.05 };
const byCustomers = { none: 0, low: 0.35, medium: 0.7, high: 1 } as const;

/**
 * How much someone woken now could do, 0..1: the weighted mean of severity (0.4), customer impact (0.2), clarity of the
 * cause (0.2), a known action (0.1) and a known owner (0.1). What nobody declared is left out of the mean, it counts neither
 * way. The weights are judgement, not fitted: it is shown and explained, and no verdict hangs on it.
 */
export function actionability(input: ActionabilityInput): Actionability {
  const parts = [
    { name: 'severity', value: bySeverity[input.severity], weight: 0.4 },
    ...(input.customerImpact === null
      ? []
      : [{ name: 'customers', value: byCustomers[input.customerImpact], weight: 0.2 }]),
    { name: 'cause', value: input.suspect ?? 0, weight: 0.2 },
    { name: 'action', value: input.hasAction ? 1 : 0, weight: 0.1 },
    { name: 'owner', value: input.unknownOwner ? 0 : 1, weight: 0.1 },
  ];
  const weight = parts.reduce((sum, part) => sum + part.weight, 0);
  const value = parts.reduce((sum, part) => sum + part.value * part.weight, 0) / weight;
  return { value: Math.round(value * 100) / 100, parts };
}
