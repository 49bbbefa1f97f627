import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runPolicyTests } from '../../src/cli/policy-test.ts';
import { folder } from '../fakes/config-tree.ts';

const sample = join(import.meta.dirname, '../../config');

async function run(files: string[], json = false, dir = sample, junit: string | null = null) {
  const said = { out: '', err: '' };
  const code = await runPolicyTests({
    files,
    dir,
    env: {},
    json,
    junit,
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
  });
  return { code, ...said };
}
/** One test file over a small tree. */
async function story(tests: string, tree: Record<string, string> = {}) {
  const dir = folder({
    'config/tocsin.yaml': 'suppress: { mode: active }\n',
    'config/business-context.yaml': 'services: { checkout: { owner: shop, tier: 1 }, cart: { owner: shop } }\n',
    'config/routing.yaml':
      'teams: { shop: { email: [shop@example.com] }, sre: { email: [sre@example.com] } }\n' +
      'routes: { default_team: shop, channels: [email], escalation: e }\n' +
      'escalation_policies: { e: { steps: [ { after: 0s, notify: [team] }, { after: 5m, notify: ["team:sre"] } ] } }\n',
    'config/suppression.yaml': 'noise: [ { name: dev, match: [\'env="dev"\'], reason: nobody is on call } ]\n',
    ...Object.fromEntries(Object.entries(tree).map(([name, text]) => [`config/${name}`, text])),
    'tests.yaml': `config: config\n${tests}`,
  });
  const result = await run([join(dir, 'tests.yaml')]);
  return { ...result, err: result.err.replaceAll(`${dir}/`, ''), out: result.out.replaceAll(`${dir}/`, '') };
}
const channels = {
  'tocsin.yaml': 'suppress: { mode: active }\nchannels: { email: { smtp_url: { env: S }, from: t@example.com } }\n',
};

test('the tests of the shipped sample hold', async () => {
  const { code, out } = await run([join(sample, 'tests/policy.yaml')]);
  expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/SUCCESS \(\d+ tests\)/) });
});

describe('what can be expected', () => {
  test('members, verdict, receivers and escalations at their times', async () => {
    const { code, out, err } = await story(
      `tests:
  - name: escalates until somebody takes it
    input_alerts: [ { labels: { alertname: Slow, service: checkout, severity: critical }, until: 20m } ]
    input_actions: [ { at: 7m, do: acknowledge, alert: { alertname: Slow }, by: ana } ]
    incident_test:
      - eval_time: 4m59s
        exp_incidents: [ { exp_alerts: [ { alertname: Slow } ], exp_status: open, exp_receivers: ["email:shop@example.com"], exp_escalations: [] } ]
      - eval_time: 5m
        exp_incidents: [ { exp_alerts: [ { service: checkout } ], exp_escalations: [ { at: 5m, to: "email:sre@example.com" } ] } ]
      - eval_time: 10m
        exp_incidents: [ { exp_alerts: [ {} ], exp_status: acknowledged, exp_priority: 3, exp_team: shop, exp_verdict: notify } ]
`,
      channels,
    );
    expect({ code, out, err }).toEqual({ code: 0, out: 'Policy tests: tests.yaml\n  SUCCESS (1 test)\n', err: '' });
  });

  test('held back in mode active, and let go when it becomes worse', async () => {
    const { code, err } = await story(`tests:
  - name: dev
    input_alerts:
      - { labels: { alertname: DiskSlow, service: cart, severity: low, env: dev }, group: cart }
      - { labels: { alertname: DiskFull, service: cart, severity: critical, env: dev }, from: 70s, group: cart }
    incident_test:
      - { eval_time: 1m, exp_incidents: [ { exp_alerts: [ { alertname: DiskSlow } ], exp_verdict: suppress, exp_policy_verdict: suppress, exp_reasons: [noise], exp_receivers: [] } ] }
      - { eval_time: 3m, exp_incidents: [ { exp_alerts: [ { alertname: DiskSlow }, { alertname: DiskFull } ], exp_severity: critical, exp_policy_verdict: notify } ] }
`);
    expect({ code, err }).toEqual({ code: 0, err: '' });
  });

  test('the first firing ever only where the test says so', async () => {
    const one = (first: string) => `tests:
  - name: first
    first_ever: [${first}]
    input_alerts: [ { labels: { alertname: Disk, service: cart, severity: low, env: dev } } ]
    incident_test: [ { eval_time: 1m, exp_incidents: [ { exp_alerts: [ {} ], exp_verdict: notify } ] } ]
`;
    expect(await story(one('Disk'))).toMatchObject({ code: 0 });
    expect(await story(one(''))).toMatchObject({
      code: 1,
      err: 'Policy tests: tests.yaml\n  FAILED:\n    tests.yaml:6:91: first, 1m: exp_incidents[0]: exp_verdict: want "notify", got "suppress"\n',
    });
  });
});

