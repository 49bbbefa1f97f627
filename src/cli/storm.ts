import { setTimeout as sleep } from 'node:timers/promises';
import { byteOrder, fingerprint } from '../receive/fingerprint.ts';
import { type Scenario, type StormAlert, scenarios } from './storm-scenarios.ts';

export type StormOptions = {
  url: string;
  token?: string | undefined;
  scenario: string;
  /** Only name the scenarios. */
  list: boolean;
  /** Post at once what a real storm spreads over 20 s; the alerts' own times are spread all the same. */
  fast: boolean;
  out: (text: string) => void;
  err: (text: string) => void;
};

/** How long everything fires before it resolves, ms: time to look at it. */
const HOLD = { real: 45_000, fast: 3_000 };
/** Alertmanager tries again for minutes; for a first look ten seconds tell enough. */
const TRIES = 5;
const TIMEOUT = 10_000;

type Alert = {
  status: 'firing' | 'resolved';
  labels: Record<string, string>;
  annotations: Record<string, string>;
  startsAt: string;
  endsAt: string;
  generatorURL: string;
  fingerprint: string;
};

/**
 * Posts a made-up but believable storm to a running service as an Alertmanager would (whole groups, again and again, then
 * resolved), its deploys first, and says where to look. Gives the exit code: 0 when every delivery was accepted, 1 when one
 * was not, 2 for a scenario that does not exist.
 */
export async function runStorm(options: StormOptions): Promise<number> {
  const { out, err } = options;
  if (options.list) {
    for (const [name, { about }] of Object.entries(scenarios)) out(`${name.padEnd(16)} ${about}\n`);
    return 0;
  }
  const scenario = Object.hasOwn(scenarios, options.scenario) ? scenarios[options.scenario]! : null;
  if (!scenario) {
    err(`There is no scenario "${options.scenario}"; choose one of: ${Object.keys(scenarios).join(', ')}.\n`);
    return 2;
  }
  if (!URL.canParse(options.url)) {
    err(`"${options.url}" is no URL; write for example --url http://127.0.0.1:8080\n`);
    return 2;
  }
  try {
    await rage(scenario, options);
    return 0;
  } catch (error) {
    if (!(error instanceof NotAccepted)) throw error;
    err(`${error.message}\n`);
    return 1;
  }
}

/** A delivery that the service did not take; the message says what to do. */
class NotAccepted extends Error {}

async function rage(scenario: Scenario, options: StormOptions): Promise<void> {
  const { out, fast } = options;
  const begun = Date.now();
  const last = Math.max(...scenario.alerts.map(({ at }) => at));
  // A fast storm happened just now, a real one happens from now on.
  const zero = fast ? begun - last * 1_000 : begun;
  out(`${options.scenario}: ${scenario.about}\n`);

  if (scenario.deploys.length > 0) {
    const deploys = scenario.deploys.map(({ at, ...deploy }) => ({
      ...deploy,
      environment: 'prod',
      cluster: 'prod-eu',
      status: 'succeeded',
      startedAt: new Date(zero + at * 1_000).toISOString(),
      finishedAt: new Date(zero + at * 1_000 + 40_000).toISOString(),
    }));
    await post('/api/v1/deploys', deploys, options);
    for (const { service, version } of scenario.deploys) out(`  deploy   ${service} ${version}\n`);
  }

  const groups = new Map<string, Alert[]>();
  let deliveries = 0;
  const send = async (key: string, alerts: Alert[]): Promise<void> => {
    await post('/api/v1/webhooks/alertmanager', webhook(key, alerts), options);
    deliveries += 1;
  };

  for (const rule of scenario.alerts.toSorted((a, b) => a.at - b.at)) {
    const due = zero + rule.at * 1_000;
    if (due > Date.now()) await sleep(due - Date.now());
    const fresh = alertsOf(rule, new Date(due));
    const key = groupKey(fresh[0]!.labels);
    const group = [...(groups.get(key) ?? []), ...fresh];
    groups.set(key, group);
    await send(key, group);
    const many = fresh.length > 1 ? ` ×${fresh.length}` : '';
    out(`  ${clock(rule.at)}   ${rule.severity.padEnd(8)} ${rule.service}: ${rule.alertname}${many}\n`);
  }

  const all = [...groups.values()].flat();
  const hold = fast ? HOLD.fast : HOLD.real;
  out(
    `${all.length} alerts fire, told in ${deliveries} deliveries. Look at ${options.url.replace(/\/+$/, '')}/api/v1/incidents?status=open\n`,
  );
  out(`They resolve in ${hold / 1_000} s; end this command now (Ctrl-C) and they stay.\n`);
  await sleep(hold);
  await report(Math.min(begun, zero), options);

  const staying = new Set(scenario.alerts.filter(({ stays }) => stays).map(({ alertname }) => alertname));
  const endsAt = new Date().toISOString();
  for (const [key, group] of groups) {
    const ended = group.filter(({ labels }) => !staying.has(labels.alertname!));
    if (ended.length > 0)
      await send(
        key,
        ended.map((alert) => ({ ...alert, status: 'resolved' as const, endsAt })),
      );
  }
  const left = all.filter(({ labels }) => staying.has(labels.alertname!)).length;
  out(`Resolved${left > 0 ? `, but for ${left} that had nothing to do with it` : ''}.\n`);
}

const clock = (seconds: number): string => `00:${String(seconds).padStart(2, '0')}`;

