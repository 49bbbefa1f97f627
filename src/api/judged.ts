import { recordedAlerts, restoreWeights } from '../assess/recorded.ts';
import { type Weights, weigh } from '../assess/weigh.ts';
import { type WhatIf, whatIfs } from '../assess/what-if.ts';
import type { Config } from '../config/schema.ts';
import { compilePolicy, type Policy } from '../decide/policy.ts';
import { rfc } from '../domain/time.ts';
import { matcherText, unmet } from '../route/matchers.ts';
import { readConfig } from '../store/configs.ts';
import { type Db, type DecisionRow, decidingDecision } from '../store/read.ts';
import { type AlertRow, listEpisodesByKey } from '../store/read-alerts.ts';
import { alertOfRow } from './correlation.ts';

/** A verdict as it was reached: what the judges looked at, and the policy they looked at it by. */
export type Judged = {
  decision: DecisionRow;
  weights: Weights;
  /** Firing alerts that the record does not name. */
  omitted: number;
  policy: Policy;
  escalation: Config['routing']['escalation_policies'];
  /** Hash of the config that `policy` comes from: the one of the time, unless the store never kept it. */
  hash: string;
};

type Compiled = { policy: Policy; config: Config };
/** The policy of a config hash; the tree in force where the store does not know that hash. */
export type PolicyOf = (db: Db, hash: string, current: Config) => Promise<Compiled>;

/** Compiled trees kept: a page of explanations asks for the same one or two. 500 policies compile in some 10 ms. */
const KEPT = 4;

/** Every reference counts as set, so that the same question gets the same answer on every machine. */
export function policyCache(): PolicyOf {
  const kept = new Map<string, Compiled>();
  return async (db, hash, current) => {
    const known = kept.get(hash) ?? kept.get(current.hash === hash ? hash : '');
    if (known) return known;
    const config = current.hash === hash ? current : ((await readConfig(db, hash)) ?? current);
    const compiled = { policy: compilePolicy(config, { assumeSecrets: true }), config };
    if (config.hash === hash) {
      if (kept.size >= KEPT) kept.delete(kept.keys().next().value!);
      kept.set(hash, compiled);
    }
    return compiled;
  };
}

/**
 * The verdict that settled what came in at `at` (epoch ms; null: the newest one with something firing), ready to be judged
 * again; null when no record holds what the judges looked at.
 */
export async function judgedFor(
  db: Db,
  incidentId: string,
  at: number | null,
  policyOf: PolicyOf,
  current: Config,
): Promise<Judged | null> {
  const decision = await decidingDecision(db, incidentId, at);
  if (!decision) return null;
  const keys = recordedAlerts(decision.doc);
  const [rows, compiled] = await Promise.all([
    keys.length === 0 ? [] : listEpisodesByKey(db, keys),
    policyOf(db, decision.config_hash, current),
  ]);
  const restored = restoreWeights(decision.doc, new Map(rows.map(({ key, row }) => [key, alertOfRow(row)])));
  if (!restored) return null;
  const { policy, config } = compiled;
  return { ...restored, decision, policy, escalation: config.routing.escalation_policies, hash: config.hash };
}

/** Entries that fail by one matcher are worth a line; the rest is counted. */
const MISSES_SHOWN = 5;

