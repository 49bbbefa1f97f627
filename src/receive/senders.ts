import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Config, SecretRef } from '../config/schema.ts';
import { secret } from '../config/secrets.ts';
import type { Action } from '../domain/action.ts';
import { parsePagerDutyWebhook } from '../respond/pagerduty.ts';
import { type Verified, verifyGithub, verifyGitlab, verifyPagerDuty, verifySlack } from '../respond/signatures.ts';
import { parseSlackInteraction, type SlackInteraction } from '../respond/slack.ts';
import { accessByToken, authenticate, covers, hasTokens } from './auth.ts';
import { parseDeploys } from './deploys/parse.ts';
import { adapterHeaders, type DeploySender, encodeEnvelope } from './envelope.ts';
import { type Counted, readJson } from './parse.ts';

/** One request as a judge sees it: its headers, the config in force, the source it was admitted as, its arrival (epoch ms). */
export type Asked = { req: Pick<IncomingMessage, 'headers' | 'method'>; config: Config; source: string; now: number };

/** What a judge made of a body before it is stored. */
export type Checked =
  | {
      ok: true;
      /** What to store, or null when there is nothing to do. */
      item: Buffer | null;
      status: number;
      /** The body of the answer once it is stored; null for none. */
      answer: unknown;
      counted?: Counted;
      /** The source, where only the body tells it. */
      source?: string;
      /** What a click in Slack asks for, to be answered there afterwards. */
      interaction?: SlackInteraction;
    }
  /** `keep`: the raw body goes to quarantine. */
  | { ok: false; status: 400 | 401 | 403; detail: string; keep: boolean };

/** Somebody else's way of posting deploys or actions: the adapter's edge, without its meaning. */
export type SenderEntrance = {
  paths: string[];
  kind: 'deploy' | 'action';
  /** `token`: by our own tokens, before the body is read. `body`: by its signature or key, which `judge` checks. */
  admit: 'token' | 'body';
  source: string;
  judge(raw: Buffer, asked: Asked): Checked;
};

const refused = (status: 400 | 401 | 403, detail: string, keep = false): Checked => ({
  ok: false,
  status,
  detail,
  keep,
});

export const senders: SenderEntrance[] = [
  {
    paths: ['/api/v1/deploys'],
    kind: 'deploy',
    admit: 'token',
    source: 'api',
    judge: (raw, asked) => deploy('api', raw, asked),
  },
  {
    paths: ['/v2/change/enqueue'],
    kind: 'deploy',
    admit: 'body',
    source: 'pagerduty',
    judge: changeEvent,
  },
  {
    paths: ['/api/v1/webhooks/github'],
    kind: 'deploy',
    admit: 'body',
    source: 'github',
    judge: (raw, asked) =>
      signed(asked, asked.config.tocsin.deploys.github?.secret, 'deploys.github.secret', (key) =>
        verifyGithub(key, raw, asked.req.headers['x-hub-signature-256']),
      ) ?? deploy('github', raw, asked),
  },
  {
    paths: ['/api/v1/webhooks/gitlab'],
    kind: 'deploy',
    admit: 'body',
    source: 'gitlab',
    judge: (raw, asked) =>
      signed(asked, asked.config.tocsin.deploys.gitlab?.secret, 'deploys.gitlab.secret', (key) =>
        verifyGitlab(key, asked.req.headers['x-gitlab-token']),
      ) ?? deploy('gitlab', raw, asked),
  },
  {
    paths: ['/api/v1/webhooks/argocd'],
    kind: 'deploy',
    admit: 'token',
    source: 'argocd',
    judge: (raw, asked) => deploy('argocd', raw, asked),
  },
  {
    paths: ['/api/v1/webhooks/cdevents'],
    kind: 'deploy',
    admit: 'token',
    source: 'cdevents',
    judge: (raw, asked) => deploy('cdevents', raw, asked),
  },
  {
    paths: ['/api/v1/webhooks/pagerduty'],
    kind: 'action',
    admit: 'body',
    source: 'pagerduty',
    judge: (raw, asked) =>
      signed(
        asked,
        asked.config.tocsin.channels.pagerduty?.webhook_secret,
        'channels.pagerduty.webhook_secret',
        (key) => verifyPagerDuty(key, raw, asked.req.headers['x-pagerduty-signature']),
      ) ?? pagerDutyAction(raw, asked.req.headers),
  },
  {
    paths: ['/api/v1/slack/interactions'],
    kind: 'action',
    admit: 'body',
    source: 'slack',
    judge: (raw, asked) =>
      signed(asked, asked.config.tocsin.channels.slack?.signing_secret, 'channels.slack.signing_secret', (key) => {
        const { headers } = asked.req;
        const said = { timestamp: headers['x-slack-request-timestamp'], signature: headers['x-slack-signature'] };
        return verifySlack(key, raw, said, asked.now);
      }) ?? slackAction(raw, asked.config),
  },
];

