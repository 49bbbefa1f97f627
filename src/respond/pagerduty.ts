import { createHash } from 'node:crypto';
import type { Action } from '../domain/action.ts';
import type { Header } from './signatures.ts';

/** What one webhook v3 delivery asks for; answer 2xx to the first two (PagerDuty repeats what it gets no 2xx for). */
export type PagerDutyEvent =
  | { kind: 'action'; action: Action }
  | { kind: 'ignored'; reason: string }
  | { kind: 'fault'; reason: string };

const actions: Record<string, Action['do']> = {
  'incident.acknowledged': 'acknowledge',
  'incident.unacknowledged': 'unacknowledge',
  'incident.resolved': 'resolve',
  'incident.reopened': 'reopen',
};

type Loose = Record<string, unknown>;
const object = (value: unknown): Loose =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Loose) : {};
const string = (value: unknown): string => (typeof value === 'string' ? value.trim() : '');

/**
 * Reads one webhook v3 body whose signature has been checked. `data.incident_key` is the `dedup_key` we sent, that is our
 * incident's id. Deliveries come at least once: the action's id is made from the event's id (else from `X-Webhook-Id`, else
 * from the body), so a repeat is applied once. Event types that change nothing here are ignored, as are events that our own
 * calls caused (their agent is an integration): an echo that comes late must not undo what happened since.
 */
export function parsePagerDutyWebhook(rawBody: Buffer | string, headers: Record<string, Header>): PagerDutyEvent {
  let event: Loose;
  try {
    event = object(object(JSON.parse(rawBody.toString('utf8'))).event);
  } catch {
    return { kind: 'fault', reason: 'the body is not JSON' };
  }
  const type = string(event.event_type);
  if (!type) return { kind: 'fault', reason: 'the body has no event.event_type; Tocsin reads webhooks v3' };
  const what = Object.hasOwn(actions, type) ? actions[type]! : null;
  if (!what) return { kind: 'ignored', reason: `${type.slice(0, 64)} changes nothing here` };
  const incidentId = string(object(event.data).incident_key);
  if (!incidentId || incidentId.length > 255)
    return { kind: 'ignored', reason: 'the PagerDuty incident has no incident_key, so it is not one of ours' };
  const agent = object(event.agent);
  if (string(agent.type).includes('integration')) return { kind: 'ignored', reason: 'the echo of a call of our own' };
  const by = (string(agent.summary) || string(agent.id) || 'PagerDuty').slice(0, 200);
  const id = idOf(string(event.id) || first(headers['x-webhook-id']), rawBody);
  const body: Record<string, unknown> = { by };
  if (string(event.occurred_at)) body.occurredAt = string(event.occurred_at).slice(0, 64);
  return { kind: 'action', action: { id, do: what, incident: { id: incidentId }, by, origin: 'pagerduty', body } };
}

const first = (header: Header): string => (Array.isArray(header) ? (header[0] ?? '') : (header ?? '')).trim();

/** A plain id as it is; anything else by its hash, so that no sender decides what our keys look like. */
function idOf(given: string, rawBody: Buffer | string): string {
  if (/^[\w-]{1,64}$/.test(given)) return `pagerduty-${given}`;
  return `pagerduty-${createHash('sha256')
    .update(given || rawBody)
    .digest('hex')
    .slice(0, 32)}`;
}
