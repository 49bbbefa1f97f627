/**
 * Everything that stands between a label and a reader. Labels and annotations are hostile input: whoever can name a pod
 * could otherwise mention a whole channel, forge a mail header or write a second log line.
 */

// Marks that turn or hide text: bidi embeddings, overrides and isolates (CVE-2021-42574), zero-width spaces, tag characters.
const invisible = /[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]|[\u{e0000}-\u{e007f}]/gu;
// biome-ignore lint/suspicious/noControlCharactersInRegex: taking control characters out is what it is for
const breaks = /[\u0000-\u0020\u007f-\u00a0\u2028\u2029]+/g;

/** One clean line of at most `max` UTF-16 units: no control or direction-changing characters, no line breaks, no lone surrogates. */
export function plain(text: string, max: number): string {
  // Twice the budget is enough to fill it after cleaning ordinary text, and keeps a 1 MB label from being cleaned whole.
  const head = text.length > max * 4 ? text.slice(0, max * 4) : text;
  return cut(head.toWellFormed().replace(invisible, '').replace(breaks, ' ').trim(), max);
}

/** At most `max` UTF-16 units, ending in `…` where something is missing; never half a surrogate pair. */
export function cut(text: string, max: number): string {
  if (text.length <= max) return text;
  let end = Math.max(0, max - 1);
  const last = text.charCodeAt(end - 1);
  if (last >= 0xd800 && last <= 0xdbff) end -= 1;
  return `${text.slice(0, end).trimEnd()}…`;
}

/** The address of a link we are willing to show, normalised, or null: http and https only, no credentials in it, at most 2,000 characters. */
export function safeUrl(text: string | null | undefined): string | null {
  if (!text || text.length > 2000 || !URL.canParse(text)) return null;
  const url = new URL(text);
  if ((url.protocol !== 'http:' && url.protocol !== 'https:') || url.username || url.password) return null;
  return url.href.length > 2000 ? null : url.href;
}

const escapeWith = (table: Record<string, string>, text: string, max: number): string => {
  let out = '';
  for (const char of text) {
    const piece = table[char] ?? char;
    if (out.length + piece.length > max) {
      // Room for the ellipsis is made by whole characters, so that no entity is cut in half.
      while (out.length + 1 > max) out = out.replace(/(&[a-z0-9#]+;|[\s\S])$/, '');
      return `${out}…`;
    }
    out += piece;
  }
  return out;
};

const slackEntities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '`': 'ˋ' };
const htmlEntities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/**
 * Text for Slack's mrkdwn: `&`, `<` and `>` as entities, which takes the meaning from `<!channel>`, `<@U…>` and `<url|text>`
 * (https://docs.slack.dev/messaging/formatting-message-text#escaping); at most `max` characters after escaping. A backtick
 * becomes a look-alike, since it could not be escaped and would swallow the rest of the line as code.
 */
export const slackText = (text: string, max: number): string => escapeWith(slackEntities, plain(text, max), max);

/** A link in mrkdwn; just the words when the address is not one we show. */
export function slackLink(url: string | null, words: string, max: number): string {
  const safe = safeUrl(url);
  const label = slackText(words, max);
  if (!safe) return label;
  const address = safe.replace(/[<>|]/g, (char) => encodeURIComponent(char)).replaceAll('&', '&amp;');
  return address.length > 1000 ? label : `<${address}|${label}>`;
}

/** A moment in the reader's own time zone, with UTC where the client cannot. */
export const slackTime = (ms: number): string => {
  const seconds = Math.floor(ms / 1000);
  return `<!date^${seconds}^{date_short_pretty} {time}|${utc(ms)}>`;
};

export const html = (text: string, max = 4000): string => escapeWith(htmlEntities, plain(text, max), max * 6);

/** A moment for readers without a client that knows their zone: `2026-11-20 03:12 UTC`. */
export const utc = (ms: number): string => {
  const time = new Date(ms);
  return Number.isNaN(time.getTime()) ? 'an unknown time' : `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
};

/** A length of time in words, two units at most: `45 s`, `14 min`, `2 h 5 min`, `3 d 4 h`. */
export function inWords(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
}

const wholeNumber = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
/** `12,000`: grouped the same way whatever the machine's locale is. */
export const grouped = (n: number): string => wholeNumber.format(n);
