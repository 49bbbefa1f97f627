import { z } from 'zod';
import { parseDuration } from './config/schema.ts';
import { actionNames } from './domain/action.ts';
import type { Incident } from './domain/incident.ts';
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
  exp_reasons: z.array(z.string()).optional(),
  exp_suspect: z.string().nullable().optional(),
  exp_receivers: z.array(z.string()).optional(),
  exp_escalations: z.array(z.strictObject({ at: Offset, to: z.string() })).optional(),
});
const Case = z.strictObject({
  name: z.string().min(1),
  start: z.iso.datetime({ offset: true }).default('2026-01-05T09:00:00Z'),
  input_alerts: z
    .array(
      z.strictObject({
        labels: Labels,
        annotations: Labels.default({}),
        from: Offset.prefault('0s'),
        until: Offset.optional(),
        group: z.string().optional(),
      }),
    )
    .min(1),
  input_deploys: z
    .array(z.strictObject({ at: Offset, service: z.string(), version: z.string().optional() }))
    .default([]),
  input_actions: z
    .array(
      z.strictObject({
        at: Offset,
        do: z.enum(actionNames),
        alert: Labels,
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
export type Failure = { name: string; evalTime: string; message: string };
/** Alertmanager tells of what still fires every four hours by default. */
const REPEAT_MS = 4 * 3_600_000;

/** The case as a stream: what fires, what ends, what people do, in order of time. */
function streamOf(test: Case, until: number): StreamLine[] {
  const start = Date.parse(test.start);
  const rfc = (offset: number) => new Date(start + offset).toISOString();
  const lines: { at: number; line: StreamLine }[] = [];
  for (const { labels, annotations, from, until: end, group } of test.input_alerts) {
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
    if (end !== undefined) send(end, true);
  }
  for (const { at, service, version } of test.input_deploys)
    lines.push({ at, line: { at: rfc(at), kind: 'deploy', body: { service, version, startedAt: rfc(at) } } });
  for (const { at, do: deed, alert, by, with: body } of test.input_actions) {
    const incident = { fingerprint: fingerprint(labelsOf(test, alert)) };
    lines.push({ at, line: { at: rfc(at), kind: 'action', do: deed, by, incident, body } });
  }
  return lines.sort((a, b) => a.at - b.at).map(({ line }) => line);
}

const within = (wanted: Record<string, string>, labels: Record<string, string>): boolean =>
  Object.entries(wanted).every(([name, value]) => labels[name] === value);
const labelsOf = (test: Case, wanted: Record<string, string>): Record<string, string> =>
  test.input_alerts.find(({ labels }) => within(wanted, labels))?.labels ?? wanted;

/** Replays the case up to each of its times and compares. */
export async function runCase(test: Case, rules: Rules): Promise<Failure[]> {
  const start = Date.parse(test.start);
  const failures: Failure[] = [];
  const rulesBefore = test.input_alerts
    .map(({ labels }) => labels.alertname ?? '')
    .filter((name) => !test.first_ever.includes(name));
  for (const { eval_time: at, exp_incidents: expected } of test.incident_test) {
    async function* stream() {
      for (const [i, entry] of streamOf(test, at).entries()) yield { line: i + 1, entry };
    }
    const outcomes = await replay(stream(), { rules, until: start + at, knownRules: rulesBefore });
    for (const message of compare(test, outcomes, expected, start))
      failures.push({ name: test.name, evalTime: durationText(at), message });
  }
  return failures;
}

type Actual = { incident: Incident; members: Record<string, string>[] };

function compare(test: Case, outcomes: Outcomes, expected: readonly Expected[], start: number): string[] {
  const labels = new Map(test.input_alerts.map((alert) => [fingerprint(alert.labels), alert.labels] as const));
  const actual: Actual[] = outcomes.incidents
    .filter((incident) => incident.mergedInto === null)
    .map((incident) => {
      const own = outcomes.alerts.filter((alert) => alert.incidentId === incident.id);
      const names = [...new Set(own.map((alert) => alert.fingerprint))];
      const known = names.map((one) => labels.get(one)).filter((one) => one !== undefined);
      return { incident, members: known };
    });
  const messages: string[] = [];
  const left = new Set(actual);
  for (const [i, one] of expected.entries()) {
    const found = [...left].find((candidate) => isSame(candidate.members, one.exp_alerts));
    if (!found) {
      const there = actual.map(({ members }) => `[${members.map(labelText).join(', ')}]`).join(', ') || 'none';
      messages.push(
        `exp_incidents[${i}]: no incident of ${one.exp_alerts.map(labelText).join(', ')}; there are: ${there}`,
      );
      continue;
    }
    left.delete(found);
    messages.push(...compareOne(found.incident, one, outcomes, start).map((said) => `exp_incidents[${i}]: ${said}`));
  }
  for (const { members, incident } of left)
    messages.push(`not expected: incident "${incident.title}" of ${members.map(labelText).join(', ')}`);
  return messages;
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

function compareOne(incident: Incident, wanted: Expected, outcomes: Outcomes, start: number): string[] {
  const sent = outcomes.notifications.filter((one) => one.incidentId === incident.id);
  const held = outcomes.alerts.filter((alert) => alert.incidentId === incident.id);
  const reasons = new Set(incident.decision.reasons.map((reason) => reason.code));
  const top = incident.rootCauses[0];
  const actual: Partial<Record<keyof Expected, unknown>> = {
    exp_status: incident.status,
    exp_severity: incident.severity,
    exp_priority: incident.priority,
    exp_team: incident.team,
    exp_verdict: held.length > 0 && held.every((alert) => alert.verdict === 'suppress') ? 'suppress' : 'notify',
    exp_policy_verdict: incident.decision.verdict,
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
  const messages: string[] = [];
  for (const name of Object.keys(actual) as (keyof Expected)[]) {
    if (wants[name] === undefined || JSON.stringify(wants[name]) === JSON.stringify(actual[name])) continue;
    messages.push(`${name}: want ${JSON.stringify(wants[name])}, got ${JSON.stringify(actual[name])}`);
  }
  for (const code of wanted.exp_reasons ?? [])
    if (!reasons.has(code)) messages.push(`exp_reasons: want ${code}, got ${[...reasons].join(', ')}`);
  return messages;
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
