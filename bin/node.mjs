// node bin/node.mjs FILE [ARGUMENT…]: runs a file with a Node that can run it: this one, else the one that npm ci brought.
// Plain JavaScript, so that an old Node gets a sentence instead of a syntax error.
import { spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);

/** Types are stripped natively from 22.18 on. */
export const isNewEnough = major > 22 || (major === 22 && minor >= 18);

/** Runs `file` in a process of its own, hands signals on, and ends as it ends. Ends with 2 where there is no Node for it. */
export function runInNewEnough(file, args) {
  const node = isNewEnough ? process.execPath : findPinned();
  if (!node) {
    console.error(
      `tocsin needs Node 22.18 or newer; this is ${process.version}. Install a newer Node, or run npm ci, which brings one on Linux.`,
    );
    process.exit(2);
  }
  // what it starts in turn (vitest, tsc) finds the same Node first
  const env = { ...process.env, PATH: dirname(node) + delimiter + process.env.PATH };
  const run = spawn(node, [file, ...args], { stdio: 'inherit', env });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2']) process.on(signal, () => run.kill(signal));
  run.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
}

/** In its package, not as node_modules/.bin/node: npm 9 sometimes removes that link with the package for other processors. */
function findPinned() {
  try {
    const manifest = createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/package.json`);
    const node = join(dirname(manifest), 'bin', 'node');
    return existsSync(node) ? node : null;
  } catch {
    return null;
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [file, ...args] = process.argv.slice(2);
  runInNewEnough(file, args);
}
