import type { Point, RulePlace } from './types.ts';

/**
 * What of a point enters its distance, computed once. `spot` is where it is: cluster, namespace, service and, for an alert
 * on a call, the called service, and its host. An alert without service is known by rule, place and group instead, so that
 * all points of a spot are connected with another spot alike.
 */
export type Features = {
  tenant: string;
  cluster: string | null;
  namespace: string | null;
  service: string | null;
  destination: string | null;
  /** The host it names, or, without a service, the instance. */
  place: string | null;
  spot: string;
  /** Tenant, cluster and namespace: what a rate and a time scale belong to. */
  site: string;
  /** The rule within its site. */
  rule: string;
  alertname: string;
  group: string | null;
  onset: number;
  /** Hashes of `name=value` of the labels that say neither what nor where, sorted. */
  labels: Int32Array;
  /** Hashes of the words of alertname and summary, sorted. */
  words: Int32Array;
};

const hostLabels = ['node', 'host', 'hostname', 'nodename'];
/** Labels that the other parts already use, or that name the exporter or the copy and not the trouble. */
const notCompared = new Set([
  'alertname',
  'severity',
  'service',
  'destination_service',
  'namespace',
  'exported_namespace',
  'cluster',
  'tenant',
  'job',
  'instance',
  'pod',
  'container',
  'endpoint',
  'prometheus',
  'replica',
  'prometheus_replica',
  ...hostLabels,
]);

/** FNV-1a, 32 bits: labels are compared, never looked up, so a collision costs a hair of similarity and nothing else. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h | 0;
}

const none = new Int32Array(0);

function sortedHashes(texts: string[]): Int32Array {
  if (texts.length === 0) return none;
  return Int32Array.from(new Set(texts.map(hash))).sort();
}

/** Words of a text: split at anything that is no letter, and inside CamelCase; numbers and single letters say nothing. */
function words(text: string): string[] {
  return text
    .slice(0, 200)
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}]+/u)
    .filter((word) => word.length > 1)
    .slice(0, 24);
}

/** Words by text: rules and summaries repeat, and a shared list costs no memory per alert. Bounded, dropped whole. */
const wordLists = new Map<string, Int32Array>();

function wordsOf(alertname: string, summary: string | null): Int32Array {
  const text = `${alertname}\n${(summary ?? '').slice(0, 200)}`;
  const known = wordLists.get(text);
  if (known) return known;
  const list = sortedHashes([...words(alertname), ...words(summary ?? '')]);
  if (wordLists.size >= 4096) wordLists.clear();
  wordLists.set(text, list);
  return list;
}

export const siteKey = ({ tenant, cluster, namespace }: Pick<Point, 'tenant' | 'cluster' | 'namespace'>): string =>
  `${tenant}\n${cluster ?? ''}\n${namespace ?? ''}`;
export const ruleKey = (place: RulePlace): string => `${siteKey(place)}\n${place.alertname}`;

export function featuresOf(point: Point): Features {
  const { tenant, cluster, namespace, service, destination, labels } = point;
  let host: string | null = null;
  for (const name of hostLabels) host ??= labels[name] || null;
  const place = host ?? (service === null ? labels.instance || null : null);
  const site = siteKey(point);
  const compared: string[] = [];
  for (const name in labels) {
    if (compared.length < 24 && !notCompared.has(name)) compared.push(`${name}=${labels[name]}`);
  }
  return {
    tenant,
    cluster,
    namespace,
    service,
    destination: destination === service ? null : destination,
    place,
    spot:
      service === null
        ? `${site}\n\u0001${point.alertname}\n${place ?? ''}\n${point.groupKey ?? ''}`
        : `${site}\n${service}\n${destination ?? ''}\n${place ?? ''}`,
    site,
    rule: `${site}\n${point.alertname}`,
    alertname: point.alertname,
    group: point.groupKey,
    onset: point.startsAt,
    labels: sortedHashes(compared),
    words: wordsOf(point.alertname, point.summary),
  };
}

/** |a ∩ b| / |a ∪ b| of two sorted lists, or null when either is empty: a missing fact is no evidence. */
export function jaccard(a: Int32Array, b: Int32Array): number | null {
  if (a.length === 0 || b.length === 0) return null;
  let i = 0;
  let j = 0;
  let both = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      both += 1;
      i += 1;
      j += 1;
    } else if (a[i]! < b[j]!) i += 1;
    else j += 1;
  }
  return both / (a.length + b.length - both);
}
