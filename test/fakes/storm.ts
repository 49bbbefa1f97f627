import { randomOf } from '../../src/correlate/train/random.ts';
import type { Topology } from '../../src/domain/topology.ts';

/** An alert of an invented storm and when, in ms from its begin, it is heard of. */
export type StormAlert = { after: number; startsAfter: number; labels: Record<string, string> };

/**
 * Six regions of ten services in a chain of calls each; in every region a fault deep down spreads up to its callers within
 * minutes, several rules and pods a service, while platform alerts come anywhere. Seeded: the same seed, the same storm.
 */
export function inventedStorm(seed: number, alerts: number): { topology: Topology; alerts: StormAlert[] } {
  const random = randomOf(seed);
  const regions = ['north', 'south', 'east', 'west', 'centre', 'coast'];
  const depth = 10;
  const service = (region: string, level: number) => `${region}-${level}`;
  const edges = regions.flatMap((region) =>
    Array.from({ length: depth - 1 }, (_, level) => ({
      namespace: null,
      caller: service(region, level),
      callee: service(region, level + 1),
    })),
  );
  const rules = ['HighErrorRate', 'HighLatency', 'QueueFull', 'SaturationHigh', 'PodRestarting'];
  const platform = ['TargetDown', 'CPUThrottlingHigh', 'KubeJobFailed', 'CertExpirySoon'];
  const list: StormAlert[] = [];
  const heard = (startsAfter: number, labels: Record<string, string>): void => {
    list.push({ startsAfter, after: startsAfter + Math.round(random.between(2_000, 20_000)), labels });
  };
  for (let n = 0; n < alerts; n += 1) {
    const region = random.pick(regions);
    const begins = regions.indexOf(region) * 25_000;
    if (random.next() < 0.15) {
      const namespace = `${region}-platform-${random.int(4)}`;
      const labels = { alertname: random.pick(platform), severity: 'warning', service: `node-${random.int(40)}` };
      heard(Math.round(random.between(0, 300_000)), { ...labels, namespace, cluster: region, pod: `p-${n}` });
      continue;
    }
    const level = random.int(depth);
    const startsAfter = begins + (depth - level) * 6_000 + Math.round(random.between(0, 40_000));
    heard(startsAfter, {
      alertname: random.pick(rules),
      severity: random.next() < 0.3 ? 'critical' : 'warning',
      service: service(region, level),
      namespace: region,
      cluster: region,
      pod: `${service(region, level)}-${n}`,
    });
  }
  list.sort((a, b) => a.after - b.after);
  const nodes = regions.flatMap((region) =>
    Array.from({ length: depth }, (_, level) => ({ namespace: null, service: service(region, level) })),
  );
  return { topology: { nodes, edges }, alerts: list };
}

/** The storm's call graph as a business context. */
export const stormServices = ({ nodes, edges }: Topology): Record<string, { depends_on: string[] }> =>
  Object.fromEntries(
    nodes.map(({ service }) => [
      service,
      { depends_on: edges.filter(({ caller }) => caller === service).map(({ callee }) => callee) },
    ]),
  );

/** Which alerts ended up together, whatever the incidents are called: one line a group, sorted. */
export function partitionOf(alerts: Iterable<{ fingerprint: string; incidentId: string | null }>): string[] {
  const groups = Map.groupBy(alerts, ({ incidentId }) => incidentId ?? 'none');
  return [...groups.values()]
    .map((group) =>
      group
        .map(({ fingerprint }) => fingerprint)
        .sort()
        .join(' '),
    )
    .sort();
}

/** Pairs of one partition that are pairs of the other as well, as F1: 1 when they are the same. */
export function agreement(a: readonly string[], b: readonly string[]): number {
  const homes = (partition: readonly string[]) =>
    new Map(partition.flatMap((line, home) => line.split(' ').map((print) => [print, home] as const)));
  const pairs = (sizes: Iterable<number>): number => [...sizes].reduce((sum, n) => sum + (n * (n - 1)) / 2, 0);
  const [first, second] = [homes(a), homes(b)];
  const both = new Map<string, number>();
  for (const [print, home] of first) {
    const key = `${home} ${second.get(print) ?? `lost ${print}`}`;
    both.set(key, (both.get(key) ?? 0) + 1);
  }
  const size = (partition: readonly string[]) => pairs(partition.map((line) => line.split(' ').length));
  const total = size(a) + size(b);
  return total === 0 ? 1 : (2 * pairs(both.values())) / total;
}
