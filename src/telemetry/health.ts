/** One part of the service and how it is. `degraded` works with less; only `failed` makes the whole not ready. */
type PartHealth = { state: 'ok' | 'degraded' | 'failed'; detail: string };

/** A named question about one part; it may throw or hang, both count as `failed`. */
export type HealthCheck = { name: string; check: () => Promise<PartHealth> | PartHealth };

export type Health = {
  /** The worst of the parts. */
  status: 'ok' | 'degraded' | 'failed';
  parts: Record<string, PartHealth & { ms: number }>;
};

const rank = { ok: 0, degraded: 1, failed: 2 } as const;

/**
 * Asks all checks at once, each for at most `timeoutMs` (default 2,000 ms), and names the worst.
 * Never throws: a check that throws is a failed part with its message (messages here are our own, without secrets).
 */
export async function checkHealth(checks: readonly HealthCheck[], timeoutMs = 2_000): Promise<Health> {
  const answers = await Promise.all(checks.map((one) => ask(one, timeoutMs)));
  const parts: Health['parts'] = {};
  let status: Health['status'] = 'ok';
  for (const { name, health } of answers) {
    parts[name] = health;
    if (rank[health.state] > rank[status]) status = health.state;
  }
  return { status, parts };
}

async function ask(
  one: HealthCheck,
  timeoutMs: number,
): Promise<{ name: string; health: PartHealth & { ms: number } }> {
  const begun = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<PartHealth>((resolve) => {
    timer = setTimeout(() => resolve({ state: 'failed', detail: `no answer within ${timeoutMs} ms` }), timeoutMs);
  });
  try {
    const health = await Promise.race([Promise.resolve().then(one.check), late]);
    return { name: one.name, health: { ...health, ms: Math.round(performance.now() - begun) } };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { name: one.name, health: { state: 'failed', detail, ms: Math.round(performance.now() - begun) } };
  } finally {
    clearTimeout(timer);
  }
}
