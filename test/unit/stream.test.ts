import { expect, test } from 'vitest';
import { StreamLine } from '../../src/domain/stream.ts';

const at = '2026-11-20T07:30:00Z';
const deed = { incident: { fingerprint: 'a' }, do: 'acknowledge', by: 'ana' };

test('an action is read from the body of its line, and from the line itself', () => {
  for (const line of [
    { at, kind: 'action', body: deed },
    { at, kind: 'action', ...deed },
  ])
    expect(StreamLine.parse(line)).toMatchObject(deed);
});

test('an action without a deed or an incident, or with one nobody knows, is a fault and not a silent note', () => {
  const faults = (body: object) =>
    StreamLine.safeParse({ at, kind: 'action', body }).error?.issues.map(({ path, message }) => [
      path.join('.'),
      message,
    ]);
  expect(faults({ incident: '1' })).toEqual([['body.do', 'an action says what was done']]);
  expect(faults({ do: 'resolve' })).toEqual([['body.incident', 'an action names its incident']]);
  expect(faults({ incident: '1', do: 'explode' })).toEqual([['do', expect.stringMatching(/nothing that people do/)]]);
  expect(faults({ do: 'declare', title: 'x' })).toBeUndefined();
});

test('the body of an alert delivery is left as it is, whatever it says of an incident', () => {
  const body = { incident: 'x', alerts: [] };
  expect(StreamLine.parse({ at, kind: 'alertmanager', body })).toEqual({ at, kind: 'alertmanager', body });
});
