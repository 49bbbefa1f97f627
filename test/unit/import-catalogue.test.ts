import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runCheck } from '../../src/cli/check.ts';
import { runImport } from '../../src/cli/import.ts';
import { loadConfig } from '../../src/config/load.ts';
import { folder } from '../fakes/config-tree.ts';

const backstage = `apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: checkout
  tags: [tier-1]
  annotations: { pagerduty.com/integration-key: R0SECRET, example.com/runbook-url: "https://runbooks.example.com/c" }
  links: [ { url: "https://grafana.example.com/d/c", title: Golden signals, icon: dashboard } ]
spec:
  type: service
  lifecycle: production
  system: shop
  owner: group:default/payments
  dependsOn: [ resource:default/order-db, component:shared ]
  consumesApis: [ card-api, ghost-api ]
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: { name: card }
spec: { type: service, lifecycle: experimental, system: shop, providesApis: [ card-api ] }
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: { name: shared }
spec: { type: library, owner: payments }
---
apiVersion: backstage.io/v1alpha1
kind: System
metadata: { name: shop }
spec: { owner: shopfront }
---
apiVersion: backstage.io/v1alpha1
kind: Resource
metadata: { name: order-db }
spec: { type: database, owner: platform, dependencyOf: [ component:card ] }
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: { name: payments }
spec: { type: team, profile: { email: pay@example.com } }
`;
const openslo = `apiVersion: openslo/v1
kind: SLO
metadata: { name: checkout-fast }
spec:
  service: checkout
  budgetingMethod: Occurrences
  timeWindow: [ { duration: 1M, isRolling: false } ]
  objectives:
    - { target: 0.95 }
    - { target: 0.999 }
---
apiVersion: openslo/v1
kind: Service
metadata: { name: checkout }
spec: { description: Takes the order }
`;

/** Runs the import on files written into a folder of their own; the config folder is `config` in there. */
function story(files: Record<string, string>) {
  const dir = folder({ 'config/tocsin.yaml': '', ...files });
  const config = join(dir, 'config');
  const shorten = (text: string) => text.replaceAll(`${dir}/`, '');
  return {
    dir,
    config,
    write: (name: string, text: string) => writeFileSync(join(dir, name), text),
    import(names: string[], options: { file?: string; dryRun?: boolean } = {}) {
      const said = { out: '', err: '' };
      const code = runImport({
        files: names.map((name) => join(dir, name)),
        dir: config,
        env: {},
        file: options.file === undefined ? null : join(dir, options.file),
        dryRun: options.dryRun ?? false,
        json: false,
        out: (text) => {
          said.out += text;
        },
        err: (text) => {
          said.err += text;
        },
      });
      return { code, out: shorten(said.out), err: shorten(said.err) };
    },
    load() {
      const loaded = loadConfig(config, {});
      if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
      return loaded.config;
    },
    from: (service: string, field: string) => shorten(story.origin(config, service, field)),
  };
}
story.origin = (config: string, service: string, field: string): string => {
  const loaded = loadConfig(config, {});
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  const fact = loaded.config.provenance[service]?.[field];
  return fact ? `${fact.source} ${fact.from}` : 'nobody';
};

describe('Backstage', () => {
  test('components and resources become services; systems, APIs and groups say the rest', () => {
    const at = story({ 'catalog-info.yaml': backstage });
    const { code, err } = at.import(['catalog-info.yaml']);
    expect(code).toBe(0);
    const { services } = at.load().business;
    expect(services).toEqual({
      checkout: {
        owner: 'payments',
        tier: 1,
        system: 'shop',
        lifecycle: 'production',
        runbook: 'https://runbooks.example.com/c',
        dashboards: ['https://grafana.example.com/d/c'],
        depends_on: ['order-db', 'card'],
      },
      card: { owner: 'shopfront', system: 'shop', lifecycle: 'experimental', depends_on: ['order-db'], dashboards: [] },
      'order-db': { owner: 'platform', depends_on: [], dashboards: [] },
    });
    expect(at.load().routing.teams.payments).toEqual({ email: ['pay@example.com'] });
    expect(at.from('checkout', 'owner')).toBe('backstage catalog-info.yaml:12');
    expect(err).toContain('catalog-info.yaml:14:29: note: "checkout" consumes the API "ghost-api"');
    expect(err).toContain('component "shared" is left out: a library does not run');
  });

  test('a key in an annotation is never taken over', () => {
    const at = story({ 'catalog-info.yaml': backstage });
    const { out, err } = at.import(['catalog-info.yaml']);
    const name = readFileSync(join(at.config, 'imported', layerIn(at.config)), 'utf8');
    expect(out + err + name).not.toContain('R0SECRET');
    expect(err).toContain('catalog-info.yaml:6:49: note: the PagerDuty key of "checkout" is left out');
  });

  test('an API provided in another file of the same import is a dependency', () => {
    const consumer =
      'apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: { name: web }\nspec: { owner: a, consumesApis: [ x ] }\n';
    const provider =
      'apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: { name: api }\nspec: { owner: a, providesApis: [ x ] }\n';
    const at = story({ 'web/catalog-info.yaml': consumer, 'api/catalog-info.yaml': provider });
    at.import(['web/catalog-info.yaml', 'api/catalog-info.yaml']);
    expect(at.load().business.services.web!.depends_on).toEqual(['api']);
  });
});

