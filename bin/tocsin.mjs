#!/usr/bin/env node
// The door to every command. A checkout runs the TypeScript as it stands (Node >= 22.18 strips types); a published
// package or image runs dist/. Plain JavaScript, so that an old Node gets a sentence instead of a syntax error.
import { existsSync } from 'node:fs';
import module from 'node:module';
import { fileURLToPath } from 'node:url';
import { isNewEnough, runInNewEnough } from './node.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// npx puts a shell between itself and us that dies of the SIGTERM meant for us; then we stop as if it had reached us
if (process.env.npm_command === 'exec') {
  const starter = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === starter) return;
    clearInterval(watch);
    process.kill(process.pid, 'SIGTERM');
  }, 500).unref();
}

if (isNewEnough) {
  // a reader that has seen enough (`tocsin oncall | head -1`) is no failure
  process.stdout.on('error', (error) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  // What was compiled once is kept beside the packages: a start then takes half the time, and 40 MB less because nothing has to
  // be stripped of types. Where that folder cannot be written everything works without.
  const cache = module.enableCompileCache(here('../node_modules/.cache/tocsin'));
  // The work thread makes its own.
  if (cache.directory) process.env.NODE_COMPILE_CACHE = here('../node_modules/.cache/tocsin');
  // only a checkout has src/; there a dist/ of an earlier build must never win over what was just edited
  const source = here('../src/main.ts');
  await import(existsSync(source) ? source : here('../dist/main.js'));
} else {
  runInNewEnough(fileURLToPath(import.meta.url), process.argv.slice(2));
}