/** Null when the signature is good. Without a configured secret nothing can be believed, so nothing is. */
function signed(
  asked: Asked,
  ref: SecretRef | undefined,
  where: string,
  verify: (key: string) => Verified,
): Checked | null {
  const key = secret(asked.config, ref);
  if (!key) return refused(401, `Nothing is taken from this sender until ${where} is set.`);
  const verified = verify(key);
  return verified.ok ? null : refused(401, `Refused: ${verified.reason}.`);
}

const actionItem = (action: Action): Checked => ({
  ok: true,
  item: Buffer.from(JSON.stringify(action)),
  status: 200,
  answer: { accepted: 1, quarantined: 0 },
});

function pagerDutyAction(raw: Buffer, headers: IncomingHttpHeaders): Checked {
  const event = parsePagerDutyWebhook(raw, headers);
  if (event.kind === 'fault') return refused(400, `Not usable: ${event.reason}.`);
  if (event.kind === 'action') return actionItem(event.action);
  return { ok: true, item: null, status: 200, answer: { accepted: 0, quarantined: 0, ignored: event.reason } };
}

function slackAction(raw: Buffer, config: Config): Checked {
  const apiUrl = config.tocsin.channels.slack?.api_url ?? '';
  const interaction = parseSlackInteraction(raw, { people: config.routing.people, apiUrl });
  if (interaction.kind === 'fault') return refused(400, `Not usable: ${interaction.reason}.`);
  // Slack shows the person whatever stands in the answer to some interactions: it stays empty.
  const done = { ok: true as const, status: 200, answer: null, interaction };
  return interaction.kind === 'action'
    ? { ...done, item: Buffer.from(JSON.stringify(interaction.action)) }
    : { ...done, item: null };
}

/**
 * Reads a deploy body as the work side will read it again, to tell the sender what will become of it. What is refused is
 * said in the answer and not kept: deploys come from pipelines whose authors see the answer.
 */
function deploy(sender: DeploySender, raw: Buffer, { req, now }: Asked): Checked {
  const body = readJson(raw);
  if (!body.ok) return refused(400, `Not usable: ${body.reason}.`);
  const headers = adapterHeaders(req.headers);
  const { deploys, ignored, faults, notes } = parseDeploys(sender, body.value, now, { headers });
  if (deploys.length === 0 && faults.length > 0) return refused(400, `Not usable: ${inWords(faults)}.`);
  const answer = { accepted: deploys.length, refused: faults, notes, ...(ignored === undefined ? {} : { ignored }) };
  if (deploys.length === 0) return { ok: true, item: null, status: 200, answer };
  const item = encodeEnvelope({ sender, headers, body: withoutKey(raw, body.value) });
  return { ok: true, item, status: 200, answer };
}

const inWords = (faults: { place: string; reason: string }[]): string =>
  faults
    .slice(0, 10)
    .map(({ place, reason }) => `${place} ${reason}`)
    .join('; ');

/** A routing key is a credential: it is checked here and never stored. Bodies without one are kept as they came. */
function withoutKey(raw: Buffer, value: unknown): string {
  const members = Array.isArray(value) ? value : [value];
  const has = members.some((member) => typeof member === 'object' && member !== null && 'routing_key' in member);
  if (!has) return raw.toString('utf8');
  return JSON.stringify(value, (name, inner) => (name === 'routing_key' ? undefined : inner));
}

/** A PagerDuty change event: its `routing_key` is one of our webhook tokens, and the answer is PagerDuty's. */
function changeEvent(raw: Buffer, asked: Asked): Checked {
  const { req, config } = asked;
  const body = readJson(raw);
  const event = body.ok && typeof body.value === 'object' ? (body.value as Record<string, unknown> | null) : null;
  let source = 'default';
  if (hasTokens(config)) {
    const key = event?.routing_key;
    const access = typeof key === 'string' ? accessByToken(key, config) : null;
    if (!access) return refused(401, 'routing_key must be a token of role webhook; see server.tokens in tocsin.yaml.');
    if (!covers(access.role, 'webhook'))
      return refused(403, `The routing_key has the role ${access.role}; this needs webhook.`);
    source = access.name ?? source;
  } else {
    const open = authenticate(req, config);
    if (!open.ok) return refused(open.status, (open.problem.body as { detail: string }).detail);
  }
  if (!event || typeof event.payload !== 'object' || event.payload === null)
    return refused(400, 'A change event is a JSON object with a `payload`.');
  const checked = deploy('pagerduty', raw, asked);
  const answer = { status: 'success', message: 'Change event processed' };
  return checked.ok ? { ...checked, status: 202, answer, source } : checked;
}
