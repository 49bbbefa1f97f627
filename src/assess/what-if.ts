import type { Policy } from '../decide/policy.ts';
import type { HoldingPolicy, Learning, SuppressionPolicy } from '../decide/suppression.ts';
import type { Labels } from '../domain/alert.ts';
import type { Mode } from '../domain/incident.ts';
import { type Severity, severities, severityRank } from '../domain/severity.ts';
import { type Matcher, unmet } from '../route/matchers.ts';
import { targetLabel } from '../route/targets.ts';
import { type Weighed, type Weights, weigh } from './weigh.ts';

/** One fact changed, everything else as it was. */
type Change = { text: string; weights?: Partial<Weights>; policy?: Partial<Policy> };

/** A single change that would have led to something else. */
export type WhatIf = {
  /** The fact that would have to differ: `severity`, `tier`, `policy`, … */
  fact: string;
  /** What would differ, the weightiest first: whether anybody is told, who, how urgently; or where it would be. */
  flips: 'verdict' | 'receivers' | 'priority' | 'incident';
  from: string;
  to: string;
  text: string;
};

/** Longer lists are no help at three in the morning; the nearest come first. */
const SHOWN = 8;
const HALF_HOUR = 1_800_000;

/**
 * The nearest counterfactuals: the judges that ran are run again with one input changed, along a fixed list of facts and for
 * each from the smallest change to the largest; the first value that leads elsewhere is told. Verdicts come before receivers
 * and receivers before priorities. Pure: the same record and policy give the same sentences.
 */
export function whatIfs(was: Weights, policy: Policy): WhatIf[] {
  const before = outcomeOf(weigh(was, policy));
  const found: WhatIf[] = [];
  for (const { fact, changes, only } of facts(was, policy)) {
    let best: WhatIf | null = null;
    for (const change of changes) {
      const weights = change.weights ? { ...was, ...change.weights } : was;
      const after = outcomeOf(weigh(weights, change.policy ? { ...policy, ...change.policy } : policy));
      const flip = flipOf(fact, before, after, change.text);
      if (flip && (!only || only.includes(flip.flips)) && (best === null || rank(flip) < rank(best))) best = flip;
      if (best?.flips === 'verdict') break;
    }
    if (best) found.push(best);
  }
  return found.sort((a, b) => rank(a) - rank(b)).slice(0, SHOWN);
}

const ranks: readonly WhatIf['flips'][] = ['verdict', 'receivers', 'priority', 'incident'];
const rank = ({ flips }: WhatIf): number => ranks.indexOf(flips);

type Outcome = {
  done: string;
  verdict: string;
  mode: Mode;
  by: string;
  receivers: string;
  later: string;
  priority: number;
};

function outcomeOf({ decided, routed, priority }: Weighed): Outcome {
  const { decision, done } = decided;
  const wait = routed.autoEscalateMinutes;
  const teams = [...routed.escalationTeams].sort().join(', ');
  return {
    done,
    verdict: decision.verdict,
    mode: decision.mode,
    by: decision.reasons.map(({ policy, code }) => String(policy ?? code))[0] ?? '',
    receivers: routed.targets.map(targetLabel).sort().join(', '),
    later: teams === '' || wait === null ? teams : `${teams} after ${wait} min`,
    priority,
  };
}

function flipOf(fact: string, was: Outcome, is: Outcome, change: string): WhatIf | null {
  const told = (one: Outcome): string => (one.done === 'notify' ? 'notify' : 'suppress');
  if (was.done !== is.done) {
    const text =
      is.done === 'suppress'
        ? `It would have been held back (${is.by}) if ${change}.`
        : `It would have notified ${is.receivers} if ${change}.`;
    return { fact, flips: 'verdict', from: told(was), to: told(is), text };
  }
  if (was.verdict !== is.verdict) {
    const said = `The policy would ${is.verdict === 'suppress' ? `hold it back (${is.by})` : 'notify'} if ${change}`;
    const done = is.done === 'notify' ? 'it would be sent' : 'it would be held back';
    const text = `${said}; in mode ${is.mode} ${done} all the same.`;
    return { fact, flips: 'verdict', from: `policy ${was.verdict}`, to: `policy ${is.verdict}`, text };
  }
  if (was.receivers !== is.receivers) {
    const text = `It would go to ${is.receivers} instead of ${was.receivers} if ${change}.`;
    return { fact, flips: 'receivers', from: was.receivers, to: is.receivers, text };
  }
  if (was.later !== is.later) {
    const text = `Called later would be ${is.later || 'nobody'} instead of ${was.later || 'nobody'} if ${change}.`;
    return { fact, flips: 'receivers', from: was.later, to: is.later, text };
  }
  if (was.priority === is.priority) return null;
  const text = `It would be P${is.priority} instead of P${was.priority} if ${change}.`;
  return { fact, flips: 'priority', from: `P${was.priority}`, to: `P${is.priority}`, text };
}

