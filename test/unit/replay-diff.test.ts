import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runDiff } from '../../src/cli/diff.ts';
import { fingerprint } from '../../src/receive/fingerprint.ts';
import { parseConditions } from '../../src/replay-diff.ts';
import { folder } from '../fakes/config-tree.ts';
import { noStore, past } from '../fakes/past.ts';

const begin = Date.parse('2026-11-20T00:00:00Z');
const rfc = (minutes: number) => new Date(begin + minutes * 60_000).toISOString();
/** A firing alert at a minute; a rule that is no first any more needs an earlier one. */
const fire = (minutes: number, labels: Record<string, string>, until?: number) => {
  const send = (at: number, status: string) => ({
    at: rfc(at),
    kind: 'alertmanager',
    body: {
      version: '4',
      groupKey: labels.alertname,
      receiver: 'tocsin',
      alerts: [
        {
          status,
          labels,
          annotations: {},
          startsAt: rfc(minutes),
          endsAt: status === 'resolved' ? rfc(at) : '0001-01-01T00:00:00Z',
          fingerprint: fingerprint(labels),
        },
      ],
    },
  });
  return until === undefined ? [send(minutes, 'firing')] : [send(minutes, 'firing'), send(until, 'resolved')];
};
const disk = { alertname: 'Disk', service: 'cart', severity: 'low', env: 'dev' };
const slow = { alertname: 'Slow', service: 'checkout', severity: 'high' };
const errors = { alertname: 'Errors', service: 'payment', severity: 'high' };
const stream = [...fire(0, disk, 5), ...fire(60, disk, 65), ...fire(120, errors), ...fire(120.5, slow)]
  .sort((a, b) => a.at.localeCompare(b.at))
  .map((line) => JSON.stringify(line))
  .join('\n');

const tree = (change: Record<string, string> = {}) => ({
  'tocsin.yaml': 'suppress: { mode: active }\nchannels: { email: { smtp_url: { env: S }, from: t@example.com } }\n',
  'business-context.yaml':
    'services: { checkout: { owner: shop, depends_on: [payment] }, payment: { owner: shop }, cart: { owner: shop } }\n',
  'routing.yaml':
    'teams: { shop: { email: [shop@example.com] }, sre: { email: [sre@example.com] } }\nroutes: { default_team: shop, channels: [email] }\n',
  'suppression.yaml': '',
  ...change,
});

async function diff(change: Record<string, string>, options: { failIf?: string; format?: 'md' | 'json' } = {}) {
  const files: Record<string, string> = { 'stream.jsonl': `${stream}\n` };
  for (const [name, text] of Object.entries(tree())) files[`old/${name}`] = text;
  for (const [name, text] of Object.entries(tree(change))) files[`new/${name}`] = text;
  const dir = folder(files);
  const said = { out: '', err: '' };
  const code = await runDiff({
    past: past({ stream: join(dir, 'stream.jsonl') }),
    environment: noStore,
    now: begin,
    configs: [join(dir, 'old'), join(dir, 'new')],
    topology: null,
    format: options.format ?? 'json',
    failIf: options.failIf ?? null,
    env: {},
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
  });
  return { code, ...said };
}
const counts = async (change: Record<string, string>) => JSON.parse((await diff(change)).out).counts;
const noise = { 'suppression.yaml': 'noise: [ { name: dev, match: [\'env="dev"\'], reason: nobody is on call } ]\n' };
const quiet = {
  missed_pages: 0,
  added_pages: 0,
  merged: 0,
  split: 0,
  receivers_changed: 0,
  suppressed_more: 0,
  suppressed_less: 0,
  added_delay_seconds: 0,
};

describe('tocsin diff', () => {
  test('the same tree makes no difference', async () => {
    expect(await counts({})).toEqual({
      ...quiet,
      pages_before: 3,
      pages_after: 3,
      incidents_before: 3,
      incidents_after: 3,
    });
  });

  test('a policy that holds back: the page that would be missed, and the alert behind it', async () => {
    const { code, out } = await diff(noise, { failIf: 'missed_pages>0' });
    expect(code).toBe(1);
    const said = JSON.parse(out);
    // The first firing ever of the rule is told in both.
    expect(said.counts).toMatchObject({ ...quiet, missed_pages: 1, suppressed_more: 1, pages_after: 2 });
    expect(said.missed).toMatchObject([
      {
        title: 'Disk on cart',
        startedAt: rfc(60),
        services: ['cart'],
        alerts: 1,
        before: 'email:shop@example.com',
        after: 'nobody',
      },
    ]);
    expect(said.failed).toEqual(['missed_pages>0']);
  });

  test('a gate that holds lets it pass', async () => {
    expect(await diff(noise, { failIf: 'missed_pages>1 || added_delay_seconds>60' })).toMatchObject({ code: 0 });
  });

  test('other receivers', async () => {
    const routing = tree()['routing.yaml'].replace(
      'default_team: shop',
      'default_team: shop, routes: [ { match: [\'service="payment"\'], team: sre } ]',
    );
    const said = JSON.parse((await diff({ 'routing.yaml': routing })).out);
    expect(said.counts).toMatchObject({ ...quiet, receivers_changed: 1 });
    expect(said.receivers).toMatchObject([{ before: 'email:shop@example.com', after: 'email:sre@example.com' }]);
  });

  test('a dependency nobody declares any more: one incident becomes two, and one more is called', async () => {
    const business = tree()['business-context.yaml'].replace('owner: shop, depends_on: [payment]', 'owner: shop');
    const together = await counts({
      'tocsin.yaml': `${tree()['tocsin.yaml']}correlate: { window: 10s }\n`,
      'business-context.yaml': business,
    });
    expect(together).toMatchObject({ split: 1, incidents_after: 4, missed_pages: 0 });
  });

  test('as Markdown for a pull request', async () => {
    const { out } = await diff(noise, { format: 'md', failIf: 'missed_pages>0' });
    expect(out).toContain('| pages | 3 | 2 |');
    expect(out).toContain('**Fails: missed_pages>0** (it is 1).');
    expect(out).toContain(`| ${rfc(60)} | Disk on cart | 1 | email:shop\\@example.com | nobody |`);
  });

  test('two trees that are equal word for word: said so, and nothing differs', async () => {
    const { code, out } = await diff({}, { format: 'md', failIf: 'missed_pages>0 || added_pages>0' });
    expect(code).toBe(0);
    expect(out).toContain('The two config trees are the same.');
    expect(out).toContain('Missed pages: 0. Added pages: 0.');
  });

  test('what cannot be used: exit code 2', async () => {
    expect(await diff({ 'tocsin.yaml': 'x: 1\n' })).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining('unknown key `x`'),
    });
    expect(await diff({}, { failIf: 'missed>0' })).toMatchObject({
      code: 2,
      err: expect.stringContaining('no figure missed; write one of pages_before'),
    });
  });
});

test('--fail-if: comparisons, joined by ||', () => {
  const parsed = parseConditions('a>=2 || b<1.5', ['a', 'b']);
  if (typeof parsed === 'string') throw new Error(parsed);
  const figures = (a: number, b: number) => ({ a, b }) as never;
  expect(parsed.map((one) => [one.holds(figures(2, 2)), one.holds(figures(1, 1))])).toEqual([
    [true, false],
    [false, true],
  ]);
  expect(parseConditions('a is 2', ['a'])).toMatch(/cannot be read; write for example/);
});
