import { type ChildProcess, fork } from 'node:child_process';
import type { Log } from '../../store/types.ts';
import type { ChartData } from './chart-data.ts';
import type { Painted } from './process.ts';

export type Painter = {
  /** The picture as a PNG, or null when there is none: too many wait, it cannot be drawn, or it took too long. */
  paint(data: ChartData): Promise<Buffer | null>;
  /** Ends the drawing process; what waits gets null. */
  close(): void;
};

/** Loading the chart library takes 150 to 400 ms of its event loop and 60 MB: hence a process that ends when idle. */
const idleMs = 60_000;
/** 40 ms is usual, the first one takes up to a second on a busy machine. */
const giveUpMs = 10_000;
const mostWaiting = 32;

/**
 * Draws in a process of its own, started with the first picture and ended a minute after the last: neither a message nor an
 * answer ever waits for the event loop, and a panic in the native renderer, which ends the process it happens in (seen with
 * a shape far outside of the picture), takes a picture with it and not the service. It inherits no environment, so no secret. One picture at a time.
 */
export function createPainter(log: Log, options: { giveUpMs?: number } = {}): Painter {
  let artist: ChildProcess | null = null;
  let idle: NodeJS.Timeout | undefined;
  let waiting = 0;
  let closed = false;
  let last: Promise<unknown> = Promise.resolve();

  function hire(): ChildProcess {
    if (artist) return artist;
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const hired = fork(new URL(`./process.${extension}`, import.meta.url), {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      execArgv: ['--max-old-space-size=192'],
      env: {},
    });
    hired.on('error', () => {});
    hired.on('exit', () => {
      if (artist === hired) artist = null;
    });
    // A service that wants to end does not wait for a picture.
    hired.unref();
    hired.channel?.unref();
    artist = hired;
    return hired;
  }

  function dismiss(): void {
    clearTimeout(idle);
    artist?.kill('SIGKILL');
    artist = null;
  }

  async function draw(data: ChartData): Promise<Buffer | null> {
    if (closed) return null;
    clearTimeout(idle);
    const painted = await answerOf(hire(), data, options.giveUpMs ?? giveUpMs);
    if ('lost' in painted) dismiss();
    else idle = setTimeout(dismiss, idleMs).unref();
    if ('png' in painted) return Buffer.from(painted.png);
    if (!closed) log.warn({ reason: painted.reason }, 'a picture could not be drawn; the message stays without one');
    return null;
  }

  return {
    async paint(data) {
      if (waiting >= mostWaiting) return null;
      waiting += 1;
      const mine = last
        .then(() => draw(data))
        .finally(() => {
          waiting -= 1;
        });
      last = mine.catch(() => {});
      return mine;
    },
    close() {
      closed = true;
      dismiss();
    },
  };
}

/** One question to the drawing process; its death and its silence are answers too: it is lost, the next one is a new one. */
function answerOf(
  artist: ChildProcess,
  data: ChartData,
  ms: number,
): Promise<Painted | { lost: true; reason: string }> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => end({ lost: true, reason: `not drawn within ${ms / 1000} s` }), ms);
    const onMessage = (painted: unknown): void => end(painted as Painted);
    const onError = (error: Error): void => end({ lost: true, reason: error.message });
    const onExit = (): void => end({ lost: true, reason: 'the drawing process ended' });
    function end(painted: Painted | { lost: true; reason: string }): void {
      clearTimeout(timer);
      artist.off('message', onMessage).off('error', onError).off('exit', onExit);
      resolve(painted);
    }
    artist.on('message', onMessage).on('error', onError).on('exit', onExit);
    artist.send(data, (error) => {
      if (error) onError(error);
    });
  });
}
