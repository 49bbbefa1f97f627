import { createHash, createHmac } from 'node:crypto';
import { type HttpCall, json, startHttpServer } from './http-server.ts';
import { slackFaults } from './slack-limits.ts';
import { until } from './until.ts';

export type FakeSlackMessage = {
  /** What it was sent to: `#sre`, `U0ANA`. */
  to: string;
  channel: string;
  ts: string;
  threadTs: string | null;
  broadcast: boolean;
  text: string;
  blocks: Record<string, unknown>[];
  /** Earlier contents, oldest first: one per edit. */
  history: { text: string; blocks: Record<string, unknown>[] }[];
  deleted: boolean;
  /** Everything a reader sees now, fallback text first. */
  shown: string;
};

export type SlackFault =
  | { do: 'rate-limit'; retryAfterSeconds: number }
  | { do: 'status'; code: number }
  | { do: 'hang' }
  | { do: 'error'; error: string };

export type FakeSlack = Awaited<ReturnType<typeof startFakeSlack>>;

/**
 * A stand-in for slack.com that the real `@slack/web-api` talks to: posts, edits, threads, uploads, and Slack's own refusals
 * (unknown message, bad blocks by the documented limits, bad token). It keeps everything and never forgets a surplus.
 */
export async function startFakeSlack(options: { token?: string; signingSecret?: string } = {}) {
  const token = options.token ?? 'xoxb-fake-token';
  const signingSecret = options.signingSecret ?? 'fake-signing-secret';
  const messages: FakeSlackMessage[] = [];
  const calls: { method: string; args: Record<string, unknown>; at: number }[] = [];
  const responses: { id: string; body: Record<string, unknown> }[] = [];
  const files = new Map<
    string,
    {
      name: string;
      length: number;
      bytes: Buffer | null;
      completed: boolean;
      /** The channel it was shared in; null: private to the app. */
      shared: string | null;
      alt: string | null;
    }
  >();
  /** False while Slack is still digesting files: no mimetype, and an image block that names one is refused. */
  let filesReady = true;
  const missingChannels = new Set<string>();
  const expected = new Set<FakeSlackMessage>();
  const hanging = new Set<() => void>();
  let faults: { fault: SlackFault; method: string | null; to: string | null; times: number }[] = [];
  let clock = Date.now() * 1000;

  const idOf = (to: string): string => {
    if (/^[CDG][A-Z0-9]{8,}$/.test(to)) return to;
    const tag = createHash('sha256').update(to).digest('hex').slice(0, 9).toUpperCase();
    return `${/^[UW][A-Z0-9]+$/.test(to) ? 'D' : 'C'}${tag}`;
  };
  const nameOf = (channel: string): string => messages.find((message) => message.channel === channel)?.to ?? channel;
  const nextTs = (): string => {
    clock += 1;
    return `${Math.floor(clock / 1_000_000)}.${String(clock % 1_000_000).padStart(6, '0')}`;
  };

  const server = await startHttpServer(async (call, response) => {
    const path = new URL(call.path, 'http://slack').pathname;
    if (path.startsWith('/upload/')) return receiveFile(path.slice('/upload/'.length), call, response);
    if (path.startsWith('/respond/')) {
      responses.push({ id: path.slice('/respond/'.length), body: JSON.parse(call.body.toString()) });
      return json(response, 200, { ok: true });
    }
    const method = path.replace(/^\/api\//, '');
    const args = argsOf(call);
    calls.push({ method, args, at: Date.now() });
    const fault = takeFault(method, String(args.channel ?? ''));
    if (fault?.do === 'hang') {
      await new Promise<void>((resolve) => hanging.add(resolve));
      response.destroy();
      return;
    }
    if (fault?.do === 'rate-limit')
      return json(
        response,
        429,
        { ok: false, error: 'ratelimited' },
        { 'retry-after': String(fault.retryAfterSeconds) },
      );
    if (fault?.do === 'status') return void response.writeHead(fault.code).end('upstream fault');
    if (fault?.do === 'error') return json(response, 200, { ok: false, error: fault.error });
    const given = call.headers.authorization?.replace(/^Bearer /, '') ?? args.token;
    if (given !== token) return json(response, 200, { ok: false, error: given ? 'invalid_auth' : 'not_authed' });
    const handler = methods[method];
    json(response, 200, handler ? handler(args) : { ok: false, error: 'unknown_method' });
  });

  function takeFault(method: string, channel: string): SlackFault | null {
    const to = nameOf(channel);
    const found = faults.find(
      (one) =>
        (one.method === null || one.method === method) && (one.to === null || one.to === channel || one.to === to),
    );
    if (!found) return null;
    found.times -= 1;
    if (found.times <= 0) faults = faults.filter((one) => one !== found);
    return found.fault;
  }

  const refuse = (error: string, details: string[] = []) => ({
    ok: false,
    error,
    ...(details.length ? { response_metadata: { messages: details.map((detail) => `[ERROR] ${detail}`) } } : {}),
  });
  const find = (channel: unknown, ts: unknown) =>
    messages.find((message) => message.channel === channel && message.ts === ts && !message.deleted);
  /** Image blocks may name a file only once it is uploaded, completed and digested. */
  const wrongIn = (args: Record<string, unknown>): string[] => {
    const faults = slackFaults(args);
    for (const block of Array.isArray(args.blocks) ? (args.blocks as Record<string, unknown>[]) : []) {
      if (block.type !== 'image' || !block.slack_file) continue;
      const file = files.get(String((block.slack_file as { id?: unknown }).id));
      if (!file?.completed || !filesReady) faults.push('invalid slack file');
    }
    return faults;
  };
  const contentOf = (args: Record<string, unknown>) => ({
    text: String(args.text ?? ''),
    blocks: Array.isArray(args.blocks) ? (args.blocks as Record<string, unknown>[]) : [],
  });

  const methods: Record<string, (args: Record<string, unknown>) => Record<string, unknown>> = {
    'auth.test': () => ({
      ok: true,
      url: 'https://fake.slack.com/',
      team: 'Fake',
      user: 'tocsin',
      team_id: 'T0FAKE',
      user_id: 'U0TOCSIN',
      bot_id: 'B0TOCSIN',
    }),
    'chat.postMessage': (args) => {
      const to = String(args.channel ?? '');
      if (!to || missingChannels.has(to)) return refuse('channel_not_found');
      const content = contentOf(args);
      if (!content.text && content.blocks.length === 0) return refuse('no_text');
      const wrong = wrongIn(args);
      if (wrong.length)
        return refuse(
          wrong.some((line) => line.startsWith('msg_blocks_too_long')) ? 'msg_blocks_too_long' : 'invalid_blocks',
          wrong,
        );
      const channel = idOf(to);
      const threadTs = args.thread_ts === undefined ? null : String(args.thread_ts);
      if (threadTs !== null && !find(channel, threadTs)) return refuse('thread_not_found');
      const message: FakeSlackMessage = {
        to: threadTs === null ? to : nameOf(channel),
        channel,
        ts: nextTs(),
        threadTs,
        broadcast: args.reply_broadcast === true || args.reply_broadcast === 'true',
        ...content,
        history: [],
        deleted: false,
        shown: shownOf(content),
      };
      messages.push(message);
      return { ok: true, channel, ts: message.ts, message: { text: message.text, ts: message.ts } };
    },
    'chat.update': (args) => {
      // Slack wants the id here; a name is channel_not_found, as users of the real thing learn.
      if (!/^[CDG][A-Z0-9]{8,}$/.test(String(args.channel))) return refuse('channel_not_found');
      const message = find(args.channel, args.ts);
      if (!message) return refuse('message_not_found');
      const content = contentOf(args);
      const wrong = wrongIn(args);
      if (wrong.length) return refuse('invalid_blocks', wrong);
      message.history.push({ text: message.text, blocks: message.blocks });
      Object.assign(message, content, { shown: shownOf(content) });
      return { ok: true, channel: message.channel, ts: message.ts, text: message.text };
    },
    'conversations.info': (args) =>
      missingChannels.has(String(args.channel))
        ? refuse('channel_not_found')
        : { ok: true, channel: { id: idOf(String(args.channel)), name: nameOf(String(args.channel)) } },
    'conversations.list': () => ({
      ok: true,
      channels: [...new Set(messages.map((message) => message.to))].map((to) => ({
        id: idOf(to),
        name: to.replace(/^#/, ''),
      })),
      response_metadata: { next_cursor: '' },
    }),
    'conversations.open': (args) => ({ ok: true, channel: { id: idOf(String(args.users)) } }),
    'files.getUploadURLExternal': (args) => {
      const length = Number(args.length);
      if (!args.filename || !Number.isInteger(length) || length < 1) return refuse('invalid_arguments');
      const id = `F${createHash('sha256')
        .update(`${files.size}${String(args.filename)}`)
        .digest('hex')
        .slice(0, 9)
        .toUpperCase()}`;
      files.set(id, {
        name: String(args.filename),
        length,
        bytes: null,
        completed: false,
        shared: null,
        alt: (args.alt_txt as string) ?? null,
      });
      return { ok: true, upload_url: `${server.url}/upload/${id}`, file_id: id };
    },
    'files.completeUploadExternal': (args) => {
      const named = (args.files ?? []) as { id: string; title?: string }[];
      const channel = args.channel_id === undefined ? null : String(args.channel_id);
      const threadTs = args.thread_ts === undefined ? null : String(args.thread_ts);
      if (channel !== null && threadTs !== null && !find(channel, threadTs)) return refuse('thread_not_found');
      for (const { id } of named) {
        const file = files.get(id);
        if (!file?.bytes) return refuse('file_not_found');
        file.completed = true;
        file.shared = channel;
        if (channel === null) continue;
        const content = { text: `(file ${file.name})`, blocks: [] };
        messages.push({
          to: nameOf(channel),
          channel,
          ts: nextTs(),
          threadTs,
          broadcast: false,
          ...content,
          history: [],
          deleted: false,
          shown: shownOf(content),
        });
      }
      return { ok: true, files: named.map(({ id, title }) => ({ id, title: title ?? '' })) };
    },
    'files.info': (args) => {
      const file = files.get(String(args.file));
      return file
        ? {
            ok: true,
            file: { id: args.file, name: file.name, mimetype: file.completed && filesReady ? 'image/png' : '' },
          }
        : refuse('file_not_found');
    },
  };

  function receiveFile(id: string, call: HttpCall, response: Parameters<typeof json>[0]): void {
    const file = files.get(id);
    const fault = takeFault('upload', '');
    if (fault?.do === 'status') return void response.writeHead(fault.code).end('upstream fault');
    const whole = file?.length === call.body.length;
    if (file && whole) file.bytes = call.body;
    response
      .writeHead(!file ? 404 : whole ? 200 : 400)
      .end(whole ? 'OK' : 'no such upload, or not the length announced');
  }

  const seen = (): string =>
    messages.length === 0
      ? 'Slack has no message'
      : `Slack has:\n${messages.map((m) => `  ${m.to}${m.threadTs ? ' (thread)' : ''}${m.broadcast ? ' (broadcast)' : ''}: ${m.text}`).join('\n')}`;

  return {
    /** `api_url` for the config. */
    url: `${server.url}/api/`,
    token,
    signingSecret,
    messages,
    calls,
    responses,
    files,

    /** Waits for a message in this channel (or to this user) whose present content matches; counts as expected. */
    async expect(
      to: string,
      pattern: RegExp,
      { thread = false, timeoutMs = 10_000 }: { thread?: boolean; timeoutMs?: number } = {},
    ): Promise<FakeSlackMessage> {
      const message = await until(
        () =>
          messages.find(
            (one) => one.to === to && (one.threadTs !== null) === thread && !one.deleted && pattern.test(one.shown),
          ),
        () => `no ${thread ? 'reply' : 'message'} in ${to} matches ${pattern}. ${seen()}`,
        timeoutMs,
      );
      expected.add(message);
      return message;
    },
    /** Fails when there is a message or reply that no `expect` has matched. Edits are not messages. */
    expectNothingElse(): void {
      const surplus = messages.filter((message) => !expected.has(message));
      if (surplus.length) {
        throw new Error(
          `surplus in Slack:\n${surplus.map((m) => `  ${m.to}${m.threadTs ? ' (thread)' : ''}: ${m.text}`).join('\n')}`,
        );
      }
    },
    /** From now on calls (of one method, to one channel, so many times) fail that way, until `recover`. */
    fail(fault: SlackFault, only: { method?: string; to?: string; times?: number } = {}): void {
      faults.push({
        fault,
        method: only.method ?? null,
        to: only.to ?? null,
        times: only.times ?? Number.POSITIVE_INFINITY,
      });
    },
    recover(): void {
      faults = [];
      for (const letGo of hanging) letGo();
      hanging.clear();
    },
    /** From now on uploaded files stay unusable (false), or are usable at once (true). */
    digestFiles: (ready: boolean): void => {
      filesReady = ready;
    },
    removeChannel: (to: string): void => void missingChannels.add(to),
    restoreChannel: (to: string): void => void missingChannels.delete(to),
    deleteMessage: (message: FakeSlackMessage): void => {
      message.deleted = true;
    },
    /** The button or select of a message, as a reader would press it; undefined when it is not shown. */
    buttonOf(message: FakeSlackMessage, actionId: string): Record<string, unknown> | undefined {
      const elements = message.blocks.flatMap((block) =>
        Array.isArray(block.elements) ? (block.elements as Record<string, unknown>[]) : [],
      );
      return elements.find((element) => element.action_id === actionId);
    },
    /**
     * What Slack would POST to the interactions endpoint when `user` presses that button: body and signed headers.
     * `option` picks an entry of a select by its label.
     */
    interaction(
      message: FakeSlackMessage,
      actionId: string,
      user: { id: string; username?: string } = { id: 'U0ANA', username: 'ana' },
      more: { option?: string; at?: number; secret?: string } = {},
    ): { body: string; headers: Record<string, string> } {
      const element = this.buttonOf(message, actionId);
      if (!element) throw new Error(`the message in ${message.to} has no ${actionId}`);
      const at = more.at ?? Date.now();
      const options = (element.options ?? []) as { text: { text: string }; value: string }[];
      const picked = options.find((option) => option.text.text === more.option) ?? options[0];
      const payload = {
        type: 'block_actions',
        user: { id: user.id, username: user.username ?? user.id, team_id: 'T0FAKE' },
        api_app_id: 'A0FAKE',
        token: 'legacy',
        container: { type: 'message', message_ts: message.ts, channel_id: message.channel, is_ephemeral: false },
        trigger_id: `${at}.1`,
        team: { id: 'T0FAKE', domain: 'fake' },
        channel: { id: message.channel, name: message.to.replace(/^#/, '') },
        message: {
          type: 'message',
          ts: message.ts,
          text: message.text,
          blocks: message.blocks,
          ...(message.history.length ? { edited: { user: 'B0TOCSIN', ts: `${message.history.length}.000000` } } : {}),
        },
        response_url: `${server.url}/respond/${message.ts}`,
        actions: [
          {
            type: element.type,
            action_id: actionId,
            block_id: 'tocsin.actions',
            action_ts: (at / 1000).toFixed(6),
            ...(element.type === 'button' ? { value: element.value, text: element.text } : { selected_option: picked }),
          },
        ],
      };
      const body = new URLSearchParams({ payload: JSON.stringify(payload) }).toString();
      const timestamp = String(Math.floor(at / 1000));
      const signature = `v0=${createHmac('sha256', more.secret ?? signingSecret)
        .update(`v0:${timestamp}:${body}`)
        .digest('hex')}`;
      return {
        body,
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          'x-slack-request-timestamp': timestamp,
          'x-slack-signature': signature,
        },
      };
    },
    async close(): Promise<void> {
      for (const letGo of hanging) letGo();
      await server.close();
    },
  };
}

/** The client sends forms; blocks and files travel as JSON inside them. */
function argsOf(call: HttpCall): Record<string, unknown> {
  const type = call.headers['content-type'] ?? '';
  if (type.startsWith('application/json')) return JSON.parse(call.body.toString()) as Record<string, unknown>;
  const args: Record<string, unknown> = Object.fromEntries(new URLSearchParams(call.body.toString()));
  for (const key of ['blocks', 'attachments', 'files', 'metadata']) {
    if (typeof args[key] === 'string') args[key] = JSON.parse(args[key]);
  }
  for (const key of ['reply_broadcast', 'link_names', 'unfurl_links', 'unfurl_media']) {
    if (args[key] === 'true' || args[key] === 'false') args[key] = args[key] === 'true';
  }
  return args;
}

/** Everything a reader sees: the fallback text and the text of every block, entities taken back. */
function shownOf({ text, blocks }: { text: string; blocks: Record<string, unknown>[] }): string {
  const texts: string[] = [text];
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) walk(item);
    else if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) {
        if (key === 'text' && typeof item === 'string') texts.push(item);
        else walk(item);
      }
    }
  };
  walk(blocks);
  return texts.join('\n').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}
