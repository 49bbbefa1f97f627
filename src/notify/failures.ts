import type { OutboundResult } from '../telemetry/outbound.ts';
import type { SendResult } from './channel.ts';
import { plain } from './text.ts';

/**
 * `Retry-After` in ms, or undefined: seconds or an HTTP date (RFC 9110, 10.2.3). At most an hour is believed; the outbox
 * waits a minute at most anyway and tries again.
 */
function retryAfterMs(header: string | null | undefined, now: number): number | undefined {
  if (!header) return undefined;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isFinite(ms) && ms >= 0 ? Math.min(ms, 3_600_000) : undefined;
}

/** Takes every secret out of a text that somebody else wrote (an error page that echoes the key, say), and bounds it. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  let safe = text;
  for (const secret of secrets) if (secret.length >= 4) safe = safe.replaceAll(secret, '[secret]');
  return plain(safe, 300);
}

/**
 * What an HTTP exchange that did not succeed means for the outbox: too many requests, server faults and silence are tried
 * again, any other answer is refused for good until somebody changes something.
 */
export function httpFailure(
  peer: string,
  result: OutboundResult,
  options: { now: number; secrets: readonly string[]; fix: string | null },
): SendResult {
  if (result.status !== 'answered') return { status: 'retry', reason: `${peer}: ${result.reason}` };
  const said = withoutSecrets(result.body, options.secrets);
  const reason = `${peer} answered ${result.code}${said ? `: ${said}` : ''}`;
  if (result.code === 429 || result.code === 408 || result.code >= 500) {
    return { status: 'retry', afterMs: retryAfterMs(result.headers['retry-after'], options.now), reason };
  }
  return { status: 'refused', reason, fix: options.fix };
}
