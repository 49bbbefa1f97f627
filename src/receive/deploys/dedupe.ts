import type { Deploy } from '../../domain/deploy.ts';

/** Two senders tell of one change within this time of each other. */
const SAME_CHANGE_MS = 10 * 60_000;
/** A roll-out that was told to run may end so much later and still be the same one. */
const LONGEST_ROLLOUT_MS = 6 * 3_600_000;

const running = /^(running|in[_ -]?progress|started|pending|progressing|deploying)$/i;

const environments: Record<string, string> = {
  prod: 'production',
  prd: 'production',
  stage: 'staging',
  stg: 'staging',
  dev: 'development',
};
/** One name for the spellings of an environment: `prod` is `production`. */
export const environmentOf = (name: string): string => {
  const lower = name.toLowerCase();
  return Object.hasOwn(environments, lower) ? environments[lower]! : lower;
};

/** Of two values that may both be unknown: false only when both are given and differ. */
const agree = (a: string | null, b: string | null, form: (text: string) => string): boolean =>
  a === null || b === null || form(a) === form(b);

const lower = (text: string): string => text.toLowerCase();

/** The same service, and neither environment nor cluster speaks against it. Lengths first: most services differ there. */
const samePlace = (a: Deploy, b: Deploy): boolean =>
  a.service.length === b.service.length &&
  lower(a.service) === lower(b.service) &&
  agree(a.environment, b.environment, environmentOf) &&
  agree(a.cluster, b.cluster, lower);

const bare = (version: string): string =>
  lower(version)
    .replace(/^v(?=\d)/, '')
    .replace(/^sha256:/, '');
const isHash = (text: string): boolean => /^[0-9a-f]{7,64}$/.test(text);

/** Equal, or two lengths of one hash. */
function sameName(a: string | null, b: string | null): boolean {
  if (a === null || b === null) return false;
  const [x, y] = [bare(a), bare(b)];
  return x === y || (isHash(x) && isHash(y) && (x.startsWith(y) || y.startsWith(x)));
}

/**
 * The same thing was rolled out: equal versions (`v1.2` is `1.2`, a short hash its long one), or one names the version and
 * the other the commit, or equal commits. Where a side names neither: the same summary, or a sign in the metrics, which
 * sees that something changed but not what.
 */
function sameThing(a: Deploy, b: Deploy): boolean {
  if (sameName(a.version, b.version) || sameName(a.version, b.commit) || sameName(a.commit, b.version)) return true;
  if (a.version !== null && b.version !== null) return sameName(a.commit, b.commit) && bothTell(a, b);
  if (sameName(a.commit, b.commit)) return true;
  const nameless = [a, b].filter((d) => d.version === null && d.commit === null);
  if (nameless.length === 2) return a.summary === b.summary;
  return nameless.length === 1 && nameless[0]!.sources.every((source) => source.startsWith('prometheus'));
}

/** Equal commits settle differing versions only between different senders (one may count builds, another name tags). */
const bothTell = (a: Deploy, b: Deploy): boolean => !a.sources.some((source) => b.sources.includes(source));

const endOf = (deploy: Deploy): number => deploy.finishedAt ?? deploy.startedAt;

/** Within ten minutes of each other (a roll-out's whole length counts), or the end of one that was told to run. */
function sameTime(a: Deploy, b: Deploy): boolean {
  const [early, late] = a.startedAt <= b.startedAt ? [a, b] : [b, a];
  if (late.startedAt - endOf(early) <= SAME_CHANGE_MS) return true;
  const unfinished = early.finishedAt === null && running.test(early.status ?? '');
  return unfinished && late.finishedAt !== null && late.startedAt - early.startedAt <= LONGEST_ROLLOUT_MS;
}

/** The deploy among `existing` that tells of the same change, or null. The nearest in time when there are several. */
export function sameChange(existing: readonly Deploy[], incoming: Deploy): Deploy | null {
  let nearest: Deploy | null = null;
  for (const known of existing) {
    if (known.id === incoming.id) return known;
    if (!samePlace(known, incoming) || !sameThing(known, incoming) || !sameTime(known, incoming)) continue;
    if (replacedBetween(existing, known, incoming)) continue;
    const gap = Math.abs(known.startedAt - incoming.startedAt);
    if (nearest === null || gap < Math.abs(nearest.startedAt - incoming.startedAt)) nearest = known;
  }
  return nearest;
}

/** v2, back to v1, v2 again within ten minutes: the second v2 is a change of its own. */
function replacedBetween(existing: readonly Deploy[], a: Deploy, b: Deploy): boolean {
  const [from, to] = a.startedAt <= b.startedAt ? [a.startedAt, b.startedAt] : [b.startedAt, a.startedAt];
  return existing.some(
    (d) =>
      d !== a &&
      d.startedAt > from &&
      d.startedAt < to &&
      d.version !== null &&
      samePlace(d, a) &&
      samePlace(d, b) &&
      !sameThing(d, b),
  );
}

/**
 * Merges a report into what is known: gives the deploy to store, under the id of the one it repeats (or its own). The earlier
 * start and the later finish count; a word for an end wins over one for running; what one side left out the other
 * fills in. Also tells a rollback by its version: one that an earlier deploy had, with another one in between.
 */
export function dedupe(existing: readonly Deploy[], incoming: Deploy): Deploy {
  const known = sameChange(existing, incoming);
  const merged = known ? merge(known, incoming) : incoming;
  const others = existing.filter((d) => d !== known);
  return merged.rollback || !returnsToEarlier(others, merged) ? merged : { ...merged, rollback: true };
}

function merge(known: Deploy, incoming: Deploy): Deploy {
  const statusIsNews =
    incoming.status !== null && (known.status === null || running.test(known.status) || !running.test(incoming.status));
  const finished = [known.finishedAt, incoming.finishedAt].filter((at) => at !== null);
  return {
    id: known.id,
    service: known.service,
    version: preferred(known.version, incoming.version),
    previousVersion: known.previousVersion ?? incoming.previousVersion,
    environment: known.environment ?? incoming.environment,
    cluster: known.cluster ?? incoming.cluster,
    startedAt: Math.min(known.startedAt, incoming.startedAt),
    finishedAt: finished.length > 0 ? Math.max(...finished) : null,
    status: statusIsNews ? incoming.status : known.status,
    author: known.author ?? incoming.author,
    commit: longer(known.commit, incoming.commit),
    url: known.url ?? incoming.url,
    sources: [...new Set([...known.sources, ...incoming.sources])].sort(),
    summary: known.summary ?? incoming.summary,
    rollback: known.rollback || incoming.rollback,
  };
}

/** A name that people gave says more than a hash. */
function preferred(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b;
  return isHash(bare(a)) && !isHash(bare(b)) ? b : a;
}

const longer = (a: string | null, b: string | null): string | null =>
  (b?.length ?? 0) > (a?.length ?? 0) && sameName(a, b) ? b : (a ?? b);

/** True when an earlier deploy in the same place had this version and the one right before had another. */
function returnsToEarlier(existing: readonly Deploy[], deploy: Deploy): boolean {
  if (deploy.version === null) return false;
  const before = existing
    .filter((d) => d.version !== null && d.startedAt < deploy.startedAt && samePlace(d, deploy))
    .sort((a, b) => b.startedAt - a.startedAt);
  const last = before[0];
  if (!last || sameName(last.version, deploy.version)) return false;
  return before.some((d) => sameName(d.version, deploy.version));
}
