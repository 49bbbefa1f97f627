import type { PatternsFile, Service } from '../config/schema.ts';
import type { Alert } from '../domain/alert.ts';
import type { IncidentDeploy, Recommendation, RootCause, SimilarIncident } from '../domain/incident.ts';
import { type CompiledMatchers, compileMatchers } from '../route/matchers.ts';

/** One entry of patterns.yaml: what is known of the alerts it matches. */
export type Pattern = {
  matchers: CompiledMatchers;
  cause: string | null;
  actions: readonly string[];
  prevent: readonly string[];
  runbook: string | null;
};

export const compilePatterns = (patterns: PatternsFile['patterns']): Pattern[] =>
  patterns.map(({ match, cause, actions, prevent, runbook }) => ({
    matchers: compileMatchers(match),
    cause: cause ?? null,
    actions,
    prevent,
    runbook: runbook ?? null,
  }));

type RecommendAlert = Pick<Alert, 'fingerprint' | 'alertname' | 'service' | 'labels' | 'annotations'>;

export type RecommendInput = {
  /** The firing alerts, the lead first. */
  alerts: readonly RecommendAlert[];
  /** Ranked, best first. */
  causes: readonly RootCause[];
  deploys: readonly IncidentDeploy[];
  /** Incidents like it, the most alike first. */
  similar: readonly SimilarIncident[];
  patterns: readonly Pattern[];
  catalogue: ReadonlyMap<string, Service>;
};

/** A cause this probable is acted on; below, it is a candidate. */
const SURE = 0.7;
/** A deploy this suspicious (0..1) is worth undoing, whatever else is suspected; below, it is evidence and no advice. */
const SUSPICIOUS = 0.5;
/** A storm has few rules and many alerts: enough of either to see every pattern, few enough to stay cheap. */
const [RULES_LOOKED_AT, ALERTS_LOOKED_AT, MOST_ADVICE] = [20, 500, 5];

/**
 * What to do, at most five things, empty when nothing is known. In this order: what is known of the alerts (patterns.yaml's
 * actions, the runbooks that alerts link to), the likely cause's own actions (undo its deploy, its service's runbook), what
 * ended incidents like it, what keeps it from coming back. Every kind that has something to say gets a place.
 */
export function recommend(input: RecommendInput): Recommendation[] {
  const known = knownPatterns(input);
  const kinds = [
    [...actionsOf(known), ...linked(input, known)],
    [...rollback(input), ...causesRunbook(input)],
    remedies(input),
    known.flatMap(({ pattern, alertname }) =>
      pattern.prevent.map((action) => ({ action, why: `Keeps ${clip(alertname)} from coming back`, runbook: null })),
    ),
  ];
  const said = new Set<string>();
  const fresh = kinds.map((advice) =>
    advice.filter(({ action, runbook }) => {
      // The same page behind another name is no further advice; an action of a pattern may share its runbook with the next.
      const key = action.startsWith(FOLLOW) ? `${FOLLOW}${runbook}` : action;
      if (said.has(key)) return false;
      said.add(key).add(`${FOLLOW}${runbook}`);
      return true;
    }),
  );
  return fairly(fresh);
}

const FOLLOW = 'Follow the runbook of ';

/** The first five in order, but no kind takes the place that a later one needs for its first. */
function fairly(kinds: readonly Recommendation[][]): Recommendation[] {
  let left = MOST_ADVICE;
  return kinds.flatMap((advice, i) => {
    const waiting = kinds.slice(i + 1).filter((later) => later.length > 0).length;
    const taken = advice.slice(0, Math.max(0, left - waiting));
    left -= taken.length;
    return taken;
  });
}

const actionsOf = (known: readonly Known[]): Recommendation[] =>
  known.flatMap(({ pattern, alertname }) =>
    pattern.actions.map((action) => ({ action, why: whyOf(pattern, alertname), runbook: pattern.runbook })),
  );

function rollback({ causes, deploys }: RecommendInput): Recommendation[] {
  const before = deploys.filter((deploy) => deploy.leadSeconds >= 0);
  const [top] = causes;
  const blamed = top && top.probability > SURE ? before.find((deploy) => deploy.id === top.deployId) : undefined;
  const worst = before.reduce<IncidentDeploy | null>(
    (a, b) => (a !== null && a.suspicion >= b.suspicion ? a : b),
    null,
  );
  const deploy = blamed ?? (worst !== null && worst.suspicion >= SUSPICIOUS ? worst : null);
  if (deploy === null) return [];
  const { service, version, previousVersion, author, leadSeconds, suspicion } = deploy;
  const back = previousVersion ? ` to ${clip(previousVersion)}` : ' to the version before';
  const minutes = Math.round(leadSeconds / 60);
  const when = minutes === 0 ? 'less than a minute' : `${minutes} min`;
  const by = author ? ` by ${clip(author)}` : '';
  const why = `${version ? clip(version) : 'A new version'} was deployed${by} ${when} before the first alert (suspicion ${suspicion.toFixed(2)})`;
  return [{ action: `Roll back ${clip(service)}${back}`, why, runbook: null }];
}

