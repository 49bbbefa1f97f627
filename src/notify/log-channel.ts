import type { NotificationKind } from '../domain/notification.ts';
import type { Channel } from './channel.ts';
import { digestLine } from './digest.ts';
import { type Message, oneLine } from './message.ts';
import { plain } from './text.ts';

/** One readable line: `open CRITICAL checkout: HighErrorRate | 40,000 users | … | #42`. Pure. */
export function renderLog(message: Message, kind: NotificationKind, text: string | null): string {
  const said = text ? ` | ${plain(text, 500)}` : '';
  return `${kind} ${oneLine(message)}${said}`;
}

/** The channel that always works: a line on stdout (the structured log), and the record the API shows. */
export function logChannel(log: { info(fields: object, message: string): void }): Channel {
  return {
    kind: 'log',
    async send(job) {
      const line = renderLog(job.message, job.kind, job.text);
      const { id, number, severity, priority, team, status } = job.incident;
      log.info({ incident: id, number, severity, priority, team, status, kind: job.kind, notification: job.id }, line);
      return { status: 'sent', ref: { notificationId: job.id }, text: line };
    },
    async digest({ id, digest }) {
      const line = digestLine(digest);
      const { team, kind, total } = digest;
      log.info(
        { team, kind: `digest-${kind}`, total, incidents: digest.items.map((i) => i.number), notification: id },
        line,
      );
      return { status: 'sent', ref: null, text: line };
    },
  };
}
