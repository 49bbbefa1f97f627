import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fingerprint } from '../../src/receive/fingerprint.ts';
import {
  countAlertsApi,
  countWebhook,
  type ParseContext,
  parseAlertsApi,
  parseWebhook,
  timeOf,
} from '../../src/receive/parse.ts';

const captures = new URL('../fixtures/captures/', import.meta.url);
const capture = (prefix: string): Buffer => {
  const name = readdirSync(captures).find((file) => file.startsWith(prefix));
  return readFileSync(new URL(name!, captures));
};

const now = Date.parse('2026-11-20T08:00:00Z');
const context: ParseContext = {
  receivedAt: now,
  source: 'default',
  severityMap: {},
  labelNames: {
    service: ['service', 'app'],
    namespace: ['namespace'],
    cluster: ['cluster'],
    tenant: ['tenant'],
  },
};
const webhook = (body: unknown, with_: Partial<ParseContext> = {}) => {
  const parsed = parseWebhook(Buffer.from(JSON.stringify(body)), { ...context, ...with_ });
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed;
};
const alert = (extra: Record<string, unknown> = {}) => ({
  status: 'firing',
  labels: { alertname: 'A', service: 's' },
  annotations: {},
  startsAt: '2026-11-20T07:59:00Z',
  endsAt: '0001-01-01T00:00:00Z',
  generatorURL: '',
  fingerprint: '0123456789abcdef',
  ...extra,
});
const one = (extra: Record<string, unknown> = {}) => webhook({ alerts: [alert(extra)] }).alerts[0]!;
const posted = (alerts: unknown) => {
  const parsed = parseAlertsApi(Buffer.from(JSON.stringify(alerts)), context);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed;
};

describe('bodies captured from Alertmanager 0.25', () => {
  test('every captured body is read whole, and every fingerprint is what its labels give', () => {
    let alerts = 0;
    for (const file of readdirSync(captures).filter((name) => name.endsWith('.json'))) {
      const parsed = parseWebhook(readFileSync(new URL(file, captures)), context);
      if (!parsed.ok) throw new Error(`${file}: ${parsed.reason}`);
      expect(parsed.quarantined).toEqual([]);
      for (const seen of parsed.alerts) expect(fingerprint(seen.labels), file).toBe(seen.fingerprint);
      alerts += parsed.alerts.length;
    }
    expect(alerts).toBe(531);
  });

  test('a receiver name arrives quoted for a regular expression and is given back as configured', () => {
    const parsed = parseWebhook(capture('02'), context);
    expect(parsed).toMatchObject({ ok: true, receiver: 'team.sre+db', truncated: 0 });
  });

  test('a truncated group says how many alerts are missing, and its root status is not believed', () => {
    const parsed = parseWebhook(capture('06'), context);
    expect(parsed).toMatchObject({ ok: true, truncated: 7 });
    if (parsed.ok) expect(parsed.alerts.map((seen) => seen.status)).toEqual(['resolved', 'resolved', 'resolved']);
  });

  test('a mixed group keeps the status of each alert, the real end of the resolved one and no end of the firing ones', () => {
    const parsed = parseWebhook(capture('03'), context);
    if (!parsed.ok) throw new Error(parsed.reason);
    const resolved = parsed.alerts.filter((seen) => seen.status === 'resolved');
    expect(resolved).toHaveLength(1);
    expect(resolved[0]!.endsAt).toBeGreaterThan(resolved[0]!.startsAt);
    for (const seen of parsed.alerts)
      if (seen.status === 'firing') expect([seen.endsAt, seen.expiresAt]).toEqual([null, null]);
  });

  test('Unicode, quotes, newlines, markup and a 40 kB annotation stay as they were sent', () => {
    const raw = capture('07');
    const sent = JSON.parse(raw.toString()).alerts[0];
    const parsed = parseWebhook(raw, context);
    if (!parsed.ok) throw new Error(parsed.reason);
    expect(parsed.alerts[0]!.labels).toEqual(sent.labels);
    expect(parsed.alerts[0]!.annotations).toEqual(sent.annotations);
  });

  test('fractions of a second of any length are read, to the millisecond', () => {
    expect(timeOf('2026-11-20T07:21:33.72Z')).toBe(Date.UTC(2026, 10, 20, 7, 21, 33, 720));
    expect(timeOf('2026-11-20T07:23:03.806603059Z')).toBe(Date.UTC(2026, 10, 20, 7, 23, 3, 806));
    expect(timeOf('2026-11-20t09:23:03+02:00')).toBe(Date.UTC(2026, 10, 20, 7, 23, 3));
  });
});