type Fact = { fact: string; changes: readonly Change[]; only?: readonly WhatIf['flips'][] };

/** Every fact that may be changed, from what people tune first to what they cannot help. */
function facts(was: Weights, policy: Policy): Fact[] {
  const { decide } = was;
  return [
    { fact: 'first-ever', changes: newness(was) },
    { fact: 'severity', changes: otherSeverities(was) },
    { fact: 'tier', changes: otherTiers(was) },
    { fact: 'owner', changes: owners(was, policy) },
    { fact: 'mode', changes: modes(policy.suppression), only: ['verdict'] },
    { fact: 'policy', changes: withoutPolicy(was, policy.suppression), only: ['verdict'] },
    { fact: 'learned', changes: withoutLearning(was, policy.suppression), only: ['verdict'] },
    { fact: 'threshold', changes: otherThresholds(was, policy), only: ['verdict'] },
    { fact: 'budget', changes: otherBudgets(was, policy), only: ['verdict'] },
    { fact: 'label', changes: nearMisses(was, policy.suppression), only: ['verdict'] },
    { fact: 'duration', changes: stillFiring(was, policy), only: ['verdict'] },
    { fact: 'time', changes: otherTimes(was, policy.suppression), only: ['verdict'] },
    { fact: 'person', changes: byHand(decide), only: ['verdict'] },
    { fact: 'impact', changes: otherImpacts(was) },
    {
      fact: 'kill-switch',
      changes: decide.killSwitch ? [withFacts(decide, 'the kill switch were off', { killSwitch: false })] : [],
    },
  ];
}

const withFacts = (decide: Weights['decide'], text: string, some: Partial<Weights['decide']>): Change => ({
  text,
  weights: { decide: { ...decide, ...some } },
});

const unique = (names: readonly string[]): string[] => [...new Set(names)];
const few = (names: readonly string[]): string =>
  names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(' and ');

function newness({ decide }: Weights): Change[] {
  if (decide.firstEver.size > 0)
    return [withFacts(decide, `${few([...decide.firstEver])} had fired before`, { firstEver: new Set() })];
  const rules = unique(decide.alerts.map((alert) => alert.alertname));
  if (rules.length === 0) return [];
  return [withFacts(decide, `${few(rules)} fired for the first time ever`, { firstEver: new Set(rules) })];
}

/** Nearest severities first; the label as sent becomes the plain word, since policies and routes look at labels. */
function otherSeverities(was: Weights): Change[] {
  const own = severityRank(was.severity);
  return [...severities]
    .filter((severity) => severity !== was.severity)
    .sort((a, b) => Math.abs(severityRank(a) - own) - Math.abs(severityRank(b) - own))
    .map((severity) => {
      // Milder: whatever was worse comes down to it. Worse: what was worst before goes up.
      const moved = (one: Severity): Severity => {
        if (severityRank(severity) > own) return severityRank(one) < severityRank(severity) ? severity : one;
        return one === was.severity ? severity : one;
      };
      const alerts = was.decide.alerts.map((alert) => {
        const next = moved(alert.severity);
        return next === alert.severity
          ? alert
          : { ...alert, severity: next, labels: { ...alert.labels, severity: next } };
      });
      return {
        text: `its severity were ${severity} instead of ${was.severity}`,
        weights: {
          severity,
          labels: { ...was.labels, severity },
          decide: { ...was.decide, alerts },
        },
      };
    });
}

function otherTiers({ tier }: Weights): Change[] {
  return [1, 2, 3, 4, 5]
    .filter((other) => other !== tier)
    .sort((a, b) => Math.abs(a - (tier ?? 2)) - Math.abs(b - (tier ?? 2)))
    .map((other) => ({
      text: tier === null ? `the catalogue said tier ${other}` : `tier were ${other} instead of ${tier}`,
      weights: { tier: other },
    }));
}

