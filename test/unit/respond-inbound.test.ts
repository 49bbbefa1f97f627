import { describe, expect, test } from 'vitest';
import { feedbackValue, silenceValue, slackActions } from '../../src/notify/slack-actions.ts';
import { parsePagerDutyWebhook } from '../../src/respond/pagerduty.ts';
import { parseSlackInteraction } from '../../src/respond/slack.ts';

const context = { people: { ana: { slack: 'U0ANA' } }, apiUrl: 'http://127.0.0.1:9999/api/' };
const ID = '0123456789abcdef01234567';

type Click = { action?: object; user?: object; message?: object; at?: string; extra?: object };
const payload = ({ action, user, message, at = '1795172400.100', extra }: Click): string =>
  new URLSearchParams({
    payload: JSON.stringify({
      type: 'block_actions',
      user: { id: 'U0ANA', username: 'ana.k', ...user },
      channel: { id: 'C1' },
      message: { ts: '1795172000.0001', ...message },
      response_url: 'https://hooks.slack.com/actions/T1/2/x',
      trigger_id: '1.2.3',
      actions: [{ action_id: slackActions.acknowledge, value: ID, action_ts: at, ...action }],
      ...extra,
    }),
  }).toString();
const parse = (click: Click) => parseSlackInteraction(Buffer.from(payload(click)), context);
const idOf = (click: Click): string => {
  const parsed = parse(click);
  if (parsed.kind !== 'action') throw new Error(`no action but ${parsed.kind}`);
  return parsed.action.id;
};