/** The runbook of the likely cause's service, and without a clear cause that of the lead's. */
function causesRunbook({ alerts, causes, catalogue }: RecommendInput): Recommendation[] {
  const [top] = causes;
  const likely = top && top.probability > SURE ? top : null;
  const service = likely?.service ?? alerts[0]?.service ?? null;
  const runbook = service === null ? undefined : catalogue.get(service)?.runbook;
  if (service === null || !runbook) return [];
  const why = likely
    ? `It is the likely cause (${Math.round(likely.probability * 100)} %), and the catalogue links it`
    : 'The catalogue links it for the service that alerts';
  return [{ action: `${FOLLOW}${clip(service)}`, why, runbook }];
}

/** What somebody did before incidents like it were over, the most alike first; each deed once. */
function remedies({ similar }: RecommendInput): Recommendation[] {
  return similar.flatMap(({ remedy, number, similarity, ended }) => {
    if (typeof remedy !== 'string') return [];
    const how = typeof ended === 'string' ? `: ${ended}` : '';
    const why = `Incident ${number} was ${Math.round(similarity * 100)} % alike${how}`;
    return [{ action: clip(remedy, 300), why: clip(why, 300), runbook: null }];
  });
}

type Known = { pattern: Pattern; alertname: string };

/** The patterns that match, each once, the suspect's alert first, then the lead's, then one alert of each other rule. */
function knownPatterns({ alerts, causes, patterns }: RecommendInput): Known[] {
  if (patterns.length === 0) return [];
  const some = alerts.slice(0, ALERTS_LOOKED_AT);
  const suspect = some.find((alert) => alert.fingerprint === causes[0]?.fingerprint);
  const ofRule = new Map<string, RecommendAlert>();
  for (const alert of suspect ? [suspect, ...some] : some) {
    if (ofRule.size >= RULES_LOOKED_AT) break;
    if (!ofRule.has(alert.alertname)) ofRule.set(alert.alertname, alert);
  }
  const found = new Map<Pattern, Known>();
  for (const { labels, alertname } of ofRule.values())
    for (const pattern of patterns)
      if (!found.has(pattern) && pattern.matchers.matches(labels)) found.set(pattern, { pattern, alertname });
  return [...found.values()];
}

const whyOf = (pattern: Pattern, alertname: string): string =>
  pattern.cause === null ? `Known to help with ${clip(alertname)}` : `${clip(alertname)}: ${pattern.cause}`;

/** Runbooks of patterns that name no action, and the one that the lead links to. */
function linked({ alerts }: RecommendInput, known: readonly Known[]): Recommendation[] {
  const [lead] = alerts;
  const bare = known.flatMap(({ pattern, alertname }) =>
    pattern.runbook !== null && pattern.actions.length === 0
      ? [{ action: `${FOLLOW}${clip(alertname)}`, why: 'patterns.yaml links it', runbook: pattern.runbook }]
      : [],
  );
  const own = lead ? runbookOf(lead.annotations) : null;
  if (!lead || own === null) return bare;
  return [...bare, { action: `${FOLLOW}${clip(lead.alertname)}`, why: 'The alert links it', runbook: own }];
}

/** The runbook that an alert's annotations link to, if it is a plain web address; annotations are hostile input. */
export function runbookOf(annotations: Alert['annotations']): string | null {
  for (const name of ['runbook_url', 'runbook']) {
    const url = Object.hasOwn(annotations, name) ? webAddress(annotations[name]!) : null;
    if (url !== null) return url;
  }
  return null;
}

/** The address in its normal form if it is http or https, without a password in it and at most 2,048 characters; else null. */
export function webAddress(text: string): string | null {
  if (text.length > 2048 || !URL.canParse(text.trim())) return null;
  const url = new URL(text.trim());
  const web = url.protocol === 'http:' || url.protocol === 'https:';
  return web && url.username === '' && url.password === '' ? url.href : null;
}

/** Names come from outside and go into a sentence. */
const clip = (text: string, max = 120): string => (text.length > max ? `${text.slice(0, max - 1)}…` : text);
