import {
  type Draft,
  type Found,
  firstOf,
  isObject,
  type Loose,
  lastSegment,
  looksLikeVersion,
  object,
  saysRollback,
  word,
} from './draft.ts';

/** A workflow is a deployment only if its name or file says so: repositories run many that deploy nothing. */
const deployWords = /deploy|release|rollout|roll-?back|promote|publish|ship/i;
const shortSha = (sha: unknown): string | null => word(sha)?.slice(0, 12) ?? null;

/**
 * GitHub's webhooks `deployment_status`, `workflow_run` and `release`; `event` is the header `X-GitHub-Event`.
 * https://docs.github.com/en/webhooks/webhook-events-and-payloads
 */
export function fromGithub(body: unknown, event: string | undefined): Found {
  if (!isObject(body)) return { drafts: [], faults: [{ place: 'body', reason: 'is not a JSON object' }] };
  switch (event) {
    case 'deployment_status':
      return deploymentStatus(body);
    case 'workflow_run':
      return workflowRun(body);
    case 'release':
      return release(body);
    case undefined:
    case '':
      return {
        drafts: [],
        faults: [{ place: 'X-GitHub-Event', reason: 'is missing; GitHub sends it with every webhook' }],
      };
    default:
      return { drafts: [], ignored: `the GitHub event ${event.slice(0, 64)} is no deploy` };
  }
}

const repositoryOf = (body: Loose): unknown[] => {
  const repository = object(body.repository);
  return [lastSegment(repository.full_name) ?? repository.name];
};

/** A status counts from when the roll-out starts; `inactive` only says that a newer one took its place. */
const counted = new Set(['in_progress', 'success', 'failure', 'error']);

function deploymentStatus(body: Loose): Found {
  const status = object(body.deployment_status);
  const deployment = object(body.deployment);
  const state = word(status.state);
  if (!state) return { drafts: [], faults: [{ place: 'deployment_status.state', reason: 'is missing' }] };
  if (!counted.has(state)) return { drafts: [], ignored: `the deployment is ${state}: nothing has changed (yet)` };
  const payload = payloadOf(deployment.payload);
  // A deployment may have waited for an approval for hours, so its own creation says nothing about the roll-out; the
  // status's time does. Of several statuses the earliest becomes the start (dedupe.ts).
  const at = firstOf(status.created_at, status.updated_at, deployment.updated_at);
  const draft: Draft = {
    place: 'deployment_status',
    services: [payload.service, ...repositoryOf(body)],
    hunches: [firstOf(status.environment, deployment.environment)],
    version: firstOf(payload.version, looksLikeVersion(deployment.ref) ? deployment.ref : shortSha(deployment.sha)),
    previousVersion: payload.previousVersion,
    environment: firstOf(status.environment, deployment.environment),
    cluster: payload.cluster,
    startedAt: at,
    finishedAt: state === 'in_progress' ? undefined : at,
    status: state,
    author: firstOf(object(deployment.creator).login, object(status.creator).login),
    commit: deployment.sha,
    urls: [status.log_url, status.target_url, status.environment_url],
    summary: firstOf(status.description, deployment.description),
    rollback: payload.rollback === true || saysRollback(deployment.task, deployment.description, payload.action),
  };
  return { drafts: [draft] };
}

/** A deployment's payload is whatever its creator gave: an object, or a text that may hold JSON. */
function payloadOf(value: unknown): Loose {
  if (typeof value !== 'string' || value.length > 65_536) return object(value);
  try {
    return object(JSON.parse(value));
  } catch {
    return {};
  }
}

function workflowRun(body: Loose): Found {
  const run = object(body.workflow_run);
  const name = word(run.name) ?? '';
  if (!deployWords.test(`${name} ${word(run.path) ?? ''}`))
    return {
      drafts: [],
      ignored: `the workflow "${name}" does not look like a deployment (its name or file has no such word)`,
    };
  const completed = word(body.action) === 'completed';
  const conclusion = word(run.conclusion);
  const started = word(body.action) === 'in_progress';
  if (!started && !(completed && (conclusion === 'success' || conclusion === 'failure')))
    return {
      drafts: [],
      ignored: `the workflow "${name}" is ${conclusion ?? word(body.action) ?? 'waiting'}: nothing has changed`,
    };
  const draft: Draft = {
    place: 'workflow_run',
    services: repositoryOf(body),
    version: looksLikeVersion(run.head_branch) ? run.head_branch : shortSha(run.head_sha),
    startedAt: firstOf(run.run_started_at, run.created_at),
    finishedAt: completed ? run.updated_at : undefined,
    status: completed ? conclusion : 'in_progress',
    author: firstOf(object(run.triggering_actor).login, object(run.actor).login),
    commit: run.head_sha,
    urls: [run.html_url],
    summary: firstOf(run.display_title, run.name),
    rollback: saysRollback(run.name, run.path),
  };
  return { drafts: [draft] };
}

function release(body: Loose): Found {
  const action = word(body.action);
  const { tag_name, name, published_at, created_at, author, target_commitish, html_url, draft } = object(body.release);
  if ((action !== 'published' && action !== 'released') || draft === true)
    return { drafts: [], ignored: `the release is ${action ?? 'in no state'}: nothing is out` };
  const change: Draft = {
    place: 'release',
    services: repositoryOf(body),
    version: tag_name,
    startedAt: firstOf(published_at, created_at),
    status: 'published',
    author: object(author).login,
    commit: /^[0-9a-f]{40}$/.test(word(target_commitish) ?? '') ? target_commitish : undefined,
    urls: [html_url],
    summary: firstOf(name, tag_name),
  };
  return { drafts: [change] };
}
