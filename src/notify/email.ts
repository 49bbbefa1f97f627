import { createHash } from 'node:crypto';
import nodemailer from 'nodemailer';
import type { Incident } from '../domain/incident.ts';
import type { NotificationKind } from '../domain/notification.ts';
import { type Channel, callTimeoutMs, type DeliveryJob, type SendResult } from './channel.ts';
import { renderDigestMail } from './digest.ts';
import { withoutSecrets } from './failures.ts';
import { type Message, oneLine, stateLine } from './message.ts';
import { cut, html, inWords, plain, safeUrl, utc } from './text.ts';

export type Mail = { subject: string; text: string; html: string; headers: Record<string, string>; messageId: string };

export type MailOptions = {
  /** The domain of Message-IDs: that of the sender's address. */
  domain: string;
  /** Names this mail among those of its incident; the same notification sent twice has the same Message-ID. */
  notificationId: string;
  kind: NotificationKind;
  /** For an escalation: the line to say first. */
  line: string | null;
  /** What the picture that comes with it shows, or null when none does. */
  picture?: string | null;
};

/** Names the picture inside its mail. */
const pictureId = 'chart@tocsin';

/** Ids come from us, but a Message-ID with a space or an angle bracket would break the header: hash whatever is unusual. */
const idPart = (text: string): string =>
  /^[A-Za-z0-9._-]{1,128}$/.test(text) ? text : createHash('sha256').update(text).digest('hex').slice(0, 32);

/** The root of an incident's mail thread: derived from its id, so that no answer has to be remembered. */
export const threadId = (incidentId: string, domain: string): string => `<incident.${idPart(incidentId)}@${domain}>`;

/** The facts in the order of the Slack message, as [label, text] lines that both renderings share. */
function linesOf(message: Message): [string, string][] {
  const lines: [string, string | null][] = [
    [
      'State',
      message.state === 'merged' && message.mergedInto?.url
        ? `${stateLine(message)}: ${message.mergedInto.url}`
        : stateLine(message),
    ],
    ['Policy', message.held],
    ['What', message.symptom],
    ['Impact', message.impact],
    ['Now', message.trend],
    ...message.around.map((line): [string, string] => ['', line]),
    [
      'Since',
      message.resolved
        ? `${utc(message.since)} to ${utc(message.resolved.at)} (${inWords(message.resolved.lastedMs)})`
        : `${utc(message.since)}${message.began === null ? '' : ` (its own series says ${utc(message.began)})`}`,
    ],
    ['No clear cause', message.unclear],
    ...message.suspects.map((suspect, index): [string, string] => [
      index > 0 ? 'Or' : suspect.clear ? 'Likeliest cause' : 'Candidate',
      (suspect.clear ? [suspect.text, ...suspect.evidence, suspect.chain] : [suspect.text])
        .filter((part) => part !== null)
        .join('; '),
    ]),
    ...message.deploys.map((deploy, index): [string, string] => [
      'Changed',
      `${index === 0 ? 'began ' : ''}${deploy.text}${deploy.url ? ` ${deploy.url}` : ''}`,
    ]),
    [
      'First',
      message.action ? [message.action.text, message.action.why].filter((part) => part !== null).join(' – ') : null,
    ],
    ['Runbook', message.links.runbook],
    ['Dashboard', message.links.dashboard],
    ['Alerts', message.counts],
    ...(message.grouped
      ? message.alerts.map((alert): [string, string] => [
          '',
          `${alert.status} ${alert.severity} ${alert.alertname}${alert.service ? ` (${alert.service})` : ''}${alert.count > 1 ? ` ×${alert.count}` : ''}`,
        ])
      : []),
    ['', message.grouped && message.more ? `and ${message.more} more` : null],
    ['Owner', message.assignee ? `${message.assignee} (${message.team})` : message.team],
    [
      'Escalates next',
      message.nextEscalation
        ? `${utc(message.nextEscalation.at)} to ${message.nextEscalation.notify.join(', ')}`
        : null,
    ],
    ['History', message.similar],
    ...message.degraded.map((line): [string, string] => ['Degraded', line]),
  ];
  return lines.filter((line): line is [string, string] => line[1] !== null && line[1] !== '');
}

const markOf = (message: Message): string =>
  message.state === 'open' ? message.severity.toUpperCase() : message.state.toUpperCase();

/**
 * The message as mail, as text and as HTML with the same facts. The subject keeps the incident's number and title through
 * the thread; Message-ID, In-Reply-To and References come from the incident's id alone (RFC 5322, 3.6.4). Pure.
 */
