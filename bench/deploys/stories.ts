import { buildGraph } from '../../src/correlate/graph.ts';
import type { Deploy } from '../../src/domain/deploy.ts';
import { seeded } from '../../src/enrich/anomaly/random.ts';
import { dedupe } from '../../src/receive/deploys/dedupe.ts';
import type { DeploySuspects } from '../../src/score/deploys.ts';

/** One incident with the deploys around it; `causes` are the ids of those that caused it (none: something else did). */
export type Story = { name: string; input: DeploySuspects; causes: string[] };

/** Deploys of each service a day, on average, and the share of incidents that a deploy caused. */
export type World = { deploysPerDay: number; causedShare: number };

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NOON = Date.parse('2026-11-20T12:00:00Z');

type Alert = DeploySuspects['alerts'][number];

/** A deploy as a sender tells it, with nothing that a story does not need. */
export const deployOf = (id: string, service: string, startedAt: number, more: Partial<Deploy> = {}): Deploy => ({
  id,
  service,
  version: id,
  previousVersion: null,
  environment: null,
  cluster: null,
  startedAt,
  finishedAt: null,
  status: null,
  author: null,
  commit: null,
  url: null,
  sources: ['api'],
  summary: null,
  rollback: false,
  ...more,
});

export const alertOf = (service: string, startsAt: number, labels: Record<string, string> = {}): Alert => ({
  service,
  namespace: 'shop',
  cluster: labels.cluster ?? null,
  labels: { service, namespace: 'shop', ...labels },
  startsAt,
});

/**
 * A made-up incident from `seed` alone. A platform of 12 to 40 services in four layers (edge, middle, leaf, store) that call
 * downwards. A fault at one service spreads to its callers (7 in 10 a call, half a minute to three minutes later); every
 * alert waits for its rule (1 to 5 min), 3 in 20 roots stay silent, 1 in 10 callees alerts with it, 1 in 20 incidents has an
 * alert of a stranger. Where a deploy is the cause it comes before: 14 in 20 within minutes (exponential, mean 3), 5 in 20
 * five to 25 minutes, 1 in 20 up to 50; 3 in 10 are rolled back after the onset. Around it the platform goes on: deploys of
 * every service at `deploysPerDay`, a release train of 3 to 6 services in 1 of 10 incidents, a staging deploy some minutes
 * before 4 in 10 of those to production, 1 in 4 deploys told by up to three sources.
 */
export function makeStory(seed: number, { deploysPerDay, causedShare }: World): Story {
  const random = seeded(seed * 2_654_435_761);
  const chance = (share: number): boolean => random() < share;
  const between = (low: number, high: number): number => low + random() * (high - low);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const exponential = (mean: number): number => -mean * Math.log(1 - random());

  const layers = layersOf(Math.round(between(12, 40)));
  const services = layers.flat();
  const edges = layers.slice(0, -1).flatMap((layer, depth) => {
    const below = layers.slice(depth + 1).flat();
    return layer.flatMap((caller) => {
      const wanted = Math.round(between(1, 4));
      const callees = new Set(Array.from({ length: wanted }, () => pick(chance(0.8) ? layers[depth + 1]! : below)));
      return [...callees].map((callee) => ({ caller, callee, namespace: 'shop' }));
    });
  });
  const graph = buildGraph({ nodes: services.map((service) => ({ service, namespace: 'shop' })), edges });

  const begins = NOON + Math.round(between(0, HOUR));
  const caused = chance(causedShare);
  const root = pick(caused ? layers.slice(0, 3).flat() : services);
  const alerts = alertsOf(root, begins, graph, { chance, between });
  if (chance(0.05)) alerts.push(alertOf(pick(services), begins + between(-5, 10) * MINUTE));
  const startedAt = Math.min(...alerts.map(({ startsAt }) => startsAt));

  let count = 0;
  const deploys: Deploy[] = [];
  const tell = (service: string, at: number, more: Partial<Deploy> = {}): string => {
    count += 1;
    const id = `d${count}`;
    const one = deployOf(id, service, Math.round(at), { environment: 'production', ...more });
    deploys.push(one);
    if (chance(0.4)) {
      const earlier = one.startedAt - between(10, 60) * MINUTE;
      deploys.push({ ...one, id: `${id}-staging`, environment: chance(0.5) ? 'stg' : 'staging', startedAt: earlier });
    }
    const sources = chance(0.25) ? ['github', 'prometheus:main'].slice(0, chance(0.5) ? 1 : 2) : [];
    for (const source of sources)
      deploys.push({
        ...one,
        id: `${id}-${source}`,
        environment: null,
        sources: [source],
        startedAt: one.startedAt + Math.round(between(0, 90_000)),
      });
    return id;
  };

  const causes: string[] = [];
  if (caused) {
    const kind = random();
    const lag = kind < 0.7 ? exponential(3) : kind < 0.95 ? between(5, 25) : between(25, 50);
    const at = begins - Math.min(lag, 55) * MINUTE;
    causes.push(tell(root, at, chance(0.5) ? { finishedAt: Math.round(at + between(1, 12) * MINUTE) } : {}));
    if (chance(0.3)) tell(root, startedAt + between(5, 25) * MINUTE, { version: 'd0', rollback: true });
  }
  // A train of the root's own would be the cause told twice.
  const others = services.filter((service) => !caused || service !== root);
  for (const service of others)
    for (
      let at = startedAt - 2 * HOUR + exponential(24 / deploysPerDay) * HOUR;
      at < startedAt + HOUR / 2;
      at += exponential(24 / deploysPerDay) * HOUR
    )
      tell(service, at);
  if (chance(0.1)) {
    const at = startedAt + between(-90, 30) * MINUTE;
    for (let i = 0; i < Math.round(between(3, 6)); i += 1) tell(pick(others), at + between(0, 5) * MINUTE);
  }

  const known: Deploy[] = [];
  for (const deploy of deploys.sort((a, b) => a.startedAt - b.startedAt)) {
    const kept = dedupe(known, deploy);
    const place = known.findIndex(({ id }) => id === kept.id);
    if (place < 0) known.push(kept);
    else known[place] = kept;
  }
  return { name: `seed ${seed}`, input: { deploys: known, alerts, declared: [], graph, startedAt }, causes };
}

function layersOf(size: number): string[][] {
  const shares = [0.1, 0.35, 0.35, 0.2];
  return shares.map((share, depth) =>
    Array.from({ length: Math.max(1, Math.round(size * share)) }, (_, i) => `${'abcd'[depth]}${i}`),
  );
}

/** Who alerts and when, for a fault that begins at `begins` at `root`. */
function alertsOf(
  root: string,
  begins: number,
  graph: DeploySuspects['graph'],
  { chance, between }: { chance: (share: number) => boolean; between: (low: number, high: number) => number },
): Alert[] {
  const reached = new Map([[root, begins]]);
  let frontier = [root];
  while (frontier.length > 0) {
    const next: string[] = [];
    for (const service of frontier) {
      for (const caller of graph.callers(service, 'shop')) {
        if (reached.has(caller) || !chance(0.7)) continue;
        reached.set(caller, reached.get(service)! + between(0.5, 3) * MINUTE);
        next.push(caller);
      }
    }
    frontier = next;
  }
  for (const callee of graph.callees(root, 'shop'))
    if (!reached.has(callee) && chance(0.1)) reached.set(callee, begins + between(0.5, 3) * MINUTE);
  if (reached.size > 1 && chance(0.15)) reached.delete(root);
  return [...reached].map(([service, at]) =>
    alertOf(service, Math.round(at + between(1, 5) * MINUTE), { env: 'prod' }),
  );
}