describe('one bad alert', () => {
  test('is quarantined with its place and what was sent, and its siblings live', () => {
    const bad = [null, 7, 'text', [], {}, { labels: null }, { labels: [] }, { labels: {} }, { labels: { a: '' } }];
    for (const member of bad) {
      const parsed = webhook({ alerts: [alert(), member, alert()] });
      expect(parsed.alerts).toHaveLength(2);
      expect(parsed.quarantined).toHaveLength(1);
      expect(parsed.quarantined[0]!.place).toMatch(/^alerts\[1\]/);
      expect(parsed.quarantined[0]!.raw).toBe(JSON.stringify(member));
    }
  });

  test('says which label is no text', () => {
    const { quarantined } = webhook({
      alerts: [alert(), alert(), alert(), alert({ labels: { alertname: 'A', pod: { x: 1 } } })],
    });
    expect(quarantined[0]).toMatchObject({ place: 'alerts[3].labels.pod', source: 'default', at: now });
  });

  test('is one whose status is neither firing nor resolved; a missing one is told from the end', () => {
    expect(webhook({ alerts: [alert({ status: 'maybe' })] }).quarantined[0]!.place).toBe('alerts[0].status');
    expect(webhook({ alerts: [alert({ status: undefined })] }).alerts[0]!.status).toBe('firing');
    expect(webhook({ alerts: [alert({ status: undefined, endsAt: '2026-11-20T07:59:30Z' })] }).alerts[0]!.status).toBe(
      'resolved',
    );
    expect(webhook({ alerts: [alert({ status: 'RESOLVED' })] }).alerts[0]!.status).toBe('resolved');
  });
});

describe('a body', () => {
  test('that is no JSON, empty, or has no list of alerts is refused with what to do', () => {
    for (const raw of [
      '',
      '{',
      'null',
      '[]',
      '7',
      '"x"',
      '{}',
      '{"alerts":{}}',
      '{"alerts":null}',
      '\0',
      '{"alerts":[}',
    ]) {
      const parsed = parseWebhook(Buffer.from(raw), context);
      expect(parsed.ok, raw).toBe(false);
      if (!parsed.ok) expect(parsed.reason).toMatch(/empty|not JSON|alerts/);
      expect(countWebhook(Buffer.from(raw)).ok).toBe(false);
    }
  });

  test('of a newer Alertmanager is read: unknown keys do not matter, the reason for the notification is kept', () => {
    const parsed = webhook({
      alerts: [alert({ future: { deep: [1] } })],
      notification_reason: 'repeat interval elapsed',
      routeLabels: { a: 'b' },
      version: '5',
    });
    expect(parsed).toMatchObject({ notificationReason: 'repeat interval elapsed', quarantined: [] });
    expect(parsed.alerts).toHaveLength(1);
  });

  test('may begin with a byte order mark', () => {
    expect(countWebhook(Buffer.from(`\ufeff${JSON.stringify({ alerts: [alert()] })}`))).toMatchObject({ accepted: 1 });
  });

  test('nested more deeply than anyone can show is quarantined, not a crash', () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    const parsed = parseWebhook(Buffer.from(`{"alerts":[{"labels":{"a":${deep}}},{"labels":{"a":"b"}}]}`), context);
    if (!parsed.ok) expect(parsed.reason).toMatch(/not JSON/);
    else expect([parsed.alerts.length, parsed.quarantined.length]).toEqual([1, 1]);
  });

  test('of 10,000 alerts is read whole', () => {
    const parsed = webhook({
      alerts: Array.from({ length: 10_000 }, (_, i) => alert({ labels: { alertname: 'A', pod: `p${i}` } })),
    });
    expect(parsed.alerts).toHaveLength(10_000);
  });
});

describe('identity', () => {
  test('a missing or malformed fingerprint is computed from the labels; a good one is kept as sent', () => {
    const computed = fingerprint({ alertname: 'A', service: 's' });
    for (const bad of [undefined, null, 7, '', 'a b', 'ä', '../x', 'a/b', 'x'.repeat(129)]) {
      expect(one({ fingerprint: bad }).fingerprint).toBe(computed);
    }
    expect(one({ fingerprint: 'Custom_id:1.2-3' }).fingerprint).toBe('Custom_id:1.2-3');
  });

  test('empty labels count as absent, and names are sorted by their bytes', () => {
    expect(fingerprint({ b: '1', a: '2', c: '' })).toBe(fingerprint({ a: '2', b: '1' }));
    // U+FF5E sorts before U+1F600 by bytes and after it by UTF-16 units: the order must not depend on insertion.
    expect(fingerprint({ '\u{1f600}': '1', '\uff5e': '2' })).toBe(fingerprint({ '\uff5e': '2', '\u{1f600}': '1' }));
  });
});

