import { z } from 'zod';
import { parseDuration } from './config/schema.ts';
import { actionNames } from './domain/action.ts';
import { type Incident, Mode } from './domain/incident.ts';
import { Severity } from './domain/severity.ts';
import type { StreamLine } from './domain/stream.ts';
import { fingerprint } from './receive/fingerprint.ts';
import { type Outcomes, replay } from './replay.ts';
import type { Rules } from './rules.ts';

/**
 * Policy unit tests, in the shape of promtool's: what comes in on one side (`input_…`), what must have become of it at some
 * times on the other (`incident_test` with `eval_time` and `exp_…`). They run on the engine of the service with a simulated
 * clock. What an expectation does not name is not looked at; an incident that nobody expects is a failure.
 */

const Offset = z
  .string({ error: 'this is not a time; write for example 0s, 5m or 1h30m' })
  .transform((text, context) => {
    const ms = parseDuration(text === '0m' ? '0' : text);
    if (ms !== null) return ms;
    context.addIssue({ code: 'custom', message: `"${text}" is not a time; write for example 0s, 5m or 1h30m` });
    return z.NEVER;
  });
const Labels = z.record(z.string(), z.string());

const Expected = z.strictObject({
  exp_alerts: z.array(Labels).min(1),
  exp_status: z.enum(['open', 'acknowledged', 'resolved']).optional(),
  exp_severity: Severity.optional(),
  exp_priority: z.int().min(1).max(5).optional(),
  exp_team: z.string().optional(),
  /** What was done, and what the policy says (they differ in mode shadow and assist). */
  exp_verdict: z.enum(['notify', 'suppress']).optional(),
  exp_policy_verdict: z.enum(['notify', 'suppress']).optional(),
  /** Codes that must be among the reasons, or each with the policy that spoke and until when it holds. */
  exp_reasons: z
    .array(
      z.union([
        z.string(),
        z.strictObject({ code: z.string(), policy: z.string().optional(), until: Offset.optional() }),
      ]),
    )
    .optional(),
  /** The members that are held back, each by itself; in any order. */
  exp_suppressed: z.array(Labels).optional(),
  exp_mode: Mode.optional(),
  exp_suspect: z.string().nullable().optional(),
  exp_receivers: z.array(z.string()).optional(),
  exp_escalations: z.array(z.strictObject({ at: Offset, to: z.string() })).optional(),
});
const Case = z.strictObject({
  name: z.string().min(1),
  start: z.iso.datetime({ offset: true }).default('2026-01-05T09:00:00Z'),
  input_alerts: z
    .array(
      z
        .strictObject({
          labels: Labels,
          annotations: Labels.default({}),
          from: Offset.prefault('0s'),
          until: Offset.optional(),
          group: z.string().optional(),
          /** Fires again that long after it began, so many times in all: what comes and goes. */
          every: Offset.optional(),
          times: z.int().min(2).max(1_000).optional(),
        })
        .refine(
          ({ every, times, from, until }) =>
            every === undefined
              ? times === undefined
              : times !== undefined && until !== undefined && until < from + every,
          '`every` and `times` go together, and the alert has to be over (`until`) before it comes again',
        ),
    )
    .min(1),
  input_deploys: z
    .array(z.strictObject({ at: Offset, service: z.string(), version: z.string().optional() }))
    .default([]),
  input_actions: z
    .array(
      z.strictObject({
        at: Offset,
        do: z.enum([...actionNames, 'unacknowledge', 'kill-switch']),
        alert: Labels.default({}),
        by: z.string().default('test'),
        with: z.record(z.string(), z.unknown()).default({}),
      }),
    )
    .default([]),
  /** Rules that fire for the first time ever; all others have fired before. */
  first_ever: z.array(z.string()).default([]),
  incident_test: z.array(z.strictObject({ eval_time: Offset, exp_incidents: z.array(Expected).default([]) })).min(1),
});
/** A file of tests; `config` and `topology` are paths from the file. */
export const TestFile = z.strictObject({
  config: z.string().optional(),
  topology: z.string().optional(),
  tests: z.array(Case).min(1),
});
export type Case = z.infer<typeof Case>;
type Expected = z.infer<typeof Expected>;

/** What is not as expected, at which time of which test. */
export type Failure = {
  name: string;
  evalTime: string;
  message: string;
  /** Where the expectation stands in the file: keys and indexes from its root. */
  path: (string | number)[];
};
/** Alertmanager tells of what still fires every four hours by default. */
const REPEAT_MS = 4 * 3_600_000;

