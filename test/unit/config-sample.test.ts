import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formatFaults } from '../../src/config/fault.ts';
import { jsonSchemas } from '../../src/config/json-schema.ts';
import { loadConfig } from '../../src/config/load.ts';
import { type Config, RoutingFile } from '../../src/config/schema.ts';
import { compilePolicy } from '../../src/decide/policy.ts';
import { route } from '../../src/route/route.ts';
import { targetLabel } from '../../src/route/targets.ts';
import { folder } from '../fakes/config-tree.ts';

const sampleDir = join(import.meta.dirname, '../../config');

function sample(env: Record<string, string> = {}): { config: Config; notes: string[] } {
  const loaded = loadConfig(sampleDir, env);
  if (!loaded.ok) throw new Error(formatFaults(loaded.faults));
  return { config: loaded.config, notes: loaded.warnings.map((w) => w.message) };
}

test('the shipped sample works untouched, with nothing set: one line for each channel that is off, and no other', () => {
  expect(sample().notes).toEqual([
    'slack is off: SLACK_BOT_TOKEN is not set',
    'email is off: SMTP_URL is not set',
    'pagerduty is off: PD_PLATFORM_KEY is not set, PD_SHOPFRONT_KEY is not set, PD_PAYMENTS_KEY is not set',
  ]);
});

test('it is a shop one can believe in', () => {
  const { config } = sample();
  const services = Object.entries(config.business.services);
  expect(services.length).toBeGreaterThanOrEqual(12);
  expect(Object.keys(config.routing.teams)).toHaveLength(6);
  expect(services.filter(([, s]) => s.revenue_per_hour).length).toBeGreaterThanOrEqual(8);
  expect(new Set(services.flatMap(([, s]) => s.currency ?? [])).size).toBe(1);
  for (const [name, service] of services) {
    expect(Object.keys(config.routing.teams), name).toContain(service.owner);
    for (const callee of service.depends_on) expect(config.business.services, name).toHaveProperty(callee);
  }
  expect(config.patterns.patterns.length).toBeGreaterThanOrEqual(12);
  expect(config.tocsin.suppress.mode).toBe('shadow');
  expect(config.tocsin.server.tokens).toBeUndefined();
});

test('setting one variable is all it takes to turn Slack on', () => {
  const { config } = sample({ SLACK_BOT_TOKEN: 'xoxb-1' });
  const labels = { alertname: 'HighErrorRate', service: 'card-gateway', severity: 'critical' };
  const { targets, primaryTeam } = route({ labels, service: 'card-gateway' }, compilePolicy(config));
  expect(primaryTeam).toBe('payments');
  expect(targets.map(targetLabel)).toEqual(['slack:#payments-alerts']);
  expect(route({ labels, service: 'card-gateway' }, compilePolicy(sample().config)).targets.map(targetLabel)).toEqual([
    'log',
  ]);
});

test('what it shows in comments is right as well', () => {
  const shown = [
    'public_url',
    'tokens',
    'prometheus',
    'alertmanager',
    'webhook',
    'overrides',
    'users',
    'slo',
    'business_hours',
    '- name',
  ];
  const files = Object.fromEntries(
    readdirSync(sampleDir)
      .filter((name) => name.endsWith('.yaml'))
      .map((name) => [name, uncommented(readFileSync(join(sampleDir, name), 'utf8'), shown)]),
  );
  const loaded = loadConfig(folder(files), { TOCSIN_WEBHOOK_TOKEN: 'one', TOCSIN_RESPONDER_TOKEN: 'two' });
  expect(loaded.ok ? '' : formatFaults(loaded.faults)).toBe('');
  const { tocsin, business, routing, suppression } = (loaded as { config: Config }).config;
  expect(tocsin.server.tokens).toHaveLength(2);
  expect(tocsin.prometheus).toHaveLength(2);
  expect(tocsin.alertmanager).toHaveLength(1);
  expect(tocsin.suppress.overrides).toHaveLength(1);
  expect(tocsin.channels.webhook?.targets).toHaveProperty('siem');
  expect(business.services['parcel-labels']?.users).toHaveProperty('query');
  expect(business.services['product-search']?.slo?.errors).toMatch(/^sum/);
  expect(routing.schedules.primary?.overrides).toHaveLength(1);
  expect(suppression.maintenance_windows).toHaveLength(2);
  expect(suppression.business_hours).toHaveLength(1);
});

/** The text with these keys, shown as comments, in force together with the comment lines under them. */
function uncommented(text: string, keys: string[]): string {
  const lines = text.split('\n');
  const kept: string[] = [];
  let within = false;
  for (const line of lines) {
    const [, indent, body] = /^(\s*)# (.*)$/.exec(line) ?? [];
    const begins = keys.some((key) => body?.startsWith(`${key}:`));
    within = body !== undefined && (begins || (within && /^( {2,}|- )/.test(body)));
    const replaced = keys.find((key) => line.trim() === `${key}: []`);
    if (within) kept.push(`${indent}${body}`);
    else if (replaced === undefined) kept.push(line);
  }
  return kept.join('\n');
}

test('the points and the rules by impact that it shows are the defaults, with its own platform team for `sre`', () => {
  const { config } = sample();
  const byDefault = RoutingFile.parse({});
  expect(config.routing.priority).toEqual(byDefault.priority);
  const shown = JSON.parse(JSON.stringify(config.routing.by_impact).replaceAll('"platform"', '"sre"'));
  expect(shown).toEqual(byDefault.by_impact);
});

test('it knows nothing of the recordings that streams are made from', () => {
  // Replay judges foreign recordings by this tree; a name from one of them would be an unfair hint.
  const { config } = sample();
  const names = Object.keys(config.business.services);
  const foreign = [
    'frontend',
    'front-end',
    'checkout',
    'cart',
    'carts',
    'payment',
    'catalogue',
    'orders',
    'shipping',
    'user',
    'recommendation',
    'ad',
    'email',
    'currency',
    'coredns',
    'grafana',
    'prometheus',
    'runner',
  ];
  expect(names.filter((name) => foreign.includes(name) || /service$/.test(name) || /pet/i.test(name))).toEqual([]);
});

test('the JSON Schemas beside it are those of the code (run node src/config/write-schemas.ts)', () => {
  const folder = join(sampleDir, 'schemas');
  const written = Object.fromEntries(
    readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]),
  );
  expect(written).toEqual(jsonSchemas());
});

test('every file of the sample names its schema for editors', () => {
  for (const name of readdirSync(sampleDir).filter((file) => file.endsWith('.yaml'))) {
    const schema = name.replace('.yaml', '.schema.json');
    expect(readFileSync(join(sampleDir, name), 'utf8').split('\n')[0]).toBe(
      `# yaml-language-server: $schema=./schemas/${schema}`,
    );
  }
});
