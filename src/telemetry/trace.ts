import { randomBytes } from 'node:crypto';

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-|$)/;

/**
 * The correlation id of one delivery, from webhook to notification: the trace id of an incoming `traceparent`
 * (W3C Trace Context; 32 hex digits), else 16 random hex digits.
 */
export function traceOf(traceparent: string | string[] | undefined): string {
  const sent = typeof traceparent === 'string' ? TRACEPARENT.exec(traceparent) : null;
  // All zeros is the specification's "invalid"; version ff is forbidden.
  if (sent && !/^0+$/.test(sent[1]!) && !(traceparent as string).startsWith('ff')) return sent[1]!;
  return randomBytes(8).toString('hex');
}
