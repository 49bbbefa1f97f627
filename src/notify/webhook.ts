import { createHmac } from 'node:crypto';
import type { Incident } from '../domain/incident.ts';
import type { NotificationKind } from '../domain/notification.ts';
import type { Outbound } from '../telemetry/outbound.ts';
import { type Channel, callTimeoutMs, type DeliveryJob, type SendResult } from './channel.ts';
import { digestLine } from './digest.ts';
import { httpFailure } from './failures.ts';
import { oneLine } from './message.ts';
import { safeUrl } from './text.ts';

/** What a webhook receives: the incident as the API shows it, with what this notification is. */
export type WebhookBody = Incident & { kind: NotificationKind; notificationId: string; text: string };

/** The JSON of one notification; `text` is the line a person would have read. Pure. */
export const renderWebhook = (
  job: Pick<DeliveryJob, 'id' | 'kind' | 'incident' | 'message' | 'text'>,
): WebhookBody => ({
  ...job.incident,
  kind: job.kind,
  notificationId: job.id,
  text: job.text ?? oneLine(job.message),
});

/**
 * `t=<unix seconds>,v1=<hex>`: HMAC-SHA256 over `<t>.<body>` with the target's secret. The receiver computes the same over
 * the raw body, compares in constant time and refuses a `t` more than a few minutes away.
 */
function sign(secret: string, body: string, atMs: number): string {
  const seconds = Math.floor(atMs / 1000);
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`;
}

export type WebhookOptions = {
  /** A target of `channels.webhook.targets` by name, or null when there is none. Its secret may be unset on purpose (null). */
  targetOf(name: string): { url: string; secret: string | null } | null;
  outbound: Outbound;
};

/** Any 2xx is taken as received; `Idempotency-Key` lets the receiver drop a repeat after a crash of ours. */
export function webhookChannel(options: WebhookOptions): Channel {
  async function post(
    job: Pick<DeliveryJob, 'id' | 'target' | 'at'>,
    content: { text: string; [name: string]: unknown },
  ): Promise<SendResult> {
    const target = options.targetOf(job.target.address);
    const url = target && safeUrl(target.url);
    if (!target || !url) {
      return {
        status: 'refused',
        reason: `there is no webhook target ${job.target.address}`,
        fix: `Add ${job.target.address} to channels.webhook.targets in tocsin.yaml`,
      };
    }
    const body = JSON.stringify(content);
    const result = await options.outbound.request({
      method: 'POST',
      url,
      peer: 'webhook',
      headers: {
        'Content-Type': 'application/json',
        'Idempotency-Key': job.id,
        'User-Agent': 'tocsin',
        ...(target.secret ? { 'X-Tocsin-Signature': sign(target.secret, body, job.at) } : {}),
      },
      body,
      timeoutMs: callTimeoutMs,
      maxBytes: 64 * 1024,
    });
    if (result.status === 'answered' && result.code >= 200 && result.code < 300) {
      return { status: 'sent', ref: { notificationId: job.id }, text: content.text };
    }
    const fix = `Check channels.webhook.targets.${job.target.address} in tocsin.yaml and what listens there`;
    return httpFailure(`Webhook ${job.target.address}`, result, {
      now: job.at,
      secrets: target.secret ? [target.secret] : [],
      fix,
    });
  }

  return {
    kind: 'webhook',
    send: (job) => post(job, renderWebhook(job)),
    digest: (job) =>
      post(job, { kind: 'digest', notificationId: job.id, text: digestLine(job.digest), digest: job.digest }),
  };
}
