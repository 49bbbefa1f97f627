import { z } from 'zod';
import type { Incident, SimilarIncident } from '../domain/incident.ts';
import { inWords, plain } from './text.ts';

/** What the history source says of this rule on this service (`incident.metrics.history`). */
const History = z.looseObject({
  /** Ended incidents like it that the figures rest on. */
  incidents: z.number(),
  /** 0..1 of them ended without anybody's doing. */
  selfResolvedShare: z.number().nullable(),
  firstEver: z.boolean(),
  /** How often it started or stopped firing in the last hour. */
  changesLastHour: z.number().optional(),
});

/** Fewer ends than this say nothing about how it usually goes. */
const usual = 3;
/** More than four state changes in an hour are flapping, as BigPanda defines it. */
const flapping = 4;

/**
 * What is known of incidents like it, in one line: `Seen 3 times, median 12 min, 9 of 10 within 30 min; last #7 on
 * 2026-11-02, ended by ana`, or that it is the first of its kind; null when nobody looked.
 */
export function historyOf(incident: Incident): string | null {
  const read = History.safeParse(incident.metrics.history);
  const past = read.success ? read.data : null;
  const last = incident.similarIncidents.reduce<SimilarIncident | null>(
    (newest, one) => (newest === null || Date.parse(one.startedAt) > Date.parse(newest.startedAt) ? one : newest),
    null,
  );
  if (past?.firstEver) return 'First time ever for this alert';
  const duration = incident.impact.estimatedDurationSeconds;
  const seen = past?.incidents ?? 0;
  const parts: string[] = [];
  if (seen > 0) {
    parts.push(`Seen ${seen === 1 ? 'once' : `${seen} times`} before`);
    if (duration && seen > 1) parts.push(`median ${inWords(duration.p50 * 1000)}`);
    if (duration && seen >= usual) parts.push(`9 of 10 within ${inWords(duration.p90 * 1000)}`);
    const alone = past?.selfResolvedShare ?? null;
    if (alone !== null && seen >= usual && alone >= 0.5) parts.push(`${Math.round(alone * 100)} % ended by themselves`);
  }
  const changes = past?.changesLastHour ?? 0;
  if (changes > flapping) parts.push(`flapping: ${changes} changes in the last hour`);
  const figures = parts.join(', ');
  if (!last) return figures ? plain(figures, 480) : null;
  const lasted = last.durationSeconds === null ? '' : `, lasted ${inWords(last.durationSeconds * 1000)}`;
  const how = typeof last.ended === 'string' ? last.ended : last.endedBy && `ended by ${last.endedBy}`;
  const ended = how ? `, ${plain(how, 160)}` : '';
  const which = `#${last.number} ${plain(last.title, 80)} on ${last.startedAt.slice(0, 10)}${lasted}${ended}`;
  return plain(figures ? `${figures}; last ${which}` : `Seen before: ${which}`, 480);
}
