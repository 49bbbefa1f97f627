/** Lets at most `max` run at once. Those that wait go in by weight, `core` before `extra`, else in order of coming. */
export type Gate = {
  /** Null at once when too many wait already. */
  run<T>(weight: 'core' | 'extra', work: () => Promise<T>): Promise<T> | null;
};

export function createGate(max: number, waitingMost: Record<'core' | 'extra', number>): Gate {
  const waiting: Record<'core' | 'extra', (() => void)[]> = { core: [], extra: [] };
  let running = 0;

  function leave(): void {
    const next = waiting.core.shift() ?? waiting.extra.shift();
    if (next) next();
    else running -= 1;
  }

  return {
    run(weight, work) {
      if (running >= max && waiting[weight].length >= waitingMost[weight]) return null;
      return (async () => {
        if (running >= max) await new Promise<void>((go) => waiting[weight].push(go));
        else running += 1;
        try {
          return await work();
        } finally {
          leave();
        }
      })();
    },
  };
}
