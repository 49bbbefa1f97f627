import type { Incident } from '../domain/incident.ts';
import { grouped, inWords, plain, utc } from './text.ts';

/** Cents matter below 10, above they pretend a precision that the figure does not have. */
const money = (amount: number, currency: string): string =>
  `${amount < 10 ? amount : grouped(amount)} ${plain(currency, 10)}`;

/** Whom it hits and what an hour of it costs, for a lock screen; money only in the currency it was declared in. */
export function tollWords({ impact, status }: Incident): string | null {
  const { affectedUsers, currency, totalRevenueImpact, revenuePerHour } = impact;
  const parts = affectedUsers ? [`${grouped(affectedUsers)} users`] : [];
  if (currency && status === 'resolved' && totalRevenueImpact)
    parts.push(`at most ${money(totalRevenueImpact, currency)} lost`);
  if (currency && status !== 'resolved' && revenuePerHour) parts.push(`${money(revenuePerHour, currency)}/h at stake`);
  return parts.join(' · ') || null;
}

/** True once it has lasted longer than incidents like it: the total is then what is lost so far, and no longer an expectation. */
export function outlasted({ impact, status }: Pick<Incident, 'impact' | 'status'>): boolean {
  const { revenuePerHour, totalRevenueImpact, estimatedDurationSeconds: duration } = impact;
  if (status === 'resolved' || !revenuePerHour || totalRevenueImpact === null || duration === null) return false;
  return totalRevenueImpact - (revenuePerHour * duration.p50) / 3_600 >= 0.01;
}

/**
 * What it costs: expected in all with the rate, the duration and what that rests on; or, once it has outlasted that, the loss
 * up to a stated time, for a message is read later than it is written.
 */
function moneyWords(incident: Incident): string | null {
  const { impact, status, startedAt } = incident;
  const { currency, totalRevenueImpact: total, revenuePerHour, estimatedDurationSeconds: duration } = impact;
  if (!currency || !revenuePerHour || !total) return null;
  if (status === 'resolved') return `at most ${money(total, currency)} lost`;
  const rate = `${money(revenuePerHour, currency)}/h`;
  if (duration === null) return `${rate} at stake`;
  const long = inWords(duration.p50 * 1_000);
  if (!outlasted(incident))
    return `${money(total, currency)} expected (${rate} × ${long}, ${plain(duration.basis, 80)})`;
  const by = utc(Date.parse(startedAt) + (total / revenuePerHour) * 3_600_000);
  return `up to ${money(total, currency)} lost by ${by} (${rate}, longer than the ${long} expected)`;
}

/** Services without an alert yet that are expected to follow; null when there are none, or it is over. */
function reachWords({ impact, status }: Incident): string | null {
  const names = (impact.expectedServices ?? []).map((name) => plain(name, 50));
  if (names.length === 0 || status === 'resolved') return null;
  const more = names.length > 3 ? ` and ${names.length - 3} more` : '';
  return `expected to reach ${names.slice(0, 3).join(', ')}${more}`;
}

/** `SLO breach risk high (checkout burns its error budget 48 times too fast, 12 % left)`, the bracket where it is measured. */
function objectiveWords({ impact: { slaBreachRisk, errorBudget } }: Incident): string {
  const { service, burnRate, left } = errorBudget ?? { service: '', burnRate: null, left: null };
  const parts = [
    burnRate !== null && burnRate > 1
      ? `${plain(service, 50)} burns its error budget ${burnRate < 10 ? burnRate.toFixed(1) : grouped(burnRate)} times too fast`
      : null,
    left === null ? null : left > 0 ? `${Math.round(left * 100)} % left` : 'none left',
  ].filter((part) => part !== null);
  return `SLO breach risk ${slaBreachRisk}${parts.length > 0 ? ` (${parts.join(', ')})` : ''}`;
}

/** Who and what an incident costs, on one line, or null when nothing is known. */
export function impactWords(incident: Incident): string | null {
  const { impact, status } = incident;
  const { customerImpact: customers, affectedUsers: users, slaBreachRisk: sla } = impact;
  const reach = reachWords(incident);
  const parts = [
    // Said first: what follows counts those services already.
    reach,
    customers && customers !== 'none' ? `${customers} customer impact` : null,
    users ? `${grouped(users)} users` : null,
    moneyWords(incident),
    sla === 'high' || sla === 'medium' ? objectiveWords(incident) : null,
    reach === null && impact.cascadeRisk === 'high' && status !== 'resolved' ? 'likely to spread' : null,
    impact.regulatoryRisk ? 'regulated service' : null,
  ].filter((part) => part !== null);
  return parts.length > 0 ? plain(parts.join(' · '), 500) : null;
}