describe('a click in Slack', () => {
  test('is an action by the person whom the config knows by their Slack id', () => {
    expect(parse({})).toEqual({
      kind: 'action',
      action: {
        id: expect.stringMatching(/^slack-[0-9a-f]{32}$/),
        do: 'acknowledge',
        incident: { id: ID },
        by: 'ana',
        origin: 'slack',
        body: { by: 'ana' },
      },
      respondTo: 'https://hooks.slack.com/actions/T1/2/x',
    });
  });

  test('by somebody unknown is by the name and id that Slack gives', () => {
    expect(parse({ user: { id: 'U9', username: 'zoe' } })).toMatchObject({ action: { by: 'zoe (U9)' } });
    expect(parse({ user: { id: {}, username: ['x'] } })).toMatchObject({ action: { by: 'someone in Slack' } });
  });

  test.each([
    ['resolve', { action_id: slackActions.resolve }, { do: 'resolve', body: { by: 'ana' } }],
    ['escalate', { action_id: slackActions.escalate }, { do: 'escalate', body: { by: 'ana' } }],
    [
      'silence',
      { action_id: slackActions.silence, value: undefined, selected_option: { value: silenceValue(ID, '2h') } },
      { do: 'silence', incident: { id: ID }, body: { by: 'ana', for: '2h' } },
    ],
    [
      'the answer to "Was it right?"',
      {
        action_id: slackActions.feedback,
        value: undefined,
        selected_option: { value: feedbackValue(ID, 'wrong-cause', 'payment gateway') },
      },
      { do: 'feedback', incident: { id: ID }, body: { by: 'ana', kind: 'wrong-cause', service: 'payment gateway' } },
    ],
    ['wrong grouping', { action_id: slackActions.wrongGrouping }, { do: 'feedback', body: { kind: 'not-related' } }],
  ])('on %s asks for just that', (_, action, wanted) => {
    expect(parse({ action })).toMatchObject({ kind: 'action', action: wanted });
  });

  test('on Why? asks for an explanation and changes nothing', () => {
    expect(parse({ action: { action_id: slackActions.why } })).toEqual({
      kind: 'why',
      incidentId: ID,
      by: 'ana',
      respondTo: 'https://hooks.slack.com/actions/T1/2/x',
    });
  });

  test('twice in a row, or by two people, is one action', () => {
    expect(idOf({ at: '1795172401.9' })).toBe(idOf({ at: '1795172400.1' }));
    expect(idOf({ user: { id: 'U9' } })).toBe(idOf({}));
  });

  test('on another button, incident, message, edit of it, or a minute later is another action', () => {
    const ids = [
      {},
      { action: { action_id: slackActions.resolve } },
      { action: { value: 'other' } },
      { message: { ts: '2' } },
      { message: { edited: { ts: '1795172399.0' } } },
      { at: '1795172500.1' },
    ].map(idOf);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('on Wrong grouping counts once per person', () => {
    const wrong = { action_id: slackActions.wrongGrouping };
    expect(idOf({ action: wrong, user: { id: 'U9' } })).not.toBe(idOf({ action: wrong }));
  });

  test('is never answered anywhere but at Slack or the configured API', () => {
    const to = (response_url: unknown) =>
      (parse({ extra: { response_url } }) as { respondTo: string | null }).respondTo;
    expect(to('http://127.0.0.1:9999/respond/1')).toBe('http://127.0.0.1:9999/respond/1');
    for (const bad of [
      'http://hooks.slack.com/x',
      'https://slack.com.evil.example/x',
      'https://evilslack.com/',
      'file:///etc/passwd',
      7,
      null,
    ])
      expect(to(bad)).toBeNull();
  });
});

describe('anything else from Slack', () => {
  test('is ignored with a reason when it is none of our buttons', () => {
    for (const click of [
      { action: { action_id: 'open-link' } },
      { extra: { type: 'view_submission' } },
      { extra: { actions: 'x' } },
    ])
      expect(parse(click)).toMatchObject({ kind: 'ignored', reason: expect.any(String) });
    expect(parseSlackInteraction('ssl_check=1&token=x', context).kind).toBe('ignored');
  });

  test('is a fault when it cannot be read', () => {
    for (const body of ['', 'payload=', 'payload=%7B', '{"type":"block_actions"}', '\u0000'])
      expect(parseSlackInteraction(body, context)).toMatchObject({ kind: 'fault' });
  });

  test('of any JSON shape never throws', () => {
    for (const shape of [
      null,
      1,
      [],
      {},
      { type: 'block_actions', actions: [null, 1, { action_id: slackActions.silence }] },
    ])
      expect(
        parseSlackInteraction(new URLSearchParams({ payload: JSON.stringify(shape) }).toString(), context).kind,
      ).toBe('ignored');
  });
});

const webhook = (event: object): Buffer =>
  Buffer.from(
    JSON.stringify({
      event: {
        id: '5ac64822-4adc-4fda-ade0-410becf0de4f',
        event_type: 'incident.acknowledged',
        resource_type: 'incident',
        occurred_at: '2026-11-20T03:00:00.000Z',
        agent: { id: 'PXPGF42', type: 'user_reference', summary: 'Earline Greenholt' },
        client: { name: 'PagerDuty' },
        data: { id: 'PT4KHLK', type: 'incident', incident_key: ID, status: 'acknowledged' },
        ...event,
      },
    }),
  );

describe('a PagerDuty webhook', () => {
  test('tells who acknowledged our incident', () => {
    expect(parsePagerDutyWebhook(webhook({}), {})).toEqual({
      kind: 'action',
      action: {
        id: 'pagerduty-5ac64822-4adc-4fda-ade0-410becf0de4f',
        do: 'acknowledge',
        incident: { id: ID },
        by: 'Earline Greenholt',
        origin: 'pagerduty',
        body: { by: 'Earline Greenholt', occurredAt: '2026-11-20T03:00:00.000Z' },
      },
    });
  });

  test.each([
    ['incident.unacknowledged', 'unacknowledge'],
    ['incident.resolved', 'resolve'],
    ['incident.reopened', 'reopen'],
  ])('of type %s asks to %s', (event_type, wanted) => {
    expect(parsePagerDutyWebhook(webhook({ event_type }), {})).toMatchObject({ action: { do: wanted } });
  });

  test('delivered again is the same action, whatever the delivery is called', () => {
    const id = (raw: Buffer, headers = {}) => {
      const parsed = parsePagerDutyWebhook(raw, headers);
      return parsed.kind === 'action' ? parsed.action.id : parsed.kind;
    };
    expect(id(webhook({}), { 'x-webhook-id': 'a' })).toBe(id(webhook({}), { 'x-webhook-id': 'b' }));
    expect(id(webhook({ id: undefined }), { 'x-webhook-id': 'abc' })).toBe('pagerduty-abc');
    expect(id(webhook({ id: undefined }))).toMatch(/^pagerduty-[0-9a-f]{32}$/);
    expect(id(webhook({ id: 'x; drop table' }))).toMatch(/^pagerduty-[0-9a-f]{32}$/);
  });

  test('that our own call caused is ignored, so that a late echo undoes nothing', () => {
    const echo = webhook({
      event_type: 'incident.resolved',
      agent: { type: 'inbound_integration_reference', summary: 'Tocsin' },
    });
    expect(parsePagerDutyWebhook(echo, {})).toMatchObject({ kind: 'ignored' });
  });

  test('without an agent was PagerDuty itself (a time-out there)', () => {
    expect(parsePagerDutyWebhook(webhook({ event_type: 'incident.unacknowledged', agent: null }), {})).toMatchObject({
      action: { by: 'PagerDuty' },
    });
  });

  test('of every other type, or for an incident that is not ours, is ignored with a reason', () => {
    for (const event_type of [
      'pagey.ping',
      'incident.escalated',
      'incident.priority_updated',
      'service.updated',
      'constructor',
    ])
      expect(parsePagerDutyWebhook(webhook({ event_type }), {})).toMatchObject({
        kind: 'ignored',
        reason: expect.any(String),
      });
    for (const data of [null, {}, { incident_key: null }, { incident_key: 'x'.repeat(300) }])
      expect(parsePagerDutyWebhook(webhook({ data }), {})).toMatchObject({ kind: 'ignored' });
  });

  test('that cannot be read is a fault', () => {
    for (const body of ['', '{', 'null', '[]', '{"event":7}', '{"messages":[]}'])
      expect(parsePagerDutyWebhook(Buffer.from(body), {})).toMatchObject({ kind: 'fault' });
  });
});
