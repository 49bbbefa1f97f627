import { type Found, firstOf, imageParts, isObject, list, object, saysRollback, word } from './draft.ts';

/** The cluster that Argo CD itself runs in has no name that anybody else uses. */
const ownCluster = new Set(['in-cluster', 'https://kubernetes.default.svc']);

const counted = new Set(['Running', 'Succeeded', 'Failed', 'Error']);

/** What the notification template in docs/deploys.md sends from Argo CD. */
export function fromArgocd(body: unknown): Found {
  if (!isObject(body))
    return {
      drafts: [],
      faults: [{ place: 'body', reason: 'is not a JSON object; use the template of docs/deploys.md' }],
    };
  const phase = word(body.phase);
  if (!phase)
    return { drafts: [], faults: [{ place: 'phase', reason: 'is missing; use the template of docs/deploys.md' }] };
  if (!counted.has(phase)) return { drafts: [], ignored: `the sync is ${phase}: nothing has changed (yet)` };
  const app = word(body.app);
  const service = word(body.service);
  const images = list(body.images).map(imageParts);
  // The application's own image gives the version that people speak of; the revision is one of the configuration's repository.
  const own =
    images.find((image) => image.name !== null && (image.name === service || image.name === app)) ??
    (images.length === 1 ? images[0] : undefined);
  const initiator = object(body.initiatedBy);
  const cluster = word(body.cluster);
  return {
    drafts: [
      {
        place: '',
        services: [service, app],
        hunches: own ? [own.name] : [],
        version: firstOf(own?.version, word(body.revision)?.slice(0, 12)),
        environment: body.environment,
        cluster: cluster !== null && ownCluster.has(cluster) ? undefined : body.cluster,
        startedAt: body.startedAt,
        finishedAt: body.finishedAt,
        status: phase,
        author: firstOf(initiator.username, initiator.automated === true ? 'Argo CD (automated)' : undefined),
        commit: body.revision,
        urls: [body.url],
        summary: firstOf(body.message),
        rollback: saysRollback(body.message),
      },
    ],
  };
}
