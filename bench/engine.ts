import { loadConfig } from '../src/config/load.ts';
import { loadModels } from '../src/config/models.ts';
import { noFacts } from '../src/domain/facts.ts';
import { createEngine } from '../src/pipeline.ts';
import { fingerprint } from '../src/receive/fingerprint.ts';
import { parseWebhook } from '../src/receive/parse.ts';
import { compileRules } from '../src/rules.ts';

/**
 * What one alert change costs in the engine alone (parse, correlate, assess, announce; no store, no network), and whether
 * that stays flat: alerts arrive in deliveries of 20, a delivery each 4 ms of simulated time, over a number of services and
 * rules. `node bench/engine.ts` runs the table; `node bench/engine.ts 10000 200 50` one case (alerts, services, rules).
 */
const loaded = loadConfig('config', {}, { assumeSecrets: true });
if (!loaded.ok) throw new Error('the sample config has faults; run tocsin check');
const rules = compileRules(loaded.config, loadModels(), { assumeSecrets: true });
const { severity_map: severityMap, labels: labelNames } = loaded.config.tocsin;

function delivery(first: number, services: number, ruleCount: number, now: number): Buffer {
  const alerts = Array.from({ length: 20 }, (_, j) => {
    const k = first + j;
    const labels = {
      alertname: `Rule${k % ruleCount}`,
      severity: 'warning',
      service: `svc-${k % services}`,
      namespace: 'shop',
      cluster: 'c1',
      pod: `pod-${k}`,
      instance: `10.0.${(k >> 8) & 255}.${k & 255}:9100`,
    };
    return {
      status: 'firing',
      labels,
      annotations: { summary: `something is outside its threshold on pod-${k}` },
      startsAt: new Date(now - 5_000).toISOString(),
      endsAt: '0001-01-01T00:00:00Z',
      generatorURL: 'http://prometheus.example:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1',
      fingerprint: fingerprint(labels),
    };
  });
  return Buffer.from(JSON.stringify({ version: '4', groupKey: `{}:{g="${first}"}`, alerts }));
}

function run(alerts: number, services: number, ruleCount: number) {
  const engine = createEngine(rules);
  let now = Date.parse('2026-11-20T03:00:00Z');
  const bodies = Array.from({ length: Math.ceil(alerts / 20) }, (_, i) =>
    delivery(i * 20, services, ruleCount, now + i * 4),
  );
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const cpu = process.cpuUsage();
  let stall = 0;
  for (const [i, body] of bodies.entries()) {
    const start = performance.now();
    const parsed = parseWebhook(body, { receivedAt: now, source: 'bench', severityMap, labelNames });
    if (!parsed.ok) throw new Error(parsed.reason);
    engine.apply(
      {
        kind: 'alerts',
        sighting: { source: 'bench', deliveryId: String(i), trace: 't', seen: parsed.alerts },
        quarantined: [],
      },
      now,
    );
    engine.advance(now);
    for (const subject of engine.requests(now)) engine.assess(subject.incidentId, noFacts(), now);
    engine.takeEffects(now);
    stall = Math.max(stall, performance.now() - start);
    now += 4;
  }
  const { user, system } = process.cpuUsage(cpu);
  const cpuMs = (user + system) / 1000;
  globalThis.gc?.();
  const heap = process.memoryUsage().heapUsed - before;
  return {
    alerts,
    services,
    rules: ruleCount,
    incidents: engine.world.incidents.size,
    cpuMs,
    perAlertUs: (cpuMs * 1000) / alerts,
    stall,
    bytes: heap / alerts,
  };
}

const [alerts, services, ruleCount] = process.argv.slice(2).map(Number);
const cases = alerts
  ? [[alerts, services ?? 10, ruleCount ?? 20]]
  : [
      [20, 1, 1],
      [100, 1, 5],
      [1_000, 1, 20],
      [10_000, 1, 20],
      [10_000, 1, 200],
      [10_000, 10, 20],
      [10_000, 50, 50],
      [10_000, 200, 200],
    ];
run(2_000, 20, 20); // warm up
console.log(
  '| alerts | services | rules | incidents | CPU ms | µs per alert | longest delivery ms | heap bytes per alert |',
);
console.log('|---|---|---|---|---|---|---|---|');
for (const [a, s, r] of cases) {
  const m = run(a!, s!, r!);
  console.log(
    `| ${m.alerts} | ${m.services} | ${m.rules} | ${m.incidents} | ${m.cpuMs.toFixed(0)} | ${m.perAlertUs.toFixed(0)} | ${m.stall.toFixed(1)} | ${m.bytes.toFixed(0)} |`,
  );
}
