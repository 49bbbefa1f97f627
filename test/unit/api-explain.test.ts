import { describe, expect, test } from 'vitest';
import { alertOf, type ExplainInput, explainAlert } from '../../src/api/explain.ts';
import type { AlertRow } from '../../src/store/read-alerts.ts';

const alert = (some: Partial<AlertRow> = {}): AlertRow =>
  ({
    source: 'default',
    fingerprint: 'a',
    alertname: 'HighErrorRate',
    service: 'checkout',
    labels: { service: 'checkout' },
    status: 'firing',
    incident_id: null,
    fire_verdict: null,
    resolve_verdict: null,
    closed_because: null,
    reasons: [],
    why: null,
    ...some,
  }) as unknown as AlertRow;

const nothingElse: Omit<ExplainInput, 'alert'> = {
  incident: null,
  decision: null,
  names: new Map(),
  notifications: [],
  suppression: null,
  judged: null,
  elsewhere: [],
  compared: null,
};

const said = (input: Partial<ExplainInput>): string =>
  explainAlert({ alert: alert(), ...nothingElse, ...input }).text.join('\n');

test('an alert in flight says that nothing is decided', () => {
  expect(said({})).toContain('HighErrorRate (checkout) belongs to no incident.');
  expect(said({})).toContain('not decided yet; the ledger counts it as in flight');
});

test('standing alone is explained by the distance nobody was within', () => {
  const why = {
    rule: 'density',
    neighbours: [],
    eps: 0.55,
    minPts: 2,
    note: 'near an open incident, but not close enough',
  };
  const text = said({ alert: alert({ incident_id: 'i', why }) });
  expect(text).toContain('no alert then open to it lay within 0.55, so it stood alone at first.');
  expect(text).toContain('Near an open incident, but not close enough.');
});

test('a rule that measures nothing is named', () => {
  const why = { rule: 'same-alert', neighbours: [], eps: 0, minPts: 0, note: 'The same alert fired again.' };
  const text = said({ alert: alert({ incident_id: 'i', why }) });
  expect(text).toContain('by the rule "same-alert"');
  expect(text).toContain('The same alert fired again.');
});

test('what was held back says by which policy, since when and until when', () => {
  const suppression = {
    source: 'default',
    fingerprint: 'a',
    starts_at: new Date(0),
    incident_id: 'i',
    reasons: [],
    policy: 'noise/dev-noise',
    at: new Date('2026-11-20T07:30:00Z'),
    expires_at: new Date('2026-11-21T07:30:00Z'),
    released_at: null,
    position: [],
  };
  const explanation = explainAlert({ ...nothingElse, alert: alert({ fire_verdict: 'suppress' }), suppression });
  expect(explanation.decided.text.join('\n')).toContain('Its firing was held back.');
  expect(explanation.decided.text.join('\n')).toContain(
    'by noise/dev-noise, until 2026-11-21T07:30:00.000Z at the latest',
  );
  expect(explanation.decided.suppressedUntil).toBe('2026-11-21T07:30:00.000Z');
  const released = explainAlert({
    ...nothingElse,
    alert: alert(),
    suppression: { ...suppression, released_at: new Date('2026-11-20T08:00:00Z') },
  });
  expect(released.decided.suppressedUntil).toBeNull();
});

describe('two alerts', () => {
  const why = { rule: 'density', neighbours: [], eps: 0.5, minPts: 2, note: null };
  const compare = (a: string | null, b: string | null, distance: number): string =>
    said({
      alert: alert({ incident_id: a, why }),
      compared: {
        alert: alert({ fingerprint: 'b', alertname: 'Slow', incident_id: b }),
        distance: { distance, parts: { time: 0.9, topology: 0.2 } },
      },
    });

  test('in one incident although far apart are together through others', () => {
    expect(compare('i', 'i', 0.8)).toContain('farther than 0.5');
    expect(compare('i', 'i', 0.8)).toContain('through alerts that lie between them');
  });
  test('in different ones although near are kept apart by something else', () => {
    expect(compare('i', 'j', 0.3)).toContain('They are apart although near');
  });
  test('without an incident are not together', () => {
    expect(compare(null, null, 0.9)).toContain('not in one incident');
  });
});

test('an episode key is cut to its alert, whatever its fingerprint holds', () => {
  expect(alertOf('default/abc@1700000000000')).toBe('default/abc');
  expect(alertOf('default/a@b@-62135596800000')).toBe('default/a@b');
  expect(alertOf('default/abc')).toBe('default/abc');
});
