import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runCheck } from '../../src/cli/check.ts';
import { parseLabels, runRoutesTest } from '../../src/cli/routes-test.ts';
import { runTokenCreate } from '../../src/cli/token-create.ts';
import { loadConfig } from '../../src/config/load.ts';
import { secret } from '../../src/config/secrets.ts';
import { folder } from '../fakes/config-tree.ts';

function terminal() {
  const said = { out: '', err: '' };
  return {
    said,
    out: (text: string) => {
      said.out += text;
    },
    err: (text: string) => {
      said.err += text;
    },
  };
}

const check = async (dir: string, json = false, env = {}) => {
  const { said, out, err } = terminal();
  const code = await runCheck({ dir, online: false, json, out, err, env });
  return { code, ...said };
};

describe('tocsin check', () => {
  test('a good tree: 0, what it holds on stdout, what is off on stderr', async () => {
    const dir = folder({
      'tocsin.yaml': 'channels: { slack: { token: { env: S } } }\n',
      'business-context.yaml': 'services: { a: {} }\n',
    });
    const { code, out, err } = await check(dir);
    expect(code).toBe(0);
    expect(out).toMatch(
      / is fine: 1 service, 1 team, 0 escalation policies, 0 schedules, 0 suppressions, 0 patterns, tree [0-9a-f]{12}\.\n$/,
    );
    expect(err).toBe(`${dir}/tocsin.yaml:1:29: note: slack is off: S is not set. Set S to turn it on.\n`);
  });

  test('a tree with faults: 1, and every fault on stderr', async () => {
    const dir = folder({ 'tocsin.yaml': 'a: 1\nb: 2\n' });
    const { code, out, err } = await check(dir);
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err.split('\n')).toEqual([
      expect.stringMatching(/tocsin.yaml:1:1: unknown key `a`\. /),
      expect.stringMatching(/tocsin.yaml:2:1: unknown key `b`\. /),
      `2 faults in ${dir}; nothing of it is used.`,
      '',
    ]);
  });

  test('no such folder: 2', async () => {
    expect(await check('/nowhere/at/all')).toMatchObject({ code: 2, out: '' });
  });

  test('as JSON: one object on stdout, whatever the outcome', async () => {
    const bad = await check(folder({ 'tocsin.yaml': 'a: 1\n' }), true);
    expect(bad).toMatchObject({ code: 1, err: '' });
    expect(JSON.parse(bad.out)).toMatchObject({
      ok: false,
      hash: null,
      faults: [{ line: 1, column: 1 }],
      warnings: [],
      probes: [],
    });
    const good = await check(folder({ 'tocsin.yaml': '' }), true);
    expect(JSON.parse(good.out)).toMatchObject({ ok: true, hash: expect.any(String), faults: [] });
  });
});

