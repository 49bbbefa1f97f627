import { describe, expect, test } from 'vitest';
import { type DecideAlert, type DecideInput, decide, nothingLearned } from '../../src/decide/decide.ts';
import { policyOf, shop } from './policy-fixture.ts';

const at = (text: string) => Date.parse(`2026-11-${text}Z`);
const night = at('22T01:30');

const suppression = {
  maintenance_windows: [
    { name: 'db-patching', match: ['service="orders-db"'], every: 'Sun 02:00', for: '2h', time_zone: 'Europe/Berlin' },
    {
      name: 'dr-test',
      match: ['alertname="RegionDown"'],
      from: '2026-11-20T00:00:00Z',
      until: '2026-11-30T00:00:00Z',
      reason: 'disaster drill',
    },
  ],
  noise: [
    { name: 'dev-noise', match: ['env="dev"'], reason: 'nobody is on call for dev' },
    { name: 'dev-critical', match: ['env="dev"', 'severity=~"critical|page"'], reason: 'not even then', for: '2h' },
    { name: 'not-info', match: ['team="batch"', 'severity!="info"'], reason: 'they retry' },
  ],
  business_hours: [{ name: 'office', match: ['urgency="office"'], time_zone: 'Europe/Berlin' }],
  floors: [{ match: ['alertname="Watchdog"'] }, { match: ['security="true"'] }],
};
const inMode = (mode: string, overrides: object[] = []) =>
  policyOf({ ...shop, suppression, tocsin: { ...shop.tocsin, suppress: { mode, overrides } } });
const active = inMode('active');

let serial = 0;
const alert = (labels: Record<string, string>, more: Partial<DecideAlert> = {}): DecideAlert => ({
  source: 'am',
  fingerprint: `f${++serial}`,
  labels: { alertname: 'DiskFull', ...labels },
  severity: 'medium',
  alertname: labels.alertname ?? 'DiskFull',
  service: labels.service ?? null,
  receivedAt: night - 60_000,
  ...more,
});
const look = (alerts: DecideAlert[], more: Partial<DecideInput> = {}, policy = active) =>
  decide(
    {
      alerts,
      severity: 'medium',
      services: [],
      team: 'sre',
      unknownOwner: false,
      priority: 3,
      worth: { value: 0.9, why: '', seen: 10, relevance: 0.5 },
      learned: nothingLearned,
      firstEver: new Set(),
      baseline: null,
      snoozedUntil: null,
      silencedUntil: null,
      silences: [],
      killSwitch: false,
      now: night,
      ...more,
    },
    policy,
  );
const codes = (result: ReturnType<typeof look>) => result.decision.reasons.map((reason) => reason.code);
const db = () => alert({ service: 'orders-db' });
const dev = () => alert({ env: 'dev' });

describe('a policy holds back', () => {
  test('what matches a maintenance window while it runs, until it ends', () => {
    const result = look([db()]);
    expect(result).toMatchObject({ done: 'suppress', expiresAt: at('22T03:00') });
    expect(result.decision).toMatchObject({ verdict: 'suppress', mode: 'active', actionability: 0.9 });
    expect(result.decision.reasons).toEqual([
      {
        code: 'maintenance-window',
        text: 'Maintenance window db-patching runs until 2026-11-22 04:00 Europe/Berlin',
        policy: 'db-patching',
        until: '2026-11-22T03:00:00.000Z',
      },
    ]);
    expect(look([db()], { now: at('29T01:30') }).expiresAt).toBe(at('29T03:00'));
    expect(look([db()], { now: at('22T03:00') })).toMatchObject({ done: 'notify', expiresAt: null });
    expect(look([db()], { now: at('22T00:59') }).done).toBe('notify');
  });

  test('noise, for as long as the policy says since the alert reached us', () => {
    const noisy = dev();
    const result = look([noisy]);
    expect(result).toMatchObject({ done: 'suppress', expiresAt: noisy.receivedAt + 24 * 3_600_000 });
    expect(result.decision.reasons[0]).toMatchObject({
      code: 'noise',
      policy: 'dev-noise',
      text: expect.stringMatching(/nobody is on call for dev$/),
    });
    expect(look([noisy], { now: noisy.receivedAt + 24 * 3_600_000 }).done).toBe('notify');
  });

  test('what may wait for the morning, until the hours begin', () => {
    const result = look([alert({ urgency: 'office' })]);
    expect(result).toMatchObject({ done: 'suppress', expiresAt: at('23T08:00') });
    expect(codes(result)).toEqual(['outside-business-hours']);
    expect(look([alert({ urgency: 'office' })], { now: at('23T08:00') }).done).toBe('notify');
  });

  test('an incident only if every firing alert of it is, and until the first of them is free', () => {
    const [one, two] = [db(), dev()];
    expect(look([one, two])).toMatchObject({ done: 'suppress', expiresAt: at('22T03:00') });
    const mixed = look([one, alert({ service: 'cart' })]);
    expect(mixed).toMatchObject({ done: 'notify', expiresAt: null });
    expect(codes(mixed)).toEqual(['partly-held', 'maintenance-window']);
    expect(mixed.perAlert.map((a) => [a.policy, a.suppress?.length ?? 0, a.until])).toEqual([
      ['db-patching', 1, at('22T03:00')],
      [null, 0, null],
    ]);
  });

  test('an alert until the last of the policies that match it ends', () => {
    const both = look([alert({ service: 'orders-db', env: 'dev' })]);
    expect(both.expiresAt).toBe(night - 60_000 + 24 * 3_600_000);
    expect(codes(both)).toEqual(['maintenance-window', 'noise']);
  });

  test('two thousand alerts in one window are one reason', () => {
    expect(look(Array.from({ length: 2000 }, db)).decision.reasons).toHaveLength(1);
  });

  test('nothing when no policy matches, and says so', () => {
    expect(codes(look([alert({ service: 'cart' })]))).toEqual(['no-policy']);
    expect(codes(look([]))).toEqual(['no-policy']);
  });
});

