import { emptyGraph } from '../correlate/graph.ts';
import type { ServiceGraph } from '../correlate/types.ts';
import { type Containment, emptyContainment } from '../domain/containment.ts';
import type { Facts } from '../domain/facts.ts';
import type { LeadMetrics } from '../domain/metrics.ts';
import type { Degraded } from '../domain/reason.ts';
import type { FactSource, Subject } from './gather.ts';
import { businessFigures } from './prometheus/business-figures.ts';
import type { Client, Failure } from './prometheus/client.ts';
import { goldenSignals } from './prometheus/golden.ts';
import { type JudgeSeries, leadFacts } from './prometheus/lead.ts';
import { createPlaces } from './prometheus/places.ts';
import { createServers, type Servers, type ServersDeps } from './prometheus/servers.ts';
import { serviceMetrics } from './prometheus/service-metrics.ts';
import { targetsDown } from './prometheus/targets.ts';
import { leadText, targetsText } from './prometheus/words.ts';

export type PrometheusSourceDeps = Omit<ServersDeps, 'clock'> & {
  /** Epoch ms of the real clock; null in a replay, whose subjects bring their own time and whose answers are all waited for. */
  now: (() => number) | null;
  /** The service graph in force: metrics of what an incident's services call count too. */
  graph?: () => ServiceGraph;
  /** What the topology watch learned of what runs where; without it pods and nodes are asked for. */
  containment?: () => Containment;
  /** Judges the alert's own series, when there is a detector. */
  anomaly?: JudgeSeries;
  /** What came after the deadline is there now: the incident is worth judging anew. */
  onLate?: (incidentId: string) => void;
};

/** Facts that came so shortly before the deadline still count; those that did not are said to be missing. */
const SHARE_OF_DEADLINE = 0.9;
/** A slow server is waited for so much longer behind the message's back, so that an edit can bring what it says. */
const LATE_MS = 10_000;
/** So many incidents at once, and each at most once a minute: a storm must not double what a slow server is asked. */
const LATE_MOST = 20;
const LATE_EVERY_MS = 60_000;

/**
 * What the alert's own Prometheus says: value, threshold, trend, onset and plot of its series, targets that are down, the
 * golden signals, and which metrics of the services around left their usual range. Parts that fail cost only themselves and
 * are named in `degraded` as `prometheus:<server>`.
 */
export function createPrometheusSource(deps: PrometheusSourceDeps): FactSource & { servers: Servers } {
  const servers = createServers({ ...deps, clock: deps.now });
  const graph = deps.graph ?? emptyGraph;
  const nothingKnown = emptyContainment();
  const placesOf = createPlaces(
    () => deps.config().tocsin.enrich.topology.containment,
    deps.containment ?? (() => nothingKnown),
  );

  const late = new Map<string, number>();
  let waiting = 0;

  async function gather(subject: Subject, given: AbortSignal): Promise<Partial<Facts>> {
    const client = subject.lead && servers.of(subject.lead);
    if (!client) return {};
    if (deps.now === null) return ask(client, subject, given);
    const own = AbortSignal.timeout(Math.max(1, deps.config().tocsin.enrich.deadline * SHARE_OF_DEADLINE));
    const facts = await ask(client, subject, AbortSignal.any([given, own]));
    if (own.aborted && deps.onLate) void follow(client, subject, deps.now(), deps.onLate);
    return facts;
  }

  /** Goes on where the deadline cut off; the answers are kept by the client, and the next judgement finds them there. */
  async function follow(
    client: Client,
    subject: Subject,
    now: number,
    onLate: (incidentId: string) => void,
  ): Promise<void> {
    for (const [id, at] of late) if (now - at > LATE_EVERY_MS) late.delete(id);
    if (waiting >= LATE_MOST || late.has(subject.incidentId)) return;
    late.set(subject.incidentId, now);
    waiting += 1;
    try {
      const facts = await ask(client, subject, AbortSignal.timeout(LATE_MS));
      const figures = Object.keys({ ...facts.users, ...facts.burn }).length;
      if (facts.lead?.prometheus || facts.serviceMetrics?.length || figures > 0) onLate(subject.incidentId);
    } finally {
      waiting -= 1;
    }
  }

  async function ask(client: Client, subject: Subject, signal: AbortSignal): Promise<Partial<Facts>> {
    const alert = subject.lead;
    if (!alert) return {};
    const config = deps.config();
    const { now } = subject;
    const [lead, targets, golden, around, business, where] = await Promise.all([
      leadFacts(client, alert, { now, signal }, deps.anomaly),
      targetsDown(client, alert, { now, signal }),
      goldenSignals(client, subject, config.tocsin.enrich.golden_signals, signal, deps.anomaly),
      subject.services.length === 0
        ? { metrics: [], failure: null }
        : serviceMetrics(client, subject, { graph: graph(), labelNames: config.tocsin.labels }, signal),
      businessFigures(client, subject, { services: config.business.services, graph: graph() }, signal),
      placesOf(client, subject, signal),
    ]);
    return {
      lead: {
        ...show(lead.metrics, lead.raw, targets.down, golden.shown),
        ...(where.places ? { places: where.places } : {}),
      },
      serviceMetrics: [...around.metrics, ...golden.metrics],
      users: business.users,
      burn: business.burn,
      degraded: degradedBy(
        client,
        [
          ['', lead.failure],
          ['', targets.failure],
          ['service metrics: ', around.failure],
          ['golden signals: ', golden.failure],
          ['pods and nodes: ', where.failure],
        ],
        business.failures,
      ),
    };
  }

  return { name: 'prometheus', gather, servers };
}

/** What goes into `incident.metrics`: the whole record, and the one line that every message shows. */
function show(
  metrics: LeadMetrics | null,
  raw: number | null,
  down: LeadMetrics['targetsDown'],
  golden: LeadMetrics['goldenSignals'],
): Record<string, unknown> {
  if (metrics && raw !== null) {
    const prometheus = { ...metrics, targetsDown: down, goldenSignals: golden };
    const text = leadText({ ...prometheus, raw });
    return { prometheus: { ...prometheus, text }, text };
  }
  const text = targetsText(down).join('; ');
  return { ...(text === '' ? {} : { text }), ...(golden.length > 0 ? { goldenSignals: golden } : {}) };
}

/**
 * One note per server, about what weighs most; that it is slow or down is said once, not once a part. Figures that somebody
 * asked for by name (`figures`) are each named when they are missing, unless the server is out anyway.
 */
function degradedBy(
  client: Client,
  failures: [string, Failure | null][],
  figures: [string, Failure | null][],
): Degraded[] {
  const note = (reason: string): Degraded => ({ stage: `prometheus:${client.name}`, reason });
  const outage = failures.find(([, failure]) => failure?.kind === 'unanswered');
  if (outage) return [note(outage[1]!.reason)];
  const first = failures.find(([, failure]) => failure !== null);
  const missing = figures.flatMap(([what, failure]) => (failure ? [note(`${what}${failure.reason}`)] : []));
  return [...(first ? [note(`${first[0]}${first[1]!.reason}`)] : []), ...missing];
}
