import type { LabelKind } from '../domain/label.ts';
import type { AlertLine, Message } from './message.ts';
import { oneLine, stateLine } from './message.ts';
import { feedbackValue, silenceChoices, silenceValue, slackActions } from './slack-actions.ts';
import { cut, grouped, inWords, plain, slackLink, slackText, slackTime } from './text.ts';

type Text = { type: 'mrkdwn'; text: string; verbatim: true } | { type: 'plain_text'; text: string; emoji?: boolean };
type Option = { text: Text; value: string };
type Element =
  | Text
  | { type: 'button'; action_id: string; text: Text; value: string; style?: 'primary' | 'danger' }
  | { type: 'static_select'; action_id: string; placeholder: Text; options: Option[] };

/** As much of Block Kit as we use. */
export type SlackBlock =
  | { type: 'header'; text: Text }
  | { type: 'section'; text: Text; accessory?: Element }
  | { type: 'context'; elements: Element[] }
  | { type: 'image'; slack_file: { id: string }; alt_text: string }
  | { type: 'actions'; block_id: string; elements: Element[] };

export type SlackMessage = { text: string; blocks: SlackBlock[] };

export type SlackOptions = {
  /** Buttons are shown only when a signing secret lets us believe what they send back. */
  interactive: boolean;
  /** Why this reader is told now (an escalation, a stand-in for a channel that does not answer), shown under the headline. */
  line?: string | null;
};

/**
 * Undocumented limit on all blocks together: about 13,200 characters, then `msg_blocks_too_long` (slackapi/bolt-js#2509).
 */
const budget = 12_000;

// verbatim: Slack must not turn `@here` or `#general` inside a label into a mention or a link.
const mrkdwn = (text: string): Text => ({ type: 'mrkdwn', text, verbatim: true });
const words = (text: string): Text => ({ type: 'plain_text', text, emoji: true });
const section = (lines: (string | null)[]): SlackBlock => ({ type: 'section', text: mrkdwn(within(lines, 2900)) });
const context = (lines: (string | null)[]): SlackBlock => ({
  type: 'context',
  elements: [mrkdwn(within(lines, 1900))],
});

/** Whole lines while they fit: a line cut by length could lose half an entity or the end of a link. */
function within(lines: (string | null)[], max: number): string {
  const kept: string[] = [];
  let length = 0;
  for (const line of lines) {
    if (!line) continue;
    if (length + line.length + 1 > max) break;
    kept.push(line);
    length += line.length + 1;
  }
  return kept.join('\n');
}

const badge: Record<Message['state'], string> = { open: '🔴', acknowledged: '🟡', resolved: '🟢', merged: '🔗' };
const dot: Record<AlertLine['severity'], string> = { critical: '🔴', high: '🟠', medium: '🟡', low: '🔵', info: '⚪' };

function headerOf(message: Message): SlackBlock {
  const mild =
    message.state === 'open' &&
    (message.severity === 'low' || message.severity === 'info' || message.severity === 'medium');
  const mark = mild ? dot[message.severity] : badge[message.state];
  const state = message.state === 'open' ? '' : `${cut(stateLine(message), 60)}: `;
  // plain_text is shown as it is, entities included: angle brackets become look-alikes, so that no client can read a mention.
  const headline = `${state}${message.headline}`.replaceAll('<', '‹').replaceAll('>', '›');
  return { type: 'header', text: words(cut(`${mark} ${headline}`, 150)) };
}

function stateOf(message: Message): SlackBlock {
  const began = message.began === null ? '' : ` (its own series says ${slackTime(message.began)})`;
  const since = message.resolved
    ? `From ${slackTime(message.since)} to ${slackTime(message.resolved.at)}, ${inWords(message.resolved.lastedMs)}`
    : `*Since* ${slackTime(message.since)}${began}`;
  const merged = message.mergedInto
    ? `Goes on in ${slackLink(message.mergedInto.url, message.mergedInto.text, 300)}`
    : null;
  return section([
    merged,
    message.held ? `⚠ *${slackText(message.held, 600)}*` : null,
    message.symptom ? slackText(message.symptom, 400) : null,
    message.impact ? `*Impact:* ${slackText(message.impact, 600)}` : null,
    message.trend ? `*Now:* ${slackText(message.trend, 500)}` : null,
    ...message.around.map((line) => slackText(line, 280)),
    since,
  ]);
}

