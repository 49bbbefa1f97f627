import fc from 'fast-check';
import { expect, test } from 'vitest';
import { imbalanceOf } from '../../src/domain/ledger.ts';
import { tell } from './engine-story.ts';

/** Mode active with everything that holds back: noise, a window that recurs, closed hours; and a floor among the noise. */
const policies = {
  'tocsin.yaml': `
channels:
  slack: { token: { env: SLACK }, signing_secret: { env: SLACK_SIGNING } }
  pagerduty: {}
heartbeats: [ { match: ['alertname="Watchdog"'], within: 10m } ]
correlate: { window: 15m, reopen: 5m }
suppress: { mode: active }
`,
  'suppression.yaml': `
noise: [ { name: careless, match: ['severity=~".+"'], reason: "too loud", for: 30m } ]
maintenance_windows: [ { name: nightly, match: ['service="cart"'], every: "04:00", for: 1h } ]
business_hours: [ { name: by-day, match: ['service="payment"'], from: "09:00", until: "17:00" } ]
floors: [ { match: ['alertname="Sacred"'] } ]
`,
};

const rule = fc.constantFrom('HighErrorRate', 'DiskFull', 'Chatty', 'Sacred', 'Watchdog');
const labels = fc.record({
  service: fc.constantFrom('checkout', 'payment', 'cart', 'unowned'),
  severity: fc.constantFrom('critical', 'warning', 'info', 'odd'),
  pod: fc.constantFrom('a', 'b'),
});
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('fire', 'resolve'), rule, labels }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait'), minutes: fc.integer({ min: 1, max: 90 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('acknowledge', 'resolve-incident', 'silence', 'reopen'),
      nth: fc.nat(5),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('kill-switch-on', 'kill-switch-off', 'kill') }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function run(steps: Step[]) {
  const story = tell(policies);
  let minute = 0;
  for (const one of steps) {
    if ('rule' in one) {
      if (one.do === 'fire') story.fire(one.rule, one.labels);
      else story.resolve(one.rule, one.labels);
    } else if ('minutes' in one) {
      minute += one.minutes;
      story.at(`00:${minute}`);
    } else if ('nth' in one) {
      const incident = story.incidents()[one.nth];
      if (incident) {
        const what = one.do === 'resolve-incident' ? 'resolve' : one.do;
        story.act(what as 'acknowledge', incident.id, 'ana', what === 'silence' ? { for: '20m' } : {});
      }
    } else if (one.do === 'kill') story.afterKill();
    else story.act('kill-switch', null, 'ana', { on: one.do === 'kill-switch-on' });
    expect(imbalanceOf(story.record.ledger)).toBe(0);
    // what is in flight are the changes that wait for the look at their incident, and nothing else
    const waiting = [...story.engine.world.incidents.values()].reduce((sum, { pending }) => sum + pending.length, 0);
    expect(story.record.ledger.inFlight).toBe(waiting);
  }
  story.at(`00:${minute + 5}`);
  expect(story.record.ledger.inFlight).toBe(0);
  return story;
}

const streams = fc.array(step, { minLength: 1, maxLength: 40 });

test('for any stream the ledger balances, a floor always notifies, and every suppression has reasons, expiry and record', () => {
  fc.assert(
    fc.property(streams, (steps) => {
      const { record } = run(steps);
      const kept = new Map(record.suppressed.map((one) => [`${one.source}/${one.fingerprint}@${one.startsAt}`, one]));
      for (const alert of record.alerts.values()) {
        if (alert.alertname === 'Sacred') expect(alert.fireVerdict).not.toBe('suppress');
        if (alert.fireVerdict !== 'suppress') continue;
        expect(alert.reasons.length).toBeGreaterThan(0);
        const one = kept.get(`${alert.source}/${alert.fingerprint}@${alert.startsAt}`);
        // an alert that ended before the look is held back with its incident and has no hold of its own
        if (alert.status === 'firing' && alert.reasons.some((reason) => reason.code !== 'incident-suppressed')) {
          expect(one?.reasons.length).toBeGreaterThan(0);
          expect(one?.expiresAt).toBeGreaterThan(one?.at ?? 0);
        }
      }
    }),
    { numRuns: 60 },
  );
}, 120_000);

test('the same stream gives the same bytes', () => {
  fc.assert(
    fc.property(streams, (steps) => {
      const written = () => {
        const { alerts, incidents, timeline, ledger, suppressed, audit } = run(steps).record;
        return JSON.stringify([[...alerts], [...incidents], timeline, ledger, suppressed, audit]);
      };
      expect(written()).toBe(written());
    }),
    { numRuns: 20 },
  );
}, 120_000);
