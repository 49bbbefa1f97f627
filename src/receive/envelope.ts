import type { IncomingHttpHeaders } from 'node:http';

/** Who reports deploys, each with its own shape of body; `prometheus` is our own watch of metrics. */
export type DeploySender = 'api' | 'pagerduty' | 'github' | 'gitlab' | 'argocd' | 'cdevents' | 'prometheus';

/**
 * What an inbox item of kind `deploy` holds: the body as text and the few headers its adapter needs. Credentials and
 * signatures were checked at the door and are not kept.
 */
export type DeployEnvelope = { sender: DeploySender; headers: Record<string, string>; body: string };

const kept = /^(content-type|x-github-(event|delivery)|x-gitlab-(event|event-uuid|instance)|ce-[a-z0-9]+)$/;

/** The headers that adapters may read, each as one text of at most 1,024 characters. */
export function adapterHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const some: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (kept.test(name) && typeof value === 'string') some[name] = value.slice(0, 1_024);
  }
  return some;
}

export const encodeEnvelope = (envelope: DeployEnvelope): Buffer => Buffer.from(JSON.stringify(envelope));

/** The envelope in an inbox item of kind `deploy`; throws on anything else, which the door never stores. */
export function decodeEnvelope(raw: Buffer): DeployEnvelope {
  const value = JSON.parse(raw.toString('utf8')) as Partial<DeployEnvelope>;
  if (typeof value.sender !== 'string' || typeof value.body !== 'string') throw new Error('not a deploy envelope');
  return { sender: value.sender, headers: value.headers ?? {}, body: value.body };
}
