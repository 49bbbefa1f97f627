import { describe, expect, test } from 'vitest';
import { isLoopback, parseListen, readEnvironment, refuseOpenListen, UnusableConfig } from '../../src/config/env.ts';
import { loadConfig } from '../../src/config/load.ts';
import { folder } from '../fakes/config-tree.ts';

describe('the environment', () => {
  test('needs nothing set', () => {
    expect(readEnvironment({})).toMatchObject({
      configDir: './config',
      configGiven: false,
      listen: { host: '127.0.0.1', port: 8080, isLoopback: true },
      dataDir: './data',
      databaseUrl: null,
      role: 'all',
      logLevel: 'info',
      otel: {},
      proxy: { http: null, https: null, no: null },
    });
  });

  test('an empty variable is one that is not set', () => {
    expect(readEnvironment({ TOCSIN_CONFIG: '', DATABASE_URL: ' ', TOCSIN_ROLE: '', TOCSIN_LISTEN: '' })).toMatchObject(
      {
        configDir: './config',
        databaseUrl: null,
        role: 'all',
      },
    );
  });

  test('is read where it is set', () => {
    const env = {
      TOCSIN_CONFIG: '/etc/tocsin',
      TOCSIN_LISTEN: '[::1]:0',
      TOCSIN_DATA: '/srv',
      DATABASE_URL: 'postgresql://me@db/tocsin',
      TOCSIN_ROLE: 'work',
      LOG_LEVEL: 'WARN',
      OTEL_SERVICE_NAME: 'tocsin-1',
      https_proxy: 'http://proxy:3128',
      HOME: '/root',
    };
    expect(readEnvironment(env)).toEqual({
      configDir: '/etc/tocsin',
      configGiven: true,
      listen: { host: '::1', port: 0, isLoopback: true },
      dataDir: '/srv',
      databaseUrl: 'postgresql://me@db/tocsin',
      role: 'work',
      logLevel: 'warn',
      otel: { OTEL_SERVICE_NAME: 'tocsin-1' },
      proxy: { http: null, https: 'http://proxy:3128', no: null },
      all: env,
    });
  });

  test('every bad value is told at once, without the password of the database', () => {
    const env = {
      TOCSIN_ROLE: 'recieve',
      LOG_LEVEL: 'loud',
      TOCSIN_LISTEN: 'localhost',
      DATABASE_URL: 'mysql://me:hunter2@db',
    };
    const error = (() => {
      try {
        return readEnvironment(env);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(UnusableConfig);
    expect(error).toMatchObject({ exitCode: 2 });
    expect((error as Error).message.split('\n')).toEqual([
      'TOCSIN_LISTEN=localhost is not HOST:PORT. Write for example 127.0.0.1:8080 instead.',
      'DATABASE_URL is not the address of a PostgreSQL server. Write postgres://USER:PASSWORD@HOST:5432/NAME instead, or unset it for the embedded one.',
      'TOCSIN_ROLE=recieve is none of its values. Did you mean `receive`? Write that instead.',
      'LOG_LEVEL=loud is none of its values. Write one of these instead: trace, debug, info, warn, error, fatal, silent.',
    ]);
  });
});

describe('the address to listen on', () => {
  test.each([
    ['127.0.0.1:8080', '127.0.0.1', true],
    ['127.8.9.1:1', '127.8.9.1', true],
    ['localhost:80', 'localhost', true],
    ['[::1]:8080', '::1', true],
    ['[::ffff:127.0.0.1]:8080', '::ffff:127.0.0.1', true],
    ['0.0.0.0:8080', '0.0.0.0', false],
    ['[::]:8080', '::', false],
    [':8080', '::', false],
    ['tocsin.example.com:8080', 'tocsin.example.com', false],
    ['10.0.0.1:8080', '10.0.0.1', false],
  ])('%s', (text, host, loopback) => {
    expect(parseListen(text)).toMatchObject({ host, isLoopback: loopback });
  });

  test.each([
    '8080',
    '::1:8080',
    '127.0.0.1',
    '127.0.0.1:99999',
    '127.0.0.1:http',
    '[localhost]:80',
    '1.2.3:80',
    '127.0.0.1:8080/x',
    '',
  ])('%s is refused, with what to write', (text) => {
    expect(parseListen(text)).toMatch(/^TOCSIN_LISTEN=.* Write for example .* instead\.$/);
  });

  test('a name that only looks like loopback is none', () => {
    expect(isLoopback('127.0.0.1.example.com')).toBe(false);
    expect(isLoopback('localhost.example.com')).toBe(false);
  });

  test('others may reach it only when tokens are configured', () => {
    const config = (text: string) => {
      const loaded = loadConfig(folder({ 'tocsin.yaml': text }), { T: 'token' });
      if (!loaded.ok) throw new Error('faulty');
      return loaded.config;
    };
    const [open, closed] = [
      config(''),
      config('server: { tokens: [ { name: a, role: admin, token: { env: T } } ] }\n'),
    ];
    const everywhere = parseListen('0.0.0.0:8080');
    const here = parseListen('127.0.0.1:8080');
    if (typeof everywhere === 'string' || typeof here === 'string') throw new Error('not parsed');
    expect(refuseOpenListen(everywhere, open)).toMatch(/tocsin token create/);
    expect(refuseOpenListen(everywhere, config('server: { tokens: [] }\n'))).toMatch(/TOCSIN_LISTEN=0.0.0.0:8080/);
    expect(refuseOpenListen(everywhere, closed)).toBeNull();
    expect(refuseOpenListen(here, open)).toBeNull();
  });
});
