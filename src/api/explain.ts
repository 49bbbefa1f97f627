import { z } from 'zod';
import type { WhatIf } from '../assess/what-if.ts';
import type { Incident, RootCause } from '../domain/incident.ts';
import { Reason } from '../domain/reason.ts';
import type { DecisionRow } from '../store/read.ts';
import type { AlertRow, KnownAlert } from '../store/read-alerts.ts';
import type { NotificationRow, SuppressedRow } from '../store/read-lists.ts';
import { type Compared, explainPair } from './compare.ts';
import { explainOtherwise, explainPolicies, explainTimers, type Judged } from './judged.ts';
import type { Explanation } from './schemas.ts';
import { iso, notificationView } from './views.ts';

/** Everything on record about one alert. */
export type ExplainInput = {
  alert: AlertRow;
  incident: Incident | null;
  decision: DecisionRow | null;
  /** Names of the neighbours, by `source/fingerprint`. */
  names: ReadonlyMap<string, KnownAlert>;
  notifications: readonly NotificationRow[];
  suppression: SuppressedRow | null;
  /** The verdict that settled its firing, ready to be judged again; null where the record does not hold what that takes. */
  judged: Judged | null;
  /** What would have put it into another incident. */
  elsewhere: readonly WhatIf[];
  compared: Compared | null;
};

/**
 * Why an alert was grouped, ranked, decided and routed as it was, and what would have led elsewhere, from the record alone:
 * what is judged again is judged by the inputs and the config of the time, so the answer is the same whenever it is asked. Only
 * the distance to another alert is measured with what the correlator knows now.
 */
export function explainAlert(input: ExplainInput): Explanation {
  const { alert, incident, decision } = input;
  const grouped = explainGrouping(input);
  const ranked = explainRanking(incident, decision);
  const decided = explainDecision(input);
  const routed = explainRouting(input);
  const compared = input.compared && explainPair(alert, input.compared);
  const policies = explainPolicies(input.judged, alert);
  const timers = { text: explainTimers(input.judged) };
  const otherwise = explainOtherwise(input.judged, input.elsewhere);
  return {
    fingerprint: alert.fingerprint,
    source: alert.source,
    alertname: alert.alertname,
    incidentId: alert.incident_id,
    incidentNumber: incident?.number ?? null,
    configHash: decision?.config_hash ?? incident?.configHash ?? null,
    grouped,
    ranked,
    decided,
    policies,
    routed,
    timers,
    otherwise,
    compared,
    record: decision && {
      revision: decision.revision,
      at: iso(decision.at),
      configHash: decision.config_hash,
      doc: decision.doc,
    },
    text: [
      ...grouped.text,
      ...ranked.text,
      ...decided.text,
      ...policies.text,
      ...routed.text,
      ...timers.text,
      ...otherwise.text,
      ...(compared?.text ?? []),
    ],
  };
}

/** Why an alert is in the incident it is in: its neighbours at the time, and every part of each distance. */
export function explainGrouping({
  alert,
  incident,
  names,
}: Pick<ExplainInput, 'alert' | 'incident' | 'names'>): Explanation['grouped'] {
  const { why } = alert;
  if (!why) {
    const text = alert.incident_id
      ? `${nameOf(alert)} belongs to ${numbered(incident, alert.incident_id)}; no measurement was recorded for it.`
      : `${nameOf(alert)} belongs to no incident.`;
    return { text: [text], rule: null, eps: null, minPts: null, neighbours: [] };
  }
  const neighbours = why.neighbours.map(({ key, distance, parts }) => {
    const known = names.get(alertOf(key));
    const cut = key.indexOf('/');
    return {
      source: key.slice(0, cut),
      fingerprint: alertOf(key).slice(cut + 1),
      alertname: known?.alertname ?? null,
      service: known?.service ?? null,
      distance,
      parts,
    };
  });
  const text: string[] = [];
  const nearest = neighbours[0];
  const home = alert.incident_id ? numbered(incident, alert.incident_id) : 'no incident';
  if (nearest) {
    text.push(
      `${nameOf(alert)} is in ${home}: its nearest neighbour was ${neighbourName(nearest)} at distance ${shown(nearest.distance)}` +
        ` (neighbours are at most ${shown(why.eps)} apart, and ${why.minPts} alerts that near make a cluster).`,
    );
    text.push(sayParts(nearest.parts));
    if (neighbours.length > 1) {
      const others = neighbours.slice(1).map((one) => `${neighbourName(one)} (${shown(one.distance)})`);
      text.push(`Also near were ${others.join(', ')}.`);
    }
  } else if (why.eps === 0) {
    text.push(`${nameOf(alert)} is in ${home} by the rule "${why.rule}"; nothing had to be measured.`);
  } else {
    text.push(
      `${nameOf(alert)} is in ${home}: no alert then open to it lay within ${shown(why.eps)}, so it stood alone at first.`,
    );
  }
  if (why.note) text.push(sentence(why.note));
  // No label says it: without this line the reader would look for it in vain.
  if (alert.service !== null && !Object.values(alert.labels).includes(alert.service))
    text.push(
      `Its service, ${alert.service}, is the workload that it names by its pod, by what is known of what runs where.`,
    );
  return { text, rule: why.rule, eps: why.eps, minPts: why.minPts, neighbours };
}