describe('floors always notify', () => {
  test('a critical alert, unless a policy names severities or its rule', () => {
    expect(codes(look([alert({ service: 'orders-db' }, { severity: 'critical' })]))).toEqual(['floor-critical']);
    const named = look([alert({ env: 'dev', severity: 'page' }, { severity: 'critical' })]);
    expect([named.done, named.decision.reasons.map((r) => r.policy)]).toEqual(['suppress', ['dev-critical']]);
    expect(look([alert({ alertname: 'RegionDown' }, { severity: 'critical' })]).done).toBe('suppress');
    expect(look([alert({ team: 'batch', severity: 'page' }, { severity: 'critical' })]).done).toBe('notify');
  });

  test('the first firing ever of a rule, and an incident that nobody owns', () => {
    expect(codes(look([dev()], { firstEver: new Set(['DiskFull']) }))).toEqual(['floor-first-ever']);
    expect(look([dev()], { firstEver: new Set(['Other']) }).done).toBe('suppress');
    expect(codes(look([dev()], { unknownOwner: true }))).toEqual(['floor-unknown-owner']);
    expect(look([alert({ alertname: 'RegionDown' })], { unknownOwner: true }).done).toBe('notify');
  });

  test('a configured floor and a watchdog, whatever a policy or a person says', () => {
    const silencedUntil = night + 3_600_000;
    expect(codes(look([alert({ env: 'dev', security: 'true' })], { silencedUntil }))).toEqual(['floor-configured']);
    expect(codes(look([alert({ env: 'dev', alertname: 'Watchdog' })], { silencedUntil }))).toEqual([
      'floor-configured',
    ]);
    expect(codes(look([alert({ env: 'dev', alertname: 'DeadMansSwitch' })]))).toEqual(['floor-watchdog']);
  });
});

describe('a person holds back', () => {
  const until = night + 3_600_000;

  test('what is snoozed or silenced, in every mode, a critical alert too', () => {
    for (const mode of ['passthrough', 'shadow', 'assist', 'active']) {
      const critical = alert({ service: 'cart' }, { severity: 'critical' });
      expect(look([critical], { snoozedUntil: until, unknownOwner: true }, inMode(mode))).toMatchObject({
        done: 'suppress',
        expiresAt: until,
        perAlert: [{ policy: 'snooze' }],
      });
      expect(look([critical], { silencedUntil: until }, inMode(mode)).done).toBe('suppress');
    }
    expect(look([alert({})], { snoozedUntil: night, silencedUntil: night }).done).toBe('notify');
  });

  test('an incident declared by hand, which has no alert', () => {
    expect(look([], { silencedUntil: until })).toMatchObject({ done: 'suppress', expiresAt: until, perAlert: [] });
  });

  test('single alerts, by the longest silence on each', () => {
    const [one, two] = [alert({ service: 'cart' }), alert({ service: 'cart' })];
    const silence = (alerts: DecideAlert[], ends: number) => ({
      alerts: alerts.map((a) => `am/${a.fingerprint}`),
      until: ends,
      by: 'ana',
    });
    expect(look([one, two], { silences: [silence([one], until)] }).done).toBe('notify');
    const both = look(
      [one, two],
      { silences: [silence([one, two], until), silence([one], until + 1), silence([two], night)] },
      inMode('shadow'),
    );
    expect(both).toMatchObject({ done: 'suppress', expiresAt: until });
    expect(both.decision.reasons[0]).toMatchObject({
      code: 'silenced',
      text: 'Silenced by ana until 2026-11-22 02:30 UTC',
    });
  });

  test('in shadow only what the person covers: the policies beside it stay shadows', () => {
    const [one, two] = [alert({ service: 'cart' }), dev()];
    const silences = [{ alerts: [`am/${one.fingerprint}`], until, by: 'ana' }];
    const result = look([one, two], { silences }, inMode('shadow'));
    expect([result.decision.verdict, result.done]).toEqual(['suppress', 'notify']);
    const covered = look(
      [two],
      { silences: [{ alerts: [`am/${two.fingerprint}`], until, by: 'ana' }] },
      inMode('shadow'),
    );
    expect(covered).toMatchObject({ done: 'suppress', expiresAt: until });
  });
});

