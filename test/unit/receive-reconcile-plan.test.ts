import { expect, test } from 'vitest';
import { type Poll, type PolledAlert, parsePoll } from '../../src/receive/poll.ts';
import { type KnownAlert, LOST_AFTER_MS, reconcile, TRUSTED_AFTER_MS } from '../../src/receive/reconcile-plan.ts';

const minute = 60_000;
const now = Date.parse('2026-11-20T08:00:00Z');
const none: ReadonlySet<string> = new Set();
const names = { severityMap: {}, labelNames: { service: ['service'], namespace: [], cluster: [], tenant: [] } };

const known = (fingerprint: string, extra: Partial<KnownAlert> = {}): KnownAlert => ({
  fingerprint,
  status: 'firing',
  startsAt: now - 30 * minute,
  lastSeenAt: now - 20 * minute,
  receiver: 'tocsin',
  ...extra,
});
const json = (fingerprint: string, extra: Record<string, unknown> = {}) => ({
  fingerprint,
  startsAt: new Date(now - 30 * minute).toISOString(),
  endsAt: new Date(now + 4 * minute).toISOString(),
  state: 'active',
  silencedBy: [],
  inhibitedBy: [],
  receivers: ['tocsin'],
  detail: { labels: { alertname: 'A', service: 's' }, annotations: {}, generatorURL: '' },
  ...extra,
});
const poll = (alerts: unknown[], extra: Record<string, unknown> = {}): Poll => {
  const body = { source: 'main', polledAt: now, uptimeSince: now - 60 * minute, alerts, ...extra };
  const parsed = parsePoll(Buffer.from(JSON.stringify(body)), names);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed;
};
/** The same list twice, the second a minute later: what is only believed when seen twice. */
const twice = (alerts: KnownAlert[], list: unknown[], extra: Record<string, unknown> = {}) => {
  const first = reconcile(alerts, poll(list, extra), none);
  expect([first.resolve, first.fire]).toEqual([[], []]);
  return reconcile(alerts, poll(list, { polledAt: now + minute, ...extra }), first.history);
};

test('an alert that Alertmanager no longer lists is closed, but only once it was missing twice in a row', () => {
  const second = twice([known('gone'), known('there')], [json('there')]);
  expect(second.resolve).toEqual([{ fingerprint: 'gone', endsAt: now + minute }]);
  expect(second.confirm).toEqual(['there']);
});

test('missing, there, missing is not missing twice', () => {
  const first = reconcile([known('a')], poll([]), none);
  const second = reconcile([known('a')], poll([json('a')]), first.history);
  const third = reconcile([known('a')], poll([]), second.history);
  expect([...first.resolve, ...second.resolve, ...third.resolve]).toEqual([]);
});

test('a restarted Alertmanager, or one that does not say since when it runs, closes nothing and its empty list is not remembered', () => {
  for (const uptimeSince of [now - TRUSTED_AFTER_MS + 1 + minute, now + minute, null]) {
    const first = reconcile([known('a')], poll([], { uptimeSince }), none);
    const second = reconcile([known('a')], poll([], { uptimeSince, polledAt: now + 1 }), first.history);
    const trusted = reconcile([known('a')], poll([]), second.history);
    expect([...first.resolve, ...second.resolve, ...trusted.resolve]).toEqual([]);
  }
});

test('a young Alertmanager is believed about what it has listed itself since it started, and about nothing else', () => {
  const uptimeSince = now - minute;
  const run = (lists: unknown[][]) => {
    let history = none;
    const resolved: string[][] = [];
    lists.forEach((list, n) => {
      const step = reconcile([known('a'), known('b')], poll(list, { uptimeSince, polledAt: now + n }), history);
      history = step.history;
      resolved.push(step.resolve.map(({ fingerprint }) => fingerprint));
    });
    return resolved;
  };
  const [a, b] = [json('a'), json('b')];
  expect(run([[], [a], [], []])).toEqual([[], [], [], ['a']]);
  expect(run([[], [a], [b], [a], [], []])).toEqual([[], [], [], [], ['b'], ['a']]);
  // The first list may have been made before the restart that the status speaks of: it proves nothing.
  expect(run([[a], [], [], []])).toEqual([[], [], [], []]);
});

test('what an earlier life of the Alertmanager listed says nothing about the next one', () => {
  const step = (list: unknown[], uptimeSince: number, n: number, history: ReadonlySet<string>) =>
    reconcile([known('a')], poll(list, { uptimeSince, polledAt: now + n }), history);
  const first = step([json('a')], now - 2 * minute, 0, none);
  const second = step([json('a')], now - 2 * minute, 1, first.history);
  let { history } = second;
  for (let n = 2; n < 6; n += 1) {
    const restarted = step([], now - minute, n, history);
    expect(restarted.resolve).toEqual([]);
    history = restarted.history;
  }
});

