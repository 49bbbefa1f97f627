import { createHash } from 'node:crypto';
import type { Digest, DigestItem } from '../domain/digest.ts';
import type { NotificationJob, Target } from '../domain/notification.ts';
import type { SlackBlock, SlackMessage } from './render-slack.ts';
import { slackActions } from './slack-actions.ts';
import { cut, html, inWords, plain, safeUrl, slackText, slackTime, utc } from './text.ts';

/**
 * One message about many incidents that nobody was told of one by one, with a way to say of each that it should have paged.
 * The daily digest of what policy held back and the hourly one of what went over a team's budget are both this.
 */

/** Items a digest shows; the rest is a number and a hint. Slack takes 50 blocks, an item needs one. */
export const DIGEST_ITEMS = 20;

/**
 * A digest as jobs for the outbox, one a target. `key` names its period (`2026-11-20`, an hour): the same digest made twice,
 * by two replicas or after a restart, has the same ids and goes out once. Pure.
 */
export function digestJobs(
  digest: Digest,
  key: string,
  targets: readonly Target[],
  { now, fallback = [] }: { now: number; fallback?: Target[] },
): NotificationJob[] {
  const named = createHash('sha256').update(digest.team).digest('hex').slice(0, 12);
  const id = `digest-${digest.kind}-${named}-${key}`;
  return targets.map((target) => ({
    id: `${id}-${createHash('sha256').update(`${target.channel} ${target.address}`).digest('hex').slice(0, 8)}`,
    incidentId: id,
    target,
    kind: 'digest',
    // It wakes nobody: after every page, acknowledgement and resolve.
    urgency: 3,
    createdAt: now,
    text: null,
    broadcast: false,
    fallback,
    trace: id,
    digest: { ...digest, items: digest.items.slice(0, DIGEST_ITEMS) },
  }));
}

const incidents = (n: number): string => (n === 1 ? '1 incident' : `${n} incidents`);

/** `payments: 12 incidents held back`; in shadow mode nothing was, and it says so. */
export function digestHeadline({ team, total, items, kind }: Digest): string {
  const name = plain(team, 60);
  if (kind === 'budget') return `${name}: ${incidents(total)} over the hourly budget`;
  const held = items.some((item) => item.held);
  const all = items.every((item) => item.held);
  const what = !held ? 'would have been held back' : all ? 'held back' : 'held back or would have been';
  return `${name}: ${incidents(total)} ${what}`;
}

function intro({ kind, from, to, items }: Digest): string {
  const period = `${utc(from)} to ${utc(to)}`;
  if (kind === 'budget') return `${period}. Each is open in Tocsin; none was sent one by one.`;
  if (items.some((item) => item.held)) return `${period}. Nobody was told of what was held back; all of it is kept.`;
  return `${period}. Shadow mode: everything was sent; this is what \`active\` would have kept from you.`;
}

const more = ({ total, items }: Digest): string | null =>
  total > items.length
    ? `…and ${total - items.length} more: tocsin report lists them all, the most doubtful first.`
    : null;

const itemHead = (item: DigestItem): string => `#${item.number} ${plain(item.title, 120)}`;
const itemWhy = (item: DigestItem): string =>
  [item.severity, item.outcome === null ? null : plain(item.outcome, 120), plain(item.because, 240)]
    .filter((part) => part !== null)
    .join(' · ');

/** In one line, for a log, a webhook and the record. */
export const digestLine = (digest: Digest): string =>
  cut(`${digestHeadline(digest)}: ${digest.items.map(itemHead).join('; ')}`, 700);

/** As Slack shows it: an item a block, each with its button where what is pressed can be believed. */
export function renderDigestSlack(digest: Digest, { interactive }: { interactive: boolean }): SlackMessage {
  const items = digest.items.slice(0, DIGEST_ITEMS).map(
    (item): SlackBlock => ({
      type: 'section',
      text: {
        type: 'mrkdwn',
        verbatim: true,
        text: `*${slackText(itemHead(item), 200)}* ${slackTime(item.at)}\n${slackText(itemWhy(item), 260)}`,
      },
      ...(interactive
        ? {
            accessory: {
              type: 'button',
              action_id: slackActions.shouldHavePaged,
              text: { type: 'plain_text', text: 'Should have paged', emoji: true },
              value: item.incidentId,
            },
          }
        : {}),
    }),
  );
  const rest = more(digest);
  const context = (text: string): SlackBlock => ({
    type: 'context',
    elements: [{ type: 'mrkdwn', verbatim: true, text }],
  });
  return {
    text: slackText(digestLine(digest), 1_500),
    blocks: [
      { type: 'header', text: { type: 'plain_text', text: cut(`📋 ${digestHeadline(digest)}`, 150), emoji: true } },
      context(slackText(intro(digest), 400)),
      ...items,
      ...(rest === null ? [] : [context(slackText(rest, 300))]),
    ],
  };
}

/**
 * The same as mail. `linkOf` gives the address of a page that asks whether an incident should have paged; without it (no
 * `server.public_url`) the mail says what to send instead. Fetching such an address changes nothing: mail scanners do.
 */
export function renderDigestMail(
  digest: Digest,
  linkOf: ((incidentId: string) => string) | null,
): { subject: string; text: string; html: string } {
  const rest = more(digest);
  const say = linkOf
    ? 'A link leads to a page with one button; what is said there becomes a proposal (tocsin propose), never a change by itself.'
    : `Should one have paged? curl -X POST -H 'Authorization: Bearer TOKEN' -H 'Content-Type: application/json' -d '{"by":"YOU","kind":"should-have-paged"}' http://127.0.0.1:8080/api/v1/incidents/NUMBER/feedback (with server.public_url in tocsin.yaml each has a link here)`;
  const lines = digest.items.map((item) => ({
    head: `${itemHead(item)} (${utc(item.at)})`,
    why: itemWhy(item),
    link: linkOf ? safeUrl(linkOf(item.incidentId)) : null,
  }));
  return {
    subject: cut(`[DIGEST] ${digestHeadline(digest)}`, 200),
    text: [
      intro(digest),
      '',
      ...lines.flatMap(({ head, why, link }) => [
        `  - ${head}`,
        `    ${why}`,
        ...(link ? [`    Should have paged: ${link}`] : []),
      ]),
      ...(rest === null ? [] : ['', rest]),
      '',
      say,
      '',
    ].join('\n'),
    html: [
      '<!doctype html><html><body style="font-family:sans-serif;font-size:14px">',
      `<h2 style="font-size:18px">${html(digestHeadline(digest))}</h2>`,
      `<p>${html(intro(digest))}</p>`,
      `<ul>${lines
        .map(
          ({ head, why, link }) =>
            `<li><b>${html(head)}</b><br>${html(why)}${link ? `<br><a href="${html(link)}">Should have paged</a>` : ''}</li>`,
        )
        .join('')}</ul>`,
      ...(rest === null ? [] : [`<p>${html(rest)}</p>`]),
      `<p style="color:#475569;font-size:12px">${html(say)}</p>`,
      '</body></html>',
    ].join('\n'),
  };
}

/** How long something took, for an outcome's words: `ended by itself after 4 min`. */
export const endedAfter = (ms: number): string => `ended by itself after ${inWords(ms)}`;