function alertsOf(rule: StormAlert, startsAt: Date): Alert[] {
  const base: Record<string, string> = {
    alertname: rule.alertname,
    severity: rule.severity,
    service: rule.service,
    namespace: 'shop',
    cluster: 'prod-eu',
    env: 'prod',
    ...rule.labels,
  };
  const pods = rule.pods ?? 0;
  const each = pods === 0 ? [base] : Array.from({ length: pods }, (_, i) => ({ ...base, pod: podName(rule, i) }));
  return each.map((labels) => ({
    status: 'firing',
    labels,
    annotations: {
      summary: rule.summary,
      description: `${rule.description} (Made up by tocsin storm.)`,
      runbook_url: `https://runbooks.example.com/${rule.alertname}`,
    },
    startsAt: startsAt.toISOString(),
    endsAt: '0001-01-01T00:00:00Z',
    generatorURL: '',
    fingerprint: fingerprint(labels),
  }));
}

/** The same pods in every run: a second storm is the same alerts firing again, as in life. */
function podName({ service, alertname, labels }: StormAlert, i: number): string {
  const seed = fingerprint({
    service,
    zone: labels?.zone ?? '',
    i: String(i),
    kind: alertname === 'TargetDown' ? 'x' : '',
  });
  return `${service}-6c9f7d5b8-${seed.slice(0, 8)}`;
}

/** Grouped as most people do: by alertname, cluster and namespace. */
const groupLabels = ({ alertname, cluster, namespace }: Record<string, string>): Record<string, string> => ({
  alertname: alertname!,
  cluster: cluster!,
  namespace: namespace!,
});

const groupKey = (labels: Record<string, string>): string =>
  `{}:{${Object.entries(groupLabels(labels))
    .map(([name, value]) => `${name}="${value}"`)
    .join(', ')}}`;

/** The labels or annotations on which all alerts of a group agree. */
function common(maps: Record<string, string>[]): Record<string, string> {
  const [first = {}, ...rest] = maps;
  return Object.fromEntries(Object.entries(first).filter(([name, value]) => rest.every((map) => map[name] === value)));
}

function webhook(key: string, alerts: Alert[]): object {
  return {
    receiver: 'tocsin',
    status: alerts.some(({ status }) => status === 'firing') ? 'firing' : 'resolved',
    alerts: alerts.toSorted((a, b) => byteOrder(a.fingerprint, b.fingerprint)),
    groupLabels: groupLabels(alerts[0]!.labels),
    commonLabels: common(alerts.map(({ labels }) => labels)),
    commonAnnotations: common(alerts.map(({ annotations }) => annotations)),
    externalURL: 'http://alertmanager.example.com:9093',
    version: '4',
    groupKey: key,
    truncatedAlerts: 0,
  };
}

/** Posts until it is accepted; a 5xx or no answer is tried again, as Alertmanager does. */
async function post(path: string, body: object, { url, token }: StormOptions): Promise<void> {
  const target = url.replace(/\/+$/, '') + path;
  for (let attempt = 1; ; attempt += 1) {
    const answer = await fetch(target, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...authorization(token) },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT),
    }).catch((error: Error) => error);
    if (answer instanceof Response) {
      const text = await answer.text().catch(() => '');
      if (answer.ok) return;
      if (answer.status < 500 || attempt === TRIES) throw new NotAccepted(refusal(answer.status, text, target));
    } else if (attempt === TRIES) {
      throw new NotAccepted(
        `Nothing answers at ${url}. Start Tocsin with \`npm start\`, or name its address with --url.`,
      );
    }
    await sleep(500 * attempt);
  }
}

const authorization = (token: string | undefined): Record<string, string> =>
  token ? { authorization: `Bearer ${token}` } : {};

function refusal(status: number, text: string, target: string): string {
  if (status === 401) return 'The service wants a token: give one of role webhook with --token or TOCSIN_TOKEN.';
  return `${target} answered ${status}: ${detailOf(text)}`;
}

function detailOf(text: string): string {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    if (typeof detail === 'string') return detail;
  } catch {
    // Not a problem document: whatever answers there, its first words may tell.
  }
  return text.slice(0, 200) || 'nothing more';
}

type Shown = {
  number: number;
  title: string;
  severity: string;
  alertCount: number;
  rootCauses: { service: string; probability: number; confidence: string }[];
};

/** What the service made of it, when the token may read that; a webhook token may not, which is fine. */
async function report(since: number, { url, token, out }: StormOptions): Promise<void> {
  const target = `${url.replace(/\/+$/, '')}/api/v1/incidents?status=open&limit=20&since=${new Date(since).toISOString()}`;
  const answer = await fetch(target, { headers: authorization(token), signal: AbortSignal.timeout(TIMEOUT) }).catch(
    () => null,
  );
  if (!answer?.ok) {
    await answer?.body?.cancel();
    return;
  }
  const { items = [] } = (await answer.json()) as { items?: Shown[] };
  if (items.length === 0) return;
  out('Tocsin made of it:\n');
  for (const { number, severity, title, alertCount, rootCauses } of items) {
    const [suspect] = rootCauses;
    const cause = suspect
      ? `; suspect ${suspect.service} (${Math.round(suspect.probability * 100)}%, ${suspect.confidence})`
      : '';
    out(
      `  #${number}  ${severity.padEnd(8)} ${title} (${alertCount} ${alertCount === 1 ? 'alert' : 'alerts'}${cause})\n`,
    );
  }
}