/** Which suppression entries match these labels, whether they would hold, and what kept the nearest others from it. */
export function explainPolicies(judged: Judged | null, alert: AlertRow) {
  if (!judged) return { text: [], mode: null, matched: [], missed: [], others: 0 };
  const { suppression } = judged.policy;
  const { now } = judged.weights.decide;
  const receivedAt = new Date(alert.received_at).getTime();
  const team = recordedTeam(judged.decision) ?? '';
  const mode = suppression.modeOf(alert.labels, team, alert.service);
  const { floor, holding } = suppression.matched(alert.labels);
  const matched = holding.map((entry) => {
    const hold = entry.holds(now, receivedAt);
    return { policy: entry.name, by: entry.matchers.text, until: hold && rfc(hold.until) };
  });
  const names = new Set(holding.map((entry) => entry.name));
  const missed = suppression.entries.flatMap((entry) => {
    if (names.has(entry.name)) return [];
    const failing = unmet(entry.matchers, alert.labels);
    return failing.length === 1 ? [{ policy: entry.name, matcher: matcherText(failing[0]!) }] : [];
  });
  const text = [`The mode for it is ${mode}.`];
  if (floor) text.push(`A floor speaks for it (${floor.code}): ${floor.text}.`);
  for (const one of matched)
    text.push(
      one.until === null
        ? `Policy ${one.policy} matches it (${one.by}), but held nothing at ${rfc(now)}.`
        : `Policy ${one.policy} matches it (${one.by}) and speaks for holding it back until ${one.until}.`,
    );
  const { learning } = suppression.matched(alert.labels);
  if (learning.actionability) {
    const { worth } = weigh(judged.weights, judged.policy);
    const { threshold, firings } = learning.actionability;
    text.push(
      `The incident is worth ${worth.value} to wake somebody for; below ${threshold} it may be held back, once its rule began more than ${firings} incidents (so far ${worth.seen}).`,
    );
  }
  for (const one of missed.slice(0, MISSES_SHOWN))
    text.push(`Policy ${one.policy} does not match: ${notHeld(one.matcher, alert)}.`);
  const others = suppression.entries.length - matched.length - Math.min(missed.length, MISSES_SHOWN);
  if (suppression.entries.length === 0) text.push('No suppression policy is configured.');
  else if (others > 0) text.push(`${others} more ${others === 1 ? 'policy does' : 'policies do'} not match it.`);
  return { text, mode, matched, missed: missed.slice(0, MISSES_SHOWN), others };
}

function notHeld(matcher: string, { labels }: AlertRow): string {
  const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*/.exec(matcher)?.[0] ?? '';
  const value = Object.hasOwn(labels, name) ? `${name} is ${JSON.stringify(labels[name])}` : `it has no label ${name}`;
  return name === '' ? `it wants ${matcher}` : `it wants ${matcher}, and ${value}`;
}

const recordedTeam = ({ doc }: DecisionRow): string | null => {
  const team = (doc.routing as { primaryTeam?: unknown } | undefined)?.primaryTeam;
  return typeof team === 'string' ? team : null;
};

/** What the nearest single change would have led to instead; `elsewhere`: of where it was put. */
export function explainOtherwise(
  judged: Judged | null,
  elsewhere: readonly WhatIf[] = [],
): { text: string[]; judgedBy: string | null; whatIfs: WhatIf[] } {
  const placed = elsewhere.map((one) => one.text);
  if (!judged) {
    const text = 'Whether another verdict was near cannot be said: the record does not hold what the judges looked at.';
    return { text: [text, ...placed], judgedBy: null, whatIfs: [...elsewhere] };
  }
  const { weights, policy, decision, hash, omitted } = judged;
  const found = whatIfs(weights, policy);
  const text = [...found.map((one) => one.text), ...placed];
  if (found.length === 0)
    text.push(
      'No single change of severity, tier, owner, mode, policy, time or impact would have led to another verdict, other receivers or another priority.',
    );
  if (hash !== decision.config_hash)
    text.push(`Judged by the config in force (${hash}): the one of the time (${decision.config_hash}) was never kept.`);
  if (omitted > 0) text.push(`${omitted} more firing alerts stand for themselves; the worst ones were judged again.`);
  return { text, judgedBy: hash, whatIfs: [...found, ...elsewhere] };
}

/** The clocks: the steps of the escalation policy as impact shortened it. */
export function explainTimers(judged: Judged | null): string[] {
  if (!judged) return [];
  const { escalationPolicy: name, autoEscalateMinutes: wait } = weigh(judged.weights, judged.policy).routed;
  const policy = name !== null && Object.hasOwn(judged.escalation, name) ? judged.escalation[name] : undefined;
  if (!policy) return ['No escalation policy: nobody is called after the first message.'];
  const second = policy.steps.findIndex((step) => step.after > 0);
  const steps = policy.steps.map(({ after, notify }, i) => {
    const ms = i === second && wait !== null ? Math.min(after, wait * 60_000) : after;
    return `${ms === 0 ? 'at once' : `after ${Math.round(ms / 6_000) / 10} min`} ${notify.join(' and ')}`;
  });
  const rounds = policy.repeat > 0 ? `, then ${policy.repeat} more ${policy.repeat > 1 ? 'rounds' : 'round'}` : '';
  const again = policy.ack_timeout;
  const acked =
    again === undefined
      ? ''
      : ` ${Math.round(again / 60_000)} min after an acknowledgement it goes on if something still fires.`;
  return [`Escalation policy ${name}: ${steps.join('; ')}${rounds}; an acknowledgement stops it.${acked}`];
}
