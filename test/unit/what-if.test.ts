import { describe, expect, test } from 'vitest';
import type { Weights } from '../../src/assess/weigh.ts';
import { whatIfs } from '../../src/assess/what-if.ts';
import { loadConfig } from '../../src/config/load.ts';
import { loadModels } from '../../src/config/models.ts';
import { nothingLearned } from '../../src/decide/decide.ts';
import { compilePolicy } from '../../src/decide/policy.ts';
import { folder } from '../fakes/config-tree.ts';

const now = Date.parse('2026-11-20T03:00:00Z'); // a Friday night
const tree = {
  'tocsin.yaml': 'suppress: { mode: active }\nchannels: { email: { smtp_url: { env: S }, from: t@example.com } }\n',
  'business-context.yaml': 'services: { cart: { owner: shop, tier: 3 } }\n',
  'routing.yaml':
    'teams: { shop: { email: [shop@example.com] }, sre: { email: [sre@example.com] } }\nroutes: { default_team: sre, channels: [email] }\n',
};
function policyOf(suppression: string, more: Record<string, string> = {}) {
  const loaded = loadConfig(folder({ ...tree, 'suppression.yaml': suppression, ...more }), {}, { assumeSecrets: true });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  return compilePolicy(loaded.config, { assumeSecrets: true });
}
const labels = { alertname: 'Slow', service: 'cart', severity: 'warning', env: 'dev' };
const weights = (some: Partial<Weights> = {}, decide: Partial<Weights['decide']> = {}): Weights => ({
  severity: 'medium',
  tier: 3,
  impact: {
    revenuePerHour: null,
    currency: null,
    totalRevenueImpact: null,
    affectedServices: ['cart'],
    affectedUsers: null,
    customerImpact: null,
    regulatoryRisk: false,
    slaBreachRisk: 'unknown',
    cascadeRisk: 'unknown',
    estimatedDurationSeconds: null,
  } as Weights['impact'],
  openPriority: null,
  labels,
  service: 'cart',
  assignedTeam: null,
  tenant: '',
  worth: { model: loadModels().actionability, rules: [], known: true, services: 1, suspect: null, changes: 0 } as never,
  decide: {
    alerts: [
      {
        source: 'default',
        fingerprint: 'a',
        labels,
        severity: 'medium',
        alertname: 'Slow',
        service: 'cart',
        receivedAt: now,
        startsAt: now,
      },
    ],
    services: ['cart'],
    learned: nothingLearned,
    firstEver: new Set(),
    baseline: null,
    snoozedUntil: null,
    silencedUntil: null,
    silences: [],
    killSwitch: false,
    now,
    ...decide,
  } as Weights['decide'],
  ...some,
});
const texts = (was: Weights, suppression = '', more = {}) =>
  whatIfs(was, policyOf(suppression, more)).map((one) => one.text);

describe('the nearest single change that would have led elsewhere', () => {
  test('held back: without the policy, new, worse, unowned, in another mode, or still firing', () => {
    const found = whatIfs(
      weights(),
      policyOf('noise: [ { name: dev, match: [\'env="dev"\'], reason: nobody, for: 2h } ]'),
    );
    expect(found.map(({ fact, flips }) => `${fact}: ${flips}`)).toEqual([
      'first-ever: verdict',
      'severity: verdict',
      'owner: verdict',
      'mode: verdict',
      'policy: verdict',
      'duration: verdict',
      'impact: priority',
    ]);
    expect(found.map((one) => one.text)).toContain(
      'It would have notified email:shop@example.com if there were no policy dev.',
    );
    expect(found.map((one) => one.text)).toContain(
      'It would have notified email:shop@example.com if it still fired at 2026-11-20T05:00Z.',
    );
  });

  test('told: one label away from a policy, at another time of day, not critical, not new', () => {
    const noise = 'noise: [ { name: prod, match: [\'env="prod"\'], reason: x } ]\n';
    expect(texts(weights(), noise)).toContain('It would have been held back (prod) if env were "prod" (policy prod).');
    const hours =
      'business_hours: [ { name: day, match: [\'env="dev"\'], days: [Mon, Tue, Wed, Thu, Fri], from: "03:00", until: "17:00" } ]\n';
    expect(texts(weights(), hours)).toContain(
      'It would have been held back (day) if it had come 30 min earlier (2026-11-20T02:30Z).',
    );
    const dev = 'noise: [ { name: dev, match: [\'env="dev"\'], reason: x } ]\n';
    const alert = { ...weights().decide.alerts[0]!, severity: 'critical' as const };
    expect(texts(weights({ severity: 'critical' }, { alerts: [alert] }), dev)).toContain(
      'It would have been held back (dev) if its severity were high instead of critical.',
    );
    expect(texts(weights({}, { firstEver: new Set(['Slow']) }), dev)).toContain(
      'It would have been held back (dev) if Slow had fired before.',
    );
  });

  test('the kill switch and what people did', () => {
    const dev = 'noise: [ { name: dev, match: [\'env="dev"\'], reason: x } ]\n';
    expect(texts(weights({}, { killSwitch: true }), dev)).toContain(
      'It would have been held back (dev) if the kill switch were off.',
    );
    expect(texts(weights({}, { snoozedUntil: now + 60_000 }))).toContain(
      'It would have notified email:shop@example.com if nobody had snoozed it.',
    );
  });

  test('a used-up budget: a more important service is exempt, and so is a team with messages left', () => {
    const budgets = { shop: { opened: 10, until: now + 60_000, side: null } };
    const was = weights({}, { learned: { ...nothingLearned, budgets } });
    const found = texts(was);
    expect(found).toContain(
      'It would have notified email:shop@example.com if shop had not had its 10 new messages of the hour yet.',
    );
    expect(found.some((text) => /if its severity were (critical|high)/.test(text))).toBe(true);
  });

  test('in shadow mode the policy turns, and what is done stays', () => {
    const noise = 'noise: [ { name: dev, match: [\'env="dev"\'], reason: x } ]\n';
    const shadow = { 'tocsin.yaml': tree['tocsin.yaml'].replace('active', 'shadow') };
    const found = texts(weights(), noise, shadow);
    expect(found).toContain('It would have been held back (dev) if the mode were active.');
    expect(found).toContain(
      'The policy would notify if there were no policy dev; in mode shadow it would be sent all the same.',
    );
  });

  test('the same record and policy give the same sentences', () => {
    const policy = policyOf('noise: [ { name: dev, match: [\'env="dev"\'], reason: x } ]\n');
    expect(whatIfs(weights(), policy)).toEqual(whatIfs(weights(), policy));
  });
});
