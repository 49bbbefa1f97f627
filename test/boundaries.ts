import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import ts from 'typescript';
import { forbidden, options, pure } from './boundary-rules.ts';

export type Breach = { rule: string; from: string; to: string };
export type Boundaries = { modules: number; breaches: Breach[] };

/**
 * Holds every module under the folders `src`, `test` and `bench` of `root` against the rules: imports by
 * .dependency-cruiser.mjs, and what an import does not show (clocks, randomness, the environment, SQL) by reading the
 * syntax tree. `modules` is how many files of src were really read: a tool that reads none must not pass.
 */
export async function checkBoundaries(root: string, folders = ['src', 'test', 'bench']): Promise<Boundaries> {
  const { output } = await cruise(
    folders,
    {
      ...options,
      baseDir: root,
      ruleSet: { forbidden },
      validate: true,
      exclude: '^test/fixtures/',
    },
    options.enhancedResolveOptions,
    { tsConfig: ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config },
  );
  const result = output as ICruiseResult;
  const ours = result.modules.map(({ source }) => source).filter((source) => /^src\/.*\.ts$/.test(source));
  const imports = result.summary.violations.map(({ rule, from, to }) => ({ rule: rule.name, from, to }));
  return { modules: ours.length, breaches: [...imports, ...ours.flatMap((file) => readCode(root, file))] };
}

const isPure = (file: string) => pure.some((pattern) => new RegExp(pattern).test(file));
const sql = /^\s*(select\s|insert into\s|update \w+ set\s|delete from\s|with \w+ as\s|listen \w|notify \w)/i;

/** What each place may not say, as the name of a rule and the text that breaks it. */
function readCode(root: string, file: string): Breach[] {
  const source = ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.Latest, true);
  const found: Breach[] = [];
  const report = (rule: string, node: ts.Node) => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart());
    found.push({ rule, from: `${file}:${line + 1}`, to: node.getText().slice(0, 60) });
  };
  const visit = (node: ts.Node): void => {
    if (isPure(file) && readsTheWorld(node)) report('pure-code-gets-time-and-chance-as-arguments', node);
    if (node.getText() === 'process.env' && !/^src\/(config\/|main\.ts$)/.test(file))
      report('environment-only-in-config', node);
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node)) {
      if (sql.test(node.text) && !file.startsWith('src/store/')) report('sql-only-in-the-store', node);
    }
    if (isCallOf(node, 'fetch') && !/^src\/(cli\/|console\/|telemetry\/outbound\.ts$)/.test(file))
      report('one-way-out', node);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const isCallOf = (node: ts.Node, name: string) => ts.isCallExpression(node) && node.expression.getText() === name;

/** Clocks, timers, randomness, the process, the console, the network, and code loaded by name. */
function readsTheWorld(node: ts.Node): boolean {
  if (ts.isNewExpression(node)) return node.expression.getText() === 'Date' && !node.arguments?.length;
  if (ts.isCallExpression(node)) {
    if (node.expression.kind === ts.SyntaxKind.ImportKeyword) return true;
    const callee = node.expression.getText();
    if (/^(setTimeout|setInterval|setImmediate|queueMicrotask|fetch|randomUUID|randomBytes|randomInt)$/.test(callee))
      return true;
    return /^DateTime\.(now|local|utc)$/.test(callee) && node.arguments.length === 0;
  }
  if (!ts.isPropertyAccessExpression(node)) return false;
  return /^(Date\.now|Math\.random|process\.\w+|performance\.\w+|console\.\w+|DateTime\.now|crypto\.random\w+)$/.test(
    node.getText(),
  );
}

/** `npm run boundaries`: 0 when everything is where it belongs, 1 with every breach otherwise. */
if (import.meta.main) {
  const { modules, breaches } = await checkBoundaries(join(import.meta.dirname, '..'));
  for (const { rule, from, to } of breaches) console.error(`${from}: ${rule}: ${to}`);
  if (modules <= 100) console.error(`only ${modules} modules of src were read; the check looks at nothing`);
  console.log(`boundaries: ${modules} modules, ${breaches.length} breaches`);
  process.exitCode = breaches.length > 0 || modules <= 100 ? 1 : 0;
}
