/** Something that is looked at again and again in the background. */
export type Looking = {
  /** How often, ms; 0 switches it off. Asked anew each time, so that a reload counts at once. */
  every: () => number;
  /** Whether this process should look at all, now. */
  wanted: () => boolean;
  look: () => Promise<unknown>;
  /** A look that failed; the next one comes at its usual time. */
  onError: (error: unknown) => void;
  /** Epoch ms. */
  now: () => number;
};

const TICK_MS = 1_000;

/** Looks at once and then at the pace asked for, one look at a time; `stop` waits for the one under way. */
export function lookEvery(looking: Looking): { start(): void; stop(): Promise<void> } {
  let dueAt = 0;
  let running: Promise<unknown> | null = null;
  let timer: NodeJS.Timeout | null = null;

  const tick = (): void => {
    const every = looking.every();
    if (running || every === 0 || looking.now() < dueAt || !looking.wanted()) return;
    dueAt = looking.now() + every;
    running = looking
      .look()
      .catch(looking.onError)
      .finally(() => {
        running = null;
      });
  };

  return {
    start() {
      timer ??= setInterval(tick, TICK_MS);
      tick();
    },
    async stop() {
      if (timer) clearInterval(timer);
      timer = null;
      await running;
    },
  };
}
