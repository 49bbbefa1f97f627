import { describe, expect, test } from 'vitest';
import { loadModels } from '../../src/config/models.ts';
import { type Random, randomOf } from '../../src/correlate/train/random.ts';
import type { Alert } from '../../src/domain/alert.ts';
import type { Effects, IncidentState } from '../../src/domain/effects.ts';
import { noFacts } from '../../src/domain/facts.ts';
import { emptyLedger, type Ledger } from '../../src/domain/ledger.ts';
import type { NotificationJob } from '../../src/domain/notification.ts';
import { createEngine } from '../../src/pipeline.ts';
import { fingerprint } from '../../src/receive/fingerprint.ts';
import { parseWebhook } from '../../src/receive/parse.ts';
import { compileRules } from '../../src/rules.ts';
import { configOf } from './policy-fixture.ts';

/** Random streams of a small shop: they flap, storm, repeat, overlap and end late. What must hold of all of them, holds. */
const models = loadModels();
const START = Date.parse('2026-11-20T03:00:00Z');
const MINUTE = 60_000;
const services = ['web', 'api', 'db', 'mail', 'batch'];
const alertnames = ['Slow', 'Down', 'DiskFull', 'Flaky', 'QueueGrows', 'Probe'];
const mapping = { severityMap: {}, labelNames: configOf({}).tocsin.labels };

const rulesWith = (mode: string, suppression: object = {}) =>
  compileRules(
    configOf({
      tocsin: { suppress: { mode }, channels: { slack: { token: { env: 'SLACK' } } } },
      business: {
        services: {
          web: { owner: 'shop', tier: 2, depends_on: ['api'] },
          api: { owner: 'shop', tier: 3, depends_on: ['db'] },
          db: { owner: 'shop', tier: 3 },
          mail: { owner: 'office', tier: 4 },
          // nobody owns batch
        },
      },
      routing: {
        teams: { shop: { slack: '#shop' }, office: { slack: '#office' }, sre: { slack: '#sre' } },
        routes: { default_team: 'sre', channels: ['slack'], escalation: 'default', routes: [] },
        escalation_policies: {
          default: {
            steps: [
              { after: '0s', notify: ['team'] },
              { after: '15m', notify: ['team:sre'] },
            ],
          },
        },
      },
      suppression: {
        noise: [{ name: 'dev', match: ['env="dev"'], reason: 'nobody is on call for dev', for: '40m' }],
        maintenance_windows: [{ name: 'patching', match: ['service="db"'], every: '03:30', for: '30m' }],
        floors: [{ match: ['security="yes"'] }],
        budget: { per_hour: 3 },
        actionability: { firings: 1 },
        transient: { firings: 2, share: 0.6 },
        flapping: { enter: 4, leave: 1 },
        ...suppression,
      },
      set: ['SLACK'],
    }),
    models,
    { assumeSecrets: true },
  );

type Step = {
  at: number;
  alerts: { status: 'firing' | 'resolved'; labels: Record<string, string>; startsAt: number }[];
};

const labelsOf = (random: Random): Record<string, string> => ({
  alertname: random.pick(alertnames),
  service: random.pick(services),
  severity: random.pick(['critical', 'warning', 'warning', 'warning', 'info']),
  ...(random.next() < 0.2 ? { env: 'dev' } : {}),
  ...(random.next() < 0.1 ? { security: 'yes' } : {}),
});

/** Some hours of one seed: the same seed, the same bytes. */
function streamOf(seed: number): Step[] {
  const random = randomOf(seed);
  const steps: Step[] = [];
  const firing = new Map<string, Step['alerts'][number]>();
  /** Some alerts come again and again, as they do. */
  const usual = Array.from({ length: 6 }, () => labelsOf(random));
  let at = START;
  const length = 60 + random.int(80);
  for (let i = 0; i < length; i += 1) {
    at += Math.round(random.pick([5_000, 20_000, 2 * MINUTE, 7 * MINUTE, 20 * MINUTE]) * random.between(0.2, 1.5));
    const alerts: Step['alerts'] = [];
    const many = random.next() < 0.1 ? 8 : 1 + random.int(2);
    for (let k = 0; k < many; k += 1) {
      const running = [...firing.keys()];
      if (running.length > 0 && random.next() < 0.45) {
        const key = random.pick(running);
        alerts.push({ ...firing.get(key)!, status: 'resolved' });
        firing.delete(key);
        continue;
      }
      const labels = random.next() < 0.6 ? random.pick(usual) : labelsOf(random);
      const key = fingerprint(labels);
      const before = firing.get(key);
      const alert = before ?? { status: 'firing' as const, labels, startsAt: at - random.int(30) * 1000 };
      firing.set(key, alert);
      alerts.push(alert);
    }
    steps.push({ at, alerts });
  }
  return steps;
}

type Watch = (seen: { effects: Effects; ledger: Ledger; now: number; engine: ReturnType<typeof createEngine> }) => void;