function causeOf(message: Message): SlackBlock | null {
  const [first, ...others] = message.suspects;
  const lines: (string | null)[] = [];
  if (first?.clear) {
    lines.push(`*Likeliest cause:* ${slackText(first.text, 300)}`);
    if (first.chain) lines.push(slackText(first.chain, 400));
    for (const evidence of first.evidence) lines.push(`• ${slackText(evidence, 300)}`);
    if (others.length) lines.push(`Also possible: ${others.map((other) => slackText(other.text, 200)).join('; ')}`);
  } else if (message.unclear) {
    lines.push(`*No clear cause:* ${slackText(message.unclear, 200)}`);
    if (first) lines.push(`Candidates: ${message.suspects.map((other) => slackText(other.text, 200)).join('; ')}`);
  }
  for (const [index, deploy] of message.deploys.entries()) {
    const text = slackText(index === 0 ? `Began ${deploy.text}` : deploy.text, 400);
    lines.push(
      `${index === 0 ? '*Changed:* ' : '• '}${text}${deploy.url ? ` (${slackLink(deploy.url, 'diff', 20)})` : ''}`,
    );
  }
  return lines.length ? section(lines) : null;
}

function actionOf(message: Message): SlackBlock | null {
  const { action, links } = message;
  const pages = [
    links.runbook ? slackLink(links.runbook, 'Runbook', 20) : null,
    links.dashboard ? slackLink(links.dashboard, 'Dashboard', 20) : null,
  ].filter((link) => link !== null);
  if ((!action && pages.length === 0) || message.state === 'resolved' || message.state === 'merged') return null;
  return section([
    action ? `*First:* ${slackText(action.text, 500)}` : null,
    action?.why ? slackText(action.why, 400) : null,
    pages.length ? pages.join(' · ') : null,
  ]);
}

function alertsOf(message: Message): SlackBlock {
  const over = message.state === 'resolved' || message.state === 'merged';
  const lines = message.alerts.map((alert) => {
    const name = alert.service ? `${alert.alertname} (${alert.service})` : alert.alertname;
    const times = alert.count > 1 ? ` ×${grouped(alert.count)}` : '';
    const ended = alert.status === 'resolved' ? ' resolved' : '';
    return `${alert.status === 'resolved' ? '🟢' : dot[alert.severity]} ${slackText(name, 200)}${times}${ended}`;
  });
  // One alert is the headline already; a list of one would only repeat it, and one of what is over helps nobody.
  const list = message.grouped && !over ? lines : [];
  const more = list.length && message.more ? `…and ${grouped(message.more)} more` : null;
  return section([slackText(message.counts, 500), ...list, more]);
}

function whoOf(message: Message): string {
  if (message.state === 'merged' || message.state === 'resolved') {
    return message.acknowledged ? `Was acknowledged by ${slackText(message.acknowledged.by, 120)}` : '';
  }
  const next = message.nextEscalation;
  const owner = message.assignee ? `${message.assignee} (${message.team})` : message.team;
  return [
    `Owner: ${slackText(owner, 200)}`,
    message.acknowledged
      ? `acknowledged by ${slackText(message.acknowledged.by, 120)} ${slackTime(message.acknowledged.at)}`
      : null,
    message.snoozedUntil ? `snoozed until ${slackTime(message.snoozedUntil)}` : null,
    next ? `escalates to ${slackText(next.notify.join(', '), 300)} ${slackTime(next.at)}` : null,
  ]
    .filter((part) => part !== null)
    .join(' · ');
}

function notesOf(message: Message): SlackBlock | null {
  const lines = [
    whoOf(message),
    message.similar ? slackText(message.similar, 500) : null,
    ...message.degraded.map((line) => `⚠ degraded: ${slackText(line, 240)}`),
  ].filter((line) => line);
  return lines.length ? context(lines) : null;
}

const pictureOf = ({ picture }: Message): SlackBlock | null =>
  picture && { type: 'image', slack_file: { id: picture.file }, alt_text: picture.alt };

