/**
 * The longest turn of this thread's event loop in ms of its own CPU: what others do on the machine does not count, unlike with
 * perf_hooks' delay. The loop is kept turning meanwhile, so nothing that is asked here runs for free.
 */
export function watchTurns(): { stop(): number } {
  let longest = 0;
  let running = true;
  let before = process.threadCpuUsage();
  const turn = (): void => {
    const { user, system } = process.threadCpuUsage(before);
    longest = Math.max(longest, (user + system) / 1000);
    before = process.threadCpuUsage();
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  return {
    stop() {
      running = false;
      return longest;
    },
  };
}