describe('tocsin routes test', () => {
  const contractDir = join(import.meta.dirname, '../fixtures/config-contract');
  const ask = (words: string[], json = false, env = {}) => {
    const loaded = loadConfig(contractDir, env, { assumeSecrets: true });
    if (!loaded.ok) throw new Error('faulty');
    const { said, out, err } = terminal();
    const code = runRoutesTest({ config: loaded.config, words, json, out, err });
    return { code, ...said };
  };

  test('shows the route, team, channels, targets and escalation of such an alert', () => {
    expect(ask(['service=payment-api', 'env=prod'], false, { SLACK_BOT_TOKEN: 'x', PD_PAYMENTS_KEY: 'k' })).toEqual({
      code: 0,
      err: '',
      out: [
        'route       routes',
        '            → routes[1] service=~"pay.*", env!="dev"',
        'team        payments (named by the route)',
        'channels    slack, pagerduty, email',
        'targets     slack:#payments-oncall',
        '            pagerduty:team/payments',
        '            email:payments@example.com  (off here: Mail is off: smtp_url, variable SMTP_URL, is not set)',
        'escalation  default',
        '            after 0 min: team',
        '            after 5 min: schedule:primary',
        '            after 15 min: team:sre',
        'priority    P4: Severity medium: 20 points; 20 points in all make P4: P4 takes 20',
        'impact      adds nobody; the second step comes after 5 min',
        'note        "payment-api" is not in business-context.yaml. Add it there, so that its owner and its worth are known.',
        '',
      ].join('\n'),
    });
  });

  test('takes the team of the owner when no route names one, and says that it did', () => {
    const { out } = ask(['service=checkout', 'severity=critical'], true);
    expect(JSON.parse(out)).toMatchObject({
      labels: { service: 'checkout', severity: 'critical' },
      service: 'checkout',
      path: [['routes']],
      team: 'payments',
      teamFrom: 'owner',
      unknownOwner: false,
      channels: ['slack', 'pagerduty', 'email'],
      targets: [
        { target: 'slack:#payments-oncall', off: expect.stringContaining('SLACK_BOT_TOKEN') },
        { target: 'pagerduty:team/payments' },
        { target: 'email:payments@example.com' },
      ],
      escalation: 'default',
      steps: [{ afterSeconds: 0, notify: ['team'] }, { afterSeconds: 300 }, { afterSeconds: 900 }],
    });
  });

  test('shows what the declared impact makes of it: priority, whom it adds, how soon', () => {
    expect(JSON.parse(ask(['service=payment', 'severity=critical'], true).out)).toMatchObject({
      severity: 'critical',
      priority: 1,
      impact: { affectedServices: ['payment', 'checkout'], totalRevenueImpact: 12000, currency: 'USD' },
      escalationTeams: ['sre'],
      autoEscalateMinutes: 5,
    });
    expect(ask(['service=payment', 'severity=critical']).out).toContain(
      `priority    P1: Severity critical: 40 points; Revenue impact 12000 USD, over 10000 USD: 30 points; 40000 users, over 1000: 20 points; 90 points in all make P1: P1 takes 70
impact      adds team:sre; the second step comes after 5 min
`,
    );
  });

  test('no labels at all are an alert too: the root', () => {
    expect(JSON.parse(ask([], true).out)).toMatchObject({ team: 'sre', teamFrom: 'default', unknownOwner: true });
  });

  test('words that are no labels are wrong usage', () => {
    expect(ask(['service'])).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining('"service" is not LABEL=VALUE'),
    });
    expect(ask(['service=~a'])).toMatchObject({ code: 0 });
    expect(ask(['service!=a'])).toMatchObject({ code: 2, err: expect.stringContaining('is a matcher') });
  });

  test('values may be quoted, hold = and be named like anything', () => {
    expect(parseLabels(['a="b c"', 'd=e=f', '__proto__=x'])).toEqual(
      JSON.parse('{"a":"b c","d":"e=f","__proto__":"x"}'),
    );
  });
});

describe('tocsin token create', () => {
  const create = (name: string, role: string, json = false) => {
    const { said, out, err } = terminal();
    return { code: runTokenCreate({ name, role, json, out, err }), ...said };
  };

  test('prints a new token each time, and a line that the config takes as it is', () => {
    const first = JSON.parse(create('prod-am', 'webhook', true).out);
    const second = JSON.parse(create('prod-am', 'webhook', true).out);
    expect(first.token).toMatch(/^tocsin_[A-Za-z0-9_-]{43}$/);
    expect(first.token).not.toBe(second.token);
    const dir = folder({ 'tocsin.yaml': `server:\n  tokens:\n    ${first.line}\n` });
    const loaded = loadConfig(dir, { [first.variable]: first.token });
    if (!loaded.ok) throw new Error('faulty');
    const token = loaded.config.tocsin.server.tokens![0]!;
    expect(token).toMatchObject({ name: 'prod-am', role: 'webhook' });
    expect(secret(loaded.config, token.token)).toBe(first.token);
  });

  test('says where the line and the secret go', () => {
    const { code, out } = create('prod-am', 'webhook');
    expect(code).toBe(0);
    expect(out).toMatch(/under server\.tokens/);
    expect(out).toMatch(/TOCSIN_TOKEN_PROD_AM/);
  });

  test('a role or name that the config would refuse is wrong usage', () => {
    expect(create('a', 'webhok')).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining('Did you mean `webhook`?'),
    });
    expect(create('a b', 'webhook')).toMatchObject({ code: 2, out: '' });
  });
});
