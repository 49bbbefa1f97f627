import { type Draft, type Fault, type Found, isObject, type Loose, list } from './draft.ts';
import { changeEvent } from './pagerduty.ts';

/** Deploys in one list. Each is compared with a day's others, so 1,000 cost about 0.1 s; a longer list is refused past it. */
const MOST = 1000;

/** `POST /api/v1/deploys`: one deploy or a list of them; a PagerDuty change event is taken as it is, alone or in the list. */
export function fromApi(body: unknown): Found {
  const many = Array.isArray(body);
  const items = many ? list(body) : [body];
  const drafts: Draft[] = [];
  const faults: Fault[] = [];
  items.slice(0, MOST).forEach((item, i) => {
    const place = many ? `[${i}]` : '';
    if (!isObject(item)) {
      faults.push({
        place: place || 'body',
        reason: 'is not a JSON object; send {"service":…,"version":…,"startedAt":…}',
      });
    } else if (isObject(item.payload) && item.service === undefined) {
      const found = changeEvent(item, place);
      drafts.push(...found.drafts);
      faults.push(...(found.faults ?? []));
    } else {
      const missing = wrong(item, place);
      if (missing.length > 0) faults.push(...missing);
      else drafts.push(draftOf(item, place));
    }
  });
  if (items.length > MOST)
    faults.push({ place: `[${MOST}]`, reason: `a list holds at most ${MOST} deploys; send the rest again` });
  return { drafts, faults };
}

function wrong(item: Loose, place: string): Fault[] {
  const faults: Fault[] = [];
  const fault = (field: string, reason: string): void =>
    void faults.push({ place: place ? `${place}.${field}` : field, reason });
  if (typeof item.service !== 'string' || item.service.trim() === '')
    fault('service', 'is missing; name the service that changed');
  if (item.startedAt === undefined || item.startedAt === null)
    fault('startedAt', 'is missing; write RFC 3339, for example 2026-11-20T07:30:00Z');
  return faults;
}

function draftOf(item: Loose, place: string): Draft {
  const {
    version,
    previousVersion,
    environment,
    cluster,
    startedAt,
    finishedAt,
    status,
    author,
    commit,
    url,
    summary,
  } = item;
  return {
    place,
    services: [item.service],
    version,
    previousVersion,
    environment,
    cluster,
    startedAt,
    finishedAt,
    status,
    author,
    commit,
    urls: [url],
    summary,
    rollback: item.rollback === true,
  };
}