export function renderMail(message: Message, options: MailOptions): Mail {
  const root = threadId(message.incidentId, options.domain);
  const first = options.kind === 'open';
  const messageId = first
    ? root
    : `<${idPart(options.notificationId)}.${idPart(message.incidentId)}@${options.domain}>`;
  const title = message.headline.replace(/^[A-Z]+ /, '');
  const line = options.line ? plain(options.line, 500) : null;
  const lines = linesOf(message);
  const timeline = message.timeline.slice(-10);
  const footer = `#${message.number} · priority ${message.priority} · ${message.incidentId} · config ${message.configHash}`;
  const text = [
    ...(line ? [line, ''] : []),
    oneLine(message),
    '',
    ...lines.map(([label, value]) => (label ? `${label}: ${value}` : `  - ${value}`)),
    ...(timeline.length ? ['', 'Timeline', ...timeline.map((entry) => `  ${utc(entry.at)}  ${entry.text}`)] : []),
    '',
    message.links.incident ? `${message.links.incident}\n${footer}` : footer,
    '',
  ].join('\n');
  return {
    subject: cut(`[${markOf(message)}] #${message.number} ${title}`, 200),
    text,
    html: pageOf(message, lines, timeline, { line, footer, picture: options.picture ?? null }),
    messageId,
    headers: {
      ...(first ? {} : { 'In-Reply-To': root, References: root }),
      // RFC 3834: keeps out-of-office answers away.
      'Auto-Submitted': 'auto-generated',
      'X-Tocsin-Incident': idPart(message.incidentId),
      ...(message.state === 'open' && message.severity === 'critical' ? { Importance: 'high' } : {}),
    },
  };
}

const colours: Record<Message['state'], string> = {
  open: '#b91c1c',
  acknowledged: '#b45309',
  resolved: '#15803d',
  merged: '#475569',
};

function pageOf(
  message: Message,
  lines: [string, string][],
  timeline: Message['timeline'],
  { line, footer, picture }: { line: string | null; footer: string; picture: string | null },
): string {
  const cell = 'padding:2px 12px 2px 0;vertical-align:top';
  const linked = (text: string): string => {
    const url = /^https?:\/\/\S+$/.test(text) ? safeUrl(text) : null;
    return url ? `<a href="${html(url)}">${html(url)}</a>` : html(text);
  };
  const rows = lines.map(
    ([label, value]) =>
      `<tr><td style="${cell};color:#475569">${html(label)}</td><td style="${cell}">${linked(value)}</td></tr>`,
  );
  const story = timeline.map((entry) => `<li>${html(utc(entry.at))} ${html(entry.text)}</li>`);
  const link = message.links.incident ? `<p>${linked(message.links.incident)}</p>` : '';
  return [
    '<!doctype html><html><body style="font-family:sans-serif;font-size:14px">',
    `<h2 style="color:${colours[message.state]};font-size:18px">${html(message.state === 'open' ? message.headline : `${stateLine(message)}: ${message.headline}`)}</h2>`,
    line ? `<p><b>${html(line)}</b></p>` : '',
    `<table style="border-collapse:collapse">${rows.join('')}</table>`,
    picture === null
      ? ''
      : `<p><img src="cid:${pictureId}" alt="${html(picture)}" width="480" style="max-width:100%;height:auto"></p>`,
    story.length ? `<h3 style="font-size:14px">Timeline</h3><ul>${story.join('')}</ul>` : '',
    link,
    `<p style="color:#475569;font-size:12px">${html(footer)}</p>`,
    '</body></html>',
  ]
    .filter((part) => part !== '')
    .join('\n');
}

export type EmailOptions = {
  smtpUrl: string;
  from: string;
  /** The picture of an incident with its words, or null when there is none. Absent: mail goes without. */
  pictureOf?(incident: Incident): Promise<{ png: Buffer; alt: string } | null>;
  /** Where the reader `to` of a digest made at `at` says that an incident should have paged. Absent: there is no such page. */
  feedbackUrlOf?(incidentId: string, to: string, at: number): string;
};

/** A mail cannot be edited, so it waits this long for its picture, ms, and goes without one then. */
const pictureWaitMs = 1_500;

