import { type Found, firstOf, isObject, type Loose, list, object, saysRollback } from './draft.ts';

/**
 * A PagerDuty change event (Events API v2, `/v2/change/enqueue`) as its senders post it. It has a summary, a source and free
 * `custom_details`; the names that well-known integrations use in there are understood.
 * https://developer.pagerduty.com/docs/send-change-events
 */
export function fromPagerDuty(body: unknown): Found {
  if (!isObject(body) || !isObject(body.payload)) {
    const reason = 'is missing; a change event is {"routing_key":…,"payload":{"summary":…,"source":…}}';
    return { drafts: [], faults: [{ place: 'payload', reason }] };
  }
  return changeEvent(body, '');
}

/** One change event found at `place` of a body. */
export function changeEvent(event: Loose, place: string): Found {
  const payload = object(event.payload);
  const details = object(payload.custom_details);
  const at = place ? `${place}.payload` : 'payload';
  const pick = (...names: string[]): unknown => firstOf(...names.map((name) => details[name]));
  return {
    drafts: [
      {
        place: at,
        services: [details.service, payload.source],
        version: pick('version', 'build_version', 'image_tag', 'tag', 'release', 'build', 'build_number', 'revision'),
        previousVersion: pick('previousVersion', 'previous_version', 'from_version'),
        environment: pick('environment', 'env', 'deployment_environment', 'stage'),
        cluster: pick('cluster'),
        startedAt: firstOf(payload.timestamp),
        finishedAt: pick('finishedAt', 'finished_at'),
        status: pick('status', 'state', 'build_state'),
        author: pick('author', 'user', 'deployed_by', 'deployer', 'actor'),
        commit: pick('commit', 'sha', 'commit_sha', 'git_sha', 'revision'),
        urls: [...list(event.links).map((link) => object(link).href), details.url, event.client_url],
        summary: payload.summary,
        rollback: details.rollback === true || saysRollback(details.action, details.type),
      },
    ],
  };
}
