import type { RoutingFile, Service } from '../config/schema.ts';
import type { Impact } from '../domain/incident.ts';
import type { Reason } from '../domain/reason.ts';
import type { Severity } from '../domain/severity.ts';

export type Priority = 1 | 2 | 3 | 4 | 5;

/** Points and thresholds, as routing.yaml has them under `priority`. */
export type PointsTable = RoutingFile['priority'];

export type PriorityInput = {
  severity: Severity;
  /** The most important (smallest) tier among the affected services; null when none is declared. */
  tier: number | null;
  impact: Pick<Impact, 'totalRevenueImpact' | 'currency' | 'affectedUsers' | 'slaBreachRisk'>;
};

/**
 * Priority 1 (most urgent) to 5 with its reasons: the points of severity, revenue impact, affected users, the risk to an
 * objective and the tier, added up and held against `at_least`. Of rows the one with the largest `over` that the figure is
 * over counts; a figure that nobody knows gives no points.
 */
export function priorityOf(
  { severity, tier, impact }: PriorityInput,
  table: PointsTable,
): { priority: Priority; points: number; reasons: Reason[] } {
  const reasons: Reason[] = [];
  let points = 0;
  const give = (code: string, text: string, more: number): void => {
    if (more === 0) return;
    points += more;
    reasons.push({ code, text: `${text}: ${more} points` });
  };
  const { totalRevenueImpact: revenue, currency, affectedUsers, slaBreachRisk } = impact;
  const money = (amount: number): string => (currency === null ? `${amount}` : `${amount} ${currency}`);
  give('severity', `Severity ${severity}`, table.severity[severity]);
  const earning = highest(table.revenue_impact, revenue);
  if (earning) give('revenue', `Revenue impact ${money(revenue!)}, over ${money(earning.over)}`, earning.points);
  const using = highest(table.users, affectedUsers);
  if (using) give('users', `${affectedUsers} users, over ${using.over}`, using.points);
  if (slaBreachRisk !== 'unknown')
    give('sla', `SLO breach risk ${slaBreachRisk}`, table.sla_breach_risk[slaBreachRisk]);
  if (tier !== null) give('tier', `Tier ${tier}`, table.tier[tier as Priority] ?? 0);

  const level = ([1, 2, 3, 4] as const).find((one) => points >= table.at_least[one]);
  const why =
    level === undefined ? `fewer than the ${table.at_least[4]} of P4` : `P${level} takes ${table.at_least[level]}`;
  reasons.push({ code: 'points', text: `${points} points in all make P${level ?? 5}: ${why}` });
  return { priority: level ?? 5, points, reasons };
}

/** The row with the largest `over` that the figure is over; exactly that much is not over it. */
function highest(rows: PointsTable['users'], figure: number | null): PointsTable['users'][number] | null {
  if (figure === null) return null;
  const over = rows.filter((row) => figure > row.over);
  return over.reduce<(typeof over)[number] | null>((best, row) => (best && best.over >= row.over ? best : row), null);
}

/** The most important tier (1 is the highest) declared among these services, or null. */
export function tierOf(services: readonly string[], catalogue: ReadonlyMap<string, Service>): number | null {
  const tiers = services.flatMap((service) => catalogue.get(service)?.tier ?? []);
  return tiers.length === 0 ? null : Math.min(...tiers);
}
