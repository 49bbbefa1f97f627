import type { IncomingMessage } from 'node:http';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';

export type BodyRead =
  | { ok: true; body: Buffer }
  /** `kept`: what arrived, where it is worth keeping aside. `gone`: nobody is left to answer. */
  | { ok: false; why: 'too-large' | 'busy' | 'encoding' | 'corrupt' | 'gone'; detail: string; kept: Buffer | null };

/** How many body bytes all requests together may hold; each reads through `hold` and gives back when it is done. */
export type Budget = { limit: number; held: number };

/** A sender that was refused may go on sending for a while before it reads the answer; then its connection is cut. */
const DISCARD_LIMIT = 64 * 1024 * 1024;

const decoders: Readonly<Record<string, () => ReturnType<typeof createGunzip>>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/**
 * Reads a request's body whole, decompressed, as bytes. `limit` (bytes) holds for what is sent and for what it unpacks to, so
 * that a small bomb stays small. Whatever the content type says: Alertmanager's is right, curl's rarely is.
 * The bytes count against `budget` until `release` is called, once.
 */
export function readBody(req: IncomingMessage, limit: number, budget: Budget): Promise<BodyRead & { release(): void }> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let sent = 0;
    let done = false;

    const release = (): void => {
      budget.held -= size;
      size = 0;
    };
    const finish = (result: BodyRead): void => {
      if (done) return;
      done = true;
      if (!result.ok) {
        if (decoder) req.unpipe(decoder);
        decoder?.destroy();
        discard(req);
      }
      resolve({ ...result, release });
    };
    const tooLarge = (): void =>
      finish({
        ok: false,
        why: 'too-large',
        detail: `The body is larger than ${limit} bytes; raise server.max_body in tocsin.yaml, or set max_alerts on the sender.`,
        kept: null,
      });

    const encoding = (req.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
    const make = Object.hasOwn(decoders, encoding) ? decoders[encoding] : undefined;
    const decoder = make?.();
    if (!decoder && encoding !== 'identity' && encoding !== '') {
      finish({
        ok: false,
        why: 'encoding',
        detail: 'The content-encoding is not known here; send the body plain, or as gzip, deflate or br.',
        kept: null,
      });
      return;
    }
    if (Number(req.headers['content-length']) > limit) {
      tooLarge();
      return;
    }

    const take = (chunk: Buffer): void => {
      if (done) return;
      chunks.push(chunk);
      size += chunk.length;
      budget.held += chunk.length;
      if (size > limit) tooLarge();
      else if (budget.held > budget.limit)
        finish({
          ok: false,
          why: 'busy',
          detail: 'Too many large bodies are being read at once; try again.',
          kept: null,
        });
    };
    const whole = (): Buffer => (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    const gone = (): void => finish({ ok: false, why: 'gone', detail: 'the sender hung up', kept: null });

    req.once('error', gone);
    req.once('close', () => {
      if (!req.complete) gone();
    });
    if (!decoder) {
      req.on('data', take);
      req.once('end', () => finish({ ok: true, body: whole() }));
      return;
    }
    req.on('data', (chunk: Buffer) => {
      sent += chunk.length;
      if (sent > limit) tooLarge();
    });
    req.pipe(decoder);
    decoder.on('data', take);
    decoder.once('end', () => finish({ ok: true, body: whole() }));
    decoder.once('error', () =>
      finish({ ok: false, why: 'corrupt', detail: `The body is not valid ${encoding}.`, kept: whole() }),
    );
  });
}

/** Reads on without keeping anything: a connection closed with unread data is reset, and the sender would never see the answer. */
export function discard(req: IncomingMessage): void {
  let discarded = 0;
  req.removeAllListeners('data');
  req.on('data', (chunk: Buffer) => {
    discarded += chunk.length;
    if (discarded > DISCARD_LIMIT) req.destroy();
  });
  req.on('error', () => undefined);
  req.resume();
}
