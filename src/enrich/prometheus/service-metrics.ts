import type { ServiceGraph } from '../../correlate/types.ts';
import type { ServiceMetric } from '../../domain/facts.ts';
import { type MetricSeries, metricEvidence, metricKind } from '../../score/causes/metric-evidence.ts';
import type { Subject } from '../gather.ts';
import { fairTurn } from '../turns.ts';
import type { MatrixSeries, SeriesLabels } from './answers.ts';
import { metricNames, range, rawRange, seriesOf } from './ask.ts';
import type { Client, Failure } from './client.ts';
import { asRegex, type Matcher, selector } from './expression.ts';

/** Looked at around the onset: the hour before is the baseline, ten minutes after it show how far it went. */
const BEFORE_MS = 60 * 60_000;
const AFTER_MS = 10 * 60_000;
const STEP_MS = 60_000;
/** Services whose metrics are looked at for one incident: its own, what they call, who calls them and what those call. */
const SERVICES = 60;
const NAMESPACES = 3;
/** 300 series of an hour at 15 s are 70,000 samples, about 1.5 MB. */
const SERIES = 300;
const NAMES = 40;
/** Facts about what fits a page; ranking itself looks at the strongest of each service. */
const FACTS = 200;
const FRESH_MS = 30_000;

/** Monotonic counters and parts of histograms say nothing as they are; the golden signals ask for their rates. */
const notGauges =
  /_(total|bucket|created|info)$|^(ALERTS|ALERTS_FOR_STATE|scrape_.*|promhttp_.*|go_.*|process_(start|max|virtual|open).*)$/;

type LabelNames = { service: string; namespace: string };
export type Surroundings = { graph: ServiceGraph; labelNames: { service: string[]; namespace: string[] } };

/**
 * How far the metrics of an incident's services, and of those around them in the service graph, left their usual range at
 * its onset: what root cause ranking may use. Never looks beyond `subject.now`.
 *
 * One question finds the series, one fetches their samples. Servers that understand simple selectors only are asked metric
 * by metric; what worked is remembered in `client.learned`.
 */
export async function serviceMetrics(
  client: Client,
  subject: Subject,
  { graph, labelNames }: Surroundings,
  signal: AbortSignal,
): Promise<{ metrics: ServiceMetric[]; failure: Failure | null }> {
  const metrics: ServiceMetric[] = [];
  let failure: Failure | null = null;
  const names = namesIn(subject, labelNames);
  for (const [namespace, services] of servicesAround(subject, graph)) {
    const found = await fetchSeries(client, { namespace, services, names, subject, signal });
    if (!found.ok) {
      failure ??= found;
      continue;
    }
    for (const series of found.value) {
      await fairTurn();
      const fact = metricEvidence(asEvidence(series, names, namespace), subject.startedAt);
      if (fact) metrics.push(fact);
    }
  }
  return { metrics: strongest(metrics), failure };
}

/** Highest score first; a fixed order, whatever order the server gave. */
const strongest = (metrics: ServiceMetric[]): ServiceMetric[] =>
  metrics
    .sort(
      (a, b) =>
        b.score - a.score ||
        (b.deviation ?? 0) - (a.deviation ?? 0) ||
        (`${a.service}\n${a.metric}` < `${b.service}\n${b.metric}` ? -1 : 1),
    )
    .slice(0, FACTS);

/** The labels by which the incident's alerts say service and namespace; their series are taken to use the same ones. */
function namesIn({ alerts, lead }: Subject, { service, namespace }: Surroundings['labelNames']): LabelNames {
  const one = lead ?? alerts[0];
  const used = (names: string[], value: string | null | undefined, usual: string): string =>
    names.find((name) => value && one?.labels[name] === value) ?? names[0] ?? usual;
  return { service: used(service, one?.service, 'service'), namespace: used(namespace, one?.namespace, 'namespace') };
}

