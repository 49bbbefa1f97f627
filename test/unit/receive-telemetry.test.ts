import { expect, test } from 'vitest';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics, mergeMetrics, metricsJson, setConfig, setLedger } from '../../src/telemetry/metrics.ts';
import { traceOf } from '../../src/telemetry/trace.ts';

const logged = (write: (log: ReturnType<typeof createLog>) => void, level = 'debug'): string => {
  const lines: string[] = [];
  write(createLog({ level, destination: { write: (line: string) => void lines.push(line) } }));
  return lines.join('');
};

test('a log line is one JSON object with a time, a level in words and the correlation id of its child', () => {
  const line = JSON.parse(logged((log) => log.child({ trace: 'abc' }).info({ n: 1 }, 'hello')));
  expect(line).toMatchObject({
    level: 'info',
    trace: 'abc',
    n: 1,
    msg: 'hello',
    time: expect.stringMatching(/^\d{4}-.*Z$/),
  });
});

test('hostile text cannot forge a line or steer a terminal', () => {
  const evil = 'x\n{"level":"fatal","msg":"forged"}\r\u001b[2J\u009b31m\u2028\u0000';
  const out = logged((log) => log.info({ label: evil, [evil]: evil }, evil));
  expect(out.trimEnd().split(/\r|\n|\u2028/)).toHaveLength(1);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is the point
  expect(out.trimEnd()).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
  expect(JSON.parse(out).label).toBe(evil);
});

test('secrets are taken out by name and by shape, also from errors, their causes and nested fields', () => {
  const secrets = ['s3cr3t-value', 'xoxb-123456789-abcdef', 'R0UT1NGKEYR0UT1NGKEYR0UT1NGKEY00', 'hunter2hunter2'];
  const axiosLike = Object.assign(new Error('Request failed: Bearer s3cr3t-value'), {
    code: 'ECONNRESET',
    config: { headers: { Authorization: 'Bearer s3cr3t-value' } },
    cause: new Error('connect smtp://bob:hunter2hunter2@mail.example.com:587'),
  });
  const out = logged((log) => {
    log.error({ err: axiosLike }, 'failed with xoxb-123456789-abcdef');
    log.error(axiosLike);
    log.info({ headers: { authorization: 'Bearer s3cr3t-value', cookie: 's3cr3t-value' }, token: 's3cr3t-value' }, 'a');
    log.info({ deep: { list: [{ routing_key: secrets[2], smtp_url: 'hunter2hunter2' }] } }, 'b');
    log.info({ body: `{"routing_key":"${secrets[2]}"}`, url: 'postgres://u:hunter2hunter2@db/x' }, 'c');
    log.child({ password: 'hunter2hunter2' }).info('d');
  });
  for (const secret of secrets) expect(out, secret).not.toContain(secret);
  const lines = out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines[0].err).toMatchObject({ type: 'Error', code: 'ECONNRESET', cause: { type: 'Error' } });
  expect(lines).toHaveLength(6);
  expect(out).toContain('mail.example.com');
});

test('what is only logged in passing does not break the log: cycles, big integers, buffers, unknown levels', () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  const out = logged((log) => log.info({ cycle, big: 10n, raw: Buffer.alloc(9), nothing: null }, 'ok'), 'loud');
  expect(JSON.parse(out)).toMatchObject({ big: '10', raw: '[9 bytes]', nothing: null, msg: 'ok' });
  expect(logged((log) => log.debug('quiet'), 'loud')).toBe('');
});

test('the metrics of both threads are one text: counters and histograms add up, gauges take the larger', async () => {
  const [main, work] = [createMetrics({ process: true }), createMetrics()];
  main.deliveries.inc({ kind: 'alertmanager', result: 'accepted' }, 2);
  main.receiveSeconds.observe({ kind: 'alertmanager' }, 0.004);
  work.receiveSeconds.observe({ kind: 'alertmanager' }, 0.004);
  main.notifications.inc({ channel: 'slack', result: 'sent' });
  work.notifications.inc({ channel: 'slack', result: 'sent' }, 3);
  work.inboxDepth.set(7);
  setLedger(work, { received: 5, notified: 1, grouped: 4, suppressed: 0, failed: 0, inFlight: 0, quarantined: 0 });
  setConfig(main, 'old', 1_000);
  setConfig(main, 'abc', 2_000);
  // As it crosses from the worker thread.
  const text = await mergeMetrics(await metricsJson(main), structuredClone(await metricsJson(work)));
  expect(text).toContain('tocsin_received_deliveries_total{kind="alertmanager",result="accepted"} 2');
  expect(text).toMatch(/tocsin_receive_seconds_bucket\{[^}]*le="0.005"[^}]*\} 2/);
  expect(text).toContain('tocsin_notifications_total{channel="slack",result="sent"} 4');
  expect(text).toMatch(/^tocsin_inbox_depth 7$/m);
  expect(text).toContain('tocsin_ledger{state="received"} 5');
  expect(text).toContain('tocsin_config_info{hash="abc"} 1');
  expect(text).not.toContain('hash="old"');
  expect(text).toMatch(/^process_resident_memory_bytes \d/m);
  for (const line of text.split('\n')) if (/^[a-z]/.test(line)) expect(line).toMatch(/^(tocsin|process|nodejs)_/);
});

test('a trace id is taken from a valid traceparent and made up otherwise', () => {
  const id = '4bf92f3577b34da6a3ce929d0e0e4736';
  expect(traceOf(`00-${id}-00f067aa0ba902b7-01`)).toBe(id);
  expect(traceOf(`01-${id}-00f067aa0ba902b7-01-more`)).toBe(id);
  for (const bad of [
    undefined,
    '',
    id,
    `ff-${id}-00f067aa0ba902b7-01`,
    `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
    `00-${id.toUpperCase()}-00f067aa0ba902b7-01`,
  ]) {
    expect(traceOf(bad)).toMatch(/^[0-9a-f]{16}$/);
  }
  expect(traceOf(undefined)).not.toBe(traceOf(undefined));
});
