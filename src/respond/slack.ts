import { createHash } from 'node:crypto';
import type { RoutingFile } from '../config/schema.ts';
import type { Action } from '../domain/action.ts';
import { type ReadClick, readClick, type SlackClick } from '../notify/slack-actions.ts';

/**
 * What a signed request from Slack asks for. Whatever it is, the HTTP answer is an empty 200 at once (Slack waits 3 s);
 * what is to be said to the one who clicked goes to `respondTo` afterwards (5 uses within 30 min), if it is not null.
 */
export type SlackInteraction =
  | { kind: 'action'; action: Action; respondTo: string | null }
  /** The "Why?" button: explain this incident to the one who asked, visible to them alone. */
  | { kind: 'why'; incidentId: string; by: string; respondTo: string | null }
  | { kind: 'ignored'; reason: string }
  | { kind: 'fault'; reason: string };

/** `people` maps Slack user ids to names; `apiUrl` is `channels.slack.api_url`, whose origin may answer for Slack. */
export type SlackContext = { people: RoutingFile['people']; apiUrl: string };

const NAME_LIMIT = 200;
const ID_LIMIT = 128;

type Loose = Record<string, unknown>;
const object = (value: unknown): Loose =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Loose) : {};
const string = (value: unknown): string => (typeof value === 'string' ? value : '');

/**
 * Reads the body of `POST /api/v1/slack/interactions` (form-encoded, one field `payload`), whose signature has been
 * checked. A second click on the same button, by whomever, while the message still looks the same and within the same
 * minute is the same action: its id is equal, so it is applied once. Feedback counts once per person instead.
 */
export function parseSlackInteraction(rawBody: Buffer | string, context: SlackContext): SlackInteraction {
  const form = new URLSearchParams(rawBody.toString('utf8'));
  if (form.has('ssl_check')) return { kind: 'ignored', reason: 'Slack checks the certificate' };
  let payload: Loose;
  try {
    payload = object(JSON.parse(form.get('payload') ?? ''));
  } catch {
    return { kind: 'fault', reason: 'the field `payload` is missing or not JSON' };
  }
  if (payload.type !== 'block_actions') return { kind: 'ignored', reason: `nothing of ours sends ${typeOf(payload)}` };
  const clicks = Array.isArray(payload.actions) ? payload.actions.map(object) : [];
  for (const click of clicks) {
    const read = readClick(click as SlackClick);
    if (!read || read.incidentId.length > ID_LIMIT) continue;
    const by = personOf(object(payload.user), context.people);
    const respondTo = answerUrl(payload.response_url, context.apiUrl);
    if (read.do === 'why') return { kind: 'why', incidentId: read.incidentId, by, respondTo };
    const id = clickId(payload, click, read);
    return { kind: 'action', action: actionOf(id, { ...read, do: read.do }, by), respondTo };
  }
  // A button that only opens a link is reported too; so are buttons of an older release.
  return { kind: 'ignored', reason: 'no button of ours was pressed' };
}

const typeOf = (payload: Loose): string => (string(payload.type) || 'an interaction without a type').slice(0, 64);

function actionOf(id: string, read: ReadClick & { do: Exclude<ReadClick['do'], 'why'> }, by: string): Action {
  const action = { id, incident: { id: read.incidentId }, by, origin: 'slack' as const };
  switch (read.do) {
    case 'silence':
      return { ...action, do: 'silence', body: { by, for: read.for } };
    case 'feedback': {
      const { kind, service } = read.said!;
      return { ...action, do: 'feedback', body: { by, kind, ...(service === null ? {} : { service }) } };
    }
    case 'wrongGrouping':
      return { ...action, do: 'feedback', body: { by, kind: 'not-related', text: 'Wrong grouping (Slack)' } };
    case 'shouldHavePaged':
      return { ...action, do: 'feedback', body: { by, kind: 'should-have-paged', text: 'From a digest (Slack)' } };
    default:
      return { ...action, do: read.do, body: { by } };
  }
}

/** The person's name in the config when their Slack id is known there, else what Slack calls them, with the id. */
function personOf(user: Loose, people: RoutingFile['people']): string {
  const id = string(user.id).slice(0, 64);
  const known = Object.entries(people).find(([, person]) => person.slack !== undefined && person.slack === id);
  if (known) return known[0];
  const name = (string(user.username) || string(user.name)).slice(0, NAME_LIMIT);
  if (name && id) return `${name} (${id})`;
  return name || id || 'someone in Slack';
}

function clickId(payload: Loose, click: Loose, { do: name, incidentId, for: period, said }: ReadClick): string {
  const message = object(payload.message);
  const container = object(payload.container);
  const clicked = Number(string(click.action_ts));
  const parts = [
    name,
    incidentId,
    period,
    string(object(payload.channel).id) || string(container.channel_id),
    string(message.ts) || string(container.message_ts),
    // Every edit of ours changes this, so a click on the changed message is a new one.
    string(object(message.edited).ts),
    // Without a message (never seen from our buttons) only Slack's own trigger tells clicks apart.
    Number.isFinite(clicked) && clicked > 0 ? Math.floor(clicked / 60) : string(payload.trigger_id),
    isWord(name) ? string(object(payload.user).id) : null,
    said,
  ];
  return `slack-${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)}`;
}

/** What a person says is theirs alone; what a person does to an incident is done once, whoever clicked. */
const isWord = (name: ReadClick['do']): boolean =>
  name === 'wrongGrouping' || name === 'shouldHavePaged' || name === 'feedback';

/** Slack's `response_url`, believed only when it leads to Slack or to the configured API's own origin. */
function answerUrl(value: unknown, apiUrl: string): string | null {
  if (typeof value !== 'string' || value.length > 2048 || !URL.canParse(value)) return null;
  const url = new URL(value);
  const slack = url.protocol === 'https:' && (url.hostname === 'slack.com' || url.hostname.endsWith('.slack.com'));
  return slack || (URL.canParse(apiUrl) && url.origin === new URL(apiUrl).origin) ? value : null;
}
