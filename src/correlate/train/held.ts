import { createHash } from 'node:crypto';
import type { Models } from '../../config/models.ts';
import type { Config } from '../../config/schema.ts';
import type { Mode } from '../../domain/incident.ts';
import type { StreamLine } from '../../domain/stream.ts';
import { type Outcomes, type ReplayOptions, replay } from '../../replay.ts';
import { compileRules } from '../../rules.ts';
import type { Episode, Stream } from './streams.ts';

/** The engine's own road with a stream that exists in memory only, and what was held back on it. */

const fingerprintOf = (e: Episode): string => createHash('sha256').update(e.fingerprint).digest('hex').slice(0, 16);
const instant = (at: number): string => new Date(at).toISOString();

/** The stream as Alertmanager would have sent it, a webhook for each change, in order of time. */
export async function* linesOf(stream: Stream): AsyncGenerator<{ line: number; entry: StreamLine }> {
  const events = stream.episodes.flatMap((episode) => {
    const at = episode.startsAt + episode.delayMs;
    const fire = { at, status: 'firing', episode };
    if (episode.endsAt === null) return [fire];
    return [fire, { at: Math.max(at, episode.endsAt + episode.resolveDelayMs), status: 'resolved', episode }];
  });
  events.sort((a, b) => a.at - b.at || (a.status < b.status ? 1 : -1));
  let line = 0;
  for (const { at, status, episode } of events) {
    line += 1;
    const alert = {
      status,
      labels: episode.labels,
      annotations: episode.summary === null ? {} : { summary: episode.summary },
      startsAt: instant(episode.startsAt),
      endsAt: status === 'firing' ? '0001-01-01T00:00:00Z' : instant(episode.endsAt!),
      fingerprint: fingerprintOf(episode),
    };
    const body = { version: '4', status, groupKey: episode.groupKey, alerts: [alert] };
    yield { line, entry: { at: instant(at), kind: 'alertmanager', body } };
  }
}

/** The fault that an alert of the outcomes belongs to, null for noise; undefined: not scored. */
export type TruthOf = (alert: { fingerprint: string; startsAt: string }) => string | null | undefined;

/** The truth of a stream as `linesOf` sends it. */
export function truthOf(
  stream: Stream,
): (alert: { fingerprint: string; startsAt: string }) => string | null | undefined {
  const truth = new Map<string, string | null | undefined>();
  for (const episode of stream.episodes) {
    const of = stream.truth.alerts[episode.id];
    truth.set(
      `${fingerprintOf(episode)}@${instant(episode.startsAt)}`,
      of === undefined || of.kind === 'grey' ? undefined : of.fault,
    );
  }
  return ({ fingerprint, startsAt }) => truth.get(`${fingerprint}@${startsAt}`);
}

/**
 * A config as it stands, but for the mode; `everyoneOwns`: no alert is without an owner, so that this floor never speaks, and
 * since it is one team that owns them all, its hours have no budget.
 */
export function inMode(config: Config, mode: Mode, { everyoneOwns = false } = {}): Config {
  const { routes } = config.routing;
  const all = { match: ['alertname=~".+"'], team: routes.default_team, continue: false, routes: [] };
  return {
    ...config,
    tocsin: { ...config.tocsin, suppress: { ...config.tocsin.suppress, mode } },
    routing: everyoneOwns
      ? { ...config.routing, routes: { ...routes, routes: [...routes.routes, all] } }
      : config.routing,
    suppression: everyoneOwns
      ? { ...config.suppression, budget: { ...config.suppression.budget, enabled: false } }
      : config.suppression,
  };
}

/** Plays a stream through the engine in simulated time, with its call graph and nothing else to go by. */
export const play = (
  stream: Stream,
  config: Config,
  models: Models,
  more: Partial<ReplayOptions> = {},
): Promise<Outcomes> =>
  replay(linesOf(stream), {
    rules: compileRules(config, models, { topology: stream.topology, assumeSecrets: true }),
    ...more,
  });

export type HeldFigures = {
  noise: number;
  noiseHeld: number;
  noiseGrouped: number;
  faultAlerts: number;
  faultAlertsLost: number;
  faults: number;
  faultsLost: number;
  /** Incidents opened by a message that hold an alert of a fault; of all faults with alerts. */
  faultIncidentsOpened: number;
  /** Messages that opened an incident. */
  opened: number;
  /** Seconds from a fault's first alert to the first message of an incident with one of its alerts; faults never told left out. */
  delays: number[];
};

/** What was held back and what that cost, alert by alert; `of` says what the truth says of an alert. */
export function heldFigures(of: TruthOf, outcomes: Outcomes): HeldFigures {
  const figures: HeldFigures = {
    noise: 0,
    noiseHeld: 0,
    noiseGrouped: 0,
    faultAlerts: 0,
    faultAlertsLost: 0,
    faults: 0,
    faultsLost: 0,
    faultIncidentsOpened: 0,
    opened: 0,
    delays: [],
  };
  const openedAt = new Map<string, number>();
  for (const { kind, incidentId, at } of outcomes.notifications)
    if (kind === 'open' && !openedAt.has(incidentId)) openedAt.set(incidentId, Date.parse(at));
  figures.opened = new Set(openedAt.keys()).size;
  const living = new Map(outcomes.incidents.map((incident) => [incident.id, incident.mergedInto ?? incident.id]));
  const faults = new Map<string, { alerts: number; lost: number; first: number; told: number }>();
  const faultIncidents = new Set<string>();
  for (const alert of outcomes.alerts) {
    const fault = of(alert);
    if (fault === undefined) continue;
    if (fault === null) {
      figures.noise += 1;
      if (alert.verdict === 'suppress') figures.noiseHeld += 1;
      if (alert.verdict === 'group') figures.noiseGrouped += 1;
      continue;
    }
    const seen = faults.get(fault) ?? { alerts: 0, lost: 0, first: Infinity, told: Infinity };
    seen.alerts += 1;
    if (alert.verdict === 'suppress') seen.lost += 1;
    seen.first = Math.min(seen.first, Date.parse(alert.startsAt));
    const id = alert.incidentId === null ? null : (living.get(alert.incidentId) ?? alert.incidentId);
    const opened = id === null ? undefined : openedAt.get(id);
    if (opened !== undefined && id !== null) {
      faultIncidents.add(id);
      seen.told = Math.min(seen.told, opened);
    }
    faults.set(fault, seen);
  }
  for (const { alerts, lost, first, told } of faults.values()) {
    figures.faults += 1;
    figures.faultAlerts += alerts;
    figures.faultAlertsLost += lost;
    if (lost === alerts) figures.faultsLost += 1;
    if (told !== Infinity) figures.delays.push(Math.max(0, (told - first) / 1000));
  }
  figures.faultIncidentsOpened = faultIncidents.size;
  return figures;
}
