import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { readEnvironment, roles, UnusableConfig } from './config/env.ts';

/**
 * Every command, each in a file of its own that is loaded only when it is called. Results go to stdout, errors to stderr.
 * Exit codes: 0 fine, 1 the thing checked is at fault, 2 wrong usage or unusable config.
 */
const version: string = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;
const out = (text: string): void => {
  process.stdout.write(text);
};
const err = (text: string): void => {
  process.stderr.write(text);
};
const env = process.env;
const json = () => new Option('--json', 'print the result as JSON');
const config = () => new Option('--config <dir>', 'the config folder (default: TOCSIN_CONFIG or ./config)');
const url = () => new Option('--url <url>', 'the running service').default('http://127.0.0.1:8080');
const token = () =>
  new Option('--token <token>', 'a token of the service, when it has any (better: TOCSIN_TOKEN)').env('TOCSIN_TOKEN');
const configDir = (options: { config?: string }): string => options.config ?? readEnvironment().configDir;

const program = new Command('tocsin')
  .description('From an alert storm to a few explained incidents.')
  .version(version)
  .showHelpAfterError('(see --help)')
  .showSuggestionAfterError()
  .exitOverride();

program
  .command('serve')
  .description('run the service')
  .addOption(config())
  .addOption(new Option('--role <role>', 'receive only takes webhooks, work only processes').choices(roles))
  .action(async (options: { config?: string; role?: (typeof roles)[number] }) => {
    const { runServe } = await import('./cli/serve.ts');
    const environment = readEnvironment();
    process.exitCode = await runServe({
      environment: {
        ...environment,
        configDir: options.config ?? environment.configDir,
        role: options.role ?? environment.role,
      },
      version,
    });
  });

program
  .command('check')
  .description('validate the whole config tree; every fault with file:line:column')
  .addOption(config())
  .option('--online', 'also ask the real Prometheus, Alertmanager, Slack, PagerDuty and SMTP')
  .addOption(json())
  .action(async (options: { config?: string; online?: boolean; json?: boolean }) => {
    const { runCheck } = await import('./cli/check.ts');
    process.exitCode = await runCheck({
      dir: configDir(options),
      online: options.online ?? false,
      json: options.json ?? false,
      out,
      err,
      env,
    });
  });

/** Where a past comes from: a file, the store's own deliveries, or a Prometheus that remembers its alerts. */
const past = (command: Command): Command =>
  command
    .argument('[stream]', 'JSON lines, may be gzipped: {"at","kind","body"}; without it, what the store remembers')
    .option('--from <time>', "the store's own past from this day, time or how long ago, for example 30d")
    .option('--to <time>', 'until then (default: now)')
    .option('--alerts-from <url>', "what fired by a Prometheus' ALERTS series, instead of the store")
    .option('--match <matcher...>', 'of --alerts-from: only these alerts, for example severity="critical"')
    .option('--step <duration>', 'of --alerts-from: how finely to look (default: 1m)')
    .option(
      '--group-by <labels>',
      'of --alerts-from: what Alertmanager groups by (default: alertname,cluster,namespace)',
    )
    .option('--topology <file>', 'the call graph: {"nodes":[…],"edges":[…]}');
type PastFlags = {
  from?: string;
  to?: string;
  alertsFrom?: string;
  match?: string[];
  step?: string;
  groupBy?: string;
  topology?: string;
};
const pastOf = (stream: string | undefined, flags: PastFlags) => ({
  stream: stream ?? null,
  from: flags.from ?? null,
  to: flags.to ?? null,
  alertsFrom: flags.alertsFrom ?? null,
  match: flags.match ?? [],
  step: flags.step ?? null,
  groupBy: flags.groupBy ?? null,
});

