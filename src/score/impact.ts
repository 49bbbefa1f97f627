import type { Service } from '../config/schema.ts';
import type { ServiceGraph } from '../correlate/types.ts';
import type { Facts } from '../domain/facts.ts';
import type { Impact } from '../domain/incident.ts';
import type { Degraded } from '../domain/reason.ts';
import type { Severity } from '../domain/severity.ts';
import { type Declared, declaredOf } from './impact/declared.ts';
import { nextEdge, revenueOf, totalOf } from './impact/money.ts';
import { slaBreachRisk } from './impact/objective.ts';
import { cascadeRisk, expectedToFollow } from './impact/spread.ts';

export type ImpactInput = {
  /** Services with an alert in the incident. */
  services: readonly string[];
  /** The service it comes from, when that is clear; null else. Of a single service it is that one. */
  suspect: string | null;
  severity: Severity;
  catalogue: ReadonlyMap<string, Service>;
  graph: ServiceGraph;
  facts: Pick<Facts, 'duration' | 'spread' | 'users' | 'burn'>;
  /** Epoch ms. For a resolved incident `now` is when it was resolved. */
  startedAt: number;
  now: number;
  over: boolean;
  /** Amounts of revenue impact that priority and routing ask for. */
  edges: readonly number[];
};

export type AssessedImpact = {
  impact: Impact;
  /** How each figure came about, for `explain`. */
  notes: string[];
  /** Figures that were refused though something was declared for them. */
  degraded: Degraded[];
  /** When time alone will have changed what is said here (epoch ms), or null. */
  lookAgainAt: number | null;
};

/** Taken when no incident like it is on record. */
const ASSUMED: NonNullable<Facts['duration']> = { p50: 3_600, p90: 3_600, basis: 'assumed, no similar incidents' };

/**
 * What an incident costs whom, from declared and measured figures only: what nobody declared is null or `unknown`, never
 * guessed. Affected are the services that alert and those expected to follow; `totalRevenueImpact` is what they earn an hour
 * times how long incidents like it take (the median; 1 h when there are none), or how long it has lasted when that is longer.
 * `affectedUsers` is the largest figure of them, not the sum: the same people use several services, so it is a lower bound.
 */
export function assessImpact(input: ImpactInput): AssessedImpact {
  const { severity, catalogue, graph, facts, startedAt, now, over } = input;
  const alerting = [...new Set(input.services)];
  const suspect = input.suspect ?? (alerting.length === 1 ? alerting[0]! : null);
  const spread = { alerting, severity, graph, past: facts.spread };
  const following = over ? { services: [], notes: [] } : expectedToFollow({ ...spread, suspect });
  const affected = [...alerting, ...following.services];
  const declared = declaredOf(affected, catalogue);

  const duration = facts.duration ?? ASSUMED;
  const time = { expected: duration.p50 * 1_000, elapsed: Math.max(0, now - startedAt), over };
  const revenue = revenueOf(declared, graph);
  const { total, note } = totalOf(revenue, time);
  const users = usersOf(declared, facts.users);
  const sla = slaBreachRisk(declared, {
    alerting: new Set(alerting),
    severity,
    burn: facts.burn,
    known: facts.duration !== null,
    ...time,
  });
  const cascade = cascadeRisk(spread, catalogue);
  const measured = affected.some((name) => Object.hasOwn(facts.users, name) || Object.hasOwn(facts.burn, name));
  const steps = [...sla.steps, ...(measured ? [nextMeasure(time.elapsed)] : [])]
    .map((ms) => Math.ceil(startedAt + ms))
    .filter((at) => at > now);
  const edge = nextEdge(revenue, input.edges, { startedAt, now, expected: time.expected });
  const times = edge === null ? steps : [edge, ...steps];
  return {
    impact: {
      revenuePerHour: revenue.perHour,
      currency: revenue.currency,
      totalRevenueImpact: total,
      affectedServices: affected,
      expectedServices: following.services,
      affectedUsers: users.most,
      customerImpact: worstCustomerImpact(declared),
      regulatoryRisk: declared.some(({ service }) => service.regulatory === true),
      slaBreachRisk: sla.risk,
      errorBudget: sla.budget,
      cascadeRisk: cascade.risk,
      estimatedDurationSeconds: duration,
    },
    notes: [
      ...following.notes,
      ...revenue.notes,
      `It is expected to last ${inMinutes(duration.p50)}, 9 times in 10 at most ${inMinutes(duration.p90)} (${duration.basis})`,
      ...(note === null ? [] : [note]),
      ...users.notes,
      ...sla.notes,
      ...cascade.notes,
    ],
    degraded: revenue.refused === null ? [] : [{ stage: 'impact', reason: revenue.refused }],
    lookAgainAt: over || times.length === 0 ? null : Math.min(...times),
  };
}

const inMinutes = (seconds: number): string => `${Math.round(seconds / 60)} min`;

const FIRST_MEASURE = 5 * 60_000;

/** What is measured moves by itself: it is asked for again after 5, 10, 20, 40… minutes, ms after the start. */
function nextMeasure(elapsed: number): number {
  let next = FIRST_MEASURE;
  while (next <= elapsed) next *= 2;
  return next;
}

/** A declared number, or what its query counts now; a query without an answer is no figure. */
function usersOf(declared: readonly Declared[], counted: Facts['users']): { most: number | null; notes: string[] } {
  const notes: string[] = [];
  let most: number | null = null;
  for (const { name, service } of declared) {
    if (service.users === undefined) continue;
    const query = typeof service.users === 'object';
    const answer = Object.hasOwn(counted, name) ? counted[name] : undefined;
    const figure = typeof service.users === 'number' ? service.users : (answer ?? null);
    if (figure === null) {
      const why = answer === undefined ? 'was not answered' : 'gives no figure';
      notes.push(`How many people use ${name} is not known: its query ${why}`);
      continue;
    }
    notes.push(`${figure} people use ${name} (${query ? 'counted now' : 'as declared'})`);
    most = Math.max(most ?? 0, figure);
  }
  return { most, notes };
}

const customerImpacts = ['none', 'low', 'medium', 'high'] as const;

function worstCustomerImpact(declared: readonly Declared[]): Impact['customerImpact'] {
  const ranks = declared.flatMap(({ service }) =>
    service.customer_impact === undefined ? [] : [customerImpacts.indexOf(service.customer_impact)],
  );
  return ranks.length === 0 ? null : customerImpacts[Math.max(...ranks)]!;
}
