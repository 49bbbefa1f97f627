import { isIPv4, isIPv6 } from 'node:net';
import { insteadOf } from './fault.ts';
import type { Config } from './schema.ts';

/** Wrong usage or a config that cannot be used: the command ends with exit code 2, and `message` says what to do. */
export class UnusableConfig extends Error {
  readonly exitCode = 2;
  override readonly name = 'UnusableConfig';
}

/** `port` 0 lets the kernel choose. `host` has no brackets. */
export type Listen = { host: string; port: number; isLoopback: boolean };

export const roles = ['all', 'receive', 'work'] as const;
type ProcessRole = (typeof roles)[number];

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
type LogLevel = (typeof logLevels)[number];

/** Everything Tocsin takes from the environment, except what a config file refers to by `{ env: NAME }`. */
export type Environment = {
  configDir: string;
  /** True when TOCSIN_CONFIG named the folder. */
  configGiven: boolean;
  listen: Listen;
  dataDir: string;
  /** Null: the embedded PostgreSQL in `dataDir`. Holds a password: never print it. */
  databaseUrl: string | null;
  role: ProcessRole;
  logLevel: LogLevel;
  /** OpenTelemetry's own variables as they stand; its SDK reads them by itself. */
  otel: Record<string, string>;
  proxy: { http: string | null; https: string | null; no: string | null };
  /** What `{ env: NAME }` in the config tree is looked up in. */
  all: Readonly<Record<string, string | undefined>>;
};

/** Reads the environment. An empty variable counts as unset. Throws `UnusableConfig` with every bad value in its message. */
export function readEnvironment(env: Readonly<Record<string, string | undefined>> = process.env): Environment {
  const problems: string[] = [];
  const read = (name: string): string | null => env[name]?.trim() || null;
  const oneOf = <T extends string>(name: string, allowed: readonly T[], otherwise: T): T => {
    const value = read(name)?.toLowerCase();
    if (value === undefined) return otherwise;
    if ((allowed as readonly string[]).includes(value)) return value as T;
    problems.push(`${name}=${value} is none of its values. ${insteadOf(value, allowed, 'value')}`);
    return otherwise;
  };
  const listen = parseListen(read('TOCSIN_LISTEN') ?? '127.0.0.1:8080');
  if (typeof listen === 'string') problems.push(listen);
  const databaseUrl = read('DATABASE_URL');
  if (databaseUrl !== null && !/^postgres(ql)?:\/\/./.test(databaseUrl))
    problems.push(
      'DATABASE_URL is not the address of a PostgreSQL server. Write postgres://USER:PASSWORD@HOST:5432/NAME instead, or unset it for the embedded one.',
    );
  const role = oneOf('TOCSIN_ROLE', roles, 'all');
  const logLevel = oneOf('LOG_LEVEL', logLevels, 'info');
  if (problems.length > 0 || typeof listen === 'string') throw new UnusableConfig(problems.join('\n'));
  return {
    configDir: read('TOCSIN_CONFIG') ?? './config',
    configGiven: read('TOCSIN_CONFIG') !== null,
    listen,
    dataDir: read('TOCSIN_DATA') ?? './data',
    databaseUrl,
    role,
    logLevel,
    otel: Object.fromEntries(
      Object.entries(env).flatMap(([name, value]) => (name.startsWith('OTEL_') && value ? [[name, value]] : [])),
    ),
    proxy: {
      http: read('HTTP_PROXY') ?? read('http_proxy'),
      https: read('HTTPS_PROXY') ?? read('https_proxy'),
      no: read('NO_PROXY') ?? read('no_proxy'),
    },
    all: env,
  };
}

/** `127.0.0.1:8080`, `localhost:8080`, `[::1]:8080`, `:8080` (every address); else a sentence that says what to write. */
export function parseListen(text: string): Listen | string {
  const wrong = (what: string, example: string) =>
    `TOCSIN_LISTEN=${text} ${what}. Write for example ${example} instead.`;
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d+)$/.exec(text);
  if (!parts) {
    if (/^\d+$/.test(text)) return wrong('has no address', `127.0.0.1:${text}`);
    if (isIPv6(text)) return wrong('has no port, or an IPv6 address without brackets', '[::1]:8080');
    return wrong('is not HOST:PORT', '127.0.0.1:8080');
  }
  const port = Number(parts[3]);
  if (port > 65_535) return wrong('has a port above 65535', '127.0.0.1:8080');
  const host = parts[1] ?? parts[2]!;
  if (parts[1] !== undefined && !isIPv6(host)) return wrong('has no IPv6 address in its brackets', '[::1]:8080');
  if (parts[1] === undefined && /^[\d.]+$/.test(host) && !isIPv4(host))
    return wrong('has no valid IPv4 address', '127.0.0.1:8080');
  return { host: host === '' ? '::' : host, port, isLoopback: isLoopback(host) };
}

/** True for an address that only this machine can reach: 127.0.0.0/8, ::1 (also IPv4 written as IPv6), localhost. */
export function isLoopback(host: string): boolean {
  const plain = host.toLowerCase().replace(/^::ffff:/, '');
  if (isIPv4(plain)) return plain.startsWith('127.');
  return plain === 'localhost' || plain === '::1' || plain === '0:0:0:0:0:0:0:1';
}

/** Why the service must not start on this address (open to others, without tokens), or null when it may. */
export function refuseOpenListen(listen: Listen, config: Pick<Config, 'tocsin'>): string | null {
  if (listen.isLoopback || (config.tocsin.server.tokens ?? []).length > 0) return null;
  const shown = listen.host.includes(':') ? `[${listen.host}]:${listen.port}` : `${listen.host}:${listen.port}`;
  return `TOCSIN_LISTEN=${shown} can be reached by others, and no auth token is configured: anybody could post and resolve. Make one with "tocsin token create" and put its line under server.tokens in tocsin.yaml, or listen on 127.0.0.1.`;
}
