import { expect, test } from 'vitest';
import { imbalanceOf } from '../../src/domain/ledger.ts';
import { tell } from './engine-story.ts';

/** In mode active a policy that names criticals, as a careless hand would write it. */
const careless = (limits = '') =>
  tell({
    'tocsin.yaml': `
channels:
  slack: { token: { env: SLACK }, signing_secret: { env: SLACK_SIGNING } }
  pagerduty: {}
suppress: { mode: active }
${limits}`,
    'suppression.yaml':
      'noise: [ { name: careless, match: [\'severity="critical"\'], reason: "too loud", for: 2h } ]\n',
  });

/** Its own cluster each, so that each is an incident of its own; the rule has fired before. */
function fireCriticals(story: ReturnType<typeof tell>, from: number, to: number, severity = 'critical'): void {
  for (let n = from; n <= to; n += 1)
    story.fire('Loud', { service: `svc-${n}`, namespace: `ns-${n}`, cluster: `c-${n}`, team: 'payments', severity });
}

function knownRule(story: ReturnType<typeof tell>): void {
  fireCriticals(story, 0, 0);
  story.resolve('Loud', {
    service: 'svc-0',
    namespace: 'ns-0',
    cluster: 'c-0',
    team: 'payments',
    severity: 'critical',
  });
  story.at('01:00');
  story.sent();
}

test('it trips by itself when a policy holds back most criticals: all go out, and the default team is told once', () => {
  const story = careless();
  knownRule(story);
  fireCriticals(story, 1, 4);
  expect(story.sent()).toEqual([]);
  expect(story.record.killSwitch.on).toBe(false);
  fireCriticals(story, 5, 5);
  expect(story.record.killSwitch).toMatchObject({ on: true, by: 'tocsin', origin: 'trip' });
  const sent = story.sent();
  expect(sent.filter((line) => line === 'open slack:#payments')).toHaveLength(5);
  // the default team of this shop
  expect(sent.filter((line) => line === 'open slack:#shop')).toHaveLength(1);
  expect(story.incidents().find((one) => one.title.includes('kill switch tripped'))).toMatchObject({
    severity: 'critical',
    team: 'shop',
  });
  expect(story.record.audit).toContainEqual(
    expect.objectContaining({
      who: 'tocsin',
      what: 'kill-switch',
      why: expect.stringContaining('5 of the 5 critical'),
    }),
  );

  fireCriticals(story, 6, 9);
  expect(story.sent().filter((line) => line === 'open slack:#shop')).toHaveLength(0);
  expect(imbalanceOf(story.record.ledger)).toBe(0);
});

test('it stays on until a person turns it off, which also ends the incident that told of it', () => {
  const story = careless();
  knownRule(story);
  fireCriticals(story, 1, 5);
  story.at('05:00');
  expect(story.record.killSwitch.on).toBe(true);
  story.sent();
  expect(story.act('kill-switch', null, 'ana', { on: false })).toMatchObject({ status: 200 });
  expect(story.record.killSwitch).toMatchObject({ on: false, by: 'ana' });
  expect(story.incidents().find((one) => one.title.includes('kill switch tripped'))).toMatchObject({
    status: 'resolved',
    resolvedBy: 'ana',
  });
});

test('it does not trip for few, for a small share, or for what people silenced themselves', () => {
  const few = careless('kill_switch: { criticals: { at_least: 6 } }\n');
  knownRule(few);
  fireCriticals(few, 1, 5);
  expect(few.record.killSwitch.on).toBe(false);

  const spread = careless();
  knownRule(spread);
  fireCriticals(spread, 1, 3);
  spread.at('01:11');
  fireCriticals(spread, 4, 6);
  expect(spread.record.killSwitch.on).toBe(false);

  const mild = careless();
  fireCriticals(mild, 1, 9, 'warning');
  expect(mild.record.killSwitch.on).toBe(false);
});

test('a file that goes away turns off only what the file turned on', () => {
  const story = tell();
  story.act('kill-switch', null, 'ana', { on: true });
  expect(story.act('kill-switch', null, 'file on host', { on: false }, 'file').detail).toMatch(/it stays on/);
  expect(story.record.killSwitch).toMatchObject({ on: true, by: 'ana' });
  story.act('kill-switch', null, 'ana', { on: false });
  story.act('kill-switch', null, 'file on host', { on: true }, 'file');
  story.act('kill-switch', null, 'file on host', { on: false }, 'file');
  expect(story.record.killSwitch.on).toBe(false);
});

test('while it is on every message says so', () => {
  const story = tell();
  story.act('kill-switch', null, 'ana', { on: true });
  story.fire('HighErrorRate', { service: 'checkout' });
  expect(story.only().decision).toMatchObject({ mode: 'passthrough', reasons: [{ code: 'kill-switch' }] });
});
