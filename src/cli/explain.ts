import type pg from 'pg';
import { compareAlerts, nearestEpisode } from '../api/compare.ts';
import { createMeasure } from '../api/correlation.ts';
import { explainAlert, explainGrouping, explainRanking, explainRouting } from '../api/explain.ts';
import { explainOtherwise, explainTimers, judgedFor, policyCache } from '../api/judged.ts';
import { findAlert, recordOf } from '../api/record.ts';
import { incidentView, iso, timelineView } from '../api/views.ts';
import type { Environment } from '../config/env.ts';
import { modelsOf } from '../config/models.ts';
import type { Config } from '../config/schema.ts';
import { topologyOf } from '../enrich/topology/edges.ts';
import { compileRules } from '../rules.ts';
import { findIncident, type IncidentRow, listTimeline, newestDecision, readCorrelationMemory } from '../store/read.ts';
import { type AlertRow, listIncidentAlerts } from '../store/read-alerts.ts';
import { listNotifications } from '../store/read-lists.ts';
import { readLearnedEdges } from '../store/topology.ts';
import { withStore } from './store.ts';

type Options = {
  environment: Environment;
  config: Config;
  /** A fingerprint, an incident's id or its number. */
  name: string;
  source: string | null;
  /** Another alert: why the two are, or are not, together. */
  other: string | null;
  json: boolean;
  out: (text: string) => void;
  err: (text: string) => void;
};

/** Alerts of an incident that are explained one by one; the rest is counted. */
const SHOWN_ALERTS = 20;

/**
 * `tocsin explain FINGERPRINT|INCIDENT`: why it was grouped, ranked, decided, routed and held back as it was, from the record
 * alone. Exit code 1 when the store knows no such alert or incident.
 */
export function runExplain(options: Options): Promise<number> {
  return withStore(options.environment, (pool) => explain(pool, options));
}

/** As `runExplain`, on a store that is open already. */
export async function explain(pool: pg.Pool, options: Omit<Options, 'environment'>): Promise<number> {
  const { name, source, other, config, json, out, err } = options;
  const alert = await find(pool, name, source, err);
  if (alert === 'ambiguous') return 1;
  if (alert) {
    const rivals = other === null ? null : await episodesOf(pool, other, source, err);
    if (rivals === 'ambiguous') return 1;
    if (other !== null && !rivals) return missing(err, other);
    const how = await howTo(pool, config);
    const compared = rivals && (await compareAlerts(pool, config, alert, nearestEpisode(alert, rivals), how));
    const record = await recordOf(pool, alert, config, policyCache(), how.measure);
    const explanation = explainAlert({ ...record, compared });
    if (json) out(`${JSON.stringify(explanation, null, 2)}\n`);
    else
      out(
        paragraphs([
          [`Alert ${name} (source ${explanation.source}), config ${explanation.configHash ?? 'unknown'}`, []],
          ['Together or apart', explanation.compared?.text ?? []],
          ['Grouped', explanation.grouped.text],
          ['Ranked', explanation.ranked.text],
          ['Decided', explanation.decided.text],
          ['Policies', explanation.policies.text],
          ['Routed', explanation.routed.text],
          ['Timers', explanation.timers.text],
          ['What would have changed it', explanation.otherwise.text],
        ]),
      );
    return 0;
  }
  const incident = await findIncident(pool, name);
  if (!incident) return missing(err, name);
  if (other !== null) {
    err('--other compares two alerts: give the fingerprint of an alert of this incident instead.\n');
    return 2;
  }
  const explanation = await explainIncident(pool, incident, config);
  if (json) out(`${JSON.stringify(explanation, null, 2)}\n`);
  else
    out(
      paragraphs([
        [`Incident ${explanation.number}: ${explanation.title}, config ${explanation.configHash}`, []],
        ['Grouped', explanation.grouped.text],
        ['Ranked', explanation.ranked.text],
        ['Decided', explanation.decided.text],
        ['Routed', explanation.routed.text],
        ['Timers', explanation.timers.text],
        ['What would have changed it', explanation.otherwise.text],
      ]),
    );
  return 0;
}

function missing(err: (text: string) => void, name: string): number {
  err(
    `The store knows no alert and no incident ${name}. Give a fingerprint, an incident's id or its number; retention may have removed it.\n`,
  );
  return 1;
}