function owners(was: Weights, { catalogue, routing }: Policy): Change[] {
  const { service, assignedTeam } = was;
  const owned = service === null ? undefined : catalogue.get(service)?.owner;
  const change = (text: string, owner: string | undefined, weights?: Partial<Weights>): Change => {
    if (service === null) return { text, ...(weights ? { weights } : {}) };
    const { owner: _, ...entry } = catalogue.get(service) ?? { depends_on: [], dashboards: [] };
    const next = new Map(catalogue).set(service, owner === undefined ? entry : { ...entry, owner });
    return { text, policy: { catalogue: next }, ...(weights ? { weights } : {}) };
  };
  const changes: Change[] =
    assignedTeam === null ? [] : [{ text: 'nobody had assigned it', weights: { assignedTeam: null } }];
  if (service === null) return changes;
  if (owned !== undefined) changes.push(change(`nobody owned ${service} in the catalogue`, undefined));
  for (const team of [...routing.addresses.teams.keys()].slice(0, 10))
    if (team !== owned) changes.push(change(`${team} owned ${service}`, team));
  return changes;
}

function modes(suppression: SuppressionPolicy): Change[] {
  return (['active', 'shadow', 'passthrough'] as const).map((mode) => ({
    text: `the mode were ${mode}`,
    policy: { suppression: { ...suppression, mode, modeOf: () => mode } },
  }));
}

const labelsOf = (was: Weights): Labels[] => was.decide.alerts.map((alert) => alert.labels);

function withoutPolicy(was: Weights, suppression: SuppressionPolicy): Change[] {
  const holding = new Map<string, HoldingPolicy>();
  let floor = false;
  for (const labels of labelsOf(was)) {
    const matched = suppression.matched(labels);
    floor ||= matched.floor !== null;
    for (const one of matched.holding) holding.set(one.name, one);
  }
  const changes: Change[] = [...holding.keys()].map((name) => ({
    text: `there were no policy ${name}`,
    policy: {
      suppression: {
        ...suppression,
        matched: (labels) => {
          const all = suppression.matched(labels);
          return { ...all, holding: all.holding.filter((one) => one.name !== name) };
        },
      },
    },
  }));
  if (floor)
    changes.push({
      text: 'no configured floor and no watchdog spoke for it',
      policy: {
        suppression: { ...suppression, matched: (labels) => ({ ...suppression.matched(labels), floor: null }) },
      },
    });
  return changes;
}

/** The rules that act on what was learned, each turned off; and what was learned, each not so. */
function withoutLearning({ decide }: Weights, suppression: SuppressionPolicy): Change[] {
  const changes: Change[] = (['actionability', 'transient', 'flapping', 'symptoms'] as const).map((name) => ({
    text: `the rule ${name} were off`,
    policy: { suppression: learning(suppression, (rules) => ({ ...rules, [name]: null })) },
  }));
  const { learned } = decide;
  const unlearned = (text: string, some: Partial<typeof learned>) =>
    changes.push(withFacts(decide, text, { learned: { ...learned, ...some } }));
  if (learned.symptomOf) unlearned(`it were no symptom of incident ${learned.symptomOf.number}`, { symptomOf: null });
  if (Object.keys(learned.flapping).length > 0) unlearned('it did not come and go', { flapping: {} });
  return changes;
}

const learning = (suppression: SuppressionPolicy, change: (rules: Learning) => Learning): SuppressionPolicy => ({
  ...suppression,
  matched: (labels) => {
    const all = suppression.matched(labels);
    return { ...all, learning: change(all.learning) };
  },
});

/** The threshold of actionability on the other side of what this incident is worth. */
function otherThresholds(was: Weights, policy: Policy): Change[] {
  const first = was.decide.alerts[0];
  const rule = first && policy.suppression.matched(first.labels).learning.actionability;
  if (!rule) return [];
  const { value } = weigh(was, policy).worth;
  // Thresholds are written with two digits; below it is held, at it it is told.
  const threshold = value < rule.threshold ? Math.floor(value * 100) / 100 : Math.floor(value * 100) / 100 + 0.01;
  if (threshold > 1) return [];
  const text = `the threshold of actionability were ${threshold.toFixed(2)} instead of ${rule.threshold} (it is worth ${value.toFixed(2)})`;
  const moved = (one: Learning): Learning =>
    one.actionability === null ? one : { ...one, actionability: { ...one.actionability, threshold } };
  return [{ text, policy: { suppression: learning(policy.suppression, moved) } }];
}

/** The team's hour the other way round: used up, or not. */
function otherBudgets(was: Weights, policy: Policy): Change[] {
  const { decide } = was;
  const { routed, decided } = weigh(was, policy);
  const team = routed.primaryTeam;
  const limit = policy.suppression.budgetOf(team);
  if (limit === null) return [];
  const hour = (text: string, opened: number) => {
    const until = decide.learned.budgets[team]?.until ?? decide.now + 2 * HALF_HOUR;
    const budgets = { ...decide.learned.budgets, [team]: { opened, until, side: null } };
    return withFacts(decide, text, { learned: { ...decide.learned, budgets } });
  };
  return decided.budget === 'held'
    ? [hour(`${team} had not had its ${limit.perHour} new messages of the hour yet`, 0)]
    : [hour(`${team} had had its ${limit.perHour} new messages of the hour already`, limit.perHour)];
}

