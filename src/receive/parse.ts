import type { Labels } from '../domain/alert.ts';
import type { QuarantineRecord } from '../domain/effects.ts';
import { mapSeverity, type Severity } from '../domain/severity.ts';
import { fingerprint, isFingerprint } from './fingerprint.ts';
import type { SeenAlert } from './seen.ts';

/** Which labels say the service, namespace, cluster and tenant: the first of each list that has a value. */
export type LabelNames = { service: string[]; namespace: string[]; cluster: string[]; tenant: string[] };

export type ParseContext = {
  /** When the delivery reached us, epoch ms. */
  receivedAt: number;
  source: string;
  /** What senders call a severity → ours; added to the built-in words. */
  severityMap: Readonly<Record<string, Severity>>;
  labelNames: LabelNames;
};

export type ParsedWebhook = {
  ok: true;
  alerts: SeenAlert[];
  quarantined: QuarantineRecord[];
  groupKey: string | null;
  /** As configured: Alertmanager quotes it for a regular expression (`team\.sre`), which is undone here. */
  receiver: string | null;
  /** How many alerts of the group the sender left out (`max_alerts`): the body then says nothing of the whole group. */
  truncated: number;
  /** Alertmanager >= 0.32: `first notification`, `repeat interval elapsed`, …; null when not said. */
  notificationReason: string | null;
};
export type ParsedAlerts = { ok: true; alerts: SeenAlert[]; quarantined: QuarantineRecord[] };
export type Refused = { ok: false; reason: string };
/** What the door answers; the same judgement as the full parse, without building anything. */
export type Counted = { ok: true; accepted: number; quarantined: number };

/**
 * Longest label name and values, in UTF-16 units. The longest real annotation seen is 40 kB (a rendered table), the
 * longest label a few hundred; what is longer is cut, the alert lives, and the annotation `tocsin_cut` says so.
 */
const LIMITS = { name: 1024, label: 8192, annotation: 65_536, members: 512, url: 8192 };
/** The derived columns are indexed together and PostgreSQL refuses index rows above 2,704 bytes. */
const COLUMN_LIMIT = 256;
const RAW_LIMIT = 65_536;
/** Alertmanager's resolve_timeout: what it gives a client that posts no endsAt. */
const RESOLVE_TIMEOUT = 5 * 60_000;
/** A promise to be over in more than a year is no promise (some senders write the year 9999). */
const LONGEST_PROMISE = 366 * 24 * 3_600_000;

/**
 * Parses the body of an Alertmanager webhook (version 4, and newer shapes: unknown keys are ignored). Never throws.
 * The root `status` and the common labels are not read: after truncation they speak for a part of the group only.
 */
export function parseWebhook(raw: Buffer | unknown, context: ParseContext): ParsedWebhook | Refused {
  const body = readJson(raw);
  if (!body.ok) return body;
  const alerts = alertsOf(body.value);
  if (alerts === null) return noAlerts(body.value);
  const root = body.value as Record<string, unknown>;
  const group = {
    groupKey: textOf(root.groupKey),
    receiver: textOf(root.receiver)?.replace(/\\(.)/g, '$1') ?? null,
  };
  return {
    ok: true,
    ...group,
    ...parseEach(alerts, 'alerts', context, (alert) => seenInWebhook(alert, group, context)),
    truncated: countOf(root.truncatedAlerts),
    notificationReason: textOf(root.notification_reason ?? root.notificationReason),
  };
}

/**
 * Parses the body of `POST /api/v2/alerts` (what Prometheus sends to an Alertmanager). endsAt in the past is a resolve;
 * in the future it is the time by which the alert is over unless confirmed; absent means five minutes from now.
 */
export function parseAlertsApi(raw: Buffer | unknown, context: ParseContext): ParsedAlerts | Refused {
  const body = readJson(raw);
  if (!body.ok) return body;
  if (!Array.isArray(body.value)) return { ok: false, reason: 'the body is no JSON array of alerts' };
  return { ok: true, ...parseEach(body.value, '', context, (alert) => seenInApi(alert, context)) };
}