describe('labels', () => {
  test('numbers and booleans become text, empty and null ones are dropped, case stays', () => {
    expect(one({ labels: { alertname: 'A', Port: 8080, up: false, gone: '', nil: null, Ünï: 'Ç' } }).labels).toEqual({
      alertname: 'A',
      Port: '8080',
      up: 'false',
      Ünï: 'Ç',
    });
  });

  test('NUL bytes and half characters become the replacement character', () => {
    const seen = webhook(
      JSON.parse('{"alerts":[{"labels":{"a\\u0000b":"c\\u0000d","e":"\\ud800x"},"annotations":{"s":"\\u0000"}}]}'),
    );
    expect(seen.alerts[0]!.labels).toEqual({ 'a\ufffdb': 'c\ufffdd', e: '\ufffdx' });
    expect(seen.alerts[0]!.annotations).toEqual({ s: '\ufffd' });
  });

  test('named like parts of every object are labels and nothing else', () => {
    const raw = Buffer.from('{"alerts":[{"labels":{"__proto__":"x","constructor":"y","toString":"z","a":null}}]}');
    const parsed = parseWebhook(raw, {
      ...context,
      labelNames: { ...context.labelNames, service: ['hasOwnProperty', 'constructor'] },
    });
    if (!parsed.ok) throw new Error(parsed.reason);
    const { labels, service } = parsed.alerts[0]!;
    expect(Object.entries(labels)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
      ['toString', 'z'],
    ]);
    expect(service).toBe('y');
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  test('of a megabyte are cut, said so, and still tell two alerts apart; the columns fit an index', () => {
    const [a, b] = webhook({
      alerts: ['1', '2'].map((end) =>
        alert({ fingerprint: '', labels: { alertname: 'x'.repeat(1_000_000) + end, service: 'é'.repeat(5_000) } }),
      ),
    }).alerts;
    expect(a!.labels.alertname).toHaveLength(8_192);
    expect(a!.annotations.tocsin_cut).toMatch(/label alertname cut from 1000001 to 8192/);
    expect(a!.alertname).toHaveLength(256);
    expect(Buffer.byteLength(a!.alertname + a!.service)).toBeLessThan(2_704);
    expect(a!.fingerprint).not.toBe(b!.fingerprint);
  });

  test('say service, namespace, cluster, tenant and the called side, by the configured names in order', () => {
    const seen = one({
      labels: {
        app: 'a',
        namespace: 'n',
        cluster: 'c',
        tenant: 't',
        destination_service: 'cart.shop.svc.cluster.local',
      },
    });
    expect(seen).toMatchObject({
      service: 'a',
      namespace: 'n',
      cluster: 'c',
      tenant: 't',
      destination: 'cart',
      alertname: '',
    });
  });

  test('give the severity by the map, by the usual words, and medium for what nobody knows', () => {
    const severity = (word: unknown, map: ParseContext['severityMap'] = {}) =>
      webhook({ alerts: [alert({ labels: { a: 'b', severity: word } })] }, { severityMap: map }).alerts[0]!.severity;
    expect(severity('page')).toBe('critical');
    expect(severity('none')).toBe('info');
    expect(severity('constructor')).toBe('medium');
    expect(severity('P0', { p0: 'critical' })).toBe('critical');
    expect(one().severity).toBe('medium');
  });
});

describe('times', () => {
  test('a start that is missing, unreadable or year 1 is the arrival, and says that it was not sent', () => {
    for (const startsAt of [undefined, null, 'yesterday', 7, '0001-01-01T00:00:00Z', '2026-13-45T99:00:00Z']) {
      expect(one({ startsAt })).toMatchObject({ startsAt: now, startsAtSent: false });
    }
  });

  test('a start in the future is kept: it is part of what the alert is', () => {
    expect(one({ startsAt: '2026-11-20T09:00:00Z' })).toMatchObject({ startsAt: now + 3_600_000, startsAtSent: true });
    expect(one({ startsAt: '9999-12-31T23:59:59Z' }).startsAt).toBe(Date.UTC(9999, 11, 31, 23, 59, 59));
  });

  test('a resolve never ends before it starts, and ends at its arrival when it does not say', () => {
    expect(one({ status: 'resolved', endsAt: '2026-11-20T07:00:00Z' }).endsAt).toBe(Date.parse('2026-11-20T07:59:00Z'));
    for (const endsAt of ['0001-01-01T00:00:00Z', '9999-12-31T23:59:59Z', undefined])
      expect(one({ status: 'resolved', endsAt }).endsAt).toBe(now);
  });

  test('a firing alert with an end in the future promises it; the year 9999 is no promise', () => {
    expect(one({ endsAt: '2026-11-20T08:10:00Z' })).toMatchObject({
      status: 'firing',
      endsAt: null,
      expiresAt: now + 600_000,
    });
    expect(one({ endsAt: '9999-12-31T23:59:59Z' }).expiresAt).toBeNull();
  });
});

describe('links', () => {
  test('are kept only when a browser would open them as a page', () => {
    expect(one({ generatorURL: 'https://prometheus.example.com/graph' }).generatorUrl).toBe(
      'https://prometheus.example.com/graph',
    );
    for (const generatorURL of ['javascript:alert(1)', 'data:text/html,x', '', 7, null])
      expect(one({ generatorURL }).generatorUrl).toBeNull();
  });
});

describe('POST /api/v2/alerts', () => {
  test('an end in the past resolves, one in the future expires, none means five minutes', () => {
    const labels = { alertname: 'A' };
    const [past, future, none] = posted([
      { labels, startsAt: '2026-11-20T07:00:00Z', endsAt: '2026-11-20T07:30:00Z' },
      { labels, endsAt: '2026-11-20T08:04:00Z' },
      { labels },
    ]).alerts;
    expect(past).toMatchObject({ status: 'resolved', endsAt: Date.parse('2026-11-20T07:30:00Z'), expiresAt: null });
    expect(future).toMatchObject({ status: 'firing', startsAt: now, expiresAt: now + 240_000, endsAt: null });
    expect(none).toMatchObject({ status: 'firing', expiresAt: now + 300_000, fingerprint: fingerprint(labels) });
  });

  test('a bad member is quarantined with its place, the others live; anything but a list is refused', () => {
    const parsed = posted([{ labels: { a: 'b' } }, { labels: 7 }]);
    expect(parsed.alerts).toHaveLength(1);
    expect(parsed.quarantined[0]!.place).toBe('[1].labels');
    for (const body of [{}, null, 'x', { alerts: [] }])
      expect(parseAlertsApi(Buffer.from(JSON.stringify(body)), context).ok).toBe(false);
  });
});

describe('whatever is sent', () => {
  const hostile = fc.oneof(
    fc.constantFrom(
      'alerts',
      'labels',
      'status',
      'firing',
      'resolved',
      'startsAt',
      '__proto__',
      'constructor',
      '0001-01-01T00:00:00Z',
    ),
    fc.string({ unit: 'binary', maxLength: 12 }),
  );
  const { anything } = fc.letrec((tie) => ({
    anything: fc.oneof(
      { maxDepth: 4 },
      hostile,
      fc.integer(),
      fc.double(),
      fc.boolean(),
      fc.constant(null),
      tie('object'),
      tie('list'),
    ),
    object: fc.dictionary(hostile, tie('anything'), { maxKeys: 5 }),
    list: fc.array(tie('anything'), { maxLength: 5 }),
  }));
  const hostileAlert = fc.record(
    {
      status: anything,
      labels: fc.oneof(fc.dictionary(hostile, anything, { maxKeys: 5 }), anything),
      annotations: anything,
      startsAt: anything,
      endsAt: anything,
      fingerprint: anything,
      generatorURL: anything,
    },
    { requiredKeys: [] },
  );

  test('nothing throws, and the count at the door is the count of the work side', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(hostileAlert, anything), { maxLength: 8 }), anything, (alerts, extra) => {
        const raw = Buffer.from(JSON.stringify({ alerts, groupKey: extra, receiver: extra, truncatedAlerts: extra }));
        const parsed = parseWebhook(raw, context);
        const counted = countWebhook(raw);
        if (!parsed.ok || !counted.ok) throw new Error('refused');
        expect(counted).toEqual({ ok: true, accepted: parsed.alerts.length, quarantined: parsed.quarantined.length });
        expect(counted.accepted + counted.quarantined).toBe(alerts.length);
        for (const seen of parsed.alerts) {
          expect(seen.fingerprint).toMatch(/^[A-Za-z0-9_.:-]{1,128}$/);
          expect(JSON.stringify(seen)).not.toMatch(/\\u0000|\\ud[89a-f]/i);
          expect(Number.isFinite(seen.startsAt)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('good alerts come out of a bad crowd exactly as they come out alone', () => {
    const alone = one();
    fc.assert(
      fc.property(fc.array(fc.oneof(hostileAlert, anything), { maxLength: 6 }), fc.nat(6), (crowd, at) => {
        const alerts = [...crowd.slice(0, at), alert(), ...crowd.slice(at)];
        const seen = webhook({ alerts }).alerts.filter((found) => found.fingerprint === alone.fingerprint);
        expect(seen).toContainEqual(alone);
      }),
      { numRuns: 300 },
    );
  });

  test('bytes that are no JSON never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const raw = Buffer.from(bytes);
        expect(parseWebhook(raw, context).ok).toBe(countWebhook(raw).ok);
        expect(parseAlertsApi(raw, context).ok).toBe(countAlertsApi(raw).ok);
      }),
    );
  });
});
