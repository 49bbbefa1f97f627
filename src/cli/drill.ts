import { setTimeout as sleep } from 'node:timers/promises';
import { fingerprint } from '../receive/fingerprint.ts';
import { parseLabels } from './routes-test.ts';

type Options = {
  words: string[];
  url: string;
  token: string | null;
  json: boolean;
  out: (text: string) => void;
  err: (text: string) => void;
};

type Notification = {
  id: string;
  channel: string;
  target: string;
  kind: string;
  state: string;
  attempts: { result: string }[];
};

/** How long the channels get to deliver, ms: a call is given up after 10 s, one retry fits. */
const PATIENCE_MS = 25_000;
const LOOK_EVERY_MS = 500;

/**
 * `tocsin drill --route LABEL=VALUE…`: sends one alert, labelled as a drill, down the whole road of a running service, waits
 * until every channel of its route has it, reports each, and resolves it. Exit code 1 when a channel did not deliver.
 */
export async function runDrill({ words, url, token, json, out, err }: Options): Promise<number> {
  const chosen = parseLabels(words);
  if (typeof chosen === 'string') {
    err(`${chosen}.\n`);
    return 2;
  }
  const startsAt = new Date().toISOString();
  // A tenant of its own: alerts of different tenants never meet, so a drill joins no real incident and no earlier drill.
  const labels: Record<string, string> = {
    alertname: 'TocsinDrill',
    severity: 'critical',
    tenant: `drill-${startsAt}`,
    ...chosen,
    drill: startsAt,
  };
  const base = url.replace(/\/+$/, '');
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    ...(token ? { authorization: `Bearer ${token}` } : {}),
  };

  const post = (status: 'firing' | 'resolved') =>
    ask(`${base}/api/v1/webhooks/alertmanager`, {
      method: 'POST',
      headers,
      body: JSON.stringify({
        version: '4',
        status,
        receiver: 'drill',
        groupKey: `drill:${startsAt}`,
        groupLabels: {},
        commonLabels: {},
        commonAnnotations: {},
        externalURL: '',
        truncatedAlerts: 0,
        alerts: [
          {
            status,
            labels,
            fingerprint: fingerprint(labels),
            generatorURL: '',
            startsAt,
            endsAt: status === 'resolved' ? new Date().toISOString() : '0001-01-01T00:00:00Z',
            annotations: { summary: '[DRILL] This is a drill: nothing is wrong. It resolves by itself.' },
          },
        ],
      }),
    });

  const sent = await post('firing');
  if (sent.status !== 200) {
    err(`The service refused the drill (${sent.status} ${sent.text}). ${hint(sent.status)}\n`);
    return 1;
  }
  const end = Date.now() + PATIENCE_MS;
  let incident: string | null = null;
  let notifications: Notification[] = [];
  while (Date.now() < end) {
    await sleep(LOOK_EVERY_MS);
    const alert = await ask(`${base}/api/v1/alerts/${fingerprint(labels)}`, { headers });
    incident =
      alert.status === 200 ? ((JSON.parse(alert.text) as { incidentId: string | null }).incidentId ?? null) : null;
    if (!incident) continue;
    const list = await ask(`${base}/api/v1/notifications?incident=${incident}`, { headers });
    notifications =
      list.status === 200
        ? (JSON.parse(list.text) as { items: Notification[] }).items.filter((n) => n.kind === 'open')
        : [];
    if (notifications.length > 0 && notifications.every((n) => hasSettled(n, notifications))) break;
  }
  await post('resolved');
  const delivered = notifications.length > 0 && notifications.every((n) => n.state === 'sent');
  const rows = notifications.map(({ channel, target, state, attempts }) => ({
    channel,
    target,
    state,
    result: attempts.at(-1)?.result ?? 'not tried yet',
  }));
  if (json) out(`${JSON.stringify({ ok: delivered, incident, notifications: rows })}\n`);
  else if (rows.length === 0) err('No notification was planned within 25 s. Is the work side running? See /readyz.\n');
  else for (const row of rows) out(`${row.state.padEnd(11)} ${row.target}  ${row.result}\n`);
  return delivered ? 0 : 1;
}

/** Sent, failed, or handed to the next channel (its stand-in has the same id and a `~`) and only tried again in the background. */
const hasSettled = (one: Notification, all: readonly Notification[]): boolean =>
  one.state !== 'waiting' || all.some(({ id }) => id === `${one.id}~`);

async function ask(url: string, init: RequestInit): Promise<{ status: number; text: string }> {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(10_000) });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause?.code;
    return { status: 0, text: cause ?? (error as Error).message };
  }
}

function hint(status: number): string {
  if (status === 0) return 'Start it with tocsin serve, or name its address with --url.';
  if (status === 401 || status === 403)
    return 'Give a token of role admin with --token or TOCSIN_TOKEN: posting and reading both need one.';
  return 'Its log says why.';
}
