import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { type Answer, firing, type Service, startService, webhook } from '../fakes/service.ts';
import { openShop, see } from './shop.ts';

const minute = { timeout: 90_000 };
const good = (name: string) => firing({ alertname: name, service: 'checkout', severity: 'critical' });
const bytes = (value: unknown): Buffer => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

type Case = {
  what: string;
  body: Buffer;
  headers?: Record<string, string>;
  status: number;
  /** Of a body that is taken: how many alerts live and how many are set aside. */
  counts?: [number, number];
  /** A refused body that is kept counts once as received and quarantined. */
  kept?: boolean;
};

/** Sends each case and a good alert right after it; both must get what they are due, and the sum must be right at the end. */
async function survive(tocsin: Service, cases: Case[]): Promise<void> {
  const before = await tocsin.settled();
  let received = 0;
  let quarantined = 0;
  for (const [n, one] of cases.entries()) {
    const answer: Answer = await tocsin.post('/api/v1/webhooks/alertmanager', one.body, one.headers);
    expect([one.what, answer.status, answer.text.slice(0, 300)]).toEqual([one.what, one.status, expect.anything()]);
    if (one.counts)
      expect([one.what, answer.body]).toEqual([one.what, { accepted: one.counts[0], quarantined: one.counts[1] }]);
    else
      expect([one.what, answer.headers.get('content-type')]).toEqual([
        one.what,
        expect.stringMatching(/^application\/problem\+json/),
      ]);
    received += one.counts ? one.counts[0] + one.counts[1] : one.kept ? 1 : 0;
    quarantined += one.counts ? one.counts[1] : one.kept ? 1 : 0;
    const sibling = good(`After${n}`);
    expect([one.what, (await tocsin.deliver(webhook([sibling]))).body]).toEqual([
      one.what,
      { accepted: 1, quarantined: 0 },
    ]);
    received += 1;
  }
  const ledger = await tocsin.settled();
  expect([ledger.received - before.received, ledger.quarantined - before.quarantined]).toEqual([received, quarantined]);
  expect(ledger.failed).toBe(0);
  expect(await tocsin.metric('tocsin_work_restarts_total')).toBe(0);
  expect(await tocsin.metric('tocsin_commit_failures_total')).toBe(0);
  for (const n of cases.keys()) {
    const alert = (await tocsin.alerts(`?alertname=After${n}`))[0];
    expect([n, alert?.status, alert?.incidentId !== null, alert?.verdict !== null]).toEqual([n, 'firing', true, true]);
  }
  expect((await tocsin.ask('/readyz')).status).toBe(200);
  const errors = tocsin.log.filter(({ level }) => level === 'error' || level === 'fatal');
  expect(errors).toEqual([]);
}

test('a body that is no webhook is refused and kept, and the next one is taken', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service());
  const refused = (what: string, body: Buffer | string): Case => ({ what, body: bytes(body), status: 400, kept: true });
  await survive(tocsin, [
    refused('broken JSON', '{"alerts": [{"labels": {"alertname": "x"'),
    refused('two documents', '{"alerts":[]} {"alerts":[]}'),
    refused('an array', '[]'),
    refused('null', 'null'),
    refused('a text', '"alerts"'),
    refused('no alerts', '{"version":"4"}'),
    refused('alerts is an object', '{"alerts":{"0":{}}}'),
    refused('alerts of the prototype', '{"__proto__":{"alerts":[]}}'),
    refused('empty', ''),
    refused('a bare NUL', '\0'),
    refused('nested 200,000 deep', '['.repeat(200_000)),
    {
      what: 'a gzip that is none',
      body: bytes('no gzip'),
      headers: { 'content-encoding': 'gzip' },
      status: 400,
      kept: true,
    },
    { what: 'an unknown encoding', body: bytes('{}'), headers: { 'content-encoding': 'zstd' }, status: 415 },
    { what: '17 MiB', body: Buffer.alloc(17 * 1024 * 1024, 0x20), status: 413 },
    {
      what: 'a bomb: 256 MiB in 256 kB',
      body: gzipSync(Buffer.alloc(256 * 1024 * 1024)),
      headers: { 'content-encoding': 'gzip' },
      status: 413,
    },
  ]);
});

