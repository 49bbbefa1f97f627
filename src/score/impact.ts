import type { Service } from '../config/schema.ts';
import type { ServiceGraph } from '../correlate/types.ts';
import type { Facts } from '../domain/facts.ts';
import type { Impact } from '../domain/incident.ts';
import type { Degraded } from '../domain/reason.ts';
import { type Severity, severityRank } from '../domain/severity.ts';

export type ImpactInput = {
  /** Services with an alert in the incident. */
  services: readonly string[];
  severity: Severity;
  catalogue: ReadonlyMap<string, Service>;
  graph: ServiceGraph;
  facts: Pick<Facts, 'duration'>;
  /** Epoch ms. For a resolved incident `now` is when it was resolved. */
  startedAt: number;
  now: number;
};

export type AssessedImpact = {
  impact: Impact;
  /** How each figure came about, for `explain`. */
  notes: string[];
  /** Figures that were refused though something was declared for them. */
  degraded: Degraded[];
};

type Risk = Impact['slaBreachRisk'];
type Declared = { name: string; service: Service };

const HOUR = 3_600_000;

/**
 * What an incident costs whom, from declared services only: what nobody declared is null or `unknown`, never guessed.
 *
 * - revenuePerHour: what the affected services earn an hour, so what is at risk, not a measured loss. See `revenueOf`.
 * - totalRevenueImpact: that times the hours since `startedAt`.
 * - affectedUsers: the largest declared number, not the sum: the same people use several services, so it is a lower bound.
 * - customerImpact: the worst declared; regulatoryRisk: any declared.
 */
export function assessImpact(input: ImpactInput): AssessedImpact {
  const { services, severity, catalogue, graph, facts, startedAt, now } = input;
  const affected = [...new Set(services)];
  const declared = affected.flatMap((name): Declared[] => {
    const service = catalogue.get(name);
    return service ? [{ name, service }] : [];
  });
  const elapsed = Math.max(0, now - startedAt);
  const revenue = revenueOf(declared, graph);
  const users = declared.flatMap(({ service }) => (service.users === undefined ? [] : [service.users]));
  const sla = slaBreachRisk(declared, severity, elapsed, facts.duration);
  const cascade = cascadeRisk(affected, severity, graph, catalogue);
  return {
    impact: {
      revenuePerHour: revenue.perHour,
      currency: revenue.currency,
      totalRevenueImpact: revenue.perHour === null ? null : roundMoney((revenue.perHour * elapsed) / HOUR),
      affectedServices: affected,
      affectedUsers: users.length === 0 ? null : Math.max(...users),
      customerImpact: worstCustomerImpact(declared),
      regulatoryRisk: declared.some(({ service }) => service.regulatory === true),
      slaBreachRisk: sla.risk,
      cascadeRisk: cascade.risk,
      estimatedDurationSeconds: facts.duration,
    },
    notes: [...revenue.notes, ...sla.notes, ...cascade.notes],
    degraded: revenue.refused === null ? [] : [{ stage: 'impact', reason: revenue.refused }],
  };
}

/** Cents matter below 100, above they pretend a precision that the input does not have. */
const roundMoney = (amount: number): number => (amount < 100 ? Math.round(amount * 100) / 100 : Math.round(amount));

type Revenue = { perHour: number | null; currency: string | null; notes: string[]; refused: string | null };

/**
 * Money of one currency, added up without counting any of it twice: where one affected service calls another, directly or
 * through others, the same order earns on both, so only the larger figure of the two counts (of equal ones the first by
 * name). Services that do not call each other add up. A lower bound, hence never an invented loss.
 */
function revenueOf(declared: readonly Declared[], graph: ServiceGraph): Revenue {
  const earning = declared
    .map(({ name, service }) => ({ name, perHour: service.revenue_per_hour ?? 0, currency: service.currency ?? null }))
    .filter((one) => one.perHour > 0)
    .sort((a, b) => b.perHour - a.perHour || (a.name < b.name ? -1 : 1));
  if (earning.length === 0) {
    const zero = declared.length > 0 && declared.every(({ service }) => service.revenue_per_hour === 0);
    return {
      perHour: zero ? 0 : null,
      currency: zero ? (declared[0]!.service.currency ?? null) : null,
      notes: [],
      refused: null,
    };
  }
  const currencies = [...new Set(earning.map((one) => one.currency ?? 'no currency'))];
  if (currencies.length > 1) {
    const reason = `Revenue is declared in ${currencies.join(' and ')}; it is not added up. Declare one currency in business-context.yaml`;
    return { perHour: null, currency: null, notes: [], refused: reason };
  }
  const counted: typeof earning = [];
  const notes: string[] = [];
  const reaches = new Map<string, ReadonlyMap<string, number>>();
  for (const one of earning) {
    if (earning.length > 1)
      reaches.set(
        one.name,
        walk([one.name], (name) => graph.callees(name, null)),
      );
    const twin = counted.find(
      (other) => reaches.get(other.name)?.has(one.name) || reaches.get(one.name)?.has(other.name),
    );
    if (twin) notes.push(`The revenue of ${one.name} is part of that of ${twin.name}: one calls the other`);
    else counted.push(one);
  }
  notes.unshift(`Revenue per hour counts ${counted.map((one) => `${one.name} ${one.perHour}`).join(', ')}`);
  const perHour = roundMoney(counted.reduce((sum, one) => sum + one.perHour, 0));
  return { perHour, currency: earning[0]!.currency, notes, refused: null };
}

