import {
  type Draft,
  type Found,
  firstOf,
  isObject,
  type Loose,
  lastSegment,
  list,
  looksLikeVersion,
  object,
  saysRollback,
  word,
} from './draft.ts';

/**
 * GitLab's deployment and pipeline events.
 * https://docs.gitlab.com/user/project/integrations/webhook_events/
 */
export function fromGitlab(body: unknown): Found {
  if (!isObject(body)) return { drafts: [], faults: [{ place: 'body', reason: 'is not a JSON object' }] };
  const kind = word(body.object_kind);
  if (kind === 'deployment') return deployment(body);
  if (kind === 'pipeline') return pipeline(body);
  if (!kind)
    return { drafts: [], faults: [{ place: 'object_kind', reason: 'is missing; GitLab sends it with every webhook' }] };
  return { drafts: [], ignored: `the GitLab event ${kind.slice(0, 64)} is no deploy` };
}

const counted = new Set(['running', 'success', 'failed']);

const servicesOf = (body: Loose): unknown[] => {
  const project = object(body.project);
  return [lastSegment(project.path_with_namespace) ?? project.name];
};

function deployment(body: Loose): Found {
  const status = word(body.status);
  if (!status) return { drafts: [], faults: [{ place: 'status', reason: 'is missing' }] };
  if (!counted.has(status)) return { drafts: [], ignored: `the deployment is ${status}: nothing has changed (yet)` };
  const sha = /([0-9a-f]{40})$/.exec(word(body.commit_url) ?? '')?.[1];
  const draft: Draft = {
    place: '',
    services: servicesOf(body),
    hunches: [body.environment, body.environment_slug],
    version: looksLikeVersion(body.ref) ? body.ref : firstOf(sha?.slice(0, 12), body.short_sha),
    environment: firstOf(body.environment, body.environment_slug),
    startedAt: firstOf(body.status_changed_at),
    finishedAt: status === 'running' ? undefined : firstOf(body.status_changed_at),
    status,
    author: firstOf(object(body.user).username, object(body.user).name),
    commit: firstOf(sha, body.short_sha),
    urls: [body.deployable_url, body.commit_url],
    summary: body.commit_title,
    rollback: saysRollback(body.ref, body.commit_title),
  };
  return { drafts: [draft] };
}

/** A pipeline deploys where one of its jobs starts an environment; each such job that runs or ended is a change. */
function pipeline(body: Loose): Found {
  const attributes = object(body.object_attributes);
  const jobs = list(body.builds).filter((job) => {
    const environment = object(object(job).environment);
    return (
      word(environment.name) !== null &&
      (word(environment.action) ?? 'start') === 'start' &&
      counted.has(word(object(job).status) ?? '')
    );
  });
  if (jobs.length === 0) return { drafts: [], ignored: 'no job of the pipeline has deployed to an environment' };
  const drafts = jobs.map((value, i): Draft => {
    const job = object(value);
    const environment = object(job.environment);
    const status = word(job.status);
    return {
      place: `builds[${i}]`,
      services: servicesOf(body),
      hunches: [environment.name],
      version: attributes.tag === true ? attributes.ref : word(attributes.sha)?.slice(0, 12),
      environment: environment.name,
      startedAt: firstOf(job.started_at, attributes.created_at),
      finishedAt: status === 'running' ? undefined : firstOf(job.finished_at),
      status,
      author: firstOf(object(job.user).username, object(body.user).username),
      commit: attributes.sha,
      urls: [attributes.url, object(body.commit).url],
      summary: firstOf(object(body.commit).title, attributes.name),
      rollback: saysRollback(job.name, job.stage),
    };
  });
  return { drafts };
}