test('one unusable alert is set aside with its place, and its siblings live', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service());
  const wrong = [
    null,
    5,
    'x',
    [],
    {},
    { labels: [] },
    { labels: {} },
    { labels: { a: {} } },
    { labels: { a: 'x' }, status: 'maybe' },
  ];
  const between = wrong.flatMap((one, n) => [one, good(`Between${n}`)]);
  await survive(tocsin, [
    {
      what: 'wrong types',
      body: bytes({ ...webhook([]), alerts: between }),
      status: 200,
      counts: [wrong.length, wrong.length],
    },
  ]);
  for (const n of wrong.keys()) expect(await tocsin.alerts(`?alertname=Between${n}`)).toHaveLength(1);
  const { items } = await tocsin.get<{ items: { place: string }[] }>('/api/v1/quarantine?limit=100');
  expect(items.map(({ place }) => place.split('.')[0]).sort()).toEqual(wrong.map((_, n) => `alerts[${2 * n}]`).sort());
});

test('strange but usable alerts are mended, stored and shown', minute, async () => {
  const shop = await openShop();
  const tocsin = await startService(shop.service());
  const alert = (name: string, more: object = {}, labels: object = {}) => ({
    ...good(name),
    ...more,
    fingerprint: undefined,
    labels: { ...good(name).labels, ...labels },
  });
  const one = (what: string, body: unknown, headers: Record<string, string> = {}): Case => ({
    what,
    body: body instanceof Buffer ? body : bytes({ ...webhook([]), alerts: [body] }),
    headers,
    status: 200,
    counts: [1, 0],
  });
  const packed = (name: string) => bytes(webhook([good(name)]));
  const prototype = `{"labels":{"alertname":"Prototype","__proto__":"polluted","constructor":"c","toString":"t","hasOwnProperty":"h","severity":"critical"},"annotations":{"__proto__":"x"},"status":"firing"}`;
  await survive(tocsin, [
    one('a label of 1 MB', alert('Huge', {}, { stack: 'x'.repeat(1_000_000) })),
    one('an annotation of 1 MB', alert('HugeNote', { annotations: { summary: 'y'.repeat(1_000_000) } })),
    one('3,000 labels', alert('Many', {}, Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`l${i}`, 'v'])))),
    one('a long service', alert('LongService', {}, { service: 's'.repeat(5_000) })),
    one('NUL bytes', alert('Nul', { annotations: { summary: 'a\0b' } }, { pod: 'a\0b', 'n\0n': 'x' })),
    one('half a surrogate', alert('Half', { annotations: { summary: '\ud800' } }, { pod: '\udc00' })),
    one('year 1', alert('Year1', { startsAt: '0001-01-01T00:00:00Z' })),
    one('year 9999', alert('Year9999', { startsAt: '9999-12-31T23:59:59Z' })),
    one('ends in 9999', alert('Ends9999', { endsAt: '9999-12-31T23:59:59Z' })),
    one(
      'a resolve of 9999',
      alert('Resolved9999', { status: 'resolved', startsAt: '9999-01-01T00:00:00Z', endsAt: '9999-12-31T23:59:59Z' }),
    ),
    one('a clock a day ahead', alert('Ahead', { startsAt: new Date(Date.now() + 86_400_000).toISOString() })),
    one('a clock ten years behind', alert('Behind', { startsAt: '2016-01-01T00:00:00Z' })),
    one('a time that is none', alert('NoTime', { startsAt: 'yesterday', endsAt: 7 })),
    one('no times at all', { labels: { alertname: 'Bare', severity: 'critical' } }),
    one('numbers and truth as labels', { labels: { alertname: 'Numbers', code: 500, up: false }, status: 'firing' }),
    one('unknown fields', { ...alert('Unknown'), silenceURL: 'x', value: { a: [1] }, dashboardURL: null }),
    one('keys of the prototype', bytes(`{"alerts":[${prototype}],"__proto__":{"x":1}}`)),
    one(
      'invalid UTF-8',
      Buffer.concat([
        bytes('{"alerts":[{"labels":{"alertname":"Utf8","pod":"'),
        Buffer.from([0xff, 0xfe, 0xc3]),
        bytes('"}}]}'),
      ]),
    ),
    one('a byte order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), packed('Bom')])),
    one('gzip', gzipSync(packed('Gzip')), { 'content-encoding': 'gzip' }),
    one('deflate', deflateSync(packed('Deflate')), { 'content-encoding': 'deflate' }),
    one('brotli', brotliCompressSync(packed('Brotli')), { 'content-encoding': 'br' }),
    one('no content type that fits', packed('Text'), { 'content-type': 'text/plain' }),
    one('a link that runs code', alert('Script', { generatorURL: 'javascript:alert(1)' })),
    one(
      'mentions and markup',
      alert(
        'Mention',
        { annotations: { summary: '<!channel> <script>alert(1)</script>\r\nBcc: x@example.com' } },
        { service: '<!here>' },
      ),
    ),
  ]);
  const shown = async (name: string) => (await tocsin.alerts(`?alertname=${name}`))[0]!;
  expect((await shown('Prototype')).labels).toMatchObject({ constructor: 'c', toString: 't' });
  expect(Object.hasOwn((await shown('Prototype')).labels, '__proto__')).toBe(true);
  expect((await shown('Nul')).labels.pod).toBe('a\ufffdb');
  expect((await shown('Huge')).labels.stack!.length).toBe(8_192);
  expect((await shown('Script')).generatorURL).toBeNull();
  expect(Date.parse((await shown('Year1')).startsAt)).toBeGreaterThan(Date.now() - 60_000);
  expect((await shown('Year9999')).incidentId).not.toBeNull();
  await see(
    () => shop.slack.messages.some(({ text }) => /lt;!here/.test(text)),
    () => 'no message about <!here>',
  );
  const marked = JSON.stringify(shop.slack.messages.map(({ text, blocks }) => [text, markdownOf(blocks)]));
  expect(marked).not.toMatch(/<!(channel|here)>/);
});

