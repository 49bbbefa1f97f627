import { alertKey, episodeKey } from '../domain/alert.ts';
import type { Weights } from './weigh.ts';

/** Firing alerts named in a record, worst first; in a storm of one rule the first fifty say what the next thousand would. */
const RECORDED_ALERTS = 50;

/**
 * What the judges looked at, as the decision's record keeps it: 2 kB at most beside the lead's labels. Alerts are named, not
 * copied (the store has them), and of the silences only those that touch them are kept; the impact stands in the record
 * already.
 */
export function recordWeights({ impact: _, decide, ...rest }: Weights): Record<string, unknown> {
  const named = decide.alerts.slice(0, RECORDED_ALERTS);
  const keys = new Set(named.map(alertKey));
  const silences = decide.silences
    .filter(({ until, alerts }) => until > decide.now && alerts.some((key) => keys.has(key)))
    .map(({ alerts, until, by }) => ({ alerts: alerts.filter((key) => keys.has(key)), until, by }));
  return {
    ...rest,
    decide: {
      ...decide,
      alerts: named.map(episodeKey),
      alertsTotal: decide.alerts.length,
      firstEver: [...decide.firstEver],
      silences,
    },
  };
}