past(program.command('replay'))
  .description('run a past through the real pipeline in simulated time, with no side effects')
  .addOption(config())
  .option('--prometheus <url>', 'a Prometheus that knows the metrics of the stream; asked with the time of the stream')
  .option(
    '--report',
    'say what it comes to, as Markdown: incidents, pages, what mode active would hold back and at what loss',
  )
  .option('--save <file>', 'keep the past as a stream here (.gz: gzipped), for diff and later runs')
  .option('--out <file>', 'write the result here instead of stdout')
  .option('--timing', 'add how fast it went (leaves the byte-for-byte promise)')
  .addOption(new Option('--json', 'the outcomes as JSON, which is the default').conflicts('report'))
  .action(
    async (
      stream: string | undefined,
      options: PastFlags & {
        config?: string;
        prometheus?: string;
        report?: boolean;
        save?: string;
        out?: string;
        timing?: boolean;
      },
    ) => {
      const { runReplay } = await import('./cli/replay.ts');
      const { topology = null, prometheus = null, out: file = null, save = null, timing = false } = options;
      process.exitCode = await runReplay({
        past: pastOf(stream, options),
        dir: configDir(options),
        env,
        environment: readEnvironment,
        topology,
        prometheus,
        file,
        save,
        report: options.report ?? false,
        timing,
        now: Date.now(),
        out,
        err,
      });
    },
  );

past(program.command('diff'))
  .description('what another config would have done differently with a past')
  .requiredOption(
    '--config <dir>',
    'given twice: the old config folder, then the new one',
    (dir: string, given: string[]) => [...given, dir],
    [],
  )
  .addOption(new Option('--format <format>', 'how to say it').choices(['md', 'json']).default('md'))
  .option('--fail-if <expression>', 'exit with 1 when it holds, for example "missed_pages>0 || added_delay_seconds>60"')
  .addOption(json())
  .action(
    async (
      stream: string | undefined,
      options: PastFlags & { config: string[]; format: 'md' | 'json'; failIf?: string; json?: boolean },
    ) => {
      const { runDiff } = await import('./cli/diff.ts');
      const { config: configs, topology = null, failIf = null } = options;
      process.exitCode = await runDiff({
        past: pastOf(stream, options),
        configs,
        topology,
        format: options.json ? 'json' : options.format,
        failIf,
        env,
        environment: readEnvironment,
        now: Date.now(),
        out,
        err,
      });
    },
  );

program
  .command('test')
  .description('policy unit tests: alerts at times in; incidents, verdicts, receivers and escalations at times out')
  .argument('<file...>')
  .addOption(config())
  .option('--junit <file>', 'also write the result as JUnit XML, for CI systems that show it')
  .addOption(json())
  .action(async (files: string[], options: { config?: string; junit?: string; json?: boolean }) => {
    const { runPolicyTests } = await import('./cli/policy-test.ts');
    process.exitCode = await runPolicyTests({
      files,
      dir: configDir(options),
      env,
      json: options.json ?? false,
      junit: options.junit ?? null,
      out,
      err,
    });
  });

const routes = program.command('routes').description('ask the routing tree');
routes
  .command('test')
  .description('the route, team, channels and escalation policy that an alert with these labels gets')
  .argument('<label=value...>')
  .addOption(config())
  .addOption(json())
  .action(async (words: string[], options: { config?: string; json?: boolean }) => {
    const { runRoutesTest } = await import('./cli/routes-test.ts');
    const loaded = await import('./cli/load.ts').then((m) => m.loadOrExplain(configDir(options), env, err));
    process.exitCode = loaded ? runRoutesTest({ config: loaded, words, json: options.json ?? false, out, err }) : 2;
  });

program
  .command('storm')
  .description('post a realistic alert storm to a running service, for a first look')
  .addOption(url())
  .addOption(token())
  .option('--scenario <name>', 'which storm (--list names them)', 'checkout-outage')
  .option('--list', 'name the scenarios')
  .option('--fast', 'post without the pauses of a real storm')
  .action(async (options: { url: string; token?: string; scenario: string; list?: boolean; fast?: boolean }) => {
    const { runStorm } = await import('./cli/storm.ts');
    process.exitCode = await runStorm({
      ...options,
      list: options.list ?? false,
      fast: options.fast ?? false,
      out,
      err,
    });
  });