function footerOf(message: Message): SlackBlock {
  return context([
    [
      slackLink(message.links.incident, `Incident #${message.number}`, 40),
      `priority ${message.priority}`,
      message.cluster ? slackText(message.cluster, 120) : null,
      // With a link the id is in it.
      message.links.incident ? null : slackText(message.incidentId, 200),
      `config ${slackText(message.configHash, 20)}`,
    ]
      .filter((part) => part !== null)
      .join(' · '),
  ]);
}

/** Was it right? What people answer becomes labels; it is asked while the incident stands and when it is over. */
function feedbackOf(message: Message): Element {
  const { incidentId, suspect } = message;
  const option = (text: string, kind: LabelKind, service: string | null = null) => {
    const value = feedbackValue(incidentId, kind, service);
    return value === null ? [] : [{ text: words(cut(text, 75)), value }];
  };
  const named = suspect === null ? null : plain(suspect, 40);
  return {
    type: 'static_select',
    action_id: slackActions.feedback,
    placeholder: words('Was it right?'),
    options: [
      ...(named === null ? [] : option(`Right cause: ${named}`, 'right-cause', suspect)),
      ...(named === null ? [] : option(`Wrong cause: ${named}`, 'wrong-cause', suspect)),
      ...(message.grouped ? option('Rightly grouped', 'related') : []),
      ...option('It was real', 'real'),
      ...option('It was noise', 'noise'),
    ],
  };
}

function buttonsOf(message: Message): SlackBlock {
  const { incidentId } = message;
  if (message.state === 'resolved')
    return { type: 'actions', block_id: 'tocsin.actions', elements: [feedbackOf(message)] };
  const button = (action: keyof typeof slackActions, label: string, style?: 'primary' | 'danger'): Element => ({
    type: 'button',
    action_id: slackActions[action],
    text: words(label),
    value: incidentId,
    ...(style ? { style } : {}),
  });
  const options = silenceChoices.map(({ duration, label }) => ({
    text: words(label),
    value: silenceValue(incidentId, duration),
  }));
  return {
    type: 'actions',
    block_id: 'tocsin.actions',
    elements: [
      ...(message.state === 'open' ? [button('acknowledge', 'Acknowledge', 'primary')] : []),
      button('resolve', 'Resolve'),
      button('escalate', 'Escalate'),
      { type: 'static_select', action_id: slackActions.silence, placeholder: words('Silence for…'), options },
      button('why', 'Why?'),
      ...(message.grouped ? [button('wrongGrouping', 'Wrong grouping')] : []),
      feedbackOf(message),
    ],
  };
}

/**
 * The message as Slack shows it, in the order a reader at 03:00 asks: what and how bad, since when, why and what changed,
 * what to do, how far it reaches, who has it. At most 10 blocks; `text` is the lock-screen line and the fallback. Every part
 * has a bound of its own (section 3,000, header 150, context 2,000 characters); should they still add up to more than all
 * blocks together may hold, the least needed go first.
 */
export function renderSlack(message: Message, options: SlackOptions): SlackMessage {
  const notes = notesOf(message);
  const action = actionOf(message);
  const cause = causeOf(message);
  const alerts = alertsOf(message);
  const blocks = [
    headerOf(message),
    options.line ? context([slackText(options.line, 600)]) : null,
    stateOf(message),
    cause,
    action,
    pictureOf(message),
    alerts,
    options.interactive && message.state !== 'merged' ? buttonsOf(message) : null,
    notes,
    footerOf(message),
  ].filter((block) => block !== null);
  for (const spare of [alerts, notes, cause, action]) {
    if (JSON.stringify(blocks).length <= budget) break;
    if (spare && blocks.includes(spare)) blocks.splice(blocks.indexOf(spare), 1);
  }
  return { text: slackText(cut(oneLine(message), 700), 1500), blocks };
}

/** A line of the thread (or several, joined): each cleaned on its own, so that no label starts a line. */
export const renderSlackLine = (text: string): string =>
  within(
    text
      .split('\n')
      .slice(0, 60)
      .map((line) => slackText(plain(line, 600), 1200)),
    3800,
  );
