import type { Config, ImpactRule } from '../config/schema.ts';
import type { Impact } from '../domain/incident.ts';
import { type Severity, severityRank } from '../domain/severity.ts';

/** What an incident's rank among the others is read from. */
export type Weighed = {
  severity: Severity;
  priority: number;
  impact: Impact;
};

/** A rule of `by_impact` whose names are words of an escalation step: `team:sre`, `schedule:secondary`, `person:ana`. */
type CompiledRule = Pick<ImpactRule, 'when' | 'escalate_after'> & { add: readonly string[] };

export type ImpactRouting = {
  urgency: readonly CompiledRule[];
  also: readonly CompiledRule[];
  /** Amounts of revenue impact that some rule asks for. */
  edges: readonly number[];
};

type Names = Pick<Config['routing'], 'teams' | 'people' | 'schedules'>;

/**
 * What a name in `add` means: with its kind before it that one, else a team, else a schedule, else a person of this name.
 * Null when there is none: it is passed over, and `check` says so.
 */
export function wordOf(name: string, { teams, schedules, people }: Names): string | null {
  const known = { team: teams, schedule: schedules, person: people };
  for (const [kind, entries] of Object.entries(known)) {
    if (name.startsWith(`${kind}:`)) return Object.hasOwn(entries, name.slice(kind.length + 1)) ? name : null;
  }
  const kind = Object.entries(known).find(([, entries]) => Object.hasOwn(entries, name))?.[0];
  return kind === undefined ? null : `${kind}:${name}`;
}

/** Settles every name of `by_impact` once. */
export function compileByImpact({ by_impact, ...names }: Config['routing']): ImpactRouting {
  const compile = ({ when, add, escalate_after }: ImpactRule): CompiledRule => ({
    ...(when && { when }),
    ...(escalate_after !== undefined && { escalate_after }),
    add: add.flatMap((name) => wordOf(name, names) ?? []),
  });
  const rules = [...by_impact.urgency, ...by_impact.also];
  return {
    urgency: by_impact.urgency.map(compile),
    also: by_impact.also.map(compile),
    edges: rules.flatMap(({ when }) => (when ?? []).flatMap((criteria) => criteria.revenue_impact_over ?? [])),
  };
}

/**
 * Whom impact adds (words of an escalation step), and the longest wait for the second step in ms, or null when no rule that
 * holds names one: the first rule of `urgency` that holds, and every one of `also` that does.
 */
export function byImpact(
  weighed: Weighed,
  { urgency, also }: Pick<ImpactRouting, 'urgency' | 'also'>,
): { add: string[]; wait: number | null } {
  const first = urgency.find((rule) => holds(rule, weighed));
  const rules = [...(first ? [first] : []), ...also.filter((rule) => holds(rule, weighed))];
  const waits = rules.flatMap((rule) => rule.escalate_after ?? []);
  return {
    add: [...new Set(rules.flatMap((rule) => rule.add))],
    wait: waits.length === 0 ? null : Math.min(...waits),
  };
}

const holds = ({ when }: CompiledRule, weighed: Weighed): boolean =>
  when === undefined || when.some((criteria) => fulfils(criteria, weighed));

const levels = ['low', 'medium', 'high'] as const;
const reaches = (level: string | null, least: (typeof levels)[number]): boolean =>
  (levels as readonly (string | null)[]).indexOf(level) >= levels.indexOf(least);

/** Every criterion that is given has to hold; what is not known holds none. */
function fulfils(criteria: NonNullable<ImpactRule['when']>[number], { severity, priority, impact }: Weighed): boolean {
  const over = (value: number | null, limit: number | undefined): boolean =>
    limit === undefined || (value !== null && value > limit);
  const { severity: named, regulatory, customer_impact: customers, sla_breach_risk: sla } = criteria;
  return (
    (named === undefined || severityRank(severity) === severityRank(named)) &&
    (criteria.priority === undefined || priority <= criteria.priority) &&
    over(impact.totalRevenueImpact, criteria.revenue_impact_over) &&
    over(impact.affectedUsers, criteria.users_over) &&
    (regulatory === undefined || impact.regulatoryRisk === regulatory) &&
    (customers === undefined || reaches(impact.customerImpact, customers)) &&
    (sla === undefined || reaches(impact.slaBreachRisk, sla))
  );
}