describe('what breaks through', () => {
  const baseline = { severity: 'medium' as const, services: ['cart'] };

  test('a rise in severity and a new service, with the reasons that held it', () => {
    expect(look([dev()], { baseline, services: ['cart'] }).done).toBe('suppress');
    const rise = look([dev()], { baseline, services: ['cart'], severity: 'high' });
    expect([rise.done, rise.decision.verdict, codes(rise)]).toEqual(['notify', 'notify', ['severity-raised', 'noise']]);
    const wider = look([dev()], { baseline, services: ['cart', 'payment'] });
    expect([wider.done, codes(wider)]).toEqual(['notify', ['new-service', 'noise']]);
    expect(look([dev()], { baseline, services: [], severity: 'low' }).done).toBe('suppress');
  });

  test('also a person`s snooze', () => {
    expect(look([alert({})], { baseline, snoozedUntil: night + 1, severity: 'critical' }).done).toBe('notify');
  });
});

describe('modes', () => {
  test('only active holds back; the others record what it would have been', () => {
    const outcome = (mode: string) => {
      const { decision, done, expiresAt } = look([dev()], {}, inMode(mode));
      return [decision.verdict, done, decision.mode, expiresAt !== null];
    };
    expect(outcome('active')).toEqual(['suppress', 'suppress', 'active', true]);
    expect(outcome('assist')).toEqual(['suppress', 'notify', 'assist', true]);
    expect(outcome('shadow')).toEqual(['suppress', 'notify', 'shadow', true]);
    expect(outcome('passthrough')).toEqual(['notify', 'notify', 'passthrough', false]);
    expect(codes(look([dev()], {}, inMode('passthrough')))).toEqual(['passthrough']);
  });

  test('differ by team, service or rule: the first override that matches, on what Tocsin found', () => {
    const policy = inMode('shadow', [
      { match: ['alertname="Flaky"'], mode: 'passthrough' },
      { match: ['team="payments"'], mode: 'active' },
      { match: ['service="cart"'], mode: 'assist' },
    ]);
    const mode = (labels: Record<string, string>, more: Partial<DecideAlert> = {}, team = 'sre') =>
      look([alert({ env: 'dev', ...labels }, more)], { team }, policy).decision.mode;
    expect(mode({}, {}, 'payments')).toBe('active');
    expect(mode({ team: 'payments' }, {}, 'sre')).toBe('shadow');
    expect(mode({ alertname: 'Flaky' }, {}, 'payments')).toBe('passthrough');
    expect(mode({ app: 'cart' }, { service: 'cart' })).toBe('assist');
    expect(mode({ service: 'cart' }, { service: null })).toBe('assist');
    expect(mode({})).toBe('shadow');
  });

  test('an incident of several modes is in the least powerful one', () => {
    const policy = inMode('active', [{ match: ['service="cart"'], mode: 'shadow' }]);
    const result = look([dev(), alert({ env: 'dev', service: 'cart' })], {}, policy);
    expect([result.decision.mode, result.decision.verdict, result.done]).toEqual(['shadow', 'suppress', 'notify']);
  });

  test('the kill switch passes everything, silences included', () => {
    const result = look([dev()], { killSwitch: true, silencedUntil: night + 1 });
    expect(result).toMatchObject({ done: 'notify', expiresAt: null });
    expect(result.decision).toMatchObject({
      verdict: 'notify',
      mode: 'passthrough',
      reasons: [{ code: 'kill-switch' }],
    });
  });
});

test('the same question gets the same answer, byte for byte', () => {
  const alerts = [db(), dev()];
  const more = { baseline: { severity: 'low' as const, services: [] }, services: ['a', 'b'] };
  expect(JSON.stringify(look(alerts, more, inMode('active')))).toBe(
    JSON.stringify(look(alerts, more, inMode('active'))),
  );
});

test('a heartbeat is compiled with its matchers and its patience', () => {
  const [heartbeat] = active.heartbeats;
  expect(heartbeat).toMatchObject({ name: 'alertname="Watchdog"', within: 600_000 });
  expect(heartbeat!.matchers.matches({ alertname: 'Watchdog' })).toBe(true);
  expect(policyOf({ tocsin: { heartbeats: [{ match: ['a="b"'] }] } }).heartbeats[0]!.within).toBeNull();
});

test('a maintenance window that never ends is refused when the config is compiled', () => {
  const endless = { maintenance_windows: [{ name: 'x', match: ['a="b"'], from: '2026-01-01T00:00:00Z' }] };
  expect(() => policyOf({ suppression: endless })).toThrow(/maintenance window x: `from` needs an end/);
});
