import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Account, give, type Home, makeHome } from './embedded/account.ts';
import { type Binaries, findBinaries, removeOldCopies } from './embedded/binaries.ts';
import { inUse, isServing, type Postmaster, readPostmaster, register } from './embedded/processes.ts';
import type { Log } from './types.ts';

export type Embedded = {
  /** Connection string of the database `tocsin`; holds the password, never log it. */
  url: string;
  /** Lets the server go: stops it when no other Tocsin process uses it. */
  stop(): Promise<void>;
  /** True: the server was already running (another command's, or one that outlived a kill -9). */
  adopted: boolean;
};

type Server = { home: Home; cluster: string; data: string; logFile: string; binaries: Binaries; log: Log };

const USER = 'tocsin';
const DATABASE = 'tocsin';
/** Crash recovery replays at most max_wal_size; minutes only on a very slow disk. */
const READY_WITHIN_MS = 300_000;
const WATCH_EVERY_MS = 1_000;
const LOG_LIMIT_BYTES = 16 * 1024 * 1024;

/**
 * Starts the embedded PostgreSQL of a data folder, or adopts the one that runs there. It listens on 127.0.0.1 only, on a
 * port the kernel chose, with a random password in a 0600 file. It is not our child in spirit: it outlives a kill -9 of
 * ours and is adopted by the next start; while we live, we start it again when it dies. Two processes that start at once
 * end with one server, because PostgreSQL's own lock on the data directory decides.
 */
export async function startEmbedded({ dataDir, log }: { dataDir: string; log: Log }): Promise<Embedded> {
  const home = makeHome(dataDir, log);
  const binaries = findBinaries(home, log);
  const cluster = join(home.path, 'cluster');
  const server: Server = {
    home,
    cluster,
    data: join(cluster, 'data'),
    logFile: join(home.path, 'postgres.log'),
    binaries,
    log,
  };
  // noted before we look for a running server, so that one who stops right now lets it live
  const users = join(home.path, 'users');
  const unregister = register(users);
  try {
    if (!existsSync(cluster)) await createCluster(server);
    checkVersion(server);
    const { port, adopted } = await ensureServer(server, null);
    if (!adopted) removeOldCopies(home, binaries);
    const url = urlOf(server, port, DATABASE);
    await ensureDatabase(server, port);
    const unwatch = watch(server, port);
    let stopping: Promise<void> | undefined;
    const stop = async () => {
      await unwatch();
      unregister();
      if (inUse(users)) log.info({}, 'the embedded database stays up: another Tocsin process uses it');
      else await stopServer(server);
    };
    return {
      url,
      adopted,
      stop: () => {
        stopping ??= stop();
        return stopping;
      },
    };
  } catch (error) {
    unregister();
    throw error;
  }
}