/** What is held back notifies once it has fired for long enough. */
function stillFiring(was: Weights, policy: Policy): Change[] {
  const { expiresAt, done, decision } = weigh(was, policy).decided;
  if (expiresAt === null || (done === 'notify' && decision.verdict === 'notify')) return [];
  const text = `it still fired at ${new Date(expiresAt).toISOString().slice(0, 16)}Z`;
  return [withFacts(was.decide, text, { now: expiresAt })];
}

/** Policies that one label kept from matching: the label as the policy wants it. */
function nearMisses(was: Weights, suppression: SuppressionPolicy): Change[] {
  const all = labelsOf(was);
  if (all.length === 0) return [];
  const changes: Change[] = [];
  for (const { name, matchers } of suppression.entries) {
    const missed = unmet(matchers, all[0]!);
    const wanted = missed.length === 1 ? valueFor(missed[0]!) : null;
    if (wanted === null) continue;
    const label = missed[0]!.name;
    const alerts = was.decide.alerts.map((alert) => ({ ...alert, labels: { ...alert.labels, [label]: wanted } }));
    const text = `${label} were ${wanted === '' ? 'absent' : `"${wanted}"`} (policy ${name})`;
    changes.push(withFacts(was.decide, text, { alerts }));
    if (changes.length === 5) break;
  }
  return changes;
}

/** A value that fulfils the matcher, where one can be named. */
function valueFor({ op, value }: Matcher): string | null {
  if (op === '=') return value;
  if (op === '!=' || op === '!~') return '';
  const first = value.split('|')[0]!;
  return /^[\w:/@ -]+$/.test(first) ? first : null;
}

/** Another time of day within a day of it, nearest first, for policies that hang on the clock; then the time that holds end. */
function otherTimes({ decide }: Weights, suppression: SuppressionPolicy): Change[] {
  const timed = decide.alerts.some((alert) => suppression.matched(alert.labels).holding.length > 0);
  if (!timed) return [];
  const changes: Change[] = [];
  for (let step = 1; step <= 48; step += 1) {
    for (const sign of [1, -1]) {
      const by = sign * step * HALF_HOUR;
      const alerts = decide.alerts.map((alert) => ({ ...alert, receivedAt: alert.receivedAt + by }));
      const when = `${new Date(decide.now + by).toISOString().slice(0, 16)}Z`;
      const how = `${spanText(Math.abs(by))} ${by < 0 ? 'earlier' : 'later'}`;
      changes.push(withFacts(decide, `it had come ${how} (${when})`, { alerts, now: decide.now + by }));
    }
  }
  return changes;
}

const spanText = (ms: number): string => {
  const minutes = Math.round(ms / 60_000);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 6) / 10} h`;
};

function byHand(decide: Weights['decide']): Change[] {
  const changes: Change[] = [];
  if (decide.snoozedUntil !== null) changes.push(withFacts(decide, 'nobody had snoozed it', { snoozedUntil: null }));
  if (decide.silencedUntil !== null || decide.silences.length > 0)
    changes.push(withFacts(decide, 'nobody had silenced it', { silencedUntil: null, silences: [] }));
  if (Object.keys(decide.learned.senderSilences).length > 0) {
    const learned = { ...decide.learned, senderSilences: {} };
    changes.push(withFacts(decide, 'nobody had silenced it in Alertmanager', { learned }));
  }
  return changes;
}

/** What the catalogue says of the services, from nothing at stake to much. */
function otherImpacts({ impact }: Weights): Change[] {
  const changes: Change[] = [];
  const change = (text: string, some: Partial<Weights['impact']>) =>
    changes.push({ text, weights: { impact: { ...impact, ...some } } });
  for (const level of ['none', 'low', 'medium', 'high'] as const)
    if (level !== impact.customerImpact) change(`the customer impact were ${level}`, { customerImpact: level });
  change(`it were ${impact.regulatoryRisk ? 'no matter' : 'a matter'} of regulation`, {
    regulatoryRisk: !impact.regulatoryRisk,
  });
  for (const level of ['low', 'high'] as const)
    if (level !== impact.slaBreachRisk) change(`the risk to the error budget were ${level}`, { slaBreachRisk: level });
  return changes;
}
