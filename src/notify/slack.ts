import {
  type Logger,
  LogLevel,
  WebAPIHTTPError,
  WebAPIPlatformError,
  WebAPIRateLimitedError,
  WebAPIRequestError,
  WebClient,
} from '@slack/web-api';
import type { Outbound } from '../telemetry/outbound.ts';
import {
  type Channel,
  callTimeoutMs,
  type DeliveryJob,
  type MessageRef,
  type PictureHost,
  type SendResult,
  type UploadResult,
} from './channel.ts';
import { renderDigestSlack } from './digest.ts';
import { withoutSecrets } from './failures.ts';
import { type Message, oneLine, stateLine } from './message.ts';
import { renderSlack, renderSlackLine } from './render-slack.ts';

export type SlackChannelOptions = {
  token: string;
  /** `channels.slack.api_url`, with or without the slash at its end. */
  apiUrl: string;
  /** A signing secret is configured: what our buttons send back can be believed, so they are shown. */
  interactive: boolean;
  outbound: Outbound;
};

/** The message is not there any more, or not ours to edit: a new one is posted. */
const gone = new Set([
  'message_not_found',
  'cant_update_message',
  'edit_window_closed',
  'channel_not_found',
  'is_inactive',
  'as_user_not_supported',
]);

/** What Slack refuses until a person changes something, and what they can do (https://docs.slack.dev/reference/methods/chat.postMessage#errors). */
const fixes: Record<string, string> = {
  invalid_auth: 'Reinstall the Slack app or set the bot token anew',
  not_authed: 'Set the Slack bot token',
  account_inactive: 'The Slack app or workspace was switched off: reinstall the app and set its new token',
  token_revoked: 'Reinstall the Slack app and set its new token',
  token_expired: 'Set a fresh Slack bot token',
  missing_scope: 'Give the Slack app the scope chat:write (and chat:write.public, or invite it) and reinstall it',
  no_permission: 'Let the Slack app post in this channel',
  not_in_channel: 'Invite the Slack app to the channel with /invite',
  channel_not_found: 'Check the channel name in routing.yaml, and invite the app when the channel is private',
  is_archived: 'Unarchive the channel or change it in routing.yaml',
  restricted_action: 'Ask a workspace admin to let the app post in this channel',
  restricted_action_read_only_channel: 'Ask a workspace admin to let the app post in this channel',
  user_not_found: 'Check the Slack user id under people in routing.yaml',
  org_login_required: 'The workspace is being migrated: try again when Slack says it is done',
  ekm_access_denied: 'A workspace admin has suspended messaging: ask them',
};

/** A picture that a message names is not known there yet, or not any more (slackapi/python-slack-sdk#1521). */
const unshowable = new Set(['invalid_blocks', 'invalid_blocks_format', 'slack_file_not_found']);

/** Faults on Slack's side that pass. */
const passing = new Set([
  'internal_error',
  'fatal_error',
  'service_unavailable',
  'request_timeout',
  'team_added_to_org',
  'rate_limited',
  'ratelimited',
  'message_limit_exceeded',
]);

const clientOf = (options: Omit<SlackChannelOptions, 'interactive'>): WebClient =>
  new WebClient(options.token, {
    slackApiUrl: options.apiUrl.endsWith('/') ? options.apiUrl : `${options.apiUrl}/`,
    allowAbsoluteUrls: false,
    retryConfig: { retries: 0 },
    rejectRateLimitedCalls: true,
    timeout: callTimeoutMs,
    fetch: options.outbound.fetchAs('slack'),
    logger: quiet,
  });

/**
 * Slack as a channel: one message per incident and target, edited in place by the channel and ts that its posting gave
 * (never found again by reading history, which Slack limits severely), details in its thread. The client's own retries are
 * off, since they would wait in memory for up to half an hour: the outbox retries.
 */
