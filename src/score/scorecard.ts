import { type LabelKind, questionOf, type Ranking } from '../domain/label.ts';

/** A label as the store gives it; times are epoch ms. `alert` and `other` are alert keys (`source/fingerprint`). */
export type Label = {
  incidentId: string;
  at: number;
  firstAt: number;
  by: string;
  kind: LabelKind;
  alert: string | null;
  other: string | null;
  together: boolean | null;
  service: string | null;
  ranking: Ranking | null;
};

/** What people did, and what there was for them to judge, in the period. */
export type Deeds = {
  /** Incidents that got two or more alerts in the period, and how many people split or merged others into. */
  grouped: number;
  split: number;
  merged: number;
  /** Incidents that policy held back, or in shadow mode would have. */
  heldBack: number;
};

/** `share` of `n` judgements with its 95 % interval; null, and nothing is claimed, where n is below the minimum. */
export type Share = { n: number; count: number; share: number | null; low: number | null; high: number | null };

export type Scorecard = {
  minimum: number;
  labels: { n: number; people: number; byKind: Partial<Record<LabelKind, number>> };
  grouping: { precision: Share; separation: Share; untouched: Share; split: number; merged: number };
  causes: { top1: Share; top3: Share; calibration: Bucket[]; calibrationError: number | null };
  pages: { missed: number; heldBack: number; noise: Share };
};
export type Bucket = Share & { from: number; to: number; meanProbability: number | null };

/** Fewer judgements than this say nothing: at 10 the interval of a share is still some 50 points wide. */
export const MINIMUM_N = 10;
const BUCKETS = [0, 0.2, 0.4, 0.6, 0.8, 1];

/**
 * How good Tocsin was by the word of the people who worked with it. Several people on one question: the latest word counts.
 *
 * - Grouping: of the alerts and pairs that were judged while they were in one incident, the share that belonged together
 *   (precision); of the pairs judged while apart, the share that rightly were (separation); of the incidents of two or more
 *   alerts, the share that nobody split or merged.
 * - Causes: of the incidents whose cause was named or ruled out, how often the first, or one of the first three, was right,
 *   by the ranking that stood before anybody's word moved it; and whether probabilities mean what they say.
 * - Pages: what should have paged and did not, and the share of noise among what was judged worth it or not.
 */
export function scorecard(labels: readonly Label[], deeds: Deeds): Scorecard {
  const byKind: Partial<Record<LabelKind, number>> = {};
  for (const { kind } of labels) byKind[kind] = (byKind[kind] ?? 0) + 1;
  const grouping = latestWords(labels, 'grouping', ({ alert, other }) => [alert ?? '', other ?? ''].sort().join('\n'));
  const worth = latestWords(labels, 'worth', ({ alert }) => alert ?? '');
  const inOne = grouping.filter((one) => one.alert === null || one.together === true);
  const apart = grouping.filter((one) => one.alert !== null && one.together === false);
  const changed = Math.min(deeds.grouped, deeds.split + deeds.merged);
  return {
    minimum: MINIMUM_N,
    labels: { n: labels.length, people: new Set(labels.map(({ by }) => by)).size, byKind },
    grouping: {
      precision: shareOf(inOne, ({ kind }) => kind === 'related'),
      separation: shareOf(apart, ({ kind }) => kind === 'not-related'),
      untouched: share(deeds.grouped - changed, deeds.grouped),
      split: deeds.split,
      merged: deeds.merged,
    },
    causes: causesOf(labels),
    pages: {
      missed: worth.filter(({ kind }) => kind === 'should-have-paged').length,
      heldBack: deeds.heldBack,
      noise: shareOf(worth, ({ kind }) => kind === 'noise'),
    },
  };
}

/** One label for each thing judged: whoever spoke last. */
function latestWords(
  labels: readonly Label[],
  question: (typeof questionOf)[LabelKind],
  subject: (label: Label) => string,
): Label[] {
  const latest = new Map<string, Label>();
  for (const label of labels) {
    if (questionOf[label.kind] !== question) continue;
    const key = `${label.incidentId}\n${subject(label)}`;
    const known = latest.get(key);
    if (!known || known.at <= label.at) latest.set(key, label);
  }
  return [...latest.values()];
}