/** Why the incident is as urgent as it is, and who is suspected on what evidence. */
export function explainRanking(incident: Incident | null, decision: DecisionRow | null): Explanation['ranked'] {
  if (!incident) return { text: ['There is no incident to rank.'], priority: null, rootCauses: [] };
  const text = [
    `Incident ${incident.number} has severity ${incident.severity} and priority ${incident.priority} (1 is the highest).`,
  ];
  const { parts } = recorded(decision);
  for (const reason of parts.priority) text.push(`Priority: ${reason.text}.`);
  for (const note of parts.impact) text.push(`Impact: ${sentence(note)}`);
  const [top, ...rest] = incident.rootCauses;
  if (!top) text.push('No cause stands out: no suspect is named.');
  else {
    const sure = top.confidence === 'low' ? 'No clear cause; the likeliest suspect is' : 'The top suspect is';
    text.push(`${sure} ${suspect(top)}, probability ${shown(top.probability)} (${top.confidence} confidence).`);
    for (const evidence of top.evidence) {
      text.push(`Evidence (${evidence.kind}, weight ${shown(evidence.weight)}): ${evidence.text}`);
    }
    if (top.causalChain.length > 1) text.push(`The chain to the symptom: ${top.causalChain.join(' → ')}.`);
    if (rest.length > 0) {
      text.push(`Behind it: ${rest.map((one) => `${suspect(one)} (${shown(one.probability)})`).join(', ')}.`);
    }
  }
  return { text, priority: incident.priority, rootCauses: incident.rootCauses };
}

const teamSources: Record<string, string> = {
  assigned: 'a person, who assigned it',
  route: 'the route itself',
  label: "the lead alert's team label",
  owner: 'the catalogue, as the owner of the suspected service',
  unowned: 'the route, for what nobody else owns',
  default: 'default_team, since nothing else names one',
};

const verdicts: Record<string, string> = {
  notify: 'caused a message',
  group: 'needed no message of its own',
  suppress: 'was held back',
};

function explainDecision({ alert, incident, decision, suppression }: ExplainInput): Explanation['decided'] {
  const text: string[] = [];
  text.push(
    alert.fire_verdict
      ? `Its firing ${verdicts[alert.fire_verdict]}.`
      : 'Its firing is not decided yet; the ledger counts it as in flight.',
  );
  if (alert.status === 'resolved') {
    text.push(
      alert.resolve_verdict
        ? `Its end ${verdicts[alert.resolve_verdict]}${alert.closed_because === 'resolved' ? '' : ` (closed as ${alert.closed_because})`}.`
        : 'Its end is not decided yet; the ledger counts it as in flight.',
    );
  }
  for (const reason of alert.reasons) text.push(`Because (${reason.code}): ${reason.text}`);
  const policy = incident?.decision ?? null;
  if (policy) {
    text.push(
      `For the incident the policy says ${policy.verdict} (mode ${policy.mode}, actionability ${shown(policy.actionability)}).`,
    );
    const { done, parts } = recorded(decision);
    if (done !== null && done !== policy.verdict)
      text.push(`What was done all the same: ${done}, as mode ${policy.mode} wants it.`);
    if (parts.actionability.length > 0) {
      const weighed = parts.actionability.map((one) => `${one.name} ${shown(one.value)} × ${shown(one.weight)}`);
      text.push(`Actionability is 1 / (1 + e^-x) of the sum x of ${weighed.join(', ')}.`);
    }
    for (const reason of policy.reasons) {
      const line = `Because (${reason.code}): ${reason.text}`;
      if (!text.includes(line)) text.push(line);
    }
  }
  if (suppression) {
    const released = suppression.released_at ? `, let through at ${iso(suppression.released_at)}` : '';
    text.push(
      `It was held back at ${iso(suppression.at)} by ${suppression.policy}, until ${iso(suppression.expires_at)} at the latest${released}.`,
    );
  }
  return {
    text,
    verdict: alert.fire_verdict as Explanation['decided']['verdict'],
    resolveVerdict: alert.resolve_verdict as Explanation['decided']['verdict'],
    reasons: alert.reasons,
    policy,
    suppressedUntil: suppression && !suppression.released_at ? iso(suppression.expires_at) : null,
  };
}

