import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from './service-port.ts';

/** An account that may run PostgreSQL, which refuses to run as root; null: ours. */
type Account = { uid: number; gid: number } | null;

const READY_WITHIN_MS = 60_000;

/**
 * A PostgreSQL server of the operating system's in a temporary folder: TCP on 127.0.0.1 only, a port the kernel chose, a
 * password. As root it runs as Debian's `postgres` or, without one, as `nobody`. `stop` ends it by its process id.
 */
export async function startPostgresServer(bin: string): Promise<{ url: string; stop(): Promise<void> }> {
  const account = unprivileged();
  const home = mkdtempSync(join(tmpdir(), 'tocsin-postgres-'));
  const data = join(home, 'data');
  const password = randomBytes(18).toString('base64url');
  writeFileSync(join(home, 'password'), password, { mode: 0o600 });
  for (const path of [home, join(home, 'password')]) if (account) chownSync(path, account.uid, account.gid);
  chmodSync(home, 0o700);

  const made = spawnSync(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'tocsin', `--pwfile=${join(home, 'password')}`, '--auth=scram-sha-256', '--encoding=UTF8', '-N'],
    { ...account, cwd: home, encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } },
  );
  if (made.status !== 0) throw new Error(`initdb failed: ${made.error?.message ?? made.stderr}`);

  const port = await freePort();
  const logFile = join(home, 'log');
  const log = openSync(logFile, 'a');
  const server = spawn(
    join(bin, 'postgres'),
    [
      '-D',
      data,
      `-cport=${port}`,
      '-clisten_addresses=127.0.0.1',
      '-cunix_socket_directories=',
      '-cmax_connections=200',
    ],
    { ...account, cwd: home, stdio: ['ignore', log, log] },
  );
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  const isUp = () => server.exitCode === null && server.signalCode === null;
  const stop = async () => {
    // SIGINT is PostgreSQL's fast shutdown: sessions are ended, the data are left whole
    if (isUp()) server.kill('SIGINT');
    await ended;
    rmSync(home, { recursive: true, force: true });
  };

  const url = `postgres://tocsin:${password}@127.0.0.1:${port}/postgres`;
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!(await answers(url))) {
    if (!isUp() || Date.now() > deadline) {
      const said = readFileSync(logFile, 'utf8').slice(-2_000);
      await stop();
      throw new Error(`the PostgreSQL server of ${bin} does not come up:\n${said}`);
    }
    await sleep(100);
  }
  return { url, stop };
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}

function unprivileged(): Account {
  if (process.getuid?.() !== 0) return null;
  const accounts = readFileSync('/etc/passwd', 'utf8').split('\n');
  const fields = ['postgres', 'nobody']
    .map((name) => accounts.find((line) => line.startsWith(`${name}:`)))
    .find(Boolean);
  if (!fields) throw new Error('PostgreSQL does not run as root, and there is neither an account postgres nor nobody');
  const [, , uid, gid] = fields.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}