/** By namespace, the services to look at: nearest first. */
function servicesAround(subject: Subject, graph: ServiceGraph): [string | null, string[]][] {
  const spaces = new Map<string | null, Set<string>>();
  const add = (namespace: string | null, service: string): void => {
    const known = spaces.get(namespace);
    if (!known) spaces.set(namespace, new Set([service]));
    else if (known.size < SERVICES) known.add(service);
  };
  for (const { service, namespace } of subject.services) add(namespace, service);
  for (const { destination, namespace } of subject.alerts) if (destination !== null) add(namespace, destination);
  for (const [namespace, services] of spaces) {
    const own = [...services];
    for (const service of services) for (const callee of graph.callees(service, namespace)) add(namespace, callee);
    for (const service of own) {
      for (const caller of graph.callers(service, namespace)) {
        add(namespace, caller);
        for (const sibling of graph.callees(caller, namespace)) add(namespace, sibling);
      }
    }
  }
  return [...spaces]
    .sort((a, b) => b[1].size - a[1].size)
    .slice(0, NAMESPACES)
    .map(([namespace, services]) => [namespace, [...services].sort()]);
}

type Fetch = {
  namespace: string | null;
  services: string[];
  names: LabelNames;
  subject: Subject;
  signal: AbortSignal;
};
type Fetched = { ok: true; value: MatrixSeries[] } | Failure;

async function fetchSeries(client: Client, fetch: Fetch): Promise<Fetched> {
  const discovered = await discover(client, fetch);
  if (!discovered.ok) return discovered;
  const names = discovered.value;
  if (names.length === 0) return { ok: true, value: [] };
  const known = client.learned.get('fetch');
  const ways = known ? [known] : ['raw', 'range', 'by-name'];
  let failure: Failure | null = null;
  for (const way of ways) {
    const got = await ways_[way as keyof typeof ways_](client, fetch, names);
    if (!got.ok) {
      // Slow or not asked: another way would fare no better.
      if (got.kind === 'unanswered' || got.kind === 'limit') return got;
      failure = got;
      continue;
    }
    if (got.value.length === 0) continue;
    client.learned.set('fetch', way);
    return { ok: true, value: wanted(got.value, fetch) };
  }
  // A server that understands none of it has no metrics for us; only what is too much for it is worth a word.
  return failure?.kind === 'too-large' ? failure : { ok: true, value: [] };
}

const windowOf = ({ startedAt, now }: Subject) => ({
  start: startedAt - BEFORE_MS,
  end: Math.min(now, startedAt + AFTER_MS),
});

const inNamespace = ({ namespace, names }: Fetch): Matcher[] =>
  namespace === null ? [] : [{ name: names.namespace, op: '=', value: namespace }];

const ofServices = (fetch: Fetch): Matcher[] => [
  ...inNamespace(fetch),
  { name: fetch.names.service, op: '=~', value: fetch.services.map(asRegex).join('|') },
];

/** The names of metrics that these services have and that are worth looking at. */
async function discover(client: Client, fetch: Fetch): Promise<{ ok: true; value: string[] } | Failure> {
  const { subject, signal } = fetch;
  const how = { now: subject.now, maxAgeMs: 5 * 60_000, weight: 'extra' as const, signal };
  const window = windowOf(subject);
  const selectors = [
    selector(null, ofServices(fetch)),
    // For servers without regular expressions.
    selector(null, [...inNamespace(fetch), { name: fetch.names.service, op: '=', value: fetch.services[0]! }]),
  ];
  for (const match of selectors) {
    const found = await seriesOf(client, [match], window, how);
    if (!found.ok) {
      if (found.kind === 'unanswered' || found.kind === 'limit' || found.kind === 'too-large') return found;
      continue;
    }
    if (found.value.length > 0) return { ok: true, value: worthLooking(found.value) };
    if (client.learned.has('fetch')) return { ok: true, value: [] };
  }
  const all = await metricNames(client, subject.now, signal);
  return { ok: true, value: worthLooking([...(all ?? [])].map((__name__) => ({ __name__ }))) };
}

const kindOrder = ['latency', 'errors', 'success', 'saturation', 'other', 'traffic'];

/** Gauges, those that tell most of trouble first, so many that their series stay within bounds. */
function worthLooking(series: readonly SeriesLabels[]): string[] {
  const counts = new Map<string, number>();
  for (const { __name__: name } of series) if (name) counts.set(name, (counts.get(name) ?? 0) + 1);
  const isGauge = (name: string): boolean => {
    if (notGauges.test(name)) return false;
    const stem = name.replace(/_(sum|count)$/, '');
    // The two halves of a summary or histogram are counters; one of them alone may be anything.
    return stem === name || !(counts.has(`${stem}_sum`) && counts.has(`${stem}_count`));
  };
  const rank = (name: string): number => kindOrder.indexOf(metricKind(name));
  const names = [...counts.keys()].filter(isGauge).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const kept: string[] = [];
  let total = 0;
  for (const name of names) {
    total += counts.get(name)!;
    if (kept.length >= NAMES || (total > SERIES && kept.length > 0)) break;
    kept.push(name);
  }
  return kept;
}