describe('OpenSLO', () => {
  test('the strictest objective counts, in percent over its window; the others are told', () => {
    const at = story({ 'slo.yaml': openslo });
    const { code, err } = at.import(['slo.yaml']);
    expect(code).toBe(0);
    expect(at.load().business.services.checkout).toMatchObject({
      slo: { objective: 99.9, window: 30 * 86_400_000 },
      description: 'Takes the order',
    });
    expect(err).toContain(
      'slo.yaml:9:7: note: the SLO "checkout-fast" (95 % in 30d, Occurrences) of "checkout" is left out.',
    );
  });

  test('another version, a target of everything, a strange window: faults with their place, and nothing is imported', () => {
    const bad = openslo
      .replace('0.999', '1')
      .replace('1M', 'a month')
      .replace('apiVersion: openslo/v1\nkind: Service', 'apiVersion: openslo/v1alpha\nkind: Service');
    const at = story({ 'slo.yaml': bad, 'good.yaml': backstage });
    const { code, err } = at.import(['good.yaml', 'slo.yaml']);
    expect(code).toBe(1);
    expect(err).toContain(
      'slo.yaml:7:29: the window of the SLO "checkout-fast" cannot be read. Write for example 30d, 4w or 1M.',
    );
    expect(err).toContain('slo.yaml:12:13: openslo/v1alpha is not read. Convert it to openslo/v1.');
    expect(err).toContain('nothing was imported');
    expect(existsSync(join(at.config, 'imported'))).toBe(false);
  });
});

describe('precedence', () => {
  const csv = 'service,tier,owner,users,dependencies\ncheckout,3,crm,7,mailer\n';

  test('hand-written > OpenSLO > Backstage > CSV, field by field, in whatever order they were imported', () => {
    const at = story({
      'config/business-context.yaml': '# keep me\nservices:\n  checkout: { owner: sre } # by hand\n',
      'catalog-info.yaml': backstage,
      'slo.yaml': openslo,
      'services.csv': csv,
    });
    for (const name of ['slo.yaml', 'services.csv', 'catalog-info.yaml']) expect(at.import([name]).code).toBe(0);
    expect(at.load().business.services.checkout).toMatchObject({
      owner: 'sre',
      tier: 1,
      users: 7,
      depends_on: ['order-db', 'card'],
      slo: { objective: 99.9 },
    });
    expect(['owner', 'tier', 'users', 'depends_on', 'slo'].map((field) => at.from('checkout', field))).toEqual([
      'native business-context.yaml:3',
      'backstage catalog-info.yaml:5',
      'csv services.csv:2',
      'backstage catalog-info.yaml:13',
      'openslo slo.yaml:10',
    ]);
    expect(readFileSync(join(at.config, 'business-context.yaml'), 'utf8')).toContain('# keep me');
  });

  test('a second import of a file replaces what the first one said, and takes back what is gone', () => {
    const at = story({ 'services.csv': csv });
    at.import(['services.csv']);
    at.write('services.csv', 'service,tier\ncart,2\n');
    expect(at.import(['services.csv']).out).toContain('changed: config/imported/');
    expect(at.load().business.services).toEqual({ cart: { tier: 2, depends_on: [], dashboards: [] } });
    expect(at.import(['services.csv']).out).toContain('same: config/imported/');
  });

  test('two files of one source that disagree are told, and the first by name counts', () => {
    const at = story({ 'a.csv': 'service,tier\ncart,2\n', 'b.csv': 'service,tier\ncart,3\n' });
    const { code, err } = at.import(['b.csv', 'a.csv']);
    expect(code).toBe(0);
    expect(err).toMatch(
      /note: tier of "cart" is 3 \(b.csv:2\) here and 2 \(a.csv:2\) in another import; the latter counts/,
    );
    expect(at.load().business.services.cart!.tier).toBe(2);
  });

  test('another tree, another hash; the same facts written by hand give the same one', () => {
    const at = story({ 'services.csv': 'service,tier\ncart,2\n' });
    const before = at.load().hash;
    at.import(['services.csv']);
    const after = at.load().hash;
    expect(after).not.toBe(before);
    const byHand = story({ 'config/business-context.yaml': 'services: { cart: { tier: 2 } }\n' });
    expect(byHand.load().hash).toBe(after);
  });
});

