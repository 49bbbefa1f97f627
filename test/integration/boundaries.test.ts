import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { checkBoundaries } from '../boundaries.ts';
import { forbidden } from '../boundary-rules.ts';

const root = join(import.meta.dirname, '../..');

/** A project of a few files, with stand-ins for the packages that they import. */
function project(files: Record<string, string>): string {
  const dir = mkdtempSync(join(tmpdir(), 'tocsin-boundaries-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  cpSync(join(root, 'tsconfig.json'), join(dir, 'tsconfig.json'));
  const dependencies = ['pg', 'pg-boss', 'axios', '@slack/web-api', 'nodemailer', 'express', 'zod'];
  const write = (name: string, text: string) => {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  };
  const versions = (names: string[]) => Object.fromEntries(names.map((name) => [name, '1.0.0']));
  write(
    'package.json',
    JSON.stringify({ type: 'module', dependencies: versions(dependencies), devDependencies: versions(['vitest']) }),
  );
  for (const name of [...dependencies, 'vitest']) {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: '1.0.0', main: 'index.js' }));
    write(`node_modules/${name}/index.js`, 'module.exports = {};');
  }
  write('src/domain/word.ts', 'export type Word = string;\nexport const word = (text: string): Word => text;\n');
  for (const [name, text] of Object.entries(files)) write(name, text);
  return dir;
}

/** Rule, and a file that breaks it (with what that file needs beside it). */
const planted: [rule: string, files: Record<string, string>][] = [
  [
    'pure-code-imports-pure-code',
    { 'src/correlate/bad.ts': "import { readFileSync } from 'node:fs';\nreadFileSync('x');" },
  ],
  ['pure-code-imports-pure-code', { 'src/score/bad.ts': "import axios from 'axios';\naxios();" }],
  [
    'pure-code-imports-only-types-of-the-rest',
    {
      'src/store/rows.ts': 'export const rows = [];',
      'src/decide/bad.ts': "import { rows } from '../store/rows.ts';\nexport const bad = rows;",
    },
  ],
  ['postgresql-only-in-the-store', { 'src/api/bad.ts': "import pg from 'pg';\nnew pg.Pool();" }],
  ['job-engine-behind-its-port', { 'src/work/bad.ts': "import { PgBoss } from 'pg-boss';\nnew PgBoss();" }],
  ['one-way-out', { 'src/enrich/bad.ts': "import axios from 'axios';\naxios();" }],
  ['one-way-out', { 'src/enrich/bad.ts': "export const bad = () => fetch('http://x');" }],
  [
    'people-are-reached-by-notify',
    { 'src/respond/bad.ts': "import { WebClient } from '@slack/web-api';\nnew WebClient();" },
  ],
  [
    'people-are-reached-by-notify',
    { 'src/api/bad.ts': "import { createTransport } from 'nodemailer';\ncreateTransport();" },
  ],
  ['express-only-at-the-door', { 'src/notify/bad.ts': "import express from 'express';\nexpress();" }],
  [
    'only-the-process-wires',
    {
      'src/app.ts': 'export const app = 1;',
      'src/notify/bad.ts': "import { app } from '../app.ts';\nexport const bad = app;",
    },
  ],
  [
    'no-circles',
    {
      'src/api/one.ts': "import { two } from './two.ts';\nexport const one = () => two();",
      'src/api/two.ts': "import { one } from './one.ts';\nexport const two = (): unknown => one();",
    },
  ],
  [
    'the-product-does-not-need-its-workshop',
    {
      'test/help.ts': 'export const help = 1;',
      'src/api/bad.ts': "import { help } from '../../test/help.ts';\nexport const bad = help;",
    },
  ],
  ['no-development-packages-at-run-time', { 'src/api/bad.ts': "import { vi } from 'vitest';\nvi();" }],
  ['everything-imported-exists', { 'src/api/bad.ts': "import { gone } from './gone.ts';\ngone();" }],
  ['pure-code-gets-time-and-chance-as-arguments', { 'src/escalate/bad.ts': 'export const bad = () => Date.now();' }],
  ['pure-code-gets-time-and-chance-as-arguments', { 'src/pipeline.ts': 'export const bad = () => new Date();' }],
  ['pure-code-gets-time-and-chance-as-arguments', { 'src/route/bad.ts': 'export const bad = [1].map(Math.random);' }],
  [
    'pure-code-gets-time-and-chance-as-arguments',
    { 'src/route/bad.ts': "export const bad = () => import('node:fs');" },
  ],
  ['environment-only-in-config', { 'src/notify/bad.ts': 'export const bad = process.env.TOKEN;' }],
  ['sql-only-in-the-store', { 'src/api/bad.ts': "export const bad = 'select * from incidents';" }],
];

test.each(planted)('%s: a file that breaks it is reported', async (rule, files) => {
  const { breaches } = await checkBoundaries(
    project(files),
    ['src', 'test'].filter((dir) => dir === 'src' || 'test/help.ts' in files),
  );
  expect(breaches.map((breach) => breach.rule)).toContain(rule);
});

test('every rule has a planted breach', () => {
  const rules = new Set(planted.map(([rule]) => rule));
  expect(forbidden.map(({ name }) => name).filter((name) => !rules.has(name ?? ''))).toEqual([]);
});

test('what is allowed is not reported: types of the rest, a hash, a given time', async () => {
  const dir = project({
    'src/store/types.ts': 'export type Row = { id: string };',
    'src/score/good.ts': [
      "import { createHash } from 'node:crypto';",
      "import { z } from 'zod';",
      "import { word } from '../domain/word.ts';",
      "import type { Row } from '../store/types.ts';",
      "export const good = (row: Row, now: number) => [new Date(now), createHash('sha256').update(word(row.id)), z];",
    ].join('\n'),
  });
  expect(await checkBoundaries(dir, ['src'])).toEqual({ modules: 3, breaches: [] });
});

test('the product keeps its own boundaries, and the check has really read it', async () => {
  const { modules, breaches } = await checkBoundaries(root);
  expect(breaches).toEqual([]);
  expect(modules).toBeGreaterThan(100);
});
