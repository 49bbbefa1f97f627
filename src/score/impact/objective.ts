import type { BurnRates, Facts } from '../../domain/facts.ts';
import type { Impact } from '../../domain/incident.ts';
import { type Severity, severityRank } from '../../domain/severity.ts';
import type { Declared } from './declared.ts';

type Risk = 'low' | 'medium' | 'high';
export type Judged = { risk: Impact['slaBreachRisk']; notes: string[] };
/** `steps`: ms after the start at which the risk grows by time alone. */
type JudgedInTime = Judged & { steps: number[]; budget: Impact['errorBudget'] };

const risks: readonly Risk[] = ['low', 'medium', 'high'];

/** What the severity allows at most: an alert that its sender calls medium or less does not mean an outage. */
export function capped(risk: Risk, severity: Severity): Risk {
  const most = [2, 2, 1, 0, 0][severityRank(severity)]!;
  return risks[Math.min(risks.indexOf(risk), most)]!;
}

/**
 * The multi-window burn rates of the SRE workbook: a long window that says it matters, a short one that says it goes on.
 * 14.4 takes 2 % of a 30-day budget in an hour, 6 takes 5 % in six, 1 takes 10 % in three days; the first two page there,
 * the third writes a ticket. https://sre.google/workbook/alerting-on-slos/#6-multiwindow-multi-burn-rate-alerts
 */
const alarms = [
  { over: 14.4, long: '1h', short: '5m', risk: 'high' },
  { over: 6, long: '6h', short: '30m', risk: 'high' },
  { over: 1, long: '3d', short: '6h', risk: 'medium' },
] as const;

const shown = (value: number): number => Math.round(value * 10) / 10;
const hundredths = (value: number | null): number | null => (value === null ? null : Math.round(value * 100) / 100);
const percent = (share: number): number => Math.round(share * 100);

/**
 * The risk that an objective breaks: the worst of the affected services that have one. Where its errors are measured, by burn
 * rate and what is left of the budget; else, of services that alert, by what the budget loses if every request fails.
 */
export function slaBreachRisk(
  declared: readonly Declared[],
  given: {
    alerting: ReadonlySet<string>;
    severity: Severity;
    burn: Facts['burn'];
    /** ms. `known`: the expected duration rests on similar incidents. */
    elapsed: number;
    expected: number;
    known: boolean;
  },
): JudgedInTime {
  let risk: Judged['risk'] = 'unknown';
  const notes: string[] = [];
  const steps: number[] = [];
  let budget: Impact['errorBudget'] = null;
  for (const { name, service } of declared) {
    const { slo } = service;
    if (!slo) continue;
    const rates = Object.hasOwn(given.burn, name) ? given.burn[name]! : null;
    const measured = rates && measuredRisk(name, slo, rates, given);
    const one = measured ?? (given.alerting.has(name) ? worstCase(name, slo, given) : null);
    if (one === null) continue;
    if (!measured && slo.errors) notes.push(`The errors of ${name} are not known, so the worst case is taken`);
    notes.push(one.note);
    if (!measured) steps.push(...[MEDIUM, HIGH].map((share) => share * budgetOf(slo)));
    if (risk !== 'unknown' && risks.indexOf(one.risk) <= risks.indexOf(risk)) continue;
    risk = one.risk;
    budget =
      measured && rates
        ? { service: name, burnRate: hundredths(rates.rates['1h']), left: hundredths(rates.budgetLeft) }
        : null;
  }
  return { risk, notes, steps, budget };
}

type Slo = NonNullable<Declared['service']['slo']>;

/** Null when Prometheus has no figure for a single pair of windows: no traffic, or too young. */
function measuredRisk(
  name: string,
  slo: Slo,
  { rates, budgetLeft }: BurnRates,
  { elapsed, expected }: { elapsed: number; expected: number },
): { risk: Risk; note: string } | null {
  const known = alarms.filter(({ long, short }) => rates[long] !== null && rates[short] !== null);
  if (known.length === 0) return null;
  const burning = known.find(({ long, short, over }) => rates[long]! > over && rates[short]! > over);
  const list = Object.entries(rates).flatMap(([window, rate]) =>
    rate === null ? [] : [`${shown(rate)} in ${window}`],
  );
  const text = [`The error budget of ${name} burns ${list.join(', ')} times as fast as it may`];
  let risk: Risk = burning?.risk ?? 'low';
  if (burning) text.push(`over ${burning.over} in ${burning.long} and ${burning.short}`);
  const now = rates['1h'] ?? null;
  if (budgetLeft !== null) {
    text.push(`${percent(budgetLeft)} % of it is left`);
    const emptyIn = now !== null && now > 1 ? (Math.max(0, budgetLeft) * slo.window) / now : null;
    if (emptyIn !== null && emptyIn <= Math.max(0, expected - elapsed)) {
      risk = 'high';
      text.push(`gone in ${Math.round(emptyIn / 60_000)} min at this rate, before the expected end`);
    }
  }
  return { risk, note: text.join('; ') };
}

/** Shares of the budget that one incident may not eat. */
const [MEDIUM, HIGH] = [0.1, 0.5];

/** ms of full outage that an objective allows in its window. */
const budgetOf = ({ objective, window }: Slo): number => (1 - objective / 100) * window;

/**
 * How much of the budget, (1 − objective) × window, the incident eats if every request fails meanwhile. high: half is gone, or
 * all will be by the expected end; medium: a tenth, or half. A tenth is where the SRE workbook's ticket begins. Ahead is only
 * looked where similar incidents say how far: an assumed hour of assumed outage would make every such risk high.
 */
function worstCase(
  name: string,
  slo: Slo,
  { severity, elapsed, expected, known }: { severity: Severity; elapsed: number; expected: number; known: boolean },
): { risk: Risk; note: string } {
  const budget = budgetOf(slo);
  const [spent, coming] = [elapsed / budget, Math.max(elapsed, known ? expected : 0) / budget];
  const risk = spent >= HIGH || coming >= 1 ? 'high' : spent >= MEDIUM || coming >= HIGH ? 'medium' : 'low';
  const size = `${Math.round(budget / 60_000)} min`;
  const ahead = known ? `, ${percent(coming)} % by the expected end` : '';
  const note = `${percent(spent)} % of the error budget of ${name} (${size}) is gone if every request has failed since${ahead}`;
  return { risk: capped(risk, severity), note };
}
