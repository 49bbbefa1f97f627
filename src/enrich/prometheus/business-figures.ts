import { overWindow } from '../../config/metric-queries.ts';
import type { Service } from '../../config/schema.ts';
import type { ServiceGraph } from '../../correlate/types.ts';
import { type BurnRates, burnWindows, type Facts } from '../../domain/facts.ts';
import type { Subject } from '../gather.ts';
import { instant } from './ask.ts';
import type { Client, Failure } from './client.ts';
import { filled, quoted } from './expression.ts';

/** Services asked about for one incident: those that alert, then those that call the one it may come from. */
const SERVICES = 6;
const MINUTE = 60_000;
const WINDOW = 'tocsin_window';

type Place = Subject['services'][number];
type Asked<T> = { value: T | null; failure: Failure | null };
type Figures = Pick<Facts, 'users' | 'burn'> & { failures: [string, Failure | null][] };

/**
 * What business-context.yaml has counted by Prometheus: people who use a service now, and how fast it burns the error budget
 * of its objective. A service whose query fails has no figure, and the failure says why; one whose query gives nothing is
 * null, which is no failure.
 */
export async function businessFigures(
  client: Client,
  subject: Subject,
  { services, graph }: { services: Readonly<Record<string, Service>>; graph: ServiceGraph },
  signal: AbortSignal,
): Promise<Figures> {
  const declared = concerned(subject, graph).flatMap((place) => {
    const service = Object.hasOwn(services, place.service) ? services[place.service]! : null;
    return service && (typeof service.users === 'object' || service.slo?.errors) ? [{ place, service }] : [];
  });
  const figures: Figures = { users: {}, burn: {}, failures: [] };
  await Promise.all(
    declared.slice(0, SERVICES).map(async ({ place, service }) => {
      const [users, burn] = await Promise.all([
        typeof service.users === 'object' ? usersOf(client, service.users.query, place, subject, signal) : null,
        service.slo?.errors
          ? burnOf(client, { ...service.slo, errors: service.slo.errors }, place, subject, signal)
          : null,
      ]);
      if (users && !users.failure) figures.users[place.service] = users.value;
      if (burn?.value) figures.burn[place.service] = burn.value;
      figures.failures.push([`users of ${place.service}: `, users?.failure ?? null]);
      figures.failures.push([`error budget of ${place.service}: `, burn?.failure ?? null]);
    }),
  );
  return figures;
}

function concerned({ services, suspect, lead }: Subject, graph: ServiceGraph): Place[] {
  const source = suspect ?? lead?.service ?? null;
  const callers = source === null ? [] : graph.callers(source, null);
  const known = new Set(services.map(({ service }) => service));
  return [...services, ...callers.filter((name) => !known.has(name)).map((service) => ({ service, namespace: null }))];
}

const valuesOf = (place: Place, { lead }: Subject) => ({ ...lead?.labels, ...place });

async function usersOf(
  client: Client,
  query: string,
  place: Place,
  subject: Subject,
  signal: AbortSignal,
): Promise<Asked<number>> {
  const text = filled(query, valuesOf(place, subject));
  if (text === null) return { value: null, failure: null };
  const got = await instant(client, `max(${text})`, { now: subject.now, signal, maxAgeMs: MINUTE, weight: 'core' });
  if (!got.ok) return { value: null, failure: got };
  const value = got.value[0]?.sample[1] ?? Number.NaN;
  return { value: Number.isFinite(value) && value >= 0 ? Math.round(value) : null, failure: null };
}

/** All windows in one request; what is left of the whole window's budget in another, which may be slow and is not missed. */
async function burnOf(
  client: Client,
  { errors, objective, window }: { errors: string; objective: number; window: number },
  place: Place,
  subject: Subject,
  signal: AbortSignal,
): Promise<Asked<BurnRates>> {
  const over = (duration: string): string | null => {
    const template = overWindow(errors, duration);
    return template === null ? null : filled(template, valuesOf(place, subject));
  };
  const parts = burnWindows.flatMap((one) => {
    const text = over(one);
    return text === null ? [] : [`label_replace(max(${text}), "${WINDOW}", ${quoted(one)}, "", "")`];
  });
  const whole = over(`${window / 1000}s`);
  if (parts.length === 0 || whole === null) return { value: null, failure: null };
  const { now } = subject;
  const [got, spent] = await Promise.all([
    instant(client, parts.join(' or '), { now, signal, maxAgeMs: MINUTE / 2, weight: 'core' }),
    instant(client, `max(${whole})`, { now, signal, maxAgeMs: 10 * MINUTE, weight: 'extra' }),
  ]);
  if (!got.ok) return { value: null, failure: got };
  const allowed = 1 - objective / 100;
  const rate = (ratio: number | undefined): number | null =>
    ratio !== undefined && Number.isFinite(ratio) && ratio >= 0 ? ratio / allowed : null;
  const byWindow = new Map(got.value.map(({ metric, sample }) => [metric[WINDOW], rate(sample[1])]));
  const used = spent.ok ? rate(spent.value[0]?.sample[1]) : null;
  return {
    value: {
      rates: Object.fromEntries(burnWindows.map((one) => [one, byWindow.get(one) ?? null])) as BurnRates['rates'],
      budgetLeft: used === null ? null : 1 - used,
    },
    failure: null,
  };
}
