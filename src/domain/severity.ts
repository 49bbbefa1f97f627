import { z } from 'zod';

/** What the sender said, mapped by `severity_map` to five words; worst first. */
export const severities = ['critical', 'high', 'medium', 'low', 'info'] as const;
export const Severity = z.enum(severities);
export type Severity = z.infer<typeof Severity>;

/** 0 for critical … 4 for info: smaller is worse. */
export const severityRank = (severity: Severity): number => severities.indexOf(severity);

/** The worse of two severities. */
export const worse = (a: Severity, b: Severity): Severity => (severityRank(a) <= severityRank(b) ? a : b);