/** Runs a stream to its end and two days beyond, every timer at its own time; `before` may meddle before each step. */
function run(
  rules: ReturnType<typeof rulesWith>,
  steps: readonly Step[],
  {
    watch = () => undefined,
    before = () => undefined,
  }: { watch?: Watch; before?: (engine: ReturnType<typeof createEngine>, i: number, now: number) => void } = {},
) {
  const engine = createEngine(rules);
  const ledger = emptyLedger();
  const told: NotificationJob[] = [];
  const alerts = new Map<string, Alert>();
  const incidents = new Map<string, IncidentState>();
  const suppressed: Effects['suppressed'] = [];
  let bytes = '';
  let clock = START;
  function settle(): void {
    engine.advance(clock);
    for (let asked = engine.requests(clock); asked.length > 0; asked = engine.requests(clock))
      for (const { incidentId } of asked) engine.assess(incidentId, noFacts(), clock);
    const effects = engine.takeEffects(clock);
    for (const name of Object.keys(ledger) as (keyof Ledger)[]) ledger[name] += effects.ledger[name];
    told.push(...effects.notifications);
    suppressed.push(...effects.suppressed);
    for (const { alert } of effects.alerts)
      alerts.set(`${alert.fingerprint}@${alert.startsAt}`, structuredClone(alert));
    for (const { state } of effects.incidents) incidents.set(state.id, structuredClone(state));
    bytes += JSON.stringify(effects);
    watch({ effects, ledger, now: clock, engine });
  }
  function pass(until: number): void {
    for (let due = engine.nextDue(); due !== null && due <= until; due = engine.nextDue()) {
      clock = Math.max(clock, due);
      settle();
    }
    clock = until;
    settle();
  }
  for (const [i, { at, alerts: sent }] of steps.entries()) {
    pass(at);
    before(engine, i, clock);
    const body = {
      version: '4',
      groupKey: 'g',
      alerts: sent.map((alert) => ({
        ...alert,
        annotations: {},
        fingerprint: fingerprint(alert.labels),
        startsAt: new Date(alert.startsAt).toISOString(),
        endsAt: alert.status === 'resolved' ? new Date(at).toISOString() : '0001-01-01T00:00:00Z',
      })),
    };
    const parsed = parseWebhook(body, { receivedAt: clock, source: 'default', ...mapping });
    if (!parsed.ok) throw new Error(parsed.reason);
    const sighting = { source: 'default', deliveryId: String(i), trace: 't', seen: parsed.alerts };
    engine.apply({ kind: 'alerts', sighting, quarantined: parsed.quarantined }, clock);
    settle();
  }
  pass(clock + 2 * 24 * 60 * MINUTE);
  const living = (id: string | null): IncidentState | null => {
    let state = id === null ? null : (incidents.get(id) ?? null);
    while (state?.mergedInto) state = incidents.get(state.mergedInto) ?? null;
    return state;
  };
  return { told, alerts: [...alerts.values()], suppressed, ledger, bytes, living };
}

const seeds = Array.from({ length: 14 }, (_, i) => i + 1);
const balanced = ({ received, notified, grouped, suppressed, failed, inFlight, quarantined }: Ledger): boolean =>
  received === notified + grouped + suppressed + failed + inFlight + quarantined;
const key = ({ fingerprint: name, startsAt }: { fingerprint: string; startsAt: number }): string =>
  `${name}@${startsAt}`;

describe.each(['active', 'assist', 'shadow', 'passthrough'])('in mode %s, whatever comes', (mode) => {
  test('the ledger balances after every step, nothing is negative, and nothing stays in flight', () => {
    for (const seed of seeds.slice(0, 6)) {
      const { ledger } = run(rulesWith(mode), streamOf(seed), {
        watch: (seen) => {
          if (!balanced(seen.ledger) || Object.values(seen.ledger).some((n) => n < 0))
            throw new Error(`seed ${seed}: ${JSON.stringify(seen.ledger)}`);
        },
      });
      expect(ledger.inFlight).toBe(0);
      expect(ledger.received).toBeGreaterThan(50);
    }
  });

  test('the same stream gives the same bytes', () => {
    for (const seed of seeds.slice(0, 2)) {
      const [first, second] = [1, 2].map(() => run(rulesWith(mode), streamOf(seed)).bytes);
      if (first !== second) throw new Error(`seed ${seed} gives other bytes the second time`);
    }
  });
});

test('an alert that a floor speaks for is always told, or its incident was', () => {
  let floors = 0;
  for (const seed of seeds) {
    const { alerts, living } = run(rulesWith('active'), streamOf(seed));
    const first = new Map<string, Alert>();
    for (const alert of alerts) {
      const known = first.get(alert.alertname);
      if (!known || alert.receivedAt < known.receivedAt) first.set(alert.alertname, alert);
    }
    for (const alert of alerts) {
      const floor =
        alert.labels.security === 'yes' || alert.severity === 'critical' || first.get(alert.alertname) === alert;
      // Resolved before it was ever seen firing: there is nothing to tell.
      if (!floor || alert.incidentId === null) continue;
      floors += 1;
      const state = living(alert.incidentId);
      if (alert.fireVerdict === 'suppress' || state?.firstNotifiedAt == null)
        throw new Error(`seed ${seed}: ${JSON.stringify([alert, state])}`);
    }
  }
  expect(floors).toBeGreaterThan(200);
});

