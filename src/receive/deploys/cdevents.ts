import {
  type Draft,
  type Fault,
  type Found,
  firstOf,
  isObject,
  type Loose,
  lastSegment,
  list,
  object,
  word,
} from './draft.ts';

const predicates = new Set(['deployed', 'upgraded', 'rolledback', 'removed', 'published']);

/**
 * CDEvents `service.deployed|upgraded|rolledback|removed|published`: structured CloudEvents (the CDEvent in `data`), the
 * CDEvent alone (as in CloudEvents' binary mode), or a batch of either.
 * https://github.com/cdevents/spec/blob/main/continuous-deployment.md
 */
export function fromCdevents(body: unknown): Found {
  if (!Array.isArray(body)) return one(body, '');
  const found = list(body).map((event, i) => one(event, `[${i}]`));
  const ignored = found.find((f) => f.ignored)?.ignored;
  const drafts = found.flatMap((f) => f.drafts);
  return {
    drafts,
    faults: found.flatMap((f) => f.faults ?? []),
    ...(drafts.length === 0 && ignored ? { ignored } : {}),
  };
}

function one(event: unknown, place: string): Found {
  const fault = (at: string, reason: string): Found => ({
    drafts: [],
    faults: [{ place: [place, at].filter(Boolean).join('.'), reason }],
  });
  if (!isObject(event)) return fault('body', 'is not a JSON object');
  const wrapped = isObject(event.data) && event.specversion !== undefined;
  const cdevent = wrapped ? object(event.data) : event;
  const context = object(cdevent.context);
  const type = word(context.type) ?? word(event.type);
  if (!type) return fault('context.type', 'is missing; send a CDEvent, structured or alone');
  const match = /^dev\.cdevents\.service\.([a-z]+)\./.exec(type);
  if (!match || !predicates.has(match[1]!))
    return { drafts: [], ignored: `the event ${type.slice(0, 128)} is no change of a service` };
  const predicate = match[1]!;
  const subject = object(cdevent.subject);
  if (!word(subject.id)) return fault('subject.id', 'is missing; it names the service');
  const at = firstOf(context.timestamp, event.time);
  return {
    drafts: [draftOf(subject, predicate, at, object(firstOf(cdevent.customData)), place)],
    faults: [] satisfies Fault[],
  };
}

function draftOf(subject: Loose, predicate: string, at: unknown, custom: Loose, place: string): Draft {
  const content = object(subject.content);
  const artifact = artifactOf(content.artifactId);
  const service = lastSegment(subject.id);
  return {
    place,
    services: [service],
    hunches: [artifact.name],
    version: firstOf(artifact.version, custom.version),
    environment: lastSegment(object(content.environment).id),
    startedAt: at,
    // The events tell of what is done.
    finishedAt: at,
    status: predicate,
    author: custom.author,
    commit: custom.commit,
    urls: [custom.url],
    summary: firstOf(custom.summary, `${service} ${predicate}`),
    rollback: predicate === 'rolledback',
  };
}

/** A package URL: `pkg:oci/checkout@sha256%3A0b31…?repository_url=…&tag=1.4.2` → `checkout`, `1.4.2`. Its tag, else its version. */
function artifactOf(value: unknown): { name: string | null; version: string | null } {
  const text = word(value);
  const match = /^pkg:(?:[^?#]*?\/)?([^/?#@]+)(?:@([^?#]+))?(?:\?([^#]*))?(?:#.*)?$/.exec(text ?? '');
  if (!match) return { name: null, version: null };
  const tag = match[3] ? new URLSearchParams(match[3]).get('tag') : null;
  return { name: decoded(match[1]!), version: tag || (match[2] ? decoded(match[2]) : null) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
