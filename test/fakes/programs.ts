import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A program of the operating system that tests drive: its names, and the Debian package that brings it. */
type Program = { names: readonly string[]; package: string };

/** What `npm test` installs where it can, and what suites skip without. Debian prefixes Alertmanager's name. */
export const programs = {
  prometheus: { names: ['prometheus'], package: 'prometheus' },
  promtool: { names: ['promtool'], package: 'prometheus' },
  alertmanager: { names: ['prometheus-alertmanager', 'alertmanager'], package: 'prometheus-alertmanager' },
  amtool: { names: ['amtool'], package: 'prometheus-alertmanager' },
} satisfies Record<string, Program>;

/** The path of a program, or null where it is not installed. */
export function findProgram(name: keyof typeof programs): string | null {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin'].filter(Boolean);
  return (
    folders.flatMap((dir) => programs[name].names.map((file) => join(dir, file))).find((path) => isExecutable(path)) ??
    null
  );
}

/** The folder with `initdb` and `postgres` of the newest PostgreSQL server that Debian has installed, or null. */
export function findPostgres(): string | null {
  const root = '/usr/lib/postgresql';
  const versions = listed(root)
    .map(Number)
    .filter((version) => version >= 15)
    .sort((a, b) => b - a);
  return (
    versions.map((version) => join(root, `${version}`, 'bin')).find((dir) => isExecutable(join(dir, 'initdb'))) ?? null
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function listed(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}