test('every suppression has its reasons, its policy, an end and a record, and what still fires at that end is looked at', () => {
  let held = 0;
  const policies = new Set<string>();
  for (const seed of seeds) {
    const ends = new Map<string, number>();
    const { alerts, suppressed } = run(rulesWith('active'), streamOf(seed), {
      watch: ({ effects, now, engine }) => {
        for (const { state } of effects.incidents) {
          if (state.status === 'resolved' || state.heldAt === null) ends.delete(state.id);
          else {
            if (state.suppressedUntil === null || state.suppressedUntil <= now) {
              const dirty = engine.world.dirty.has(state.id);
              if (!dirty) throw new Error(`seed ${seed}: incident ${state.number} is held without an end`);
            } else ends.set(state.id, state.suppressedUntil);
          }
        }
        for (const [id, end] of ends)
          if (end < now - 1_000) throw new Error(`seed ${seed}: ${id} is held beyond its end`);
      },
    });
    const records = new Map(suppressed.map((record) => [key(record), record]));
    for (const { reasons, policy, at, expiresAt } of suppressed) {
      policies.add(policy);
      expect(reasons.length).toBeGreaterThan(0);
      expect(reasons.every(({ code, text }) => code !== '' && text !== '')).toBe(true);
      expect(policy).not.toBe('');
      expect(expiresAt).toBeGreaterThanOrEqual(at);
    }
    for (const alert of alerts) {
      if (alert.fireVerdict !== 'suppress') continue;
      held += 1;
      if (!records.has(key(alert))) throw new Error(`seed ${seed}: no record of ${JSON.stringify(alert.labels)}`);
      expect(alert.reasons.length).toBeGreaterThan(0);
    }
  }
  expect(held).toBeGreaterThan(120);
  // The streams do reach every way of holding back.
  expect([...policies].sort()).toEqual(
    expect.arrayContaining(['actionability', 'budget', 'dev', 'flapping', 'patching', 'transient']),
  );
});

test('shadow sends what passthrough sends, byte for byte', () => {
  for (const seed of seeds) {
    const [shadow, passthrough] = ['shadow', 'passthrough'].map((mode) => run(rulesWith(mode), streamOf(seed)).told);
    const differs = shadow!.findIndex((job, i) => JSON.stringify(job) !== JSON.stringify(passthrough![i]));
    if (differs >= 0) expect([seed, differs, shadow![differs]]).toEqual([seed, differs, passthrough![differs]]);
    expect(shadow!.length).toBe(passthrough!.length);
  }
});

test('a config that changes in the middle of a storm, again and again, loses nothing', () => {
  const configs = [
    rulesWith('active'),
    rulesWith('shadow'),
    rulesWith('active', { noise: [], budget: { enabled: false } }),
    rulesWith('passthrough'),
    rulesWith('active', { noise: [{ name: 'all', match: ['alertname=~".+"'], reason: 'everything' }] }),
  ];
  for (const seed of seeds.slice(0, 6)) {
    const { ledger, alerts, living } = run(configs[0]!, streamOf(seed), {
      before: (engine, i, now) => engine.reconfigure(configs[(i * 7) % configs.length]!, now),
      watch: (seen) => {
        if (!balanced(seen.ledger)) throw new Error(`seed ${seed}: ${JSON.stringify(seen.ledger)}`);
      },
    });
    expect(ledger.inFlight).toBe(0);
    for (const alert of alerts)
      if (alert.labels.security === 'yes') expect(living(alert.incidentId)?.firstNotifiedAt).not.toBeNull();
  }
});

test('the kill switch lets everything out at once, and what comes while it is on is never held', () => {
  for (const seed of seeds.slice(0, 6)) {
    let on = false;
    const { ledger } = run(rulesWith('active'), streamOf(seed), {
      before: (engine, i, now) => {
        if (i % 10 !== 5 && i % 10 !== 9) return;
        on = i % 10 === 5;
        const action = {
          id: `k${i}`,
          do: 'kill-switch' as const,
          incident: null,
          by: 'ana',
          origin: 'api' as const,
          body: { on },
        };
        engine.apply({ kind: 'action', action }, now);
      },
      watch: (seen) => {
        if (!balanced(seen.ledger)) throw new Error(`seed ${seed}: ${JSON.stringify(seen.ledger)}`);
        if (!on) return;
        expect(seen.effects.suppressed.filter(({ at }) => at === seen.now)).toEqual([]);
        for (const { state } of seen.engine.world.incidents.values())
          if (state.status !== 'resolved' && state.heldAt !== null)
            throw new Error(`seed ${seed}: incident ${state.number} is held while the switch is on`);
      },
    });
    expect(ledger.inFlight).toBe(0);
  }
});