const together = (fetch: Fetch, names: string[]): string =>
  selector(null, [{ name: '__name__', op: '=~', value: names.map(asRegex).join('|') }, ...ofServices(fetch)]);

const howTo = ({ subject, signal }: Fetch) => ({
  maxAgeMs: FRESH_MS,
  weight: 'extra' as const,
  signal,
  now: subject.now,
});

const ways_ = {
  /** The samples as scraped: their own times, nothing repeated. */
  async raw(client: Client, fetch: Fetch, names: string[]): Promise<Fetched> {
    const { start, end } = windowOf(fetch.subject);
    const query = `${together(fetch, names)}[${Math.ceil((end - start) / 1000)}s]`;
    // The answer of this window; the same incident asked again a little later has another end.
    return rawRange(client, query, { ...howTo(fetch), now: end });
  },
  async range(client: Client, fetch: Fetch, names: string[]): Promise<Fetched> {
    const got = await range(
      client,
      together(fetch, names),
      { ...windowOf(fetch.subject), stepMs: STEP_MS },
      howTo(fetch),
    );
    return got.ok ? { ok: true, value: thinned(got.value) } : got;
  },
  /** One plain selector per metric, for servers that know no more. */
  async 'by-name'(client: Client, fetch: Fetch, names: string[]): Promise<Fetched> {
    const value: MatrixSeries[] = [];
    let failure: Failure | null = null;
    const answers = await Promise.all(
      names.map((name) =>
        range(
          client,
          selector(name, inNamespace(fetch)),
          { ...windowOf(fetch.subject), stepMs: STEP_MS },
          howTo(fetch),
        ),
      ),
    );
    answers.forEach((got, i) => {
      if (!got.ok) failure ??= got;
      else
        value.push(
          ...thinned(got.value).map(({ metric, values }) => ({ metric: { __name__: names[i]!, ...metric }, values })),
        );
    });
    return value.length === 0 && failure ? failure : { ok: true, value };
  },
};

/** The series of the services asked for, whatever a server gave beyond them. */
const wanted = (series: MatrixSeries[], { services, names, subject }: Fetch): MatrixSeries[] => {
  const set = new Set(services);
  const end = subject.now / 1000;
  return series
    .filter(({ metric }) => set.has(metric[names.service] ?? '') || set.has(metric.destination_service ?? ''))
    .map(({ metric, values }) => ({ metric, values: values.filter(([at]) => at <= end) }));
};

const asEvidence = ({ metric, values }: MatrixSeries, names: LabelNames, namespace: string | null): MetricSeries => ({
  metric: {
    ...metric,
    ...(metric[names.service] ? { service: metric[names.service]! } : {}),
    ...(namespace === null ? {} : { namespace }),
  },
  values,
});

/**
 * A range query repeats each sample until the next one (Prometheus looks back 5 min): a metric scraped every 5 min and asked
 * for every minute comes five times, and its spread seems smaller than it is. Keeps one point of each run where the
 * changes of at least nine in ten steps lie a common multiple apart.
 */
export function thinned(series: MatrixSeries[]): MatrixSeries[] {
  const gaps: number[] = [];
  const changesOf = ({ values }: MatrixSeries): number[] => {
    const at: number[] = [];
    for (let i = 1; i < values.length; i += 1) if (values[i]![1] !== values[i - 1]![1]) at.push(i);
    return at;
  };
  const changes = series.map(changesOf);
  for (const at of changes) for (let i = 1; i < at.length; i += 1) gaps.push(at[i]! - at[i - 1]!);
  if (gaps.length < 10) return series;
  let interval = 1;
  for (let k = 2; k <= 15; k += 1) if (gaps.filter((gap) => gap % k === 0).length >= 0.9 * gaps.length) interval = k;
  if (interval === 1) return series;
  return series.map(({ metric, values }, s) => {
    const phase = (changes[s]![0] ?? 0) % interval;
    return { metric, values: values.filter((_, i) => i % interval === phase) };
  });
}