/** How many alerts of a webhook body `parseWebhook` will accept and quarantine. */
export function countWebhook(raw: Buffer): Counted | Refused {
  const body = readJson(raw);
  if (!body.ok) return body;
  const alerts = alertsOf(body.value);
  return alerts === null ? noAlerts(body.value) : count(alerts);
}

/** How many alerts of a `POST /api/v2/alerts` body `parseAlertsApi` will accept and quarantine. */
export function countAlertsApi(raw: Buffer): Counted | Refused {
  const body = readJson(raw);
  if (!body.ok) return body;
  if (!Array.isArray(body.value)) return { ok: false, reason: 'the body is no JSON array of alerts' };
  return count(body.value);
}

/** JSON from bytes; a value that is no Buffer is taken as parsed already (`replay` has the body inside its line). */
export function readJson(raw: Buffer | unknown): { ok: true; value: unknown } | Refused {
  if (!Buffer.isBuffer(raw)) return { ok: true, value: raw };
  if (raw.length === 0) return { ok: false, reason: 'the body is empty' };
  try {
    const text = raw.toString('utf8');
    return { ok: true, value: JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text) };
  } catch (error) {
    return { ok: false, reason: `the body is not JSON: ${cut(clean((error as Error).message), 200)}` };
  }
}

function alertsOf(body: unknown): unknown[] | null {
  if (!isObject(body) || !Object.hasOwn(body, 'alerts')) return null;
  return Array.isArray(body.alerts) ? body.alerts : null;
}

const noAlerts = (body: unknown): Refused => ({
  ok: false,
  reason: isObject(body)
    ? 'the body has no `alerts` array; an Alertmanager webhook of version 4 has one (a custom `payload:` template must keep it)'
    : 'the body is no JSON object with an `alerts` array',
});

function count(alerts: unknown[]): Counted {
  let quarantined = 0;
  for (const alert of alerts) if (faultOf(alert) !== null) quarantined++;
  return { ok: true, accepted: alerts.length - quarantined, quarantined };
}

function parseEach(
  members: unknown[],
  prefix: string,
  context: ParseContext,
  build: (alert: UsableAlert) => SeenAlert,
): { alerts: SeenAlert[]; quarantined: QuarantineRecord[] } {
  const alerts: SeenAlert[] = [];
  const quarantined: QuarantineRecord[] = [];
  for (const [i, member] of members.entries()) {
    const fault = faultOf(member);
    if (fault === null) alerts.push(build(member as UsableAlert));
    else
      quarantined.push({
        at: context.receivedAt,
        source: context.source,
        deliveryId: null,
        place: `${prefix}[${i}]${fault.place}`,
        reason: fault.reason,
        raw: rawOf(member),
      });
  }
  return { alerts, quarantined };
}

/** An alert that passed `faultOf`; everything but `labels` may still be of any type. */
export type UsableAlert = Record<string, unknown> & { labels: Record<string, unknown> };

/** Why an alert cannot be used at all: without labels nobody can say what it is, and a wrong status would be a guess. */
export function faultOf(alert: unknown): { place: string; reason: string } | null {
  if (!isObject(alert)) return { place: '', reason: `an alert must be an object, this is ${kindOf(alert)}` };
  const labels = alert.labels;
  if (!isObject(labels)) return { place: '.labels', reason: `labels must be an object, this is ${kindOf(labels)}` };
  let some = false;
  for (const name of Object.keys(labels)) {
    const value = labels[name];
    if (typeof value === 'object' && value !== null) {
      const place = `.labels.${cut(clean(name), 64)}`;
      return { place, reason: `a label's value must be text, this is ${kindOf(value)}` };
    }
    if (value !== '' && value !== null && value !== undefined) some = true;
  }
  if (!some) return { place: '.labels', reason: 'an alert without any label cannot be told from another' };
  const status = alert.status;
  if (status !== undefined && status !== null && statusOf(status) === null) {
    return { place: '.status', reason: `status must be firing or resolved, this is ${cut(clean(rawOf(status)), 64)}` };
  }
  return null;
}

function statusOf(value: unknown): 'firing' | 'resolved' | null {
  if (value === 'firing' || value === 'resolved') return value;
  if (typeof value !== 'string') return null;
  const word = value.trim().toLowerCase();
  return word === 'firing' || word === 'resolved' ? word : null;
}

