import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What postmaster.pid says of the server that wrote it. `status` is `starting`, `ready`, `stopping` or empty. */
export type Postmaster = { pid: number; port: number; status: string; raw: string };

/** Reads postmaster.pid of a data directory; null when there is none, or only its first lines so far. */
export function readPostmaster(dataDir: string): Postmaster | null {
  let raw: string;
  try {
    raw = readFileSync(join(dataDir, 'postmaster.pid'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const lines = raw.split('\n');
  return { pid: Math.abs(Number(lines[0])), port: Number(lines[3] ?? 0), status: (lines[7] ?? '').trim(), raw };
}

/**
 * Whether that process is alive and really a server of this data directory. A zombie (killed, its parent has not asked for
 * it yet) is dead although signals still reach it, and after a reboot the number may belong to anybody. `dataDir` as it
 * stands on the server's command line.
 */
export function isServing(pid: number, dataDir: string): boolean {
  if (!isAlive(pid)) return false;
  if (process.platform !== 'linux') return true;
  try {
    // not its working directory: a root without CAP_SYS_PTRACE (Docker's default) may not ask for that
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(dataDir);
  } catch {
    return false;
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  if (process.platform === 'linux') return birth(pid) !== null;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The kernel's start time of a live process (field 22 of /proc/pid/stat): tells a process from a later one with its number. */
function birth(pid: number): string | null {
  if (process.platform !== 'linux') return '0';
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  // the second field is the program's name in brackets and may hold anything, brackets too
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
}

let handles = 0;

/** Notes in `dir` that this process uses the server; gives the way to take the note back. */
export function register(dir: string): () => void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  handles += 1;
  const note = join(dir, `${process.pid}-${birth(process.pid)}-${handles}`);
  writeFileSync(note, '', { mode: 0o600 });
  return () => rmSync(note, { force: true });
}

/** Whether any live process is noted in `dir`. Notes of the dead are swept out. */
export function inUse(dir: string): boolean {
  let used = false;
  for (const name of readdirSync(dir)) {
    const [pid, born] = name.split('-');
    if (birth(Number(pid)) === born && isAlive(Number(pid))) used = true;
    else rmSync(join(dir, name), { force: true });
  }
  return used;
}
