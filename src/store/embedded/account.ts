import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import type { Log } from '../types.ts';

/** The unprivileged account the server runs as; null: ours. PostgreSQL refuses to run as root. */
export type Account = { uid: number; gid: number } | null;

/** Where the embedded server keeps everything: cluster, log, port, copies of its binaries. */
export type Home = { path: string; account: Account };

/** Where root's data go when a parent folder of TOCSIN_DATA keeps the account out (contract, section 2). */
const FALLBACK = '/var/lib/tocsin';

/** initdb looks its user up in the account database, so a bare number does not do; the first of these that exists is taken. */
const ACCOUNTS = ['tocsin', 'postgres', 'nobody'];

/**
 * Makes the server's folder and says who will own it. As a plain user that is us, under `dataDir`. As root it is an
 * unprivileged account, under `dataDir` if it can get there, else under /var/lib/tocsin, and the log says so.
 */
export function makeHome(dataDir: string, log: Log): Home {
  const wanted = join(resolve(dataDir), 'postgres');
  const first = mkdirSync(resolve(dataDir), { recursive: true, mode: 0o755 });
  if (process.getuid?.() !== 0) {
    mkdirSync(wanted, { recursive: true, mode: 0o700 });
    try {
      accessSync(wanted, constants.W_OK);
    } catch (cause) {
      throw new Error(
        `${wanted} belongs to another user (an earlier start as root?). Start as that user again, give it to this one (chown -R), or set TOCSIN_DATA to another folder.`,
        { cause },
      );
    }
    return { path: realpathSync(wanted), account: null };
  }
  // a umask of 077 would shut the account out of a folder that we have just made for it
  if (first !== undefined) chmodSync(resolve(dataDir), 0o755);

  const fallback = join(FALLBACK, slug(resolve(dataDir)), 'postgres');
  const stayed = existsSync(join(fallback, 'cluster')) && !existsSync(join(wanted, 'cluster'));
  const account = ownerOf(join(stayed ? fallback : wanted, 'cluster')) ?? findAccount();
  const reachable = canEnter(resolve(dataDir), account);
  const path = stayed || !reachable ? fallback : wanted;
  mkdirSync(path, { recursive: true, mode: 0o755 });
  chmodSync(path, 0o755);
  if (path === fallback) {
    log.info(
      { dataDir: resolve(dataDir), path, uid: account.uid },
      reachable
        ? `the database stays in ${path}, where an earlier start put it`
        : `the database lives in ${path}: a parent folder of ${resolve(dataDir)} keeps out uid ${account.uid}, which runs it for root`,
    );
  }
  return { path: realpathSync(path), account };
}

/** Gives a file or folder to the account. */
export function give(path: string, account: Account): void {
  if (account) chownSync(path, account.uid, account.gid);
}

/** Whether the account passes a shell `test` (`-x`, `-r`) on a path; its view, access lists and all, not a guess from mode bits. */
export function may(test: '-x' | '-r', path: string, account: Account): boolean {
  if (!account) return spawnSync('/bin/sh', ['-c', `test ${test} "$1"`, 'sh', path]).status === 0;
  return spawnSync('/bin/sh', ['-c', `test ${test} "$1"`, 'sh', path], { ...account, cwd: '/' }).status === 0;
}

function canEnter(dir: string, account: NonNullable<Account>): boolean {
  const tried = spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', dir], { ...account, cwd: '/' });
  if (tried.error) {
    throw new Error(
      `cannot run a program as uid ${account.uid}, and PostgreSQL does not run as root. Start Tocsin as a plain user, or set DATABASE_URL.`,
      { cause: tried.error },
    );
  }
  return tried.status === 0;
}

function ownerOf(path: string): NonNullable<Account> | null {
  if (!existsSync(path)) return null;
  const { uid, gid } = statSync(path);
  return uid === 0 ? null : { uid, gid };
}

function findAccount(): NonNullable<Account> {
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const name of ACCOUNTS) {
    const found = accounts.find((fields) => fields[0] === name);
    // macOS writes nobody as -2
    if (found) return { uid: Number(found[2]) >>> 0, gid: Number(found[3]) >>> 0 };
  }
  throw new Error(
    `PostgreSQL does not run as root, and none of the accounts ${ACCOUNTS.join(', ')} exists. Add one (useradd --system tocsin), start Tocsin as a plain user, or set DATABASE_URL.`,
  );
}

/** A readable folder name, unique per data folder, so that two of them never share a database. */
function slug(dir: string): string {
  const readable = dir
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(-40);
  return `${readable}-${createHash('sha256').update(dir).digest('hex').slice(0, 8)}`;
}