program
  .command('drill')
  .description('send a labelled drill through every channel of a route and say what became of it')
  .option('--route <label=value...>', 'labels that choose the route', [])
  .addOption(url())
  .addOption(token())
  .addOption(json())
  .action(async (options: { route: string[]; url: string; token?: string; json?: boolean }) => {
    const { runDrill } = await import('./cli/drill.ts');
    process.exitCode = await runDrill({
      words: options.route,
      url: options.url,
      token: options.token ?? null,
      json: options.json ?? false,
      out,
      err,
    });
  });

program
  .command('oncall')
  .description('who is on call now and next')
  .addOption(config())
  .option('--at <time>', 'at this RFC 3339 time instead of now')
  .addOption(json())
  .action(async (options: { config?: string; at?: string; json?: boolean }) => {
    const { runOncall } = await import('./cli/oncall.ts');
    const at = options.at === undefined ? Date.now() : Date.parse(options.at);
    if (Number.isNaN(at)) {
      err(`--at ${options.at} is not a time; write for example 2026-11-20T03:00:00Z\n`);
      process.exitCode = 2;
      return;
    }
    const loaded = await import('./cli/load.ts').then((m) => m.loadOrExplain(configDir(options), env, err));
    process.exitCode = loaded ? runOncall({ config: loaded, at, json: options.json ?? false, out }) : 2;
  });

program
  .command('import')
  .description('take services from Backstage, OpenSLO or CSV into the business context, below what is written by hand')
  .argument('<file...>', 'catalog-info.yaml, OpenSLO v1 YAML, or a table whose name ends in .csv')
  .addOption(config())
  .option('--out <file>', 'add the facts to this business-context.yaml instead of the folder imported/')
  .option('--dry-run', 'say what would be imported and change nothing')
  .addOption(json())
  .action(async (files: string[], options: { config?: string; out?: string; dryRun?: boolean; json?: boolean }) => {
    const { runImport } = await import('./cli/import.ts');
    const { out: file = null, dryRun = false } = options;
    process.exitCode = runImport({
      files,
      dir: configDir(options),
      env,
      file,
      dryRun,
      json: options.json ?? false,
      out,
      err,
    });
  });

program
  .command('explain')
  .description('why an alert or incident was grouped, ranked, decided, routed and held back as it was')
  .argument('<fingerprint|incident>', "an alert's fingerprint, or an incident's id or number")
  .option('--other <fingerprint>', 'why these two alerts are, or are not, together')
  .option('--source <name>', 'the source, when several know an alert of this fingerprint')
  .addOption(config())
  .addOption(json())
  .action(async (name: string, options: { other?: string; source?: string; config?: string; json?: boolean }) => {
    const { runExplain } = await import('./cli/explain.ts');
    const loaded = await import('./cli/load.ts').then((m) => m.loadOrExplain(configDir(options), env, err));
    const { other = null, source = null, json = false } = options;
    const environment = readEnvironment();
    process.exitCode = loaded
      ? await runExplain({ environment, config: loaded, name, other, source, json, out, err })
      : 2;
  });

program
  .command('report')
  .description('what came in, what became of it and at what loss; the rules that make the work')
  .option('--from <time>', 'a day, a time or how long ago (default: seven days before --to)')
  .option('--to <time>', 'a day, a time or how long ago (default: now)')
  .option('--md', 'as Markdown')
  .addOption(json())
  .action(async (options: { from?: string; to?: string; md?: boolean; json?: boolean }) => {
    const { runReport } = await import('./cli/report.ts');
    const { from = null, to = null } = options;
    const format = options.json ? 'json' : options.md ? 'md' : 'text';
    const now = Date.now();
    process.exitCode = await runReport({ environment: readEnvironment(), from, to, format, now, out, err });
  });

