import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formatFaults } from '../../src/config/fault.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { mapSeverity } from '../../src/domain/severity.ts';

/** The tree of the contract's section 2, word for word. */
const contractDir = join(import.meta.dirname, '../fixtures/config-contract');

function load(env: Record<string, string>, options = {}): Config {
  const loaded = loadConfig(contractDir, env, options);
  if (!loaded.ok) throw new Error(formatFaults(loaded.faults));
  return loaded.config;
}

test('the tree of the contract is accepted as it stands there', () => {
  const config = load({ TOCSIN_WEBHOOK_TOKEN: 'a-token' });
  expect(config.tocsin.prometheus[0]).toMatchObject({ name: 'main', timeout: 2_000, match: { cluster: 'prod-1' } });
  expect(config.tocsin.correlate).toEqual({ window: 900_000, reopen: 300_000 });
  expect(config.tocsin.heartbeats).toEqual([{ match: ['alertname="Watchdog"'], within: 600_000 }]);
  expect(config.tocsin.retention.incidents).toBe(395 * 86_400_000);
  expect(config.tocsin.channels.slack?.api_url).toBe('https://slack.com/api/');
  expect(config.business.services.checkout).toMatchObject({ owner: 'payments', depends_on: ['payment', 'cart'] });
  expect(config.routing.routes.routes).toHaveLength(2);
  expect(config.routing.escalation_policies.default).toMatchObject({ repeat: 2, ack_timeout: 1_800_000 });
  expect(config.suppression.maintenance_windows[0]).toMatchObject({ every: 'Sun 02:00', for: 7_200_000 });
  expect(config.suppression.noise[0]?.name).toBe('dev-noise');
  expect(config.patterns.patterns).toEqual([]);
});

test('its token is the only secret it must have; whatever else is unset is off and said once', () => {
  const loaded = loadConfig(contractDir, {});
  expect(loaded.ok ? [] : loaded.faults.map((f) => f.message)).toEqual([
    'this token has no value: TOCSIN_WEBHOOK_TOKEN is not set',
  ]);
  expect(load({ TOCSIN_WEBHOOK_TOKEN: 'a-token' }).warnings.map((w) => w.split(':')[0])).toEqual([
    'slack is off',
    'email is off',
    'webhook',
    'the owner "shop" is no team of routing.yaml',
    'by default impact also tells engineering-leads, on-call-manager, secondary, compliance and customer-success, which are no team, schedule or person here',
    'pagerduty is off',
  ]);
});

test('replay and its kin take the tree without any of its secrets, and name it alike', () => {
  const bare = load({}, { assumeSecrets: true });
  expect(bare.warnings).toEqual([
    'the owner "shop" is no team of routing.yaml: alerts of "cart" go to default_team. Write one of these instead: sre, payments.',
    expect.stringContaining('by default impact also tells'),
  ]);
  expect(bare.hash).toBe(load({ TOCSIN_WEBHOOK_TOKEN: 'another' }).hash);
  expect(bare.hash).toMatch(/^[0-9a-f]{12}$/);
});

test('what senders say becomes one of five words: the map of the file first, then the usual words, then medium', () => {
  const map = load({}, { assumeSecrets: true }).tocsin.severity_map;
  expect(mapSeverity(map, 'page')).toBe('critical');
  expect(mapSeverity(map, 'none')).toBe('info');
  expect(mapSeverity(map, 'Warning')).toBe('medium');
  expect(mapSeverity({ page: 'low' }, 'page')).toBe('low');
  expect(mapSeverity({ Page: 'low' }, 'PAGE')).toBe('low');
  for (const word of ['page', 'critical', 'emergency', 'fatal', 'P1']) expect(mapSeverity({}, word)).toBe('critical');
  for (const word of ['error', 'high', 'major', 'p2']) expect(mapSeverity({}, word)).toBe('high');
  for (const word of ['warning', 'warn', 'medium', 'minor', 'p3']) expect(mapSeverity({}, word)).toBe('medium');
  for (const word of ['low', 'p4', 'notice']) expect(mapSeverity({}, word)).toBe('low');
  for (const word of ['info', 'none', 'debug']) expect(mapSeverity({}, word)).toBe('info');
  for (const word of ['banana', '', 'constructor', '__proto__', undefined])
    expect(mapSeverity({}, word)).toBe('medium');
});
