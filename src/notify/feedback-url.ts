import { createHmac, timingSafeEqual } from 'node:crypto';

/** A digest is read within days, or never. */
const validMs = 7 * 86_400_000;

const sign = (key: Buffer, id: string, to: string, expires: number): string =>
  createHmac('sha256', key).update(`should-have-paged\n${expires}\n${id}\n${to}`).digest('base64url');

/**
 * An address under which the reader of one mail may say of one incident that it should have paged, for a week. `key` signs
 * picture addresses too; what is signed tells them apart. `at` is when the digest was made, epoch ms, so that a repeat of the mail is the same.
 */
export function shouldHavePagedUrl(publicUrl: string, key: Buffer, id: string, to: string, at: number): string {
  const expires = Math.ceil((at + validMs) / 1_000);
  const query = new URLSearchParams({ to, expires: String(expires), signature: sign(key, id, to, expires) });
  return `${publicUrl.replace(/\/+$/, '')}/api/v1/should-have-paged/${encodeURIComponent(id)}?${query}`;
}

/** Whether an address is one of ours, and still good. `expires` is in Unix seconds; compared in constant time. */
export function checkShouldHavePagedUrl(
  key: Buffer,
  asked: { id: string; to: string; expires: number; signature: string },
  now: number,
): 'good' | 'expired' | 'forged' {
  const right = Buffer.from(sign(key, asked.id, asked.to, asked.expires));
  const given = Buffer.from(asked.signature);
  if (given.length !== right.length || !timingSafeEqual(given, right)) return 'forged';
  return asked.expires * 1_000 > now ? 'good' : 'expired';
}
