import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { verifyGithub, verifyGitlab, verifyPagerDuty, verifySlack } from '../../src/respond/signatures.ts';

const hex = (secret: string, text: string): string => createHmac('sha256', secret).update(text).digest('hex');

describe('Slack', () => {
  // The example of Slack's own documentation.
  const secret = '8f742231b10e8888abcd99yyyzzz85a5';
  const body = Buffer.from(
    'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
  );
  const headers = {
    timestamp: '1531420618',
    signature: 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
  };
  const now = 1531420618_000;

  test('accepts its documented example, up to five minutes off', () => {
    expect(verifySlack(secret, body, headers, now)).toEqual({ ok: true });
    expect(verifySlack(secret, body, headers, now + 300_000)).toEqual({ ok: true });
  });

  test('refuses what is older, or from the future', () => {
    expect(verifySlack(secret, body, headers, now + 300_001)).toMatchObject({ ok: false });
    expect(verifySlack(secret, body, headers, now - 300_001)).toMatchObject({ ok: false });
  });

  test('refuses a changed body, another secret, a missing or doubled header, and a timestamp that is none', () => {
    const refused = [
      verifySlack(secret, Buffer.from(`${body}&x=1`), headers, now),
      verifySlack('other', body, headers, now),
      verifySlack(secret, body, { ...headers, signature: undefined }, now),
      verifySlack(secret, body, { ...headers, signature: [headers.signature, headers.signature] }, now),
      verifySlack(secret, body, { ...headers, timestamp: '1531420618e0' }, now),
      verifySlack(secret, body, { ...headers, signature: '' }, now),
    ];
    expect(refused.map((r) => r.ok)).toEqual(refused.map(() => false));
    for (const r of refused) expect(JSON.stringify(r)).not.toContain(secret);
  });
});

describe('PagerDuty', () => {
  const body = Buffer.from('{"event":{"id":"1"}}');
  const good = `v1=${hex('new', body.toString())}`;

  test('accepts any one of several signatures, as sent while a secret is rotated', () => {
    expect(verifyPagerDuty('new', body, good)).toEqual({ ok: true });
    expect(verifyPagerDuty('new', body, `v1=${hex('old', body.toString())}, ${good}`)).toEqual({ ok: true });
  });

  test('refuses none that matches, another version, or no header', () => {
    expect(verifyPagerDuty('new', body, `v1=${hex('old', body.toString())}`).ok).toBe(false);
    expect(verifyPagerDuty('new', body, good.replace('v1', 'v2')).ok).toBe(false);
    expect(verifyPagerDuty('new', body, undefined).ok).toBe(false);
    expect(verifyPagerDuty('new', body, `${'v1=00,'.repeat(20)}${good}`).ok).toBe(false);
  });
});

describe('GitHub', () => {
  // The example of GitHub's own documentation.
  const header = 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17';

  test('accepts its documented example and refuses anything else', () => {
    const secret = "It's a Secret to Everybody";
    expect(verifyGithub(secret, Buffer.from('Hello, World!'), header)).toEqual({ ok: true });
    expect(verifyGithub(secret, Buffer.from('Hello, World?'), header).ok).toBe(false);
    expect(verifyGithub(secret, Buffer.from('Hello, World!'), undefined).ok).toBe(false);
  });
});

describe('GitLab', () => {
  test('accepts the token itself and nothing else', () => {
    expect(verifyGitlab('tok', 'tok')).toEqual({ ok: true });
    expect(verifyGitlab('tok', 'tokk').ok).toBe(false);
    expect(verifyGitlab('tok', '').ok).toBe(false);
    expect(verifyGitlab('tok', undefined).ok).toBe(false);
  });
});
