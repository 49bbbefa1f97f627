import type { Config } from '../config/schema.ts';
import { type Db, findIncident, newestDecision } from '../store/read.ts';
import { type AlertRow, listEpisodes, nameAlerts, sourcesOf } from '../store/read-alerts.ts';
import { listNotifications, newestSuppression } from '../store/read-lists.ts';
import type { MeasureUnder } from './correlation.ts';
import { elsewhere } from './elsewhere.ts';
import { alertOf, type ExplainInput } from './explain.ts';
import { judgedFor, type PolicyOf } from './judged.ts';
import { incidentView } from './views.ts';

/** How a fingerprint was understood: the alert's episodes (the current or newest first), several sources, or nothing. */
export type FoundAlert =
  | { status: 'found'; episodes: [AlertRow, ...AlertRow[]] }
  | { status: 'ambiguous'; sources: string[] }
  | { status: 'missing' };

/** A fingerprint alone names an alert while it is unique; `source` settles it otherwise (the contract). */
export async function findAlert(
  db: Db,
  fingerprint: string,
  source: string | undefined,
  limit: number,
): Promise<FoundAlert> {
  const sources = source === undefined ? await sourcesOf(db, fingerprint) : [source];
  if (sources.length > 1) return { status: 'ambiguous', sources };
  const [first, ...earlier] = sources[0] === undefined ? [] : await listEpisodes(db, sources[0], fingerprint, limit);
  return first ? { status: 'found', episodes: [first, ...earlier] } : { status: 'missing' };
}

/** All that is on record about an alert, ready for `explainAlert`; with `measure` also what would have put it elsewhere. */
export async function recordOf(
  db: Db,
  alert: AlertRow,
  config: Config,
  policyOf: PolicyOf,
  measure: MeasureUnder | null,
): Promise<Omit<ExplainInput, 'compared'>> {
  const incidentId = alert.incident_id;
  const neighbours = alert.why?.neighbours.map(({ key }) => alertOf(key)) ?? [];
  const sent = { incidentId, channel: null, state: null, kind: null };
  const arrived = new Date(alert.received_at).getTime();
  const [row, decision, names, notifications, suppression, judged, moved] = await Promise.all([
    incidentId === null ? null : findIncident(db, incidentId),
    incidentId === null ? null : newestDecision(db, incidentId),
    neighbours.length === 0 ? [] : nameAlerts(db, neighbours),
    incidentId === null ? { rows: [] } : listNotifications(db, sent, { limit: 50, after: null }),
    newestSuppression(db, alert.source, alert.fingerprint),
    incidentId === null ? null : judgedFor(db, incidentId, arrived, policyOf, config),
    measure === null ? [] : elsewhere(db, alert, measure),
  ]);
  return {
    alert,
    incident: row && incidentView(row, config),
    decision,
    names: new Map(names.map((known) => [known.key, known])),
    notifications: notifications.rows,
    suppression,
    judged,
    elsewhere: moved,
  };
}
