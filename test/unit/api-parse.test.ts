import { expect, test } from 'vitest';
import { z } from 'zod';
import { decodeCursor, encodeCursor } from '../../src/api/cursor.ts';
import { parseBody, parseQuery, plain } from '../../src/api/parse.ts';
import { IncidentQuery } from '../../src/api/schemas.ts';

const detailOf = (parsed: { ok: boolean }): string =>
  (parsed as unknown as { reply: { body: { detail: string } } }).reply.body.detail;

test('commas and repeats both separate a list, and blanks around names do not count', () => {
  const parsed = parseQuery(IncidentQuery, { status: ['open, acknowledged', 'resolved'], service: 'cart' });
  expect(parsed).toMatchObject({
    ok: true,
    value: { status: ['open', 'acknowledged', 'resolved'], service: ['cart'], limit: 50 },
  });
});

test('numbers and booleans are read as such, and nothing else is', () => {
  const schema = z.strictObject({ n: z.int().optional(), on: z.boolean().optional() });
  expect(parseQuery(schema, { n: '12', on: 'false' })).toEqual({ ok: true, value: { n: 12, on: false } });
  for (const n of ['1e3', '0x10', '', ' 1', '1.5']) expect(parseQuery(schema, { n }).ok).toBe(false);
  expect(parseQuery(schema, { on: '1' }).ok).toBe(false);
});

test('everything wrong is said at once, each by name, a typing mistake with what was meant', () => {
  const detail = detailOf(
    parseQuery(IncidentQuery, { sevrity: 'high', limit: '0', status: 'closed', cursor: ['a', 'b'] }),
  );
  expect(detail).toContain('"sevrity" is not known here; did you mean "severity"?');
  expect(detail).toContain('"limit" must be at least 1');
  expect(detail).toContain('"status.0" must be one of open, acknowledged, resolved');
  expect(detail).toContain('"cursor" is given more than once');
});

test('names that every object has are no parameters', () => {
  for (const name of ['constructor', '__proto__', 'toString']) {
    const raw = Object.create(null, { [name]: { value: 'x', enumerable: true } }) as Record<string, unknown>;
    expect(parseQuery(IncidentQuery, raw).ok).toBe(false);
  }
});

test('texts that no store can hold are refused wherever they stand in a body', () => {
  const schema = z.object({ a: z.object({ b: z.array(z.string()) }) });
  expect(parseBody(schema, { a: { b: ['fine', 'zero\u0000'] } }).ok).toBe(false);
  expect(detailOf(parseBody(schema, { a: { b: ['\udfff'] } }))).toContain('"a.b.0"');
  expect(parseBody(schema, { a: { b: ['naïve 🛒'] } }).ok).toBe(true);
  expect(plain(3).safeParse('a\u0000').success).toBe(false);
});

test('a cursor comes back as the key it was made of, and only for its own list', () => {
  const position = ['2026-11-20T07:30:00.123456Z', 'id/with "quotes"'];
  const cursor = encodeCursor('incidents', position)!;
  expect(cursor).toMatch(/^[A-Za-z0-9_-]+$/);
  expect(decodeCursor('incidents', cursor)).toEqual(position);
  expect(decodeCursor('notifications', cursor)).toBeNull();
  expect(encodeCursor('incidents', null)).toBeNull();
});

test('a cursor that somebody made up is none', () => {
  const made = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  for (const cursor of [
    '',
    'x',
    made(null),
    made({ 0: 'incidents' }),
    made(['incidents']),
    made(['incidents', 'not a time', 'id']),
    made(['incidents', '2026-11-20T07:30:00.123456Z', 7]),
    made(['incidents', '2026-11-20T07:30:00.123456Z', 'zero\u0000']),
    made(['timeline', '1; drop table incidents']),
  ]) {
    expect(decodeCursor('incidents', cursor)).toBeNull();
    expect(decodeCursor('timeline', cursor)).toBeNull();
  }
});
