import type { RootCause } from './incident.ts';

/** What a person can say of an incident, an alert in it, two alerts or a suspect (`POST …/feedback`). */
export const labelKinds = [
  'related',
  'not-related',
  'right-cause',
  'wrong-cause',
  'real',
  'noise',
  'should-have-paged',
] as const;
export type LabelKind = (typeof labelKinds)[number];

/** The question a kind answers: of several answers by one person to the same question the last one counts. */
export const questionOf: Record<LabelKind, 'grouping' | 'cause' | 'worth'> = {
  related: 'grouping',
  'not-related': 'grouping',
  'right-cause': 'cause',
  'wrong-cause': 'cause',
  real: 'worth',
  noise: 'worth',
  'should-have-paged': 'worth',
};

/** The causes as they were shown, best first; `withMetrics`: metric evidence spoke, so the weights beside metrics ranked. */
export type Ranking = {
  withMetrics: boolean;
  causes: { service: string; namespace: string | null; probability: number }[];
};

/** The versions of the fitted models that judged. */
export type ModelVersions = { correlation: string; causes: string };

/** What of a ranking is kept with a label. */
export const rankingOf = (causes: readonly RootCause[]): Ranking => ({
  withMetrics: causes.some((cause) => cause.evidence.some((one) => one.kind === 'metric')),
  causes: causes.map(({ service, namespace, probability }) => ({ service, namespace, probability })),
});