describe('the command', () => {
  test('--dry-run says what would happen and changes nothing', () => {
    const at = story({ 'services.csv': 'service,tier\ncart,2\n' });
    const { code, out } = at.import(['services.csv'], { dryRun: true });
    expect(code).toBe(0);
    expect(out).toMatch(/^cart: tier\nwould be new: /);
    expect(existsSync(join(at.config, 'imported'))).toBe(false);
  });

  test('--out adds to a business-context.yaml: comments, values and layout of what stood there stay', () => {
    const native = '# top\nservices:\n  # the till\n  checkout:\n    owner: sre   # by hand\n    depends_on: [a,  b]\n';
    const at = story({
      'slo.yaml': openslo,
      'services.csv': 'service,tier,owner\ncheckout,2,crm\ncart,2,\n',
      'bc.yaml': native,
    });
    expect(at.import(['services.csv', 'slo.yaml'], { file: 'bc.yaml' }).code).toBe(0);
    const text = readFileSync(join(at.dir, 'bc.yaml'), 'utf8').replaceAll(`${at.dir}/`, '');
    expect(text).toBe(
      `${native}    description: Takes the order # openslo: slo.yaml:15\n` +
        '    slo: { objective: 99.9, window: 30d } # openslo: slo.yaml:10\n' +
        '    tier: 2 # csv: services.csv:2\n' +
        '  cart:\n    tier: 2 # csv: services.csv:3\n',
    );
    writeFileSync(join(at.config, 'business-context.yaml'), text);
    expect(at.load().business.services.checkout).toMatchObject({ owner: 'sre', tier: 2 });
  });

  test('a file that is not there is wrong usage; one that is no catalogue is at fault', () => {
    const at = story({ 'x.yaml': 'a: 1\n', 'broken.yaml': 'a: [\n', 'empty.yaml': '' });
    expect(at.import(['nowhere.yaml'])).toMatchObject({ code: 2, err: 'nowhere.yaml is not there.\n' });
    for (const name of ['x.yaml', 'empty.yaml']) {
      const { code, err } = at.import([name]);
      expect(code).toBe(1);
      expect(err).toContain(`${name}:1:1: nothing in here is a catalogue that can be imported.`);
    }
    expect(at.import(['broken.yaml'])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^broken.yaml:\d+:\d+: this is not YAML/),
    });
  });

  test('tocsin check --json names the source of every fact', async () => {
    const at = story({
      'services.csv': 'service,tier\ncart,2\n',
      'config/business-context.yaml': 'services: { cart: { users: 3 } }\n',
    });
    at.import(['services.csv']);
    let said = '';
    const say = (text: string) => {
      said += text;
    };
    expect(await runCheck({ dir: at.config, online: false, json: true, out: say, err: say, env: {} })).toBe(0);
    expect(JSON.parse(said).sources).toEqual({
      cart: {
        tier: { source: 'csv', from: expect.stringMatching(/services\.csv:2$/) },
        users: { source: 'native', from: 'business-context.yaml:1' },
      },
    });
  });

  test('an imported file that somebody broke is a fault with its line', () => {
    const at = story({ 'services.csv': 'service,tier\ncart,2\n' });
    at.import(['services.csv']);
    const name = layerIn(at.config);
    const file = join(at.config, 'imported', name);
    writeFileSync(file, readFileSync(file, 'utf8').replace('value: 2', 'value: two'));
    expect(loadConfig(at.config, {})).toMatchObject({ ok: false, faults: [{ file, line: 9, column: 14 }] });
  });
});

const layerIn = (config: string): string => readdirSync(join(config, 'imported'))[0]!;
