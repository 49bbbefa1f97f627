import type { AddressInfo } from 'node:net';
import PostalMime from 'postal-mime';
import { SMTPServer } from 'smtp-server';
import { until } from './until.ts';

export type FakeMail = {
  from: string;
  to: string[];
  subject: string;
  text: string;
  html: string;
  messageId: string;
  inReplyTo: string | null;
  references: string | null;
  headers: Record<string, string>;
  raw: string;
};

export type SmtpFault = { do: 'answer'; code: number; text?: string } | { do: 'hang' };

export type FakeSmtp = Awaited<ReturnType<typeof startFakeSmtp>>;

/** A real SMTP server that nodemailer talks to; it keeps what it is given, parsed by another library than the one that wrote it. */
export async function startFakeSmtp(options: { user?: string; password?: string } = {}) {
  const mails: FakeMail[] = [];
  const expected = new Set<FakeMail>();
  let fault: { fault: SmtpFault; to: string | null; times: number } | null = null;

  const server = new SMTPServer({
    disabledCommands: options.password ? ['STARTTLS'] : ['STARTTLS', 'AUTH'],
    authOptional: !options.password,
    allowInsecureAuth: true,
    onAuth(auth, _session, callback) {
      if (auth.username === options.user && auth.password === options.password) callback(null, { user: auth.username });
      else callback(Object.assign(new Error(`bad password ${auth.password}`), { responseCode: 535 }));
    },
    onRcptTo(address, _session, callback) {
      if (fault && (fault.to === null || fault.to === address.address)) {
        const chosen = fault.fault;
        fault.times -= 1;
        if (fault.times <= 0) fault = null;
        if (chosen.do === 'hang') return;
        callback(Object.assign(new Error(chosen.text ?? 'not now'), { responseCode: chosen.code }));
        return;
      }
      callback();
    },
    onData(stream, session, callback) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', async () => {
        const raw = Buffer.concat(chunks).toString('utf8');
        const mail = await PostalMime.parse(raw);
        mails.push({
          from: mail.from?.address ?? '',
          to: session.envelope.rcptTo.map((recipient) => recipient.address),
          subject: mail.subject ?? '',
          text: mail.text ?? '',
          html: mail.html ?? '',
          messageId: mail.messageId ?? '',
          inReplyTo: mail.inReplyTo ?? null,
          references: mail.references ?? null,
          headers: Object.fromEntries(mail.headers.map((header) => [header.key, header.value])),
          raw,
        });
        callback();
      });
    },
  });
  server.on('error', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.server.address() as AddressInfo;
  const login = options.password
    ? `${encodeURIComponent(options.user ?? '')}:${encodeURIComponent(options.password)}@`
    : '';

  return {
    /** `smtp_url` for the config. */
    url: `smtp://${login}127.0.0.1:${port}`,
    mails,
    /** Waits for a mail to this address whose subject, text or HTML matches and that no earlier expectation has taken. */
    async expect(to: string, pattern: RegExp, timeoutMs = 10_000): Promise<FakeMail> {
      const mail = await until(
        () =>
          mails.find(
            (one) =>
              !expected.has(one) && one.to.includes(to) && pattern.test(`${one.subject}\n${one.text}\n${one.html}`),
          ),
        () =>
          `no mail to ${to} matches ${pattern}. There is: ${mails.map((one) => `${one.to}: ${one.subject}`).join('; ') || 'none'}`,
        timeoutMs,
      );
      expected.add(mail);
      return mail;
    },
    expectNothingElse(): void {
      const surplus = mails.filter((mail) => !expected.has(mail));
      if (surplus.length)
        throw new Error(`surplus mail:\n${surplus.map((mail) => `  ${mail.to}: ${mail.subject}`).join('\n')}`);
    },
    fail(chosen: SmtpFault, only: { to?: string; times?: number } = {}): void {
      fault = { fault: chosen, to: only.to ?? null, times: only.times ?? Number.POSITIVE_INFINITY };
    },
    recover(): void {
      fault = null;
    },
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