export function slackChannel(options: SlackChannelOptions): Channel {
  const client = clientOf(options);

  const plainPost = { parse: 'none', link_names: false, unfurl_links: false, unfurl_media: false } as const;

  /** The call with the message's picture, or without it when Slack cannot show that: what is said matters more. */
  async function withPicture<T>(
    job: DeliveryJob,
    call: (message: Message) => Promise<T>,
  ): Promise<{ answer: T; pictureRefused?: true }> {
    try {
      return { answer: await call(job.message) };
    } catch (error) {
      const refused = error instanceof WebAPIPlatformError && unshowable.has(error.data.error);
      if (!refused || !job.message.picture) throw error;
      return { answer: await call({ ...job.message, picture: null }), pictureRefused: true };
    }
  }

  type Shown = { ref: MessageRef; pictureRefused?: true };

  async function post(job: DeliveryJob): Promise<Shown> {
    const { answer, ...rest } = await withPicture(job, (message) =>
      client.apiCall('chat.postMessage', {
        channel: job.target.address,
        ...renderSlack(message, { interactive: options.interactive, line: job.text }),
        ...plainPost,
      }),
    );
    return { ref: refOf(answer, job.target.address), ...rest };
  }

  async function edit(job: DeliveryJob, ref: MessageRef): Promise<Shown> {
    try {
      const { answer: _, ...rest } = await withPicture(job, (message) =>
        client.apiCall('chat.update', {
          channel: ref.channel,
          ts: ref.ts,
          ...renderSlack(message, options),
          parse: 'none',
          link_names: false,
        }),
      );
      return { ref, ...rest };
    } catch (error) {
      if (error instanceof WebAPIPlatformError && gone.has(error.data.error)) return post(job);
      throw error;
    }
  }

  async function reply(ref: MessageRef, line: string, broadcast: boolean): Promise<void> {
    await client.apiCall('chat.postMessage', {
      channel: ref.channel,
      thread_ts: ref.ts,
      text: renderSlackLine(line),
      ...(broadcast ? { reply_broadcast: true } : {}),
      ...plainPost,
    });
  }

  return {
    kind: 'slack',
    pictures: slackPictures(client, options),
    async digest({ target, digest }) {
      try {
        const message = renderDigestSlack(digest, options);
        const answer = await client.apiCall('chat.postMessage', { channel: target.address, ...message, ...plainPost });
        return { status: 'sent', ref: refOf(answer, target.address), text: message.text };
      } catch (error) {
        return failed(error, options.token);
      }
    },
    async send(job) {
      try {
        const existing = job.existing?.ref;
        if (job.kind === 'thread') {
          if (!existing) return { status: 'refused', reason: 'there is no message to reply to', fix: null };
          await reply(existing, job.text ?? '', job.broadcast);
          return { status: 'sent', ref: null, text: job.text ?? '' };
        }
        const shown = oneLine(job.message);
        if (!existing) return { status: 'sent', ...(await post(job)), text: shown };
        // First the edit, which may be repeated without harm, then the reply, which may not: a retry repeats only the edit.
        const { ref, ...rest } = await edit(job, existing);
        const said = announcement(job);
        // A message posted anew has announced itself already.
        if (said && ref.ts === existing.ts) await reply(ref, said, true);
        return { status: 'sent', ref, ...rest, text: said ?? shown };
      } catch (error) {
        return failed(error, options.token);
      }
    },
  };
}

/**
 * Pictures in Slack: three steps (https://docs.slack.dev/reference/methods/files.getUploadURLExternal). A file that is
 * completed without a channel is private to the app and can be shown by a message's image block; completed with one, it is
 * posted there.
 */