const customerImpacts = ['none', 'low', 'medium', 'high'] as const;

function worstCustomerImpact(declared: readonly Declared[]): Impact['customerImpact'] {
  const ranks = declared.flatMap(({ service }) =>
    service.customer_impact === undefined ? [] : [customerImpacts.indexOf(service.customer_impact)],
  );
  return ranks.length === 0 ? null : customerImpacts[Math.max(...ranks)]!;
}

const risks = ['low', 'medium', 'high'] as const;

/** What the severity allows at most: an alert that its sender calls medium or less does not mean an outage. */
function capped(risk: (typeof risks)[number], severity: Severity): (typeof risks)[number] {
  const most = [2, 2, 1, 0, 0][severityRank(severity)]!;
  return risks[Math.min(risks.indexOf(risk), most)]!;
}

/**
 * How much of an affected service's error budget the incident eats, if every request fails meanwhile (no error rate is
 * declared, so this is the worst case). Budget = (1 − objective) × window; a share of 1 breaks the objective by itself.
 * high: half is gone, or all will be by the median duration of incidents like it; medium: a tenth, or half.
 * A tenth is where the SRE workbook's ticket alert starts (10 % of the budget, 3 days at burn rate 1).
 * https://sre.google/workbook/alerting-on-slos/
 */
function slaBreachRisk(
  declared: readonly Declared[],
  severity: Severity,
  elapsed: number,
  duration: Facts['duration'],
): { risk: Risk; notes: string[] } {
  let worst: { name: string; spent: number; expected: number; minutes: number } | null = null;
  for (const { name, service } of declared) {
    if (!service.slo) continue;
    const budget = (1 - service.slo.objective / 100) * service.slo.window;
    const [spent, expected] = [elapsed / budget, Math.max(elapsed, (duration?.p50 ?? 0) * 1000) / budget];
    if (worst === null || spent > worst.spent) worst = { name, spent, expected, minutes: budget / 60_000 };
  }
  if (worst === null) return { risk: 'unknown', notes: [] };
  const { spent, expected } = worst;
  const risk = spent >= 0.5 || expected >= 1 ? 'high' : spent >= 0.1 || expected >= 0.5 ? 'medium' : 'low';
  const share = `${Math.round(spent * 100)} % of the error budget of ${worst.name} (${Math.round(worst.minutes)} min) is gone`;
  return { risk: capped(risk, severity), notes: [`${share} if every request has failed since`] };
}

/**
 * How far it may spread: services that call an affected one, directly or through others, and have no alert yet.
 * high: five of them, or one of tier 1 within two calls; medium: any; low: none. Unknown when the graph knows no
 * affected service.
 */
function cascadeRisk(
  affected: readonly string[],
  severity: Severity,
  graph: ServiceGraph,
  catalogue: ReadonlyMap<string, Service>,
): { risk: Risk; notes: string[] } {
  const known = affected.filter((service) => graph.has(service, null));
  if (known.length === 0) return { risk: 'unknown', notes: [] };
  const hit = new Set(affected);
  const spared = [...walk(known, (name) => graph.callers(name, null))].filter(([name]) => !hit.has(name));
  const near = spared.filter(([name, calls]) => calls <= 2 && catalogue.get(name)?.tier === 1);
  const risk = spared.length >= 5 || near.length > 0 ? 'high' : spared.length > 0 ? 'medium' : 'low';
  const list = spared.slice(0, 5).map(([name]) => name);
  const notes = list.length === 0 ? [] : [`${spared.length} callers have no alert yet: ${list.join(', ')}`];
  return { risk: capped(risk, severity), notes };
}

/** A graph of 100,000 edges must not cost an assessment its time; past this many services the answer is "many" anyway. */
const MOST_VISITED = 2_000;

/** Every service within reach of `starts` with its distance in calls, nearest first; the starts are at 0. */
function walk(starts: readonly string[], next: (service: string) => readonly string[]): Map<string, number> {
  const distance = new Map(starts.map((name): [string, number] => [name, 0]));
  // A Map gives what is added while it is read, so this is a breadth-first search.
  for (const [name, calls] of distance) {
    if (distance.size >= MOST_VISITED) break;
    for (const other of next(name)) if (!distance.has(other)) distance.set(other, calls + 1);
  }
  return distance;
}
