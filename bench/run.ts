import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

/**
 * `npm run bench` runs every benchmark at its full size, `npm run bench -- accept` the named ones, and `--smoke` each for a
 * moment: then its figures mean nothing, only that it still runs. Each prints a table and its method. A new benchmark is a
 * new line here: its file, and the arguments that make it small (null: there is no small).
 */
const benches: { name: string; smoke: string[] | null }[] = [
  { name: 'accept', smoke: ['--seconds', '1', '--log-level', 'silent'] },
  { name: 'sustained', smoke: ['--alerts', '200'] },
  { name: 'first-notification', smoke: ['--alerts', '2'] },
  { name: 'memory', smoke: ['--alerts', '500'] },
  { name: 'engine', smoke: ['200', '5', '5'] },
  { name: 'takeover', smoke: ['--alerts', '60', '--seconds', '4', '--seeds', '1'] },
  { name: 'decision', smoke: ['--rounds', '20'] },
  { name: 'looking-back', smoke: ['--incidents', '300'] },
  { name: 'rehearsal', smoke: ['--changes', '400', '--explained', '5', '--policies', '5'] },
  { name: 'prometheus', smoke: ['--alerts', '50'] },
  { name: 'event-loop', smoke: ['--bodies', '1'] },
  { name: 'deploys', smoke: ['--stories', '20'] },
  { name: 'anomaly/types', smoke: ['--seeds', '1'] },
  // fixed sizes of 10,000 points and a cubic opponent; and one that needs recordings which are not in the repository
  { name: 'correlate/speed', smoke: null },
  { name: 'correlate/evaluate', smoke: null },
  { name: 'suppression', smoke: null },
  { name: 'anomaly/nab', smoke: null },
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
const chosen = benches.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
for (const { name, smoke } of chosen) {
  if (values.smoke && smoke === null) continue;
  console.log(`\n== ${name}`);
  const args = [join(import.meta.dirname, `${name}.ts`), ...(values.smoke ? (smoke ?? []) : [])];
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
