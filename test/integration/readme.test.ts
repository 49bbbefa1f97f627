import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { findProgram } from '../fakes/programs.ts';

const root = join(import.meta.dirname, '../..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text]) => text as string);
const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).map((name) => `docs/${name}`),
];

/** The commands that the program itself lists, with those below them: `serve`, `routes test`. */
function commands(): string[] {
  const listed = (args: string[]) => {
    const { stdout } = spawnSync(process.execPath, [join(root, 'bin/tocsin.mjs'), ...args, '--help'], {
      encoding: 'utf8',
    });
    const [, list = ''] = stdout.split(/^Commands:$/m);
    return [...list.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name as string).filter((name) => name !== 'help');
  };
  return listed([]).flatMap((name) => {
    const below = listed([name]);
    return below.length > 0 ? below.map((sub) => `${name} ${sub}`) : [name];
  });
}

test('the README names every command, and none that does not exist', { timeout: 60_000 }, () => {
  const known = commands();
  const named = [...readme.matchAll(/npx tocsin ([a-z]+)(?: ([a-z]+)\b)?/g)].map(([, first, second]) =>
    known.includes(`${first} ${second}`) ? `${first} ${second}` : `${first}`,
  );
  expect(known.length).toBeGreaterThan(8);
  expect([...new Set(named)].sort()).toEqual([...known].sort());
});

test.each(pages.filter((page) => page.endsWith('.md')))('%s links to what is there', (page) => {
  const text = readFileSync(join(root, page), 'utf8');
  const targets = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, target]) => target as string);
  for (const target of targets.filter((one) => !/^https?:/.test(one)))
    expect(existsSync(join(root, dirname(page), target)), `${page} links to ${target}`).toBe(true);
});

test("every decision is in the decisions' index", () => {
  const index = readFileSync(join(root, 'docs/adr/README.md'), 'utf8');
  const decisions = readdirSync(join(root, 'docs/adr')).filter((name) => /^\d{4}-/.test(name));
  expect(decisions.length).toBeGreaterThan(5);
  for (const name of decisions) expect(index).toContain(`(${name})`);
});

test('the Slack manifest asks for what the code uses, and nothing more', () => {
  const manifest = blocks.map((text) => parse(text)).find((one) => 'oauth_config' in one);
  expect(manifest.oauth_config.scopes.bot).toEqual(['chat:write', 'files:write', 'files:read']);
  expect(manifest.settings.interactivity.request_url).toMatch(/\/api\/v1\/slack\/interactions$/);
});

describe.skipIf(findProgram('amtool') === null)('the Alertmanager snippet', () => {
  const amtool = findProgram('amtool') ?? '';

  function snippet(): string {
    const dir = mkdtempSync(join(tmpdir(), 'tocsin-readme-'));
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    const text = blocks.find((one) => one.startsWith('route:')) ?? '';
    writeFileSync(join(dir, 'alertmanager.yml'), text);
    return join(dir, 'alertmanager.yml');
  }

  test('is accepted', () => {
    const { status, stdout, stderr } = spawnSync(amtool, ['check-config', snippet()], { encoding: 'utf8' });
    expect(stderr + stdout).toContain('SUCCESS');
    expect(status).toBe(0);
  });

  test.each([
    [['severity=critical'], 'direct,tocsin'],
    [['severity=page'], 'direct,tocsin'],
    [['severity=warning'], 'tocsin'],
  ])('%j goes to %s', (labels, receivers) => {
    const args = ['config', 'routes', 'test', `--config.file=${snippet()}`, ...labels];
    expect(spawnSync(amtool, args, { encoding: 'utf8' }).stdout.trim()).toBe(receivers);
  });
});
