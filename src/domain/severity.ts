import { z } from 'zod';

/** What the sender said, mapped by `severity_map` to five words; worst first. */
export const severities = ['critical', 'high', 'medium', 'low', 'info'] as const;
export const Severity = z.enum(severities);
export type Severity = z.infer<typeof Severity>;

/** 0 for critical … 4 for info: smaller is worse. */
export const severityRank = (severity: Severity): number => severities.indexOf(severity);

/** The worse of two severities. */
export const worse = (a: Severity, b: Severity): Severity => (severityRank(a) <= severityRank(b) ? a : b);

/** What senders usually say (kube-prometheus, Alertmanager, PagerDuty, syslog, P-levels), where the user's map is silent. */
const usualWords: Readonly<Record<string, Severity>> = {
  critical: 'critical',
  crit: 'critical',
  page: 'critical',
  emergency: 'critical',
  emerg: 'critical',
  fatal: 'critical',
  disaster: 'critical',
  p1: 'critical',
  sev1: 'critical',
  high: 'high',
  error: 'high',
  err: 'high',
  major: 'high',
  p2: 'high',
  sev2: 'high',
  medium: 'medium',
  warning: 'medium',
  warn: 'medium',
  moderate: 'medium',
  minor: 'medium',
  ticket: 'medium',
  p3: 'medium',
  sev3: 'medium',
  low: 'low',
  notice: 'low',
  p4: 'low',
  sev4: 'low',
  info: 'info',
  informational: 'info',
  information: 'info',
  none: 'info',
  debug: 'info',
  ok: 'info',
  p5: 'info',
  sev5: 'info',
};

/**
 * The severity behind a sender's word: the user's `severity_map` wins (as written, then whatever its case), then the usual
 * words; a missing or unknown word is `medium` (the contract), so that nothing unheard of is taken for unimportant.
 */
export function mapSeverity(map: Readonly<Record<string, Severity>>, word: string | undefined): Severity {
  if (word === undefined) return 'medium';
  if (Object.hasOwn(map, word)) return map[word]!;
  const lower = word.trim().toLowerCase();
  for (const key of Object.keys(map)) if (key.toLowerCase() === lower) return map[key]!;
  return Object.hasOwn(usualWords, lower) ? usualWords[lower]! : 'medium';
}
