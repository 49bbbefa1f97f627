import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPostgresServer } from './fakes/postgres-server.ts';
import { findPostgres, findProgram, programs } from './fakes/programs.ts';

/**
 * `npm test`: installs the system programs that tests drive (where it may: apt, root), runs every test, then the suites that
 * use the store once more on a PostgreSQL server of the operating system's. `npm test -- PATH…` runs only the files whose
 * path contains one of them. The last line sums up: `N passed, N failed, N skipped`.
 */
type Tally = { passed: number; failed: number; skipped: number };

const root = join(import.meta.dirname, '..');
const ci = process.env.CI === 'true';
const filters = process.argv.slice(2);
const say = (text: string) => process.stdout.write(`${text}\n`);

const total: Tally = { passed: 0, failed: 0, skipped: 0 };
const add = (tally: Tally) => {
  for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += tally[key];
};

await install(missingPackages());
for (const name of missingPackages()) {
  say(`\n!! ${name} is not installed, and the tests that drive it do not run. As root: apt-get install ${name}\n`);
  // what a person may go without, a machine that says whether the work is good may not
  if (ci) total.failed += 1;
}

add(await runVitest('everything, on the embedded store', filters));
const bin = findPostgres();
const again = storeSuites().filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)));
if (again.length > 0 && bin) {
  const server = await startPostgresServer(bin);
  try {
    add(
      await runVitest(`what uses the store, on the PostgreSQL server in ${bin}`, again, {
        TEST_DATABASE_URL: server.url,
      }),
    );
  } finally {
    await server.stop();
  }
} else if (again.length > 0) {
  total.skipped += again.length;
}

say(`\n${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;

function missingPackages(): string[] {
  const missing = (Object.keys(programs) as (keyof typeof programs)[])
    .filter((name) => findProgram(name) === null)
    .map((name) => programs[name].package);
  if (findPostgres() === null) missing.push('postgresql');
  return [...new Set(missing)];
}

/** Installs with apt, as root, and starts no service: the tests start what they need on ports of their own. */
async function install(packages: string[]): Promise<void> {
  if (packages.length === 0 || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return;
  say(`installing ${packages.join(' ')} …`);
  // Debian's packages ask this script whether they may start their service; 101 is no
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    for (const wait of [5_000, 15_000, 0]) {
      const done =
        apt(['update']) &&
        apt(['install', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120', ...packages]);
      if (done) return;
      await sleep(wait);
    }
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
}

function apt(args: string[]): boolean {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const run = spawnSync('/usr/bin/apt-get', ['-q', ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  if (run.status !== 0) say(`apt-get ${args[0]} failed:\n${(run.stderr || run.stdout).slice(-2_000)}`);
  return run.status === 0;
}

/** The files that open a database of their own by test/fakes/postgres.ts, directly or through a fixture beside them. */
function storeSuites(): string[] {
  const dir = join(root, 'test/integration');
  const files = readdirSync(dir).filter((name) => name.endsWith('.ts'));
  const text = new Map(files.map((name) => [name, readFileSync(join(dir, name), 'utf8')]));
  const opens = (name: string): boolean => /\bwithDatabase\b/.test(text.get(name) ?? '');
  const fixtures = files.filter((name) => !name.endsWith('.test.ts') && opens(name));
  return files
    .filter((name) => name.endsWith('.test.ts'))
    .filter((name) => opens(name) || fixtures.some((fixture) => text.get(name)?.includes(`./${fixture}`)))
    .map((name) => `test/integration/${name}`);
}

async function runVitest(title: string, files: string[], env: Record<string, string> = {}): Promise<Tally> {
  say(`\n== ${title}`);
  const out = mkdtempSync(join(tmpdir(), 'tocsin-report-'));
  const report = join(out, 'report.json');
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...files];
  try {
    const child = spawn(process.execPath, args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...env },
    });
    // an interrupt from the keyboard reaches vitest by itself; we only stay to stop what we started
    const onSignal = (signal: NodeJS.Signals) => child.kill(signal);
    process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
    const code = await new Promise<number>((resolve) => child.once('exit', (status) => resolve(status ?? 1)));
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
    return readReport(report, code);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/** A file that did not load, and an error outside any test, count as one failure each, so that none is lost in the sum. */
function readReport(file: string, code: number): Tally {
  if (!existsSync(file)) return { passed: 0, failed: 1, skipped: 0 };
  const report = JSON.parse(readFileSync(file, 'utf8')) as {
    numPassedTests: number;
    numFailedTests: number;
    numPendingTests: number;
    numTodoTests: number;
    testResults: { status: string; assertionResults: { status: string }[] }[];
  };
  const broken = report.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((assertion) => assertion.status === 'failed'),
  ).length;
  const failed = report.numFailedTests + broken;
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && code !== 0 ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}
