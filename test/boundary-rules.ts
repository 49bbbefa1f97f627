import type { ICruiseOptions, IForbiddenRuleType } from 'dependency-cruiser';

/**
 * Who may import whom. The pure half of the product gets time, ids and rows as arguments, so that `replay` and the service
 * run the same code and a test needs no mock. What an import cannot show (a clock, randomness, the environment, SQL in a
 * string) is looked for by test/boundaries.ts.
 */
export const pure = [
  '^src/(domain|score|decide|route|escalate)/',
  '^src/correlate/(?!train/)',
  '^src/(pipeline|assess|rules)[.]ts$',
  '^src/assess/',
  '^src/receive/(intake|take-in|take-poll|reconcile-plan|heartbeats|remember-deploy|parse|poll|fingerprint|envelope|decode)[.]ts$',
  '^src/receive/deploys/',
  '^src/respond/(apply|kill-switch|label)[.]ts$',
  '^src/notify/(announce|digest|plan|message|text|figures|unit|[a-z-]+-words|render-slack|slack-actions)[.]ts$',
  '^src/config/(schema|metric-queries)[.]ts$',
];
const pureLibraries = '^node_modules/(@types/)?(zod|luxon|re2js|@prometheus-io/lezer-promql|@lezer/(common|lr))/';
const npm = (...names: string[]) => names.map((name) => `^node_modules/(@types/)?${name}/`);

export const forbidden: IForbiddenRuleType[] = [
  {
    name: 'pure-code-imports-pure-code',
    comment:
      'Correlating, scoring, deciding, routing and planning may not reach a socket, a file, the store or a clock.',
    severity: 'error',
    from: { path: pure },
    to: { pathNot: [...pure, pureLibraries, '^(node:)?crypto$', '^src/'], dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'pure-code-imports-only-types-of-the-rest',
    comment: 'Types of the rest vanish at run time; code of it would bring I/O in.',
    severity: 'error',
    from: { path: pure },
    to: { path: '^src/', pathNot: pure, dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'postgresql-only-in-the-store',
    comment: 'All SQL is in src/store; elsewhere only the type of a pool. pg-boss brings its own, in src/jobs.',
    severity: 'error',
    from: { path: '^src/', pathNot: '^src/store/' },
    to: { path: npm('pg'), dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'job-engine-behind-its-port',
    severity: 'error',
    from: { path: '^src/', pathNot: '^src/jobs/' },
    to: { path: npm('pg-boss') },
  },
  {
    name: 'one-way-out',
    comment: 'Outbound HTTP goes through telemetry/outbound.ts: timeout, retry, redaction and metrics in one place.',
    severity: 'error',
    from: { path: '^src/', pathNot: '^src/telemetry/outbound[.]ts$' },
    to: { path: npm('axios'), dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'people-are-reached-by-notify',
    severity: 'error',
    from: { path: '^src/', pathNot: '^src/notify/' },
    to: { path: npm('@slack/.+', 'nodemailer'), dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'express-only-at-the-door',
    severity: 'error',
    from: { path: '^src/', pathNot: '^src/(api|receive|console)/' },
    to: { path: npm('express'), dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'only-the-process-wires',
    comment: 'app.ts, work/ and cli/ put the parts together; no part may reach back to them.',
    severity: 'error',
    from: { path: '^src/', pathNot: '^src/(app|main)[.]ts$|^src/(cli|work)/' },
    to: { path: '^src/(app|main)[.]ts$|^src/(cli|work)/', dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'no-circles',
    severity: 'error',
    from: { path: '^src/' },
    to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
  },
  {
    name: 'the-product-does-not-need-its-workshop',
    comment:
      'What runs may not import tests, benchmarks or development packages: they are not in the published package.',
    severity: 'error',
    from: { path: '^src/', pathNot: '^src/correlate/train/' },
    to: { path: '^(test|bench)/|^src/correlate/train/' },
  },
  {
    name: 'no-development-packages-at-run-time',
    severity: 'error',
    from: { path: '^src/' },
    to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'everything-imported-exists',
    severity: 'error',
    from: { path: '^(src|test|bench)/' },
    to: { couldNotResolve: true },
  },
];

export const options: ICruiseOptions = {
  doNotFollow: { path: 'node_modules' },
  // without it an `import type` is not seen at all
  tsPreCompilationDeps: true,
  tsConfig: { fileName: 'tsconfig.json' },
  enhancedResolveOptions: {
    exportsFields: ['exports'],
    conditionNames: ['import', 'require', 'node', 'default', 'types'],
    extensions: ['.ts', '.mjs', '.js', '.json', '.d.ts'],
  },
};