/** initdb into a draft folder, then one rename: whoever comes second finds the winner's cluster and drops the own draft. */
async function createCluster(server: Server): Promise<void> {
  const { home, binaries, cluster } = server;
  sweepDrafts(home.path);
  const draft = join(home.path, `cluster.${process.pid}-${randomBytes(4).toString('hex')}.tmp`);
  const password = join(draft, 'password');
  try {
    mkdirSync(draft, { mode: 0o700 });
    writeFileSync(password, randomBytes(24).toString('base64url'), { mode: 0o600, flag: 'wx' });
    give(password, home.account);
    give(draft, home.account);
    await run(
      binaries.initdb,
      [
        ['-D', join(draft, 'data'), '-U', USER, `--pwfile=${password}`, '--auth=scram-sha-256', '--encoding=UTF8'],
        ['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C', '--no-instructions'],
      ].flat(),
      home.account,
      draft,
    );
    renameSync(draft, cluster);
  } catch (error) {
    if (!existsSync(cluster)) throw error;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** Drafts of processes that were killed half-way; an hour is far more than an initdb takes. */
function sweepDrafts(home: string): void {
  for (const name of readdirSync(home)) {
    const path = join(home, name);
    if (!name.endsWith('.tmp')) continue;
    const made = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
    if (Date.now() - made > 3_600_000) rmSync(path, { recursive: true, force: true });
  }
}

function checkVersion({ data, binaries, cluster }: Server): void {
  let found: string;
  try {
    found = readFileSync(join(data, 'PG_VERSION'), 'utf8').trim();
  } catch (cause) {
    throw new Error(
      `cannot read the database in ${cluster}. If an earlier start as root made it, start as root again or give the folder to this user (chown -R); if it is damaged, restore a backup.`,
      { cause },
    );
  }
  if (found === binaries.major) return;
  throw new Error(
    `the database in ${cluster} is of PostgreSQL ${found}, the installed programs are ${binaries.major}. Dump it with the previous release (pg_dump), move the folder away, start, and restore the dump.`,
  );
}

/**
 * Adopts the live server or starts one. `port`: the only one acceptable (a restart under running clients), or null: the
 * last one used if it is free, else any.
 */
async function ensureServer(server: Server, port: number | null): Promise<{ port: number; adopted: boolean }> {
  let failure = '';
  for (let attempt = 0; attempt < 10; attempt += 1) {
    const running = readPostmaster(server.data);
    if (running && isServing(running.pid, server.data)) {
      const ready = await waitReady(server, running.pid);
      if (ready) return { port: ready.port, adopted: true };
    } else {
      if (running) removeStale(server, running);
      const chosen = port ?? (await choosePort(join(server.home.path, 'port')));
      const since = logSize(server.logFile);
      const child = spawnServer(server, chosen);
      const ready = child.pid === undefined ? null : await waitReady(server, child.pid);
      if (ready) {
        writeFileSync(join(server.home.path, 'port'), String(ready.port), { mode: 0o600 });
        return { port: ready.port, adopted: false };
      }
      failure = logTail(server.logFile, since);
    }
    // another process may have won the race, or backends of a killed server still hold its memory for a moment
    await sleep(100 * (attempt + 1));
  }
  throw new Error(
    `the embedded PostgreSQL does not start; its log is ${server.logFile}${failure ? `, and ends:\n${failure}` : ''}`,
  );
}

/** Waits until the server takes connections; null when it died, or an earlier one's death is what we wait for. */
async function waitReady(server: Server, pid: number): Promise<Postmaster | null> {
  const deadline = performance.now() + READY_WITHIN_MS;
  while (performance.now() < deadline) {
    if (!isServing(pid, server.data) && !(await justBorn(pid, server.data))) return null;
    const now = readPostmaster(server.data);
    if (now?.pid === pid && now.status === 'ready') return now;
    await sleep(20);
  }
  throw new Error(`the embedded PostgreSQL (process ${pid}) is not ready after 5 minutes; see ${server.logFile}`);
}

/** Between fork and exec a server does not look like one yet. */
async function justBorn(pid: number, data: string): Promise<boolean> {
  for (let look = 0; look < 20; look += 1) {
    await sleep(10);
    if (isServing(pid, data)) return true;
    try {
      process.kill(pid, 0);
    } catch {
      return false;
    }
  }
  return false;
}

/**
 * Takes a dead server's lock file away, but only that one: it is set aside first, and put back when another process's new
 * server wrote it in between. PostgreSQL itself refuses to start while backends of the dead one still live.
 */
function removeStale(server: Server, stale: Postmaster): void {
  const path = join(server.data, 'postmaster.pid');
  const aside = join(server.data, `postmaster.pid.${process.pid}.stale`);
  try {
    renameSync(path, aside);
    if (readFileSync(aside, 'utf8') !== stale.raw) linkSync(aside, path);
    else server.log.warn({ pid: stale.pid }, 'the embedded database was killed; it recovers now');
  } catch (error) {
    if (!['ENOENT', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
  rmSync(aside, { force: true });
}

/** Small on purpose: 64 MB of buffers hold the working set of 100,000 alerts, and the machine belongs to others too. */
const settings: Record<string, string | number> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '', // a stale socket lock after kill -9 would stop the next start
  max_connections: 100,
  superuser_reserved_connections: 3,
  shared_buffers: '64MB',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  wal_compression: 'off', // pglz: the same WAL for an insert-only inbox, and 5-25 % fewer deliveries a second
  wal_buffers: '16MB',
  max_wal_size: '1GB',
  min_wal_size: '80MB',
  checkpoint_timeout: '10min',
  io_method: 'sync', // the default starts three more processes
  max_worker_processes: 2,
  max_parallel_workers_per_gather: 0,
  max_logical_replication_workers: 0,
  jit: 'off',
  autovacuum_max_workers: 2,
  autovacuum_naptime: '15s', // the inbox turns over thousands of rows a second
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_checkpoints: 'off',
  log_autovacuum_min_duration: -1,
  log_line_prefix: '%m [%p] ',
  log_min_error_statement: 'panic', // statements hold labels and bodies, which are not for a log
  cluster_name: 'tocsin',
  tcp_keepalives_idle: 30,
  tcp_keepalives_interval: 10,
  tcp_keepalives_count: 3,
};

function spawnServer(server: Server, port: number): ChildProcess {
  boundLog(server.logFile);
  const log = openSync(server.logFile, 'a', 0o600);
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = spawn(server.binaries.postgres, ['-D', server.data, '-p', String(port), ...options], {
    ...server.home.account,
    cwd: server.cluster,
    env: environment(),
    stdio: ['ignore', log, log],
    // its own session: neither Ctrl-C on our terminal nor our end reaches it
    detached: true,
  });
  closeSync(log);
  child.on('error', (error) => server.log.error({ error: error.message }, 'cannot run the embedded PostgreSQL'));
  child.unref();
  return child;
}

/** Nothing of ours: our environment holds secrets, and /proc shows it to the server's account. */
const environment = () => ({ PATH: '/usr/bin:/bin', LC_ALL: 'C' });

/** Starts the server again when it dies under us, on the same port, so that every pool finds it back. */
function watch(server: Server, port: number): () => Promise<void> {
  let busy: Promise<void> | null = null;
  let ticks = 0;
  const look = async () => {
    ticks += 1;
    if (ticks % 60 === 0) boundLog(server.logFile);
    const running = readPostmaster(server.data);
    if (running && isServing(running.pid, server.data)) return;
    server.log.error({}, 'the embedded database is gone; starting it again');
    await ensureServer(server, port);
    server.log.info({}, 'the embedded database is back');
  };
  const timer = setInterval(() => {
    busy ??= look()
      .catch((error: Error) => server.log.error({ error: error.message }, 'the embedded database is not back yet'))
      .finally(() => {
        busy = null;
      });
  }, WATCH_EVERY_MS);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await busy;
  };
}

/** A fast shutdown: open transactions roll back, memory is written out. Waits 8 s at most; it goes on alone after that. */
async function stopServer(server: Server): Promise<void> {
  const running = readPostmaster(server.data);
  if (!running || !isServing(running.pid, server.data)) return;
  await run(
    server.binaries.pgCtl,
    ['stop', '-D', server.data, '-m', 'fast', '-w', '-t', '8', '-s'],
    server.home.account,
    server.cluster,
  ).catch((error: Error) => server.log.warn({ error: error.message }, 'the embedded database is still shutting down'));
}

/** Runs one of PostgreSQL's programs to its end; its words become the error's. */
async function run(program: string, args: string[], account: Account, cwd: string): Promise<void> {
  const child = spawn(program, args, { ...account, cwd, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => (said = (said + chunk).slice(-4_000)));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', (cause) => reject(new Error(`cannot run ${program}: ${cause.message}`, { cause })));
    child.on('close', resolve);
  });
  if (code === 0) return;
  const hint = said.includes('could not look up effective user')
    ? ' This user has no entry in /etc/passwd; add one, run as another user, or set DATABASE_URL.'
    : '';
  throw new Error(`${basename(program)} failed (exit ${code}): ${said.trim()}${hint}`);
}

function urlOf({ cluster }: Server, port: number, database: string): string {
  const password = readFileSync(join(cluster, 'password'), 'utf8').trim();
  return `postgres://${USER}:${password}@127.0.0.1:${port}/${database}`;
}

async function ensureDatabase(server: Server, port: number): Promise<void> {
  const client = new pg.Client({ connectionString: urlOf(server, port, 'postgres'), connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`create database ${DATABASE}`);
  } catch (error) {
    // 42P04, 23505: another process made it in the same moment
    if (!['42P04', '23505'].includes((error as pg.DatabaseError).code ?? '')) throw error;
  } finally {
    await client.end();
  }
}

/** The port used last, if it is free, so that clients of a server that was restarted find it; else one from the kernel. */
async function choosePort(file: string): Promise<number> {
  const last = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
  return (last > 0 && last < 65_536 ? await tryPort(last) : null) ?? (await tryPort(0))!;
}

function tryPort(port: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error) => (port === 0 ? reject(error) : resolve(null)));
    probe.listen(port, '127.0.0.1', () => {
      const address = probe.address() as { port: number };
      probe.close(() => resolve(address.port));
    });
  });
}

const logSize = (file: string) => statSync(file, { throwIfNoEntry: false })?.size ?? 0;

/** What the server wrote since, at most its last 2,000 characters. */
const logTail = (file: string, since: number) =>
  existsSync(file) ? readFileSync(file).subarray(since).toString('utf8').slice(-2_000).trim() : '';

/** The server appends (O_APPEND), so its log can be cut under it; one older part is kept. */
function boundLog(file: string): void {
  if (logSize(file) <= LOG_LIMIT_BYTES) return;
  copyFileSync(file, `${file}.1`);
  truncateSync(file, 0);
}