test(
  '10,000 alerts in one body are one delivery: all stored, few incidents, and the next alert does not wait',
  minute,
  async () => {
    const shop = await openShop();
    const tocsin = await startService(shop.service());
    const alerts = Array.from({ length: 10_000 }, (_, i) =>
      firing({
        alertname: 'PodDown',
        service: 'checkout',
        severity: 'warning',
        namespace: 'shop',
        pod: `checkout-${i}`,
      }),
    );
    const answer = await tocsin.deliver(webhook(alerts));
    expect(answer.body).toEqual({ accepted: 10_000, quarantined: 0 });
    await tocsin.deliver(webhook([good('RightAfter')]));
    const ledger = await tocsin.settled(60_000);
    expect(ledger).toMatchObject({ received: 10_001, quarantined: 0, failed: 0 });
    expect(await tocsin.alerts('?alertname=PodDown')).toHaveLength(10_000);
    expect((await tocsin.incidents()).length).toBeLessThanOrEqual(2);
    expect(shop.slack.messages.filter(({ threadTs }) => threadTs === null).length).toBeLessThanOrEqual(2);
  },
);

/** Every text of these blocks in which Slack would read a mention; plain text is shown as it stands. */
function markdownOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const { type, text } = value as { type?: unknown; text?: unknown };
  return [...(type === 'mrkdwn' ? [String(text)] : []), ...Object.values(value).flatMap(markdownOf)];
}
