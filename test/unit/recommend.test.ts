import { describe, expect, test } from 'vitest';
import { BusinessFile, PatternsFile } from '../../src/config/schema.ts';
import type { IncidentDeploy, RootCause } from '../../src/domain/incident.ts';
import { compilePatterns, type RecommendInput, recommend, runbookOf, webAddress } from '../../src/score/recommend.ts';

const alert = (alertname: string, more: object = {}) => ({
  fingerprint: alertname,
  alertname,
  service: 'cart',
  labels: { alertname },
  annotations: {},
  ...more,
});
const cause = (more: Partial<RootCause> = {}): RootCause => ({
  service: 'payment',
  namespace: null,
  alertname: null,
  fingerprint: null,
  deployId: null,
  probability: 0.71,
  confidence: 'high',
  evidence: [],
  causalChain: [],
  ...more,
});
const deploy = (more: Partial<IncidentDeploy> = {}): IncidentDeploy => ({
  id: 'd1',
  service: 'payment',
  version: 'v2',
  previousVersion: 'v1',
  startedAt: '2026-11-20T07:00:00Z',
  author: 'ana',
  commit: null,
  url: null,
  leadSeconds: 300,
  suspicion: 0.8,
  ...more,
});
const patterns = (...list: object[]) => compilePatterns(PatternsFile.parse({ patterns: list }).patterns);
const advise = (more: Partial<RecommendInput>) =>
  recommend({
    alerts: [alert('Lead')],
    causes: [],
    deploys: [],
    similar: [],
    patterns: [],
    catalogue: new Map(),
    ...more,
  });
const actions = (more: Partial<RecommendInput>) => advise(more).map((one) => one.action);

test('with nothing known nothing is recommended', () => {
  expect(advise({})).toEqual([]);
  expect(recommend({ alerts: [], causes: [], deploys: [], similar: [], patterns: [], catalogue: new Map() })).toEqual(
    [],
  );
});

describe('a suspicious deploy', () => {
  test('is undone, after what is known of the alerts themselves', () => {
    expect(advise({ deploys: [deploy()], patterns: patterns({ match: [], actions: ['Restart it'] }) })).toEqual([
      { action: 'Restart it', why: 'Known to help with Lead', runbook: null },
      {
        action: 'Roll back payment to v1',
        why: 'v2 was deployed by ana 5 min before the first alert (suspicion 0.80)',
        runbook: null,
      },
    ]);
  });

  test('is the one that the top suspect blames, else the most suspicious one', () => {
    const deploys = [
      deploy({ id: 'a', service: 'a', suspicion: 0.2 }),
      deploy({ id: 'b', service: 'b', suspicion: 0.9 }),
      deploy({ id: 'c', service: 'c', suspicion: 0.6 }),
    ];
    expect(actions({ deploys })).toEqual(['Roll back b to v1']);
    expect(actions({ deploys, causes: [cause({ deployId: 'a' })] })).toEqual(['Roll back a to v1']);
    expect(actions({ deploys: [deploys[0]!] })).toEqual([]);
    expect(actions({ deploys: [deploys[0]!], causes: [cause({ deployId: 'a', probability: 0.7 })] })).toEqual([]);
    expect(actions({ deploys: [deploys[0]!], causes: [cause({ deployId: 'a', probability: 0.7001 })] })).toEqual([
      'Roll back a to v1',
    ]);
  });

  test('that came after the onset is no cause', () => {
    expect(actions({ deploys: [deploy({ leadSeconds: -60 })], causes: [cause({ deployId: 'd1' })] })).toEqual([]);
  });

  test('is named as well as it is known', () => {
    const [one] = advise({
      deploys: [deploy({ version: null, previousVersion: null, author: null, leadSeconds: 10 })],
    });
    expect(one).toMatchObject({
      action: 'Roll back payment to the version before',
      why: 'A new version was deployed less than a minute before the first alert (suspicion 0.80)',
    });
  });
});

test('patterns come suspect first, then lead, then the other rules; each once; prevention last', () => {
  const known = patterns(
    { match: ['alertname="Lead"'], actions: ['lead 1', 'lead 2'], prevent: ['lead later'], cause: 'disk is full' },
    { match: ['alertname="Suspect"'], actions: ['suspect'], runbook: 'https://runbooks.example.com/s' },
    { match: ['alertname=~"Other|Lead"'], actions: ['other', 'lead 1'] },
    { match: ['alertname="Stranger"'], actions: ['never'] },
  );
  const alerts = [alert('Lead'), alert('Other'), alert('Lead', { fingerprint: 'again' }), alert('Suspect')];
  expect(advise({ alerts, patterns: known, causes: [cause({ fingerprint: 'Suspect' })] })).toEqual([
    { action: 'suspect', why: 'Known to help with Suspect', runbook: 'https://runbooks.example.com/s' },
    { action: 'lead 1', why: 'Lead: disk is full', runbook: null },
    { action: 'lead 2', why: 'Lead: disk is full', runbook: null },
    { action: 'other', why: 'Known to help with Lead', runbook: null },
    { action: 'lead later', why: 'Keeps Lead from coming back', runbook: null },
  ]);
});

