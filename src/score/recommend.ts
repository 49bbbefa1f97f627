import type { PatternsFile, Service } from '../config/schema.ts';
import type { Alert } from '../domain/alert.ts';
import type { IncidentDeploy, Recommendation, RootCause } from '../domain/incident.ts';
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
  patterns: readonly Pattern[];
  catalogue: ReadonlyMap<string, Service>;
};

/** A deploy this suspicious (0..1), or blamed with some confidence, is worth undoing first; below, it is evidence and no advice. */
const SUSPICIOUS = 0.5;
/** A storm has few rules and many alerts: enough of either to see every pattern, few enough to stay cheap. */
const [RULES_LOOKED_AT, ALERTS_LOOKED_AT, MOST_ADVICE] = [20, 500, 8];

/**
 * What to do, first things first: undo the suspicious deploy, what patterns.yaml knows of the suspect's and the lead's
 * alerts, the runbooks (the lead's annotation, the suspected service's), at last what keeps it from coming back. At most
 * eight; empty when nothing is known.
 */
export function recommend(input: RecommendInput): Recommendation[] {
  const known = knownPatterns(input);
  const advice = [
    ...rollback(input),
    ...known.flatMap(({ pattern, alertname }) =>
      pattern.actions.map((action) => ({ action, why: whyOf(pattern, alertname), runbook: pattern.runbook })),
    ),
    ...runbooks(input, known),
    ...known.flatMap(({ pattern, alertname }) =>
      pattern.prevent.map((action) => ({ action, why: `Keeps ${alertname} from coming back`, runbook: null })),
    ),
  ];
  const once = new Map(advice.map((one): [string, Recommendation] => [one.action, one]).reverse());
  return advice.filter((one) => once.get(one.action) === one).slice(0, MOST_ADVICE);
}

function rollback({ causes, deploys }: RecommendInput): Recommendation[] {
  const before = deploys.filter((deploy) => deploy.leadSeconds >= 0);
  const [top] = causes;
  const blamed = top && top.confidence !== 'low' ? before.find((deploy) => deploy.id === top.deployId) : undefined;
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

/** The runbooks that no advice above links to already. */
function runbooks({ alerts, causes, catalogue }: RecommendInput, known: readonly Known[]): Recommendation[] {
  const lead = alerts[0];
  const service = causes[0]?.service ?? lead?.service ?? null;
  const linked = new Set(known.flatMap(({ pattern }) => (pattern.actions.length > 0 ? [pattern.runbook] : [])));
  const found: Recommendation[] = [];
  const add = (action: string, why: string, runbook: string | null): void => {
    if (runbook === null || linked.has(runbook)) return;
    linked.add(runbook);
    found.push({ action, why, runbook });
  };
  for (const { pattern, alertname } of known)
    add(`Follow the runbook for ${clip(alertname)}`, 'patterns.yaml links it', pattern.runbook);
  if (lead) add(`Follow the runbook of ${clip(lead.alertname)}`, 'The alert links it', runbookOf(lead.annotations));
  const declared = service === null ? undefined : catalogue.get(service)?.runbook;
  add(
    `Follow the runbook of ${clip(service ?? '')}`,
    'The catalogue links it for the suspected service',
    declared ?? null,
  );
  return found;
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
const clip = (text: string): string => (text.length > 120 ? `${text.slice(0, 119)}…` : text);
