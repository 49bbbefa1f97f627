import { z } from 'zod';
import type { Learned } from '../decide/decide.ts';
import { alertKey, episodeKey } from '../domain/alert.ts';
import { Impact } from '../domain/incident.ts';
import { Severity } from '../domain/severity.ts';
import type { WorthFacts } from '../score/actionability.ts';
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
      learned: {
        ...decide.learned,
        flapping: only(decide.learned.flapping, keys),
        senderSilences: only(decide.learned.senderSilences, keys),
      },
    },
  };
}

const only = <T>(all: Readonly<Record<string, T>>, keys: ReadonlySet<string>): Record<string, T> =>
  Object.fromEntries(Object.entries(all).filter(([key]) => keys.has(key)));

const Recorded = z.object({
  impact: Impact,
  weights: z.looseObject({
    severity: Severity,
    tier: z.number().nullable(),
    openPriority: z.literal([1, 2, 3, 4, 5]).nullable(),
    labels: z.record(z.string(), z.string()),
    service: z.string().nullable(),
    assignedTeam: z.string().nullable(),
    tenant: z.string(),
    // Plain data of our own making, in the shape of this release or not at all: an older record has none.
    worth: z.custom<WorthFacts>((value) => typeof value === 'object' && value !== null && 'model' in value),
    decide: z.looseObject({
      alerts: z.array(z.string()),
      alertsTotal: z.number(),
      services: z.array(z.string()),
      firstEver: z.array(z.string()),
      baseline: z.object({ severity: Severity, services: z.array(z.string()) }).nullable(),
      snoozedUntil: z.number().nullable(),
      silencedUntil: z.number().nullable(),
      silences: z.array(z.object({ alerts: z.array(z.string()), until: z.number(), by: z.string() })),
      killSwitch: z.boolean(),
      learned: z.custom<Learned>((value) => typeof value === 'object' && value !== null && 'opening' in value),
      now: z.number(),
    }),
  }),
});

/** The alerts (episode keys) that a record names; none when the record holds no weights (another release, or a failed judgement). */
export function recordedAlerts(doc: Record<string, unknown>): string[] {
  return Recorded.safeParse(doc).data?.weights.decide.alerts ?? [];
}

/**
 * What the judges looked at, back from a decision's record and the alerts that it names (by episode key); null when the
 * record does not hold it. `omitted` counts firing alerts that the record does not name, or that retention removed.
 */
export function restoreWeights(
  doc: Record<string, unknown>,
  alerts: ReadonlyMap<string, Weights['decide']['alerts'][number]>,
): { weights: Weights; omitted: number } | null {
  const { data } = Recorded.safeParse(doc);
  if (!data) return null;
  const { impact, weights } = data;
  const { alertsTotal, ...decide } = weights.decide;
  const named = decide.alerts.flatMap((key) => alerts.get(key) ?? []);
  return {
    weights: { ...weights, impact, decide: { ...decide, alerts: named, firstEver: new Set(decide.firstEver) } },
    omitted: alertsTotal - named.length,
  };
}
