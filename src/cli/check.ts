import { Registry } from 'prom-client';
import { type Fault, formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import type { Config, HttpAuth } from '../config/schema.ts';
import { secret } from '../config/secrets.ts';
import { checkEmail } from '../notify/email.ts';
import { checkSlack } from '../notify/slack.ts';
import { channelOff } from '../route/channels.ts';
import { createOutbound, type Outbound } from '../telemetry/outbound.ts';

/** What asking one outside system gave. `skipped`: it is not asked, and `text` says why. */
export type Probe = { peer: string; status: 'ok' | 'failed' | 'skipped'; text: string };

export type CheckOptions = {
  dir: string;
  online: boolean;
  json: boolean;
  out: (text: string) => void;
  err: (text: string) => void;
  env: Readonly<Record<string, string | undefined>>;
};

/**
 * `tocsin check [--online] [--json]`: every fault of the tree on `err`, or the tree in a few words on `out`. Gives the exit
 * code: 0 fine, 1 a fault (or, online, a system that refused us), 2 no such folder. With `json` all of it is one object on
 * `out`, with the `sources` of every fact about a service.
 */
export async function runCheck({ dir, online, json, out, err, env }: CheckOptions): Promise<number> {
  const loaded = loadConfig(dir, env);
  const faults = loaded.ok ? [] : loaded.faults;
  const probes = loaded.ok && online ? await askAll(loaded.config) : [];
  const failed = probes.some((probe) => probe.status === 'failed');
  const code = loaded.ok ? (failed ? 1 : 0) : loaded.unusable ? 2 : 1;
  if (json) {
    const hash = loaded.ok ? loaded.config.hash : null;
    const sources = loaded.ok ? loaded.config.provenance : {};
    out(
      `${JSON.stringify({ ok: code === 0, dir, hash, faults, warnings: loaded.warnings, probes, sources }, null, 2)}\n`,
    );
    return code;
  }
  for (const fault of faults) err(`${formatFault(fault)}\n`);
  for (const warning of loaded.warnings) err(`${asWarning(warning)}\n`);
  for (const probe of probes)
    (probe.status === 'failed' ? err : out)(`${probe.status.padEnd(8)}${probe.peer}: ${probe.text}\n`);
  if (loaded.ok) out(`${dir} is fine: ${summary(loaded.config)}.\n`);
  else err(`${faults.length} ${faults.length === 1 ? 'fault' : 'faults'} in ${dir}; nothing of it is used.\n`);
  return code;
}

const asWarning = (fault: Fault): string => formatFault({ ...fault, message: `note: ${fault.message}` });

function summary(config: Config): string {
  const count = (n: number, one: string, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
  const { business, routing, suppression, patterns, provenance } = config;
  const imported = Object.values(provenance).filter((facts) => Object.values(facts).some((f) => f.source !== 'native'));
  const held = suppression.maintenance_windows.length + suppression.noise.length + suppression.business_hours.length;
  return [
    count(Object.keys(business.services).length, 'service') +
      (imported.length > 0 ? ` (${imported.length} with imported facts)` : ''),
    count(Object.keys(routing.teams).length, 'team'),
    count(Object.keys(routing.escalation_policies).length, 'escalation policy', 'escalation policies'),
    count(Object.keys(routing.schedules).length, 'schedule'),
    count(held, 'suppression'),
    `${count(patterns.patterns.length, 'pattern')}, tree ${config.hash}`,
  ].join(', ');
}

/** Asks every outside system of the tree at once, each for at most 10 s; sends nothing that anybody would be told of. */
async function askAll(config: Config): Promise<Probe[]> {
  const outbound = createOutbound({ timeoutMs: 10_000, log: { debug: () => {} }, registry: new Registry() });
  try {
    const asked = await Promise.all([
      ...config.tocsin.prometheus.map((server) =>
        askServer(config, outbound, `prometheus ${server.name}`, server, '/api/v1/status/buildinfo', prometheusVersion),
      ),
      ...config.tocsin.alertmanager.map((server) =>
        askServer(config, outbound, `alertmanager ${server.name}`, server, '/api/v2/status', alertmanagerVersion),
      ),
      askSlack(config, outbound),
      askMail(config),
      askPagerDuty(config, outbound),
      ...askWebhooks(config),
    ]);
    return asked.filter((probe) => probe !== null);
  } finally {
    outbound.close();
  }
}

type Server = { url: string; auth?: HttpAuth };

async function askServer(
  config: Config,
  outbound: Outbound,
  peer: string,
  server: Server,
  path: string,
  version: (answer: unknown) => string | null,
): Promise<Probe> {
  const login = loginOf(config, server.auth);
  if (login === null) return { peer, status: 'skipped', text: 'the secret that its auth refers to is not set' };
  const url = server.url.replace(/\/+$/, '') + path;
  const answer = await outbound.request({ method: 'GET', url, peer: 'check', ...login });
  const failed = (text: string): Probe => ({ peer, status: 'failed', text });
  if (answer.status !== 'answered') return failed(`${answer.reason}. Check \`url\`, and that it runs`);
  if (answer.code === 401 || answer.code === 403)
    return failed(`it refused us (${answer.code}). Check its \`auth\` and the secret behind it`);
  // Thanos, Mimir and old servers have no build information, but are servers all the same.
  const found = answer.code === 200 ? version(json(answer.body)) : null;
  if (found !== null) return { peer, status: 'ok', text: found };
  const hint = 'Check that `url` is its address, with the path prefix it is served under';
  return failed(`${path} answered ${answer.code}, not as this server does. ${hint}`);
}

/** Request options that log in; null when the secret is not set. */
function loginOf(
  config: Config,
  auth: HttpAuth | undefined,
): { headers?: Record<string, string>; auth?: { username: string; password: string } } | null {
  if (!auth) return {};
  const value = secret(config, 'bearer' in auth ? auth.bearer : auth.password);
  if (value === null) return null;
  return 'bearer' in auth
    ? { headers: { Authorization: `Bearer ${value}` } }
    : { auth: { username: auth.username, password: value } };
}

function json(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

const field = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;

const prometheusVersion = (answer: unknown): string | null =>
  field(answer, 'status') === 'success' ? `version ${printable(field(field(answer, 'data'), 'version'))}` : null;

const alertmanagerVersion = (answer: unknown): string | null =>
  field(answer, 'versionInfo') ? `version ${printable(field(field(answer, 'versionInfo'), 'version'))}` : null;

/** What a server says of itself goes to a terminal: no control characters, and not much of it. */
const printable = (value: unknown): string =>
  typeof value === 'string' ? value.replace(/[^\w.+~-]/g, '').slice(0, 40) : 'unknown';

async function askSlack(config: Config, outbound: Outbound): Promise<Probe | null> {
  const slack = config.tocsin.channels.slack;
  if (!slack) return null;
  const off = channelOff(config, 'slack', false);
  const token = secret(config, slack.token);
  if (off !== null || token === null) return { peer: 'slack', status: 'skipped', text: off ?? 'Slack is off' };
  const problem = await checkSlack({ token, apiUrl: slack.api_url, outbound });
  return { peer: 'slack', status: problem === null ? 'ok' : 'failed', text: problem ?? 'the token works' };
}

async function askMail(config: Config): Promise<Probe | null> {
  const email = config.tocsin.channels.email;
  if (!email) return null;
  const smtpUrl = secret(config, email.smtp_url);
  if (smtpUrl === null)
    return { peer: 'email', status: 'skipped', text: channelOff(config, 'email', false) ?? 'mail is off' };
  if (!URL.canParse(smtpUrl) || !/^smtps?:/.test(smtpUrl))
    return { peer: 'email', status: 'failed', text: 'smtp_url is no address. Write smtp://USER:PASSWORD@HOST:587' };
  const problem = await checkEmail({ smtpUrl, from: email.from });
  return { peer: 'email', status: problem === null ? 'ok' : 'failed', text: problem ?? 'the mail server lets us in' };
}

async function askPagerDuty(config: Config, outbound: Outbound): Promise<Probe | null> {
  const pagerduty = config.tocsin.channels.pagerduty;
  if (!pagerduty) return null;
  const peer = 'pagerduty';
  const { teams, people } = config.routing;
  const keys = [...Object.values(teams), ...Object.values(people)].filter(
    (of) => secret(config, of.pagerduty) !== null,
  );
  if (keys.length === 0) return { peer, status: 'skipped', text: 'no team has a routing key that is set' };
  const answer = await outbound.request({ method: 'GET', url: pagerduty.events_url, peer: 'check' });
  if (answer.status !== 'answered')
    return { peer, status: 'failed', text: `${answer.reason}. Check channels.pagerduty.events_url` };
  const text = 'events_url answers; whether the routing keys are right shows only an event: use tocsin drill';
  return { peer, status: 'ok', text };
}

const askWebhooks = (config: Config): Probe[] =>
  Object.keys(config.tocsin.channels.webhook?.targets ?? {}).map((name) => ({
    peer: `webhook:${name}`,
    status: 'skipped',
    text: channelOff(config, `webhook:${name}`, false) ?? 'any request would be a notification: use tocsin drill',
  }));