/** The case as a stream: what fires, what ends, what people do, in order of time. */
function streamOf(test: Case, until: number): StreamLine[] {
  const start = Date.parse(test.start);
  const rfc = (offset: number) => new Date(start + offset).toISOString();
  const lines: { at: number; line: StreamLine }[] = [];
  const firings = test.input_alerts.flatMap(({ every = 0, times = 1, ...alert }) =>
    Array.from({ length: times }, (_, i) => {
      const later = i * every;
      return {
        ...alert,
        from: alert.from + later,
        ...(alert.until === undefined ? {} : { until: alert.until + later }),
      };
    }),
  );
  for (const { labels, annotations, from, until: end, group } of firings) {
    if (from > until) continue;
    const send = (at: number, resolved: boolean) => {
      const alert = {
        status: resolved ? 'resolved' : 'firing',
        labels,
        annotations,
        startsAt: rfc(from),
        endsAt: resolved ? rfc(at) : '0001-01-01T00:00:00Z',
        fingerprint: fingerprint(labels),
        generatorURL: '',
      };
      const groupKey = group ?? `{}:{alertname="${labels.alertname ?? ''}"}`;
      const body = { version: '4', groupKey, receiver: 'tocsin', status: alert.status, alerts: [alert] };
      lines.push({ at, line: { at: rfc(at), kind: 'alertmanager', body } });
    };
    for (let at = from; at <= Math.min(end ?? until, until); at += REPEAT_MS) if (at !== end) send(at, false);
    if (end !== undefined && end <= until) send(end, true);
  }
  for (const { at, service, version } of test.input_deploys)
    lines.push({ at, line: { at: rfc(at), kind: 'deploy', body: { service, version, startedAt: rfc(at) } } });
  for (const { at, do: deed, alert, by, with: body } of test.input_actions) {
    const incident = { fingerprint: fingerprint(labelsOf(test, alert)) };
    const into =
      typeof body.into === 'object'
        ? { into: { fingerprint: fingerprint(labelsOf(test, body.into as Record<string, string>)) } }
        : {};
    lines.push({ at, line: { at: rfc(at), kind: 'action', do: deed, by, incident, body: { ...body, ...into } } });
  }
  return lines.sort((a, b) => a.at - b.at).map(({ line }) => line);
}

const within = (wanted: Record<string, string>, labels: Record<string, string>): boolean =>
  Object.entries(wanted).every(([name, value]) => labels[name] === value);
const labelsOf = (test: Case, wanted: Record<string, string>): Record<string, string> =>
  test.input_alerts.find(({ labels }) => within(wanted, labels))?.labels ?? wanted;

/** Replays the case up to each of its times and compares; `index` is its place in the file. */
export async function runCase(test: Case, rules: Rules, index: number): Promise<Failure[]> {
  const start = Date.parse(test.start);
  const failures: Failure[] = [];
  const rulesBefore = test.input_alerts
    .map(({ labels }) => labels.alertname ?? '')
    .filter((name) => !test.first_ever.includes(name));
  for (const [i, { eval_time: at, exp_incidents: expected }] of test.incident_test.entries()) {
    async function* stream() {
      for (const [i, entry] of streamOf(test, at).entries()) yield { line: i + 1, entry };
    }
    const outcomes = await replay(stream(), { rules, until: start + at, knownRules: rulesBefore });
    for (const { message, path } of compare(test, outcomes, expected, start)) {
      const whole = ['tests', index, 'incident_test', i, ...path];
      failures.push({ name: test.name, evalTime: durationText(at), message, path: whole });
    }
  }
  return failures;
}

type Said = { message: string; path: (string | number)[] };
type Actual = { incident: Incident; members: Record<string, string>[]; held: Record<string, string>[] };

function compare(test: Case, outcomes: Outcomes, expected: readonly Expected[], start: number): Said[] {
  const labels = new Map(test.input_alerts.map((alert) => [fingerprint(alert.labels), alert.labels] as const));
  const known = (alerts: Outcomes['alerts']) =>
    [...new Set(alerts.map((alert) => alert.fingerprint))]
      .map((one) => labels.get(one))
      .filter((one) => one !== undefined);
  const actual: Actual[] = outcomes.incidents
    .filter((incident) => incident.mergedInto === null)
    .map((incident) => {
      const own = outcomes.alerts.filter((alert) => alert.incidentId === incident.id);
      const held = own.filter((alert) => alert.verdict === 'suppress');
      return { incident, members: known(own), held: known(held) };
    });
  const said: Said[] = [];
  const left = new Set(actual);
  for (const [i, one] of expected.entries()) {
    const path = ['exp_incidents', i];
    // Incidents of the same alerts (one that came, went and came again) are told apart by all that is expected of them.
    const alike = [...left].filter((candidate) => isSame(candidate.members, one.exp_alerts));
    const [found, faults] = nearest(alike.map((candidate) => [candidate, compareOne(candidate, one, outcomes, start)]));
    if (!found) {
      const there = actual.map(({ members }) => `[${members.map(labelText).join(', ')}]`).join(', ') || 'none';
      const message = `exp_incidents[${i}]: no incident of ${one.exp_alerts.map(labelText).join(', ')}; there are: ${there}`;
      said.push({ message, path: [...path, 'exp_alerts'] });
      continue;
    }
    left.delete(found);
    for (const { name, text } of faults)
      said.push({ message: `exp_incidents[${i}]: ${name}: ${text}`, path: [...path, name] });
  }
  for (const { members, incident } of left) {
    const message = `not expected: incident "${incident.title}" of ${members.map(labelText).join(', ')}`;
    said.push({ message, path: ['exp_incidents'] });
  }
  return said;
}

