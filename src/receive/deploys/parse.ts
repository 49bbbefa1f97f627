import type { Deploy } from '../../domain/deploy.ts';
import type { DeploySender } from '../envelope.ts';
import { fromApi } from './api.ts';
import { fromArgocd } from './argocd.ts';
import { fromCdevents } from './cdevents.ts';
import type { Fault, Found } from './draft.ts';
import { fromGithub } from './github.ts';
import { fromGitlab } from './gitlab.ts';
import { normalise } from './normalise.ts';
import { fromPagerDuty } from './pagerduty.ts';
import { fromPrometheus, prometheusSource } from './prometheus.ts';

export type DeployHints = {
  /** Lower-case header names; GitHub's `x-github-event` is the one that is needed. */
  headers?: Readonly<Record<string, string | string[] | undefined>>;
  /** The catalogue's services: names are mapped to it whatever their case, unknown ones kept as given. */
  services?: Iterable<string>;
};

export type ParsedDeploys = {
  deploys: Deploy[];
  /** The body is fine but tells of no change: why. */
  ignored?: string;
  /** What was refused, and what to send instead. Its siblings live. */
  faults: Fault[];
  /** What was taken otherwise than it was sent: a time in the future, a text that was cut. */
  notes: Fault[];
};

const adapters: Record<DeploySender, (body: unknown, hints: DeployHints) => Found> = {
  api: fromApi,
  pagerduty: fromPagerDuty,
  github: (body, hints) => fromGithub(body, [hints.headers?.['x-github-event']].flat()[0]),
  gitlab: fromGitlab,
  argocd: fromArgocd,
  cdevents: fromCdevents,
  prometheus: fromPrometheus,
};

/**
 * Reads what `sender` posted (`body` is parsed JSON) into deploys. Never throws, whatever the body is. `receivedAt` (epoch
 * ms) stands in for a time that is missing and bounds one that lies in the future. A deploy's id is made from its content,
 * so a repeated delivery gives the same one; the same change told by another sender is found by `dedupe`.
 */
export function parseDeploys(
  sender: DeploySender,
  body: unknown,
  receivedAt: number,
  hints: DeployHints = {},
): ParsedDeploys {
  const found = adapters[sender](body, hints);
  const catalogue = new Map([...(hints.services ?? [])].map((name) => [name.toLowerCase(), name]));
  const parsed: ParsedDeploys = { deploys: [], faults: found.faults ?? [], notes: [] };
  const source = sender === 'prometheus' ? prometheusSource(body) : sender;
  for (const draft of found.drafts) {
    const made = normalise(draft, { source, receivedAt, catalogue });
    if ('fault' in made) {
      parsed.faults.push(made.fault);
    } else {
      parsed.deploys.push(made.deploy);
      parsed.notes.push(...made.notes);
    }
  }
  if (found.ignored !== undefined) parsed.ignored = found.ignored;
  return parsed;
}