function seenInWebhook(
  alert: UsableAlert,
  group: { groupKey: string | null; receiver: string | null },
  context: ParseContext,
): SeenAlert {
  const now = context.receivedAt;
  const ends = timeOf(alert.endsAt);
  const status = statusOf(alert.status) ?? (ends !== null && ends <= now ? 'resolved' : 'firing');
  const said = timeOf(alert.startsAt);
  const startsAt = said ?? now;
  // Alertmanager blanks endsAt while an alert fires; from other senders a time in the future is a promise.
  const expiresAt = status === 'firing' && ends !== null && ends > now && ends - now < LONGEST_PROMISE ? ends : null;
  // Year 9999 on a resolved alert says nothing of when it ended: the resolve is known since its arrival.
  const endsAt =
    status === 'resolved' ? Math.max(startsAt, ends !== null && ends - now < LONGEST_PROMISE ? ends : now) : null;
  return seen(alert, { status, startsAt, startsAtSent: said !== null, endsAt, expiresAt }, group, context);
}

function seenInApi(alert: UsableAlert, context: ParseContext): SeenAlert {
  const now = context.receivedAt;
  const ends = timeOf(alert.endsAt);
  const said = timeOf(alert.startsAt);
  const resolved = ends !== null && ends <= now;
  // Alertmanager's own defaults: no startsAt is now, or the end of an alert that is over already.
  const startsAt = said ?? (resolved ? ends : now);
  const times = {
    status: resolved ? ('resolved' as const) : ('firing' as const),
    startsAt,
    startsAtSent: said !== null,
    endsAt: resolved ? Math.max(ends, startsAt) : null,
    expiresAt: resolved ? null : Math.min(ends ?? now + RESOLVE_TIMEOUT, now + LONGEST_PROMISE),
  };
  return seen(alert, times, { groupKey: null, receiver: null }, context);
}

/** The alert with its times as the caller understood them, everything else cleaned and derived. `alert` has passed `faultOf`. */
export function seen(
  alert: UsableAlert,
  times: Pick<SeenAlert, 'status' | 'startsAt' | 'startsAtSent' | 'endsAt' | 'expiresAt'>,
  group: { groupKey: string | null; receiver: string | null },
  context: ParseContext,
): SeenAlert {
  const cuts: string[] = [];
  const labels = textMap(alert.labels, LIMITS.label, 'label', cuts);
  let annotations = isObject(alert.annotations)
    ? textMap(alert.annotations, LIMITS.annotation, 'annotation', cuts)
    : {};
  if (cuts.length > 0) annotations = { ...annotations, tocsin_cut: cut(cuts.join('; '), 2048) };
  const url = textOf(alert.generatorURL);
  const { labelNames } = context;
  return {
    // Computed from the labels as sent: two labels that differ only beyond the cut are still two alerts.
    fingerprint: isFingerprint(alert.fingerprint) ? alert.fingerprint : fingerprint(asSent(alert.labels)),
    ...times,
    labels,
    annotations,
    // Shown as a link: only what a browser opens as a page.
    generatorUrl: url !== null && /^https?:\/\//i.test(url) ? url : null,
    severity: mapSeverity(context.severityMap, own(labels, 'severity')),
    alertname: column(labels, ['alertname']) ?? '',
    service: column(labels, labelNames.service),
    namespace: column(labels, labelNames.namespace),
    cluster: column(labels, labelNames.cluster),
    tenant: column(labels, labelNames.tenant) ?? '',
    destination: destinationOf(labels),
    ...group,
  };
}

const own = (labels: Labels, name: string): string | undefined =>
  Object.hasOwn(labels, name) ? labels[name] : undefined;

function column(labels: Labels, names: readonly string[]): string | null {
  for (const name of names) {
    const value = own(labels, name);
    if (value !== undefined && value !== '') return cut(value, COLUMN_LIMIT);
  }
  return null;
}

