import type { Point, RulePlace } from './types.ts';

/** Where an alert is: one object for all points of a spot. */
export type Place = {
  tenant: string;
  cluster: string | null;
  namespace: string | null;
  service: string | null;
  /** The service called, for an alert on a call to another one. */
  destination: string | null;
  /** The host it names, or, without a service, the instance. */
  host: string | null;
  /** An alert without service is known by rule, host and group instead; null where there is a service. */
  nameless: { alertname: string; group: string | null } | null;
  /** Cluster, namespace, service, called service and host (or what stands for them): its points are connected alike. */
  spot: string;
  /** Tenant, cluster and namespace: what a rate and a time scale belong to. */
  site: string;
};

/** What an alert says besides where, when and which rule: one object for all points that say the same. */
export type Looks = {
  group: string | null;
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

/** Looks by what they are made of: most alerts of a rule say the same, and a shared object costs no memory per alert. */
const known = new Map<string, Looks>();
const looksKept = 8_192;

/** The looks of a point, shared with the points that look alike. Bounded: forgotten whole. */
export function looksOf({ labels, alertname, summary, groupKey }: Point): Looks {
  const compared: string[] = [];
  for (const name in labels) {
    if (compared.length < 24 && !notCompared.has(name)) compared.push(`${name}=${labels[name]}`);
  }
  const text = (summary ?? '').slice(0, 200);
  const key = `${groupKey}\n${alertname}\n${text}\n${compared.join('\n')}`;
  const found = known.get(key);
  if (found) return found;
  const looks: Looks = {
    group: groupKey,
    labels: sortedHashes(compared),
    words: sortedHashes([...words(alertname), ...words(text)]),
  };
  if (known.size >= looksKept) known.clear();
  known.set(key, looks);
  return looks;
}

const siteKey = ({ tenant, cluster, namespace }: Pick<Point, 'tenant' | 'cluster' | 'namespace'>): string =>
  `${tenant}\n${cluster ?? ''}\n${namespace ?? ''}`;
export const ruleKey = (place: RulePlace): string => `${siteKey(place)}\n${place.alertname}`;

export function placeOf(point: Point): Place {
  const { tenant, cluster, namespace, service, destination, labels, alertname, groupKey } = point;
  let host: string | null = null;
  for (const name of hostLabels) host ??= labels[name] || null;
  if (service === null) host ??= labels.instance || null;
  const site = siteKey(point);
  return {
    tenant,
    cluster,
    namespace,
    service,
    destination: destination === service ? null : destination,
    host,
    nameless: service === null ? { alertname, group: groupKey } : null,
    spot:
      service === null
        ? `${site}\n\u0001${alertname}\n${host ?? ''}\n${groupKey ?? ''}`
        : `${site}\n${service}\n${destination ?? ''}\n${host ?? ''}`,
    site,
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
