import { type LabelKind, labelKinds } from '../domain/label.ts';

/**
 * The words that our Slack buttons and the interaction endpoint (respond/slack.ts) share. A button carries an incident id
 * and nothing else: Slack cuts values at 2,000 characters and what a client sends back is not to be believed anyway.
 */
export const slackActions = {
  acknowledge: 'tocsin.acknowledge',
  resolve: 'tocsin.resolve',
  escalate: 'tocsin.escalate',
  /** A static select; its option's value is `silenceValue(incidentId, duration)`. */
  silence: 'tocsin.silence',
  why: 'tocsin.why',
  wrongGrouping: 'tocsin.wrong_grouping',
  /** In a digest, beside each incident that was held back. */
  shouldHavePaged: 'tocsin.should_have_paged',
  /** A static select; its option's value is `feedbackValue(incidentId, kind, service)`. */
  feedback: 'tocsin.feedback',
} as const;

export type SlackAction = keyof typeof slackActions;

/** The times offered by the Silence select, as Prometheus durations, with the words people see. */
export const silenceChoices: readonly { duration: string; label: string }[] = [
  { duration: '30m', label: '30 minutes' },
  { duration: '2h', label: '2 hours' },
  { duration: '8h', label: '8 hours' },
  { duration: '1d', label: '1 day' },
];

/** What an option of the Silence select carries: a select has no value of its own, so the incident id rides along. */
export const silenceValue = (incidentId: string, duration: string): string => `${duration} ${incidentId}`;

/**
 * What an option of the feedback select carries; with a cause the service that the message named, so that it is judged and
 * not what has become the first suspect since. Null when Slack would not take it (values hold 150 characters).
 */
export function feedbackValue(incidentId: string, kind: LabelKind, service: string | null): string | null {
  const value = [kind, incidentId, ...(service === null ? [] : [service])].join(' ');
  return value.length <= 150 ? value : null;
}

function readFeedback(
  value: unknown,
): { incidentId: string; said: { kind: LabelKind; service: string | null } } | null {
  const [, kind, incidentId, service] = (typeof value === 'string' && /^(\S+) (\S+)(?: (.+))?$/.exec(value)) || [];
  const known = labelKinds.find((one) => one === kind);
  return known && incidentId ? { incidentId, said: { kind: known, service: service ?? null } } : null;
}

/** One click as Slack reports it in `payload.actions[]`; everything in it is what a client sent. */
export type SlackClick = {
  action_id?: unknown;
  value?: unknown;
  selected_option?: { value?: unknown } | null | undefined;
};

/** What a click asks for; `for` is set for `silence` only, `said` for `feedback` only. */
export type ReadClick = {
  do: SlackAction;
  incidentId: string;
  for: string | null;
  said: { kind: LabelKind; service: string | null } | null;
};

/** What a click asks for, or null when it is none of our buttons. */
export function readClick(click: SlackClick): ReadClick | null {
  const name = (Object.keys(slackActions) as SlackAction[]).find((key) => slackActions[key] === click.action_id);
  if (!name) return null;
  if (name === 'silence') {
    const chosen = click.selected_option?.value;
    if (typeof chosen !== 'string') return null;
    const choice = silenceChoices.find(({ duration }) => chosen.startsWith(`${duration} `));
    const incidentId = choice && chosen.slice(choice.duration.length + 1);
    return choice && incidentId ? { do: name, incidentId, for: choice.duration, said: null } : null;
  }
  if (name === 'feedback') {
    const read = readFeedback(click.selected_option?.value);
    return read && { do: name, for: null, ...read };
  }
  const { value } = click;
  return typeof value === 'string' && value ? { do: name, incidentId: value, for: null, said: null } : null;
}
