import type { Evidence } from '../../domain/incident.ts';
import type { CausesInput } from '../causes.ts';
import type { CausesWeights, SignalName } from './model.ts';
import type { Candidate } from './signals.ts';

/** What speaks for a candidate, in plain words, strongest first; `weight` is its share in the score (log odds). */
export function evidenceOf(c: Candidate, input: CausesInput, { weights }: CausesWeights): Evidence[] {
  const lines: Evidence[] = [];
  const add = (kind: Evidence['kind'], names: SignalName[], text: string): void => {
    const weight = names.reduce((sum, name) => sum + (weights[name] ?? 0) * c.signals[name], 0);
    lines.push({ kind, text, weight: Math.round(weight * 1000) / 1000 });
  };
  const { signals } = c;
  const resource = c.resourceAlert;
  if (resource && signals.resource > 0)
    add(
      'topology',
      ['resource'],
      `${resource.alertname} says that a resource of ${c.service} ran short, which comes before symptoms elsewhere`,
    );
  if (c.calledIn.length > 0 && signals.calledBySymptoms > 0) {
    const callers = [...new Set(c.calledIn.map((a) => a.service))].slice(0, 4).join(', ');
    add('topology', ['calledBySymptoms'], `${c.calledIn.length} alerts are on calls to ${c.service} (from ${callers})`);
  }
  if (c.dependents.length > 0) {
    const some = c.dependents.slice(0, 4).join(', ');
    add('topology', ['depth', 'coverage'], `${c.dependents.length} alerting services depend on ${c.service}: ${some}`);
  }
  if (signals.deepest > 0 && input.alerts.length > 1)
    add('topology', ['deepest'], `nothing that ${c.service} calls is alerting`);
  if (signals.silent > 0) add('topology', ['silent'], `${c.service} has no alert of its own; services that call it do`);
  if (signals.early > 0.8 && input.alerts.length > 1)
    add('time', ['early'], `its first alert is among the first of the incident`);
  if (c.deploy) {
    const minutes = Math.round(c.deploy.leadMs / 60_000);
    const version = c.deploy.deploy.version ? ` ${c.deploy.deploy.version}` : '';
    const when = minutes >= 0 ? `${minutes} min before the first alert` : 'just after the first alert';
    add('deploy', ['deploy'], `${c.deploy.deploy.rollback ? 'rollback' : 'deploy'}${version} of ${c.service} ${when}`);
  }
  if (c.metric && signals.metric > 0) add('metric', ['metric', 'metricEarly'], c.metric.text);
  if (signals.feedback !== 0) {
    add('feedback', ['feedback'], signals.feedback > 0 ? 'a person named it as the cause' : 'a person ruled it out');
  }
  return lines.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
}
