import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

/**
 * `npm run bench` runs every benchmark at its full size, `npm run bench -- accept` the named ones, and `--smoke` each for a
 * moment: then its figures mean nothing, only that it still runs. Each prints a table and its method. A new benchmark is a
 * new line here: its file, and the arguments that make it small.
 */
const benches: { name: string; smoke: string[] }[] = [
  { name: 'accept', smoke: ['--seconds', '1', '--log-level', 'silent'] },
  { name: 'engine', smoke: ['200', '5', '5'] },
  { name: 'prometheus', smoke: ['--alerts', '40'] },
];

const { values, positionals } = parseArgs({
  options: { smoke: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !benches.some((bench) => bench.name === name));
if (unknown.length > 0) {
  console.error(
    `There is no benchmark ${unknown.join(', ')}; choose of: ${benches.map(({ name }) => name).join(', ')}.`,
  );
  process.exit(2);
}

const failed: string[] = [];
for (const { name, smoke } of benches.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
  console.log(`\n== ${name}`);
  const args = [join(import.meta.dirname, `${name}.ts`), ...(values.smoke ? smoke : [])];
  const run = spawnSync(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    timeout: 3_600_000,
  });
  process.stdout.write(run.stdout);
  if (run.status !== 0) failed.push(`${name} ended with ${run.status ?? run.signal}`);
  else if (!/[|│]/.test(run.stdout)) failed.push(`${name} printed no table`);
}
for (const failure of failed) console.error(failure);
process.exitCode = failed.length > 0 ? 1 : 0;
