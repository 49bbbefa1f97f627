import type { Labels } from '../domain/alert.ts';

const OFFSET_HIGH = 0xcbf29ce4;
const OFFSET_LOW = 0x84222325;
/** The prime is 2^40 + 0x1b3: the low part is a multiplication that stays below 2^53, the high part a shift. */
const PRIME_LOW = 0x1b3;
const SEPARATOR = 0xff;

const isAscii = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
};

/** Order of the UTF-8 bytes, as Go sorts strings; UTF-16 order differs beyond the basic plane. */
export function byteOrder(a: string, b: string): number {
  if (isAscii(a) && isAscii(b)) return a < b ? -1 : a > b ? 1 : 0;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/**
 * Alertmanager's fingerprint of a label set: FNV-1a, 64 bits, over `name 0xFF value 0xFF` of each label in byte order of
 * the names; 16 lower-case hex digits (prometheus/common model.LabelsToSignature, checked on 531 captured alerts).
 * Empty values count as absent, as they do there.
 */
export function fingerprint(labels: Labels): string {
  let high = OFFSET_HIGH;
  let low = OFFSET_LOW;

  const addByte = (byte: number): void => {
    low = (low ^ byte) >>> 0;
    const product = low * PRIME_LOW;
    const carry = Math.floor(product / 0x1_0000_0000);
    high = (Math.imul(high, PRIME_LOW) + carry + (low << 8)) >>> 0;
    low = product >>> 0;
  };
  const addText = (text: string): void => {
    if (isAscii(text)) for (let i = 0; i < text.length; i++) addByte(text.charCodeAt(i));
    else for (const byte of Buffer.from(text)) addByte(byte);
    addByte(SEPARATOR);
  };

  for (const name of Object.keys(labels).sort(byteOrder)) {
    const value = labels[name]!;
    if (value === '') continue;
    addText(name);
    addText(value);
  }
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

/** What we take over from a sender: it ends up in keys, URLs and file names. */
export const isFingerprint = (value: unknown): value is string =>
  typeof value === 'string' && /^[A-Za-z0-9_.:-]{1,128}$/.test(value);