program
  .command('scorecard')
  .description('how good grouping, causes and pages were by the word of people, each with the judgements it rests on')
  .option('--from <time>', 'a day, a time or how long ago (default: 90 days ago)')
  .option('--to <time>', 'a day, a time or how long ago (default: now)')
  .addOption(json())
  .action(async (options: { from?: string; to?: string; json?: boolean }) => {
    const { runScorecard } = await import('./cli/scorecard.ts');
    const { from = null, to = null, json = false } = options;
    const now = Date.now();
    process.exitCode = await runScorecard({ environment: readEnvironment(), from, to, json, now, out, err });
  });

program
  .command('propose')
  .description(
    'what people said (noise, should have paged, wrong team) as changes of the config, ready to paste; changes nothing',
  )
  .option('--from <time>', 'a day, a time or how long ago (default: 30d)')
  .option('--to <time>', 'a day, a time or how long ago (default: now)')
  .option('--no-diff', 'do not run the past with each proposal')
  .addOption(config())
  .addOption(json())
  .action(async (options: { from?: string; to?: string; diff: boolean; config?: string; json?: boolean }) => {
    const { runPropose } = await import('./cli/propose.ts');
    const loaded = await import('./cli/load.ts').then((m) => m.loadOrExplain(configDir(options), env, err));
    const { from = null, to = null, diff, json = false } = options;
    const environment = readEnvironment();
    process.exitCode = loaded
      ? await runPropose({ environment, config: loaded, from, to, diff, json, now: Date.now(), out, err })
      : 2;
  });

program
  .command('migrate')
  .description('bring the database schema up to this release (serve does so by itself)')
  .addOption(json())
  .action(async (options: { json?: boolean }) => {
    const { runMigrate } = await import('./cli/migrate.ts');
    process.exitCode = await runMigrate({ environment: readEnvironment(), json: options.json ?? false, out, err });
  });

const audit = program.command('audit').description('the audit trail');
audit
  .command('verify')
  .description('exit 1 when any entry was changed or removed')
  .option('--head <id:mac>', 'a head from the log: shows that the trail was put back to an older copy')
  .addOption(json())
  .action(async (options: { head?: string; json?: boolean }) => {
    const { runAuditVerify } = await import('./cli/audit.ts');
    const { head = null, json = false } = options;
    process.exitCode = await runAuditVerify({ environment: readEnvironment(), head, json, out, err });
  });

audit
  .command('export')
  .description('every entry as one JSON line, oldest first')
  .action(async () => {
    const { runAuditExport } = await import('./cli/audit.ts');
    process.exitCode = await runAuditExport({ environment: readEnvironment(), out, err });
  });

program
  .command('erase')
  .description(
    'remove a person for good: their name and words in incidents, feedback and the audit trail, which stays whole',
  )
  .argument('<person>', 'the name as it stands in the record: ana, or "ana (U0ANA)"')
  .addOption(json())
  .action(async (name: string, options: { json?: boolean }) => {
    const { runErase } = await import('./cli/erase.ts');
    const { json = false } = options;
    process.exitCode = await runErase({ environment: readEnvironment(), name, json, now: Date.now(), out, err });
  });

const tokens = program.command('token').description('access tokens of the service');
tokens
  .command('create')
  .description('print a new random token and the config line for it')
  .option('--name <name>', 'what the token is called; a webhook token names the source of its alerts', 'alertmanager')
  .option('--role <role>', 'webhook, viewer, responder, editor or admin', 'webhook')
  .addOption(json())
  .action(async (options: { name: string; role: string; json?: boolean }) => {
    const { runTokenCreate } = await import('./cli/token-create.ts');
    process.exitCode = runTokenCreate({ ...options, json: options.json ?? false, out, err });
  });

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) {
    // Help and version are answers, not errors.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else if (error instanceof UnusableConfig) {
    err(`${error.message}\n`);
    process.exitCode = 2;
  } else {
    err(`tocsin: ${error instanceof Error ? error.message : String(error)}\n`);
    if (env.LOG_LEVEL === 'debug' && error instanceof Error) err(`${error.stack}\n`);
    process.exitCode = 1;
  }
}