const similar = (more: object) => ({
  id: 'i7',
  number: 7,
  title: 'Lead on cart',
  startedAt: '2026-11-02T10:00:00Z',
  durationSeconds: 1500,
  similarity: 0.9,
  endedBy: 'ana',
  ...more,
});

describe('what ended similar incidents', () => {
  test('is named with how alike they were and how it went', () => {
    const ended = 'resolved by ana, 3 min after a rollback of payment to v1';
    expect(advise({ similar: [similar({ remedy: 'Roll back payment to v1', ended })] })).toEqual([
      {
        action: 'Roll back payment to v1',
        why: 'Incident 7 was 90 % alike: resolved by ana, 3 min after a rollback of payment to v1',
        runbook: null,
      },
    ]);
  });

  test('is nothing when they ended by themselves, and each deed once', () => {
    expect(advise({ similar: [similar({ remedy: null }), similar({})] })).toEqual([]);
    expect(actions({ similar: [similar({ remedy: 'Restart' }), similar({ number: 8, remedy: 'Restart' })] })).toEqual([
      'Restart',
    ]);
  });
});

test('five at most, in the order of kinds, and every kind that has something to say gets a place', () => {
  const many = Array.from({ length: 9 }, (_, i) => `do ${i}`);
  const known = (more: object) => patterns({ match: [], actions: many, ...more });
  expect(actions({ patterns: known({}) })).toEqual(many.slice(0, 5));
  expect(
    actions({
      patterns: known({ prevent: ['later', 'much later'] }),
      deploys: [deploy()],
      similar: [similar({ remedy: 'Restart' }), similar({ remedy: 'Fail over' })],
    }),
  ).toEqual(['do 0', 'do 1', 'Roll back payment to v1', 'Restart', 'later']);
});

test('runbooks follow: the alert`s own, then the suspected service`s, each address once', () => {
  const catalogue = new Map(
    Object.entries(
      BusinessFile.parse({
        services: {
          payment: { runbook: 'https://r.example.com/payment' },
          cart: { runbook: 'https://r.example.com/cart' },
        },
      }).services,
    ),
  );
  const alerts = [alert('Lead', { annotations: { runbook_url: 'https://r.example.com/lead' } })];
  const links = (more: Partial<RecommendInput>) =>
    advise({ alerts, catalogue, ...more }).map((one) => [one.action, one.runbook]);
  expect(links({ causes: [cause()] })).toEqual([
    ['Follow the runbook of Lead', 'https://r.example.com/lead'],
    ['Follow the runbook of payment', 'https://r.example.com/payment'],
  ]);
  expect(links({}).at(-1)).toEqual(['Follow the runbook of cart', 'https://r.example.com/cart']);
  expect(links({ patterns: patterns({ match: [], runbook: 'https://r.example.com/lead' }) })[0]).toEqual([
    'Follow the runbook of Lead',
    'https://r.example.com/lead',
  ]);
  expect(links({ patterns: patterns({ match: [], actions: ['do'], runbook: 'https://r.example.com/lead' }) })).toEqual([
    ['do', 'https://r.example.com/lead'],
    ['Follow the runbook of cart', 'https://r.example.com/cart'],
  ]);
});

test('only plain web addresses are kept of what an annotation links to', () => {
  expect(webAddress(' https://runbooks.example.com/a b ')).toBe('https://runbooks.example.com/a%20b');
  expect(webAddress('http://r.example.com/?q="><script>')).toBe('http://r.example.com/?q=%22%3E%3Cscript%3E');
  for (const bad of [
    'javascript:alert(1)',
    'data:text/html,x',
    'file:///etc/passwd',
    '//example.com',
    'see wiki',
    '',
    'https://ana:pw@example.com/',
    `https://example.com/${'a'.repeat(2048)}`,
  ])
    expect(webAddress(bad)).toBeNull();
  expect(runbookOf({ runbook_url: 'javascript:alert(1)', runbook: 'https://r.example.com/x' })).toBe(
    'https://r.example.com/x',
  );
  expect(runbookOf({})).toBeNull();
});