async function find(
  pool: pg.Pool,
  fingerprint: string,
  source: string | null,
  err: (text: string) => void,
): Promise<AlertRow | 'ambiguous' | null> {
  const episodes = await episodesOf(pool, fingerprint, source, err);
  return episodes === 'ambiguous' ? episodes : (episodes?.[0] ?? null);
}

async function episodesOf(
  pool: pg.Pool,
  fingerprint: string,
  source: string | null,
  err: (text: string) => void,
): Promise<[AlertRow, ...AlertRow[]] | 'ambiguous' | null> {
  const found = await findAlert(pool, fingerprint, source ?? undefined, 20);
  if (found.status === 'found') return found.episodes;
  if (found.status === 'missing') return null;
  err(`Several sources know an alert ${fingerprint}: ${found.sources.join(', ')}. Name one with --source.\n`);
  return 'ambiguous';
}

/** What it takes to measure alerts as the service would now. */
async function howTo(pool: pg.Pool, config: Config) {
  const models = modelsOf(config);
  const topology = topologyOf(await readLearnedEdges(pool));
  const { graph } = compileRules(config, models, { topology, assumeSecrets: true });
  const measure = createMeasure(graph, models.correlation, await readCorrelationMemory(pool));
  return { measure, graph, eps: models.correlation.eps };
}

async function explainIncident(pool: pg.Pool, row: IncidentRow, config: Config) {
  const incident = incidentView(row, config);
  const { rows: alerts } = await listIncidentAlerts(pool, row.id, { limit: SHOWN_ALERTS, after: null });
  const policyOf = policyCache();
  const [decision, judged, records, timeline, sent] = await Promise.all([
    newestDecision(pool, row.id),
    judgedFor(pool, row.id, null, policyOf, config),
    inTurn(alerts, (alert) => recordOf(pool, alert, config, policyOf, null)),
    listTimeline(pool, row.id, { limit: 500, after: null }),
    listNotifications(pool, { incidentId: row.id, channel: null, state: null, kind: null }, { limit: 50, after: null }),
  ]);
  const grouped = records.map((record) => ({
    fingerprint: record.alert.fingerprint,
    source: record.alert.source,
    ...explainGrouping({ ...record, incident }),
  }));
  const moves = timeline.rows
    .filter(({ kind }) => ['opened', 'merged', 'split', 'reopened'].includes(kind))
    .map(timelineView);
  const more = incident.alertCount - alerts.length;
  const held = records.flatMap(({ suppression, alert }) =>
    suppression
      ? [{ fingerprint: alert.fingerprint, policy: suppression.policy, until: iso(suppression.expires_at) }]
      : [],
  );
  const decided = [
    `The policy says ${incident.decision.verdict} (mode ${incident.decision.mode}, actionability ${incident.decision.actionability}).`,
    ...incident.decision.reasons.map((reason) => `Because (${reason.code}): ${reason.text}`),
    ...held.map((one) => `${one.fingerprint} was held back by ${one.policy} until ${one.until} at the latest.`),
    ...incident.degraded.map((one) => `Not known at the time (${one.stage}): ${one.reason}.`),
  ];
  return {
    incidentId: incident.id,
    number: incident.number,
    title: incident.title,
    configHash: decision?.config_hash ?? incident.configHash,
    grouped: {
      text: [
        ...moves.map((move) => `${move.at}: ${move.text}${move.by ? ` (${move.by})` : ''}.`),
        ...grouped.flatMap((one) => one.text),
        ...(more > 0 ? [`${more} more alerts are in it; ask for one by its fingerprint.`] : []),
      ],
      alerts: grouped,
    },
    ranked: explainRanking(incident, decision),
    decided: { text: decided, policy: incident.decision, held },
    routed: explainRouting({ incident, decision, notifications: sent.rows }),
    timers: { text: explainTimers(judged) },
    otherwise: explainOtherwise(judged),
    record: decision && {
      revision: decision.revision,
      at: iso(decision.at),
      configHash: decision.config_hash,
      doc: decision.doc,
    },
  };
}

/** One after the other: a command has two connections. */
async function inTurn<T, U>(items: readonly T[], fn: (item: T) => Promise<U>): Promise<U[]> {
  const done: U[] = [];
  for (const item of items) done.push(await fn(item));
  return done;
}

const paragraphs = (sections: [string, readonly string[]][]): string =>
  sections
    .filter(([, lines], i) => i === 0 || lines.length > 0)
    .map(([title, lines]) => [title, ...lines.map((line) => `  ${line}`)].join('\n'))
    .join('\n\n')
    .concat('\n');
