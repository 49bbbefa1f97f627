import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { expect, onTestFinished, test } from 'vitest';
import { type Probe, runCheck } from '../../src/cli/check.ts';
import { folder } from '../fakes/config-tree.ts';

type Answer = { code: number; body: unknown };

/** A server on a socket that answers by path; it keeps what it was asked. */
async function serve(answer: (request: IncomingMessage) => Answer): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization ?? '-'}`);
    const { code, body } = answer(request);
    response.writeHead(code, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

async function mailServer(password: string): Promise<number> {
  const server = new SMTPServer({
    authOptional: false,
    disabledCommands: ['STARTTLS'],
    allowInsecureAuth: true,
    onAuth: (auth, _session, done) =>
      auth.password === password ? done(null, { user: 'me' }) : done(new Error('535 wrong password')),
  });
  server.on('error', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return (server.server.address() as AddressInfo).port;
}

async function check(files: Record<string, string>, env: Record<string, string>) {
  let out = '';
  let err = '';
  const code = await runCheck({
    dir: folder(files),
    online: true,
    json: true,
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    env,
  });
  const probes = (JSON.parse(out) as { probes: Probe[] }).probes;
  return { code, out, err, probes: Object.fromEntries(probes.map((p) => [p.peer, `${p.status}: ${p.text}`])) };
}

const routing = 'teams: { sre: { pagerduty: { env: PD } } }\nroutes: { default_team: sre }\n';

test('every system of the tree is asked for real, and nobody is told of anything', async () => {
  const prometheus = await serve(() => ({ code: 200, body: { status: 'success', data: { version: '2.42.0' } } }));
  const alertmanager = await serve(() => ({ code: 200, body: { versionInfo: { version: '0.25.0\u001b[2J' } } }));
  const slack = await serve(() => ({ code: 200, body: { ok: true, team: 'T', user: 'tocsin' } }));
  const pagerduty = await serve(() => ({ code: 404, body: {} }));
  const port = await mailServer('hunter2');
  const { code, probes, out } = await check(
    {
      'routing.yaml': routing,
      'tocsin.yaml': `
prometheus: [ { name: main, url: "${prometheus.url}/prefix/", auth: { bearer: { env: P } } } ]
alertmanager: [ { name: main, url: "${alertmanager.url}", auth: { username: me, password: { env: A } } } ]
channels:
  slack: { token: { env: S }, signing_secret: { env: S }, api_url: "${slack.url}/api/" }
  pagerduty: { events_url: "${pagerduty.url}" }
  email: { smtp_url: { env: SMTP }, from: tocsin@example.com }
  webhook: { targets: { siem: { url: "http://127.0.0.1:1/" } } }
`,
    },
    {
      P: 'hunter2-p',
      A: 'hunter2-a',
      S: 'xoxb-hunter2',
      PD: 'hunter2-pd',
      SMTP: `smtp://me:hunter2@127.0.0.1:${port}`,
    },
  );
  expect(probes).toEqual({
    'prometheus main': 'ok: version 2.42.0',
    'alertmanager main': 'ok: version 0.25.02J',
    slack: 'ok: the token works',
    email: 'ok: the mail server lets us in',
    pagerduty: 'ok: events_url answers; whether the routing keys are right shows only an event: use tocsin drill',
    'webhook:siem': 'skipped: any request would be a notification: use tocsin drill',
  });
  expect(code).toBe(0);
  expect(out).not.toContain('hunter2');
  expect(prometheus.asked).toEqual(['GET /prefix/api/v1/status/buildinfo Bearer hunter2-p']);
  expect(alertmanager.asked).toEqual([`GET /api/v2/status Basic ${Buffer.from('me:hunter2-a').toString('base64')}`]);
  expect(slack.asked).toEqual([expect.stringMatching(/^POST \/api\/auth\.test /)]);
  expect(pagerduty.asked).toEqual(['GET / -']);
});

test('what refuses us, answers nonsense or is not there is named, with what to do, and fails the check', async () => {
  const prometheus = await serve(() => ({ code: 401, body: {} }));
  const wrong = await serve(() => ({ code: 200, body: { hello: 'world' } }));
  const slack = await serve(() => ({ code: 200, body: { ok: false, error: 'invalid_auth' } }));
  const port = await mailServer('right');
  const { code, probes, out } = await check(
    {
      'routing.yaml': routing,
      'tocsin.yaml': `
prometheus: [ { name: locked, url: "${prometheus.url}" }, { name: wrong, url: "${wrong.url}" }, { name: gone, url: "http://127.0.0.1:1" } ]
alertmanager: [ { name: later, url: "${wrong.url}", auth: { bearer: { env: NOT_SET } } } ]
channels:
  slack: { token: { env: S }, api_url: "${slack.url}" }
  pagerduty: { events_url: "http://127.0.0.1:1" }
  email: { smtp_url: { env: SMTP }, from: tocsin@example.com }
`,
    },
    { S: 'xoxb-hunter2', PD: 'hunter2-pd', SMTP: `smtp://me:hunter2@127.0.0.1:${port}` },
  );
  expect(code).toBe(1);
  expect(probes).toMatchObject({
    'prometheus locked': 'failed: it refused us (401). Check its `auth` and the secret behind it',
    'prometheus wrong': expect.stringMatching(
      /^failed: \/api\/v1\/status\/buildinfo answered 200, not as this server does/,
    ),
    'prometheus gone': 'failed: 127.0.0.1:1 refused the connection. Check `url`, and that it runs',
    'alertmanager later': 'skipped: the secret that its auth refers to is not set',
    slack: expect.stringMatching(/^failed: .*invalid_auth/),
    pagerduty: 'failed: 127.0.0.1:1 refused the connection. Check channels.pagerduty.events_url',
    email: expect.stringMatching(/^failed: .*535/),
  });
  expect(out).not.toContain('hunter2');
});

test('what is off is not asked, and that is no failure', async () => {
  const { code, probes } = await check(
    {
      'tocsin.yaml':
        'channels: { slack: { token: { env: S } }, email: { smtp_url: { env: M }, from: a@b.c }, pagerduty: {} }\n',
    },
    {},
  );
  expect(code).toBe(0);
  expect(probes).toEqual({
    slack: 'skipped: Slack is off: its token, variable S, is not set',
    email: 'skipped: Mail is off: smtp_url, variable M, is not set',
    pagerduty: 'skipped: no team has a routing key that is set',
  });
});
