import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Embedded, startEmbedded } from '../../src/store/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openPool } from '../../src/store/pool.ts';
import type { Log } from '../../src/store/types.ts';
import { quiet } from '../fakes/postgres.ts';

let dataDir: string;
const started: Embedded[] = [];
const children: ChildProcess[] = [];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'tocsin-embedded-'));
  chmodSync(dataDir, 0o755); // mkdtemp makes 0700, which would keep root's server account out
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const embedded of started.splice(0)) await embedded.stop();
  rmSync(dataDir, { recursive: true, force: true });
}, 30_000);

async function start(log: Log = quiet): Promise<Embedded> {
  const embedded = await startEmbedded({ dataDir, log });
  started.push(embedded);
  return embedded;
}

const data = () => join(dataDir, 'postgres', 'cluster', 'data');
const postmaster = () => Number(readFileSync(join(data(), 'postmaster.pid'), 'utf8').split('\n')[0]);

async function query(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => {});
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

/** A process of its own that starts or adopts the server, says so, and (with `append`) appends deliveries until it dies. */
function run(mode: 'hold' | 'append'): { child: ChildProcess; lines: string[] } {
  const program = fileURLToPath(new URL('../fakes/embedded-process.ts', import.meta.url));
  const child = spawn(process.execPath, [program, dataDir, mode], { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  const lines: string[] = [];
  let rest = '';
  child.stdout!.on('data', (chunk) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop()!;
    lines.push(...parts);
  });
  return { child, lines };
}

const exited = (child: ChildProcess) =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise<void>((resolve) => child.once('exit', () => resolve()));

test('the server listens on the loopback address only, asks for a password and keeps it in a 0600 file', async () => {
  const { url, adopted } = await start();
  expect(adopted).toBe(false);
  expect(new URL(url).hostname).toBe('127.0.0.1');
  const { rows } = await query(
    url,
    `select current_setting('listen_addresses') as addresses, current_setting('unix_socket_directories') as sockets,
            current_setting('fsync') as fsync, current_setting('synchronous_commit') as synced,
            current_setting('server_encoding') as encoding`,
  );
  expect(rows[0]).toEqual({ addresses: '127.0.0.1', sockets: '', fsync: 'on', synced: 'on', encoding: 'UTF8' });
  expect(statSync(join(dataDir, 'postgres', 'cluster', 'password')).mode & 0o777).toBe(0o600);
  const wrong = new URL(url);
  wrong.password = 'guess';
  await expect(query(wrong.toString(), 'select 1')).rejects.toThrow(/password authentication failed/);
}, 30_000);

test('it never runs as root', async () => {
  await start();
  expect(statSync(`/proc/${postmaster()}`).uid).not.toBe(0);
}, 30_000);

test('stop stops it, and the next start finds the same data on the same port', async () => {
  const first = await start();
  await query(first.url, 'create table kept as select 1 as x');
  await first.stop();
  expect(existsSync(join(data(), 'postmaster.pid'))).toBe(false);
  const second = await start();
  expect(second).toMatchObject({ adopted: false, url: first.url });
  expect((await query(second.url, 'select x from kept')).rows).toEqual([{ x: 1 }]);
}, 30_000);

test('a second user adopts the running server, and the last one out stops it', async () => {
  const service = await start();
  const command = await start();
  expect(command).toMatchObject({ adopted: true, url: service.url });
  await command.stop();
  await query(service.url, 'select 1');
  await service.stop();
  expect(existsSync(join(data(), 'postmaster.pid'))).toBe(false);
}, 30_000);

test('several processes starting at once on an empty folder end with one server', async () => {
  const runs = [run('hold'), run('hold'), run('hold')];
  await vi.waitFor(() => expect(runs.map(({ lines }) => lines.length)).toEqual([1, 1, 1]), { timeout: 25_000 });
  const said = runs.map(({ lines }) => JSON.parse(lines[0]!) as { url: string; adopted: boolean });
  expect(new Set(said.map(({ url }) => url)).size).toBe(1);
  expect(said.filter(({ adopted }) => !adopted)).toHaveLength(1);
  for (const { child } of runs) child.stdin!.end();
  await Promise.all(runs.map(({ child }) => exited(child)));
  await vi.waitFor(() => expect(existsSync(join(data(), 'postmaster.pid'))).toBe(false), { timeout: 10_000 });
}, 60_000);

test('the server outlives a kill -9 of its process and is adopted by the next', async () => {
  const { child, lines } = run('hold');
  await vi.waitFor(() => expect(lines).toHaveLength(1), { timeout: 25_000 });
  child.kill('SIGKILL');
  await exited(child);
  const next = await start();
  expect(next.adopted).toBe(true);
  expect(next.url).toBe(JSON.parse(lines[0]!).url);
}, 60_000);

test('a killed server is started again on the same port while somebody uses it', async () => {
  const { url } = await start();
  await query(url, 'create table kept as select 1 as x');
  process.kill(postmaster(), 'SIGKILL');
  await vi.waitFor(async () => expect((await query(url, 'select x from kept')).rows).toEqual([{ x: 1 }]), {
    timeout: 20_000,
    interval: 200,
  });
}, 60_000);

test('a lock file whose process number now belongs to somebody else does not stop the start', async () => {
  const first = await start();
  await first.stop();
  const foreign = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'], { stdio: 'ignore' });
  children.push(foreign);
  writeFileSync(join(data(), 'postmaster.pid'), `${foreign.pid}\n${data()}\n1700000000\n1\n\n127.0.0.1\n\nready\n`);
  const again = await start();
  expect(again.adopted).toBe(false);
  await query(again.url, 'select 1');
}, 30_000);

test.runIf(process.platform === 'linux')(
  'a killed server that nobody has buried yet (a zombie) counts as dead',
  async () => {
    const first = await start();
    await first.stop();
    // the background child ends at once, and the program its parent became never asks for it
    const parent = spawn('/bin/sh', ['-c', 'sleep 0 & echo $!; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    children.push(parent);
    const pid = await new Promise<number>((resolve) => parent.stdout.once('data', (line) => resolve(Number(line))));
    await vi.waitFor(() => expect(readFileSync(`/proc/${pid}/stat`, 'latin1')).toMatch(/\) Z /), { timeout: 5_000 });
    writeFileSync(join(data(), 'postmaster.pid'), `${pid}\n${data()}\n1700000000\n1\n\n127.0.0.1\n\nready\n`);
    const again = await start();
    expect(again.adopted).toBe(false);
    await query(again.url, 'select 1');
  },
  30_000,
);

test('a folder with data of another PostgreSQL is refused with what to do', async () => {
  await (await start()).stop();
  writeFileSync(join(data(), 'PG_VERSION'), '12\n');
  await expect(start()).rejects.toThrow(/is of PostgreSQL 12, .*pg_dump/);
}, 30_000);

test('no acknowledged delivery is lost when the server is killed in the middle of appends', async () => {
  const acknowledged = new Set<string>();
  for (let round = 0; round < 4; round += 1) {
    const { child, lines } = run('append');
    await vi.waitFor(() => expect(lines.length).toBeGreaterThan(50 + round * 40), { timeout: 30_000, interval: 10 });
    const pid = postmaster();
    // by turns the database alone, both at once, and the service alone
    if (round % 2 === 0) process.kill(pid, 'SIGKILL');
    if (round > 0) child.kill('SIGKILL');
    else {
      const before = lines.length;
      await vi.waitFor(() => expect(lines.length).toBeGreaterThan(before + 20), { timeout: 30_000, interval: 10 });
      child.kill('SIGKILL');
    }
    await exited(child);
    await sleep(20);
    for (const line of lines.slice(1)) acknowledged.add(line);
  }
  const { url } = await start();
  const { rows } = await query(
    url,
    'select trace, count(*)::int as times from deliveries join inbox on id = delivery_id group by trace',
  );
  const stored = new Set(rows.map((row) => row.trace));
  expect(acknowledged.size).toBeGreaterThan(200);
  expect([...acknowledged].filter((trace) => !stored.has(trace))).toEqual([]);
}, 120_000);

test.runIf(process.getuid?.() === 0)(
  'root with data behind a closed parent folder: they live in /var/lib/tocsin and the log says so',
  async () => {
    chmodSync(dataDir, 0o700);
    const said: { fields: { path?: string }; message: string }[] = [];
    const closed = join(dataDir, 'data');
    const embedded = await startEmbedded({
      dataDir: closed,
      log: { ...quiet, info: (fields, message) => void said.push({ fields, message }) },
    });
    const path = said.find(({ message }) => message.includes('/var/lib/tocsin'))?.fields.path ?? '';
    try {
      expect(path).toMatch(/^\/var\/lib\/tocsin\/.+/);
      const pool = openPool(embedded.url, { max: 1, name: 'test' });
      await migrate(pool, { log: quiet });
      await pool.end();
    } finally {
      await embedded.stop();
      if (path.startsWith('/var/lib/tocsin/')) rmSync(join(path, '..'), { recursive: true, force: true });
    }
  },
  60_000,
);
