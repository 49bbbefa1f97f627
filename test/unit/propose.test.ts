import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { withProposal } from '../../src/cli/propose.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { compilePolicy } from '../../src/decide/policy.ts';
import { type HandedEvidence, propose, type RuleEvidence, type Said } from '../../src/score/propose.ts';
import { folder } from '../fakes/config-tree.ts';

function load(suppression = ''): Config {
  const loaded = loadConfig(
    folder({
      'routing.yaml': 'teams: { docs: {}, shop: {} }\nroutes: { default_team: docs }\n',
      'business-context.yaml': 'services: { wiki: { owner: docs } }\n',
      ...(suppression ? { 'suppression.yaml': suppression } : {}),
    }),
    {},
  );
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  return loaded.config;
}

const says = (kind: Said['kind'], ...by: string[]): Said[] => by.map((who, i) => ({ kind, by: who, number: 40 + i }));
const disk = (more: Partial<RuleEvidence> = {}): RuleEvidence => ({
  rule: 'Disk "Full"',
  service: 'wiki',
  labels: { alertname: 'Disk "Full"', service: 'wiki', severity: 'warning' },
  incidents: 12,
  paged: 12,
  actedOn: 0,
  wasCritical: false,
  said: says('noise', 'ana', 'ben', 'ana', 'ana', 'ben'),
  ...more,
});
const of = (rules: RuleEvidence[], handed: HandedEvidence[] = [], config = load()) =>
  propose({ rules, handed }, compilePolicy(config));

test('called noise five times by two people and never acted on: an entry ready to paste, with its evidence', () => {
  const config = load();
  const [proposal, ...rest] = of([disk()], [], config);
  expect(rest).toEqual([]);
  expect(proposal).toMatchObject({
    kind: 'noise',
    file: 'suppression.yaml',
    where: 'under `noise:`',
    evidence: { said: 5, people: 2, incidents: 12, paged: 12, actedOn: 0, numbers: [40, 41, 42, 43, 44] },
  });
  const pasted = parse(`noise:\n  ${proposal!.yaml}\n`) as { noise: unknown[] };
  expect(pasted.noise).toEqual([proposal!.entry]);
  const applied = withProposal(config, proposal!);
  const { holding } = compilePolicy(applied).suppression.matched(disk().labels);
  expect(holding.map((policy) => policy.name)).toEqual(['noise-Disk-Full-wiki']);
  // What was applied is not proposed again, and neither are people named in the config.
  expect(of([disk()], [], applied)).toEqual([]);
  expect(proposal!.yaml).not.toMatch(/ana|ben/);
});

test('too few, one voice, disagreement, somebody acted, ever critical: nothing is proposed', () => {
  const none: Partial<RuleEvidence>[] = [
    { said: says('noise', 'ana', 'ben') },
    { said: says('noise', 'ana', 'ana', 'ana', 'ana') },
    { said: [...disk().said, ...says('real', 'cem')] },
    { actedOn: 1 },
    { wasCritical: true },
  ];
  for (const more of none) expect(of([disk(more)]), JSON.stringify(more)).toEqual([]);
});

test('what should have paged becomes a floor, unless one is there', () => {
  const missed = disk({ said: says('should-have-paged', 'ana', 'ben') });
  const [proposal] = of([missed]);
  expect(proposal).toMatchObject({
    kind: 'floor',
    yaml: `- { match: [ 'alertname="Disk \\"Full\\""', 'service="wiki"' ] }`,
  });
  const applied = withProposal(load(), proposal!);
  expect(of([missed], [], applied)).toEqual([]);
  expect(of([disk({ said: says('should-have-paged', 'ana') })])).toEqual([]);
});

test('a service whose incidents people hand on becomes a route, which then sends them there', () => {
  const handed = {
    service: 'wiki',
    labels: { service: 'wiki' },
    from: 'docs',
    to: 'shop',
    people: 2,
    numbers: [1, 2, 3],
  };
  const config = load();
  const [proposal] = of([], [handed], config);
  expect(proposal).toMatchObject({
    kind: 'route',
    file: 'routing.yaml',
    entry: { match: ['service="wiki"'], team: 'shop' },
  });
  expect(of([], [handed], withProposal(config, proposal!))).toEqual([]);
  expect(of([], [{ ...handed, numbers: [1, 2] }])).toEqual([]);
});

test('the best supported come first, and the same evidence gives the same list', () => {
  const other = disk({
    rule: 'Other',
    labels: { alertname: 'Other', service: 'wiki' },
    said: says('noise', 'a', 'b', 'c'),
  });
  const ids = (rules: RuleEvidence[]) => of(rules).map((one) => one.id);
  expect(ids([other, disk()])).toEqual(['noise:Disk "Full":wiki', 'noise:Other:wiki']);
  expect(ids([disk(), other])).toEqual(ids([other, disk()]));
});
