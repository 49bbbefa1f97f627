import type { Request, Response } from 'express';
import type { IncidentChange, Live } from './live.ts';
import { problem, type Reply } from './problem.ts';

export type EventStreams = {
  /** Turns the answer into a stream, or says why not. */
  open(req: Request, res: Response): Reply | null;
  /** Ends every stream, for the server to close. */
  close(): void;
  readonly size: number;
};

export type EventStreamOptions = {
  live: Pick<Live, 'onIncident'>;
  /** Epoch ms; ids of events. */
  now: () => number;
  /** Streams open at once; more get 503. Default 1,000: each costs a socket and its buffer. */
  maxClients?: number;
  /** A comment is sent this often, so that proxies keep the line open and dead clients are noticed. Default 15,000 ms. */
  heartbeatMs?: number;
  /** A client that has so many bytes unread is dropped; it comes back by itself and looks anew. Default 1 MiB. */
  maxBufferedBytes?: number;
  /** Told after each change of the number of open streams. */
  onSize?: (size: number) => void;
};

/**
 * Server-sent events (WHATWG HTML, 9.2): `event: incident` with `{id, revision, status}` for every change. Missed events
 * are not kept: whoever reconnects (`Last-Event-ID`), and everybody after the store was unreachable, gets `event: resync`
 * and should read the list again.
 */
export function createEventStreams(options: EventStreamOptions): EventStreams {
  const { maxClients = 1_000, heartbeatMs = 15_000, maxBufferedBytes = 1024 * 1024 } = options;
  const clients = new Set<Response>();
  let heartbeat: NodeJS.Timeout | null = null;
  let unsubscribe: (() => void) | null = null;

  const write = (res: Response, text: string): void => {
    if (res.writableLength > maxBufferedBytes) {
      leave(res);
      res.destroy();
      return;
    }
    res.write(text);
  };

  const tell = (change: IncidentChange | null): void => {
    const text = change ? message('incident', options.now(), change) : message('resync', options.now(), {});
    for (const res of clients) write(res, text);
  };

  const leave = (res: Response): void => {
    if (!clients.delete(res)) return;
    options.onSize?.(clients.size);
    if (clients.size > 0) return;
    unsubscribe?.();
    unsubscribe = null;
    if (heartbeat) clearInterval(heartbeat);
    heartbeat = null;
  };

  const join = (res: Response): void => {
    clients.add(res);
    options.onSize?.(clients.size);
    unsubscribe ??= options.live.onIncident(tell);
    heartbeat ??= setInterval(() => {
      for (const client of clients) write(client, ': still here\n\n');
    }, heartbeatMs);
  };

  return {
    open(req, res) {
      if (clients.size >= maxClients) {
        return problem(
          503,
          `${maxClients} event streams are open already; close one, or poll the list.`,
          {},
          { 'retry-after': '30' },
        );
      }
      res.status(200);
      res.setHeader('content-type', 'text/event-stream; charset=utf-8');
      // Proxies such as nginx would hold events back in their buffers.
      res.setHeader('x-accel-buffering', 'no');
      if (req.method === 'HEAD') {
        res.end();
        return null;
      }
      res.on('close', () => leave(res));
      res.on('error', () => leave(res));
      res.flushHeaders();
      join(res);
      write(res, 'retry: 3000\n\n');
      if (req.headers['last-event-id'] !== undefined) write(res, message('resync', options.now(), {}));
      return null;
    },
    close() {
      for (const res of [...clients]) {
        leave(res);
        res.end();
      }
    },
    get size() {
      return clients.size;
    },
  };
}

/** JSON holds no raw line break, so one `data:` line is enough. */
const message = (event: string, id: number, data: object): string =>
  `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
