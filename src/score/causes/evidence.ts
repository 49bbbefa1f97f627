import type { Evidence } from '../../domain/incident.ts';
import type { CausesInput } from '../causes.ts';
import type { CausesWeights, SignalName } from './model.ts';
import type { Candidate } from './signals.ts';

/** What moves the score less than this (log odds: 5 % of an even chance) is not worth a line. */
const worthSaying = 0.05;

type Line = { kind: Evidence['kind']; signals: readonly SignalName[]; text: string };

/**
 * What speaks for a candidate and what against it, in plain words, strongest first. `weight` is in log odds: the weights
 * of all lines add up to the candidate's score but for what is too small to say, and one more means e times as likely
 * against any other candidate.
 */
export function evidenceOf(c: Candidate, input: CausesInput, { weights }: CausesWeights): Evidence[] {
  return [...aboutAlerts(c, input), ...aboutHistory(c), ...aboutDeploys(c), ...aboutMetrics(c), ...aboutFeedback(c)]
    .map(({ kind, signals, text }) => ({
      kind,
      text,
      weight: round(signals.reduce((sum, name) => sum + (weights[name] ?? 0) * c.signals[name], 0)),
    }))
    .filter(({ weight }) => Math.abs(weight) >= worthSaying)
    .sort((a, b) => b.weight - a.weight);
}

function aboutAlerts(c: Candidate, { alerts }: CausesInput): Line[] {
  const { signals, service } = c;
  const lines: Line[] = [];
  const add = (text: string, ...names: SignalName[]): void => {
    if (names.some((name) => signals[name] !== 0)) lines.push({ kind: 'topology', signals: names, text });
  };
  if (c.resourceAlert)
    add(
      `${c.resourceAlert.alertname} says that a resource of ${service} ran short, which comes before symptoms elsewhere`,
      'resource',
    );
  add('by its name it only stands before another service', 'proxy');
  if (signals.silent > 0) {
    const seen = c.anomalies.length > 0 ? 'only its metrics show trouble' : 'only services around it do';
    add(`${service} has no alert of its own, ${seen}`, 'silent');
  }
  add('it calls more others than most services without an alert', 'silentReach');
  add('the rules of its alerts mostly fire with no fault around', 'doubt');
  // Of a lone alert everything below is true and says nothing more than this.
  if (alerts.length < 2 && c.alerts.length > 0) {
    add('its alert is the only one so far', 'ownAlerts');
    return lines;
  }
  if (c.calledIn.length > 0 && signals.calledBySymptoms >= 0) {
    const callers = [...new Set(c.calledIn.map((a) => a.service))];
    add(
      `${count(c.calledIn.length, 'alert is', 'alerts are')} on calls to ${service} (from ${some(callers)})`,
      'calledBySymptoms',
    );
  } else {
    add(`${service} alerts about what it calls`, 'calledBySymptoms');
  }
  if (c.dependents.length > 0) {
    const rest = c.dependencies.length > 0 ? `, and it depends on ${c.dependencies.length}` : '';
    const verb = c.dependents.length === 1 ? 'service depends' : 'services depend';
    add(
      `${c.dependents.length} alerting ${verb} on ${service}: ${some(c.dependents)}${rest}`,
      'depth',
      'coverage',
      'sharedCallee',
    );
  } else if (c.dependencies.length > 0) {
    add(
      `it depends on ${count(c.dependencies.length, 'service that alerts', 'services that alert')}: ${some(c.dependencies)}`,
      'depth',
      'coverage',
    );
  } else {
    add(`no other alerting service calls ${service} or is called by it`, 'coverage');
  }
  if (signals.ruleDepth >= 0) add('of the services with the same alert the others depend on it', 'ruleDepth');
  else add('of the services with the same alert it depends on others', 'ruleDepth');
  if (signals.passedOn >= 0) add('a direct caller shows the same trouble', 'passedOn');
  else add('its direct callers alert, but about other things', 'passedOn');
  if (signals.ownAlerts >= 0) add(`${c.alerts.length} of ${alerts.length} alerts are its own`, 'ownAlerts');
  add('its alerts speak of errors, which say more than slowness', 'errors');
  add('all that it shows is a change in traffic, which follows trouble', 'trafficOnly');
  add('it calls several services that have the same alert', 'commonCaller');
  return lines;
}

function aboutHistory({ led, service }: Candidate): Line[] {
  if (!led) return [];
  const seconds = Math.round(Math.abs(led.lagMs) / 1000);
  const [n, all] = [Math.round(led.before), Math.round(led.before + led.after)];
  const text = `in ${n} of ${all} past incidents ${service} began before ${led.service}, on average ${seconds} s ${led.lagMs >= 0 ? 'earlier' : 'later'}`;
  return [{ kind: 'history', signals: ['leads'], text }];
}

function aboutDeploys({ deploy, service }: Candidate): Line[] {
  if (!deploy) return [];
  const minutes = Math.round(deploy.leadMs / 60_000);
  const version = deploy.deploy.version ? ` ${deploy.deploy.version}` : '';
  const when = minutes >= 0 ? `${minutes} min before the first alert` : 'just after the first alert';
  const what = deploy.deploy.rollback ? 'rollback' : 'deploy';
  return [{ kind: 'deploy', signals: ['deploy'], text: `${what}${version} of ${service} ${when}` }];
}

const metricSignal = { latency: 'metricLatency', errors: 'metricErrors', saturation: 'metricSaturation' } as const;

/**
 * One line for each family, its largest anomaly. That nothing the service calls accounts for it is said with the first of
 * those that travel (a resource that runs short at a callee slows nobody's resource down).
 */
function aboutMetrics({ anomalies, signals }: Candidate): Line[] {
  const lines: Line[] = [];
  let deepest = signals.metricDeepest > 0;
  for (const family of ['latency', 'errors', 'saturation'] as const) {
    const own = anomalies.filter((a) => a.family === family);
    if (own.length === 0) continue;
    const { text } = own.reduce((a, b) => (b.size > a.size ? b : a));
    if (deepest && family !== 'saturation') {
      deepest = false;
      const alone = `${text}; nothing that it calls accounts for it`;
      lines.push({ kind: 'metric', signals: [metricSignal[family], 'metricDeepest'], text: alone });
    } else lines.push({ kind: 'metric', signals: [metricSignal[family]], text });
  }
  return lines;
}

function aboutFeedback({ signals }: Candidate): Line[] {
  if (signals.feedback === 0) return [];
  const text = signals.feedback > 0 ? 'a person named it as the cause' : 'a person ruled it out';
  return [{ kind: 'feedback', signals: ['feedback'], text }];
}

const some = (names: readonly (string | null)[]): string => names.slice(0, 4).join(', ');
const count = (n: number, one: string, many: string): string => `${n} ${n === 1 ? one : many}`;
const round = (x: number): number => Math.round(x * 1000) / 1000;