type Differs = { name: keyof Expected; text: string };

/** The candidate with the fewest differences. */
function nearest(candidates: readonly [Actual, Differs[]][]): [Actual, Differs[]] | [null, Differs[]] {
  return candidates.reduce<[Actual, Differs[]] | [null, Differs[]]>(
    (best, one) => (best[0] === null || one[1].length < best[1].length ? one : best),
    [null, []],
  );
}

/** Every expected alert is one of the members, each another one, and nobody else is there. */
function isSame(members: readonly Record<string, string>[], wanted: readonly Record<string, string>[]): boolean {
  const left = [...members];
  // The most particular first, so that a looser one does not take its place.
  for (const one of [...wanted].sort((a, b) => Object.keys(b).length - Object.keys(a).length)) {
    const at = left.findIndex((labels) => within(one, labels));
    if (at < 0) return false;
    left.splice(at, 1);
  }
  return left.length === 0;
}

function compareOne({ incident, held }: Actual, wanted: Expected, outcomes: Outcomes, start: number): Differs[] {
  const sent = outcomes.notifications.filter((one) => one.incidentId === incident.id);
  const own = outcomes.alerts.filter((alert) => alert.incidentId === incident.id);
  const top = incident.rootCauses[0];
  const actual: Partial<Record<keyof Expected, unknown>> = {
    exp_status: incident.status,
    exp_severity: incident.severity,
    exp_priority: incident.priority,
    exp_team: incident.team,
    exp_verdict: own.length > 0 && own.every((alert) => alert.verdict === 'suppress') ? 'suppress' : 'notify',
    exp_policy_verdict: incident.decision.verdict,
    exp_mode: incident.decision.mode,
    exp_suspect: top && top.confidence !== 'low' ? top.service : null,
    exp_receivers: [
      ...new Set(sent.filter((one) => one.kind === 'open' || one.kind === 'escalate').map(targetOf)),
    ].sort(),
    exp_escalations: sent
      .filter((one) => one.kind === 'escalate')
      .map((one) => `${durationText(Date.parse(one.at) - start)} ${targetOf(one)}`)
      .sort(),
  };
  const wants: Partial<Record<keyof Expected, unknown>> = {
    ...wanted,
    exp_receivers: wanted.exp_receivers && [...new Set(wanted.exp_receivers)].sort(),
    exp_escalations: wanted.exp_escalations?.map(({ at, to }) => `${durationText(at)} ${to}`).sort(),
  };
  const differs: Differs[] = [];
  for (const name of Object.keys(actual) as (keyof Expected)[]) {
    if (wants[name] === undefined || JSON.stringify(wants[name]) === JSON.stringify(actual[name])) continue;
    differs.push({ name, text: `want ${JSON.stringify(wants[name])}, got ${JSON.stringify(actual[name])}` });
  }
  const { exp_suppressed: suppressed } = wanted;
  if (suppressed && !isSame(held, suppressed)) {
    const got = held.map(labelText).join(', ') || 'none';
    differs.push({
      name: 'exp_suppressed',
      text: `want ${suppressed.map(labelText).join(', ') || 'none'}, got ${got}`,
    });
  }
  const { reasons } = incident.decision;
  const all = reasons.map((reason) => reasonText(reason, start)).join(', ');
  for (const one of wanted.exp_reasons ?? []) {
    const want = typeof one === 'string' ? { code: one } : one;
    const found = reasons.some(
      ({ code, policy, until }) =>
        code === want.code &&
        (want.policy === undefined || policy === want.policy) &&
        (want.until === undefined || Date.parse(String(until)) === start + want.until),
    );
    if (!found) {
      const until = want.until === undefined ? {} : { until: new Date(start + want.until).toISOString() };
      differs.push({ name: 'exp_reasons', text: `want ${reasonText({ ...want, ...until }, start)}, got ${all}` });
    }
  }
  return differs;
}

/** `noise (dev until 24h)`, with what is known of it. */
function reasonText(
  { code, policy, until }: { code: string; policy?: unknown; until?: unknown },
  start: number,
): string {
  const end = typeof until === 'string' ? `until ${durationText(Date.parse(until) - start)}` : '';
  const more = [typeof policy === 'string' ? policy : '', end].filter((text) => text !== '').join(' ');
  return more === '' ? code : `${code} (${more})`;
}

const targetOf = ({ target }: Outcomes['notifications'][number]): string => target;
const labelText = (labels: Record<string, string>): string =>
  `{${Object.entries(labels)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(', ')}}`;

function durationText(ms: number): string {
  const parts: string[] = [];
  let left = ms;
  for (const [unit, size] of [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
    ['ms', 1],
  ] as const) {
    const n = Math.floor(left / size);
    if (n > 0) parts.push(`${n}${unit}`);
    left -= n * size;
  }
  return parts.join('') || '0s';
}