/** One judged ranking: was the first right, was one of the first three; null where what was said does not settle it. */
export type JudgedRanking<T extends Label = Label> = {
  incidentId: string;
  ranking: Ranking;
  /** The label that was given first: the ranking is the one it saw. */
  first: T;
  /** The services that people named as the cause. */
  right: ReadonlySet<string>;
  top1: boolean | null;
  top3: boolean | null;
};

/** What people said of each incident's causes, held against the ranking that stood before anybody had spoken. */
export function judgedRankings<T extends Label>(labels: readonly T[]): JudgedRanking<T>[] {
  const byIncident = Map.groupBy(
    labels.filter(({ kind }) => questionOf[kind] === 'cause'),
    ({ incidentId }) => incidentId,
  );
  return [...byIncident].flatMap(([incidentId, said]) => {
    const first = said.reduce((a, b) => (b.firstAt < a.firstAt ? b : a));
    const { ranking } = first;
    if (!ranking) return [];
    const words = latestWords(said, 'cause', ({ service }) => service ?? '');
    const named = (kind: LabelKind) =>
      new Set(words.filter((one) => one.kind === kind).flatMap(({ service }) => service ?? []));
    const [right, wrong] = [named('right-cause'), named('wrong-cause')];
    const judge = (k: number): boolean | null => {
      const best = ranking.causes.slice(0, k);
      if (right.size > 0) return best.some(({ service }) => right.has(service));
      return best.length > 0 && best.every(({ service }) => wrong.has(service)) ? false : null;
    };
    return [{ incidentId, ranking, first, right, top1: judge(1), top3: judge(3) }];
  });
}

function causesOf(labels: readonly Label[]): Scorecard['causes'] {
  const judged = judgedRankings(labels);
  const first = judged.filter((one) => one.top1 !== null);
  const predictions = first.flatMap(({ ranking, top1 }) => {
    const top = ranking.causes[0];
    return top ? [{ probability: top.probability, right: top1 === true }] : [];
  });
  const calibration = BUCKETS.slice(1).map((to, i): Bucket => {
    const from = BUCKETS[i]!;
    const inside = predictions.filter((p) => p.probability >= from && (p.probability < to || to === 1));
    const mean = inside.reduce((sum, p) => sum + p.probability, 0) / inside.length;
    return { from, to, ...shareOf(inside, (p) => p.right), meanProbability: inside.length > 0 ? rounded(mean) : null };
  });
  const off = calibration.reduce(
    (sum, { n, count, meanProbability }) => sum + (n > 0 ? Math.abs(count - n * meanProbability!) : 0),
    0,
  );
  return {
    top1: shareOf(first, (one) => one.top1 === true),
    top3: shareOf(
      judged.filter((one) => one.top3 !== null),
      (one) => one.top3 === true,
    ),
    calibration,
    calibrationError: predictions.length < MINIMUM_N ? null : rounded(off / predictions.length),
  };
}

const shareOf = <T>(of: readonly T[], holds: (one: T) => boolean): Share => share(of.filter(holds).length, of.length);

function share(count: number, n: number): Share {
  if (n < MINIMUM_N) return { n, count, share: null, low: null, high: null };
  const { low, high } = wilson(count, n);
  return { n, count, share: rounded(count / n), low: rounded(low), high: rounded(high) };
}

/** The score interval at 95 % (Wilson 1927, J. Am. Stat. Assoc. 22): right also near 0 and 1 and for small n > 0. */
export function wilson(count: number, n: number): { low: number; high: number } {
  const z = 1.959964;
  const p = count / n;
  const centre = p + (z * z) / (2 * n);
  const half = z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  const whole = 1 + (z * z) / n;
  return { low: Math.max(0, (centre - half) / whole), high: Math.min(1, (centre + half) / whole) };
}

const rounded = (x: number): number => Math.round(x * 1000) / 1000;