/** Which way through the tree, which team and why that one, who was told and who is next. */
export function explainRouting({
  incident,
  decision,
  notifications,
}: Pick<ExplainInput, 'incident' | 'decision' | 'notifications'>): Explanation['routed'] {
  const views = notifications.map(notificationView);
  const { path, teamFrom, unusable } = recorded(decision).route;
  if (!incident)
    return { text: ['Nothing was routed.'], team: null, teamFrom, path, channels: [], notifications: views };
  const { channels, escalationTeams } = incident.routing;
  const text = [
    `It goes to team ${incident.team}${channels.length > 0 ? ` by ${channels.join(', ')}` : ', by no channel yet'}.`,
  ];
  if (teamFrom !== null) text.push(`The team is named by ${teamSources[teamFrom] ?? teamFrom}.`);
  for (const one of path) text.push(`The way through the tree: ${one.join(' → ')}.`);
  for (const one of unusable) text.push(`Not used: ${one}.`);
  if (escalationTeams.length > 0) text.push(`Its impact adds ${escalationTeams.join(', ')} from the second step on.`);
  const next = incident.nextEscalation;
  if (next) text.push(`If nobody answers, ${next.notify.join(', ')} is told at ${next.at}.`);
  for (const one of views) {
    const last = one.attempts.at(-1);
    text.push(
      `${capital(one.kind)} to ${one.channel}:${one.target} at ${one.at}: ${one.state}${last ? ` (${last.result})` : ''}.`,
    );
  }
  return { text, team: incident.team, teamFrom, path, channels, notifications: views };
}

/** What this release reads of a decision's record; records of other releases may hold less or more. */
const Recorded = z.object({
  done: z.string().nullable().catch(null),
  route: z
    .object({
      path: z.array(z.array(z.string())).catch([]),
      teamFrom: z.string().nullable().catch(null),
      unusable: z.array(z.looseObject({ target: z.string(), reason: z.string() })).catch([]),
    })
    .catch({ path: [], teamFrom: null, unusable: [] }),
  parts: z
    .object({
      priority: z.array(Reason).catch([]),
      actionability: z.array(z.object({ name: z.string(), value: z.number(), weight: z.number() })).catch([]),
      impact: z.array(z.string()).catch([]),
    })
    .catch({ priority: [], actionability: [], impact: [] }),
});

function recorded(decision: DecisionRow | null) {
  const { route, ...rest } = Recorded.parse(decision?.doc ?? {});
  return { ...rest, route: { ...route, unusable: route.unusable.map((one) => `${one.target} (${one.reason})`) } };
}

/** `source/fingerprint` of an episode key (`source/fingerprint@startsAt`) or of an alert key. */
export const alertOf = (key: string): string => key.replace(/@-?\d+$/, '');

const shown = (n: number): string => String(Math.round(n * 100) / 100);
const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);
const nameOf = (alert: AlertRow): string =>
  `${alert.alertname || alert.fingerprint}${alert.service ? ` (${alert.service})` : ''}`;
const neighbourName = (one: { alertname: string | null; service: string | null; fingerprint: string }): string =>
  `${one.alertname ?? one.fingerprint}${one.service ? ` (${one.service})` : ''}`;
const numbered = (incident: Incident | null, id: string): string => `incident ${incident?.number ?? id}`;
const suspect = (cause: RootCause): string =>
  cause.alertname
    ? `${cause.service} (${cause.alertname})`
    : cause.deployId
      ? `a deploy of ${cause.service}`
      : cause.service;
const sentence = (text: string): string => `${capital(text).replace(/\.$/, '')}.`;

/** Each part is 0..1, and 1 speaks for being together; a fact that is missing speaks neither way and is left out. */
function sayParts(parts: Record<string, number>): string {
  const sorted = Object.entries(parts).sort(([, a], [, b]) => b - a);
  const weakest = sorted.at(-1);
  if (!weakest) return 'No parts of that distance are on record.';
  const all = sorted.map(([name, value]) => `${name} ${shown(value)}`).join(', ');
  const against = weakest[1] < 1 ? `; what speaks against it most is ${weakest[0]}` : '';
  return `How near each fact puts them (1 together, 0 apart): ${all}${against}.`;
}
