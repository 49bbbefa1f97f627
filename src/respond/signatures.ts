import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** Whether a request comes from whom it says. `reason` goes to the log and to the sender; it never holds a secret. */
export type Verified = { ok: true } | { ok: false; reason: string };

/** A header as node gives it: absent, once, or (a fault) several times. */
export type Header = string | string[] | undefined;

/** Slack's own advice against replays: https://docs.slack.dev/authentication/verifying-requests-from-slack */
const SLACK_MAX_AGE_MS = 5 * 60_000;

const refuse = (reason: string): Verified => ({ ok: false, reason });
const single = (header: Header): string | null =>
  typeof header === 'string' ? header.trim() : header?.length === 1 ? header[0]!.trim() : null;

/** Compares without telling by the time it takes how much was right; both are hashed first, so lengths do not matter. */
function same(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}

const hmac = (secret: string, ...parts: (string | Buffer)[]): string => {
  const mac = createHmac('sha256', secret);
  for (const part of parts) mac.update(part);
  return mac.digest('hex');
};

/**
 * Slack's `v0` signature over the RAW body (never over a parsed and re-written one). `timestamp` is
 * `X-Slack-Request-Timestamp` (seconds), `signature` is `X-Slack-Signature`, `now` epoch ms.
 */
export function verifySlack(
  secret: string,
  rawBody: Buffer,
  headers: { timestamp: Header; signature: Header },
  now: number,
): Verified {
  const timestamp = single(headers.timestamp);
  const signature = single(headers.signature);
  if (!timestamp || !signature) return refuse('X-Slack-Request-Timestamp or X-Slack-Signature is missing');
  if (!/^\d{1,12}$/.test(timestamp)) return refuse('X-Slack-Request-Timestamp is not a number of seconds');
  if (Math.abs(now - Number(timestamp) * 1000) > SLACK_MAX_AGE_MS)
    return refuse('the request is more than 5 minutes off this clock; if it is not a replay, check the clock (NTP)');
  const wanted = `v0=${hmac(secret, `v0:${timestamp}:`, rawBody)}`;
  return same(signature, wanted)
    ? { ok: true }
    : refuse('the Slack signature does not match; check channels.slack.signing_secret');
}

/** PagerDuty's webhook v3 signature: `X-PagerDuty-Signature` holds one or several `v1=<hex>` (while rotating); one must match. */
export function verifyPagerDuty(secret: string, rawBody: Buffer, header: Header): Verified {
  const signature = single(header);
  if (!signature) return refuse('X-PagerDuty-Signature is missing');
  const wanted = `v1=${hmac(secret, rawBody)}`;
  let matched = false;
  // Every one is compared, so that the time taken does not tell which one matched; 16 is far above what rotation needs.
  for (const given of signature.split(',').slice(0, 16)) matched = same(given.trim(), wanted) || matched;
  return matched
    ? { ok: true }
    : refuse('the PagerDuty signature does not match; check channels.pagerduty.webhook_secret');
}

/** GitHub's `X-Hub-Signature-256` (`sha256=<hex>`) over the raw body. */
export function verifyGithub(secret: string, rawBody: Buffer, header: Header): Verified {
  const signature = single(header);
  if (!signature) return refuse('X-Hub-Signature-256 is missing; set a secret on the webhook in GitHub');
  return same(signature.toLowerCase(), `sha256=${hmac(secret, rawBody)}`)
    ? { ok: true }
    : refuse('the GitHub signature does not match; check deploys.github.secret');
}

/** GitLab sends the secret itself in `X-Gitlab-Token`. */
export function verifyGitlab(secret: string, header: Header): Verified {
  const token = single(header);
  if (!token) return refuse('X-Gitlab-Token is missing; set a secret token on the webhook in GitLab');
  return same(token, secret) ? { ok: true } : refuse('the GitLab token does not match; check deploys.gitlab.secret');
}
