import type { ServiceGraph } from '../../correlate/types.ts';
import type { Declared } from './declared.ts';
import { walk } from './walk.ts';

const HOUR = 3_600_000;

/** To the cent: what is over 10,000 by a cent is over 10,000. */
const roundMoney = (amount: number): number => Math.round(amount * 100) / 100;

type Revenue = { perHour: number | null; currency: string | null; notes: string[]; refused: string | null };

/**
 * Money of one currency, added up without counting any of it twice: where one affected service calls another, directly or
 * through others, the same order earns on both, so only the larger figure of the two counts (of equal ones the first by
 * name). Services that do not call each other add up. A lower bound, hence never an invented loss.
 */
export function revenueOf(declared: readonly Declared[], graph: ServiceGraph): Revenue {
  const earning = declared
    .map(({ name, service }) => ({ name, perHour: service.revenue_per_hour ?? 0, currency: service.currency ?? null }))
    .filter((one) => one.perHour > 0)
    .sort((a, b) => b.perHour - a.perHour || (a.name < b.name ? -1 : 1));
  if (earning.length === 0) {
    const zero = declared.find(({ service }) => service.revenue_per_hour === 0);
    const all = zero !== undefined && declared.every(({ service }) => service.revenue_per_hour === 0);
    return all
      ? { perHour: 0, currency: zero.service.currency ?? null, notes: [], refused: null }
      : { perHour: null, currency: null, notes: [], refused: null };
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

/**
 * What an incident costs in all: per hour × the expected duration, or the time it has lasted when that is longer; once it is
 * over, the time it took.
 */
export function totalOf(
  { perHour, currency }: Pick<Revenue, 'perHour' | 'currency'>,
  time: { expected: number; elapsed: number; over: boolean },
): { total: number | null; note: string | null } {
  if (perHour === null) return { total: null, note: null };
  const lasted = time.over || time.elapsed > time.expected;
  const ms = lasted ? time.elapsed : time.expected;
  const total = roundMoney((perHour * ms) / HOUR);
  const why = time.over ? 'that it lasted' : lasted ? 'so far, longer than expected' : 'expected';
  const unit = currency === null ? '' : ` ${currency}`;
  return { total, note: `${perHour}${unit} an hour × ${hours(ms)} h ${why} = ${total}${unit}` };
}

/**
 * When the growing loss of an incident that outlasts its like next passes one of `edges` (amounts that priority and routing ask
 * for), or begins to grow: epoch ms, null when it never does.
 */
export function nextEdge(
  { perHour }: Pick<Revenue, 'perHour'>,
  edges: readonly number[],
  { startedAt, now, expected }: { startedAt: number; now: number; expected: number },
): number | null {
  if (perHour === null || perHour === 0) return null;
  // From here on it grows; what is passed before that, the expectation has passed already.
  const grows = startedAt + expected + centTakes(perHour);
  const passed = edges.map((edge) => startedAt + (edge / perHour) * HOUR + centTakes(perHour));
  const coming = [grows, ...passed].filter((at) => at >= grows && Math.ceil(at) > now);
  return coming.length === 0 ? null : Math.ceil(Math.min(...coming));
}

/** How long it takes to lose a cent. */
const centTakes = (perHour: number): number => (0.01 / perHour) * HOUR;

const hours = (ms: number): number => Math.round((ms / HOUR) * 100) / 100;
