import { inspect } from 'node:util';
import { MessageChannel } from 'node:worker_threads';
import pino from 'pino';
import { expect, test } from 'vitest';
import { formatFaults } from '../../src/config/fault.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { type ConfigTransfer, fromTransfer, secret, toTransfer } from '../../src/config/secrets.ts';
import { folder } from '../fakes/config-tree.ts';

const text = `
channels:
  slack: { token: { env: SLACK }, signing_secret: { file: secrets/signing } }
  email: { smtp_url: { env: SMTP }, from: a@example.com }
server: { tokens: [ { name: am, role: webhook, token: { env: AM } } ] }
`;
const env = { SLACK: 'hunter2-slack', SMTP: 'smtp://me:hunter2-smtp@mail', AM: 'hunter2-am' };

function load(): Config {
  const dir = folder({ 'tocsin.yaml': text, 'secrets/signing': 'hunter2-signing\n' });
  const loaded = loadConfig(dir, env);
  if (!loaded.ok) throw new Error(formatFaults(loaded.faults));
  return loaded.config;
}

test('a secret is read by its reference, from a variable or from a file beside the tree, without its line end', () => {
  const config = load();
  const { slack, email } = config.tocsin.channels;
  expect(secret(config, slack!.token)).toBe('hunter2-slack');
  expect(secret(config, slack!.signing_secret)).toBe('hunter2-signing');
  expect(secret(config, email!.smtp_url)).toBe('smtp://me:hunter2-smtp@mail');
  expect(secret(config, { env: 'UNKNOWN' })).toBeNull();
  expect(secret(config, { env: 'toString' })).toBeNull();
  expect(secret(config, undefined)).toBeNull();
  expect(secret(config, 'smtp://127.0.0.1:2525')).toBe('smtp://127.0.0.1:2525');
});

test('whatever prints a config prints no secret', () => {
  const config = load();
  const lines: string[] = [];
  pino({}, { write: (line: string) => lines.push(line) }).info({ config, secrets: config.secrets }, 'started');
  const printed = [
    JSON.stringify(config),
    JSON.stringify({ ...config }),
    inspect(config, { depth: null, showHidden: true }),
    inspect(config, { depth: null, showHidden: true, getters: true, compact: false }),
    `${config.secrets}`,
    Object.entries(config.secrets).join(),
    JSON.stringify(structuredClone(config)),
    config.warnings.join(),
    ...lines,
  ];
  expect(printed.join('\n')).not.toContain('hunter2');
  // The test sees: what is printed names the references.
  expect(printed[0]).toContain('SLACK');
});

test('a fault about a secret does not print it either', () => {
  const dir = folder({
    'tocsin.yaml':
      'channels: { slack: { token: hunter2-token }, email: { smtp_url: "smtp://a:hunter2@b", from: a@b.c } }\n',
  });
  const loaded = loadConfig(dir, {});
  expect(loaded.ok).toBe(false);
  expect(loaded.ok ? '' : JSON.stringify(loaded)).not.toContain('hunter2');
});

test('the secrets arrive with the config on the other side of a message port', async () => {
  const config = load();
  const { port1, port2 } = new MessageChannel();
  const arrived = new Promise<ConfigTransfer>((resolve) => port2.once('message', resolve));
  port1.postMessage(toTransfer(config));
  const there = fromTransfer(await arrived);
  port1.close();
  expect(secret(there, there.tocsin.channels.slack!.token)).toBe('hunter2-slack');
  expect({ ...there, secrets: null }).toEqual({ ...config, secrets: null });
  expect(inspect(there, { depth: null, showHidden: true })).not.toContain('hunter2');
});

test('the hash names what the tree says: not where it lies, how it is laid out, or what the secrets are', () => {
  const hash = (content: string, more: Record<string, string> = {}) => {
    const loaded = loadConfig(folder({ 'tocsin.yaml': content }), { A: 'x', ...more });
    return loaded.ok ? loaded.config.hash : 'faulty';
  };
  const first = hash(
    'server: { tokens: [ { name: a, role: viewer, token: { env: A } } ] }\nenrich: { deadline: 2s }\n',
  );
  expect(
    hash(
      '# hello\nenrich:\n  deadline: 2000ms\nserver:\n  tokens:\n    - token: { env: A }\n      role: viewer\n      name: a\n',
      { A: 'y' },
    ),
  ).toBe(first);
  expect(hash('enrich: { deadline: 3s }\n')).not.toBe(first);
  expect(hash('')).toBe(hash('prometheus: []\n'));
});

test('a secret file that cannot be one switches its channel off', () => {
  const channel = (file: string) => `channels: { slack: { token: { file: ${file} } } }\n`;
  const why = (files: Record<string, string>, file: string) => {
    const loaded = loadConfig(folder({ 'tocsin.yaml': channel(file), ...files }), {});
    return loaded.warnings[0]?.message;
  };
  expect(why({}, 'gone')).toBe('slack is off: gone cannot be read (ENOENT)');
  expect(why({ 'd/x': '' }, 'd')).toBe('slack is off: d is not a file');
  expect(why({ empty: '\n' }, 'empty')).toBe('slack is off: empty is empty');
  expect(why({ big: 'x'.repeat(70_000) }, 'big')).toBe('slack is off: big is too large for a secret');
  expect(why({}, '/dev/zero')).toBe('slack is off: /dev/zero is not a file');
});