/** The picture, or null when it is not there in time. */
async function inTime<T>(picture: Promise<T | null>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), pictureWaitMs);
  });
  try {
    return await Promise.race([picture.catch(() => null), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The domain in `Tocsin <tocsin@example.com>`; a sender without one gets ours, which never resolves (RFC 2606). */
function domainOf(from: string): string {
  const domain = /@([A-Za-z0-9.-]+)>?\s*$/.exec(from)?.[1];
  return domain ?? 'tocsin.invalid';
}

const transportOf = ({ smtpUrl }: Pick<EmailOptions, 'smtpUrl'>) => {
  const url = new URL(smtpUrl);
  return nodemailer.createTransport({
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port ? Number(url.port) : url.protocol === 'smtps:' ? 465 : 587,
    secure: url.protocol === 'smtps:',
    // STARTTLS is used wherever the server offers it.
    ...(url.username
      ? { auth: { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) } }
      : {}),
    connectionTimeout: callTimeoutMs,
    greetingTimeout: callTimeoutMs,
    socketTimeout: callTimeoutMs,
    dnsTimeout: callTimeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
};

/**
 * Mail over SMTP: one mail when the incident opens, one per escalation, one when it is over, in one thread. 4xx and
 * silence are tried again, 5xx is refused (RFC 5321, 4.2.1). The Message-ID is derived, so a repeat after a crash has the
 * same one and most servers show it once.
 */
export function emailChannel(options: EmailOptions): Channel {
  if (!URL.canParse(options.smtpUrl) || !/^smtps?:/.test(options.smtpUrl)) {
    const fix = 'Set channels.email.smtp_url to an address such as smtp://user:password@mail.example.com:587';
    return { kind: 'email', send: async () => ({ status: 'refused', reason: 'smtp_url is not an SMTP address', fix }) };
  }
  const transport = transportOf(options);
  const secrets = secretsOf(options.smtpUrl);
  /** The transport's timeouts are for each step; a call as a whole is given up as any other. */
  async function mailed(
    job: Pick<DeliveryJob, 'target' | 'at'>,
    mail: Pick<Mail, 'subject' | 'text' | 'html' | 'headers' | 'messageId'>,
    attachments: { filename: string; content: Buffer; cid: string; contentDisposition: 'inline' }[] = [],
  ): Promise<SendResult> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<SendResult>((resolve) => {
      timer = setTimeout(
        () => resolve({ status: 'retry', reason: 'the mail server did not finish within 10 s' }),
        callTimeoutMs,
      );
    });
    const sent = transport
      .sendMail({ from: options.from, to: job.target.address, date: new Date(job.at), attachments, ...mail })
      .then((): SendResult => ({ status: 'sent', ref: { messageId: mail.messageId }, text: mail.subject }))
      .catch((error: unknown) => failed(error, secrets));
    try {
      return await Promise.race([sent, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    kind: 'email',
    async send(job) {
      // The end of an incident needs no picture.
      const picture =
        job.kind === 'resolve' || !options.pictureOf ? null : await inTime(options.pictureOf(job.incident));
      const mail = renderMail(job.message, {
        domain: domainOf(options.from),
        notificationId: job.id,
        kind: job.kind,
        line: job.text,
        picture: picture?.alt ?? null,
      });
      return mailed(
        job,
        mail,
        picture ? [{ filename: 'chart.png', content: picture.png, cid: pictureId, contentDisposition: 'inline' }] : [],
      );
    },
    digest(job) {
      const messageId = `<${idPart(job.id)}@${domainOf(options.from)}>`;
      const headers = { 'Auto-Submitted': 'auto-generated' };
      const { feedbackUrlOf } = options;
      const linkOf = feedbackUrlOf ? (id: string) => feedbackUrlOf(id, job.target.address, job.digest.to) : null;
      return mailed(job, { ...renderDigestMail(job.digest, linkOf), messageId, headers });
    },
    close: async () => transport.close(),
  };
}

function secretsOf(smtpUrl: string): string[] {
  const { password } = new URL(smtpUrl);
  return password ? [password, decodeURIComponent(password)] : [];
}

function failed(error: unknown, secrets: readonly string[]): SendResult {
  const { code, responseCode, message } = error as { code?: string; responseCode?: number; message?: string };
  const reason = `The mail server: ${withoutSecrets(message ?? String(error), secrets)}`;
  if (code === 'EAUTH') {
    return { status: 'refused', reason, fix: 'Check user and password in channels.email.smtp_url' };
  }
  if (responseCode !== undefined && responseCode >= 500) {
    const fix = code === 'EENVELOPE' ? 'Check the address, and channels.email.from' : null;
    return { status: 'refused', reason, fix };
  }
  return { status: 'retry', reason };
}

/** Asks the mail server whether it lets us in; null when it does, else what is wrong. For `check --online`. */
export async function checkEmail(options: EmailOptions): Promise<string | null> {
  const transport = transportOf(options);
  try {
    await transport.verify();
    return null;
  } catch (error) {
    const result = failed(error, secretsOf(options.smtpUrl));
    return result.status === 'sent' ? null : result.reason;
  } finally {
    transport.close();
  }
}
