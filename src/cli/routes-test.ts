import { closest } from '../config/fault.ts';
import type { Config } from '../config/schema.ts';
import { secret } from '../config/secrets.ts';
import { buildGraph } from '../correlate/graph.ts';
import { compilePolicy, type Policy } from '../decide/policy.ts';
import type { Labels } from '../domain/alert.ts';
import { noFacts } from '../domain/facts.ts';
import { mapSeverity } from '../domain/severity.ts';
import { channelOff } from '../route/channels.ts';
import { route } from '../route/route.ts';
import { targetLabel } from '../route/targets.ts';
import { declaredTopology } from '../rules.ts';
import { assessImpact } from '../score/impact.ts';
import { priorityOf, tierOf } from '../score/priority.ts';

/**
 * Labels from `LABEL=VALUE` words, as `amtool config routes test` takes them; a value may hold `=` and may be quoted. A
 * string is what is wrong with them.
 */
export function parseLabels(words: readonly string[]): Labels | string {
  const labels: Record<string, string> = {};
  for (const word of words) {
    const cut = word.indexOf('=');
    if (cut <= 0) return `"${word}" is not LABEL=VALUE. Write for example service=checkout severity=critical`;
    const name = word.slice(0, cut);
    if (/[!~]$/.test(name)) return `"${word}" is a matcher. Write a label as an alert carries it: service=checkout`;
    Object.defineProperty(labels, name, {
      value: word.slice(cut + 1).replace(/^"(.*)"$/s, '$1'),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return labels;
}

/**
 * `tocsin routes test LABEL=VALUE… [--json]`: the route, team, channels, targets and escalation policy that an alert with
 * these labels gets as the only one of an incident, and what its declared impact makes of it: priority, whom it adds, how soon.
 * It is the service's own routing, with what is off on this machine told beside it. What is measured or learned of the past is
 * not known here. Gives the exit code.
 */
export function runRoutesTest(options: {
  config: Config;
  words: readonly string[];
  json: boolean;
  out: (text: string) => void;
  err: (text: string) => void;
}): number {
  const { config, json, out, err } = options;
  const labels = parseLabels(options.words);
  if (typeof labels === 'string') {
    err(`${labels}.\n`);
    return 2;
  }
  const policy = compilePolicy(config, { assumeSecrets: true });
  const serviceLabel = config.tocsin.labels.service.find((name) => Object.hasOwn(labels, name) && labels[name] !== '');
  const service = serviceLabel === undefined ? null : labels[serviceLabel]!;
  const weighed = weigh(config, policy, labels, service);
  const result = route({ labels, service, weighed }, policy);
  const targets = result.targets.map((target) => {
    const channel = target.channel === 'webhook' ? targetLabel(target) : target.channel;
    return { target: targetLabel(target), off: channelOff(config, channel, false) ?? keyOff(config, target) };
  });
  const steps = result.escalationPolicy ? config.routing.escalation_policies[result.escalationPolicy]!.steps : [];

  if (json) {
    const shown = {
      labels,
      service,
      path: result.path,
      team: result.primaryTeam,
      teamFrom: result.teamFrom,
      unknownOwner: result.unknownOwner,
      channels: result.channels,
      targets,
      escalation: result.escalationPolicy,
      steps: steps.map(({ after, notify }) => ({ afterSeconds: after / 1000, notify })),
      escalationTeams: result.escalationTeams,
      autoEscalateMinutes: result.autoEscalateMinutes,
      severity: weighed.severity,
      priority: weighed.priority,
      reasons: weighed.reasons,
      impact: weighed.impact,
    };
    out(`${JSON.stringify(shown, null, 2)}\n`);
    return 0;
  }
  const from = {
    assigned: 'assigned',
    route: 'named by the route',
    label: 'named by the label `team`',
    owner: `owner of ${service}`,
    unowned: 'the route, for what nobody else owns',
    default: 'default_team, since nothing names a team',
  }[result.teamFrom];
  for (const nodes of result.path) out(`route       ${nodes.join('\n            → ')}\n`);
  out(`team        ${result.primaryTeam} (${from})\n`);
  out(`channels    ${result.channels.join(', ')}\n`);
  targets.forEach(({ target, off }, i) => {
    out(`${i === 0 ? 'targets  ' : '         '}   ${target}${off === null ? '' : `  (off here: ${off})`}\n`);
  });
  out(`escalation  ${result.escalationPolicy ?? 'none: the first message is the only one'}\n`);
  for (const { after, notify } of steps) out(`            after ${minutes(after)}: ${notify.join(', ')}\n`);
  out(`priority    P${weighed.priority}: ${weighed.reasons.map((reason) => reason.text).join('; ')}\n`);
  const wait = result.autoEscalateMinutes;
  const whom = result.impactTeams.length === 0 ? 'adds nobody' : `adds ${result.impactTeams.join(', ')}`;
  if (result.escalationPolicy)
    out(`impact      ${whom}${wait === null ? '' : `; the second step comes after ${minutes(wait * 60_000)}`}\n`);
  const catalogued = Object.keys(config.business.services);
  if (service !== null && !catalogued.includes(service)) {
    const guess = closest(service, catalogued);
    const hint = guess ? `Did you mean "${guess}"?` : 'Add it there, so that its owner and its worth are known.';
    out(`note        "${service}" is not in business-context.yaml. ${hint}\n`);
  }
  return 0;
}

/** What business-context.yaml and the points make of one such alert that has just begun. */
function weigh(config: Config, policy: Policy, labels: Labels, service: string | null) {
  const severity = mapSeverity(config.tocsin.severity_map, labels.severity);
  const { impact } = assessImpact({
    services: service === null ? [] : [service],
    suspect: service,
    severity,
    catalogue: policy.catalogue,
    graph: buildGraph(declaredTopology(config)),
    facts: noFacts(),
    startedAt: 0,
    now: 0,
    over: false,
    edges: [],
  });
  const tier = tierOf(impact.affectedServices, policy.catalogue);
  return { severity, impact, ...priorityOf({ severity, tier, impact }, policy.priority) };
}

/** A routing key that is not set on this machine. */
function keyOff(config: Config, target: { channel: string; address: string }): string | null {
  if (target.channel !== 'pagerduty') return null;
  const ref = config.routing.teams[target.address.slice('team/'.length)]?.pagerduty;
  return ref && secret(config, ref) === null ? 'its routing key is not set' : null;
}

const minutes = (ms: number): string =>
  ms % 60_000 === 0 ? `${ms / 60_000} min` : `${Math.floor(ms / 60_000)} min ${(ms % 60_000) / 1000} s`;