function slackPictures(client: WebClient, { token, outbound }: Omit<SlackChannelOptions, 'interactive'>): PictureHost {
  async function upload(picture: { png: Buffer; alt: string }, thread: MessageRef | null): Promise<UploadResult> {
    const answer = (await client.apiCall('files.getUploadURLExternal', {
      filename: 'chart.png',
      length: picture.png.length,
      alt_txt: picture.alt,
    })) as { upload_url?: unknown; file_id?: unknown };
    const { upload_url: url, file_id: file } = answer;
    if (typeof url !== 'string' || !/^https?:/.test(url) || typeof file !== 'string')
      return { status: 'retry', reason: 'Slack gave no address to upload to' };
    const sent = await outbound.request({
      method: 'POST',
      url,
      peer: 'slack',
      headers: { 'Content-Type': 'application/octet-stream' },
      body: picture.png,
      timeoutMs: callTimeoutMs,
      maxBytes: 64 * 1024,
    });
    if (sent.status !== 'answered' || sent.code >= 300) {
      const reason = sent.status === 'answered' ? `it answered ${sent.code}` : sent.reason;
      return { status: 'retry', reason: `Slack did not take the upload: ${withoutSecrets(reason, [token])}` };
    }
    await client.apiCall('files.completeUploadExternal', {
      files: [{ id: file, title: 'Chart' }],
      ...(thread ? { channel_id: thread.channel, thread_ts: thread.ts } : {}),
    });
    return { status: 'uploaded', file };
  }

  return {
    async upload(picture, thread) {
      try {
        return await upload(picture, thread);
      } catch (error) {
        const result = failed(error, token);
        if (result.status === 'refused' && result.reason.includes('missing_scope'))
          return { ...result, fix: 'Give the Slack app the scopes files:write and files:read and reinstall it' };
        return result.status === 'sent' ? { status: 'retry', reason: 'Slack answered nonsense' } : result;
      }
    },
    async isUsable(file) {
      try {
        const { file: info } = (await client.apiCall('files.info', { file })) as { file?: { mimetype?: unknown } };
        return typeof info?.mimetype === 'string' && info.mimetype !== '';
      } catch {
        // Without files:read nobody tells us; the message that shows it will.
        return false;
      }
    },
  };
}

/** An edit makes no sound: an escalation and a reopening are also said in the thread and shown in the channel. */
function announcement(job: DeliveryJob): string | null {
  if (job.kind === 'escalate') return job.text ?? `Escalated: ${job.message.headline}`;
  if (job.kind === 'open' && job.existing?.state === 'resolved') return job.text ?? `Reopened: ${job.message.headline}`;
  if (job.kind === 'update' && job.broadcast) return job.text ?? `${stateLine(job.message)}: ${job.message.headline}`;
  return null;
}

function refOf(answer: object, address: string): MessageRef {
  const { channel, ts } = answer as { channel?: unknown; ts?: unknown };
  if (typeof ts !== 'string') throw new Error('Slack accepted the message but gave no ts');
  return { channel: typeof channel === 'string' ? channel : address, ts };
}

function failed(error: unknown, token: string): SendResult {
  if (error instanceof WebAPIRateLimitedError) {
    return {
      status: 'retry',
      afterMs: error.retryAfter * 1000,
      reason: `Slack limits us: retry after ${error.retryAfter} s`,
    };
  }
  if (error instanceof WebAPIPlatformError) {
    const code = withoutSecrets(error.data.error, [token]);
    if (passing.has(code)) return { status: 'retry', reason: `Slack has a fault (${code})` };
    const detail = (error.data.response_metadata?.messages ?? [])
      .map((line) => withoutSecrets(line, [token]))
      .slice(0, 2);
    return {
      status: 'refused',
      reason: `Slack refused it (${code})${detail.length ? `: ${detail.join('; ')}` : ''}`,
      fix: fixes[code] ?? null,
    };
  }
  if (error instanceof WebAPIHTTPError) {
    const reason = `Slack answered ${error.statusCode}`;
    return error.statusCode >= 500 || error.statusCode === 429
      ? { status: 'retry', reason }
      : { status: 'refused', reason, fix: 'Check channels.slack.api_url in tocsin.yaml' };
  }
  if (error instanceof WebAPIRequestError) {
    return { status: 'retry', reason: `Slack: ${withoutSecrets(error.original.message, [token])}` };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { status: 'retry', reason: `Slack: ${withoutSecrets(message, [token])}` };
}

/** The library logs requests, ours says what became of them; its own lines would reach stdout unredacted. */
const quiet: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  setLevel: () => {},
  getLevel: () => LogLevel.ERROR,
  setName: () => {},
};

/** Asks Slack whether the token works; null when it does, else what is wrong and what to do. For `check --online`. */
export async function checkSlack(options: Omit<SlackChannelOptions, 'interactive'>): Promise<string | null> {
  try {
    await clientOf(options).auth.test();
    return null;
  } catch (error) {
    const result = failed(error, options.token);
    if (result.status === 'sent') return null;
    const fix = result.status === 'refused' && result.fix ? `. ${result.fix}` : '';
    return `${result.reason}${fix}`;
  }
}