test('word that comes by webhook between two polls does not make it forget what was listed', () => {
  const young = { uptimeSince: now - minute };
  const first = reconcile([known('a')], poll([], young), none);
  const second = reconcile([known('a')], poll([json('a')], { ...young, polledAt: now + 1 }), first.history);
  const fresh = known('a', { lastSeenAt: now + 2 });
  const third = reconcile([fresh], poll([], { ...young, polledAt: now + 2 }), second.history);
  const fourth = reconcile([fresh], poll([], { ...young, polledAt: now + 3 }), third.history);
  const fifth = reconcile([fresh], poll([], { ...young, polledAt: now + 4 }), fourth.history);
  expect([third, fourth, fifth].map(({ resolve }) => resolve.length)).toEqual([0, 0, 1]);
});

test('a partial list after a restart still confirms what it holds', () => {
  const { confirm, resolve } = reconcile(
    [known('a'), known('b')],
    poll([json('b')], { uptimeSince: now - minute }),
    none,
  );
  expect([confirm, resolve]).toEqual([['b'], []]);
});

test('silenced and inhibited alerts fire still', () => {
  const list = [
    json('a', { state: 'suppressed', silencedBy: ['s1'] }),
    json('b', { state: 'suppressed', inhibitedBy: ['c'] }),
  ];
  expect(twice([known('a'), known('b')], list)).toMatchObject({ resolve: [], confirm: ['a', 'b'], fire: [] });
});

test('what reached us after the poll began is newer than its list', () => {
  const fresh = known('a', { lastSeenAt: now + 2 * minute });
  expect(twice([fresh], []).resolve).toEqual([]);
});

test('one that is listed as over is closed at once, at its own end; an older end says nothing of a newer episode', () => {
  const over = json('a', { endsAt: new Date(now - minute).toISOString() });
  expect(reconcile([known('a')], poll([over]), none).resolve).toEqual([{ fingerprint: 'a', endsAt: now - minute }]);
  const newer = known('a', { startsAt: now - 10 * minute });
  expect(reconcile([newer], poll([over]), none).resolve).toEqual([]);
});

test('a webhook that was lost: an alert firing there for minutes and unknown here fires, on the second look', () => {
  const { fire } = twice([known('other')], [json('other'), json('lost')]);
  expect(fire).toMatchObject([
    { fingerprint: 'lost', status: 'firing', alertname: 'A', service: 's', receiver: 'tocsin', expiresAt: null },
  ]);
});

test('also when it was resolved here and has fired anew since, which Alertmanager keeps to itself until repeat_interval', () => {
  const before = known('a', { status: 'resolved', startsAt: now - 90 * minute });
  expect(twice([before], [json('a')]).fire).toHaveLength(1);
});

test('nothing fires that Alertmanager was told to keep quiet, meant for others, or may still send by itself', () => {
  const list = [
    json('silenced', { state: 'suppressed' }),
    json('theirs', { receivers: ['dev-null'] }),
    json('young', { startsAt: new Date(now - LOST_AFTER_MS + 2 * minute).toISOString() }),
    json('ended', { endsAt: new Date(now - minute).toISOString() }),
    json('bare', { detail: undefined }),
  ];
  expect(twice([known('other')], [json('other'), ...list]).fire).toEqual([]);
});

test('before any webhook came nobody knows which receiver is ours, so nothing fires', () => {
  expect(twice([], [json('a')]).fire).toEqual([]);
});

test('ten thousand alerts are compared in one go', () => {
  const alerts = Array.from({ length: 10_000 }, (_, i) => known(`f${i}`));
  const list = Array.from({ length: 9_999 }, (_, i) => json(`f${i}`));
  const second = twice(alerts, list);
  expect([second.confirm.length, second.resolve.map((one) => one.fingerprint)]).toEqual([9_999, ['f9999']]);
});

test('an item that is no poll is refused, and members without a usable fingerprint are left out', () => {
  expect(parsePoll(Buffer.from('{}'), names).ok).toBe(false);
  expect(parsePoll(Buffer.from('nonsense'), names).ok).toBe(false);
  const parsed = poll([null, 7, {}, json('a b'), json('fine')]);
  expect(parsed.alerts.map((one: PolledAlert) => one.fingerprint)).toEqual(['fine']);
});
