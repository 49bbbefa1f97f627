import { createHmac, timingSafeEqual } from 'node:crypto';
import type { AuditKey } from '../../store/audit.ts';

/** As long as somebody may look at a page: over a weekend and the holiday after it. */
const validMs = 5 * 86_400_000;

/** The key of picture addresses, derived from the one in the data folder so that neither can be learned from the other. */
export const pictureKeyOf = (audit: AuditKey): Buffer =>
  createHmac('sha256', audit.secret).update('tocsin picture addresses, 1').digest();

const sign = (key: Buffer, id: string, expires: number): string =>
  createHmac('sha256', key).update(`${expires}\n${id}`).digest('base64url');

/**
 * An address under which anybody may fetch the picture of an incident for five days: PagerDuty's own servers and its apps
 * do, without a token. `now` is epoch ms; the same day gives the same address, so that a repeat changes nothing.
 */
export function pictureUrl(publicUrl: string, key: Buffer, id: string, now: number): string {
  const expires = (Math.floor(now / 86_400_000) * 86_400_000 + 86_400_000 + validMs) / 1000;
  const query = new URLSearchParams({ expires: String(expires), signature: sign(key, id, expires) });
  return `${publicUrl.replace(/\/+$/, '')}/api/v1/pictures/${encodeURIComponent(id)}?${query}`;
}

/** Whether an address is one of ours, and still good. `expires` is in Unix seconds; compared in constant time. */
export function checkPictureUrl(
  key: Buffer,
  asked: { id: string; expires: number; signature: string },
  now: number,
): 'good' | 'expired' | 'forged' {
  const right = Buffer.from(sign(key, asked.id, asked.expires));
  const given = Buffer.from(asked.signature);
  if (given.length !== right.length || !timingSafeEqual(given, right)) return 'forged';
  return asked.expires * 1000 > now ? 'good' : 'expired';
}