test('what comes and goes, reasons with their policy and end, and each member that is held back', async () => {
  const { code, err } = await story(
    `tests:
  - name: dev comes and goes
    input_alerts:
      - { labels: { alertname: Disk, service: cart, severity: low, env: dev }, until: 1m, every: 30m, times: 3 }
      - { labels: { alertname: Slow, service: checkout, severity: high }, from: 70m }
    incident_test:
      - eval_time: 71m
        exp_incidents:
          - { exp_alerts: [ { alertname: Disk } ], exp_status: resolved, exp_suppressed: [ { alertname: Disk } ], exp_mode: active }
          - { exp_alerts: [ { alertname: Disk } ], exp_suppressed: [ { env: dev } ] }
          - { exp_alerts: [ { alertname: Disk } ], exp_suppressed: [ {} ] }
          - { exp_alerts: [ { alertname: Slow } ], exp_suppressed: [], exp_verdict: notify }
      - eval_time: 30s
        exp_incidents:
          - { exp_alerts: [ { alertname: Disk } ], exp_reasons: [ { code: noise, policy: dev, until: 24h } ] }
`,
  );
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const differs = await story(`tests:
  - name: t
    input_alerts: [ { labels: { alertname: Disk, service: cart, severity: low, env: dev } } ]
    incident_test:
      - eval_time: 30s
        exp_incidents:
          - exp_alerts: [ {} ]
            exp_reasons: [ { code: noise, policy: other, until: 1h } ]
            exp_suppressed: []
`);
  expect(differs.err).toContain('tests.yaml:9:');
  expect(differs.err).toContain('exp_reasons: want noise (other until 1h), got noise (dev until 24h)');
  expect(differs.err).toMatch(
    /tests.yaml:10:\d+: t, 30s: exp_incidents\[0\]: exp_suppressed: want none, got \{alertname="Disk"/,
  );
});

test('the kill switch lets everything through', async () => {
  const { code, err } = await story(`tests:
  - name: all is passed on
    input_alerts: [ { labels: { alertname: Disk, service: cart, severity: low, env: dev }, from: 5m } ]
    input_actions: [ { at: 1m, do: kill-switch, by: ana, with: { on: true } } ]
    incident_test:
      - eval_time: 6m
        exp_incidents: [ { exp_alerts: [ {} ], exp_verdict: notify, exp_mode: passthrough, exp_reasons: [kill-switch] } ]
`);
  expect({ code, err }).toEqual({ code: 0, err: '' });
});

test('as JUnit XML: a case a test, names as text', async () => {
  const dir = folder({
    'tests.yaml': `tests:
  - name: a <b> & "c"
    input_alerts: [ { labels: { alertname: A, service: pricing, severity: critical } } ]
    incident_test: [ { eval_time: 1m, exp_incidents: [] } ]
`,
  });
  const file = join(dir, 'junit.xml');
  expect((await run([join(dir, 'tests.yaml')], false, sample, file)).code).toBe(1);
  const text = readFileSync(file, 'utf8');
  expect(text).toMatch(/<testsuite name="[^"]*tests.yaml" tests="1" failures="1">/);
  expect(text).toContain('name="a &#60;b&#62; &#38; &#34;c&#34;"');
  expect(text).toMatch(/<failure message="not expected: incident &#34;A on pricing&#34;/);
});

describe('what fails', () => {
  const incident = (expected: string) => `tests:
  - name: t
    input_alerts:
      - { labels: { alertname: A, service: cart, severity: high } }
    incident_test: [ { eval_time: 1m, exp_incidents: [ ${expected} ] } ]
`;

  test('a missing incident, a surplus one, and each value that differs', async () => {
    const { code, err } = await story(incident('{ exp_alerts: [ { alertname: B } ] }'));
    expect(code).toBe(1);
    expect(err).toContain(
      't, 1m: exp_incidents[0]: no incident of {alertname="B"}; there are: [{alertname="A", service="cart", severity="high"}]',
    );
    expect(err).toContain('t, 1m: not expected: incident "A on cart" of {alertname="A"');
    const differs = await story(
      incident('{ exp_alerts: [ {} ], exp_team: sre, exp_escalations: [ { at: 1m, to: x } ] }'),
    );
    expect(differs.err).toContain('exp_team: want "sre", got "shop"');
    expect(differs.err).toContain('exp_escalations: want ["1m x"], got []');
  });

  test('nothing is expected, but something is there', async () => {
    expect(await story(incident(''))).toMatchObject({ code: 1, err: expect.stringContaining('not expected') });
  });
});

describe('a file that cannot be used: exit code 2', () => {
  test('a misspelt key and a bad time, with their places', async () => {
    const { code, err } = await story(`tests:
  - name: t
    input_alert: []
    input_alerts: [ { labels: { a: b }, from: soon } ]
    incident_test: [ { eval_time: 1m } ]
`);
    expect(code).toBe(2);
    expect(err).toContain('tests.yaml:4:5: unknown key `input_alert` in tests[0]. Did you mean `input_alerts`?');
    expect(err).toMatch(/tests.yaml:5:\d+: `from`: "soon" is not a time\. Write for example 0s, 5m or 1h30m instead\./);
  });

  test('no such file, or a config with faults', async () => {
    expect(await run(['/nowhere.yaml'])).toMatchObject({ code: 2, err: '/nowhere.yaml is not there.\n' });
    const bad = await story(
      'tests: [ { name: t, input_alerts: [ { labels: {} } ], incident_test: [ { eval_time: 0s } ] } ]\n',
      {
        'tocsin.yaml': 'nonsense: 1\n',
      },
    );
    expect(bad).toMatchObject({ code: 2, err: expect.stringContaining('unknown key `nonsense`') });
  });

  test('as JSON: one object, whatever the outcome', async () => {
    const { out } = await run([join(sample, 'tests/policy.yaml')], true);
    expect(JSON.parse(out)).toMatchObject({ ok: true, files: [{ failures: [] }] });
    expect(JSON.parse((await run(['/nowhere.yaml'], true)).out)).toEqual({ ok: false, files: [] });
  });
});