/** Istio, Linkerd and the OpenTelemetry service graph name the called side like this. */
const DESTINATIONS = [
  'destination_service_name',
  'destination_service',
  'destination_canonical_service',
  'destination_workload',
  'dst_deployment',
  'dst_service',
];

function destinationOf(labels: Labels): string | null {
  const name = column(labels, DESTINATIONS);
  // Istio's destination_service is a host name: cart.shop.svc.cluster.local.
  return name?.includes('.svc') ? name.slice(0, name.indexOf('.')) || null : name;
}

/**
 * Names and values as text that PostgreSQL, JSON and a screen can hold: no NUL, no half surrogate, no empty value, nothing
 * beyond the limits. The object itself is given back when nothing is to be done, which is nearly always: JSON.parse
 * shares one hidden class among alike label sets, a copy would not.
 */
function textMap(map: Record<string, unknown>, longest: number, what: string, cuts: string[]): Labels {
  if (isClean(map, longest)) return map;
  const out: [string, string][] = [];
  for (const [name, value] of Object.entries(map)) {
    if (value === null || value === undefined || value === '') continue;
    if (out.length === LIMITS.members) {
      cuts.push(`only the first ${LIMITS.members} ${what}s of ${Object.keys(map).length} are kept`);
      break;
    }
    const text = clean(typeof value === 'string' ? value : rawOf(value));
    if (text.length > longest)
      cuts.push(`${what} ${cut(clean(name), 64)} cut from ${text.length} to ${longest} characters`);
    if (name.length > LIMITS.name) cuts.push(`a ${what}'s name cut from ${name.length} to ${LIMITS.name} characters`);
    out.push([cut(clean(name), LIMITS.name), cut(text, longest)]);
  }
  // fromEntries defines members, it does not assign them: a label called __proto__ stays a label.
  return Object.fromEntries(out);
}

function isClean(map: Record<string, unknown>, longest: number): map is Record<string, string> {
  const names = Object.keys(map);
  if (names.length > LIMITS.members) return false;
  for (const name of names) {
    const value = map[name];
    if (typeof value !== 'string' || value === '' || value.length > longest || name.length > LIMITS.name) return false;
    if (!isStorable(value) || !isStorable(name)) return false;
  }
  return true;
}

const isStorable = (text: string): boolean => text.isWellFormed() && !text.includes('\0');

/** PostgreSQL refuses NUL in text and half surrogates in jsonb; both become the replacement character. */
function clean(text: string): string {
  return isStorable(text) ? text : text.toWellFormed().replaceAll('\0', '\ufffd');
}

/** At most `longest` UTF-16 units, never ending in half a character. */
function cut(text: string, longest: number): string {
  return text.length <= longest ? text : text.slice(0, longest).toWellFormed();
}

const asSent = (labels: Record<string, unknown>): Labels =>
  Object.fromEntries(
    Object.entries(labels).map(([name, value]) => [name, value === null || value === undefined ? '' : String(value)]),
  );

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? cut(clean(value), LIMITS.url) : null;
}

const countOf = (value: unknown): number => {
  const number = typeof value === 'string' ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number > 0 ? number : 0;
};

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;
/** Times before 1971 are a clock that was never set, or Go's zero time, year 1: "not said". */
const EARLIEST = Date.UTC(1971, 0, 1);

/** Epoch ms of an RFC 3339 time (finer digits are dropped); null for anything else and for zero times. */
export function timeOf(value: unknown): number | null {
  if (typeof value !== 'string' || value.length > 64) return null;
  const text = value.trim().toUpperCase().replace(' ', 'T');
  if (!RFC3339.test(text)) return null;
  const time = Date.parse(text);
  return Number.isNaN(time) || time < EARLIEST ? null : time;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const kindOf = (value: unknown): string =>
  value === undefined
    ? 'missing'
    : value === null
      ? 'null'
      : Array.isArray(value)
        ? 'an array'
        : `a ${typeof value}`.replace('a object', 'an object');

function rawOf(value: unknown): string {
  try {
    return cut(clean(JSON.stringify(value) ?? String(value)), RAW_LIMIT);
  } catch {
    // JSON.parse reads deeper nesting than JSON.stringify writes.
    return '(nested too deeply to show)';
  }
}
